//! PostgreSQL statements, judged by PostgreSQL's own grammar.
//!
//! [`judge`] parses a text with the grammar of PostgreSQL 18 and returns, for each of its statements, every operation on
//! every object that it touches ([`statement::Access`]), what it is for the session ([`statement::Action`]) and which
//! parameters it sets. It decides nothing about permission, and it holds no state: equal texts and equal
//! [`session::SessionFacts`] give equal answers, so a caller may cache them.
//!
//! # How names resolve
//! The caller pins `search_path` to one schema followed by `pg_temp`. `pg_catalog` comes first, as in the server. An
//! unqualified relation that begins with `pg_` is one of `pg_catalog`; a CTE hides a relation only where the server looks
//! for CTEs, only unqualified, and without RECURSIVE only after its own definition.
//!
//! # What a judgement cannot see
//! * Effects of triggers, rules, views, defaults, row policies and cascading foreign keys of the database. Those of views,
//!   children, rules and foreign keys are in [`reach`], where a catalog is known.
//! * Overloads of a built-in, `row.name` that calls a function, and operators and casts of the database's own, unless
//!   [`session::SessionFacts`] names them.
//! * The bodies of `DO`, of routines in string literals, and of texts that sensitive routines run.
//!
//! # What never runs
//! Refused here, whatever a policy permits ([`refusal::Refusal`]): what does not parse, is longer than
//! [`bounds::TEXT_BYTES_MAX`] or deeper than [`bounds::DEPTH_MAX`], or holds a node that is not judged; ALTER SYSTEM,
//! ALTER DATABASE … SET, ALTER ROLE … SET, LOAD, CHECKPOINT, CREATE LANGUAGE, CREATE/ALTER/DROP SUBSCRIPTION, two-phase
//! commit (PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED), SET TRANSACTION SNAPSHOT, and CREATE SCHEMA with
//! elements. `copy.program` is an access that no rule can permit, and settings of the class
//! [`statement::SettingClass::Pinned`] or [`statement::SettingClass::Role`] are the caller's to refuse.
//!
//! # Stack
//! Call [`judge`] on a thread with [`bounds::STACK_BYTES`] of stack.

pub mod bounds;
mod catalog;
mod harmless;
#[cfg(test)]
mod judged;
pub mod made;
pub mod mask;
pub mod provision;
pub mod reach;
pub mod refusal;
mod routines;
pub mod session;
mod settings;
pub mod shape;
pub mod snapshot;
pub mod statement;
mod walk;

use pg_query::protobuf as pg;
use refusal::Refusal;
use session::SessionFacts;
use statement::Statement;
use std::ops::Range;
use walk::Walker;

/// A text that was read and judged.
#[derive(Debug)]
pub struct Judged {
    /// Its statements; none for an empty text.
    pub statements: Vec<Statement>,
    /// Their trees, for the masks.
    trees: Vec<pg::Node>,
}

/// Judges every statement of a text; an empty text holds none.
///
/// The text is judged as a whole: when one statement is refused, none of them may run.
pub fn judge(sql: &str, session: &SessionFacts) -> Result<Vec<Statement>, Refusal> {
    read(sql, session).map(|judged| judged.statements)
}

/// As [`judge`]; what was read is kept, for [`mask::Plan::cover`].
pub fn read(sql: &str, session: &SessionFacts) -> Result<Judged, Refusal> {
    bounds::check(sql)?;
    let parsed = pg_query::parse(sql, 0).map_err(|error| Refusal::unparsed(&error))?;
    let mut judged = Judged { statements: Vec::new(), trees: Vec::new() };
    for raw in parsed.protobuf.stmts {
        let text = text_range(sql, &raw).ok_or(Refusal::UnknownNode { name: "RawStmt" })?;
        let Some(tree) = raw.stmt else { return Err(Refusal::UnknownNode { name: "RawStmt" }) };
        judged.statements.push(statement(text, &tree, session)?);
        judged.trees.push(*tree);
    }
    Ok(judged)
}

fn statement(text: Range<usize>, tree: &pg::Node, session: &SessionFacts) -> Result<Statement, Refusal> {
    let found = Walker::new(session).statement(tree)?;
    Ok(Statement {
        text,
        action: found.action,
        accesses: found.accesses,
        settings: found.settings,
        executes: found.executes,
        sequences: found.sequences,
        renames: found.renames,
        returns_rows: found.returns_rows,
        counted: counted(tree, found.writes),
        fills: fills(tree),
        reads_only: found.reads_only,
    })
}

/// Whether the tag at a statement's end counts every row that it writes; `writes` is how many changing statements it
/// holds, itself included.
fn counted(tree: &pg::Node, writes: usize) -> bool {
    match tree.node.as_ref() {
        Some(pg::node::Node::PrepareStmt(prepare)) => {
            prepare.query.as_deref().is_some_and(|query| counted(query, writes))
        }
        Some(
            pg::node::Node::InsertStmt(_)
            | pg::node::Node::UpdateStmt(_)
            | pg::node::Node::DeleteStmt(_)
            | pg::node::Node::MergeStmt(_),
        ) => writes == 1,
        Some(pg::node::Node::CopyStmt(copy)) => copy.is_from && writes == 0,
        Some(pg::node::Node::CreateTableAsStmt(_) | pg::node::Node::SelectStmt(_)) => writes == 0,
        _ => false,
    }
}

/// Whether a statement makes a materialised view with rows in it; that is none of the operations on rows.
fn fills(tree: &pg::Node) -> bool {
    match tree.node.as_ref() {
        Some(pg::node::Node::CreateTableAsStmt(create)) => {
            create.objtype == pg::ObjectType::ObjectMatview as i32
                && create.into.as_deref().is_none_or(|into| !into.skip_data)
        }
        Some(pg::node::Node::ExplainStmt(explain)) => explain.query.as_deref().is_some_and(fills),
        _ => false,
    }
}

/// What the server's scanner passes over between words. Any other space that Unicode knows is a letter of a name.
const SPACE: [char; 5] = [' ', '\t', '\n', '\r', '\x0c'];

/// Where a statement stands, trimmed of space. A length of zero means up to the end of the text.
fn text_range(sql: &str, raw: &pg::RawStmt) -> Option<Range<usize>> {
    let start = usize::try_from(raw.stmt_location).ok()?;
    let len = usize::try_from(raw.stmt_len).ok()?;
    let end = if len == 0 { sql.len() } else { start.checked_add(len)? };
    let text = sql.get(start..end)?;
    let start = start + (text.len() - text.trim_start_matches(SPACE).len());
    let end = end - (text.len() - text.trim_end_matches(SPACE).len());
    (start < end).then_some(start..end)
}
