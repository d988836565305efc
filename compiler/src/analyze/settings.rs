//! What stands beside the decisions and still matters: targets and credentials, identity providers, the timezone,
//! classification, delegation, suppressions. Compared field by field; a change is wider unless the field's row says
//! which way it goes.

use super::{beside::beside, compare::Direction, profile::Profile};
use crate::kept::Key;
use lang::{
    program::rules::{self, AbsentGroups, IdpFlavour, Overage, Rules, Tls, WhenStale},
    syntax::{
        ast::{Document, Node, Value},
        keyword::Keyword,
    },
    time::Ttl,
};
use serde::Serialize;
use std::sync::Arc;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// A change of a setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SettingChange {
    /// What it belongs to: `target`, `idp`, `delegation`…
    pub section: &'static str,
    /// Of which node.
    pub name: String,
    /// Which field; empty when the node itself came or went.
    pub field: String,
    /// The connection that it concerns, when it is one.
    pub connection: Option<String>,
    /// Which way.
    pub direction: Direction,
    /// Before; empty when there was nothing.
    pub before: String,
    /// After; empty when there is nothing.
    pub after: String,
}

/// One side of the comparison.
#[derive(Clone, Copy, Debug)]
pub struct Stated<'a> {
    /// The tables.
    pub rules: &'a Rules,
    /// The same in digests, with what the tables do not carry.
    pub profile: &'a Profile,
}

/// What a revision sets that its tables do not carry.
#[derive(Debug)]
pub struct Nodes(Table);

/// What a field holds, and what makes it wider.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    /// Every change is wider.
    Text(String),
    /// No change matters for access.
    Fact(String),
    /// Neither way can be told.
    Mixed(String),
    /// A higher rank is wider.
    Rank(u64, String),
    /// More of it is wider.
    Permits(BTreeSet<String>),
    /// Less of it is wider.
    Demands(BTreeSet<String>),
}

impl Held {
    fn text(&self) -> String {
        match self {
            Self::Text(text) | Self::Fact(text) | Self::Mixed(text) | Self::Rank(_, text) => text.clone(),
            Self::Permits(set) | Self::Demands(set) => set.iter().cloned().collect::<Vec<_>>().join("; "),
        }
    }

    fn direction(&self, newer: &Self) -> Direction {
        let sets = |more: bool, less: bool| match (more, less) {
            (true, false) => Direction::Wider,
            (false, true) => Direction::Narrower,
            (true, true) | (false, false) => Direction::Mixed,
        };
        match (self, newer) {
            (Self::Fact(_), Self::Fact(_)) => Direction::Neutral,
            (Self::Mixed(_), Self::Mixed(_)) => Direction::Mixed,
            (Self::Rank(a, _), Self::Rank(b, _)) if a < b => Direction::Wider,
            (Self::Rank(a, _), Self::Rank(b, _)) if a > b => Direction::Narrower,
            (Self::Permits(a), Self::Permits(b)) => sets(!b.is_subset(a), !a.is_subset(b)),
            (Self::Demands(a), Self::Demands(b)) => sets(!a.is_subset(b), !b.is_subset(a)),
            _ => Direction::Wider,
        }
    }
}

/// What a node's coming means; its going means the opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coming {
    Wider,
    Narrower,
    /// Somebody else reports it.
    Silent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    connection: Option<String>,
    coming: Coming,
    fields: BTreeMap<String, Held>,
}

type Table = BTreeMap<(&'static str, String), Entry>;

/// Everything that two revisions set differently.
pub fn compare(old: Stated<'_>, new: Stated<'_>) -> Vec<SettingChange> {
    let kept = kept(old, new);
    let mut changes = differences(&table(old.rules, &kept), &table(new.rules, &kept));
    changes.extend(differences(&old.profile.nodes.0, &new.profile.nodes.0));
    changes
}

fn differences(before: &Table, after: &Table) -> Vec<SettingChange> {
    let (before, after): (Vec<_>, Vec<_>) = (before.iter().collect(), after.iter().collect());
    let mut changes = Vec::new();
    beside(&before, &after, |(section, name), a, b| match (a, b) {
        (Some(a), Some(b)) if a == b => {}
        (Some(a), Some(b)) => {
            for field in a.fields.keys().chain(b.fields.keys()).collect::<BTreeSet<_>>() {
                changes.extend(field_change((section, name), field, a, b));
            }
        }
        (Some(one), None) => changes.extend(whole((section, name), one, false)),
        (None, Some(one)) => changes.extend(whole((section, name), one, true)),
        (None, None) => {}
    });
    changes
}

fn field_change((section, name): (&'static str, &str), field: &str, a: &Entry, b: &Entry) -> Option<SettingChange> {
    let (x, y) = (a.fields.get(field), b.fields.get(field));
    let direction = match (x, y) {
        (Some(x), Some(y)) if x == y => return None,
        (Some(x), Some(y)) => x.direction(y),
        (None, Some(y)) => match y {
            Held::Fact(_) => Direction::Neutral,
            Held::Demands(_) => Direction::Narrower,
            Held::Mixed(_) => Direction::Mixed,
            Held::Text(_) | Held::Rank(..) | Held::Permits(_) => Direction::Wider,
        },
        (Some(x), None) => match x {
            Held::Fact(_) => Direction::Neutral,
            Held::Permits(_) => Direction::Narrower,
            Held::Mixed(_) => Direction::Mixed,
            Held::Text(_) | Held::Rank(..) | Held::Demands(_) => Direction::Wider,
        },
        (None, None) => return None,
    };
    let text = |held: Option<&Held>| held.map(Held::text).unwrap_or_default();
    Some(SettingChange {
        section,
        name: name.to_owned(),
        field: field.to_owned(),
        connection: b.connection.clone().or_else(|| a.connection.clone()),
        direction,
        before: text(x),
        after: text(y),
    })
}

fn whole((section, name): (&'static str, &str), entry: &Entry, came: bool) -> Option<SettingChange> {
    let direction = match (entry.coming, came) {
        (Coming::Silent, _) => return None,
        (Coming::Wider, true) | (Coming::Narrower, false) => Direction::Wider,
        (Coming::Wider, false) | (Coming::Narrower, true) => Direction::Narrower,
    };
    let text: Vec<String> = entry.fields.iter().map(|(field, held)| format!("{field} {}", held.text())).collect();
    let text = if text.is_empty() { "present".to_owned() } else { text.join(", ") };
    Some(SettingChange {
        section,
        name: name.to_owned(),
        field: String::new(),
        connection: entry.connection.clone(),
        direction,
        before: if came { String::new() } else { text.clone() },
        after: if came { text } else { String::new() },
    })
}

/// The names of the connections that both revisions state alike.
fn kept<'r>(old: Stated<'r>, new: Stated<'r>) -> BTreeSet<&'r str> {
    let mut kept = BTreeSet::new();
    beside(&stated(old), &stated(new), |name, a, b| {
        if a.is_some() && a == b {
            kept.insert(name);
        }
    });
    kept
}

fn stated(one: Stated<'_>) -> Vec<(&str, &Key)> {
    let names = one.rules.connections.iter().map(|connection| connection.name.as_str());
    let mut all: Vec<_> = names.zip(&one.profile.connections).collect();
    all.sort_unstable();
    all
}

/// What the tables of a revision set; connections in `kept` are left out.
fn table(rules: &Rules, kept: &BTreeSet<&str>) -> Table {
    let mut table = Table::new();
    policy(rules, &mut table);
    for idp in &rules.idps {
        table.insert(("idp", idp.name.clone()), idp_entry(idp));
    }
    for connection in rules.connections.iter().filter(|one| !kept.contains(one.name.as_str())) {
        table.insert(("target", connection.name.clone()), target(connection));
        table.insert(("classification", connection.name.clone()), classification(connection));
    }
    for approval in &rules.approvals {
        let fields = [
            ("answer-within".to_owned(), length(approval.answer_within)),
            ("notify".to_owned(), Held::Demands(approval.notify.iter().cloned().collect())),
        ];
        let entry = Entry { connection: None, coming: Coming::Silent, fields: fields.into_iter().collect() };
        table.insert(("approval", approval.name.clone()), entry);
    }
    table
}

fn policy(rules: &Rules, table: &mut Table) {
    let staleness = match &rules.staleness {
        None => Held::Rank(u64::MAX, "keep".to_owned()),
        Some(stated) => {
            let (rank, word) = match stated.then {
                WhenStale::Keep => (2, "keep"),
                WhenStale::NoNewWindows => (1, "no-new-windows"),
                WhenStale::Deny => (0, "deny"),
            };
            let seconds = u64::from(stated.max.seconds());
            // A stricter answer that comes later is neither wider nor narrower; the answer weighs more.
            Held::Rank((rank << 40) | seconds, format!("{word} after {}", stated.max))
        }
    };
    let fields = [("timezone".to_owned(), Held::Mixed(rules.timezone.clone())), ("staleness".to_owned(), staleness)];
    let entry = Entry { connection: None, coming: Coming::Silent, fields: fields.into_iter().collect() };
    table.insert(("policy", String::new()), entry);
}

fn length(ttl: Ttl) -> Held {
    Held::Rank(u64::from(ttl.seconds()), ttl.to_string())
}

fn idp_entry(idp: &rules::Idp) -> Entry {
    let mut fields = BTreeMap::new();
    let mut put = |field: &str, held: Held| fields.insert(field.to_owned(), held);
    put("audience", Held::Permits(idp.audiences.iter().cloned().collect()));
    put("leeway", length(idp.leeway));
    // An empty list is the default set; what is listed is compared as written.
    put("algorithms", Held::Text(idp.algorithms.join(" ")));
    put("claims", Held::Text(format!("{:?}", idp.claims)));
    put("mfa-value", Held::Text(idp.mfa_value.clone().unwrap_or_default()));
    put("mfa-age", idp.mfa_age.map_or_else(|| Held::Rank(u64::MAX, "any".to_owned()), length));
    match &idp.flavour {
        IdpFlavour::Entra { tenant, authority, overage, absent_groups } => {
            put("tenant", Held::Text(tenant.clone()));
            put("authority", Held::Text(authority.clone().unwrap_or_default()));
            put(
                "overage",
                match overage {
                    Overage::Graph => Held::Rank(1, "graph".to_owned()),
                    Overage::Refuse => Held::Rank(0, "refuse".to_owned()),
                },
            );
            put(
                "absent-groups",
                match absent_groups {
                    AbsentGroups::None => Held::Rank(1, "none".to_owned()),
                    AbsentGroups::Refuse => Held::Rank(0, "refuse".to_owned()),
                },
            );
        }
        IdpFlavour::Oidc { issuer } => {
            put("issuer", Held::Text(issuer.clone()));
        }
    }
    Entry { connection: None, coming: Coming::Wider, fields }
}

fn target(connection: &rules::Connection) -> Entry {
    let tls = match &connection.tls {
        Tls::VerifyFull { ca: None } => Held::Rank(0, "verify-full".to_owned()),
        Tls::VerifyFull { ca: Some(ca) } => Held::Text(format!("verify-full ca={ca}")),
        Tls::VerifyCa { ca: None } => Held::Rank(1, "verify-ca".to_owned()),
        Tls::VerifyCa { ca: Some(ca) } => Held::Text(format!("verify-ca ca={ca}")),
        Tls::Off => Held::Rank(2, "off".to_owned()),
    };
    let masking = match connection.masking {
        rules::Masking::Rewrite => "rewrite",
        rules::Masking::Database => "database",
    };
    let credential = &connection.credential;
    let labels: Vec<String> = connection.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut fields: BTreeMap<String, Held> = [
        ("kind", Held::Text(connection.kind.word().to_owned())),
        ("owner", Held::Text(connection.owner.clone().unwrap_or_default())),
        ("address", Held::Text(connection.address.clone())),
        ("database", Held::Text(connection.database.clone().unwrap_or_default())),
        ("credential", Held::Text(format!("({}){}", credential.source, credential.reference))),
        ("user", Held::Text(credential.user.clone())),
        ("tls", tls),
        ("masking", Held::Text(masking.to_owned())),
        // What selectors make of labels is compared as decisions.
        ("label", Held::Fact(labels.join(" "))),
    ]
    .into_iter()
    .map(|(field, held)| (field.to_owned(), held))
    .collect();
    for (key, value) in &connection.settings {
        fields.insert(key.clone(), Held::Text(value.clone()));
    }
    Entry { connection: Some(connection.name.clone()), coming: Coming::Silent, fields }
}

fn classification(connection: &rules::Connection) -> Entry {
    let items = connection.classified.iter().map(|item| {
        let column = item.column.as_ref().map_or_else(String::new, |column| format!(".{column}"));
        format!("{}{column} as {}", item.object, item.class)
    });
    let hidden = u64::from(connection.unlisted_hidden != Some(true));
    let word = if hidden == 0 { "hidden" } else { "raw" };
    let fields = [
        ("classify".to_owned(), Held::Demands(items.collect())),
        ("unlisted".to_owned(), Held::Rank(hidden, word.to_owned())),
        // Where unlisted columns are hidden, a listed one is seen.
        ("listed".to_owned(), Held::Permits(connection.listed.iter().flatten().cloned().collect())),
    ];
    Entry { connection: Some(connection.name.clone()), coming: Coming::Silent, fields: fields.into_iter().collect() }
}

/// What the tables do not carry: teams, delegation, assertions, catalogs, suppressions, and selectors that wait for
/// connections to come.
pub(super) fn nodes(documents: &[Arc<Document>]) -> Nodes {
    let mut table = Table::new();
    for node in documents.iter().flat_map(|document| &document.nodes) {
        let id = || node.props.iter().find(|prop| prop.key.value == "id").map(|prop| value(&prop.value));
        let name = || id().or_else(|| node.args.first().map(value)).unwrap_or_default();
        if node.keyword == Keyword::Team {
            let fields = clauses(node, |_, text| Held::Text(text));
            put(&mut table, ("team", name()), Coming::Wider, fields);
        } else if node.keyword == Keyword::Delegate {
            let fields = clauses(node, |keyword, text| {
                if keyword == Keyword::No {
                    Held::Demands(text.split(' ').map(str::to_owned).collect())
                } else if keyword == Keyword::Lifetime {
                    Ttl::parse(&text).map_or_else(|_| Held::Text(text.clone()), length)
                } else {
                    Held::Permits(BTreeSet::from([text]))
                }
            });
            put(&mut table, ("delegation", name()), Coming::Wider, fields);
        } else if node.keyword == Keyword::Assert {
            let text = node.clauses.iter().map(canonical).collect::<BTreeSet<_>>();
            let fields = BTreeMap::from([("claim".to_owned(), Held::Text(join(text)))]);
            put(&mut table, ("assert", name()), Coming::Narrower, fields);
        } else if node.keyword == Keyword::Catalog {
            let text = node.clauses.iter().map(canonical).collect::<BTreeSet<_>>();
            let digest = blake3::hash(join(text).as_bytes()).to_hex().to_string();
            let fields = BTreeMap::from([("content".to_owned(), Held::Text(digest))]);
            put(&mut table, ("catalog", name()), Coming::Narrower, fields);
        }
        selectors(node, &name, &mut table);
        allows(node, &|| format!("{} {}", node.keyword, name()), &mut table);
    }
    Nodes(table)
}

fn put(table: &mut Table, key: (&'static str, String), coming: Coming, fields: BTreeMap<String, Held>) {
    let entry = table.entry(key).or_insert_with(|| Entry { connection: None, coming, fields: BTreeMap::new() });
    for (field, held) in fields {
        merge(&mut entry.fields, field, held);
    }
}

fn merge(fields: &mut BTreeMap<String, Held>, field: String, held: Held) {
    match (fields.get_mut(&field), held) {
        (Some(Held::Permits(all)), Held::Permits(more)) | (Some(Held::Demands(all)), Held::Demands(more)) => {
            all.extend(more);
        }
        (Some(Held::Text(all)), Held::Text(more)) => {
            all.push_str("; ");
            all.push_str(&more);
        }
        (_, held) => {
            fields.insert(field, held);
        }
    }
}

fn clauses(node: &Node, held: impl Fn(Keyword, String) -> Held) -> BTreeMap<String, Held> {
    let mut fields = BTreeMap::new();
    let own = node.clauses.iter().filter(|clause| !matches!(clause.keyword, Keyword::Description | Keyword::Allow));
    for clause in own {
        let text = canonical(clause);
        let text = text.split_once(' ').map_or(String::new(), |(_, rest)| rest.to_owned());
        merge(&mut fields, clause.keyword.to_string(), held(clause.keyword, text));
    }
    fields
}

/// `on` lines of properties: they select connections that are not there yet.
fn selectors(node: &Node, name: &dyn Fn() -> String, table: &mut Table) {
    let lines: BTreeSet<String> = node
        .clauses
        .iter()
        .filter(|clause| clause.keyword == Keyword::On && !clause.props.is_empty())
        .map(canonical)
        .collect();
    if lines.is_empty() {
        return;
    }
    let held = if matches!(node.keyword, Keyword::BreakGlass | Keyword::Operate) {
        Held::Permits(lines)
    } else if matches!(node.keyword, Keyword::Limits | Keyword::Mask | Keyword::Guard | Keyword::Forbid) {
        Held::Demands(lines)
    } else {
        // A delegation's lines are compared with it, an assertion's as well.
        return;
    };
    let fields = BTreeMap::from([("on".to_owned(), held)]);
    put(table, ("future connections", format!("{} {}", node.keyword, name())), Coming::Silent, fields);
}

fn allows(node: &Node, owner: &dyn Fn() -> String, table: &mut Table) {
    for clause in &node.clauses {
        if clause.keyword == Keyword::Allow {
            let code = clause.args.first().map(value).unwrap_or_default();
            let until = clause.props.iter().find(|prop| prop.key.value == "until").map(|prop| value(&prop.value));
            let fields = BTreeMap::from([("until".to_owned(), Held::Text(until.unwrap_or_default()))]);
            put(table, ("suppression", format!("{code} of {}", owner())), Coming::Wider, fields);
        } else {
            allows(clause, owner, table);
        }
    }
}

fn join(texts: impl IntoIterator<Item = String>) -> String {
    texts.into_iter().collect::<Vec<_>>().join("; ")
}

/// A node without its layout: the word, arguments, properties by key, clauses.
fn canonical(node: &Node) -> String {
    let mut text = node.word.value.clone();
    for argument in &node.args {
        text.push(' ');
        text.push_str(&value(argument));
    }
    let mut props: Vec<String> =
        node.props.iter().map(|prop| format!("{}={}", prop.key.value, value(&prop.value))).collect();
    props.sort();
    for prop in props {
        text.push(' ');
        text.push_str(&prop);
    }
    let own = node.clauses.iter().filter(|clause| clause.keyword != Keyword::Description);
    let clauses: BTreeSet<String> = own.map(canonical).collect();
    if !clauses.is_empty() {
        let _in_memory = write!(text, " {{ {} }}", join(clauses));
    }
    text
}

fn value(value: &Value) -> String {
    match (value.group(), value.team()) {
        (Some(group), _) => format!("group:{group}"),
        (None, Some(team)) => format!("team:{team}"),
        (None, None) => value.text.clone(),
    }
}
