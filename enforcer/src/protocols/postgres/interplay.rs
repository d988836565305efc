//! What the sessions of one gateway use and change of a target's definitions at the same time.
//!
//! A target reads a statement when it gets to it, which may be long after it was judged: it waits for a lock, or stands
//! behind another one in its message. So no statement begins that uses a relation while another session changes what its
//! name leads to, and no change is shown to others while such a statement is under way. Whoever cannot begin waits outside,
//! with no lock at the target.
//!
//! Synchronous; time is an argument. It must never let two begin that may not meet, whichever comes first.

use super::classify::QualifiedName;
use super::wire::server::TransactionStatus;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
pub struct Wanted<'n> {
    /// The relations that its statements use, however far; `None` where no verdict rests on definitions.
    pub uses: Option<Vec<&'n QualifiedName>>,
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
        let number = {
            let mut own = lock(&connection);
            own.joined += 1;
            let number = own.joined;
            own.members.insert(number, Doing::default());
            number
        };
        Member { connection, number, busy: false }
    }

    /// How many changes of definitions have ended on a connection.
    pub fn made(&self, connection: &str) -> u64 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(connection).map_or(0, |connection| lock(connection).made)
    }
}

#[derive(Debug, Default)]
struct Connection {
    joined: u64,
    /// How many changes have ended.
    made: u64,
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
    uses: BTreeSet<QualifiedName>,
    /// Those that statements before them used in the same transaction, so that the target keeps their definitions for it.
    held: BTreeSet<QualifiedName>,
    change: Option<Change>,
    /// The session is over: until when the target may still do what was under way, in milliseconds of the monotonic clock.
    left_until_mono_ms: Option<u64>,
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    // A panic while it was held leaves it whole: what stays marked stays closed.
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One session's part.
#[derive(Debug)]
pub struct Member {
    connection: Arc<Mutex<Connection>>,
    number: u64,
    /// Whether anything stands to its name.
    busy: bool,
}

impl Member {
    /// How many changes of definitions have ended on the connection.
    pub fn made(&self) -> u64 {
        lock(&self.connection).made
    }

    /// Whether statements under way use these relations already: no change that concerned them has ended since.
    pub fn uses(&self, names: &[QualifiedName]) -> bool {
        let all = lock(&self.connection);
        all.members
            .get(&self.number)
            .is_some_and(|own| own.under_way && names.iter().all(|name| own.uses.contains(name)))
    }

    /// Begins what is wanted.
    ///
    /// # Errors
    /// When it cannot stand beside what another session does; nothing has begun then.
    pub fn enter(&mut self, wanted: &Wanted<'_>) -> Result<(), Conflict> {
        let mut all = lock(&self.connection);
        let all = &mut *all;
        all.forget(wanted.now_mono_ms);
        if let Some(conflict) = all.conflict(self.number, wanted) {
            return Err(conflict);
        }
        let own = all.members.entry(self.number).or_default();
        self.busy = true;
        for name in wanted.uses.iter().flatten() {
            own.under_way = true;
            if !own.uses.contains(*name) {
                own.uses.insert((*name).clone());
            }
        }
        own.under_way |= wanted.uses.is_some();
        if let Some(change) = &wanted.change {
            all.changing += usize::from(own.change.is_none());
            own.change.get_or_insert_default().add(change);
        }
        Ok(())
    }

    /// The target has answered: all that was sent (`alone`), or with more to come. `defines`: that changes definitions.
    pub fn settle(&mut self, status: TransactionStatus, alone: bool, defines: bool) {
        if !self.busy {
            return;
        }
        let mut all = lock(&self.connection);
        let Some(own) = all.members.get_mut(&self.number) else { return };
        if alone {
            own.under_way = false;
            if status == TransactionStatus::Open {
                own.held.append(&mut own.uses);
            } else {
                own.uses.clear();
                own.held.clear();
            }
        }
        let ended = status == TransactionStatus::Idle && !defines && own.change.take().is_some();
        if let Some(change) = &mut own.change {
            change.shown &= !alone;
        }
        self.busy = own.under_way || own.change.is_some() || !own.held.is_empty();
        all.end(ended);
    }

    /// The session is over; what it had under way is cancelled, and gone by then.
    pub fn leave(&mut self, until_mono_ms: u64) {
        let mut all = lock(&self.connection);
        if let Some(own) = all.members.get_mut(&self.number)
            && (own.under_way || own.change.is_some())
        {
            own.left_until_mono_ms = Some(until_mono_ms);
            all.leaving += 1;
        }
    }

    /// Locks of relations may have been given up: a savepoint was gone back to.
    pub fn release(&mut self) {
        if self.busy
            && let Some(own) = lock(&self.connection).members.get_mut(&self.number)
        {
            own.held.clear();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut all = lock(&self.connection);
        if all.members.get(&self.number).is_some_and(|own| own.left_until_mono_ms.is_none()) {
            let own = all.members.remove(&self.number);
            all.end(own.is_some_and(|own| own.change.is_some()));
        }
    }
}

impl Connection {
    /// A session's part is over, or a change of it: whether it `changed` definitions.
    fn end(&mut self, changed: bool) {
        if changed {
            self.changing = self.changing.saturating_sub(1);
            self.made += 1;
        }
    }

    /// Forgets what sessions left behind that is gone by now.
    fn forget(&mut self, now_mono_ms: u64) {
        if self.leaving == 0 {
            return;
        }
        let gone = |doing: &Doing| doing.left_until_mono_ms.is_some_and(|until| until <= now_mono_ms);
        let all = self.members.iter().filter(|(_, doing)| gone(doing));
        for number in all.map(|(number, _)| *number).collect::<Vec<_>>() {
            let own = self.members.remove(&number);
            self.leaving = self.leaving.saturating_sub(1);
            self.end(own.is_some_and(|own| own.change.is_some()));
        }
    }

    fn conflict(&self, number: u64, wanted: &Wanted<'_>) -> Option<Conflict> {
        let own = self.members.get(&number)?;
        let others = || self.members.iter().filter(|(other, _)| **other != number).map(|(_, doing)| doing);
        if let Some(uses) = &wanted.uses
            && self.changing > usize::from(own.change.is_some())
        {
            let mut changes = others().filter_map(|other| other.change.as_ref());
            let kept = |name: &QualifiedName| own.uses.contains(name) || own.held.contains(name);
            let conflict = changes.find_map(|change| {
                let name = uses.iter().find(|name| change.concerns(name) && !kept(name));
                let unnamed = change.anything && change.shown && !own.under_way;
                (name.is_some() || unnamed).then(|| Conflict::Changed(name.map(|name| (*name).clone())))
            });
            if conflict.is_some() {
                return conflict;
            }
        }
        let known = |uses: &Vec<&QualifiedName>| own.under_way && uses.iter().all(|name| own.uses.contains(*name));
        if wanted.made.is_some_and(|made| made != self.made) && !wanted.uses.as_ref().is_some_and(known) {
            return Some(Conflict::Changed(None));
        }
        let change = wanted.change.as_ref()?;
        let mut all = own.change.clone().unwrap_or_default();
        all.add(change);
        if !all.shown || own.change.as_ref() == Some(&all) {
            return None;
        }
        let mut under_way = others().filter(|other| other.under_way);
        under_way.find_map(|other| {
            let name = other.uses.iter().find(|name| all.concerns(name));
            (name.is_some() || all.anything).then(|| Conflict::Used(name.cloned()))
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
        member.enter(&Wanted { uses: Some(vec![&name(relation)]), ..Wanted::default() })
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
        assert_eq!(changes(&mut one, change("t", true)), Ok(()), "the target makes it wait");
        assert_eq!(uses(&mut other, "t"), Ok(()));
        other.settle(Open, true, false);
        other.release();
        assert!(uses(&mut other, "t").is_err(), "a savepoint gave its lock up");
        drop(one);
        assert_eq!(uses(&mut other, "t"), Ok(()));
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
            let name = name(relation);
            member.enter(&Wanted { uses: Some(vec![&name]), made: Some(made), ..Wanted::default() })
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
        other.leave(100);
        drop(other);
        let at = |now_mono_ms| Wanted { change: Some(change("t", true)), now_mono_ms, ..Wanted::default() };
        assert_eq!(one.enter(&at(99)), Err(Conflict::Used(Some(name("t")))));
        assert_eq!(one.enter(&at(100)), Ok(()));
        one.leave(200);
        drop(one);
        let mut third = interplay.join("c");
        assert_eq!((uses(&mut third, "t").is_err(), third.made()), (true, 0));
        third.enter(&Wanted { now_mono_ms: 200, ..Wanted::default() }).unwrap();
        assert_eq!((uses(&mut third, "t"), third.made()), (Ok(()), 1));
    }
}
