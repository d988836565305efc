//! What the sessions of one gateway use and change of a target's definitions at the same time.
//!
//! A target reads a statement when it gets to it, which may be long after it was judged: it waits for a lock, or stands
//! behind another one in its message. So no statement begins that uses a relation while another session changes what its
//! name leads to, and no change is shown to others while such a statement is under way. Whoever cannot begin waits outside,
//! with no lock at the target.
//!
//! Synchronous; time is an argument. It must never let two begin that may not meet, whichever comes first.

use super::classify::{QualifiedName, Used};
use super::wire::server::TransactionStatus;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How long what a session had under way counts after its end, in milliseconds: the target was told to cancel it.
const CANCELLED_MS: u64 = 5_000;

/// A change of definitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Relations whose names come to lead elsewhere, or whose columns do.
    pub relations: BTreeSet<QualifiedName>,
    /// Whether it concerns what a statement may use without naming it: routines, types, operators, casts.
    pub anything: bool,
    /// Whether others see it as soon as the message has run: outside a transaction, or at its end.
    pub shown: bool,
}

impl Change {
    fn add(&mut self, other: &Self) {
        self.relations.extend(other.relations.iter().cloned());
        self.anything |= other.anything;
        self.shown |= other.shown;
    }

    /// Whether it concerns a relation, or the one without a name, which stands for any.
    fn concerns(&self, name: &QualifiedName) -> bool {
        self.relations.contains(name) || name.1.is_empty() && !self.relations.is_empty()
    }
}

/// What a message wants to begin.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The relations that its statements use, however far; `None` where no verdict rests on definitions.
    pub uses: Option<Vec<Used>>,
    /// What they change.
    pub change: Option<Change>,
    /// How many changes had ended when the definitions were read by which they were judged; `None` where that matters not.
    pub made: Option<u64>,
    /// Now, in milliseconds of the monotonic clock.
    pub now_mono_ms: u64,
}

/// Why a message cannot begin; with the relation, where it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Another session changes what it uses, or has since it was judged.
    Changed(Option<QualifiedName>),
    /// Other sessions use what it changes.
    Used(Option<QualifiedName>),
}

/// The sessions of all connections.
#[derive(Debug, Default)]
pub struct Interplay(Mutex<HashMap<String, Arc<Mutex<Connection>>>>);

impl Interplay {
    /// A session begins on a connection; it is over when this is dropped.
    pub fn join(&self, connection: &str) -> Member {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = Arc::clone(all.entry(connection.to_owned()).or_default());
        drop(all);
        let (number, made) = {
            let mut own = lock(&connection);
            own.joined += 1;
            let number = own.joined;
            own.members.insert(number, Doing::default());
            (number, Arc::clone(&own.made))
        };
        Member { connection, made, number, busy: false, changes: false, latest: None }
    }

    /// How many changes of definitions have ended on a connection.
    pub fn made(&self, connection: &str) -> u64 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(connection).map_or(0, |connection| lock(connection).made())
    }
}

#[derive(Debug, Default)]
struct Connection {
    joined: u64,
    /// How many changes have ended; written under the lock only.
    made: Arc<AtomicU64>,
    /// How many are under way.
    changing: usize,
    /// How many sessions are over and may have left something behind that still runs.
    leaving: usize,
    members: BTreeMap<u64, Doing>,
}

/// What one session does.
#[derive(Debug, Default)]
struct Doing {
    /// Statements whose verdicts rest on definitions are under way.
    under_way: bool,
    /// The relations that they use.
    uses: Names,
    /// Those that statements before them used in the same transaction, so that the target keeps their definitions for it.
    held: Names,
    change: Option<Change>,
    /// The session is over, and the target may still do what was under way.
    over: bool,
    /// Until when, in milliseconds of the monotonic clock; set by the first who asks after the end.
    over_until_mono_ms: Option<u64>,
}

/// Names of relations, as statements use them together; each adds one at least, so that their number is bounded by that of
/// the relations.
#[derive(Debug, Default)]
struct Names(Vec<Used>);

impl Names {
    fn iter(&self) -> impl Iterator<Item = &QualifiedName> {
        self.0.iter().flat_map(|used| used.iter())
    }

    fn contains(&self, name: &QualifiedName) -> bool {
        self.0.iter().any(|used| used.binary_search(name).is_ok())
    }

    fn contain_all(&self, names: &Used) -> bool {
        self.0.iter().any(|used| Arc::ptr_eq(used, names)) || names.iter().all(|name| self.contains(name))
    }

    fn add(&mut self, names: &Used) {
        if !self.contain_all(names) {
            self.0.push(Arc::clone(names));
        }
    }
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    // A panic while it was held leaves it whole: what stays marked stays closed.
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One session's part.
#[derive(Debug)]
pub struct Member {
    connection: Arc<Mutex<Connection>>,
    made: Arc<AtomicU64>,
    number: u64,
    /// Whether anything stands to its name.
    busy: bool,
    /// Whether a change of definitions does.
    changes: bool,
    /// What it began to use last, while that is under way.
    latest: Option<Used>,
}

impl Member {
    /// How many changes of definitions have ended on the connection.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Acquire)
    }

    /// Whether a change of definitions of its own is under way.
    pub fn changes(&self) -> bool {
        self.changes
    }

    /// Whether statements under way use these relations already: no change that concerned them has ended since.
    pub fn uses(&self, names: &Used) -> bool {
        let own = |own: &Doing| own.under_way && own.uses.contain_all(names);
        self.has_just_begun(names) || lock(&self.connection).members.get(&self.number).is_some_and(own)
    }

    /// The same, as far as it is known without the others: of what was begun last.
    pub fn has_just_begun(&self, names: &Used) -> bool {
        self.latest.as_ref().is_some_and(|latest| Arc::ptr_eq(latest, names))
    }

    /// Begins what is wanted.
    ///
    /// # Errors
    /// When it cannot stand beside what another session does; nothing has begun then.
    pub fn enter(&mut self, wanted: &Wanted) -> Result<(), Conflict> {
        let mut all = lock(&self.connection);
        let all = &mut *all;
        all.forget(wanted.now_mono_ms);
        if let Some(conflict) = all.conflict(self.number, wanted) {
            return Err(conflict);
        }
        let own = all.members.entry(self.number).or_default();
        self.busy = true;
        if let Some(uses) = &wanted.uses {
            own.under_way = true;
            for names in uses {
                own.uses.add(names);
            }
            self.latest = uses.last().cloned();
        }
        if let Some(change) = &wanted.change {
            self.changes = true;
            all.changing += usize::from(own.change.is_none());
            own.change.get_or_insert_default().add(change);
        }
        Ok(())
    }

    /// The target has answered: all that was sent (`alone`), or with more to come. `shows`: that shows others new definitions.
    pub fn settle(&mut self, status: TransactionStatus, alone: bool, shows: bool) {
        if !self.busy {
            return;
        }
        let mut all = lock(&self.connection);
        let Some(own) = all.members.get_mut(&self.number) else { return };
        if alone {
            self.latest = None;
            own.under_way = false;
            if status == TransactionStatus::Open {
                own.uses.0.drain(..).for_each(|names| own.held.add(&names));
            } else {
                own.uses.0.clear();
                own.held.0.clear();
            }
        }
        let ended = status == TransactionStatus::Idle && !shows && own.change.take().is_some();
        // COMMIT AND CHAIN shows what was changed, and leaves a transaction open.
        let chained = match &mut own.change {
            Some(change) => !shows && std::mem::take(&mut change.shown),
            None => false,
        };
        self.changes = own.change.is_some();
        self.busy = own.under_way || self.changes || !own.held.0.is_empty();
        if chained {
            all.made.fetch_add(1, Ordering::Release);
        }
        all.end(ended);
    }

    /// Locks of relations may have been given up: a savepoint was gone back to.
    pub fn release(&mut self) {
        if self.busy
            && let Some(own) = lock(&self.connection).members.get_mut(&self.number)
        {
            own.held.0.clear();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut all = lock(&self.connection);
        match all.members.get_mut(&self.number) {
            Some(own) if own.under_way || own.change.is_some() => {
                own.over = true;
                all.leaving += 1;
            }
            Some(_) | None => drop(all.members.remove(&self.number)),
        }
    }
}

impl Connection {
    fn made(&self) -> u64 {
        self.made.load(Ordering::Acquire)
    }

    /// A session's part is over, or a change of it: whether it `changed` definitions.
    fn end(&mut self, changed: bool) {
        if changed {
            self.changing = self.changing.saturating_sub(1);
            self.made.fetch_add(1, Ordering::Release);
        }
    }

    /// Forgets what sessions left behind that is gone by now.
    fn forget(&mut self, now_mono_ms: u64) {
        if self.leaving == 0 {
            return;
        }
        let gone = |doing: &mut Doing| {
            let until = now_mono_ms.saturating_add(CANCELLED_MS);
            doing.over && *doing.over_until_mono_ms.get_or_insert(until) <= now_mono_ms
        };
        let all = self.members.iter_mut().filter_map(|(number, doing)| gone(doing).then_some(number));
        for number in all.copied().collect::<Vec<_>>() {
            let own = self.members.remove(&number);
            self.leaving = self.leaving.saturating_sub(1);
            self.end(own.is_some_and(|own| own.change.is_some()));
        }
    }

    fn conflict(&self, number: u64, wanted: &Wanted) -> Option<Conflict> {
        let own = self.members.get(&number)?;
        let others = || self.members.iter().filter(|(other, _)| **other != number).map(|(_, doing)| doing);
        if let Some(uses) = &wanted.uses
            && self.changing > usize::from(own.change.is_some())
        {
            let mut changes = others().filter_map(|other| other.change.as_ref());
            let conflict = changes.find_map(|change| {
                // What is held keeps nobody from making a trigger: it does not change before that is shown.
                let kept = |name: &QualifiedName| own.uses.contains(name) || !change.shown && own.held.contains(name);
                let mut names = uses.iter().flat_map(|used| used.iter());
                let name = names.find(|name| change.concerns(name) && !kept(name));
                let unnamed = change.anything && change.shown && !own.under_way;
                (name.is_some() || unnamed).then(|| Conflict::Changed(name.cloned()))
            });
            if conflict.is_some() {
                return conflict;
            }
        }
        let known = |uses: &Vec<Used>| own.under_way && uses.iter().all(|names| own.uses.contain_all(names));
        if wanted.made.is_some_and(|made| made != self.made()) && !wanted.uses.as_ref().is_some_and(known) {
            return Some(Conflict::Changed(None));
        }
        let change = wanted.change.as_ref()?;
        let mut all = own.change.clone().unwrap_or_default();
        all.add(change);
        if !all.shown || own.change.as_ref() == Some(&all) {
            return None;
        }
        others().find_map(|other| {
            let name = other.uses.iter().chain(other.held.iter()).find(|name| all.concerns(name));
            (name.is_some() || all.anything && other.under_way).then(|| Conflict::Used(name.cloned()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TransactionStatus::{Idle, Open};

    fn name(name: &str) -> QualifiedName {
        ("public".into(), name.into())
    }

    fn change(relation: &str, shown: bool) -> Change {
        Change { relations: BTreeSet::from([name(relation)]), anything: false, shown }
    }

    fn uses(member: &mut Member, relation: &str) -> Result<(), Conflict> {
        member.enter(&Wanted { uses: Some(vec![[name(relation)].into()]), ..Wanted::default() })
    }

    fn changes(member: &mut Member, change: Change) -> Result<(), Conflict> {
        member.enter(&Wanted { change: Some(change), ..Wanted::default() })
    }

    #[test]
    fn a_relation_is_not_used_while_another_session_changes_it() {
        let interplay = Interplay::default();
        let (mut one, mut other) = (interplay.join("c"), interplay.join("c"));
        changes(&mut one, change("t", false)).unwrap();
        assert_eq!(uses(&mut other, "t"), Err(Conflict::Changed(Some(name("t")))));
        assert_eq!(uses(&mut other, "u"), Ok(()));
        assert_eq!(uses(&mut interplay.join("d"), "t"), Ok(()), "another connection");
        one.settle(Open, true, false);
        assert_eq!((one.made(), uses(&mut other, "t").is_err()), (0, true), "the transaction is open");
        one.settle(Idle, true, false);
        assert_eq!((one.made(), uses(&mut other, "t")), (1, Ok(())));
    }

    #[test]
    fn a_change_is_not_shown_while_another_session_uses_it() {
        let interplay = Interplay::default();
        let (mut one, mut other) = (interplay.join("c"), interplay.join("c"));
        uses(&mut other, "t").unwrap();
        assert_eq!(changes(&mut one, change("t", true)), Err(Conflict::Used(Some(name("t")))));
        assert_eq!(changes(&mut one, change("t", false)), Ok(()), "in a transaction it is not shown yet");
        one.settle(Open, true, false);
        let ends = Change { shown: true, ..Change::default() };
        assert_eq!(changes(&mut one, ends.clone()), Err(Conflict::Used(Some(name("t")))));
        other.settle(Idle, true, false);
        assert_eq!(changes(&mut one, ends), Ok(()));
    }

    #[test]
    fn what_a_transaction_has_used_it_may_go_on_using() {
        let interplay = Interplay::default();
        let (mut one, mut other) = (interplay.join("c"), interplay.join("c"));
        uses(&mut other, "t").unwrap();
        other.settle(Open, true, false);
        assert_eq!(changes(&mut one, change("t", true)), Err(Conflict::Used(Some(name("t")))));
        assert_eq!(changes(&mut one, change("t", false)), Ok(()), "the target makes it wait");
        assert_eq!(uses(&mut other, "t"), Ok(()));
        other.settle(Open, true, false);
        other.release();
        assert!(uses(&mut other, "t").is_err(), "a savepoint gave its lock up");
        one.settle(Idle, true, false);
        assert_eq!(uses(&mut other, "t"), Ok(()));
    }

    #[test]
    fn what_a_commit_shows_is_known_though_its_session_goes_on() {
        let interplay = Interplay::default();
        let (mut one, other) = (interplay.join("c"), interplay.join("c"));
        changes(&mut one, Change { anything: true, ..Change::default() }).unwrap();
        one.settle(Open, true, false);
        assert_eq!(other.made(), 0);
        changes(&mut one, Change { shown: true, ..Change::default() }).unwrap();
        one.settle(Open, false, true);
        assert_eq!(other.made(), 0, "the COMMIT is not answered");
        one.settle(Open, true, false);
        assert_eq!(other.made(), 1, "COMMIT AND CHAIN");
    }

    #[test]
    fn a_routine_is_made_between_statements() {
        let interplay = Interplay::default();
        let (mut one, mut other) = (interplay.join("c"), interplay.join("c"));
        let routine = |shown| Change { anything: true, shown, ..Change::default() };
        uses(&mut other, "t").unwrap();
        assert_eq!(changes(&mut one, routine(true)), Err(Conflict::Used(None)));
        other.settle(Open, true, false);
        assert_eq!(changes(&mut one, routine(false)), Ok(()));
        assert_eq!(uses(&mut other, "t"), Ok(()), "nobody sees it yet");
        other.settle(Idle, true, false);
        changes(&mut one, routine(true)).unwrap();
        assert_eq!(uses(&mut other, "u"), Err(Conflict::Changed(None)));
    }

    #[test]
    fn what_was_judged_by_older_definitions_does_not_begin() {
        let interplay = Interplay::default();
        let (mut one, mut other) = (interplay.join("c"), interplay.join("c"));
        let begin = |member: &mut Member, made, relation| {
            member.enter(&Wanted { uses: Some(vec![[name(relation)].into()]), made: Some(made), ..Wanted::default() })
        };
        begin(&mut other, 0, "t").unwrap();
        changes(&mut one, change("u", true)).unwrap();
        one.settle(Idle, true, false);
        assert_eq!(begin(&mut other, 0, "t"), Ok(()), "nothing that concerns it can have changed");
        assert_eq!(begin(&mut other, 0, "u"), Err(Conflict::Changed(None)));
        assert_eq!(begin(&mut other, 1, "u"), Ok(()));
    }

    #[test]
    fn what_a_session_left_behind_counts_until_it_is_gone() {
        let interplay = Interplay::default();
        let (mut one, mut other) = (interplay.join("c"), interplay.join("c"));
        uses(&mut other, "t").unwrap();
        drop(other);
        let at = |now_mono_ms| Wanted { change: Some(change("t", true)), now_mono_ms, ..Wanted::default() };
        assert_eq!(one.enter(&at(90)), Err(Conflict::Used(Some(name("t")))));
        assert_eq!(one.enter(&at(89 + CANCELLED_MS)), Err(Conflict::Used(Some(name("t")))));
        assert_eq!(one.enter(&at(90 + CANCELLED_MS)), Ok(()));
        drop(one);
        let mut third = interplay.join("c");
        assert_eq!((uses(&mut third, "t").is_err(), third.made()), (true, 0));
        third.enter(&Wanted { now_mono_ms: CANCELLED_MS, ..Wanted::default() }).unwrap();
        assert_eq!((uses(&mut third, "t"), third.made()), (Ok(()), 1));
    }
}
