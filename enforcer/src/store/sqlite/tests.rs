//! What the engine itself refuses, whatever a judge says.

use super::*;
use crate::core::identity::SubjectKind;
use crate::store::{Asked, Change, Changes, EndCause, Evidence, Extension, Key, Purpose, Remember, RequestState, Vote};
use lang::program::Terms;
use lang::program::rules::{Mode, Recorded};
use lang::time::Ttl;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};

struct File(PathBuf);

impl File {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("leasehold-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder.join("state.db"))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(self.0.parent().map(std::fs::remove_dir_all));
    }
}

fn who(id: &str) -> Subject {
    Subject { idp: "dev".to_owned(), tenant: "https://issuer/\"x\"".to_owned(), id: id.to_owned() }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

fn request(n: u8) -> Request {
    let hour = Ttl::from_seconds(3600);
    Request {
        id: RequestId::from_random([n; 10]),
        asked: Asked {
            subject: who("a"),
            subject_name: None,
            kind: SubjectKind::Human,
            evidence: Evidence { kind: SubjectKind::Human, group_ids: None, claim_values: BTreeSet::new(), mfa: false },
            connection: "db".to_owned(),
            grant: "g".to_owned(),
            purpose: Purpose::Open,
            reason: None,
            ticket: None,
            lifetime: hour,
            terms: Terms {
                mode: Mode::Requested,
                lifetime: hour,
                total: hour,
                extend: 0,
                extend_by: hour,
                recorded: Recorded::Full,
                approvals: BTreeSet::new(),
                reason: false,
                tickets: BTreeSet::new(),
                mfa: false,
                cooldown: Ttl::ZERO,
                at_most: BTreeSet::new(),
            },
            binding: "b".to_owned(),
            bundle: "d".to_owned(),
            commit: "c".to_owned(),
            notify: std::collections::BTreeSet::new(),
            at: at(0),
        },
        state: RequestState::Pending,
        answer_by: at(100),
        settled: None,
        window: None,
        votes: Vec::new(),
        used: None,
    }
}

fn window(n: u8, request: &Request) -> Window {
    Window {
        id: WindowId::from_random([n; 10]),
        request: request.id.clone(),
        subject: who("a"),
        subject_name: None,
        kind: SubjectKind::Human,
        connection: "db".to_owned(),
        grant: "g".to_owned(),
        reason: None,
        ticket: None,
        binding: "b".to_owned(),
        bundle: "d".to_owned(),
        commit: "c".to_owned(),
        started: at(10),
        ends: at(1000),
        extensions: 0,
        ended: None,
    }
}

fn scope() -> Scope {
    let about = About::Account { subject: who("a"), connection: "db".to_owned() };
    Scope { about, since: at(0), key: None }
}

fn approved(request: &Request, window: &Window) -> Change {
    Change::Settle {
        request: request.id.clone(),
        state: RequestState::Approved,
        note: None,
        window: Some(window.id.clone()),
    }
}

fn commit(connection: &mut Connection, seconds: i64, list: Vec<Change>) -> Result<(), StoreError> {
    let mut changes = Changes::new(at(seconds), Some(who("a")));
    changes.list = list;
    let mut judge: Judge = Box::new(move |_| Some(changes.clone()));
    transact(connection, &scope(), &mut judge)
}

fn fresh(file: &File) -> Connection {
    let mut connection = connect_new(file);
    schema::migrate(&mut connection).unwrap();
    connection
}

fn connect_new(file: &File) -> Connection {
    drop(std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&file.0).unwrap());
    connect(&file.0).unwrap()
}

fn count(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn doubled_transitions_are_conflicts_and_change_nothing() {
    let file = File::new();
    let mut db = fresh(&file);
    let (one, two) = (request(1), request(2));
    let win = window(1, &one);
    commit(&mut db, 1, vec![Change::Ask(Box::new(one.clone()))]).unwrap();
    let conflict = |db: &mut Connection, seconds, list: Vec<Change>| {
        let before = count(db, "SELECT count(*) FROM history");
        let answer = commit(db, seconds, list);
        assert!(matches!(answer, Err(StoreError::Conflict)), "{answer:?}");
        assert_eq!(count(db, "SELECT count(*) FROM history"), before);
    };
    conflict(&mut db, 2, vec![Change::Ask(Box::new(two.clone()))]);
    let vote = |by: &str| Change::Vote {
        request: one.id.clone(),
        vote: Vote { subject: who(by), subject_name: None, kind: SubjectKind::Human, groups: Vec::new(), at: at(3) },
        answer_by: at(100),
    };
    commit(&mut db, 3, vec![vote("v")]).unwrap();
    conflict(&mut db, 4, vec![vote("v")]);
    conflict(&mut db, 100, vec![vote("w")]);
    commit(&mut db, 10, vec![approved(&one, &win), Change::Open(Box::new(win.clone()))]).unwrap();
    conflict(&mut db, 11, vec![approved(&one, &win)]);
    conflict(&mut db, 11, vec![vote("x")]);
    conflict(&mut db, 11, vec![Change::Ask(Box::new(two.clone())), Change::Open(Box::new(window(2, &two)))]);
    assert_eq!(count(&db, "SELECT count(*) FROM requests"), 1, "the first half was rolled back with the second");
    let extend = |before, from, to| {
        vec![Change::Extend(Extension { window: win.id.clone(), before, from: at(from), to: at(to) })]
    };
    conflict(&mut db, 12, extend(0, 999, 1100));
    conflict(&mut db, 12, extend(0, 1000, 1000));
    commit(&mut db, 12, extend(0, 1000, 1100)).unwrap();
    conflict(&mut db, 13, extend(0, 1000, 1200));
    conflict(&mut db, 1100, extend(1, 1100, 1200));
    commit(&mut db, 14, vec![Change::End { window: win.id.clone(), cause: EndCause::Revoked }]).unwrap();
    conflict(&mut db, 15, vec![Change::End { window: win.id.clone(), cause: EndCause::Returned }]);
    conflict(&mut db, 15, extend(1, 1100, 1200));
    commit(&mut db, 16, vec![Change::Ask(Box::new(two.clone()))]).unwrap();
    conflict(&mut db, 17, vec![Change::Open(Box::new(window(2, &one)))]);
    let back = Change::Settle { request: two.id.clone(), state: RequestState::Pending, note: None, window: None };
    conflict(&mut db, 17, vec![back]);
}

#[test]
fn a_transaction_that_dies_before_its_commit_leaves_nothing() {
    let file = File::new();
    let mut db = fresh(&file);
    let one = request(1);
    let win = window(1, &one);
    let list = vec![Change::Ask(Box::new(one.clone())), approved(&one, &win), Change::Open(Box::new(win.clone()))];
    for _ in 0..3 {
        let mut dying = connect(&file.0).unwrap();
        let mut changes = Changes::new(at(10), None);
        changes.list.clone_from(&list);
        let mut judge: Judge = Box::new(move |_| Some(changes.clone()));
        let transaction = dying.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        assert!(apply_judged(&transaction, &scope(), &mut judge).unwrap());
        drop(transaction);
        drop(dying);
        assert_eq!(count(&db, "SELECT count(*) FROM requests"), 0);
        assert_eq!(count(&db, "SELECT count(*) FROM history"), 0);
    }
    commit(&mut db, 10, list).unwrap();
    assert_eq!(count(&db, "SELECT count(*) FROM windows"), 1);
}

#[test]
fn history_and_votes_cannot_be_rewritten() {
    let file = File::new();
    let mut db = fresh(&file);
    commit(&mut db, 1, vec![Change::Ask(Box::new(request(1)))]).unwrap();
    for sql in [
        "UPDATE history SET at = 0",
        "DELETE FROM history",
        "INSERT INTO votes (request, person, vote) SELECT id, 'p', '{}' FROM requests; DELETE FROM votes",
    ] {
        assert!(db.execute_batch(sql).is_err(), "{sql}");
    }
}

#[test]
fn the_file_is_private_and_a_newer_one_is_left_alone() {
    let file = File::new();
    std::fs::write(&file.0, b"").unwrap();
    std::fs::set_permissions(&file.0, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(Sqlite::open(&file.0).unwrap());
    for entry in std::fs::read_dir(file.0.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    connect(&file.0).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Sqlite::open(&file.0), Err(StoreError::Newer { found: 99, known: 3 })));
}

#[test]
fn a_key_is_remembered_for_its_subject_until_it_is_swept() {
    let file = File::new();
    let mut db = fresh(&file);
    let key = Key { subject: who("a"), key: "k".to_owned(), digest: "d".to_owned() };
    let keyed = Scope { key: Some(key), ..scope() };
    let mut changes = Changes::new(at(1), None);
    changes.remember = Some(Remember { answer: "{}".to_owned() });
    let mut judge: Judge = Box::new(move |account| account.remembered.is_none().then(|| changes.clone()));
    transact(&mut db, &keyed, &mut judge).unwrap();
    transact(&mut db, &keyed, &mut judge).unwrap();
    assert_eq!(read::account(&db, &keyed).unwrap().remembered, Some(("d".to_owned(), "{}".to_owned())));
    assert_eq!(apply::sweep(&db, at(86_400)).unwrap().keys, 0);
    assert_eq!(apply::sweep(&db, at(86_402)).unwrap().keys, 1);
}
