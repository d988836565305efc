//! What channels are told, written with the transition that it tells of. A notice says what an approver should know
//! to look; it must never hold a secret, and it never decides anything.

use crate::store::{Change, Notice, Request, Window};
use lang::program::rules::BreakGlass;
use lang::time::Timestamp;
use serde_json::json;
use std::collections::BTreeSet;

/// The channels that the gateway can post to.
#[derive(Clone, Debug, Default)]
pub(super) struct Announce {
    channels: BTreeSet<String>,
}

impl Announce {
    pub(super) fn new(channels: impl IntoIterator<Item = String>) -> Self {
        Self { channels: channels.into_iter().collect() }
    }

    /// Those of some channels that the gateway's configuration does not know.
    pub(super) fn unknown<'a>(&self, channels: &'a [String]) -> Vec<&'a str> {
        channels.iter().filter(|name| !self.channels.contains(*name)).map(String::as_str).collect()
    }
}

/// News of a request for the channels of its approvals.
pub(super) fn of_request(request: &Request, kind: &str, at: Timestamp) -> Vec<Change> {
    let asked = &request.asked;
    let detail = json!({
        "subject": asked.subject, "name": asked.subject_name, "kind": asked.kind, "connection": asked.connection,
        "grant": asked.grant, "reason": asked.reason, "ticket": asked.ticket, "lifetime": asked.lifetime,
        "approvals": asked.terms.approvals, "answer_by": request.answer_by, "commit": asked.commit,
        "statement": asked.purpose.statement().map(|statement| json!({
            "session": statement.session, "accesses": statement.accesses, "digest": statement.digest,
        })),
        "note": request.settled.as_ref().and_then(|settled| settled.note.as_ref()),
    });
    let tell = |channel: &String| {
        Change::Notify(Box::new(Notice::new(kind, request.id.as_str(), channel, detail.clone(), at)))
    };
    asked.notify.iter().map(tell).collect()
}

/// News of a break-glass window.
pub(super) fn of_glass(glass: &BreakGlass, window: &Window, at: Timestamp) -> Vec<Change> {
    let detail = json!({
        "subject": window.subject, "name": window.subject_name, "kind": window.kind, "connection": window.connection,
        "grant": window.grant, "reason": window.reason, "ticket": window.ticket, "started": window.started,
        "ends": window.ends, "review": glass.review, "within": glass.within, "commit": window.commit,
    });
    let tell = |channel: &String| {
        let notice = Notice::new("window.broken_glass", window.id.as_str(), channel, detail.clone(), at);
        Change::Notify(Box::new(notice))
    };
    glass.notify.iter().map(tell).collect()
}
