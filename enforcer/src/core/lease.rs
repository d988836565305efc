//! A session's lease: who, under which grant and window, until when, judged by which program.
//!
//! The lease is the only place that decides whether a session may go on. Everything that changes (a new program,
//! a newer token, an extension) passes through it, and what it cannot prove any more ends the session.

use super::active::Active;
use super::event::Opened;
use super::id::{RequestId, WindowId};
use super::identity::{Identity, SubjectKind};
use super::machine::{Cause, Close, Now};
use lang::program::rules::{Connection, Grant, Mode, Recorded};
use lang::program::{Access, Asserted, Beyond, Judgement, Program, Reason, Subject, Terms, Verdict};
use lang::protocol::Operation;
use lang::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The window that a session runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowFacts {
    /// The window.
    pub id: WindowId,
    /// The grant that it belongs to.
    pub grant: String,
    /// For whom it opened: an agent that acts for a person bears the person's key, and has windows of its own.
    pub kind: SubjectKind,
    /// The request that opened it.
    pub request: Option<RequestId>,
    /// When it opened.
    pub opened: Timestamp,
    /// Its absolute end.
    pub ends: Timestamp,
    /// Approvals that were given for it.
    pub approvals: BTreeSet<String>,
    /// The reason that was given.
    pub reason: Option<String>,
    /// The ticket that was given.
    pub ticket: Option<String>,
}

/// A session's lease.
#[derive(Debug)]
pub struct Lease {
    active: Arc<Active>,
    identity: Arc<Identity>,
    subject: Subject,
    connection: String,
    grant: String,
    window: Option<WindowFacts>,
    started: Timestamp,
    ends: Timestamp,
    recorded: Recorded,
}

/// Why no lease was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Every reason.
    pub reasons: Vec<Reason>,
    /// One sentence that leads, with the way out.
    pub sentence: String,
}

impl Refused {
    fn because(reasons: Vec<Reason>) -> Self {
        let sentence = reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Self { reasons, sentence }
    }

    fn saying(sentence: impl Into<String>) -> Self {
        Self { reasons: Vec::new(), sentence: sentence.into() }
    }
}

/// The subject that an identity is under a program.
///
/// # Errors
/// With every reason: missing group evidence, a group of another kind, disjoint groups.
pub fn subject_of(program: &Program, identity: &Identity) -> Result<Subject, Vec<Reason>> {
    program.subject(&Asserted {
        idp: &identity.subject.idp,
        kind: identity.kind,
        group_ids: identity.group_ids.as_ref(),
        claim_values: &identity.claim_values,
        mfa: identity.mfa,
    })
}

impl Lease {
    /// Gives a lease at connect time: the grant named, else the only open window or standing grant.
    ///
    /// # Errors
    /// When nothing or more than one thing matches, or the policy refuses.
    pub fn open(
        active: Arc<Active>,
        identity: Arc<Identity>,
        connection: &str,
        via: Option<&str>,
        windows: &[WindowFacts],
        now: Timestamp,
    ) -> Result<Self, Refused> {
        let subject = subject_of(&active.program, &identity).map_err(Refused::because)?;
        let candidates = active.program.candidates(&subject, connection, now);
        if !candidates.refusals.is_empty() {
            return Err(Refused::because(candidates.refusals));
        }
        let mut choices: Vec<(String, Arc<Terms>, Option<WindowFacts>)> = Vec::new();
        let mut requestable = Vec::new();
        for contract in candidates.contracts {
            let id = contract.grant.id.clone();
            if via.is_some_and(|via| via != id) {
                continue;
            }
            match contract.terms.mode {
                Mode::Standing => choices.push((id, contract.terms, None)),
                Mode::Requested => {
                    let window = windows
                        .iter()
                        .find(|w| w.grant == id && w.kind == subject.kind && w.opened <= now && now < w.ends);
                    match window {
                        Some(window) => choices.push((id, contract.terms, Some(window.clone()))),
                        None => requestable.push(id),
                    }
                }
            }
        }
        if choices.len() > 1 {
            let ids: Vec<String> = choices.into_iter().map(|(id, ..)| id).collect();
            let sentence = format!(
                "you hold several kinds of access to `{connection}`: name one as the database, for example `{connection}/{}` (they are: {})",
                ids.first().map_or("", String::as_str),
                ids.join(", ")
            );
            return Err(Refused::saying(sentence));
        }
        let Some((grant, terms, window)) = choices.pop() else {
            return Err(no_choice(connection, via, &requestable, candidates.misses));
        };
        let ends = match &window {
            Some(window) => window.ends,
            None => identity.expires_at,
        };
        let mut lease = Self {
            active,
            identity,
            subject,
            connection: connection.to_owned(),
            grant,
            window,
            started: now,
            ends,
            recorded: terms.recorded,
        };
        lease.hold(&terms, now).map_err(|close| Refused::saying(close.sentence))?;
        Ok(lease)
    }

    /// Checks that the lease's own facts satisfy the terms, and brings its end forward where they demand it.
    fn hold(&mut self, terms: &Terms, now: Timestamp) -> Result<(), Close> {
        let policy = |sentence: String| Err(Close { cause: Cause::Policy, sentence });
        let Some(grant) = self.active.program.grant(&self.grant) else {
            return policy(format!("the policy no longer has the grant `{}`", self.grant));
        };
        if terms.mfa && !self.identity.mfa {
            return policy("the policy requires multi-factor authentication, and the token does not prove it".into());
        }
        if terms.recorded > self.recorded {
            return policy("the policy now records more of such sessions; connect again".into());
        }
        let (from, most) = match &self.window {
            None if terms.mode == Mode::Requested => {
                return policy(format!(
                    "`{}` must now be requested: leasehold request {}",
                    self.grant, self.connection
                ));
            }
            None => (self.started, terms.lifetime),
            Some(window) => {
                let missing: Vec<&str> = terms.approvals.difference(&window.approvals).map(String::as_str).collect();
                if !missing.is_empty() {
                    return policy(format!(
                        "the policy now requires an approval that was not given: {}",
                        missing.join(", ")
                    ));
                }
                if terms.reason && window.reason.is_none() {
                    return policy("the policy now requires a reason; ask again with one".into());
                }
                let ticket = window.ticket.as_deref().unwrap_or("");
                if terms.tickets.iter().any(|e| !self.active.program.ticket_matches(e, ticket)) {
                    return policy("the policy now requires another ticket; ask again with one".into());
                }
                // An extended window may last as long as the terms allow in total, never longer.
                (window.opened, terms.total)
            }
        };
        let bound = self.active.program.window_end(&self.subject, grant, &self.connection, from, most);
        let hours = self.active.program.window_end(&self.subject, grant, &self.connection, now, most);
        self.ends = self.ends.min(bound).min(hours);
        if self.window.is_none() {
            self.ends = self.ends.min(self.identity.expires_at);
        }
        if self.ends <= now {
            return Err(self.over());
        }
        Ok(())
    }

    /// Judges the session anew under a program and an identity.
    fn reauthorise(&mut self, now: Timestamp, cause: Cause) -> Result<(), Close> {
        let refuse = |reasons: Vec<Reason>| Close { cause, sentence: Refused::because(reasons).sentence };
        let subject = subject_of(&self.active.program, &self.identity).map_err(refuse)?;
        self.subject = subject;
        let candidates = self.active.program.candidates(&self.subject, &self.connection, now);
        if !candidates.refusals.is_empty() {
            return Err(refuse(candidates.refusals));
        }
        let terms = candidates.contracts.into_iter().find(|c| c.grant.id == self.grant).map(|c| c.terms);
        if let Some(terms) = terms {
            return self.hold(&terms, now).map_err(|close| Close { cause, ..close });
        }
        let concerns = |miss: &Reason| miss.rule.as_ref().is_none_or(|rule| rule.name == self.grant);
        let misses: Vec<Reason> = candidates.misses.into_iter().filter(concerns).collect();
        let sentence = if misses.is_empty() {
            format!("the policy no longer grants you `{}`", self.grant)
        } else {
            Refused::because(misses).sentence
        };
        Err(Close { cause, sentence })
    }

    /// Goes on under another program, or says why not.
    ///
    /// # Errors
    /// When the session is no longer permitted, or the connection's target changed.
    pub fn on_program(&mut self, active: &Arc<Active>, now: Timestamp) -> Result<(), Close> {
        let before = Arc::clone(&self.active);
        self.active = Arc::clone(active);
        match (before.program.connection(&self.connection), active.program.connection(&self.connection)) {
            (Some(old), Some(new)) if same_target(old, new) => {}
            (_, Some(_)) => {
                let sentence = format!("the policy changed where `{}` leads; connect again", self.connection);
                return Err(Close { cause: Cause::Policy, sentence });
            }
            (_, None) => {
                let sentence = format!("the policy no longer has the connection `{}`", self.connection);
                return Err(Close { cause: Cause::Policy, sentence });
            }
        }
        self.reauthorise(now, Cause::Policy)
    }

    /// Takes note of a newer token of the subject; an older one changes nothing.
    ///
    /// # Errors
    /// When the session is not permitted to what the newer token says.
    pub fn on_identity(&mut self, identity: &Arc<Identity>, now: Timestamp) -> Result<(), Close> {
        if identity.subject != self.identity.subject
            || identity.kind != self.identity.kind
            || identity.issued_at <= self.identity.issued_at
        {
            return Ok(());
        }
        let expires_at = self.identity.expires_at;
        self.identity = Arc::clone(identity);
        self.reauthorise(now, Cause::Identity)?;
        if self.window.is_none() {
            // A standing session ends with the token that opened it: a newer one is news, not a renewal.
            self.ends = self.ends.min(expires_at);
        }
        Ok(())
    }

    /// The window's end moved.
    pub fn on_extended(&mut self, ends: Timestamp, now: Timestamp) -> Result<(), Close> {
        if let Some(window) = &mut self.window {
            window.ends = ends;
            self.ends = ends;
        }
        self.reauthorise(now, Cause::Policy)
    }

    /// How the session's grant judges a statement or request now.
    pub fn judge(&self, accesses: &[Access], beyond: &[Beyond], now: Timestamp) -> Judgement {
        match self.active.program.grant(&self.grant) {
            Some(grant) => {
                let reaching = (accesses, beyond);
                self.active.program.judge_reaching(&self.subject, grant, &self.connection, reaching, now, false)
            }
            None => Judgement {
                verdict: Verdict::Denied(vec![Reason::new(None, lang::program::Why::NoSuchGrant(self.grant.clone()))]),
                limits: lang::program::StatementLimits::default(),
                masks: Vec::new(),
            },
        }
    }

    /// Whether what the lease permits depends on what names lead to: a scope, a guard, or routines that do not run.
    pub fn asks_for_definitions(&self) -> bool {
        self.names_objects()
            || self.active.program.has_guards(&self.connection).0
            || self.grant().is_none_or(|grant| !grant.permit.contains(Operation::Call))
    }

    /// Whether the grant or a guard names tables. A grant of `*.*` has every object, whatever a name leads to.
    fn names_objects(&self) -> bool {
        let everything = |tables: &[String]| tables.is_empty() || tables.iter().any(|pattern| pattern == "*.*");
        self.active.program.has_guards(&self.connection).1
            || self.grant().is_none_or(|grant| !everything(&grant.scope.tables))
    }

    /// The end of the lease at this instant, as a close.
    pub fn over(&self) -> Close {
        let what = if self.window.is_some() { "window" } else { "session" };
        Close {
            cause: Cause::WindowEnd,
            sentence: format!(
                "the {what} for `{}` ended at {}; ask again: leasehold request {}",
                self.connection, self.ends, self.connection
            ),
        }
    }

    /// Milliseconds of the monotonic clock at which the lease ends.
    pub fn ends_mono_ms(&self, now: Now) -> u64 {
        now.mono_ms.saturating_add(self.ends.ms_since(now.wall))
    }

    /// The absolute end.
    pub fn ends(&self) -> Timestamp {
        self.ends
    }

    /// The program in force for the session.
    pub fn active(&self) -> &Arc<Active> {
        &self.active
    }

    /// Who.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The subject under the program.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The connection's name.
    pub fn connection(&self) -> &str {
        &self.connection
    }

    /// The connection as the program has it.
    pub fn target(&self) -> Option<&Connection> {
        self.active.program.connection(&self.connection)
    }

    /// The grant's id.
    pub fn grant_id(&self) -> &str {
        &self.grant
    }

    /// The grant as the program has it.
    pub fn grant(&self) -> Option<&Grant> {
        self.active.program.grant(&self.grant)
    }

    /// The window; none for a standing grant.
    pub fn window(&self) -> Option<&WindowFacts> {
        self.window.as_ref()
    }

    /// How much is recorded.
    pub fn recorded(&self) -> Recorded {
        self.recorded
    }

    /// The first entry of the session's recording.
    pub fn opened(&self, session: super::id::SessionId, gateway: &str, client: ClientFacts) -> Opened {
        Opened {
            session,
            gateway: gateway.to_owned(),
            subject: self.identity.subject.clone(),
            subject_name: self.identity.name.clone(),
            kind: self.subject.kind.word().to_owned(),
            groups: self.active.program.group_names(&self.subject),
            connection: self.connection.clone(),
            protocol: self.target().map_or("", |target| target.kind.word()).to_owned(),
            grant: self.grant.clone(),
            request: self.window.as_ref().and_then(|window| window.request.clone()),
            window: self.window.as_ref().map(|window| window.id.clone()),
            ends: self.ends,
            recorded: self.recorded.word().to_owned(),
            bundle: self.active.digest.clone(),
            commit: self.active.commit.clone(),
            reason: self.window.as_ref().and_then(|window| window.reason.clone()),
            ticket: self.window.as_ref().and_then(|window| window.ticket.clone()),
            client_user: client.user,
            application_name: client.application_name,
            trace: client.trace,
            peer: client.peer,
        }
    }
}

/// What the client says of itself; recorded, never trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFacts {
    /// The start-up user.
    pub user: String,
    /// The application's name.
    pub application_name: Option<String>,
    /// A trace id.
    pub trace: Option<String>,
    /// The address.
    pub peer: String,
}

fn same_target(old: &Connection, new: &Connection) -> bool {
    old.kind == new.kind
        && old.address == new.address
        && old.database == new.database
        && old.credential == new.credential
        && old.tls == new.tls
        && old.masking == new.masking
}

fn no_choice(connection: &str, via: Option<&str>, requestable: &[String], misses: Vec<Reason>) -> Refused {
    match requestable {
        [] if misses.is_empty() => Refused::saying(match via {
            Some(via) => format!("`{via}` is not a grant that you hold on `{connection}`"),
            None => format!("no grant gives you access to `{connection}`"),
        }),
        [] => Refused::because(misses),
        [_] => Refused::saying(format!(
            "you have no open window for `{connection}`; ask first: leasehold request {connection}"
        )),
        several => Refused::saying(format!(
            "you have no open window for `{connection}`; ask first: leasehold request {connection} --via GRANT (you may ask for: {})",
            several.join(", ")
        )),
    }
}
