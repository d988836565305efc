//! What `parse` says about whole files: one table of mistakes, and properties of every input.

use super::{ast::Document, keyword::Keyword, parse};
use crate::{
    diag::{Diagnostic, Sink, apply},
    span::SourceMap,
};

fn read(text: &str) -> (Document, Vec<Diagnostic>) {
    let mut sources = SourceMap::new();
    let id = sources.add("policy.kdl", text);
    let mut sink = Sink::new();
    let document = parse(id, &sources, &mut sink);
    (document, sink.finish(&sources))
}

/// One line for each finding: the code, the text it points to, and the message.
fn findings(text: &str) -> Vec<String> {
    let mut sources = SourceMap::new();
    let id = sources.add("policy.kdl", text);
    let mut sink = Sink::new();
    parse(id, &sources, &mut sink);
    sink.finish(&sources)
        .iter()
        .map(|found| {
            let span = found.span().map_or("", |span| sources.snippet(span));
            format!("{} `{}` {}", found.code, span.lines().next().unwrap_or(""), found.message)
        })
        .collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(findings(text), expected, "{text}");
}

/// The text after all its fixes.
fn fixed(text: &str) -> String {
    let (document, found) = read(text);
    let edits: Vec<_> = found.into_iter().filter_map(|found| found.fix).flat_map(|fix| fix.edits).collect();
    apply(text, document.source, &edits).unwrap()
}

const GRANT: &str = "grant logs {\n    to group:a\n    when requested\n    lifetime \"15m\"\n}\n";

#[test]
fn the_blog_form_is_correct_and_typed() {
    let (document, found) = read(
        "grant prod-logs {\n    to group:incident-triage-agents\n    when requested\n    lifetime \"15m\" extend=2 by=\"5m\"\n    recorded yes\n}\n",
    );
    assert_eq!(found, []);
    let grant = &document.nodes[0];
    assert_eq!((grant.keyword, grant.name()), (Keyword::Grant, Some("prod-logs")));
    assert_eq!(grant.clause(Keyword::To).unwrap().principals().groups[0].group(), Some("incident-triage-agents"));
    let lifetime = grant.clause(Keyword::Lifetime).unwrap();
    assert_eq!(lifetime.arg().unwrap().duration().unwrap().seconds(), 900);
    assert_eq!(lifetime.prop("extend").unwrap().integer(), Some(2));
    assert_eq!(grant.value(Keyword::Recorded).unwrap().as_str(), Some("full"), "`yes` means full");
    assert!(!grant.broken && !document.broken);
}

#[test]
fn syntax_mistakes_are_all_found() {
    check(
        "idp a { kind oidc; issuer \"https://x\"; audience \"b }\ngroup g idp=\nconnection ) kind=ssh\n",
        &[
            "P0001 `{` this `{` has no `}`",
            "P0001 `\"b }` the string does not end",
            "P0001 `idp=` this property has no value",
            "P0001 `)` parentheses hold the annotation of a value, for example `(uuid)\"…\"`",
        ],
    );
    check("}\n", &["P0001 `}` this `}` has no `{`"]);
    check("{ a; }\n", &["P0001 `{` this block belongs to no node: the `{` stands on the line of its node"]);
    check(
        "guard g { on a; block get path=/v1/refunds/** table=x; }",
        &["P0001 `/v1/refunds/**` `/v1/refunds/**` must stand in quotes"],
    );
    check("disjoint group:a \"\\q\"", &["P0001 `\\q` the escape `\\q` does not exist"]);
    check("disjoint group:a group:\u{202E}b", &["P0001 `\u{202E}` the character U+202E must not stand in a policy"]);
}

#[test]
fn times_without_quotes_get_a_fix() {
    let text = GRANT.replace("\"15m\"", "15m").replace("when requested", "hours Mon-Fri 07:00-20:00; when requested");
    check(
        &text,
        &[
            "P0002 `Mon-Fri 07:00-20:00` hours are written in quotes: `\"Mon-Fri 07:00-20:00\"`",
            "P0002 `15m` durations are written in quotes: `\"15m\"`",
        ],
    );
    assert_eq!(findings(&fixed(&text)), Vec::<String>::new());
    check(
        "forbid f { to kind=agent; on x; valid until=2026-12-31; }",
        &["P0002 `2026-12-31` days are written in quotes: `\"2026-12-31\"`"],
    );
}

#[test]
fn unknown_words_name_the_nearest() {
    let (_, found) = read("grnat x { to group:a; when requested; lifetime \"1h\"; }");
    assert_eq!(found[0].message, "unknown node `grnat`");
    assert_eq!(found[0].help.as_deref(), Some("did you mean `grant`?"));
    check(&GRANT.replace("lifetime", "liftime"), &["P0003 `liftime` `grant` has no clause `liftime`"]);
    let (_, found) = read("lifetime \"15m\"\n");
    assert_eq!(
        found[0].help.as_deref(),
        Some("`lifetime` stands in the block of `limits`, `grant`, `break-glass` or `delegate`")
    );
    check(
        "connection c kind=ssh { x }\n",
        &[
            "P0009 `connection c kind=ssh` `connection` lacks the clause `address`",
            "P0003 `x` `connection` has no clause `x`",
        ],
    );
}

#[test]
fn values_are_judged_by_their_domain() {
    let clause = |clause: &str| GRANT.replace("when requested", &format!("when requested; {clause}"));
    for (text, expected) in [
        ("recorded maybe", "P0004 `maybe` `recorded` takes `none`, `metadata` or `full`, not `maybe`"),
        ("recorded #true", "P0004 `#true` `recorded` takes `none`, `metadata` or `full`, not `#true`"),
        ("recorded true", "P0006 `true` a bare `true` is not KDL v2"),
        ("cooldown 15", "P0004 `15` `cooldown` takes a duration with its unit, for example \"15m\", not 15"),
        (
            "cooldown \"15 min\"",
            "P0004 `\"15 min\"` `15 min` is not a length of time; write for example \"15m\", \"1h30m\" or \"2d\"",
        ),
        (
            "hours \"Mon 08:00-08:00\"",
            "P0415 `\"Mon 08:00-08:00\"` `Mon 08:00-08:00` contains no time: it ends when it begins",
        ),
        (
            "ticket \"^x$\"",
            "P0004 `\"^x$\"` `ticket` takes a regular expression, for example `(regex)#\"^INC-\\d+$\"#`",
        ),
        ("ticket (regx)\"^x$\"", "P0004 `(regx)` the annotation `(regx)` means nothing here"),
        ("description (x)\"a\"", "P0004 `(x)` the annotation `(x)` means nothing here"),
        ("at-most 1.5 per=\"1h\"", "P0004 `1.5` `at-most` takes a whole number from 0 to 1000, not a fraction"),
        ("at-most 6", "P0009 `at-most 6` `at-most` lacks `per=`"),
        ("at-most \"6\" per=\"1h\"", "P0004 `\"6\"` `at-most` takes a number without quotes"),
        (
            "valid until=\"2026-13-01\"",
            "P0004 `\"2026-13-01\"` `until` takes a day in quotes, for example \"2026-12-31\", not `2026-13-01`",
        ),
        (
            "valid until=\"2026-01-01\" from=\"2026-02-01\"",
            "P0415 `valid until=\"2026-01-01\" from=\"2026-02-01\"` the rule ends on 2026-01-01, before it begins on 2026-02-01",
        ),
        ("valid", "P0009 `valid` `valid` says nothing"),
        ("to b", "P0004 `b` `to` takes a group, which is written `group:b`"),
        ("to group:b kimd=agent", "P0004 `kimd=agent` `to` has no property `kimd`"),
        ("to all-of", "P0009 `to all-of` `all-of` lacks its groups"),
        ("beside group:x", "P0004 `group:x` `beside` takes the name of a grant, not `group:x`"),
        ("cooldown \"1h\" max=\"1h\"", "P0004 `max=\"1h\"` `cooldown` has no property `max`"),
        ("cooldown \"1h\" \"2h\"", "P0004 `\"2h\"` `cooldown` takes one argument"),
        ("cooldown \"1h\" { x }", "P0004 `x` `cooldown` has no block"),
        ("cooldown \"1h\"; cooldown \"2h\"", "P0005 `cooldown` `cooldown` stands twice"),
        ("valid until=\"2026-01-01\" until=\"2026-01-02\"", "P0005 `until` the property `until` stands twice"),
        ("allow P9999", "P0004 `P9999` there is no rule `P9999`"),
        ("permit Read", "P0004 `Read` `permit` takes the name of an operation, not `Read`"),
        ("cooldown \"\"", "P0004 `\"\"` an empty length of time"),
    ] {
        check(&clause(text), &[expected]);
    }
}

#[test]
fn group_ids_are_uuids_with_their_annotation() {
    let group = |id: &str| format!("group g idp=e {{ id {id}; }}");
    check(&group("(uuid)\"8c1e0f2a-71c5-4a58-9a63-0a2f6f1d7b10\""), &[]);
    check(&group("(uuid)\"Developers\""), &["P0203 `(uuid)\"Developers\"` `Developers` is not a UUID"]);
    let bare = group("\"8c1e0f2a-71c5-4a58-9a63-0a2f6f1d7b10\"");
    assert_eq!(findings(&fixed(&bare)), Vec::<String>::new());
    let (_, found) = read(&group("\"Developers\""));
    assert!(found[0].notes[0].contains("never by their display name"), "{found:?}");
}

#[test]
fn connections_match_their_kind() {
    let connection = |kind: &str, body: &str| format!("connection c kind={kind} {{ {body}; }}");
    check(&connection("postgres", "address \"db:5432\" database=x"), &[]);
    check(
        &connection("ssh", "address \"h:22\" database=x"),
        &[
            "P0009 `connection c kind=ssh` a connection of kind `ssh` lacks the clause `host-key`",
            "P0004 `x` a connection of kind `ssh` has no database",
        ],
    );
    check(
        &connection("http", "address \"http://x\""),
        &["P0004 `\"http://x\"` the address of a connection of kind `http` is an https URL"],
    );
    check(
        &connection("postgres", "address \"db\""),
        &["P0004 `\"db\"` the address of a connection of kind `postgres` is a host and a port"],
    );
    for address in ["db:5432", "10.0.0.1:5432", "[::1]:5432"] {
        check(&connection("postgres", &format!("address \"{address}\"")), &[]);
    }
    for address in [":5432", "::1:5432", "me@db:5432", "x/db:5432", "a db:5432", "db:0", "db:65536", "db:x"] {
        let says = format!("P0004 `\"{address}\"` the address of a connection of kind `postgres` is a host and a port");
        check(&connection("postgres", &format!("address \"{address}\"")), &[&says]);
    }
    check(
        &connection("postgres", "address \"db:1\"; credential \"hunter2\" user=x"),
        &["P0004 `\"hunter2\"` `credential` needs an annotation that says where the secret is kept"],
    );
    check("limits l { on a env=prod; }", &["P0004 `on a env=prod` a line of `on` is names or properties, never both"]);
}

#[test]
fn structure_within_a_node_is_judged() {
    check("mask m { as redact; }", &["P0009 `mask m` a mask hides nothing"]);
    check("mask m { class pii.*; as partial; }", &["P0009 `as partial` `as partial` keeps nothing"]);
    check("mask m { class pii.*; as fixed; }", &["P0009 `as fixed` `as fixed` lacks its text"]);
    check("assert a { to kind=agent; }", &["P0009 `assert a` the assertion claims nothing"]);
    check(
        "assert a { never class=pci.pan; }",
        &["P0004 `never class=pci.pan` `raw` and `class=` stand together: `never raw class=pci.pan`"],
    );
    check("idp e { kind entra; audience \"x\"; }", &["P0009 `idp e` an idp of kind `entra` lacks the clause `tenant`"]);
    check("disjoint group:a", &["P0009 `disjoint group:a` `disjoint` needs two groups at least"]);
}

/// Tokens are believed because of keys that the authority publishes: only a stand-in on this machine may take its place.
#[test]
fn an_authority_is_on_this_machine() {
    let idp = |authority: &str| {
        format!(
            "idp e {{ kind entra; tenant (uuid)\"9d1f0000-0000-4000-8000-000000000001\"; audience x; authority \"{authority}\"; }}"
        )
    };
    for authority in [
        "http://127.0.0.1:8080",
        "http://127.0.0.1",
        "http://localhost:8080/entra",
        "http://localhost",
        "http://[::1]:8080",
        "http://[::1]/",
    ] {
        check(&idp(authority), &[]);
    }
    for authority in ["https://127.0.0.1", "https://login.microsoftonline.us"].iter().chain(&ELSEWHERE) {
        let says = format!("P0004 `\"{authority}\"` the authority `{authority}` is not plain HTTP on this machine");
        check(&idp(authority), &[&says]);
    }
}

/// No gateway believes what comes from here, however much it looks like this machine.
const ELSEWHERE: [&str; 10] = [
    "http://login.example.com",
    "http://login.example.com/localhost",
    "http://127.0.0.1.example.com",
    "http://localhost.example.com:8080",
    "http://127.0.0.1@example.com",
    "http://localhost:80@example.com",
    "http://10.0.0.1:8080",
    "http://example.com?http://127.0.0.1",
    "http://127.0.0.1:8080?x",
    "http://127.0.0.1#x",
];

#[test]
fn an_issuer_is_over_https_or_on_this_machine() {
    let idp = |issuer: &str| format!("idp c {{ kind oidc; issuer \"{issuer}\"; audience x; }}");
    for issuer in [
        "https://login.example.com",
        "https://login.example.com:8443/realms/@one/",
        "http://localhost:8080/realms/one",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
    ] {
        check(&idp(issuer), &[]);
    }
    for issuer in ["https://x@example.com", "https://example.com?x", "https://example.com/#x"].iter().chain(&ELSEWHERE)
    {
        let says = format!("P0004 `\"{issuer}\"` the issuer `{issuer}` is neither over HTTPS nor on this machine");
        check(&idp(issuer), &[&says]);
    }
}

/// What cannot be used keeps its text, by which editors name the node that it stands in.
#[test]
fn an_unusable_value_keeps_its_text() {
    for (written, text) in [
        ("\"Night Shift\"", "Night Shift"),
        ("42", "42"),
        ("#true", "#true"),
        ("#null", "#null"),
        ("1.5", "a fraction"),
        ("nan", "nan"),
    ] {
        let (document, _) = read(&format!("forbid {written} {{ to group:a; on x; }}"));
        let value = document.nodes[0].arg().unwrap();
        assert_eq!(value.text, text, "{written}");
    }
    let (document, _) = read("forbid 42 { to group:a; on x; }");
    assert!(document.nodes[0].arg().unwrap().is_invalid());
}

#[test]
fn pasted_yaml_becomes_a_block() {
    let block = "grant prod-logs {\n    to group:triage group:sre\n    when requested\n    lifetime \"15m\"\n    recorded yes\n}";
    for text in [
        "grant prod-logs\n  to: group:triage group:sre\n  when: requested\n  lifetime: 15m\n  recorded: yes\n",
        "grant: prod-logs\nto: group:triage group:sre\nwhen: requested\nlifetime: 15m\nrecorded: yes\n",
        "grant prod-logs:\n  to:\n    - group:triage\n    - group:sre\n  when: requested\n  lifetime: \"15m\"\n  recorded: yes\n",
    ] {
        check(
            text,
            &[&format!(
                "P0007 `{}` the clauses of `grant` are written as in YAML",
                if text.starts_with("grant") { "to:" } else { "" }
            )],
        );
        assert_eq!(fixed(text), format!("{block}\n"), "{text}");
        assert_eq!(findings(&fixed(text)), Vec::<String>::new());
    }
    let inside = GRANT.replace("to ", "to: ");
    check(&inside, &["P0007 `to:` `to:` is YAML: a name has no colon"]);
    assert_eq!(fixed(&inside), GRANT);
    let two = "grant a\n  to: group:x\n  when: requested\n  lifetime: 1h\ngrant b\n  to: group:x\n  when: requested\n  lifetime: 2h\n";
    assert_eq!(findings(two).len(), 2, "{:?}", findings(two));
    assert_eq!(findings(&fixed(two)), Vec::<String>::new());
}

/// One habit in a file does not make a block of what stands behind another node.
#[test]
fn what_only_follows_is_no_part_of_a_pasted_block() {
    check(
        "grant logs\nto group:a\nteam b { maintainers: group:b; }\n",
        &[
            "P0009 `grant logs` `grant` lacks the clause `to`",
            "P0009 `grant logs` `grant` lacks the clause `when`",
            "P0003 `to` unknown node `to`",
            "P0007 `maintainers:` `maintainers:` is YAML: a name has no colon",
        ],
    );
    let found = findings("grant logs:\n  to: group:a\n  colour: red\n  when: requested\n  lifetime: \"1h\"\n");
    assert!(found.contains(&"P0003 `colour:` unknown node `colour`".to_owned()), "{found:#?}");
}

#[test]
fn kdl_v1_is_named() {
    check("/- kdl-version 1\n", &["P0006 `1` this is a KDL v1 document"]);
    check("/- kdl-version 2\n", &[]);
    check(
        &GRANT.replace("when", "ticket (regex)r#\"^x$\"#; when"),
        &["P0006 `r#\"^x$\"#` this raw string is written as in KDL v1"],
    );
}

#[test]
fn removed_nodes_are_seen() {
    check(
        &format!(
            "/- kdl-version 2\n/- forbid x {{\n to group:a\n}}\n{}",
            GRANT.replace("when", "/- hours \"Mon 07:00-08:00\"\n when")
        ),
        &[
            "P1005 `/- forbid x {` `/-` removes the node `forbid` from the policy",
            "P1005 `/- hours \"Mon 07:00-08:00\"` `/-` removes the node `hours` from the policy",
        ],
    );
    check("disjoint group:a group:b /-group:c", &["P1005 `/-group:c` `/-` removes a value from the policy"]);
}

#[test]
fn limits_hold_before_the_stack_does() {
    let deep = "a {".repeat(100_000);
    assert!(findings(&deep).iter().any(|found| found.starts_with("P0008 `{` blocks are nested more than 32")));
    let quoted = format!("description \"{}\"", "{".repeat(100));
    assert!(!findings(&quoted).iter().any(|found| found.starts_with("P0008")));
    assert!(findings(&"a;".repeat(100_000)).iter().any(|found| found.contains("more than 60000 nodes")));
    assert_eq!(findings(&" ".repeat(1024 * 1024 + 1)).len(), 1);
    assert!(findings(&"/-{".repeat(100_000)).len() < 300);
    assert!(findings(&"a /-{ ".repeat(100_000)).len() < 300);
}

#[test]
fn a_flood_of_mistakes_is_cut() {
    let found = findings(&"grant;".repeat(50_000));
    assert_eq!(found.len(), 201);
    assert_eq!(found[0], "P0008 `` the file has 200 mistakes or more, and the rest is not shown");
}

/// Mistakes of form are cut where those of meaning are.
#[test]
fn mistakes_are_cut_at_the_same_number_wherever_they_are_found() {
    for bad in ["}\n", "grant x {\n    to group:a\n    when requested\n}\n", "grnat x\n"] {
        let all = findings(&bad.repeat(199));
        assert!(all.len() == 199 && !all.iter().any(|found| found.starts_with("P0008")), "{all:#?}");
        for more in [200, 201, 300] {
            let cut = findings(&bad.repeat(more));
            assert_eq!(cut.len(), 201, "{more}");
            assert_eq!(cut[0], "P0008 `` the file has 200 mistakes or more, and the rest is not shown");
        }
    }
}

#[test]
fn every_text_can_be_visited() {
    let (document, _) = read("forbid f { to group:a; on env=prod; description \"why\"; }");
    let mut seen = Vec::new();
    document.visit_texts(&mut |path, value| {
        let words: Vec<_> = path.iter().map(|node| node.word.value.as_str()).collect();
        seen.push(format!("{} {}", words.join("/"), value.text));
    });
    assert_eq!(seen, ["forbid f", "forbid/to a", "forbid/on prod", "forbid/description why"]);
}
