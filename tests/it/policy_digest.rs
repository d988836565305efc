//! One policy has one meaning: the order of files, nodes, clauses and properties, formatting, the split into files,
//! and the way a selector is written change neither the semantic digest nor the verdict; everything that means
//! something does change it.

use compiler::{
    compile::{Compilation, Options, PolicySet, compile},
    emit,
    system::{Entry, Memory, Os, Source as _, SystemError, join},
};
use lang::{
    bundle::semantic_digest,
    diag::Sink,
    span::SourceMap,
    syntax::{self, ast::Node, keyword::Keyword},
    time::Timestamp,
};
use std::{collections::BTreeMap, fmt::Write as _};

type Files = BTreeMap<String, String>;

fn at() -> Timestamp {
    Timestamp::parse_rfc3339("2026-05-04T10:00:00+02:00").unwrap()
}

fn example() -> Files {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies");
    let kdl = Os.list(root).unwrap().into_iter().filter(|entry| entry.path.ends_with(".kdl"));
    kdl.map(|entry| {
        let text = std::fs::read_to_string(format!("{root}/{}", entry.path)).unwrap();
        (entry.path, text)
    })
    .collect()
}

fn compiled(files: &Files) -> Compilation {
    let memory = Memory::new(at(), files.iter().map(|(path, text)| (path.clone(), text.as_bytes().to_vec())));
    compile(&memory, "", at(), &Options::default()).unwrap()
}

fn policy(files: &Files) -> PolicySet {
    let compilation = compiled(files);
    let errors: Vec<_> = compilation.diagnostics.iter().filter(|found| found.severity.word() == "error").collect();
    assert!(errors.is_empty(), "{errors:#?}");
    compilation.checked.unwrap().into_inner()
}

fn digest(files: &Files) -> String {
    semantic_digest(&policy(files).rules).unwrap()
}

/// A small generator; its seed is printed when a test fails.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// The node with its properties and clauses in another order, its arguments kept.
fn reorder(node: &Node, sources: &SourceMap, dice: &mut Dice, out: &mut String) {
    out.push_str(&syntax::word_or_quote(&node.word.value));
    let mut entries: Vec<&str> = node.args.iter().map(|value| sources.snippet(value.span)).collect();
    let mut props: Vec<&str> = node.props.iter().map(|prop| sources.snippet(prop.span)).collect();
    dice.shuffle(&mut props);
    entries.append(&mut props);
    for entry in entries {
        write!(out, " {entry}").unwrap();
    }
    if !node.clauses.is_empty() {
        let mut clauses: Vec<&Node> = node.clauses.iter().collect();
        dice.shuffle(&mut clauses);
        out.push_str(" {\n");
        for clause in clauses {
            reorder(clause, sources, dice, out);
        }
        out.push('}');
    }
    out.push('\n');
}

/// The same nodes, shuffled; those of a team's folder and catalogs stay in their file, the others move freely.
fn shuffled(files: &Files, seed: u64) -> Files {
    let mut dice = Dice(seed);
    let mut sources = SourceMap::new();
    let mut nodes: Vec<(String, String)> = Vec::new();
    let free: Vec<&String> = files.keys().filter(|path| !fixed(path)).collect();
    for (path, text) in files {
        let id = sources.add(path.clone(), text.as_str());
        let mut sink = Sink::new();
        let document = syntax::parse(id, &sources, &mut sink);
        assert!(!sink.has_errors(), "{path}");
        for node in &document.nodes {
            let mut out = String::new();
            reorder(node, &sources, &mut dice, &mut out);
            let stays = fixed(path) || node.keyword == Keyword::Policy;
            let home = if stays { path.clone() } else { free[dice.below(free.len())].clone() };
            nodes.push((home, out));
        }
    }
    dice.shuffle(&mut nodes);
    let mut all: Files = files.keys().map(|path| (path.clone(), String::new())).collect();
    for (path, node) in nodes {
        all.get_mut(&path).unwrap().push_str(&node);
    }
    all
}

fn fixed(path: &str) -> bool {
    path.starts_with("catalog/") || path.matches('/').count() > 1
}

#[test]
fn order_and_form_do_not_change_the_digest() {
    let files = example();
    let expected = digest(&files);
    for seed in 0..20 {
        assert_eq!(digest(&shuffled(&files, seed)), expected, "seed {seed}");
    }
}

/// A folder that lists its files in an order of its own.
struct Disorder {
    memory: Memory,
    seed: u64,
}

impl compiler::system::Source for Disorder {
    fn list(&self, root: &str) -> Result<Vec<Entry>, SystemError> {
        let mut entries = self.memory.list(root)?;
        Dice(self.seed).shuffle(&mut entries);
        Ok(entries)
    }

    fn read(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, SystemError> {
        self.memory.read(path, bytes_max)
    }
}

/// The bundle of the example in a folder, its files listed in some order, by so many threads.
fn bundle(root: &str, seed: u64, threads: usize) -> Vec<u8> {
    let files = example().into_iter().map(|(path, text)| (join(root, &path), text.into_bytes()));
    let source = Disorder { memory: Memory::new(at(), files), seed };
    let compilation = compile(&source, root, at(), &Options { threads }).unwrap();
    emit::bundle(&compilation.checked.unwrap(), &emit::Origin::default(), None).unwrap()
}

#[test]
fn a_bundle_has_the_same_bytes_in_every_folder_from_any_order_of_files_and_number_of_threads() {
    let expected = bundle("", 0, 1);
    for (seed, (root, threads)) in (1..).zip([("", 2), ("policies", 1), ("/srv/access/policies", 8), ("policies", 3)]) {
        assert!(bundle(root, seed, threads) == expected, "root `{root}`, order {seed}, {threads} threads");
    }
}

#[test]
fn formatting_and_comments_do_not_change_the_digest() {
    let files = example();
    let ugly: Files = files
        .iter()
        .map(|(path, text)| {
            let flat: String = text.lines().map(|line| format!("{}  // said\n\n", line.trim())).collect();
            (path.clone(), flat)
        })
        .collect();
    assert_eq!(digest(&ugly), digest(&files));
    assert_ne!(policy(&ugly).source_digest, policy(&files).source_digest);
    let formatted: Files = ugly
        .iter()
        .map(|(path, text)| {
            let id = SourceMap::new().add(path.clone(), text.as_str());
            (path.clone(), syntax::print::format(id, text).unwrap())
        })
        .collect();
    assert_eq!(digest(&formatted), digest(&files));
}

#[test]
fn a_selector_means_the_connections_it_selects() {
    let files = example();
    let mut named = files.clone();
    let text = named.get_mut("guard/approvals.kdl").unwrap();
    assert!(text.contains("on data=pci"));
    *text = text.replace("on data=pci", "on payments-db");
    assert_eq!(digest(&named), digest(&files));
}

#[test]
fn what_means_something_changes_the_digest() {
    let files = example();
    let expected = digest(&files);
    for (path, from, to) in [
        ("teams/platform/grants.kdl", "lifetime \"15m\"", "lifetime \"10m\""),
        ("guard/guards.kdl", "limit rows=10000", "limit rows=10001"),
        ("guard/masks.kdl", "keep-last=4", "keep-last=3"),
        ("policy.kdl", "Europe/Berlin", "Europe/Paris"),
        ("identity/entra.kdl", "disjoint group:contractors group:dba", "disjoint group:contractors"),
        ("teams/teams.kdl", "may revoke watch", "may revoke"),
        ("tests/nonprod.kdl", "op=insert table=public.ledger_entries", "op=update.bounded table=public.ledger_entries"),
    ] {
        let mut changed = files.clone();
        let text = changed.get_mut(path).unwrap();
        assert!(text.contains(from), "{path}: {from}");
        *text = text.replacen(from, to, 1);
        // A changed policy may fail its own tests; its tables are compared all the same when it does not.
        if let Some(checked) = compiled(&changed).checked {
            assert_ne!(semantic_digest(&checked.get().rules).unwrap(), expected, "{path}: {from}");
        } else {
            assert_eq!(path, "teams/platform/grants.kdl", "only this change breaks a test of the example");
        }
    }
}
