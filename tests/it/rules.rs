//! Every rule that is looked for has a page whose examples do what the page says, fixtures, and the suppression that
//! the registry states; and the list of rules in docs/rules is the registry's. `BLESS=1` rewrites that list.
//!
//! A page's example is a fragment: it is compiled behind `compiler/src/errors/prelude.kdl`, unless it brings a
//! `policy` of its own. A block below a line with nothing but a path and a colon is that file of the same policy.

use compiler::{
    check::is_implemented,
    compile::{Compilation, Options, compile},
    system::Memory,
};
use lang::{
    diag::{Code, Severity, Sink, Suppression},
    span::{SourceMap, Span},
    syntax,
    time::Timestamp,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// The instant at which all examples are judged: a Monday morning.
const AT: &str = "2026-05-04T10:00:00+02:00";
/// The parts of a page, in order.
const SECTIONS: [&str; 6] =
    ["Summary", "Why it matters", "Example that fires", "How to fix", "Configuration", "Related"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn implemented() -> impl Iterator<Item = Code> {
    Code::ALL.iter().copied().filter(|code| is_implemented(*code))
}

fn page(code: Code) -> Option<String> {
    fs::read_to_string(root().join(format!("compiler/src/errors/{code}.md"))).ok()
}

/// A policy by the paths of its files.
type Files = BTreeMap<String, String>;

fn judge(files: &Files) -> Compilation {
    let at = Timestamp::parse_rfc3339(AT).unwrap();
    let memory = Memory::new(at, files.iter().map(|(path, text)| (path.clone(), text.as_bytes().to_vec())));
    compile(&memory, "", at, &Options::default()).unwrap()
}

/// The section of a page.
fn section<'a>(page: &'a str, name: &str) -> &'a str {
    let rest = page.split_once(&format!("\n## {name}\n")).map_or("", |(_, rest)| rest);
    rest.split("\n## ").next().unwrap_or("").trim()
}

/// The examples of a section as whole policies.
fn examples(page: &str, name: &str) -> Vec<Files> {
    let prelude = fs::read_to_string(root().join("compiler/src/errors/prelude.kdl")).unwrap();
    let mut all: Vec<Files> = Vec::new();
    let mut parts = section(page, name).split("```kdl\n");
    let mut before = parts.next().unwrap_or("");
    for part in parts {
        let (block, after) = part.split_once("```").unwrap();
        let file = before.trim().strip_prefix('`').and_then(|path| path.strip_suffix("`:"));
        match (file, all.last_mut()) {
            (Some(path), Some(files)) => {
                files.insert(path.to_owned(), block.to_owned());
            }
            (Some(_) | None, _) => {
                let text = if block.starts_with("policy ") { block.to_owned() } else { format!("{prelude}{block}") };
                all.push(Files::from([("policy.kdl".to_owned(), text)]));
            }
        }
        before = after;
    }
    all
}

fn codes(compilation: &Compilation) -> Vec<String> {
    compilation
        .diagnostics
        .iter()
        .map(|found| format!("{}[{}] {}", found.severity, found.code, found.message))
        .collect()
}

#[test]
fn every_rule_that_is_looked_for_has_a_page_and_fixtures() {
    let mut missing = String::new();
    for code in implemented() {
        let Some(page) = page(code) else {
            writeln!(missing, "{code} has no page").unwrap();
            continue;
        };
        if !page.starts_with(&format!("# {code}: {}\n", code.summary())) {
            writeln!(missing, "the page of {code} begins with `# {code}: {}`", code.summary()).unwrap();
        }
        for name in SECTIONS.iter().filter(|name| section(&page, name).is_empty()) {
            writeln!(missing, "the page of {code} has nothing under `{name}`").unwrap();
        }
        for related in section(&page, "Related").split(", ") {
            if Code::parse(related).is_none() {
                writeln!(missing, "the page of {code} relates to `{related}`, which is no rule").unwrap();
            }
        }
        let folder = root().join(format!("fixtures/policy/{code}"));
        for kind in ["fires", "silent"] {
            let found = fs::read_dir(&folder).into_iter().flatten().any(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_str()
                    .is_some_and(|name| name.starts_with(kind) && !name.ends_with(".txt"))
            });
            if !found {
                writeln!(missing, "{code} has no fixture that {kind}").unwrap();
            }
        }
    }
    for entry in fs::read_dir(root().join("compiler/src/errors")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stray = name.strip_suffix(".md").is_some_and(|id| Code::parse(id).is_none_or(|code| !is_implemented(code)));
        if stray {
            writeln!(missing, "{name} is the page of a rule that nothing looks for").unwrap();
        }
    }
    assert!(missing.is_empty(), "{missing}");
}

#[test]
fn examples_of_pages_do_what_the_pages_say() {
    let mut wrong = String::new();
    for code in implemented() {
        let Some(page) = page(code) else { continue };
        let (fires, silent) = (examples(&page, "Example that fires"), examples(&page, "How to fix"));
        if fires.is_empty() || silent.is_empty() {
            writeln!(wrong, "{code} lacks an example").unwrap();
        }
        for files in fires {
            let compilation = judge(&files);
            if !compilation.diagnostics.iter().any(|found| found.code == code) {
                writeln!(wrong, "{code} does not fire on its example: {:#?}", codes(&compilation)).unwrap();
            }
        }
        for files in silent {
            let compilation = judge(&files);
            let bad = |found: &&lang::diag::Diagnostic| found.code == code || found.severity == Severity::Error;
            if let Some(found) = compilation.diagnostics.iter().find(bad) {
                writeln!(wrong, "the way to mend {code} leaves {}[{}] {}", found.severity, found.code, found.message)
                    .unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The policy with an `allow` in the node that `span` lies in; `None` when it lies in none.
fn with_allow(files: &Files, compilation: &Compilation, span: Span, allow: &str) -> Option<Files> {
    let path = compilation.sources.path(span.source);
    let text = files.get(path)?;
    let document = syntax::parse(span.source, &compilation.sources, &mut Sink::new());
    let node = document.nodes.iter().find(|node| node.span.contains(span))?;
    let (start, end) = (node.span.start as usize, node.span.end as usize);
    let body = text.get(start..end)?;
    let node = match body.rfind('}') {
        Some(at) => format!("{}\n{allow}\n{}", &body[..at], &body[at..]),
        None => format!("{} {{\n{allow}\n}}\n", body.trim_end()),
    };
    let mut files = files.clone();
    files.insert(path.to_owned(), format!("{}{node}{}", &text[..start], &text[end..]));
    Some(files)
}

/// Rules whose findings lie in no node that could hold an `allow`: a slashdashed node is none.
const OUTSIDE_NODES: [&str; 1] = ["P1005"];

/// What an `allow` may not say; a blank reason is no text at all (P0004).
const REFUSED: [&str; 4] = [
    "until=\"2099-12-31\"",
    "reason=\"  \" until=\"2099-12-31\"",
    "reason=\"a test\"",
    "reason=\"a test\" until=\"2026-05-03\"",
];

/// How an `allow` of one rule is taken: whether it silenced anything, and whether something is wrong with it.
fn taken(code: Code, before: &Compilation, after: &Compilation) -> (bool, bool) {
    let count = |compilation: &Compilation| compilation.diagnostics.iter().filter(|it| it.code == code).count();
    (count(after) < count(before), after.diagnostics.iter().any(|found| found.code == Code::P1009))
}

#[test]
fn suppression_is_what_the_registry_says() {
    let (mut wrong, mut walked, mut suppressed) = (String::new(), BTreeSet::new(), BTreeSet::new());
    for code in implemented().filter(|code| *code != Code::P1009) {
        for files in page(code).map(|page| examples(&page, "Example that fires")).unwrap_or_default() {
            let before = judge(&files);
            let Some(found) = before.diagnostics.iter().find(|found| found.code == code) else { continue };
            let put = |rest: &str| {
                let allow = format!("allow {code} {rest}");
                found.span().and_then(|span| with_allow(&files, &before, span, &allow)).map(|files| judge(&files))
            };
            let Some(after) = put("reason=\"a test\" until=\"2099-12-31\"") else { continue };
            walked.insert(code.id());
            let (silenced, complained) = taken(code, &before, &after);
            let silent = match code.suppression(found.severity) {
                Suppression::Anywhere | Suppression::OutsideTeams => silenced && !complained,
                // A failed test comes after suppression, so its `allow` suppresses nothing. A policy that cannot be
                // read is not searched for suppressions at all.
                Suppression::Never => (!silenced || complained) && after.checked.is_none(),
            };
            if !silent {
                writeln!(wrong, "{code} with an `allow`: {:#?}", codes(&after)).unwrap();
            }
            if code.suppression(found.severity) == Suppression::Never {
                continue;
            }
            suppressed.insert(code.id());
            // Nobody accepts a finding for ever, without saying why, or after the day.
            for rest in REFUSED {
                let after = put(rest).unwrap();
                let (silenced, complained) = taken(code, &before, &after);
                let blank = after.diagnostics.iter().any(|found| found.code == Code::P0004);
                let refused = blank || (complained && !silenced);
                if !refused || after.checked.is_some() {
                    writeln!(wrong, "{code} with `allow {code} {rest}`: {:#?}", codes(&after)).unwrap();
                }
            }
            // The day itself is included.
            let after = put("reason=\"a test\" until=\"2026-05-04\"").unwrap();
            if taken(code, &before, &after) != (true, false) {
                writeln!(wrong, "{code} on the last day of its `allow`: {:#?}", codes(&after)).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    // A text that cannot be read (P00) has no nodes, and its errors are suppressed by nothing.
    let missed =
        implemented().map(Code::id).filter(|id| *id != "P1009" && !id.starts_with("P00") && !walked.contains(id));
    assert_eq!(missed.collect::<Vec<_>>(), OUTSIDE_NODES, "rules without an `allow` at their finding");
    let soft = implemented().filter(|code| code.suppression(code.severity()) != Suppression::Never).map(Code::id);
    let soft = soft.filter(|id| !suppressed.contains(id));
    // The example of P0310 is one of production, where it is an error.
    let expected = ["P0310"].into_iter().chain(OUTSIDE_NODES);
    assert_eq!(soft.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "rules that were never seen suppressed");
}

/// The policy with the node that holds `clause` moved into the folder of a team.
fn in_a_team_folder(text: &str, clause: &str) -> Files {
    let mut sources = SourceMap::new();
    let id = sources.add("policy.kdl".to_owned(), text);
    let document = syntax::parse(id, &sources, &mut Sink::new());
    let node = document.nodes.iter().find(|node| sources.snippet(node.span).contains(clause)).unwrap().span;
    let (start, end) = (node.start as usize, node.end as usize);
    let group = if text.contains("group leads ") { "leads" } else { "sre" };
    let team = format!("team owners {{\nmaintainers group:{group}\nfolder \"teams/owners\"\n}}\n");
    let rest = format!("{}{}{team}", &text[..start], &text[end..]);
    let rest = rest.replacen("    timezone", "    include \"teams/owners/*.kdl\"\n    timezone", 1);
    Files::from([("policy.kdl".to_owned(), rest), ("teams/owners/rules.kdl".to_owned(), text[start..end].to_owned())])
}

#[test]
fn a_team_suppresses_no_error_in_its_own_folder() {
    let outside = implemented().filter(|code| code.suppression(Severity::Error) == Suppression::OutsideTeams);
    let mut seen = 0;
    for code in outside {
        let pages = page(code).map(|page| examples(&page, "Example that fires")).unwrap_or_default();
        for files in pages {
            let before = judge(&files);
            let fires = |found: &&lang::diag::Diagnostic| found.code == code && found.severity == Severity::Error;
            let Some(span) = before.diagnostics.iter().find(fires).and_then(lang::diag::Diagnostic::span) else {
                continue;
            };
            let allow = format!("allow {code} reason=\"a test\" until=\"2099-12-31\"");
            let Some(allowed) = with_allow(&files, &before, span, &allow) else { continue };
            assert!(taken(code, &before, &judge(&allowed)).0, "{code} outside team folders");
            let after = judge(&in_a_team_folder(&allowed["policy.kdl"], &allow));
            assert!(taken(code, &before, &after).1, "{code}: {:#?}", codes(&after));
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen} of the three rules");
}

fn list() -> String {
    let mut out = String::from(
        "# Rules\n\nWhat `leaseholdc check` looks for. `leaseholdc explain P0101` shows the page of a rule. This list is \
         generated from the registry;\n`BLESS=1 cargo test -p tests --test it rules` writes it.\n\nThe examples of the pages are fragments: \
         names that they do not define stand in\n[the policy in front of them](../../compiler/src/errors/prelude.kdl).\n\n| Rule | Weight | \
         Suppression | What it finds |\n|---|---|---|---|\n",
    );
    for code in implemented() {
        let suppression = match (code.suppression(code.severity()), code.is_ever_suppressible(), code.severity()) {
            (Suppression::Anywhere, _, _) => "`allow`",
            (Suppression::OutsideTeams, _, _) => "`allow`, outside team folders",
            (Suppression::Never, true, _) => "not as an error",
            (Suppression::Never, false, _) => "never",
        };
        let summary = code.summary().replace('|', "\\|");
        writeln!(
            out,
            "| [{code}](../../compiler/src/errors/{code}.md) | {} | {suppression} | {summary} |",
            code.severity()
        )
        .unwrap();
    }
    out.push_str("\n## Not looked for yet\n\nTheir ids are taken, and nothing reports them.\n\n");
    for code in Code::ALL.iter().filter(|code| !is_implemented(**code)) {
        writeln!(out, "- {code}: {}", code.summary()).unwrap();
    }
    out
}

#[test]
fn the_list_of_rules_is_fresh() {
    let path = root().join("docs/rules/README.md");
    let expected = list();
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "docs/rules/README.md is stale; BLESS=1 rewrites it");
}
