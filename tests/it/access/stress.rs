//! Many at once, two gateways over one file, and a process that dies in the middle: never two transitions.

use super::world::{World, agent, at, minutes, opened, person, rules, to};
use enforcer::access::{Access, Asking, Did, Filter, Refused};
use enforcer::core::id::{RequestId, SessionId};
use enforcer::core::identity::Identity;
use enforcer::store::RequestState;
use futures_util::future::join_all;

fn solo() -> Asking {
    Asking { connection: "ledger".to_owned(), ..Asking::default() }
}

async fn asked(access: &Access, who: &Identity) -> RequestId {
    access.request(who, solo(), None, at(0)).await.unwrap().request.unwrap().id
}

async fn windows_of(world: &World, who: &Identity) -> usize {
    world.access.windows(who, &Filter::default(), at(10)).await.unwrap().items.len()
}

#[tokio::test]
async fn fifty_approvers_at_once_open_one_window() {
    let world = World::new();
    let (other, ..) = world.other("gw-2");
    let lead = person("lea", &["leads"]);
    let id = asked(&world.access, &lead).await;
    let approvers: Vec<Identity> = (0..50).map(|n| person(&format!("p{n}"), &["leads", "security"])).collect();
    let calls = approvers.iter().enumerate().map(|(n, who)| {
        let access = if n % 2 == 0 { &world.access } else { &other };
        access.approve(who, &id, None, None, at(5))
    });
    let outcomes: Vec<Did> = join_all(calls).await.into_iter().map(|outcome| outcome.unwrap().did).collect();
    assert_eq!(outcomes.iter().filter(|did| **did == Did::Opened).count(), 1);
    assert_eq!(outcomes.iter().filter(|did| **did == Did::Nothing).count(), 49);
    let request = world.access.one_request(&lead, &id, at(6)).await.unwrap();
    assert_eq!((request.state, request.votes.len()), (RequestState::Approved, 1));
    assert_eq!(windows_of(&world, &lead).await, 1);
}

#[tokio::test]
async fn a_large_quorum_is_filled_exactly() {
    let world = World::new();
    let mut many = rules();
    many.approvals[1].quorum[0].count = 20;
    world.publish(many, "c2");
    let lead = person("lea", &["leads"]);
    let id = asked(&world.access, &lead).await;
    let approvers: Vec<Identity> = (0..50).map(|n| person(&format!("p{}", n % 25), &["leads"])).collect();
    let calls = approvers.iter().map(|who| world.access.approve(who, &id, None, None, at(5)));
    let dids: Vec<Did> = join_all(calls).await.into_iter().filter_map(Result::ok).map(|outcome| outcome.did).collect();
    assert_eq!(dids.iter().filter(|did| **did == Did::Counted).count(), 19);
    assert_eq!(dids.iter().filter(|did| **did == Did::Opened).count(), 1);
    assert_eq!(world.access.one_request(&lead, &id, at(6)).await.unwrap().votes.len(), 20);
}

#[tokio::test]
async fn the_same_wish_from_two_gateways_opens_one_window() {
    let world = World::new();
    let (other, ..) = world.other("gw-2");
    let bot = agent("bot");
    let asking = || Asking { connection: "logs".to_owned(), ..Asking::default() };
    let calls = (0..40).map(|n| {
        let access = if n % 2 == 0 { &world.access } else { &other };
        access.request(&bot, asking(), None, at(0))
    });
    let outcomes: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.did == Did::Opened).count(), 1);
    let ids: std::collections::BTreeSet<_> = outcomes.into_iter().map(|outcome| outcome.window.unwrap().id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(windows_of(&world, &bot).await, 1);
}

#[tokio::test]
async fn approving_and_withdrawing_at_once_has_one_winner() {
    for round in 0..20 {
        let world = World::new();
        let (other, ..) = world.other("gw-2");
        let lead = person("lea", &["leads"]);
        let id = asked(&world.access, &lead).await;
        let sam = person("sam", &["security"]);
        let approve = other.approve(&sam, &id, None, None, at(1));
        let withdraw = world.access.withdraw(&lead, &id, None, at(1));
        let (approved, withdrawn) = if round % 2 == 0 {
            tokio::join!(approve, withdraw)
        } else {
            let (withdrawn, approved) = tokio::join!(withdraw, approve);
            (approved, withdrawn)
        };
        assert!(approved.is_ok() != withdrawn.is_ok(), "{approved:?} {withdrawn:?}");
        let state = world.access.one_request(&lead, &id, at(2)).await.unwrap().state;
        let open = world.access.open_windows(&lead.subject, "ledger", at(2)).await.unwrap().len();
        match state {
            RequestState::Approved => assert_eq!(open, 1),
            RequestState::Withdrawn => assert_eq!(open, 0),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn revoking_beats_extending_or_comes_after_it_but_always_ends_the_window() {
    let world = World::new();
    let (other, ..) = world.other("gw-2");
    let dev = person("dana", &["devs"]);
    let olga = person("olga", &["oncall"]);
    for round in 0..20 {
        let now = at(round * 10);
        let asking = Asking { connection: "long".to_owned(), reason: Some("r".to_owned()), ..Asking::default() };
        let window = world.access.request(&dev, asking, None, now).await.unwrap().window.unwrap();
        let facts = opened(&SessionId::parse(&format!("ses_00000000000000{round:02}")).unwrap(), &window);
        let (extended, revoked, session) = tokio::join!(
            world.access.extend(&dev, &window.id, None, None, now),
            other.revoke(&olga, &window.id, None, now),
            world.access.session_opened(&facts, now),
        );
        assert!(revoked.is_ok());
        if let Err(refused) = session {
            assert!(matches!(refused, Refused::State(_)), "{refused:?}");
        }
        drop(extended);
        assert!(world.access.open_windows(&dev.subject, "long", now).await.unwrap().is_empty());
        assert!(world.access.extend(&dev, &window.id, None, None, now).await.is_err());
    }
}

#[tokio::test]
async fn an_at_most_holds_under_a_storm_over_two_grants_and_two_gateways() {
    let world = World::new();
    let (other, _, _, publisher) = world.other("gw-2");
    let mut many = rules();
    for n in 0..6 {
        let mut paced = super::world::grant(&format!("g{n}"), "paced", &["devs"], minutes(10));
        paced.at_most = Some(lang::program::rules::AtMost { count: 2, per: minutes(600) });
        paced.to = to(&["devs"]);
        many.grants.push(paced);
    }
    world.publish(many.clone(), "c2");
    publisher.update(|state| state.active = Some(super::world::active(many, "c2")));
    let dev = person("dana", &["devs"]);
    let calls = (0..24).map(|n| {
        let access = if n % 2 == 0 { &world.access } else { &other };
        let asking = Asking { connection: "paced".to_owned(), via: Some(format!("g{}", n % 6)), ..Asking::default() };
        access.request(&dev, asking, None, at(0))
    });
    let outcomes = join_all(calls).await;
    let opened = outcomes.iter().flatten().filter(|outcome| outcome.did == Did::Opened).count();
    assert_eq!(opened, 2);
    assert_eq!(windows_of(&world, &dev).await, 2);
}

/// The child of the next test: opens windows until it is killed.
#[tokio::test]
async fn child_that_opens_windows() {
    let Ok(file) = std::env::var("LEASEHOLD_TEST_STORE") else { return };
    let store = std::sync::Arc::new(enforcer::store::sqlite::Sqlite::open(std::path::Path::new(&file)).unwrap());
    let (publisher, policy) = enforcer::gateway::policy::channel();
    publisher.update(|state| state.active = Some(super::world::active(rules(), "c1")));
    let access = Access::new(store, policy, enforcer::gateway::live::Live::default(), "child");
    for n in 0..1_000_000 {
        let asking = Asking { connection: "logs".to_owned(), ..Asking::default() };
        access.request(&agent(&format!("bot{n}")), asking, None, at(0)).await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_process_leaves_whole_transitions() {
    let world = World::new();
    let file = world.folder.path().join("state.db");
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["access::stress::child_that_opens_windows", "--exact", "--nocapture"])
        .env("LEASEHOLD_TEST_STORE", &file)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let auditor = person("sam", &["security"]);
    for _ in 0..600 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let one = Filter { limit: Some(200), ..Filter::default() };
        if world.access.windows(&auditor, &one, at(1)).await.unwrap().items.len() >= 25 {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let db = rusqlite::Connection::open(&file).unwrap();
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let windows = count("SELECT count(*) FROM windows");
    assert!(windows >= 25, "{windows}");
    assert_eq!(count("SELECT count(*) FROM requests WHERE state = 'approved'"), windows);
    assert_eq!(count("SELECT count(*) FROM requests"), windows);
    assert_eq!(count("SELECT count(*) FROM history WHERE event = 'window.opened'"), windows);
    assert_eq!(count("SELECT count(DISTINCT subject) FROM windows"), windows);
    assert_eq!(db.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
}
