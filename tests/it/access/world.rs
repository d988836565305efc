//! A small policy, people with tokens that were verified already, and a clock that only the test moves.

use enforcer::access::Access;
use enforcer::core::event::Opened;
use enforcer::core::id::SessionId;
use enforcer::core::identity::{Identity, Subject, SubjectKind};
use enforcer::core::machine::Now;
use enforcer::gateway::live::Live;
use enforcer::gateway::policy::{self, Active, Policy, Publisher};
use enforcer::store::Window;
use enforcer::store::sqlite::Sqlite;
use lang::program::rules::{
    Approval, AtMost, BreakGlass, Claims, Connection, Credential, Forbid, Grant, Group, Idp, IdpFlavour, Limits,
    Masking, Mode, Operate, Operator, PerKind, Principal, Quorum, Recorded, RuleId, RuleKind, Rules, Tls, To,
};
use lang::program::{Place, Program, Scope, SourceTable};
use lang::protocol::ConnectionKind;
use lang::time::{Timestamp, Ttl};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the test's clock begins: a Monday morning.
pub(crate) const START: i64 = 1_777_881_600;

pub(crate) fn minutes(n: u32) -> Ttl {
    Ttl::from_seconds(n * 60)
}

/// A folder that goes with the test.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("leasehold-access-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn group(name: &str, kind: SubjectKind) -> Group {
    Group {
        name: name.to_owned(),
        idp: "dev".to_owned(),
        kind: Some(kind),
        ids: vec![name.to_owned()],
        claim_values: Vec::new(),
        within: Vec::new(),
        size_min: None,
        size_max: None,
    }
}

fn connection(name: &str, kind: ConnectionKind) -> Connection {
    Connection {
        name: name.to_owned(),
        kind,
        owner: None,
        address: "127.0.0.1:1".to_owned(),
        database: Some("db".to_owned()),
        credential: Credential { source: "env".to_owned(), reference: "X".to_owned(), user: "u".to_owned() },
        tls: Tls::Off,
        masking: Masking::Rewrite,
        labels: Vec::new(),
        settings: Vec::new(),
        classified: Vec::new(),
        unlisted_hidden: None,
        listed: None,
    }
}

pub(crate) fn to(groups: &[&str]) -> Vec<Principal> {
    groups.iter().map(|group| Principal { groups: vec![(*group).to_owned()], kind: None }).collect()
}

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

pub(crate) fn grant(id: &str, on: &str, groups: &[&str], lifetime: Ttl) -> Grant {
    Grant {
        id: id.to_owned(),
        on: strings(&[on]),
        to: to(groups),
        mode: Mode::Requested,
        lifetime,
        extend: 0,
        extend_by: lifetime,
        permit: ConnectionKind::Postgres.resolve("read").unwrap(),
        scope: Scope::default(),
        recorded: Recorded::Full,
        approvals: Vec::new(),
        reveal: Vec::new(),
        hours: None,
        valid: None,
        reason: false,
        ticket: None,
        mfa: false,
        cooldown: None,
        at_most: None,
        beside: Vec::new(),
        break_glass: None,
    }
}

pub(crate) fn approval(name: &str, separate: bool, lines: &[(u32, &[&str])], answer_within: Ttl) -> Approval {
    let quorum = lines.iter().map(|(count, from)| Quorum { count: *count, from: strings(from) }).collect();
    Approval { name: name.to_owned(), quorum, separate, answer_within, notify: Vec::new() }
}

fn grants() -> Vec<Grant> {
    let mut ledger = grant("ledger-read", "ledger", &["devs"], minutes(60));
    ledger.approvals = strings(&["four-eyes"]);
    ledger.reason = true;
    ledger.ticket = Some(r"INC-\d+".to_owned());
    ledger.extend = 2;
    ledger.extend_by = minutes(30);
    let mut fix = grant("ledger-fix", "ledger", &["leads"], minutes(30));
    fix.approvals = strings(&["solo"]);
    let mut standing = grant("logs-standing", "logs", &["devs"], minutes(480));
    standing.mode = Mode::Standing;
    let mut paced = grant("paced", "paced", &["devs"], minutes(10));
    paced.cooldown = Some(minutes(5));
    paced.at_most = Some(AtMost { count: 3, per: minutes(24 * 60) });
    let mut long = grant("long", "long", &["devs"], minutes(60));
    long.extend = 2;
    long.extend_by = minutes(30);
    long.mfa = true;
    let mut fire = grant("fire", "ledger", &["oncall"], minutes(30));
    fire.break_glass = Some(BreakGlass {
        waives_approval: true,
        notify: Vec::new(),
        within: minutes(60),
        review: Quorum { count: 1, from: strings(&["security"]) },
    });
    vec![
        fire,
        fix,
        ledger,
        grant("logs", "logs", &["agents"], minutes(15)),
        standing,
        long,
        grant("orders", "orders", &["devs"], minutes(20)),
        paced,
    ]
}

/// The tables of the test's policy; a test changes them and publishes again.
pub(crate) fn rules() -> Rules {
    let all = strings(&["ledger", "logs", "long", "orders", "paced"]);
    Rules {
        name: "test".to_owned(),
        timezone: "UTC".to_owned(),
        idps: ["dev", "dev2"]
            .into_iter()
            .map(|name| Idp {
                name: name.to_owned(),
                flavour: IdpFlavour::Oidc { issuer: "http://127.0.0.1:1".to_owned() },
                audiences: Vec::new(),
                claims: Claims::default(),
                mfa_value: None,
                mfa_age: None,
                algorithms: Vec::new(),
                leeway: Ttl::ZERO,
            })
            .collect(),
        groups: ["devs", "leads", "oncall", "security"]
            .into_iter()
            .map(|name| group(name, SubjectKind::Human))
            .chain([group("agents", SubjectKind::Agent), group("runners", SubjectKind::Service)])
            .collect(),
        disjoint: vec![strings(&["oncall", "security"])],
        connections: vec![
            connection("ledger", ConnectionKind::Postgres),
            connection("logs", ConnectionKind::Postgres),
            connection("long", ConnectionKind::Postgres),
            connection("orders", ConnectionKind::Mysql),
            connection("paced", ConnectionKind::Postgres),
        ],
        limits: vec![Limits {
            name: "ceiling".to_owned(),
            on: strings(&["long"]),
            to: To::Everybody,
            lifetime: PerKind { human: Some(minutes(100)), service: None, agent: None },
            extend: PerKind::default(),
            standing_denied: true,
            recorded: None,
            approvals: Vec::new(),
            reason: true,
            ticket: None,
            mfa: false,
            hours: None,
            cooldown: None,
            at_most: None,
        }],
        approvals: vec![
            approval("four-eyes", true, &[(1, &["leads"]), (1, &["security"])], minutes(30)),
            approval("solo", true, &[(1, &["leads", "security"])], minutes(60)),
        ],
        grants: grants(),
        forbids: vec![Forbid {
            name: "no-runners".to_owned(),
            on: strings(&["ledger"]),
            to: to(&["runners"]),
            hours: None,
            valid: None,
        }],
        operators: vec![
            Operate {
                name: "audit".to_owned(),
                on: all.clone(),
                to: to(&["security"]),
                may: vec![Operator::Replay, Operator::Requests, Operator::Policy, Operator::Hold],
            },
            Operate {
                name: "control".to_owned(),
                on: all,
                to: to(&["oncall", "agents"]),
                may: vec![Operator::Revoke, Operator::Watch],
            },
        ],
        ..Rules::default()
    }
}

fn places(rules: &Rules) -> SourceTable {
    let place = |line: usize| Place { file: "policy.kdl".to_owned(), line: u32::try_from(line).unwrap() };
    let grants = rules.grants.iter().enumerate().map(|(line, grant)| (grant.rule(), place(line + 1)));
    let limits = rules
        .limits
        .iter()
        .enumerate()
        .map(|(line, limits)| (RuleId::new(RuleKind::Limits, &limits.name), place(line + 100)));
    SourceTable(grants.chain(limits).collect())
}

pub(crate) fn active(rules: Rules, commit: &str) -> Arc<Active> {
    let sources = places(&rules);
    Arc::new(Active {
        program: Program::new(rules, sources).unwrap(),
        digest: format!("digest-{commit}"),
        commit: commit.to_owned(),
        committed_at: Timestamp::from_unix(START),
        activated_at: Timestamp::from_unix(START),
    })
}

/// A person, service or agent whose token was verified.
pub(crate) fn who(id: &str, kind: SubjectKind, groups: &[&str]) -> Identity {
    Identity {
        subject: Subject { idp: "dev".to_owned(), tenant: "tenant".to_owned(), id: id.to_owned() },
        kind,
        name: (kind == SubjectKind::Human).then(|| id.to_owned()),
        group_ids: Some(groups.iter().map(|group| (*group).to_owned()).collect()),
        claim_values: BTreeSet::new(),
        mfa: true,
        issued_at: Timestamp::from_unix(START),
        expires_at: Timestamp::from_unix(START + 3600),
    }
}

pub(crate) fn person(id: &str, groups: &[&str]) -> Identity {
    who(id, SubjectKind::Human, groups)
}

pub(crate) fn agent(id: &str) -> Identity {
    who(id, SubjectKind::Agent, &["agents"])
}

/// An instant of the test's clock.
pub(crate) fn at(seconds: i64) -> Now {
    Now { wall: Timestamp::from_unix(START + seconds), mono_ms: u64::try_from(seconds * 1000).unwrap() }
}

/// The facts of a session that begins in a window.
pub(crate) fn opened(session: &SessionId, window: &Window) -> Opened {
    Opened {
        session: session.clone(),
        gateway: "gw-1".to_owned(),
        subject: window.subject.clone(),
        subject_name: window.subject_name.clone(),
        kind: window.kind.word().to_owned(),
        groups: Vec::new(),
        connection: window.connection.clone(),
        protocol: "postgres".to_owned(),
        grant: window.grant.clone(),
        request: Some(window.request.clone()),
        window: Some(window.id.clone()),
        ends: window.ends,
        recorded: "full".to_owned(),
        bundle: window.bundle.clone(),
        commit: window.commit.clone(),
        reason: None,
        ticket: None,
        client_user: "x".to_owned(),
        application_name: Some("psql".to_owned()),
        trace: None,
        peer: "127.0.0.1:9".to_owned(),
    }
}

/// One gateway over a store.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) access: Access,
    pub(crate) live: Live,
    pub(crate) publisher: Publisher,
    pub(crate) folder: Folder,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = Folder::new();
        let (access, live, _, publisher) = gateway(&folder.path().join("state.db"), "gw-1");
        Self { access, live, publisher, folder }
    }

    /// Another gateway over the same file.
    pub(crate) fn other(&self, name: &str) -> (Access, Live, Policy, Publisher) {
        gateway(&self.folder.path().join("state.db"), name)
    }

    pub(crate) fn publish(&self, rules: Rules, commit: &str) {
        self.publisher.update(|state| state.active = Some(active(rules, commit)));
    }
}

fn gateway(file: &Path, name: &str) -> (Access, Live, Policy, Publisher) {
    let store = Arc::new(Sqlite::open(file).unwrap());
    let (publisher, policy) = policy::channel();
    publisher.update(|state| {
        state.active = Some(active(rules(), "c1"));
        state.confirmed_at = Some(Timestamp::from_unix(START));
    });
    let live = Live::default();
    (Access::new(store, policy.clone(), live.clone(), name), live, policy, publisher)
}
