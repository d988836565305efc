//! The invariants of `ARCHITECTURE.md`, executable. A failure names the file, the line and the invariant.

use std::fs;
use std::path::{Path, PathBuf};

/// One line that breaks an invariant.
struct Finding(String);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Rust files below a folder of the repository, with their paths relative to the root.
fn sources(below: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(below)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !matches!(name.as_str(), "target" | "node_modules" | ".git") {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            found.push((relative, fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// Files that exist for tests only: a module that its parent declares under `#[cfg(test)]`.
fn is_test_file(file: &str, all: &[(String, String)]) -> bool {
    let path = Path::new(file);
    let (Some(stem), Some(folder)) = (path.file_stem(), path.parent()) else { return false };
    let stem = stem.to_string_lossy();
    let beside = folder.with_extension("rs").to_string_lossy().into_owned();
    let parents = ["mod.rs", "lib.rs", "main.rs"].map(|name| folder.join(name).to_string_lossy().into_owned());
    all.iter()
        .filter(|(other, _)| parents.contains(other) || *other == beside || Path::new(other).parent() == Some(folder))
        .any(|(_, text)| {
            text.contains(&format!("#[cfg(test)]\nmod {stem};"))
                || text.contains(&format!("#[cfg(test)]\npub(crate) mod {stem};"))
        })
}

/// The product's code of a file: what stands before its tests, without comments.
fn product_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line))
}

fn forbid(files: &[(String, String)], words: &[&str], why: &str, findings: &mut Vec<Finding>) {
    for (file, text) in files.iter().filter(|(file, _)| !is_test_file(file, files)) {
        for (line, content) in product_lines(text) {
            for word in words {
                if content.contains(word) {
                    findings.push(Finding(format!("{file}:{line}: `{word}`: {why}")));
                }
            }
        }
    }
}

fn none(findings: &[Finding]) {
    let all: Vec<&str> = findings.iter().map(|finding| finding.0.as_str()).collect();
    assert!(findings.is_empty(), "{} finding(s):\n{}", all.len(), all.join("\n"));
}

const WORLD: [&str; 9] = [
    "tokio",
    "std::fs",
    "std::env",
    "std::net",
    "Instant::now",
    "SystemTime",
    "getrandom",
    "std::thread",
    "std::process",
];

#[test]
fn what_is_pure_names_nothing_of_the_world() {
    let mut findings = Vec::new();
    let why = "time, randomness, files and runtimes are arguments here";
    forbid(&sources("lang/src"), &WORLD, why, &mut findings);
    forbid(&sources("enforcer/pgsql/src"), &WORLD, why, &mut findings);
    forbid(&sources("enforcer/src/core"), &WORLD, why, &mut findings);
    let sync = [
        "wire/",
        "machine.rs",
        "messages.rs",
        "judging.rs",
        "definitions.rs",
        "holding.rs",
        "classify.rs",
        "verdict.rs",
        "pipeline.rs",
        "names.rs",
        "replies.rs",
        "reply.rs",
        "login.rs",
        "scram.rs",
    ];
    let protocol: Vec<_> = sources("enforcer/src/protocols")
        .into_iter()
        .filter(|(file, _)| sync.iter().any(|part| file.contains(part)))
        .collect();
    assert!(protocol.len() > 10, "the protocol's synchronous files moved");
    forbid(&protocol, &["tokio", "std::fs", "std::env", "Instant::now", "SystemTime"], why, &mut findings);
    none(&findings);
}

#[test]
fn arrows_point_one_way() {
    let mut findings = Vec::new();
    forbid(
        &sources("lang/src"),
        &["compiler::", "enforcer::", "pgsql::"],
        "lang depends on neither program",
        &mut findings,
    );
    forbid(&sources("compiler/src"), &["enforcer::"], "the compiler never depends on the gateway", &mut findings);
    let without_sql: Vec<_> =
        sources("compiler/src").into_iter().filter(|(file, _)| file != "compiler/src/command/provision.rs").collect();
    forbid(&without_sql, &["pgsql::"], "what the compiler finds depends on no statement", &mut findings);
    let gateway: Vec<_> =
        sources("enforcer/src").into_iter().filter(|(file, _)| !file.starts_with("enforcer/src/gitops/")).collect();
    forbid(&gateway, &["compiler::"], "only gitops sees policy text", &mut findings);
    let core: Vec<_> = sources("enforcer/src/core");
    forbid(
        &core,
        &["crate::gateway", "crate::gitops", "crate::api", "crate::store", "crate::protocols", "crate::client"],
        "core knows no outer layer",
        &mut findings,
    );
    let kdl: Vec<_> = sources("lang/src")
        .into_iter()
        .chain(sources("compiler/src"))
        .filter(|(file, _)| !file.starts_with("lang/src/syntax/"))
        .collect();
    forbid(&kdl, &["kdl::", "use kdl"], "only lang/src/syntax names the KDL crate", &mut findings);
    none(&findings);
}

#[test]
fn evidence_has_one_constructor_site() {
    let mut findings = Vec::new();
    let sites = [
        ("Identity {", "enforcer/src/identity/", &["enforcer/src/core/identity.rs"][..]),
        ("Lease {", "enforcer/src/core/lease.rs", &[][..]),
        ("Program {", "lang/src/program/mod.rs", &[][..]),
    ];
    for (literal, home, also) in sites {
        for (file, text) in sources("enforcer/src").into_iter().chain(sources("lang/src")) {
            if file.starts_with(home) || also.contains(&file.as_str()) {
                continue;
            }
            for (line, content) in product_lines(&text) {
                let constructs = content.contains(literal)
                    && !["impl ", "struct ", "for ", "-> ", "::", "enum "].iter().any(|word| content.contains(word));
                if constructs {
                    findings.push(Finding(format!("{file}:{line}: `{literal}`: evidence is made in {home} only")));
                }
            }
        }
    }
    none(&findings);
}

#[test]
fn every_module_says_what_it_is_and_stays_in_its_room() {
    let mut findings = Vec::new();
    let all = ["lang", "compiler", "enforcer", "tests"].into_iter().flat_map(sources);
    for (file, text) in all {
        if !text.starts_with("//!") {
            findings.push(Finding(format!("{file}:1: the file does not begin with what it is (`//!`)")));
        }
        let lines = product_lines(&text).map(|(line, _)| line).max().unwrap_or(0);
        if lines > 900 {
            findings.push(Finding(format!("{file}: {lines} lines: one idea a file, 600 lines at most")));
        }
        if file.contains("/utils") || file.contains("/helpers") {
            findings.push(Finding(format!("{file}: a module is named after what it holds")));
        }
    }
    none(&findings);
}

#[test]
fn advisories_that_are_ignored_have_a_deadline() {
    let deny = fs::read_to_string(root().join("deny.toml")).unwrap();
    let mut inside = false;
    for (index, line) in deny.lines().enumerate() {
        inside = if line.trim_start().starts_with("ignore") { true } else { inside && !line.trim().starts_with(']') };
        if inside && line.contains("RUSTSEC") {
            assert!(line.contains("FIX-DEADLINE"), "deny.toml:{}: an ignored advisory needs FIX-DEADLINE", index + 1);
        }
    }
}
