//! The oracle of the walk: a second walk, over the serialised tree, that knows nothing of its structure.
//!
//! Every relation and every call that stands anywhere in the tree of any statement of the corpus must have been visited,
//! and every node that the dispatch accepts must stand in the corpus.

use super::Walker;
use crate::bounds::STACK_BYTES;
use crate::session::SessionFacts;
use crate::statement::ObjectClass;
use serde_json::Value;
use std::collections::BTreeSet;
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
