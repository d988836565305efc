//! The version of a request, a window or a session, as one caller sees it under one policy.
//!
//! A caller who names the versions that it looked at writes only while one of them still stands. That is judged inside
//! the transaction, so that nothing comes between; and after the judge has spoken, so that whoever may not see a thing
//! learns nothing of its versions.

use super::refusal::Refused;
use super::{Access, Caller, Judged};
use crate::store::{About, Account, Request, Session, Window};
use lang::time::Timestamp;
use serde::Serialize;
use std::sync::Arc;

/// The versions that a writer has looked at; none when the writer does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected(Option<Arc<[String]>>);

impl Expected {
    /// Any of these; an empty list is never met.
    pub fn one_of(versions: impl IntoIterator<Item = String>) -> Self {
        Self(Some(versions.into_iter().collect()))
    }

    /// What a judge said, unless what it judged is at another version.
    pub(super) fn hold(
        &self,
        judged: Judged,
        caller: &Caller,
        account: &Account,
        about: &About,
        at: Timestamp,
    ) -> Judged {
        let Some(expected) = &self.0 else { return judged };
        if !matches!(judged, Ok(_) | Err(Refused::State(_))) {
            return judged;
        }
        let found = match about {
            About::Account { .. } => {
                let sentence = "a version is expected of something that has none";
                return Err(Refused::Invalid(sentence.to_owned()));
            }
            About::Request(id) => {
                let request = account.requests.iter().find(|request| request.id == *id);
                request.map(|request| caller.version_of_request(request, at))
            }
            About::Window(id) => {
                let window = account.windows.iter().find(|window| window.id == *id);
                window.map(|window| caller.version_of_window(window, at))
            }
            About::Session(_) => account.session.as_ref().map(|session| caller.version_of_session(session)),
        };
        if found.is_some_and(|found| expected.contains(&found)) { judged } else { Err(Refused::Changed) }
    }
}

impl Access {
    /// The same service, whose writes count only while what they concern is at an expected version.
    #[must_use]
    pub fn expecting(&self, expected: Expected) -> Self {
        Self(Arc::clone(&self.0), expected)
    }
}

impl Caller {
    /// The version of a request at an instant.
    pub fn version_of_request(&self, request: &Request, at: Timestamp) -> String {
        self.version(&("request", request, request.state_at(at).word(), self.lines(request).len()))
    }

    /// The version of a window at an instant.
    pub fn version_of_window(&self, window: &Window, at: Timestamp) -> String {
        self.version(&("window", window, window.is_open(at)))
    }

    /// The version of a session.
    pub fn version_of_session(&self, session: &Session) -> String {
        self.version(&("session", session))
    }

    fn version(&self, of: &impl Serialize) -> String {
        let whole = (&self.identity.subject, &self.active.digest, of);
        // What cannot be written has no version that anybody could name.
        let bytes = serde_json::to_vec(&whole).unwrap_or_default();
        blake3::hash(&bytes).to_hex().chars().take(32).collect()
    }
}
