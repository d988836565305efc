//! The commands over files in memory: output and exit codes.

use crate::{
    cli::{Exit, run},
    system::{Memory, System as _},
};
use lang::time::Timestamp;

const GOOD: &str = r#"/- kdl-version 2
policy version=1 name=example {
    timezone "UTC"
}
idp corp {
    kind oidc
    issuer "https://login.example.com"
    audience leasehold
}
group dev idp=corp kind=human {
    claim-value dev
}
team core {
    maintainers group:dev
}
connection orders-db kind=postgres {
    owner team:core
    address "db.internal:5432" database=orders
    credential (file)"secrets/orders" user=gateway
}
limits base {
    on orders-db
    lifetime human="8h" service="1h" agent="1h"
}
grant orders-db {
    to group:dev
    when requested
    lifetime "1h"
    cooldown "5m"
}
test "developers read" {
    as kind=human group:dev
    open orders-db op=select table=public.orders
    expect requested grant=orders-db
}
"#;

struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

fn memory(files: &[(&str, &str)]) -> Memory {
    let now = Timestamp::parse_rfc3339("2026-05-04T10:00:00+02:00").unwrap();
    Memory::new(now, files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())))
}

fn leaseholdc(system: &Memory, args: &[&str]) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = std::iter::once("leaseholdc").chain(args.iter().copied()).map(Into::into);
    let exit = run(args, system, &mut out, &mut err);
    Ran { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

#[test]
fn a_good_policy_is_clean() {
    let ran = leaseholdc(&memory(&[("policy.kdl", GOOD)]), &["check"]);
    assert_eq!(ran.exit, Exit::Clean, "{}{}", ran.out, ran.err);
    assert!(ran.out.ends_with("1 file, 0 errors, 0 warnings, 0 ms\n"), "{}", ran.out);
}

#[test]
fn errors_exit_with_one_and_wrong_arguments_with_three() {
    let bad = memory(&[("policies/policy.kdl", &GOOD.replace("to group:dev", "to group:dve"))]);
    let ran = leaseholdc(&bad, &["check", "--format", "plain"]);
    assert_eq!(ran.exit, Exit::Found);
    assert!(ran.out.contains("policies/policy.kdl:26:8"), "{}", ran.out);
    assert!(ran.out.contains("error[P0101]: unknown group `dve`"), "{}", ran.out);
    assert_eq!(leaseholdc(&bad, &["check", "--frmat"]).exit, Exit::Usage);
    assert_eq!(leaseholdc(&bad, &[]).exit, Exit::Usage);
    let ran = leaseholdc(&bad, &["check", "nowhere"]);
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Usage, "leaseholdc: there is no folder `nowhere`\n"));
    let ran = leaseholdc(&memory(&[("a.txt", "")]), &["check"]);
    assert_eq!(ran.exit, Exit::Usage);
    assert_eq!(leaseholdc(&bad, &["--version"]).exit, Exit::Clean);
    assert_eq!(leaseholdc(&bad, &["check", "--at", "yesterday"]).exit, Exit::Usage);
}

#[test]
fn warnings_fail_only_when_denied() {
    let warns = format!("{GOOD}approval idle {{\n    quorum 1 from=group:dev\n}}\n");
    let system = memory(&[("policy.kdl", &warns)]);
    assert_eq!(leaseholdc(&system, &["check", "."]).exit, Exit::Clean);
    assert_eq!(leaseholdc(&system, &["check", "--deny-warnings", "policy.kdl"]).exit, Exit::Found);
}

#[test]
fn tests_pass_and_fail_by_name() {
    let ran = leaseholdc(&memory(&[("policy.kdl", GOOD)]), &["test"]);
    assert_eq!(ran.exit, Exit::Clean);
    assert_eq!(ran.out, "ok      developers read\n1 test, 1 passed, 0 failed\n");
    let wrong = GOOD.replace("expect requested grant", "expect requested lifetime=\"2h\" grant");
    let system = memory(&[("policy.kdl", &wrong)]);
    let ran = leaseholdc(&system, &["test", "--junit", "out.xml"]);
    assert_eq!(ran.exit, Exit::Found);
    assert!(ran.out.contains("expected lifetime 2h, but it is 1h"), "{}", ran.out);
    assert!(ran.out.contains("witness: kind=human groups={dev}  orders-db  select public.orders"), "{}", ran.out);
    assert!(system.is_file("out.xml"));
    assert_eq!(leaseholdc(&system, &["check"]).exit, Exit::Found, "a failed test is an error of the policy");
    let ran = leaseholdc(&system, &["test", "--filter", "nothing like it"]);
    assert_eq!(ran.exit, Exit::Usage);
    let ran = leaseholdc(&system, &["test", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json[0]["passed"], false);
}

/// `--coverage-min` is the least that will do: exactly so much is enough.
#[test]
fn coverage_of_exactly_the_least_is_enough() {
    let first =
        GOOD.replace("grant orders-db {", "grant orders-db id=reads {").replace("grant=orders-db", "grant=reads");
    let second = "group ops idp=corp kind=human {\n    claim-value ops\n}\ngrant orders-db id=writes {\n    to group:ops\n    when requested\n    permit insert\n    lifetime \"1h\"\n    cooldown \"5m\"\n}\n";
    let system = memory(&[("policy.kdl", &format!("{first}{second}"))]);
    for (least, exit) in [("0", Exit::Clean), ("49", Exit::Clean), ("50", Exit::Clean), ("51", Exit::Found)] {
        let ran = leaseholdc(&system, &["test", "--coverage-min", least]);
        assert_eq!(ran.exit, exit, "{least}: {}{}", ran.out, ran.err);
        let says = format!("leaseholdc: tests exercise 50 % of the grants, and {least} % are wanted\n");
        assert_eq!(ran.err, if exit == Exit::Found { says } else { String::new() });
    }
}

#[test]
fn formatting_is_checked_and_done_once() {
    let ugly = GOOD.replace("    kind oidc", "  kind   oidc");
    let system = memory(&[("policy.kdl", &ugly), ("notes.txt", "x")]);
    assert_eq!(leaseholdc(&system, &["fmt", "--check"]).exit, Exit::Found);
    let ran = leaseholdc(&system, &["fmt"]);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Clean, "policy.kdl: formatted\n1 file, 1 changed\n"));
    let ran = leaseholdc(&system, &["fmt", "--check"]);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Clean, "1 file, 0 would change\n"));
    let broken = memory(&[("policy.kdl", "policy {"), ("b.kdl", GOOD)]);
    let ran = leaseholdc(&broken, &["fmt"]);
    assert_eq!(ran.exit, Exit::Found);
    assert!(ran.out.contains("P0001"), "{}", ran.out);
}

#[test]
fn a_question_names_objects_as_the_connection_has_them() {
    let http = "connection shop kind=http {\n    address \"https://shop.internal\"\n    \
                credential (file)\"secrets/shop\" user=gateway\n    upstream-auth bearer\n}\n";
    let policy = format!("{GOOD}{http}");
    let system = memory(&[("policies/policy.kdl", policy.as_str())]);
    let cases: [(&[&str], &str); 8] = [
        (
            &["who-can", "orders-db", "--path", "policies"],
            "its objects are named with --table, not with --path; the policy's folder is `--policy FOLDER`",
        ),
        (
            &["who-can", "shop", "--path", "policies"],
            "a path of an HTTP connection begins with `/`; the policy's folder is `--policy FOLDER`",
        ),
        (&["who-can", "shop", "--table", "a.b"], "its objects are named with --path, not with --table"),
        (&["who-can", "orders-db", "--table", "orders"], "a table is written schema.table"),
        (&["who-can", "orders-bd"], "did you mean `orders-db`?"),
        (&["who-can", "warehouse"], "there are orders-db, shop"),
        (&["what-can", "--kind", "human", "--group", "group:devs"], "there is no group `devs`; did you mean `dev`?"),
        (
            &["why", "shop", "--kind", "human", "--op", "select"],
            "http connections know no operation `select`; they know",
        ),
    ];
    for (words, says) in cases {
        let ran = leaseholdc(&system, words);
        assert_eq!(ran.exit, Exit::Usage, "{words:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(says), "{words:?}: {}", ran.err);
    }
    let ran = leaseholdc(&system, &["who-can", "orders-db", "--policy", "policies"]);
    assert_eq!(ran.exit, Exit::Clean, "{}", ran.err);
    assert!(ran.out.contains("  policies/policy.kdl:"), "a place is one that the shell finds: {}", ran.out);
}

const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

#[test]
fn a_bundle_is_built_and_verified() {
    let system = memory(&[("policy.kdl", GOOD), ("sign.pem", PRIVATE), ("sign.pub", PUBLIC)]);
    let ran =
        leaseholdc(&system, &["build", "-o", "out", "--sign-key", "sign.pem", "--commit", "abc", "--sequence", "3"]);
    assert_eq!(ran.exit, Exit::Clean, "{}{}", ran.out, ran.err);
    let ran = leaseholdc(&system, &["verify", "out", "--public-key", "sign.pub"]);
    assert_eq!(ran.exit, Exit::Clean, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("commit    abc") && ran.out.contains("sequence  3"), "{}", ran.out);
    assert_eq!(leaseholdc(&system, &["build", "-o", "plain"]).exit, Exit::Clean);
    let ran = leaseholdc(&system, &["verify", "plain", "--public-key", "sign.pub"]);
    assert_eq!(ran.exit, Exit::Found);
    assert!(ran.out.contains("not signed"), "{}", ran.out);
    assert_eq!(leaseholdc(&system, &["build", "--sign-key", "sign.pub"]).exit, Exit::Usage);
    assert_eq!(leaseholdc(&system, &["verify", "gone", "--public-key", "sign.pub"]).exit, Exit::Internal);
    let bad = memory(&[("policy.kdl", &GOOD.replace("audience leasehold", ""))]);
    assert_eq!(leaseholdc(&bad, &["build"]).exit, Exit::Found);
    assert!(!bad.is_file("policy.bundle"));
}

#[test]
fn rules_are_explained_and_listed() {
    let system = memory(&[]);
    let ran = leaseholdc(&system, &["explain"]);
    assert_eq!(ran.out.lines().count(), lang::diag::Code::ALL.len());
    assert_eq!(leaseholdc(&system, &["explain", "p0101"]).exit, Exit::Clean);
    let ran = leaseholdc(&system, &["explain", "P010"]);
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.err.contains("did you mean"), "{}", ran.err);
    assert_eq!(leaseholdc(&system, &["completions", "bash"]).exit, Exit::Clean);
}

/// A repository with two revisions: `base` and the work tree.
fn revisions(base: &str, now: &str) -> Memory {
    memory(&[(".revisions/base/policy.kdl", base), ("policy.kdl", now)])
}

#[test]
fn a_formatting_only_change_is_no_difference() {
    let ran = leaseholdc(
        &revisions(GOOD, &GOOD.replace("    to group:dev\n", "\n  to   group:dev // all of them\n")),
        &["diff", "base"],
    );
    assert_eq!(ran.exit, Exit::Clean, "{}", ran.err);
    assert!(ran.out.ends_with("semantic: unchanged\n"), "{}", ran.out);
    assert!(ran.out.contains("1 connection unchanged"), "{}", ran.out);
}

#[test]
fn a_revision_that_does_not_exist_is_a_wrong_question() {
    let ran = leaseholdc(&revisions(GOOD, GOOD), &["diff", "gone"]);
    assert_eq!(ran.exit, Exit::Usage, "{}", ran.err);
    assert!(ran.err.contains("no such revision"), "{}", ran.err);
}

#[test]
fn a_longer_window_widens_and_can_fail() {
    let longer = GOOD.replace("lifetime \"1h\"\n", "lifetime \"2h\"\n");
    let ran = leaseholdc(&revisions(GOOD, &longer), &["diff", "base", "--fail-on", "wider"]);
    assert_eq!(ran.exit, Exit::Widens, "{}", ran.err);
    for part in [
        "▲ orders-db  wider  (team:core)",
        "▲ group:dev  wider lifetime: read",
        "before   requested 1h, no approval, cooldown 5m via orders-db",
        "after    requested 2h, no approval, cooldown 5m",
        "witness  kind=human groups={dev}  orders-db  select x.x  Mon 2026-05-04 08:00",
        "needs review by team:core (group:dev): orders-db",
    ] {
        assert!(ran.out.contains(part), "{part}\n{}", ran.out);
    }
    let ran = leaseholdc(&revisions(&longer, GOOD), &["diff", "base", "--fail-on", "wider"]);
    assert_eq!(ran.exit, Exit::Clean, "{}", ran.out);
    assert!(ran.out.contains("narrower lifetime"), "{}", ran.out);
}

#[test]
fn nesting_ids_and_settings_are_seen() {
    let interns = "group interns idp=corp kind=human {\n    claim-value interns\n    within group:dev\n}\n";
    let apart = interns.replace("    within group:dev\n", "");
    let ran = leaseholdc(&revisions(&format!("{GOOD}{apart}"), &format!("{GOOD}{interns}")), &["diff", "base"]);
    assert!(ran.out.contains("▲ group:interns  new: read"), "{}", ran.out);
    let ran = leaseholdc(&revisions(GOOD, &GOOD.replace("claim-value dev", "claim-value devs")), &["diff", "base"]);
    assert!(ran.out.contains("◆ orders-db  mixed"), "one principal went, another came\n{}", ran.out);
    let ran = leaseholdc(&revisions(GOOD, &GOOD.replace("db.internal:5432", "evil.example:5432")), &["diff", "base"]);
    assert!(ran.out.contains("▲ target address: db.internal:5432 → evil.example:5432"), "{}", ran.out);
    let ran = leaseholdc(
        &revisions(GOOD, &GOOD.replace("audience leasehold", "audience leasehold other")),
        &["diff", "base"],
    );
    assert!(ran.out.contains("settings\n  ▲ idp corp audience: leasehold → leasehold; other"), "{}", ran.out);
    let ran = leaseholdc(
        &revisions(
            GOOD,
            &GOOD.replace("grant orders-db {", "grant orders-db id=daily {").replace("grant=orders-db", "grant=daily"),
        ),
        &["diff", "base"],
    );
    assert!(ran.out.contains("renamed: grant orders-db is now daily"), "{}", ran.out);
    assert!(ran.out.contains("semantic: changed without effect"), "{}", ran.out);
}

#[test]
fn a_witness_can_be_pasted_and_a_comment_is_found_again() {
    let wider = GOOD.replace("    when requested\n", "    when requested\n    permit read write\n");
    let ran = leaseholdc(&revisions(GOOD, &wider), &["diff", "base", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let test = report["connections"][0]["changes"][0]["test"].as_str().unwrap();
    let pasted = leaseholdc(&memory(&[("policy.kdl", &format!("{wider}{test}"))]), &["test"]);
    assert_eq!(pasted.exit, Exit::Clean, "{test}\n{}{}", pasted.out, pasted.err);
    assert!(pasted.out.contains("2 tests, 2 passed"), "{}", pasted.out);
    let ran = leaseholdc(&revisions(GOOD, &wider), &["diff", "base", "--format", "markdown"]);
    assert!(ran.out.starts_with(crate::report::diff::MARKER), "{}", ran.out);
    assert!(ran.out.contains("```kdl\n// kind=human groups={dev}  orders-db  insert x.x"), "{}", ran.out);
}

#[test]
fn a_directory_tells_who_is_affected() {
    let wider = GOOD.replace("    when requested\n", "    when requested\n    permit read write\n");
    let directory = r#"[{"subject":"mira","kind":"human","groups":["dev"],"github":"mira-gh"},
                        {"subject":"jo","kind":"human","groups":["ops"],"github":null}]"#;
    let system = memory(&[(".revisions/base/policy.kdl", GOOD), ("policy.kdl", &wider), ("directory.json", directory)]);
    let ran = leaseholdc(&system, &["diff", "base", "--directory", "directory.json", "--author", "@Mira-GH"]);
    assert!(ran.out.contains("1 gain: mira"), "{}", ran.out);
    assert!(ran.out.contains("! the author mira gains at orders-db"), "{}", ran.out);
    let ran = leaseholdc(&system, &["diff", "base", "--directory", "directory.json", "--format", "markdown"]);
    assert!(ran.out.contains("|\n\nBy the directory: 1 person at orders-db.\n"), "{}", ran.out);
}

#[test]
fn questions_are_answered_with_rules_and_places() {
    let system = memory(&[("policy.kdl", GOOD)]);
    let ran = leaseholdc(&system, &["who-can", "orders-db", "--op", "read", "--table", "public.orders"]);
    assert_eq!(ran.exit, Exit::Clean, "{}", ran.err);
    assert_eq!(
        ran.out,
        "orders-db  group:dev (human)  read on public.orders\n    requested 1h, no approval, cooldown 5m  via orders-db  policy.kdl:25\n",
    );
    let ran = leaseholdc(&system, &["who-can", "orders-db", "--op", "write"]);
    assert_eq!(ran.out, "nobody\n");
    let ran = leaseholdc(&system, &["what-can", "--kind", "human", "--group", "dev"]);
    assert!(ran.out.starts_with("orders-db  group:dev (human)  read\n"), "{}", ran.out);
    let question = ["orders-db", "--kind", "human", "--group", "group:dev", "--op", "select", "--table", "a.b"];
    let ran = leaseholdc(&system, &[&["why"], &question[..]].concat());
    assert_eq!(ran.exit, Exit::Clean, "{}", ran.err);
    assert!(ran.out.contains("permitted by orders-db  policy.kdl:25\n  requested 1h"), "{}", ran.out);
    assert!(ran.out.contains("  under limits base  policy.kdl:21\n"), "{}", ran.out);
    assert!(!ran.out.contains("masked"), "{}", ran.out);
    let mask = "mask mail {\n    column a.b.mail\n    column a.b.name\n    as redact\n}\n";
    let masked = memory(&[("policy.kdl", &format!("{GOOD}{mask}"))]);
    let ran = leaseholdc(&masked, &[&["why"], &question[..]].concat());
    assert!(ran.out.contains(", cooldown 5m, masked (redact mail, redact name)\n"), "{}", ran.out);
    let ran = leaseholdc(&system, &[&["why-not"], &question[..]].concat());
    assert_eq!(ran.exit, Exit::Found, "it is permitted");
    let ran = leaseholdc(&system, &["why-not", "orders-db", "--kind", "agent", "--op", "insert", "--table", "a.b"]);
    assert_eq!(ran.exit, Exit::Clean, "{}", ran.err);
    assert!(ran.out.contains("denied\nnot by orders-db (the nearest)  policy.kdl:25\n"), "{}", ran.out);
    assert!(ran.out.contains("it is for group:dev, which the subject does not hold"), "{}", ran.out);
    assert!(ran.out.contains("`insert` is not among the operations"), "{}", ran.out);
}

#[test]
fn assertions_are_proved_or_answered_with_a_request() {
    let text = format!(
        "{GOOD}assert \"nobody writes\" {{\n    never op=write\n}}\nassert \"a reason is always given\" {{\n    always reason=required\n}}\n"
    );
    let ran = leaseholdc(&memory(&[("policy.kdl", &text)]), &["test"]);
    assert_eq!(ran.exit, Exit::Found);
    assert!(ran.out.contains("ok      nobody writes\n"), "{}", ran.out);
    assert!(ran.out.contains("FAILED  a reason is always given  (policy.kdl:"), "{}", ran.out);
    assert!(ran.out.contains("witness: kind=human groups={dev}  orders-db  select x.x"), "{}", ran.out);
}

#[test]
fn a_new_policy_is_valid_formatted_and_never_written_over() {
    let system = memory(&[("notes.txt", "x")]);
    let ran = leaseholdc(&system, &["init"]);
    assert_eq!(ran.exit, Exit::Clean, "{}{}", ran.out, ran.err);
    let ran = leaseholdc(&system, &["check", "policies", "--format", "plain"]);
    assert_eq!(ran.exit, Exit::Clean, "{}", ran.out);
    let unexpected: Vec<&str> =
        ran.out.lines().filter(|line| line.contains(": warning[") && !line.contains("P0422")).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    let ran = leaseholdc(&system, &["test", "policies"]);
    assert_eq!((ran.exit, ran.out.contains("6 passed, 0 failed")), (Exit::Clean, true), "{}", ran.out);
    assert_eq!(leaseholdc(&system, &["fmt", "--check", "policies"]).exit, Exit::Clean);
    let again = leaseholdc(&system, &["init"]);
    assert_eq!(again.exit, Exit::Usage);
    assert!(again.err.contains("exists already"), "{}", again.err);
    let partly = memory(&[("new/grants.kdl", "")]);
    assert_eq!(leaseholdc(&partly, &["init", "new"]).exit, Exit::Usage);
    assert!(!partly.is_file("new/policy.kdl"), "nothing is written beside what is there");
}

#[test]
fn the_matrix_is_written_checked_and_stale_after_a_change() {
    let system = memory(&[("policy.kdl", GOOD)]);
    assert_eq!(leaseholdc(&system, &["matrix", "--check"]).exit, Exit::Found);
    assert_eq!(leaseholdc(&system, &["matrix", "--write"]).exit, Exit::Clean);
    assert_eq!(leaseholdc(&system, &["matrix", "--check"]).exit, Exit::Clean);
    let ran = leaseholdc(&system, &["matrix"]);
    let line = "| dev · human | requested, 1h | read | everything | cooldown 5m | full | orders-db |";
    assert!(ran.out.contains(line), "{}", ran.out);
    let wider = memory(&[
        ("policy.kdl", &GOOD.replace("    cooldown", "    permit read write\n    cooldown")),
        ("ACCESS.md", &ran.out),
    ]);
    assert_eq!(leaseholdc(&wider, &["matrix", "--check"]).exit, Exit::Found);
    assert!(leaseholdc(&wider, &["matrix"]).out.contains("| read write |"));
}

#[test]
fn a_graph_names_every_party_in_every_form() {
    let escalating = GOOD
        .replace("    timezone \"UTC\"\n", "    timezone \"UTC\"\n    labels { controls secrets; }\n")
        .replace("    owner team:core\n", "    owner team:core\n    label controls=secrets\n")
        .replace(
            "    cooldown",
            "    permit read write\n    allow P0709 reason=\"x\" until=\"2027-01-01\"\n    cooldown",
        );
    for (text, mark) in [(GOOD, None), (escalating.as_str(), Some("escalat"))] {
        let system = memory(&[("policy.kdl", text)]);
        for format in ["dot", "mermaid", "svg"] {
            let ran = leaseholdc(&system, &["graph", "--format", format]);
            assert_eq!(ran.exit, Exit::Clean, "{}{}", ran.out, ran.err);
            assert!(ran.out.contains("dev") && ran.out.contains("orders-db"), "{}", ran.out);
            if let Some(mark) = mark.filter(|_| format != "svg") {
                assert!(ran.out.contains(mark), "{}", ran.out);
            }
        }
    }
    let good = memory(&[("policy.kdl", GOOD)]);
    let ran = leaseholdc(&good, &["graph", "--show", "delegation", "--format", "svg"]);
    assert!(ran.out.contains(">core<") && ran.out.contains(">TEAMS<") && !ran.out.contains(">GRANTS"), "{}", ran.out);
    let ran = leaseholdc(&good, &["graph", "--format", "svg"]);
    assert!(ran.out.contains(">GRANTS<") && !ran.out.contains(">TEAMS<"), "{}", ran.out);
}

#[test]
fn a_graph_shows_every_line_of_delegation_and_every_forbid() {
    let more = "team side {\n    maintainers group:dev\n}\ndelegate team:core {\n    on orders-db\n    to group:dev\n    lifetime \"2h\"\n}\n\
                delegate team:side {\n    on orders-db\n    to group:dev\n    lifetime \"4h\"\n    no standing\n}\n\
                forbid never-agents {\n    to kind=agent\n    on orders-db\n}\n";
    let system = memory(&[("policy.kdl", &format!("{GOOD}{more}"))]);
    for format in ["dot", "mermaid", "svg"] {
        let ran = leaseholdc(&system, &["graph", "--show", "delegation", "--format", format]);
        for note in ["at most 2h", "at most 4h · no standing"] {
            assert!(ran.out.contains(note), "{note}: {}{}", ran.out, ran.err);
        }
        let ran = leaseholdc(&system, &["graph", "--format", format]);
        assert!(ran.out.contains("never-agents") && ran.out.contains("every agent"), "{}{}", ran.out, ran.err);
    }
}

#[test]
fn owners_are_printed_written_and_checked() {
    let text = GOOD.replace(
        "    maintainers group:dev\n",
        "    maintainers group:dev\n    reviewers \"@acme/core\"\n    folder \"teams/core\"\n",
    );
    let system = memory(&[("policies/policy.kdl", &text), (".github/CODEOWNERS", "* @acme/root\n")]);
    let ran = leaseholdc(&system, &["owners"]);
    assert!(ran.out.contains("/policies/teams/core/ @acme/core\n"), "{}", ran.out);
    assert_eq!(leaseholdc(&system, &["owners", "--check"]).exit, Exit::Found);
    assert_eq!(leaseholdc(&system, &["owners", "--write"]).exit, Exit::Clean);
    assert_eq!(leaseholdc(&system, &["owners", "--check"]).exit, Exit::Clean);
    assert_eq!(leaseholdc(&system, &["owners", "--check", "--prefix", "elsewhere"]).exit, Exit::Found);
}

#[test]
fn findings_and_results_come_in_every_format() {
    let wrong = GOOD.replace("expect requested grant", "expect requested lifetime=\"2h\" grant");
    let system = memory(&[("policy.kdl", &wrong)]);
    for (format, mark) in [
        ("human", "P0901"),
        ("plain", "error[P0901]"),
        ("json", "\"code\": \"P0901\""),
        ("sarif", "\"ruleId\": \"P0901\""),
        ("github", "::error "),
        ("junit", "<failure type=\"P0901\""),
    ] {
        let ran = leaseholdc(&system, &["check", "--format", format]);
        assert_eq!(ran.exit, Exit::Found);
        assert!(ran.out.contains(mark), "{format}: {}", ran.out);
        assert!(!ran.out.contains('\u{1b}'), "{format} is coloured although this is no terminal");
        let ran = leaseholdc(&system, &["test", "--format", format]);
        assert_eq!(ran.exit, Exit::Found, "{format}");
        assert!(!ran.out.is_empty() && !ran.out.contains('\u{1b}'), "{format}: {}", ran.out);
    }
    assert!(leaseholdc(&system, &["check", "--color", "always"]).out.contains('\u{1b}'));
    let script = leaseholdc(&system, &["completions", "bash"]).out;
    for word in ["init", "matrix", "graph", "owners"] {
        assert!(script.contains(word), "{word}");
    }
}
