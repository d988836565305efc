//! What other gateways over the same state decided, for the sessions that run here.
//!
//! The history is the one list of transitions, whoever made them. Applying one again changes nothing, so it does not
//! matter that this gateway's own are among them.

use super::{Access, Refused};
use crate::core::id::{SessionId, WindowId};
use crate::core::machine::Cause;
use crate::store::{EndCause, Entry};

/// Entries that one look reads at most; more are read by the next without a pause.
const ENTRIES_MAX: u32 = 1_000;

/// What a client is told whose window was revoked.
pub(super) const REVOKED: &str = "the window was revoked; ask for a new one with `leasehold request`";
/// What a client is told whose session was terminated.
pub(super) const TERMINATED: &str = "the session was terminated";

impl Access {
    /// The number of the newest transition: follow from there.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn newest(&self) -> Result<u64, Refused> {
        Ok(self.0.store.newest().await?)
    }

    /// Has the sessions of this gateway follow what was decided since a transition, wherever it was; the number of
    /// the newest that was applied.
    ///
    /// # Errors
    /// When the state cannot be read; nothing is lost, and the next call begins at the same place.
    pub async fn follow(&self, mut after: u64) -> Result<u64, Refused> {
        loop {
            let entries = self.0.store.history(after, ENTRIES_MAX).await?;
            let Some(last) = entries.last() else { return Ok(after) };
            after = last.seq;
            let whole = u32::try_from(entries.len()).is_ok_and(|read| read < ENTRIES_MAX);
            for entry in &entries {
                self.apply(entry).await?;
            }
            if entries.iter().any(|entry| entry.event.starts_with("request.")) {
                self.decided();
            }
            if whole {
                return Ok(after);
            }
        }
    }

    async fn apply(&self, entry: &Entry) -> Result<(), Refused> {
        let live = &self.0.live;
        match entry.event.split_once('.') {
            Some(("session", "terminated")) => {
                if let Some(session) = SessionId::parse(&entry.about) {
                    live.end_session(&session, Cause::Revoked, TERMINATED);
                }
            }
            Some(("window", word)) => {
                let Some(window) = WindowId::parse(&entry.about) else { return Ok(()) };
                match EndCause::parse(word) {
                    Some(EndCause::Revoked | EndCause::Returned) => {
                        live.end_window(&window, Cause::Revoked, REVOKED);
                    }
                    None if word == "extended" => {
                        if let Some(window) = self.0.store.window(window).await? {
                            live.extend_window(&window.id, window.ends);
                        }
                    }
                    // When time is over, each session knows by its own clock.
                    Some(EndCause::Expired) | None => {}
                }
            }
            Some(_) | None => {}
        }
        Ok(())
    }
}
