//! Requests for one statement of a live session: to whom they are bound, and that an approval is used once.

use super::world::{World, active, approval, at, minutes, person, rules};
use enforcer::access::{Did, Refused};
use enforcer::api::held::Statement;
use enforcer::core::event::Opened;
use enforcer::core::hold::{Held, HoldAnswer, HoldId, Named, Parameter, Shown};
use enforcer::core::id::{RequestId, SessionId};
use enforcer::core::identity::Identity;
use enforcer::core::machine::{Cause, Now};
use enforcer::store::{Request, RequestState};
use lang::program::rules::{RuleId, RuleKind};
use std::collections::BTreeSet;
use std::sync::Arc;

fn session(n: u8) -> SessionId {
    SessionId::from_random([n; 10])
}

fn held(who: &Identity, digest: &str, until: Now) -> Held {
    Held {
        hold: HoldId(1),
        shown: Shown {
            text: "execute p (1)".to_owned(),
            named: vec![Named { name: "p".to_owned(), text: "alter table t add c text".to_owned() }],
            parameters: vec![Parameter::Text("secret".to_owned())],
        },
        digest: digest.to_owned(),
        accesses: vec!["ddl.alter public.t".to_owned()],
        reviews: BTreeSet::from([(RuleId::new(RuleKind::Guard, "g"), "solo".to_owned())]),
        until: until.wall,
        in_transaction: false,
        identity: Arc::new(who.clone()),
        connection: "logs".to_owned(),
        grant: "logs-standing".to_owned(),
    }
}

async fn live(world: &World, who: &Identity, id: &SessionId) {
    let opened = Opened {
        session: id.clone(),
        gateway: "gw-1".to_owned(),
        subject: who.subject.clone(),
        subject_name: None,
        kind: "human".to_owned(),
        groups: Vec::new(),
        connection: "logs".to_owned(),
        protocol: "postgres".to_owned(),
        grant: "logs-standing".to_owned(),
        request: None,
        window: None,
        ends: at(3600).wall,
        recorded: "full".to_owned(),
        bundle: String::new(),
        commit: String::new(),
        reason: None,
        ticket: None,
        client_user: "x".to_owned(),
        application_name: None,
        trace: None,
        peer: "127.0.0.1:9".to_owned(),
    };
    world.access.session_opened(&opened, at(0)).await.unwrap();
}

async fn asked(world: &World, who: &Identity, n: u8, digest: &str) -> Request {
    world.access.hold(&session(n), &held(who, digest, at(600)), at(1)).await.unwrap()
}

async fn word(world: &World, id: &RequestId, n: u8, digest: &str, seconds: i64) -> Option<HoldAnswer> {
    world.access.word(id, &session(n), digest, at(seconds)).await.unwrap()
}

async fn events(world: &World) -> Vec<String> {
    let history = world.access.store().history(0, 100).await.unwrap();
    history.into_iter().map(|entry| entry.event).filter(|event| event.starts_with("request.")).collect()
}

fn refused(answer: Option<HoldAnswer>) -> String {
    match answer {
        Some(HoldAnswer::Refused { sentence }) => sentence,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn values_are_for_whoever_sent_or_decides_them() {
    let world = World::new();
    let mut own = rules();
    own.approvals[1] = approval("solo", true, &[(1, &["leads"])], minutes(60));
    world.publish(own, "c2");
    let dana = person("dana", &["devs"]);
    live(&world, &dana, &session(1)).await;
    let request = asked(&world, &dana, 1, "d1").await;
    for (who, values) in [(&dana, 1), (&person("lea", &["leads"]), 1), (&person("sam", &["security"]), 0)] {
        let caller = world.access.caller(who).unwrap();
        assert!(caller.sees_request(&request, at(2).wall));
        let shown = Statement::of(&caller, &request).unwrap();
        assert_eq!((shown.text.as_str(), shown.parameters.len()), ("execute p (1)", values), "{}", who.subject.id);
    }
}

#[tokio::test]
async fn an_approval_is_for_one_statement_of_one_session_once() {
    let world = World::new();
    let dana = person("dana", &["devs", "leads"]);
    live(&world, &dana, &session(1)).await;
    live(&world, &dana, &session(2)).await;
    let one = asked(&world, &dana, 1, "d1").await;
    // Another session of the same person and grant waits beside it; asking again is the same request.
    let two = asked(&world, &dana, 2, "d1").await;
    assert_ne!(one.id, two.id);
    assert_eq!(asked(&world, &dana, 1, "d1").await.id, one.id);
    assert_eq!(word(&world, &one.id, 1, "d1", 2).await, None);
    let own = world.access.approve(&dana, &one.id, None, None, at(2)).await;
    assert!(own.unwrap_err().to_string().contains("nobody decides their own"));
    let lea = person("lea", &["leads"]);
    let outcome = world.access.approve(&lea, &one.id, Some(one.asked.binding.clone()), None, at(3)).await.unwrap();
    assert_eq!(outcome.did, Did::Released);
    assert!(refused(word(&world, &one.id, 2, "d1", 4).await).contains("another statement or session"));
    assert!(refused(word(&world, &one.id, 1, "d2", 4).await).contains("another statement or session"));
    let released = HoldAnswer::Released { request: one.id.clone(), by: vec!["lea".to_owned()] };
    assert_eq!(word(&world, &one.id, 1, "d1", 5).await, Some(released));
    assert!(refused(word(&world, &one.id, 1, "d1", 6).await).contains("used already"));
    let after = world.access.store().request(one.id.clone()).await.unwrap().unwrap();
    assert_eq!((after.state, after.used), (RequestState::Approved, Some(at(5).wall)));
    assert_eq!(
        events(&world).await,
        ["request.asked", "request.asked", "request.vote", "request.approved", "request.used"]
    );
}

#[tokio::test]
async fn only_one_of_many_callers_uses_an_approval() {
    let world = World::new();
    let dana = person("dana", &["devs"]);
    live(&world, &dana, &session(1)).await;
    let one = asked(&world, &dana, 1, "d1").await;
    world.access.approve(&person("lea", &["leads"]), &one.id, None, None, at(2)).await.unwrap();
    let (other, ..) = world.other("gw-2");
    let words = (0..20).map(|n| {
        let access = if n % 2 == 0 { world.access.clone() } else { other.clone() };
        let (id, session) = (one.id.clone(), session(1));
        async move { access.word(&id, &session, "d1", at(3)).await.unwrap() }
    });
    let words = futures_util::future::join_all(words).await;
    let released = |word: &&Option<HoldAnswer>| matches!(word, Some(HoldAnswer::Released { .. }));
    assert_eq!(words.iter().filter(released).count(), 1, "{words:?}");
}

#[tokio::test]
async fn a_session_that_is_over_uses_nothing_and_its_request_is_taken_back() {
    let world = World::new();
    let dana = person("dana", &["devs"]);
    live(&world, &dana, &session(1)).await;
    live(&world, &dana, &session(2)).await;
    let one = asked(&world, &dana, 1, "d1").await;
    world.access.approve(&person("lea", &["leads"]), &one.id, None, None, at(2)).await.unwrap();
    world.access.session_closed(&session(1), Cause::Client, "gone", at(3)).await.unwrap();
    assert!(refused(word(&world, &one.id, 1, "d1", 4).await).contains("used already"));
    // The gateway was killed while the other one waited.
    let two = asked(&world, &dana, 2, "d2").await;
    assert_eq!(world.access.close_orphans(at(5)).await.unwrap(), 1);
    let late = world.access.approve(&person("lea", &["leads"]), &two.id, None, None, at(6)).await;
    assert!(matches!(late, Err(Refused::NotFound(_) | Refused::State(_))), "{late:?}");
}

#[tokio::test]
async fn other_terms_need_another_word() {
    let world = World::new();
    let dana = person("dana", &["devs"]);
    live(&world, &dana, &session(1)).await;
    let one = asked(&world, &dana, 1, "d1").await;
    // An unrelated merge changes nothing.
    let mut unrelated = rules();
    unrelated.grants.retain(|grant| grant.id != "orders");
    world.publish(unrelated, "c2");
    assert_eq!(asked(&world, &dana, 1, "d1").await.id, one.id);
    world.access.approve(&person("lea", &["leads"]), &one.id, None, None, at(2)).await.unwrap();
    // Who approves changes between the word and its use.
    let mut other = rules();
    other.approvals[1] = approval("solo", true, &[(1, &["security"])], minutes(60));
    world.publish(other.clone(), "c3");
    assert!(refused(word(&world, &one.id, 1, "d1", 3).await).contains("terms changed"));
    let two = asked(&world, &dana, 1, "d1").await;
    assert_ne!(two.id, one.id);
    // And before it: what was shown is asked for again, and the old request cannot be approved.
    world.publish(rules(), "c4");
    let stale = world.access.approve(&person("sam", &["security"]), &two.id, None, None, at(4)).await;
    assert!(stale.unwrap_err().to_string().contains("no longer those that were shown"));
    let three = asked(&world, &dana, 1, "d1").await;
    let two = world.access.store().request(two.id).await.unwrap().unwrap();
    assert_eq!((two.state, three.state), (RequestState::Superseded, RequestState::Pending));
    drop(active(other, "c5"));
}

#[tokio::test]
async fn denial_lapse_and_withdrawal_are_final() {
    let world = World::new();
    let dana = person("dana", &["devs"]);
    live(&world, &dana, &session(1)).await;
    let one = asked(&world, &dana, 1, "d1").await;
    let lea = person("lea", &["leads"]);
    world.access.deny(&lea, &one.id, Some("not today".to_owned()), None, at(2)).await.unwrap();
    assert!(refused(word(&world, &one.id, 1, "d1", 3).await).contains("not today"));
    let two = asked(&world, &dana, 1, "d1").await;
    assert_eq!(two.answer_by, at(600).wall, "the session waits no longer");
    assert!(refused(word(&world, &two.id, 1, "d1", 600).await).contains("in time"));
    let three = world.access.hold(&session(1), &held(&dana, "d1", at(900)), at(601)).await.unwrap();
    world.access.give_up(&three.id, "the client left", at(602)).await.unwrap();
    world.access.give_up(&three.id, "once more", at(603)).await.unwrap();
    assert!(refused(word(&world, &three.id, 1, "d1", 604).await).contains("the client left"));
    assert!(world.access.approve(&lea, &three.id, None, None, at(605)).await.is_err());
}
