//! The policies that transcripts run under, by name, and the subject that runs them.

use enforcer::core::active::Active;
use enforcer::core::id::WindowId;
use enforcer::core::identity::{Identity, Subject};
use enforcer::core::lease::{Lease, WindowFacts};
use lang::program::rules::{
    AbsentGroups, Approval, Claims, Classified, Connection, Credential, Grant, Group, Guard, Idp, IdpFlavour, Mask,
    MaskAs, Masking, Mode, Overage, PerKind, Principal, Quorum, Recorded, Region, Review, Rules, Tls, To,
};
use lang::program::rules::{Limits, RuleId, RuleKind};
use lang::program::{Place, Program, Scope, SourceTable, SubjectKind};
use lang::protocol::{ConnectionKind, OpSet};
use lang::time::{Timestamp, Ttl};
use pgsql::snapshot::{Builder, Catalog};
use std::collections::BTreeSet;
use std::sync::Arc;

const TENANT: &str = "9d1f0000-0000-4000-8000-000000000001";
const GROUP: &str = "8c1e0f2a-71c5-4a58-9a63-0a2f6f1d7b10";

/// What `# session:` lines of a transcript say.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) policy: String,
    pub(super) read_only: bool,
}

impl Default for Header {
    fn default() -> Self {
        Self { policy: "default".to_owned(), read_only: false }
    }
}

impl Header {
    pub(super) fn read(&mut self, setting: &str) {
        match setting.split_once(' ').unwrap_or((setting, "")) {
            ("policy", name) => name.clone_into(&mut self.policy),
            ("read-only", _) => self.read_only = true,
            (other, _) => panic!("unknown session setting `{other}`"),
        }
    }

    /// `public.events`, `public.customers`, and a view over each.
    #[expect(clippy::unused_self, reason = "every session of the transcripts has the same target")]
    pub(super) fn catalog(&self) -> Catalog {
        let mut builder = Builder::default();
        for row in catalog_rows() {
            let values: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
            builder.row(&values).unwrap();
        }
        builder.build()
    }
}

/// What the target answers when it is asked for its catalog: one row each, as text.
pub(super) fn catalog_rows() -> Vec<Vec<Option<String>>> {
    let mut rows = Vec::new();
    let mut row = |values: &[&str]| {
        rows.push(values.iter().map(|value| (!value.is_empty()).then(|| (*value).to_owned())).collect());
    };
    let relations = [
        ("1", "events", "r", "", "id"),
        ("2", "customers", "r", "", "id email"),
        ("3", "events_view", "v", "SELECT id FROM events", "id"),
        ("4", "customers_view", "v", "SELECT id, email FROM customers", "id email"),
        ("5", "t", "r", "", "id"),
    ];
    for (oid, name, kind, definition, columns) in relations {
        row(&["relation", oid, "public", name, kind, "f", "f", "f", "f", "f", definition]);
        for (at, column) in columns.split(' ').enumerate() {
            row(&["column", oid, &(at + 1).to_string(), column, "text", "t", "f", "t"]);
        }
    }
    row(&["derives", "3", "1"]);
    row(&["derives", "4", "2"]);
    rows
}

fn ops(words: &[&str]) -> OpSet {
    words.iter().map(|word| ConnectionKind::Postgres.resolve(word).unwrap()).fold(OpSet::EMPTY, OpSet::union)
}

fn rules(name: &str) -> Rules {
    let mut rules = Rules {
        name: "transcripts".into(),
        timezone: "UTC".into(),
        idps: vec![Idp {
            name: "entra".into(),
            flavour: IdpFlavour::Entra {
                tenant: TENANT.into(),
                authority: None,
                overage: Overage::Refuse,
                absent_groups: AbsentGroups::Refuse,
            },
            audiences: vec!["api://gateway".into()],
            claims: Claims::default(),
            mfa_value: None,
            mfa_age: None,
            algorithms: vec![],
            leeway: Ttl::ZERO,
        }],
        groups: vec![Group {
            name: "agents".into(),
            idp: "entra".into(),
            kind: Some(SubjectKind::Agent),
            ids: vec![GROUP.into()],
            claim_values: vec![],
            within: vec![],
            size_min: None,
            size_max: None,
        }],
        connections: vec![connection()],
        grants: vec![grant()],
        guards: vec![guard()],
        limits: vec![limits()],
        ..Rules::default()
    };
    match name {
        "default" => {}
        "narrow" => rules.grants[0].scope.tables = vec!["public.t".into()],
        "gone" => rules.grants.clear(),
        "write" => rules.grants[0].permit = ops(&["read", "write", "export"]),
        "define" => rules.grants[0].permit = ops(&["read", "write", "ddl"]),
        "everything" => {
            rules.guards.clear();
            rules.grants[0].permit = ops(&["read", "write", "export", "ddl", "routine"]);
            rules.grants[0].scope.tables = vec!["*.*".into()];
        }
        "metadata" => {
            rules.grants[0].recorded = Recorded::Metadata;
            rules.limits.clear();
        }
        "unrecorded" => {
            rules.grants[0].recorded = Recorded::None;
            rules.limits.clear();
        }
        "unlimited" => rules.guards.clear(),
        "load" => {
            rules.guards.clear();
            rules.grants[0].permit = ops(&["read", "write"]);
        }
        "masked" | "masked-call" => {
            if name == "masked-call" {
                rules.guards[0].rows = None;
                rules.grants[0].permit = ops(&["read", "routine"]);
            }
            masked(&mut rules);
        }
        "patterns" | "patterns-nullify" | "patterns-partial" => {
            rules.grants[0].permit = ops(&["read", "write", "export", "routine"]);
            rules.masks = vec![Mask {
                name: "cards".into(),
                on: None,
                to: To::Everybody,
                classes: vec![],
                columns: vec![],
                patterns: vec![(r"\b(?:\d[ -]?){13,19}\b".into(), Some("luhn".into()))],
                json: vec![],
                mask: match name {
                    "patterns" => MaskAs::Redact,
                    "patterns-partial" => MaskAs::Partial { keep_first: 0, keep_last: 4 },
                    _ => MaskAs::Nullify,
                },
                reveal_by_grant: false,
            }];
        }
        "review" | "review-blocks" | "review-not" | "review-twice" | "review-masked" => reviewed(name, &mut rules),
        other => panic!("unknown policy `{other}`"),
    }
    rules
}

/// A grant that may write, where some of it waits for people: changes of definitions, and every write to `t`.
fn reviewed(name: &str, rules: &mut Rules) {
    rules.grants[0].permit = ops(&["read", "write", "export", "ddl.create", "ddl.alter", "ddl.drop"]);
    rules.groups.push(Group {
        name: "dba".into(),
        kind: Some(SubjectKind::Human),
        ids: vec!["5a1e0f2a-71c5-4a58-9a63-0a2f6f1d7b11".into()],
        ..rules.groups[0].clone()
    });
    rules.approvals = vec![Approval {
        name: "dba".into(),
        quorum: vec![Quorum { count: if name == "review-twice" { 2 } else { 1 }, from: vec!["dba".into()] }],
        separate: true,
        answer_within: Ttl::from_seconds(900),
        notify: vec![],
    }];
    let guard = &mut rules.guards[0];
    guard.rows = None;
    guard.blocks.clear();
    let waits = |words: &[&str], tables: &[&str]| Review {
        region: Region {
            ops: ops(words),
            scope: Scope { tables: tables.iter().map(|table| (*table).to_owned()).collect(), ..Scope::default() },
        },
        by: "dba".into(),
    };
    guard.reviews = vec![waits(&["ddl.alter", "ddl.create"], &[]), waits(&["write", "select"], &["public.t"])];
    match name {
        "review-blocks" => guard.blocks = vec![Region { ops: ops(&["ddl.alter"]), scope: Scope::default() }],
        "review-not" => guard.reviews.clear(),
        _ => {}
    }
    if name == "review-masked" {
        masked(rules);
    }
}

fn masked(rules: &mut Rules) {
    rules.connections[0].classified =
        vec![Classified { object: "public.customers".into(), column: Some("email".into()), class: "pii.email".into() }];
    rules.masks = vec![Mask {
        name: "pii".into(),
        on: None,
        to: To::Everybody,
        classes: vec!["pii.*".into()],
        columns: vec![],
        patterns: vec![],
        json: vec![],
        mask: MaskAs::Redact,
        reveal_by_grant: false,
    }];
}

fn connection() -> Connection {
    Connection {
        name: "db".into(),
        kind: ConnectionKind::Postgres,
        owner: None,
        address: "127.0.0.1:5432".into(),
        database: Some("db".into()),
        credential: Credential { source: "file".into(), reference: "secret".into(), user: "gateway".into() },
        tls: Tls::Off,
        masking: Masking::Rewrite,
        labels: vec![],
        settings: vec![],
        classified: vec![],
        unlisted_hidden: None,
        listed: None,
    }
}

fn grant() -> Grant {
    Grant {
        id: "db".into(),
        on: vec!["db".into()],
        to: vec![Principal { groups: vec!["agents".into()], kind: None }],
        mode: Mode::Requested,
        lifetime: Ttl::from_seconds(600),
        extend: 0,
        extend_by: Ttl::ZERO,
        permit: ops(&["read", "export", "ddl.create", "ddl.drop"]),
        scope: Scope { tables: vec!["public.*".into()], ..Scope::default() },
        recorded: Recorded::Full,
        approvals: vec![],
        reveal: vec![],
        hours: None,
        valid: None,
        reason: false,
        ticket: None,
        mfa: false,
        cooldown: None,
        at_most: None,
        beside: vec![],
        break_glass: None,
    }
}

fn guard() -> Guard {
    Guard {
        name: "sql".into(),
        on: vec!["db".into()],
        to: To::Everybody,
        blocks: vec![Region { ops: ops(&["ddl.drop"]), scope: Scope::default() }],
        only: vec![],
        reviews: vec![],
        argv: vec![],
        rows: Some(3),
        seconds: Some(30),
        bytes: None,
        hours: None,
    }
}

fn limits() -> Limits {
    Limits {
        name: "all".into(),
        on: vec!["db".into()],
        to: To::Everybody,
        lifetime: PerKind::default(),
        extend: PerKind::default(),
        standing_denied: true,
        recorded: Some(Recorded::Full),
        approvals: vec![],
        reason: false,
        ticket: None,
        mfa: false,
        hours: None,
        cooldown: None,
        at_most: None,
    }
}

/// The policy with this name, in force.
pub(super) fn active(name: &str) -> Arc<Active> {
    let mut sources = SourceTable::default();
    let place = |line| Place { file: "policy.kdl".into(), line };
    sources.0.insert(RuleId::new(RuleKind::Grant, "db"), place(10));
    sources.0.insert(RuleId::new(RuleKind::Guard, "sql"), place(20));
    sources.0.insert(RuleId::new(RuleKind::Mask, "pii"), place(30));
    let at = Timestamp::from_unix(0);
    Arc::new(Active {
        program: Program::new(rules(name), sources).unwrap(),
        digest: name.to_owned(),
        commit: "c0ffee".to_owned(),
        committed_at: at,
        activated_at: at,
    })
}

/// The subject, with the group unless `groups` is `none`.
pub(super) fn identity(groups: &str, now: Timestamp) -> Identity {
    let ids = if groups == "none" { BTreeSet::new() } else { BTreeSet::from([GROUP.to_owned()]) };
    Identity {
        subject: Subject { idp: "entra".into(), tenant: TENANT.into(), id: "agent-1".into() },
        kind: SubjectKind::Agent,
        name: None,
        group_ids: Some(ids),
        claim_values: BTreeSet::new(),
        mfa: false,
        issued_at: now,
        expires_at: now.plus(Ttl::from_seconds(3_600)),
    }
}

/// A lease under a window of ten minutes that opened now.
pub(super) fn lease(policy: &str, now: Timestamp) -> Lease {
    let window = WindowFacts {
        id: WindowId::from_random([1; 10]),
        grant: "db".into(),
        kind: SubjectKind::Agent,
        request: None,
        opened: now,
        ends: now.plus(Ttl::from_seconds(600)),
        approvals: BTreeSet::new(),
        reason: None,
        ticket: None,
    };
    let identity = Arc::new(identity("agents", now.minus(Ttl::from_seconds(1))));
    Lease::open(active(policy), identity, "db", None, &[window], now).unwrap()
}
