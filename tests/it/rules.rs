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
    span::Span,
    syntax,
    time::Timestamp,
};
use std::{
    collections::BTreeMap,
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
fn with_allow(files: &Files, compilation: &Compilation, span: Span, code: Code) -> Option<Files> {
    let path = compilation.sources.path(span.source);
    let text = files.get(path)?;
    let document = syntax::parse(span.source, &compilation.sources, &mut Sink::new());
    let node = document.nodes.iter().find(|node| node.span.contains(span))?;
    let (start, end) = (node.span.start as usize, node.span.end as usize);
    let body = text.get(start..end)?;
    let allow = format!("allow {code} reason=\"a test\" until=\"2099-12-31\"");
    let node = match body.rfind('}') {
        Some(at) => format!("{}\n{allow}\n{}", &body[..at], &body[at..]),
        None => format!("{} {{\n{allow}\n}}\n", body.trim_end()),
    };
    let mut files = files.clone();
    files.insert(path.to_owned(), format!("{}{node}{}", &text[..start], &text[end..]));
    Some(files)
}

#[test]
fn suppression_is_what_the_registry_says() {
    let mut wrong = String::new();
    for code in implemented().filter(|code| *code != Code::P1009) {
        let Some(files) = page(code).and_then(|page| examples(&page, "Example that fires").into_iter().next()) else {
            continue;
        };
        let before = judge(&files);
        let Some(found) = before.diagnostics.iter().find(|found| found.code == code) else { continue };
        let Some(allowed) = found.span().and_then(|span| with_allow(&files, &before, span, code)) else { continue };
        let after = judge(&allowed);
        let count = |compilation: &Compilation| compilation.diagnostics.iter().filter(|it| it.code == code).count();
        let silenced = count(&after) < count(&before);
        let complained = after.diagnostics.iter().any(|found| found.code == Code::P1009);
        let expected = match code.suppression(found.severity) {
            Suppression::Anywhere | Suppression::OutsideTeams => silenced && !complained,
            // A failed test comes after suppression, so its `allow` suppresses nothing. A policy that cannot be read
            // is not searched for suppressions at all.
            Suppression::Never => (!silenced || complained) && after.checked.is_none(),
        };
        if !expected {
            writeln!(wrong, "{code} with an `allow`: {:#?}", codes(&after)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
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
