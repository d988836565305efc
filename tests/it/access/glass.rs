//! Break-glass: announced, waived, reviewed, and refused to whoever owes a review.

use super::world::{World, at, person, rules};
use enforcer::access::{Asking, Did, Filter, Refused};
use enforcer::core::id::WindowId;
use enforcer::core::identity::{Identity, SubjectKind};
use enforcer::store::{Attempt, NoticeState, Page};
use lang::time::Ttl;

fn fire() -> Asking {
    Asking {
        connection: "ledger".to_owned(),
        via: Some("fire".to_owned()),
        reason: Some("the ledger burns".to_owned()),
        ..Asking::default()
    }
}

/// The test's policy, whose break-glass tells a channel.
fn world() -> World {
    let world = World::new();
    let mut rules = rules();
    for grant in &mut rules.grants {
        if let Some(glass) = &mut grant.break_glass {
            glass.notify = vec!["security".to_owned()];
        }
    }
    world.publish(rules, "c2");
    world
}

fn open() -> Filter {
    Filter { open: true, ..Filter::default() }
}

fn sentence<T: std::fmt::Debug>(answer: Result<T, Refused>) -> String {
    answer.unwrap_err().to_string()
}

async fn broken(world: &World, who: &Identity, seconds: i64) -> WindowId {
    let outcome = world.access.request(who, fire(), None, at(seconds)).await.unwrap();
    assert_eq!(outcome.did, Did::Opened, "the approval is waived");
    outcome.window.unwrap().id
}

#[tokio::test]
async fn it_opens_at_once_by_name_only_and_is_announced_with_the_transition() {
    let world = world();
    let olga = person("olga", &["oncall"]);
    let said = sentence(world.access.request(&olga, fire(), None, at(0)).await);
    assert!(said.contains("no channel `security`"), "{said}");
    assert!(world.access.store().notices(NoticeState::Waiting, Page::first(10)).await.unwrap().is_empty());
    world.access.announce_to(["security".to_owned()]);
    let unnamed = Asking { via: None, ..fire() };
    assert!(world.access.request(&olga, unnamed, None, at(1)).await.is_err(), "by name only");
    let window = broken(&world, &olga, 2).await;
    let notices = world.access.store().notices(NoticeState::Waiting, Page::first(10)).await.unwrap();
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].kind.as_str(), notices[0].about.as_str()), ("window.broken_glass", window.as_str()));
    assert_eq!(notices[0].detail["reason"], "the ledger burns");
    let history = world.access.store().history(0, 100).await.unwrap();
    assert!(history.iter().any(|entry| entry.event == "window.broken_glass" && entry.about == window.as_str()));
}

#[tokio::test]
async fn the_review_is_for_other_people_and_counts_each_once() {
    let world = world();
    world.access.announce_to(["security".to_owned()]);
    let olga = person("olga", &["oncall"]);
    let window = broken(&world, &olga, 0).await;
    let speak = |who: Identity, concern, note: Option<&str>| {
        let (access, window, note) = (world.access.clone(), window.clone(), note.map(str::to_owned));
        async move { access.review(&who, &window, concern, note, None, at(60)).await }
    };
    assert!(sentence(speak(olga.clone(), false, None).await).contains("their own"));
    let stranger = person("x", &["devs"]);
    assert!(matches!(speak(stranger, false, None).await, Err(Refused::NotFound(_))));
    let sam = person("sam", &["security"]);
    let agent = Identity { kind: SubjectKind::Agent, ..sam.clone() };
    assert!(speak(agent, false, None).await.is_err(), "an agent reviews nothing");
    assert!(matches!(speak(sam.clone(), true, None).await, Err(Refused::Invalid(_))), "a concern says what it is");
    let listed = world.access.reviews(&sam, &open()).await.unwrap().items;
    assert_eq!((listed.len(), listed[0].1), (1, true));
    let (did, review) = speak(sam.clone(), true, Some("the runbook was not followed")).await.unwrap();
    assert_eq!((did, review.done), (Did::Reviewed, Some(at(60).wall)));
    assert!(review.verdicts[0].concern);
    assert_eq!(speak(sam, false, None).await.unwrap().0, Did::Nothing, "a word is final");
    let late = speak(person("sue", &["security"]), false, None).await;
    assert!(sentence(late).contains("done already"));
}

#[tokio::test]
async fn an_overdue_review_is_told_and_refuses_the_next_use_until_it_is_done() {
    let world = world();
    world.access.announce_to(["security".to_owned()]);
    let olga = person("olga", &["oncall"]);
    let window = broken(&world, &olga, 0).await;
    // Thirty minutes of window, sixty for the review; in that time the fire may burn on.
    let again = broken(&world, &olga, 1_900).await;
    world.access.revoke(&olga, &again, None, at(1_950)).await.unwrap();
    world.access.sweep(at(5_399)).await.unwrap();
    assert_eq!(world.access.store().notices(NoticeState::Waiting, Page::first(10)).await.unwrap().len(), 2);
    assert_eq!(world.access.reviews(&olga, &open()).await.unwrap().items[1].0.due, at(5_400).wall);
    let said = sentence(world.access.request(&olga, fire(), None, at(5_400)).await);
    assert!(said.contains("overdue"), "{said}");
    world.access.sweep(at(5_400)).await.unwrap();
    world.access.sweep(at(5_401)).await.unwrap();
    let notices = world.access.store().notices(NoticeState::Waiting, Page::first(10)).await.unwrap();
    let overdue: Vec<_> = notices.iter().filter(|notice| notice.kind == "window.review_overdue").collect();
    assert_eq!((overdue.len(), overdue[0].about.as_str()), (1, window.as_str()), "told once");
    let sam = person("sam", &["security"]);
    for id in [&window, &again] {
        world.access.review(&sam, id, false, None, None, at(5_500)).await.unwrap();
    }
    broken(&world, &olga, 5_600).await;
}

#[tokio::test]
async fn a_notice_is_leased_tried_again_and_at_last_kept_for_people() {
    let world = world();
    world.access.announce_to(["security".to_owned()]);
    broken(&world, &person("olga", &["oncall"]), 0).await;
    let store = world.access.store();
    let lease = Ttl::from_seconds(60);
    let claimed = store.claim_notices(at(1).wall, lease, 10).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert!(store.claim_notices(at(2).wall, lease, 10).await.unwrap().is_empty(), "one gateway posts it at a time");
    let id = claimed[0].id.clone();
    let again = Attempt::Again { due: at(10).wall, error: "503".to_owned() };
    store.notice_attempted(id.clone(), again).await.unwrap();
    assert!(store.claim_notices(at(9).wall, lease, 10).await.unwrap().is_empty());
    let claimed = store.claim_notices(at(10).wall, lease, 10).await.unwrap();
    assert_eq!((claimed[0].attempts, claimed[0].error.as_deref()), (1, Some("503")));
    store.notice_attempted(id.clone(), Attempt::Dead { error: "gone".to_owned() }).await.unwrap();
    let (sam, olga) = (person("sam", &["security"]), person("olga", &["oncall"]));
    assert_eq!(world.access.notices(&sam, NoticeState::Dead, &Filter::default()).await.unwrap().items.len(), 1);
    assert!(matches!(
        world.access.notices(&olga, NoticeState::Dead, &Filter::default()).await,
        Err(Refused::Forbidden(_))
    ));
    assert!(world.access.retry_notice(&olga, &id, at(20)).await.is_err());
    world.access.retry_notice(&sam, &id, at(20)).await.unwrap();
    assert!(matches!(world.access.retry_notice(&sam, &id, at(21)).await, Err(Refused::NotFound(_))));
    assert_eq!(store.claim_notices(at(20).wall, lease, 10).await.unwrap()[0].attempts, 0);
}

#[tokio::test]
async fn a_request_tells_the_channels_of_its_approvals_and_how_it_ended() {
    let world = World::new();
    let mut rules = rules();
    rules.approvals.iter_mut().for_each(|approval| approval.notify = vec!["desk".to_owned()]);
    world.publish(rules, "c2");
    let asking = Asking {
        connection: "ledger".to_owned(),
        reason: Some("totals".to_owned()),
        ticket: Some("INC-7".to_owned()),
        ..Asking::default()
    };
    let dana = person("dana", &["devs"]);
    let id = world.access.request(&dana, asking.clone(), None, at(0)).await.unwrap().request.unwrap().id;
    world.access.request(&dana, asking, None, at(1)).await.unwrap();
    let note = Some("not now".to_owned());
    world.access.deny(&person("lea", &["leads"]), &id, note, None, at(2)).await.unwrap();
    let mut told: Vec<_> = world.access.store().notices(NoticeState::Waiting, Page::first(10)).await.unwrap();
    told.reverse();
    let kinds: Vec<&str> = told.iter().map(|notice| notice.kind.as_str()).collect();
    assert_eq!(kinds, ["request.asked", "request.denied"]);
    assert_eq!(told[1].detail["note"], "not now");
}
