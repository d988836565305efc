//! The oracle of the walk: a second walk, over the serialised tree, that knows nothing of its structure.
//!
//! Every relation and every call that stands anywhere in the tree of any statement of the corpus must have been visited,
//! and every node that the dispatch accepts must stand in the corpus.

use super::Walker;
use crate::bounds::STACK_BYTES;
use crate::session::SessionFacts;
use crate::statement::ObjectClass;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeFrom;
use std::path::PathBuf;

/// Everything that a blind walk finds.
#[derive(Debug, Default)]
struct Blind {
    relations: BTreeSet<(i32, String)>,
    calls: BTreeSet<i32>,
    nodes: BTreeSet<String>,
}

impl Blind {
    fn walk(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                let location =
                    fields.get("location").and_then(Value::as_i64).and_then(|at| at.try_into().ok()).unwrap_or(-1);
                if let (Some(Value::String(name)), Some(_)) = (fields.get("relname"), fields.get("relpersistence")) {
                    self.relations.insert((location, name.clone()));
                }
                if fields.contains_key("funcname") && fields.contains_key("agg_within_group") {
                    self.calls.insert(location);
                }
                if let Some(Value::Object(node)) = fields.get("node") {
                    self.nodes.extend(node.keys().cloned());
                }
                fields.values().for_each(|value| self.walk(value));
            }
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sql")
}

/// The statements of the annotated table and of the corpus, as texts.
fn corpus() -> Vec<String> {
    let mut texts = Vec::new();
    let table = std::fs::read_to_string(fixtures().join("judged.txt")).unwrap();
    for block in table.split("\n\n") {
        let lines: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("> ")).collect();
        texts.push(lines.join("\n"));
    }
    let mut files: Vec<_> =
        std::fs::read_dir(fixtures().join("corpus")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    texts.extend(files.iter().map(|file| std::fs::read_to_string(file).unwrap()));
    texts
}

fn on_a_large_stack(test: fn()) {
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(test).unwrap().join().unwrap();
}

#[test]
fn every_relation_and_call_of_the_corpus_is_visited() {
    on_a_large_stack(|| {
        let session = SessionFacts::pinned(18);
        let mut judged = 0;
        for text in corpus() {
            let Ok(parsed) = pg_query::parse(&text, 0) else { continue };
            for raw in &parsed.protobuf.stmts {
                let tree = raw.stmt.as_deref().unwrap();
                let mut blind = Blind::default();
                blind.walk(&serde_json::to_value(tree).unwrap());
                let mut walker = Walker::new(&session);
                if walker.node(tree).is_err() {
                    continue;
                }
                judged += 1;
                let missed: Vec<_> = blind.relations.difference(&walker.trace.relations).collect();
                assert!(missed.is_empty(), "relations {missed:?} of {tree:?}");
                let missed: Vec<_> = blind.calls.difference(&walker.trace.calls).collect();
                assert!(missed.is_empty(), "calls at {missed:?} of {tree:?}");
            }
        }
        assert!(judged > 400, "{judged} statements were judged");
    });
}

/// The nodes that the dispatch accepts, from its own text: the arms that do not refuse.
fn accepted() -> BTreeSet<String> {
    let dispatch = include_str!("mod.rs").split("match node {").nth(1).unwrap();
    let mut accepted = BTreeSet::new();
    let mut pending = Vec::new();
    for line in dispatch.lines().take_while(|line| *line != "        }") {
        for arm in line.split("E::").skip(1) {
            pending.push(arm.split('(').next().unwrap().to_owned());
        }
        if line.contains("=>") {
            if line.contains("unknown(") || line.contains("never(") {
                pending.clear();
            }
            accepted.extend(pending.drain(..));
        }
    }
    accepted
}

#[test]
fn every_accepted_node_stands_in_the_corpus() {
    on_a_large_stack(|| {
        let mut blind = Blind::default();
        for text in corpus() {
            if let Ok(parsed) = pg_query::parse(&text, 0) {
                blind.walk(&serde_json::to_value(&parsed.protobuf.stmts).unwrap());
            }
        }
        let accepted = accepted();
        assert!(accepted.len() > 150, "the dispatch is not where it was");
        let missing: Vec<_> = accepted.difference(&blind.nodes).collect();
        assert!(missing.is_empty(), "no statement of the corpus holds {missing:?}");
    });
}

/// Wherever a constant or a name may stand, a query and a call may stand too: neither may go unseen there.
#[test]
fn a_query_or_call_in_the_place_of_any_token_is_seen() {
    on_a_large_stack(|| {
        let session = SessionFacts::pinned(18);
        let probes = [
            ("(SELECT zz.a FROM zz)", "select relation public.zz"),
            ("zzf(1)", "call routine public.zzf"),
            ("zz", "relation public.zz"),
        ];
        let mut seen = [0; 3];
        for text in corpus().iter().filter(|text| text.len() < 2_000) {
            let Ok(tokens) = pg_query::scan(text) else { continue };
            for token in &tokens.tokens {
                let (start, end) = (token.start.try_into().unwrap(), token.end.try_into().unwrap());
                let (Some(before), Some(after)): (Option<&str>, _) =
                    (text.get(..start), text.get::<RangeFrom<usize>>(end..))
                else {
                    continue;
                };
                for ((probe, access), seen) in probes.iter().zip(&mut seen) {
                    let sql = format!("{before}{probe}{after}");
                    let Ok(parsed) = pg_query::parse(&sql, 0) else { continue };
                    let tree = serde_json::to_value(&parsed.protobuf.stmts).unwrap();
                    let mut blind = Blind::default();
                    blind.walk(&tree);
                    let at = i32::try_from(before.len()).unwrap();
                    let stands = match *probe {
                        "zzf(1)" => blind.calls.contains(&at),
                        "zz" => blind.relations.contains(&(at, "zz".to_owned())),
                        _ => blind.relations.iter().any(|(_, name)| name == "zz"),
                    };
                    let Ok(statements) = crate::judge(&sql, &session) else { continue };
                    let found = statements
                        .iter()
                        .flat_map(|statement| &statement.accesses)
                        .any(|found| found.to_string().contains(access));
                    if stands && *probe != "zz" {
                        assert!(found, "{sql}");
                    }
                    *seen += usize::from(stands && found);
                }
            }
        }
        assert!(seen.iter().all(|seen| *seen > 100), "{seen:?}");
    });
}

/// Its backslash commands are the first thing that anybody types.
#[test]
fn what_psql_asks_the_catalog_is_within_any_scope() {
    on_a_large_stack(|| {
        let text = std::fs::read_to_string(fixtures().join("corpus/psql.sql")).unwrap();
        let statements = crate::judge(&text, &SessionFacts::pinned(15)).unwrap();
        assert!(statements.len() > 80);
        let mut outside = BTreeSet::new();
        for statement in &statements {
            assert!(statement.settings.is_empty());
            for access in &statement.accesses {
                if access.object.as_ref().is_some_and(|object| object.class != ObjectClass::Harmless) {
                    outside.insert(access.to_string());
                }
            }
        }
        // `\\drds`, `\\dl`, `\\dRs`, `\\deu`: settings of roles, large objects, and what holds credentials.
        let expected = BTreeSet::from(OUTSIDE.map(str::to_owned));
        assert_eq!(outside, expected);
    });
}

const OUTSIDE: [&str; 4] = [
    "select relation pg_catalog.pg_db_role_setting [sensitive]",
    "select relation pg_catalog.pg_largeobject_metadata [sensitive]",
    "select relation pg_catalog.pg_subscription [sensitive]",
    "select relation pg_catalog.pg_user_mappings [sensitive]",
];

/// PostgreSQL's own regression suite, statement by statement: `cargo xtask regress --walk` says where it is.
#[test]
#[expect(clippy::print_stderr, reason = "the numbers are what the command is for")]
#[ignore = "needs PostgreSQL's source: cargo xtask regress --walk"]
fn the_regression_suite_is_walked_without_a_miss() {
    on_a_large_stack(|| {
        let folder = std::env::var_os("LEASEHOLD_REGRESS").expect("cargo xtask regress --walk names the folder");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let session = SessionFacts::pinned(18);
        let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut wrong, mut refusals) = (Vec::new(), BTreeMap::<String, usize>::new());
        for file in files.iter().filter(|file| file.extension().is_some_and(|name| name == "sql")) {
            for text in psql_statements(&String::from_utf8_lossy(&std::fs::read(file).unwrap())) {
                *counted.entry("texts").or_default() += 1;
                let Ok(parsed) = pg_query::parse(&text, 0) else {
                    *counted.entry("not parsed, so refused").or_default() += 1;
                    continue;
                };
                for raw in &parsed.protobuf.stmts {
                    let Some(tree) = raw.stmt.as_deref() else { continue };
                    *counted.entry("statements").or_default() += 1;
                    if let Some(same) = crate::mask::reads_as_written(tree) {
                        *counted.entry("queries and changes that are written and read anew").or_default() += 1;
                        if !same {
                            wrong.push(format!("{}: written otherwise than read: {text}", file.display()));
                        }
                    }
                    let mut blind = Blind::default();
                    blind.walk(&serde_json::to_value(tree).unwrap());
                    let mut walker = Walker::new(&session);
                    if let Err(refusal) = walker.node(tree) {
                        // CREATE STATISTICS on anything but a table: the server refuses it as well.
                        let served = !text.contains("CREATE STATISTICS");
                        let unknown = served && matches!(refusal, crate::refusal::Refusal::UnknownNode { .. });
                        if unknown {
                            wrong.push(format!("{}: {refusal}: {text}", file.display()));
                        }
                        *refusals.entry(refusal.to_string()).or_default() += 1;
                        continue;
                    }
                    *counted.entry("relations").or_default() += blind.relations.len();
                    *counted.entry("calls").or_default() += blind.calls.len();
                    if blind.relations.difference(&walker.trace.relations).next().is_some()
                        || blind.calls.difference(&walker.trace.calls).next().is_some()
                    {
                        wrong.push(format!("{}: missed in {text}", file.display()));
                    }
                }
            }
        }
        eprintln!("{counted:?}\nnever run: {refusals:#?}\nmissed or unknown: {}", wrong.len());
        assert!(counted.get("statements").is_some_and(|count| *count > 40_000), "{counted:?}");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// The statements that psql would send of a script: without its own commands and the data of COPY.
fn psql_statements(script: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut text = String::new();
    let mut copying = false;
    for line in script.lines() {
        if copying {
            copying = line != "\\.";
            continue;
        }
        // Variables of psql become constants.
        let line = line.split_once(" \\g").map_or(line, |(before, _)| before);
        if line.starts_with('\\') {
            texts.push(std::mem::take(&mut text));
            continue;
        }
        text.push_str(line);
        text.push('\n');
        if line.trim_end().ends_with(';') && pg_query::scan(&text).is_ok() && !in_a_body(&text) {
            copying = text.to_ascii_lowercase().contains("from stdin");
            texts.push(std::mem::take(&mut text));
        }
    }
    texts.push(text);
    texts.retain(|text| !text.trim().is_empty());
    texts
}

/// Whether a text ends inside `BEGIN ATOMIC … END`.
fn in_a_body(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.rfind("begin atomic").is_some_and(|at| lower.get(at..).is_some_and(|body| !body.trim_end().ends_with("end;")))
}
