//! What follows a transition: the review of a break-glass window, and the notices that are posted to channels.

use crate::core::id::WindowId;
use crate::core::identity::{Subject, SubjectKind};
use lang::program::rules::Quorum;
use lang::time::{Timestamp, Ttl};
use serde::{Deserialize, Serialize};

/// The review that a break-glass window owes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The window.
    pub window: WindowId,
    /// Whose window it is.
    pub subject: Subject,
    /// What the token calls the subject, for people only.
    pub subject_name: Option<String>,
    /// The connection.
    pub connection: String,
    /// The break-glass grant.
    pub grant: String,
    /// Who reviews, as the policy said when the window opened.
    pub quorum: Quorum,
    /// Channels that are told.
    pub notify: Vec<String>,
    /// How long after the window's end it may take.
    pub within: Ttl,
    /// When it is overdue: from the window's end, as it stands.
    pub due: Timestamp,
    /// What was said so far, oldest first.
    pub verdicts: Vec<Verdict>,
    /// When the last missing one was given.
    pub done: Option<Timestamp>,
}

impl Review {
    /// Whether it should have been done by now.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.done.is_none() && now >= self.due
    }
}

/// One person's word on a break-glass window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Who.
    pub subject: Subject,
    /// What the token calls the person.
    pub subject_name: Option<String>,
    /// The kind; only a person's counts.
    pub kind: SubjectKind,
    /// Whether the use is called into question.
    pub concern: bool,
    /// What was said.
    pub note: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Something that a channel is told; written with the transition that it tells of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its name: the same for the same news to the same channel.
    pub id: String,
    /// The channel of the gateway's configuration.
    pub channel: String,
    /// `request.asked`, `window.broken_glass`, …
    pub kind: String,
    /// The request or window.
    pub about: String,
    /// More.
    pub detail: serde_json::Value,
    /// When it was written.
    pub created: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// The next attempt.
    pub due: Timestamp,
    /// Where it stands.
    pub state: NoticeState,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

impl Notice {
    /// News of `kind` about a request or window for a channel.
    pub fn new(kind: &str, about: &str, channel: &str, detail: serde_json::Value, at: Timestamp) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [kind, about, channel] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let id = format!("ntc_{}", hasher.finalize().to_hex().chars().take(24).collect::<String>());
        Self {
            id,
            channel: channel.to_owned(),
            kind: kind.to_owned(),
            about: about.to_owned(),
            detail,
            created: at,
            attempts: 0,
            due: at,
            state: NoticeState::Waiting,
            error: None,
        }
    }
}

/// Where a notice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// It will be tried.
    Waiting,
    /// The channel took it.
    Delivered,
    /// It was tried too often; somebody has to look.
    Dead,
}

impl NoticeState {
    /// The word in rows and in the API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// The state that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Waiting, Self::Delivered, Self::Dead].into_iter().find(|state| state.word() == word)
    }
}

/// What an attempt led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The channel took it.
    Delivered,
    /// It is tried again.
    Again {
        /// When.
        due: Timestamp,
        /// Why it failed.
        error: String,
    },
    /// It is tried no more.
    Dead {
        /// Why it failed.
        error: String,
    },
}
