//! EXPLAIN, where masks stand: what of a plan may be shown.

use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;

/// Why a statement that was prepared is not explained.
pub(super) const PREPARED: &str = "what the prepared statement reads does not stand here, and plans over masked columns are \
                                   shown in part only; explain the query itself";
/// Why a plan is not shown.
pub(super) const ORDERED: &str = "which plan the server takes here says in what order masked values are kept, and the plan \
                                  is all that EXPLAIN shows";

/// Whether a statement explains one that was prepared: what that one reads does not stand here.
pub(super) fn is_of_prepared(tree: &pg::Node) -> bool {
    let Some(E::ExplainStmt(explain)) = tree.node.as_ref() else { return false };
    match explain.query.as_deref().and_then(|query| query.node.as_ref()) {
        Some(E::CreateTableAsStmt(create)) => create.query.as_deref().is_some_and(is_execute),
        Some(_) => explain.query.as_deref().is_some_and(is_execute),
        None => false,
    }
}

fn is_execute(query: &pg::Node) -> bool {
    matches!(query.node, Some(E::ExecuteStmt(_)))
}

/// What a plan says of sizes and rows is more than the masks permit: it is shown without costs and never run.
pub(super) fn options(options: &mut Vec<pg::Node>) -> Result<(), String> {
    let mut kept = Vec::new();
    for node in options.drain(..) {
        let Some(E::DefElem(option)) = node.node.as_ref() else {
            return Err("EXPLAIN with an unknown option".to_owned());
        };
        match option.defname.as_str() {
            "format" | "verbose" | "settings" | "generic_plan" => kept.push(node),
            "costs" => {}
            other => {
                return Err(format!(
                    "EXPLAIN with {} shows sizes and counts of unmasked values; use EXPLAIN without it (costs are left out)",
                    other.to_ascii_uppercase()
                ));
            }
        }
    }
    let off = pg::Node { node: Some(E::String(pg::String { sval: "off".to_owned() })) };
    kept.push(pg::Node {
        node: Some(E::DefElem(Box::new(pg::DefElem {
            defname: "costs".to_owned(),
            arg: Some(Box::new(off)),
            defaction: pg::DefElemAction::DefelemUnspec as i32,
            ..pg::DefElem::default()
        }))),
    });
    *options = kept;
    Ok(())
}
