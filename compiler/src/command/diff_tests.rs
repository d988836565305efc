//! `diff` on every axis of the terms and on every sort of setting: one change each, and its reverse.

use crate::{
    cli::{Exit, run},
    system::Memory,
};
use lang::time::Timestamp;
use serde_json::Value;

/// A policy in which every axis is stated once, strictly.
const STRICT: &str = r#"policy version=1 name=example {
    timezone "UTC"
    labels {
        env prod dev
    }
    staleness max="1h" then=deny
}
idp corp {
    kind oidc
    issuer "https://login.example.com"
    audience leasehold
    claim mfa=amr
    mfa-value mfa
    mfa-age "1h"
}
group dev idp=corp kind=human {
    claim-value dev
}
group sec idp=corp kind=human {
    claim-value sec
}
team core {
    maintainers group:sec
}
delegate team:core {
    on owner=team:core
    to group:dev
    lifetime "4h"
    no standing
}
connection db kind=postgres {
    owner team:core
    address "db.internal:5432" database=app
    credential (file)"secrets/db" user=gateway
    tls verify-full
    label env=prod
}
classify db {
    column public.people.email as=pii.email
    unlisted hidden
}
approval peer {
    quorum 1 from=group:sec
    answer-within "30m"
    notify "ops"
}
mask pii {
    class pii.*
    as redact
}
guard statements {
    on db
    review insert by=peer
    limit rows=10 seconds=10 bytes=1000
}
operate control {
    to group:sec
    on db
    may revoke
}
grant db {
    to group:dev
    when requested
    lifetime "1h"
    permit select insert
    recorded full
    approval peer
    reason required
    ticket (regex)"^INC-[0-9]+$"
    mfa required
    cooldown "1h"
    at-most 2 per="24h"
    allow P1002 reason="an example" until="2027-01-01"
}
break-glass fire {
    to group:sec
    on db
    lifetime "30m"
    reason required
    notify "ops"
    afterwards within="24h" quorum=1 from=group:dev
}
"#;

/// What `diff` says of two texts.
fn diff(before: &str, after: &str) -> Value {
    let now = Timestamp::parse_rfc3339("2026-05-04T10:00:00+02:00").unwrap();
    let files = [(".revisions/base/policy.kdl", before), ("policy.kdl", after)];
    let system = Memory::new(now, files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = ["leaseholdc", "diff", "base", "--format", "json"].map(Into::into);
    let exit = run(args, &system, &mut out, &mut err);
    let (out, err) = (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap());
    assert_eq!(exit, Exit::Clean, "{out}{err}");
    serde_json::from_str(&out).unwrap()
}

fn changed(from: &str, to: &str) -> String {
    assert!(STRICT.contains(from), "the policy has no {from}");
    STRICT.replacen(from, to, 1)
}

#[test]
fn every_axis_is_seen_in_both_directions() {
    let lines = [
        ("mode", "    when requested\n", "    when standing\n"),
        ("lifetime", "    lifetime \"1h\"\n", "    lifetime \"2h\"\n"),
        ("extensions", "    lifetime \"1h\"\n", "    lifetime \"1h\" extend=2 by=\"30m\"\n"),
        ("approval", "    approval peer\n", ""),
        ("recording", "    recorded full\n", "    recorded metadata\n"),
        ("masks", "    as redact\n", "    as partial keep-last=4\n"),
        ("reason", "    reason required\n    ticket", "    ticket"),
        ("ticket", "    ticket (regex)\"^INC-[0-9]+$\"\n", ""),
        ("mfa", "    mfa required\n", ""),
        ("review", "    review insert by=peer\n", ""),
        ("rows", "rows=10 ", "rows=11 "),
        ("seconds", "seconds=10 ", "seconds=11 "),
        ("bytes", "bytes=1000", "bytes=1001"),
        ("cooldown", "    cooldown \"1h\"\n", "    cooldown \"30m\"\n"),
        ("at-most", "    at-most 2 per=\"24h\"\n", "    at-most 3 per=\"24h\"\n"),
        ("aftermath", "afterwards within=\"24h\"", "afterwards within=\"48h\""),
        ("access", "    permit select insert\n", "    permit select insert export\n"),
    ];
    for (axis, strict, loose) in lines {
        let loose = changed(strict, loose);
        for (before, after, direction) in [(STRICT, loose.as_str(), "wider"), (loose.as_str(), STRICT, "narrower")] {
            let report = diff(before, after);
            let changes =
                report["connections"][0]["changes"].as_array().unwrap_or_else(|| panic!("{axis}: {report:#}"));
            let seen = changes.iter().any(|change| {
                change["direction"] == direction && change["axes"].as_array().unwrap().contains(&Value::from(axis))
            });
            assert!(seen, "{axis} {direction}: {report:#}");
            assert!(changes.iter().all(|change| change["direction"] == direction), "{axis}: {report:#}");
        }
    }
}

/// `section | field | direction | what stood | what stands`; `\n` is the end of a line, and `-` is nothing.
const SETTINGS: &str = r#"
target | address | wider | db.internal:5432 | db.elsewhere:5432
target | database | wider | database=app | database=other
target | credential | wider | (file)"secrets/db" | (env)"DB"
target | user | wider | user=gateway | user=root
target | tls | wider |     tls verify-full\n |     tls off\n
target | masking | wider |     tls verify-full\n |     tls verify-full\n    masking database\n
idp | issuer | wider | login.example.com | login.example.org
idp | audience | wider | audience leasehold | audience leasehold other
idp | mfa-age | wider | mfa-age "1h" | mfa-age "2h"
policy | timezone | mixed | timezone "UTC" | timezone "Europe/Berlin"
policy | staleness | wider | then=deny | then=keep
classification | classify | wider | public.people.email as=pii.email | public.people.name as=pii.name
classification | unlisted | wider | unlisted hidden | unlisted raw
team | maintainers | wider | maintainers group:sec | maintainers group:dev
delegation | lifetime | wider |     lifetime "4h"\n |     lifetime "8h"\n
delegation | no | wider |     no standing\n | -
approval | answer-within | wider | answer-within "30m" | answer-within "45m"
approval | notify | wider | answer-within "30m"\n    notify "ops"\n | answer-within "30m"\n
suppression | until | wider | until="2027-01-01" | until="2028-01-01"
suppression | - | narrower |     allow P1002 reason="an example" until="2027-01-01"\n | -
operators | - | wider |     may revoke\n |     may revoke watch\n
"#;

/// Two grants of equal terms that become one permit no new request; what one session can hold together is new.
#[test]
fn grants_that_become_one_session_are_seen() {
    let (head, rest) = STRICT.split_once("grant db {").unwrap();
    let (body, tail) = rest.split_once("break-glass fire").unwrap();
    // What a grant accepts is a setting of its own, and no part of this.
    let allow = "    allow P1002 reason=\"an example\" until=\"2027-01-01\"\n";
    let body = body.replace(allow, "");
    let grant = |id: &str, ops: &str| {
        let body = body.replace("permit select insert", &format!("permit {ops}"));
        format!("grant db id={id} {{{body}")
    };
    let around = |grants: &str| format!("{head}{grants}break-glass fire{tail}");
    let apart = around(&(grant("reads", "select") + &grant("writes", "insert")));
    let together = around(&grant("reads", "select insert"));
    for (before, after, direction) in [(&apart, &together, "wider"), (&together, &apart, "narrower")] {
        let report = diff(before, after);
        assert_eq!(report["verdict"], direction, "{report:#}");
        let changes = report["connections"][0]["changes"].as_array().unwrap_or_else(|| panic!("{report:#}"));
        assert!(!changes.is_empty(), "{report:#}");
        for change in changes {
            assert_eq!(change["direction"], direction, "{report:#}");
            assert_eq!(change["axes"], Value::from(vec!["session"]), "{report:#}");
        }
    }
}

/// Another timezone moves what names hours or days, and nothing else.
#[test]
fn a_timezone_moves_the_rules_that_name_hours_or_days() {
    let timed = "limits by-day {\n    on db\n    hours \"Mon-Fri 08:00-18:00\"\n}\nlimits always {\n    on db\n    lifetime human=\"8h\"\n}\n\
                 guard by-night {\n    on db\n    hours \"Mon-Sun 22:00-06:00\"\n    block delete.*\n}\n\
                 forbid sundays {\n    to group:sec\n    on db\n    hours \"Sun 00:00-24:00\"\n}\n\
                 forbid this-year {\n    to group:sec\n    on db\n    valid until=\"2026-12-31\"\n}\n\
                 forbid agents {\n    to kind=agent\n    on db\n}\n";
    let before =
        format!("{}{timed}", changed("    mfa required\n", "    mfa required\n    valid until=\"2026-12-31\"\n"));
    let report = diff(&before, &before.replace("timezone \"UTC\"", "timezone \"Europe/Berlin\""));
    let moved: Vec<&Value> = report["connections"]
        .as_array()
        .unwrap_or_else(|| panic!("{report:#}"))
        .iter()
        .flat_map(|one| one["settings"].as_array().into_iter().flatten())
        .filter(|change| change["section"] == "timezone")
        .map(|change| &change["field"])
        .collect();
    assert_eq!(moved, ["forbid sundays, forbid this-year, grant db, guard by-night, limits by-day"], "{report:#}");
}

/// A catalog lists what one connection has: another one hides no more than before because of it.
#[test]
fn a_catalog_speaks_of_its_own_connection_only() {
    let other = "connection other kind=postgres {\n    owner team:core\n    address \"other.internal:5432\" database=app\n    \
                 credential (file)\"secrets/other\" user=gateway\n    tls verify-full\n    label env=prod\n}\n";
    let catalog = "catalog other {\n    schema public {\n        table people {\n            column name type=text\n        }\n    }\n}\n";
    let stated = changed("    unlisted hidden\n", "");
    let before = format!("{stated}{other}");
    let after = format!("{before}{catalog}");
    let report = diff(&before, &after);
    let touched: Vec<&str> = report["connections"]
        .as_array()
        .unwrap_or_else(|| panic!("{report:#}"))
        .iter()
        .filter(|one| one["settings"].as_array().is_some_and(|all| !all.is_empty()))
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(touched, ["other"], "{report:#}");
}

/// Whoever loses by what only the new revision tells of is named by what their token says.
#[test]
fn somebody_whom_no_group_of_the_revision_names_is_told_by_their_token() {
    let before = changed("grant db {\n    to group:dev\n", "grant db {\n    to kind=human\n");
    let group = "group contractors idp=corp kind=human {\n    claim-value outside\n}\n";
    let forbid = "forbid no-contractors {\n    to group:contractors\n    on db\n}\n";
    let report = diff(&before, &format!("{before}{group}{forbid}"));
    let who = |change: &Value| change["who"].as_array().unwrap().clone();
    let changes = report["connections"][0]["changes"].as_array().unwrap_or_else(|| panic!("{report:#}"));
    assert!(changes.iter().any(|change| who(change) == ["the principal outside"]), "{report:#}");
    assert!(changes.iter().all(|change| change["direction"] == "narrower"), "{report:#}");
}

#[test]
fn every_sort_of_setting_is_seen() {
    let line = |line: &str| -> [String; 5] {
        let parts: Vec<String> =
            line.split(" | ").map(|part| if part == "-" { String::new() } else { part.replace("\\n", "\n") }).collect();
        parts.try_into().unwrap_or_else(|parts| panic!("{parts:?}"))
    };
    let lines: Vec<[String; 5]> = SETTINGS.trim_matches('\n').lines().map(line).collect();
    let mut wrong = Vec::new();
    for [section, field, direction, from, to] in lines {
        let report = diff(STRICT, &changed(&from, &to));
        let of = |value: &Value| value["settings"].as_array().cloned().unwrap_or_default();
        let connections = report["connections"].as_array().unwrap();
        let all: Vec<Value> = connections.iter().flat_map(of).chain(of(&report)).collect();
        let seen = all.iter().any(|change| {
            let right = |own: &Value| own == direction.as_str() || (direction == "wider" && own == "mixed");
            change["section"] == section.as_str()
                && (field.is_empty() || change["field"] == field.as_str())
                && right(&change["direction"])
        });
        if !seen {
            wrong.push(format!("{section} {field}: {all:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
