//! Lists and single things, each only as far as the caller may see it.

use super::Access;
use super::caller::Caller;
use super::judge;
use super::refusal::{Because, Refused};
use crate::core::id::{RequestId, SessionId, WindowId};
use crate::core::identity::{Identity, SubjectKind};
use crate::core::machine::Now;
use crate::recording::index::Readable;
use crate::store::{Page, Request, Scan, Session, Window};
use lang::program::Terms;
use lang::program::rules::Operator;
use lang::protocol::ConnectionKind;
use lang::time::Timestamp;
use std::sync::Arc;

/// The most rows of one part of a list.
pub(crate) const LIMIT_MAX: u32 = 200;
/// The rows of one part of a list when the client names no number.
pub(crate) const LIMIT_DEFAULT: u32 = 50;

/// Parts of the list that one search looks at.
pub(super) const SEARCHED_PARTS_MAX: usize = 50;

/// What a list is to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only one connection.
    pub connection: Option<String>,
    /// Only what is undecided or not over.
    pub open: bool,
    /// Only the caller's own.
    pub mine: bool,
    /// Only of somebody whose name or object id holds this (sessions).
    pub who: Option<String>,
    /// Only what ended for this cause (sessions).
    pub ended: Option<String>,
    /// Only what began at this instant or later (sessions).
    pub from: Option<Timestamp>,
    /// Only what began at this instant or earlier (sessions).
    pub until: Option<Timestamp>,
    /// The identifier after which it begins.
    pub after: Option<String>,
    /// The most rows, within [`LIMIT_MAX`].
    pub limit: Option<u32>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The rows, newest first.
    pub items: Vec<T>,
    /// The identifier after which the next part begins; none at the end.
    pub next: Option<String>,
}

/// What the caller can reach on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The connection.
    pub connection: String,
    /// Its kind.
    pub kind: ConnectionKind,
    /// Grants that could be used now.
    pub contracts: Vec<ReachContract>,
    /// Why nothing, or some grant, cannot be used now.
    pub misses: Vec<Because>,
}

/// One grant that the caller could use now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachContract {
    /// Its id.
    pub grant: String,
    /// The effective terms.
    pub terms: Terms,
    /// Operations that it permits.
    pub permits: Vec<String>,
    /// Why this version serves no session under it.
    pub unserved: Option<Because>,
}

/// Whether a list goes on.
pub(super) fn cut<T>(mut items: Vec<T>, limit: u32, id: impl Fn(&T) -> String) -> Listed<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(id) } else { None };
    Listed { items, next }
}

impl Filter {
    pub(super) fn limit(&self) -> u32 {
        self.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
    }

    fn scan(&self, caller: &Caller, all: &[Operator], open: &[Operator], at: Timestamp) -> Scan {
        let others = |any_of: &[Operator]| if self.mine { Vec::new() } else { caller.connections(any_of) };
        Scan {
            subject: Some(caller.identity.subject.clone()),
            connections: others(all),
            open_on: others(open),
            only_connection: self.connection.clone(),
            only_open: self.open,
            at,
        }
    }

    /// Whether a session is among those that are looked for by person, time and end.
    pub fn fits(&self, session: &Session) -> bool {
        let named = |who: &String| {
            let who = who.to_lowercase();
            let name = session.subject_name.as_ref().is_some_and(|name| name.to_lowercase().contains(&who));
            name || session.subject.id.to_lowercase().contains(&who)
        };
        let ended = |cause: &String| session.closed.as_ref().is_some_and(|end| end.cause == *cause);
        self.who.as_ref().is_none_or(named)
            && self.ended.as_ref().is_none_or(ended)
            && self.from.is_none_or(|from| session.started >= from)
            && self.until.is_none_or(|until| session.started <= until)
    }

    pub(super) fn page(&self) -> Page {
        Page { after: self.after.clone(), limit: self.limit().saturating_add(1) }
    }
}

impl Access {
    /// Requests that the caller may see, newest first.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn requests(&self, identity: &Identity, filter: &Filter, now: Now) -> Result<Listed<Request>, Refused> {
        let caller = self.caller(identity)?;
        let at = self.instant(now);
        let mut scan = filter.scan(&caller, &[Operator::Requests], &[], at);
        if !filter.mine && decides(&caller) {
            // Which of the undecided ones are the caller's to decide depends on their approvals, which only the
            // policy knows: they are looked at one by one below.
            scan.open_on =
                caller.program().rules().connections.iter().map(|connection| connection.name.clone()).collect();
        }
        let mut page = filter.page();
        let wanted = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let mut items = Vec::new();
        loop {
            let rows = self.0.store.requests(scan.clone(), page.clone()).await?;
            let whole = rows.len() == wanted;
            page.after = rows.last().map(|row| row.id.to_string());
            items.extend(rows.into_iter().filter(|request| caller.sees_request(request, at)));
            if !whole || items.len() >= wanted {
                break;
            }
        }
        items.truncate(wanted);
        Ok(cut(items, filter.limit(), |request| request.id.to_string()))
    }

    /// One request, and whether the caller may decide it.
    ///
    /// # Errors
    /// When there is none that the caller may see.
    pub async fn one_request(&self, identity: &Identity, id: &RequestId, now: Now) -> Result<Request, Refused> {
        let caller = self.caller(identity)?;
        let at = self.instant(now);
        let request = self.0.store.request(id.clone()).await?;
        request.filter(|request| caller.sees_request(request, at)).ok_or(Refused::NotFound("request"))
    }

    /// Windows that the caller may see, newest first.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn windows(&self, identity: &Identity, filter: &Filter, now: Now) -> Result<Listed<Window>, Refused> {
        let caller = self.caller(identity)?;
        let at = self.instant(now);
        let scan = filter.scan(&caller, &[Operator::Requests], &[Operator::Revoke], at);
        let rows = self.0.store.windows(scan, filter.page()).await?;
        Ok(cut(rows, filter.limit(), |window| window.id.to_string()))
    }

    /// One window.
    ///
    /// # Errors
    /// When there is none that the caller may see.
    pub async fn one_window(&self, identity: &Identity, id: &WindowId, now: Now) -> Result<Window, Refused> {
        let caller = self.caller(identity)?;
        let at = self.instant(now);
        let window = self.0.store.window(id.clone()).await?;
        window.filter(|window| caller.sees_window(window, at)).ok_or(Refused::NotFound("window"))
    }

    /// Sessions that the caller may see, newest first.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn sessions(&self, identity: &Identity, filter: &Filter, now: Now) -> Result<Listed<Session>, Refused> {
        let caller = self.caller(identity)?;
        let at = self.instant(now);
        let always = [Operator::Replay, Operator::Hold];
        let scan = filter.scan(&caller, &always, &[Operator::Watch, Operator::Revoke], at);
        let mut page = filter.page();
        let wanted = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let mut items: Vec<Session> = Vec::new();
        // A search looks at so many parts, then says that it goes on.
        for _ in 0..SEARCHED_PARTS_MAX {
            let rows = self.0.store.sessions(scan.clone(), page.clone()).await?;
            let whole = rows.len() == wanted;
            page.after = rows.last().map(|row| row.id.to_string());
            items.extend(rows.into_iter().filter(|session| filter.fits(session)));
            if !whole || items.len() >= wanted {
                break;
            }
        }
        items.truncate(wanted);
        Ok(cut(items, filter.limit(), |session| session.id.to_string()))
    }

    /// Those of the named sessions whose recordings the caller may read, in the order of their names, as far as the
    /// filter goes.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn recorded_among(
        &self,
        identity: &Identity,
        filter: &Filter,
        ids: &[SessionId],
    ) -> Result<Listed<Session>, Refused> {
        let caller = self.caller(identity)?;
        let wanted = usize::try_from(filter.limit()).unwrap_or(usize::MAX);
        let mut items = Vec::new();
        for id in ids {
            let Some(session) = self.0.store.session(id.clone()).await? else { continue };
            let open = !filter.open || session.closed.is_none();
            let mine = !filter.mine || caller.owns(&session.subject, session.kind);
            let connection = filter.connection.as_ref().is_none_or(|name| *name == session.connection);
            if open && mine && connection && filter.fits(&session) && caller.reads_recording(&session) {
                items.push(session);
            }
            if items.len() >= wanted {
                break;
            }
        }
        Ok(Listed { items, next: None })
    }

    /// One session.
    ///
    /// # Errors
    /// When there is none that the caller may see.
    pub async fn one_session(&self, identity: &Identity, id: &SessionId) -> Result<Session, Refused> {
        let caller = self.caller(identity)?;
        let session = self.0.store.session(id.clone()).await?;
        session.filter(|session| caller.sees_session(session)).ok_or(Refused::NotFound("session"))
    }

    /// One session whose recording the caller may read.
    ///
    /// # Errors
    /// When there is none that the caller may see, or its recording is not for the caller.
    pub async fn recorded_session(&self, identity: &Identity, id: &SessionId) -> Result<Session, Refused> {
        let caller = self.caller(identity)?;
        let session = self.0.store.session(id.clone()).await?.ok_or(Refused::NotFound("session"))?;
        if caller.reads_recording(&session) {
            Ok(session)
        } else if caller.sees_session(&session) {
            let sentence = "no `operate` rule lets you replay sessions on this connection";
            Err(Refused::Forbidden(Because::plain(sentence)))
        } else {
            Err(Refused::NotFound("session"))
        }
    }

    /// Whose recordings the caller may look into.
    ///
    /// # Errors
    /// When no policy is in force.
    pub fn replayable(&self, identity: &Identity) -> Result<Readable, Refused> {
        let caller = self.caller(identity)?;
        let connections = caller.connections(&[Operator::Replay]);
        Ok(Readable { subject: identity.subject.to_string(), connections })
    }

    /// What the caller can reach: one connection, or every one on which some grant concerns the caller.
    ///
    /// # Errors
    /// When the policy refuses the caller, or no grant of the named connection concerns the caller.
    pub fn reach(&self, identity: &Identity, connection: Option<&str>, now: Now) -> Result<Vec<Reach>, Refused> {
        let caller = self.caller(identity)?;
        let at = self.instant(now);
        let (program, subject) = (caller.program(), caller.known()?);
        let connections = &program.rules().connections;
        let mut all = Vec::new();
        for target in connections.iter().filter(|target| connection.is_none_or(|name| target.name == name)) {
            let found = program.candidates(subject, &target.name, at);
            if found.contracts.is_empty() && found.misses.is_empty() {
                continue;
            }
            let mut misses = Because::reasons(program, &found.refusals);
            misses.extend(Because::reasons(program, &found.misses));
            let contracts = if found.refusals.is_empty() { found.contracts } else { Vec::new() };
            all.push(Reach {
                connection: target.name.clone(),
                kind: target.kind,
                contracts: contracts
                    .into_iter()
                    .map(|contract| ReachContract {
                        grant: contract.grant.id.clone(),
                        permits: contract.grant.permit.iter().map(lang::protocol::Operation::id).collect(),
                        unserved: judge::unserved(program, &contract),
                        terms: Arc::unwrap_or_clone(contract.terms),
                    })
                    .collect(),
                misses,
            });
        }
        match connection {
            // A connection that does not exist and one that is out of reach look the same.
            Some(name) if all.is_empty() => {
                Err(Refused::policy(Because::plain(format!("no grant gives you access to `{name}`"))))
            }
            Some(_) | None => Ok(all),
        }
    }
}

/// Whether the caller holds a group of any approval at all.
fn decides(caller: &Caller) -> bool {
    let program = caller.program();
    let Ok(subject) = &caller.subject else { return false };
    subject.kind == SubjectKind::Human
        && program
            .rules()
            .approvals
            .iter()
            .flat_map(|approval| &approval.quorum)
            .flat_map(|line| &line.from)
            .any(|group| program.holds(subject, group))
}
