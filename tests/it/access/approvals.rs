//! Approvals: who counts, what an approval binds to, deadlines.

use super::world::{World, agent, approval, at, minutes, person, rules, who};
use enforcer::access::{Asking, Did, Filter, Outcome, Refused};
use enforcer::core::id::{RequestId, WindowId};
use enforcer::core::identity::{Identity, SubjectKind};
use enforcer::store::RequestState;

fn ledger() -> Asking {
    Asking {
        connection: "ledger".to_owned(),
        reason: Some("wrong totals".to_owned()),
        ticket: Some("INC-7".to_owned()),
        ..Asking::default()
    }
}

async fn asked(world: &World, requester: &Identity) -> RequestId {
    let outcome = world.access.request(requester, ledger(), None, at(0)).await.unwrap();
    assert_eq!(outcome.did, Did::Asked);
    outcome.request.unwrap().id
}

async fn approve(world: &World, who: &Identity, id: &RequestId, seconds: i64) -> Result<Outcome, Refused> {
    world.access.approve(who, id, None, None, at(seconds)).await
}

fn sentence<T: std::fmt::Debug>(answer: Result<T, Refused>) -> String {
    answer.unwrap_err().to_string()
}

#[tokio::test]
async fn two_people_open_a_window_whose_time_begins_with_the_approval() {
    let world = World::new();
    let dev = person("dana", &["devs"]);
    let id = asked(&world, &dev).await;
    assert!(world.access.open_windows(&dev.subject, "ledger", at(1)).await.unwrap().is_empty());
    let first = approve(&world, &person("lea", &["leads"]), &id, 60).await.unwrap();
    assert_eq!(first.did, Did::Counted);
    let second = approve(&world, &person("sam", &["security"]), &id, 120).await.unwrap();
    assert_eq!(second.did, Did::Opened);
    let window = second.window.unwrap();
    assert_eq!((window.started, window.ends), (at(120).wall, at(120 + 3600).wall));
    assert_eq!(window.reason.as_deref(), Some("wrong totals"));
    // A second approval of an approved request changes nothing.
    let again = approve(&world, &person("sam", &["security"]), &id, 200).await.unwrap();
    assert_eq!((again.did, again.window.unwrap().ends), (Did::Nothing, window.ends));
    let late = approve(&world, &person("lars", &["leads"]), &id, 200).await.unwrap();
    assert_eq!((late.did, late.request.unwrap().votes.len()), (Did::Nothing, 2));
    let deny = world.access.deny(&person("lars", &["leads"]), &id, None, None, at(201)).await;
    assert!(sentence(deny).contains("approved already"));
}

#[tokio::test]
async fn asking_again_returns_the_waiting_request() {
    let world = World::new();
    let dev = person("dana", &["devs"]);
    let id = asked(&world, &dev).await;
    let again = world
        .access
        .request(&dev, Asking { reason: Some("other words".to_owned()), ..ledger() }, None, at(60))
        .await
        .unwrap();
    let request = again.request.unwrap();
    assert_eq!((again.did, &request.id, request.answer_by), (Did::Nothing, &id, at(1800).wall));
    assert_eq!(request.asked.reason.as_deref(), Some("wrong totals"));
}

#[tokio::test]
async fn one_person_in_both_groups_fills_one_place() {
    let world = World::new();
    let id = asked(&world, &person("dana", &["devs"])).await;
    let both = person("bea", &["leads", "security"]);
    assert_eq!(approve(&world, &both, &id, 1).await.unwrap().did, Did::Counted);
    assert_eq!(approve(&world, &both, &id, 2).await.unwrap().did, Did::Nothing);
    // She came as either; whoever comes next takes the place that is left.
    assert_eq!(approve(&world, &person("lea", &["leads"]), &id, 3).await.unwrap().did, Did::Opened);
}

#[tokio::test]
async fn a_place_that_is_filled_takes_nobody_else() {
    let world = World::new();
    let id = asked(&world, &person("dana", &["devs"])).await;
    approve(&world, &person("lea", &["leads"]), &id, 1).await.unwrap();
    assert!(sentence(approve(&world, &person("lars", &["leads"]), &id, 2).await).contains("others must still"));
    let request = world.access.one_request(&person("sam", &["security"]), &id, at(3)).await.unwrap();
    assert_eq!(request.votes.len(), 1);
}

#[tokio::test]
async fn one_approver_in_two_groups_completes_a_quorum_of_one() {
    let world = World::new();
    let lead = person("lea", &["leads"]);
    let fix = Asking { connection: "ledger".to_owned(), ..Asking::default() };
    let id = world.access.request(&lead, fix, None, at(0)).await.unwrap().request.unwrap().id;
    assert_eq!(approve(&world, &person("bea", &["leads", "security"]), &id, 1).await.unwrap().did, Did::Opened);
}

#[tokio::test]
async fn an_approval_is_used_once() {
    let world = World::new();
    let dev = person("dana", &["devs"]);
    let (lea, sam) = (person("lea", &["leads"]), person("sam", &["security"]));
    let window = open_ledger(&world, &dev).await;
    world.access.revoke(&dev, &window, None, at(60)).await.unwrap();
    // The same wish, under the same terms, after the same people said yes to it before.
    let again = world.access.request(&dev, ledger(), None, at(120)).await.unwrap();
    let request = again.request.unwrap();
    assert_eq!((again.did, request.votes.len()), (Did::Asked, 0));
    assert!(world.access.open_windows(&dev.subject, "ledger", at(121)).await.unwrap().is_empty());
    assert_eq!(approve(&world, &lea, &request.id, 130).await.unwrap().did, Did::Counted);
    assert_eq!(approve(&world, &lea, &request.id, 131).await.unwrap().did, Did::Nothing);
    assert_eq!(approve(&world, &sam, &request.id, 132).await.unwrap().did, Did::Opened);
    assert_eq!(approve(&world, &sam, &request.id, 133).await.unwrap().did, Did::Nothing);
}

#[tokio::test]
async fn the_requester_cannot_approve_under_any_alias() {
    let world = World::new();
    let lead = person("lea", &["leads", "devs"]);
    let fix = Asking { connection: "ledger".to_owned(), via: Some("ledger-fix".to_owned()), ..Asking::default() };
    let id = world.access.request(&lead, fix, None, at(0)).await.unwrap().request.unwrap().id;
    assert!(sentence(approve(&world, &lead, &id, 1).await).contains("nobody decides their own request"));
    let mut renamed = lead.clone();
    renamed.name = Some("somebody else".to_owned());
    renamed.group_ids = Some(["security".to_owned()].into());
    assert!(approve(&world, &renamed, &id, 2).await.is_err());
    let mut rules = rules();
    rules.groups.iter_mut().filter(|group| group.name == "security").for_each(|group| group.idp = "dev2".to_owned());
    world.publish(rules, "c2");
    let mut other_idp = renamed.clone();
    other_idp.subject.idp = "dev2".to_owned();
    assert!(sentence(approve(&world, &other_idp, &id, 3).await).contains("nobody decides their own request"));
    assert!(world.access.deny(&lead, &id, None, None, at(4)).await.is_err());
}

#[tokio::test]
async fn agents_services_and_strangers_learn_nothing() {
    let world = World::new();
    let id = asked(&world, &person("dana", &["devs"])).await;
    let mut rules = rules();
    rules.approvals[0].quorum.iter_mut().for_each(|line| {
        line.from.extend(["agents".to_owned(), "runners".to_owned()]);
    });
    for caller in
        [agent("bot"), who("svc", SubjectKind::Service, &["runners"]), person("eve", &["devs"]), person("x", &[])]
    {
        assert!(matches!(approve(&world, &caller, &id, 1).await, Err(Refused::NotFound(_))), "{caller:?}");
    }
    // Not even when the policy names their groups: only people approve.
    world.publish(rules, "c2");
    for caller in [agent("bot"), who("svc", SubjectKind::Service, &["runners"])] {
        assert!(matches!(approve(&world, &caller, &id, 1).await, Err(Refused::NotFound(_))), "{caller:?}");
        assert!(world.access.requests(&caller, &Filter::default(), at(1)).await.unwrap().items.is_empty());
    }
}

#[tokio::test]
async fn approvers_see_what_they_may_decide_and_no_more() {
    let world = World::new();
    let id = asked(&world, &person("dana", &["devs"])).await;
    let lead = person("lea", &["leads"]);
    let list = async |who: &Identity, seconds| {
        world.access.requests(who, &Filter::default(), at(seconds)).await.unwrap().items.len()
    };
    assert_eq!(list(&lead, 1).await, 1);
    assert_eq!(list(&person("olga", &["oncall"]), 1).await, 0);
    world.access.deny(&lead, &id, Some("not today".to_owned()), None, at(2)).await.unwrap();
    assert_eq!(list(&lead, 3).await, 0, "decided: no longer the approver's business");
    assert_eq!(list(&person("sam", &["security"]), 3).await, 1, "`operate … requests` sees it still");
    let own = world.access.one_request(&person("dana", &["devs"]), &id, at(3)).await.unwrap();
    assert_eq!((own.state, own.settled.unwrap().note.as_deref()), (RequestState::Denied, Some("not today")));
}

#[tokio::test]
async fn nobody_answers_and_the_request_lapses() {
    let world = World::new();
    let dev = person("dana", &["devs"]);
    let id = asked(&world, &dev).await;
    let lead = person("lea", &["leads"]);
    approve(&world, &lead, &id, 1_799).await.unwrap();
    assert!(sentence(approve(&world, &person("sam", &["security"]), &id, 1_800).await).contains("lapsed"));
    assert!(sentence(world.access.deny(&lead, &id, None, None, at(1_800)).await).contains("lapsed"));
    let request = world.access.one_request(&dev, &id, at(1_800)).await.unwrap();
    assert_eq!(request.state_at(at(1_800).wall), RequestState::Lapsed);
    // Asking anew makes a new request, whether or not the sweeper came by.
    let next = world.access.request(&dev, ledger(), None, at(1_801)).await.unwrap();
    assert_eq!(next.did, Did::Asked);
    assert_ne!(next.request.unwrap().id, id);
    let old = world.access.one_request(&dev, &id, at(1_801)).await.unwrap();
    assert_eq!(old.state, RequestState::Lapsed);
    assert!(old.settled.unwrap().by.is_none(), "time decided");
}

#[tokio::test]
async fn each_approval_has_its_own_deadline() {
    let world = World::new();
    let mut rules = rules();
    rules.approvals.push(approval("quick", true, &[(1, &["leads"])], minutes(5)));
    rules.grants.iter_mut().filter(|grant| grant.id == "ledger-fix").for_each(|grant| {
        grant.approvals = vec!["quick".to_owned(), "solo".to_owned()];
    });
    rules.approvals[1].quorum[0].from = vec!["security".to_owned()];
    world.publish(rules, "c2");
    let lead = person("lea", &["leads"]);
    let fix = Asking { connection: "ledger".to_owned(), ..Asking::default() };
    let request = world.access.request(&lead, fix, None, at(0)).await.unwrap().request.unwrap();
    assert_eq!(request.answer_by, at(300).wall);
    let counted = approve(&world, &person("lars", &["leads"]), &request.id, 299).await.unwrap();
    assert_eq!(counted.request.unwrap().answer_by, at(3_600).wall, "what is missing may take its own time");
    assert_eq!(approve(&world, &person("sam", &["security"]), &request.id, 3_599).await.unwrap().did, Did::Opened);
}

#[tokio::test]
async fn an_approval_binds_to_what_was_shown() {
    for change in 0..5 {
        let world = World::new();
        let id = asked(&world, &person("dana", &["devs"])).await;
        let mut rules = rules();
        let ledger = rules.grants.iter_mut().find(|grant| grant.id == "ledger-read").unwrap();
        match change {
            0 => ledger.lifetime = minutes(90),
            1 => ledger.permit = lang::protocol::ConnectionKind::Postgres.resolve("write").unwrap(),
            2 => ledger.reveal = vec!["pii.email".to_owned()],
            3 => rules.approvals[0].quorum[0].count = 2,
            _ => rules.grants.retain(|grant| grant.id != "ledger-read"),
        }
        world.publish(rules, "c2");
        let said = sentence(approve(&world, &person("lea", &["leads"]), &id, 1).await);
        assert!(said.contains("no longer"), "{change}: {said}");
        if change < 4 {
            let again = world.access.request(&person("dana", &["devs"]), super::approvals::ledger(), None, at(2)).await;
            let again = again.unwrap();
            assert_eq!(again.did, Did::Asked, "{change}");
            assert_ne!(again.request.unwrap().id, id);
            let old = world.access.one_request(&person("dana", &["devs"]), &id, at(3)).await.unwrap();
            assert_eq!(old.state, RequestState::Superseded);
        }
    }
}

#[tokio::test]
async fn an_unrelated_merge_leaves_pending_requests_alone() {
    let world = World::new();
    let id = asked(&world, &person("dana", &["devs"])).await;
    let mut rules = rules();
    rules.grants.retain(|grant| grant.id != "paced");
    rules.name = "renamed".to_owned();
    world.publish(rules, "c2");
    approve(&world, &person("lea", &["leads"]), &id, 1).await.unwrap();
    let window = approve(&world, &person("sam", &["security"]), &id, 2).await.unwrap().window.unwrap();
    assert_eq!(window.commit, "c2");
}

#[tokio::test]
async fn a_client_that_saw_other_terms_does_not_approve() {
    let world = World::new();
    let id = asked(&world, &person("dana", &["devs"])).await;
    let lead = person("lea", &["leads"]);
    let stale = world.access.approve(&lead, &id, Some("other".to_owned()), None, at(1)).await;
    assert!(sentence(stale).contains("no longer those that were shown"));
    let shown = world.access.one_request(&lead, &id, at(1)).await.unwrap().asked.binding;
    assert_eq!(world.access.approve(&lead, &id, Some(shown), None, at(1)).await.unwrap().did, Did::Counted);
}

#[tokio::test]
async fn an_approver_must_hold_the_group_at_that_moment() {
    let world = World::new();
    let id = asked(&world, &person("dana", &["devs"])).await;
    assert!(approve(&world, &person("lea", &[]), &id, 1).await.is_err());
    assert_eq!(approve(&world, &person("lea", &["leads"]), &id, 2).await.unwrap().did, Did::Counted);
}

#[tokio::test]
async fn a_withdrawn_request_is_nobody_s_to_approve() {
    let world = World::new();
    let dev = person("dana", &["devs"]);
    let id = asked(&world, &dev).await;
    let lead = person("lea", &["leads"]);
    assert!(matches!(world.access.withdraw(&lead, &id, None, at(1)).await, Err(Refused::Forbidden(_))));
    assert_eq!(world.access.withdraw(&dev, &id, None, at(1)).await.unwrap().did, Did::Withdrawn);
    assert_eq!(world.access.withdraw(&dev, &id, None, at(2)).await.unwrap().did, Did::Nothing);
    assert!(sentence(approve(&world, &lead, &id, 3).await).contains("withdrawn already"));
}

#[tokio::test]
async fn pace_is_judged_again_when_the_window_would_open() {
    let world = World::new();
    let mut rules = rules();
    rules.grants.iter_mut().filter(|grant| grant.on[0] == "ledger").for_each(|grant| {
        grant.at_most = Some(lang::program::rules::AtMost { count: 1, per: minutes(600) });
        grant.approvals = vec!["solo".to_owned()];
        grant.to = super::world::to(&["devs"]);
        grant.break_glass = None;
    });
    world.publish(rules, "c2");
    let dev = person("dana", &["devs"]);
    let mut ids = Vec::new();
    for via in ["ledger-read", "ledger-fix"] {
        let asking = Asking { via: Some(via.to_owned()), ..ledger() };
        ids.push(world.access.request(&dev, asking, None, at(0)).await.unwrap().request.unwrap().id);
    }
    let lead = person("lea", &["leads"]);
    assert_eq!(approve(&world, &lead, &ids[0], 1).await.unwrap().did, Did::Opened);
    assert!(sentence(approve(&world, &lead, &ids[1], 2).await).contains("at most 1"));
}

async fn open_ledger(world: &World, dev: &Identity) -> WindowId {
    let id = asked(world, dev).await;
    approve(world, &person("lea", &["leads"]), &id, 1).await.unwrap();
    approve(world, &person("sam", &["security"]), &id, 2).await.unwrap().window.unwrap().id
}

#[tokio::test]
async fn an_extension_of_an_approved_window_is_approved_too() {
    let world = World::new();
    let dev = person("dana", &["devs"]);
    let window = open_ledger(&world, &dev).await;
    let extension = world.access.extend(&dev, &window, Some("not done".to_owned()), None, at(100)).await.unwrap();
    assert_eq!(extension.did, Did::Asked);
    let id = extension.request.unwrap().id;
    let again = world.access.extend(&dev, &window, None, None, at(101)).await.unwrap();
    assert_eq!((again.did, again.request.unwrap().id), (Did::Nothing, id.clone()));
    let ends = world.access.one_window(&dev, &window, at(102)).await.unwrap().ends;
    assert_eq!(ends, at(2 + 3_600).wall, "nothing moves before the last approval");
    approve(&world, &person("lea", &["leads"]), &id, 103).await.unwrap();
    let moved = approve(&world, &person("sam", &["security"]), &id, 104).await.unwrap();
    assert_eq!((moved.did, moved.window.unwrap().ends), (Did::Extended, at(2 + 3_600 + 1_800).wall));
    assert_eq!(approve(&world, &person("sam", &["security"]), &id, 105).await.unwrap().did, Did::Nothing);
    assert_eq!(world.access.one_window(&dev, &window, at(106)).await.unwrap().extensions, 1);
}

#[tokio::test]
async fn an_extension_approved_after_the_end_does_nothing() {
    let world = World::new();
    let dev = person("dana", &["devs"]);
    let window = open_ledger(&world, &dev).await;
    let id = world.access.extend(&dev, &window, None, None, at(3_500)).await.unwrap().request.unwrap().id;
    approve(&world, &person("lea", &["leads"]), &id, 3_501).await.unwrap();
    world.access.revoke(&dev, &window, None, at(3_502)).await.unwrap();
    assert!(sentence(approve(&world, &person("sam", &["security"]), &id, 3_503).await).contains("is over"));
    // And it does not stand in the way of a new window.
    assert_eq!(world.access.request(&dev, ledger(), None, at(3_504)).await.unwrap().did, Did::Asked);
}

/// The agent that acts for a person: the person's key, another kind.
fn acting_for(person: &Identity, groups: &[&str]) -> Identity {
    let kind = SubjectKind::Agent;
    Identity { kind, name: None, ..who(&person.subject.id, kind, groups) }
}

/// The test's policy, with groups that do not say what kind their members are.
fn of_any_kind(world: &World) {
    let mut rules = rules();
    rules.groups.iter_mut().for_each(|group| group.kind = None);
    world.publish(rules, "c2");
}

#[tokio::test]
async fn an_agent_is_no_approver_whatever_group_it_holds() {
    let world = World::new();
    of_any_kind(&world);
    let (dana, lea) = (person("dana", &["devs"]), person("lea", &["leads", "security"]));
    let id = asked(&world, &dana).await;
    // Neither the requester's agent nor an approver's is heard, and the latter's call does not count for its person.
    for agent in [acting_for(&dana, &["leads", "security"]), acting_for(&lea, &["leads", "security"])] {
        assert!(approve(&world, &agent, &id, 1).await.is_err());
        assert!(world.access.deny(&agent, &id, None, None, at(1)).await.is_err());
    }
    assert_eq!(approve(&world, &lea, &id, 2).await.unwrap().did, Did::Counted);
    assert!(approve(&world, &acting_for(&lea, &["leads", "security"]), &id, 3).await.is_err());
    let again = approve(&world, &lea, &id, 3).await.unwrap();
    assert_eq!((again.did, again.request.unwrap().votes.len()), (Did::Nothing, 1));
}

#[tokio::test]
async fn a_person_does_not_approve_what_their_agent_asks_for() {
    let world = World::new();
    of_any_kind(&world);
    let lea = person("lea", &["devs", "leads", "security"]);
    let id = asked(&world, &acting_for(&lea, &["devs"])).await;
    let said = sentence(approve(&world, &lea, &id, 1).await);
    assert!(said.contains("nobody decides their own request"), "{said}");
}

#[tokio::test]
async fn a_person_and_their_agent_share_no_window() {
    let world = World::new();
    of_any_kind(&world);
    let dana = person("dana", &["devs"]);
    let agent = acting_for(&dana, &["devs"]);
    let asking = || Asking { connection: "long".to_owned(), reason: Some("x".to_owned()), ..Asking::default() };
    let window = world.access.request(&dana, asking(), None, at(0)).await.unwrap().window.unwrap();
    assert_eq!(window.kind, SubjectKind::Human);
    let said = sentence(world.access.request(&agent, asking(), None, at(1)).await);
    assert!(said.contains("by the same subject as human"), "{said}");
    assert!(sentence(world.access.extend(&agent, &window.id, None, None, at(1)).await).contains("only its owner"));
}
