//! Windows: opening, asking again, pace, extension, end, and who may see them.

use super::world::{World, agent, at, grant, minutes, opened, person, rules, who};
use enforcer::access::{Asking, Did, Filter, IdempotencyKey, Outcome, Refused};
use enforcer::core::id::SessionId;
use enforcer::core::identity::{Identity, SubjectKind};
use enforcer::core::machine::{Cause, Now};
use enforcer::gateway::live::{Facts, Order};
use enforcer::gateway::policy::Staleness;
use enforcer::store::{EndCause, Window};
use lang::time::{Hours, Timestamp, Ttl};

fn asking(connection: &str) -> Asking {
    Asking { connection: connection.to_owned(), reason: Some("because".to_owned()), ..Asking::default() }
}

async fn ask(world: &World, who: &Identity, asking: Asking, now: Now) -> Result<Outcome, Refused> {
    world.access.request(who, asking, None, now).await
}

fn sentence<T: std::fmt::Debug>(answer: Result<T, Refused>) -> String {
    answer.unwrap_err().to_string()
}

#[tokio::test]
async fn the_policy_alone_opens_a_window_with_an_absolute_end() {
    let world = World::new();
    let bot = agent("bot");
    let outcome = ask(&world, &bot, asking("logs"), at(0)).await.unwrap();
    assert_eq!(outcome.did, Did::Opened);
    let window = outcome.window.unwrap();
    assert_eq!(window.ends, at(900).wall);
    // First use moves nothing, and neither does asking again.
    let again = ask(&world, &bot, asking("logs"), at(600)).await.unwrap();
    assert_eq!((again.did, again.window.as_ref()), (Did::Nothing, Some(&window)));
    let open = |now| world.access.open_windows(&bot.subject, "logs", now);
    assert_eq!(open(at(0)).await.unwrap(), vec![window.clone()]);
    assert_eq!(open(at(899)).await.unwrap().len(), 1);
    assert!(open(at(900)).await.unwrap().is_empty());
    assert_eq!(ask(&world, &bot, asking("logs"), at(900)).await.unwrap().did, Did::Opened);
}

#[tokio::test]
async fn a_clock_set_back_revives_nothing() {
    let world = World::new();
    let bot = agent("bot");
    ask(&world, &bot, asking("logs"), at(0)).await.unwrap();
    assert!(world.access.open_windows(&bot.subject, "logs", at(901)).await.unwrap().is_empty());
    let back = Now { wall: at(100).wall, mono_ms: 902_000 };
    assert!(world.access.open_windows(&bot.subject, "logs", back).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_the_terms_demand_is_asked_for_in_one_answer() {
    let world = World::new();
    let dev = person("dana", &["devs"]);
    let bare = Asking { connection: "ledger".to_owned(), ..Asking::default() };
    let Refused::Policy(all) = ask(&world, &dev, bare, at(0)).await.unwrap_err() else { panic!("not the policy") };
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[0].to_string(), "a reason is required; say why you need access (grant ledger-read, policy.kdl:3)");
    assert!(all[1].sentence.contains("a ticket is required"), "{}", all[1]);
    let wrong = Asking { ticket: Some("INC-7; drop".to_owned()), ..asking("ledger") };
    assert!(sentence(ask(&world, &dev, wrong, at(0)).await).contains("does not match"));
    let mut without_mfa = dev.clone();
    without_mfa.mfa = false;
    let said = sentence(ask(&world, &without_mfa, asking("long"), at(0)).await);
    assert!(said.contains("multi-factor"), "{said}");
    let silent = Asking { connection: "long".to_owned(), reason: Some("  ".to_owned()), ..Asking::default() };
    let said = sentence(ask(&world, &dev, silent, at(0)).await);
    assert!(said.contains("(limits ceiling, policy.kdl:100)"), "the limit demands it, not the grant: {said}");
}

#[tokio::test]
async fn hostile_texts_are_refused() {
    let world = World::new();
    let bot = agent("bot");
    for reason in ["x".repeat(2_001), "bell \u{7}".to_owned(), "\u{1b}[2J".to_owned(), "nul \0".to_owned()] {
        let asking = Asking { reason: Some(reason), ..asking("logs") };
        assert!(matches!(ask(&world, &bot, asking, at(0)).await, Err(Refused::Invalid(_))));
    }
}

#[tokio::test]
async fn what_is_no_window_is_said_so() {
    let world = World::new();
    let dev = person("dana", &["devs"]);
    assert!(sentence(ask(&world, &dev, asking("logs"), at(0)).await).contains("no request is needed"));
    assert!(sentence(ask(&world, &dev, asking("orders"), at(0)).await).contains("P0422"));
    assert!(sentence(ask(&world, &dev, asking("nowhere"), at(0)).await).contains("no connection"));
    assert!(sentence(ask(&world, &agent("bot"), asking("paced"), at(0)).await).contains("no grant"));
    let oncall = person("olga", &["oncall"]);
    let fire = Asking { via: Some("fire".to_owned()), ..asking("ledger") };
    assert!(sentence(ask(&world, &oncall, fire, at(0)).await).contains("break-glass"));
    let both = person("bob", &["devs", "leads"]);
    let said = sentence(ask(&world, &both, asking("ledger"), at(0)).await);
    assert!(said.contains("ledger-fix, ledger-read"), "{said}");
    let disjoint = person("dee", &["oncall", "security"]);
    assert!(sentence(ask(&world, &disjoint, asking("ledger"), at(0)).await).contains("nobody may hold together"));
    let none = World::new();
    none.publisher.update(|state| state.active = None);
    assert!(matches!(ask(&none, &dev, asking("paced"), at(0)).await, Err(Refused::NoPolicy)));
}

#[tokio::test]
async fn a_shorter_window_may_be_asked_for_and_a_longer_one_not() {
    let world = World::new();
    let bot = agent("bot");
    let of = |ttl| Asking { lifetime: Some(ttl), ..asking("logs") };
    assert!(sentence(ask(&world, &bot, of(minutes(16)), at(0)).await).contains("longer than the 15m"));
    assert!(matches!(ask(&world, &bot, of(Ttl::ZERO), at(0)).await, Err(Refused::Invalid(_))));
    let window = ask(&world, &bot, of(minutes(5)), at(0)).await.unwrap().window.unwrap();
    assert_eq!(window.ends, at(300).wall);
}

#[tokio::test]
async fn hours_end_a_window_early() {
    let world = World::new();
    let mut rules = rules();
    rules.grants[3].hours = Some(Hours::parse("Mon-Fri 07:00-08:10").unwrap());
    world.publish(rules, "c2");
    // The clock begins at 08:00 on a Monday.
    let window = ask(&world, &agent("bot"), asking("logs"), at(0)).await.unwrap().window.unwrap();
    assert_eq!(window.ends, at(600).wall);
    assert!(sentence(ask(&world, &agent("bot"), asking("logs"), at(600)).await).contains("hours"));
}

#[tokio::test]
async fn cooldown_counts_from_the_end_however_it_came() {
    let world = World::new();
    let dev = person("dana", &["devs"]);
    let window = ask(&world, &dev, asking("paced"), at(0)).await.unwrap().window.unwrap();
    world.access.revoke(&dev, &window.id, None, at(60)).await.unwrap();
    let said = sentence(ask(&world, &dev, asking("paced"), at(359)).await);
    assert!(said.contains("5m must pass") && said.contains("(grant paced"), "{said}");
    let second = ask(&world, &dev, asking("paced"), at(360)).await.unwrap().window.unwrap();
    assert_eq!(second.ends, at(960).wall);
    assert!(ask(&world, &dev, asking("paced"), at(1259)).await.is_err());
    assert!(ask(&world, &dev, asking("paced"), at(1260)).await.is_ok());
    // Somebody else's windows do not count.
    assert!(ask(&world, &person("eve", &["devs"]), asking("paced"), at(1260)).await.is_ok());
}

#[tokio::test]
async fn at_most_counts_windows_of_every_grant_over_the_rolling_period() {
    let world = World::new();
    let mut rules = rules();
    rules.grants.push(grant("paced-too", "paced", &["devs"], minutes(10)));
    world.publish(rules, "c2");
    let dev = person("dana", &["devs"]);
    let via = |grant: &str| Asking { via: Some(grant.to_owned()), ..asking("paced") };
    let mut last = at(0);
    for (index, grant) in ["paced", "paced-too", "paced"].into_iter().enumerate() {
        last = at(i64::try_from(index).unwrap() * 1_000);
        assert_eq!(ask(&world, &dev, via(grant), last).await.unwrap().did, Did::Opened);
    }
    let later = at(20_000);
    assert!(last.wall < later.wall);
    let said = sentence(ask(&world, &dev, via("paced"), later).await);
    assert!(said.contains("at most 3 windows"), "{said}");
    assert!(said.contains(&Timestamp::from_unix(super::world::START + 86_400).to_string()), "{said}");
    assert!(ask(&world, &dev, via("paced"), at(86_399)).await.is_err());
    assert!(ask(&world, &dev, via("paced"), at(86_400)).await.is_ok());
}

#[tokio::test]
async fn an_extension_stays_within_the_total() {
    let world = World::new();
    let dev = person("dana", &["devs"]);
    let window = ask(&world, &dev, asking("long"), at(0)).await.unwrap().window.unwrap();
    assert_eq!(window.ends, at(3_600).wall);
    let extend = |now| world.access.extend(&dev, &window.id, None, None, now);
    let first = extend(at(10)).await.unwrap();
    assert_eq!((first.did, first.window.unwrap().ends), (Did::Extended, at(5_400).wall));
    // The ceiling of 100 minutes cuts the second one.
    assert_eq!(extend(at(20)).await.unwrap().window.unwrap().ends, at(6_000).wall);
    assert!(sentence(extend(at(30)).await).contains("which is the most"));
    let eve = person("eve", &["devs"]);
    assert!(matches!(world.access.extend(&eve, &window.id, None, None, at(30)).await, Err(Refused::NotFound(_))));
    assert!(sentence(extend(at(6_000)).await).contains("over"));
}

#[tokio::test]
async fn a_grant_without_extension_cannot_be_extended() {
    let world = World::new();
    let bot = agent("bot");
    let window = ask(&world, &bot, asking("logs"), at(0)).await.unwrap().window.unwrap();
    assert!(sentence(world.access.extend(&bot, &window.id, None, None, at(1)).await).contains("cannot be extended"));
}

fn seat(world: &World, window: &Window) -> (enforcer::gateway::live::Seat, enforcer::gateway::live::Orders) {
    world.live.enter(Facts {
        session: SessionId::from_random([1; 10]),
        subject: window.subject.clone(),
        kind: window.kind,
        subject_name: None,
        connection: window.connection.clone(),
        grant: window.grant.clone(),
        window: Some(window.id.clone()),
        started: window.started,
        ends: window.ends,
    })
}

#[tokio::test]
async fn a_revocation_ends_live_sessions_and_stops_new_ones() {
    let world = World::new();
    let bot = agent("bot");
    let window = ask(&world, &bot, asking("logs"), at(0)).await.unwrap().window.unwrap();
    let session = SessionId::from_random([1; 10]);
    let (_seat, mut orders) = seat(&world, &window);
    world.access.session_opened(&opened(&session, &window), at(1)).await.unwrap();
    let eve = person("eve", &["devs"]);
    assert!(matches!(world.access.revoke(&eve, &window.id, None, at(2)).await, Err(Refused::NotFound(_))));
    let auditor = person("sam", &["security"]);
    let said = sentence(world.access.revoke(&auditor, &window.id, None, at(2)).await);
    assert!(said.contains("operate"), "the auditor sees it and may not: {said}");
    assert!(orders.take().is_none());
    let oncall = person("olga", &["oncall"]);
    let outcome = world.access.revoke(&oncall, &window.id, None, at(3)).await.unwrap();
    let end = outcome.window.unwrap().ended.unwrap();
    assert_eq!((outcome.did, end.cause, end.by), (Did::Ended, EndCause::Revoked, Some(oncall.subject.clone())));
    assert!(matches!(orders.take(), Some(Order::End { cause: Cause::Revoked, .. })));
    assert_eq!(world.access.revoke(&oncall, &window.id, None, at(4)).await.unwrap().did, Did::Nothing);
    assert!(world.access.open_windows(&bot.subject, "logs", at(4)).await.unwrap().is_empty());
    let late = opened(&SessionId::parse("ses_0000000000000002").unwrap(), &window);
    assert!(sentence(world.access.session_opened(&late, at(4)).await).contains("over"));
    // Another agent's group is named by `operate`, and still an agent may do nothing to others.
    let next = ask(&world, &bot, asking("logs"), at(5)).await.unwrap().window.unwrap();
    assert!(matches!(world.access.revoke(&agent("bot2"), &next.id, None, at(6)).await, Err(Refused::NotFound(_))));
    assert_eq!(world.access.revoke(&bot, &next.id, None, at(6)).await.unwrap().did, Did::Ended);
}

#[tokio::test]
async fn what_another_gateway_decides_reaches_the_sessions_here() {
    let world = World::new();
    let (other, _register, _policy, _publisher) = world.other("gw-2");
    let dev = person("dana", &["devs"]);
    let olga = person("olga", &["oncall"]);
    let window = ask(&world, &dev, asking("long"), at(0)).await.unwrap().window.unwrap();
    let session = SessionId::from_random([1; 10]);
    let (_seat, mut orders) = seat(&world, &window);
    world.access.session_opened(&opened(&session, &window), at(1)).await.unwrap();
    let newest = world.access.newest().await.unwrap();
    let extended = other.extend(&dev, &window.id, Some("more".into()), None, at(2)).await.unwrap().window.unwrap();
    assert!(orders.take().is_none(), "the other gateway has no way to this session");
    let newest = world.access.follow(newest).await.unwrap();
    assert!(matches!(orders.take(), Some(Order::Extended { ends }) if ends == extended.ends));
    other.terminate(&olga, &session, None, at(3)).await.unwrap();
    let newest = world.access.follow(newest).await.unwrap();
    assert!(matches!(orders.take(), Some(Order::End { cause: Cause::Revoked, .. })));
    other.revoke(&olga, &window.id, None, at(4)).await.unwrap();
    let after = world.access.follow(newest).await.unwrap();
    assert!(matches!(orders.take(), Some(Order::End { cause: Cause::Revoked, .. })));
    assert!(after > newest);
    assert_eq!(world.access.follow(after).await.unwrap(), after);
    assert!(orders.take().is_none(), "nothing is told twice");
}

#[tokio::test]
async fn sessions_are_noted_once_and_orphans_closed() {
    let world = World::new();
    let bot = agent("bot");
    let window = ask(&world, &bot, asking("logs"), at(0)).await.unwrap().window.unwrap();
    let one = SessionId::from_random([1; 10]);
    let two = SessionId::from_random([2; 10]);
    for id in [&one, &two] {
        world.access.session_opened(&opened(id, &window), at(1)).await.unwrap();
    }
    assert!(world.access.session_opened(&opened(&one, &window), at(1)).await.is_err(), "a name is used once");
    world.access.session_closed(&one, Cause::Client, "bye", at(2)).await.unwrap();
    world.access.session_closed(&one, Cause::Fault, "again", at(3)).await.unwrap();
    assert_eq!(world.access.close_orphans(at(4)).await.unwrap(), 1);
    let read = async |id: SessionId| world.access.one_session(&bot, &id).await;
    let causes: Vec<String> =
        [read(one).await.unwrap().closed.unwrap().cause, read(two).await.unwrap().closed.unwrap().cause].into();
    assert_eq!(causes, ["client", "fault"]);
}

#[tokio::test]
async fn a_stale_policy_opens_nothing_new() {
    let world = World::new();
    let bot = agent("bot");
    let window = ask(&world, &bot, asking("logs"), at(0)).await.unwrap().window.unwrap();
    world.publisher.update(|state| state.staleness = Staleness::NoNewWindows);
    let again = ask(&world, &bot, asking("logs"), at(1)).await.unwrap();
    assert_eq!(again.window.unwrap().id, window.id, "the open one runs to its end");
    assert!(sentence(ask(&world, &agent("bot2"), asking("logs"), at(1)).await).contains("could not confirm"));
    let dev = person("dana", &["devs"]);
    assert!(sentence(ask(&world, &dev, asking("paced"), at(1)).await).contains("no new window"));
    world.publisher.update(|state| state.staleness = Staleness::Deny);
    assert!(sentence(ask(&world, &bot, asking("logs"), at(2)).await).contains("nothing is permitted"));
    assert_eq!(world.access.revoke(&bot, &window.id, None, at(3)).await.unwrap().did, Did::Ended);
}

#[tokio::test]
async fn a_repeated_key_is_answered_as_before_and_moves_nothing() {
    let world = World::new();
    let dev = person("dana", &["devs"]);
    let key = IdempotencyKey { key: "k".to_owned(), digest: "d".to_owned() };
    let first = world.access.request(&dev, asking("long"), Some(&key), at(0)).await.unwrap();
    let window = first.window.clone().unwrap();
    assert_eq!(world.access.request(&dev, asking("long"), Some(&key), at(5)).await.unwrap(), first);
    let extend = IdempotencyKey { key: "e".to_owned(), digest: "e".to_owned() };
    let moved = world.access.extend(&dev, &window.id, None, Some(&extend), at(10)).await.unwrap();
    assert_eq!(world.access.extend(&dev, &window.id, None, Some(&extend), at(11)).await.unwrap(), moved);
    assert_eq!(world.access.one_window(&dev, &window.id, at(12)).await.unwrap().extensions, 1);
    let other = IdempotencyKey { digest: "other".to_owned(), ..key.clone() };
    assert!(matches!(world.access.request(&dev, asking("paced"), Some(&other), at(6)).await, Err(Refused::KeyReused)));
    // The same key of somebody else is another key.
    let eve = person("eve", &["devs"]);
    assert_eq!(world.access.request(&eve, asking("long"), Some(&key), at(7)).await.unwrap().did, Did::Opened);
}

#[tokio::test]
async fn lists_show_one_s_own_and_what_operate_names() {
    let world = World::new();
    for index in 0..5 {
        ask(&world, &agent(&format!("bot{index}")), asking("logs"), at(index)).await.unwrap();
    }
    let filter = Filter { limit: Some(2), ..Filter::default() };
    let mut seen = Vec::new();
    let auditor = person("sam", &["security"]);
    let mut part = world.access.windows(&auditor, &filter, at(10)).await.unwrap();
    loop {
        assert!(part.items.len() <= 2);
        seen.extend(part.items.iter().map(|window| window.subject.id.clone()));
        let Some(next) = part.next else { break };
        let filter = Filter { after: Some(next), ..filter.clone() };
        part = world.access.windows(&auditor, &filter, at(10)).await.unwrap();
    }
    assert_eq!(seen, ["bot4", "bot3", "bot2", "bot1", "bot0"]);
    let count = async |who: &Identity, now| {
        let all = Filter::default();
        (
            world.access.windows(who, &all, now).await.unwrap().items.len(),
            world.access.requests(who, &all, now).await.unwrap().items.len(),
        )
    };
    assert_eq!(count(&agent("bot1"), at(10)).await, (1, 1));
    assert_eq!(count(&person("dana", &["devs"]), at(10)).await, (0, 0));
    assert_eq!(count(&person("olga", &["oncall"]), at(10)).await, (5, 0), "who may revoke sees what is open");
    assert_eq!(count(&person("olga", &["oncall"]), at(901)).await, (3, 0));
    assert_eq!(count(&who("svc", SubjectKind::Service, &["runners"]), at(10)).await, (0, 0));
    let mine = Filter { mine: true, ..Filter::default() };
    assert!(world.access.windows(&auditor, &mine, at(10)).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn the_sweeper_writes_down_what_time_decided() {
    let world = World::new();
    let bot = agent("bot");
    let window = ask(&world, &bot, asking("logs"), at(0)).await.unwrap().window.unwrap();
    assert_eq!(world.access.sweep(at(899)).await.unwrap().windows, 0);
    assert_eq!(world.access.sweep(at(900)).await.unwrap().windows, 1);
    assert_eq!(world.access.sweep(at(901)).await.unwrap().windows, 0);
    let end = world.access.one_window(&bot, &window.id, at(901)).await.unwrap().ended.unwrap();
    assert_eq!(end.cause, EndCause::Expired);
}

#[tokio::test]
async fn reach_says_what_could_be_had_and_nothing_of_others() {
    let world = World::new();
    let dev = person("dana", &["devs"]);
    let all = world.access.reach(&dev, None, at(0)).unwrap();
    let names: Vec<(&str, Vec<&str>)> = all
        .iter()
        .map(|reach| (reach.connection.as_str(), reach.contracts.iter().map(|c| c.grant.as_str()).collect()))
        .collect();
    assert_eq!(
        names,
        [
            ("ledger", vec!["ledger-read"]),
            ("logs", vec!["logs-standing"]),
            ("long", vec!["long"]),
            ("orders", vec!["orders"]),
            ("paced", vec!["paced"]),
        ]
    );
    assert!(all[3].contracts[0].unserved.as_ref().unwrap().sentence.contains("mysql"));
    assert!(world.access.reach(&agent("bot"), Some("ledger"), at(0)).is_err());
    assert!(world.access.reach(&agent("bot"), Some("nowhere"), at(0)).is_err());
}
