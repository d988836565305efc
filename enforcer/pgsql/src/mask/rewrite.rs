//! Statements, rewritten: each relation with masked columns becomes the query that stands in for it.
//!
//! The server gets the deparsed tree, never the client's text, once [`super::prove`] has shown that nothing in it names
//! a masked relation but the queries made here.

use super::visit::{self, Change, Visitor, boxed};
use super::{
    Cover, Covered, Outcome, Plan, Shape, Treatment, altered, blind, effects, estimate, explain, expression, groups,
    hashes, order, prove, quiet, serial, spelled, windows, write,
};
use crate::Judged;
use crate::refusal::Refusal;
use crate::snapshot::{Name, Relation, TEMPORARY};
use crate::statement::{Access, ObjectClass, ObjectKind, Statement};
use crate::walk::Walked;
use lang::protocol::Operation;
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;
use std::collections::BTreeSet;

/// A tree as SQL.
pub(super) fn deparse(tree: &pg::Node) -> Option<String> {
    let statement = pg::RawStmt { stmt: Some(Box::new(tree.clone())), stmt_location: 0, stmt_len: 0 };
    let result = pg::ParseResult { version: 0, stmts: vec![statement] };
    pg_query::deparse(&result, pg_query::DeparseOptions::default()).ok()
}

/// The only statement of a text.
pub(super) fn parse_one(text: &str) -> Option<pg::Node> {
    let mut parsed = pg_query::parse(text, 0).ok()?.protobuf;
    let statement = parsed.stmts.pop()?;
    if parsed.stmts.is_empty() { statement.stmt.map(|tree| *tree) } else { None }
}

/// A query of the gateway's own making, in the form that deparsing gives it.
pub(super) fn shape(text: &str) -> Option<Shape> {
    let tree = parse_one(text)?;
    let text = deparse(&tree)?;
    // What stands in a statement is what the server reads: the form must be stable.
    let tree = parse_one(&text)?;
    let digest = blind::digest(&tree)?;
    (deparse(&tree)? == text).then_some(Shape { text, digest })
}

/// A view's query over what stands in for the relations that it reads.
pub(super) fn definition(plan: &Plan, text: &str) -> Option<String> {
    let mut tree = parse_one(text)?;
    windows::rename(&mut tree);
    let (quiet, weighed) = (quiet::is_quiet(&mut tree, true), estimate::Weighed::of(plan, &mut tree));
    let mut rewriter = Rewriter { quiet, weighed, ..Rewriter::new(plan, Columns::All) };
    visit::node(&mut rewriter, &mut tree).ok()?;
    // What is written must read as the tree: the text becomes part of what stands in, and is looked at no more.
    let written = parse_one(&deparse(&tree)?)?;
    let same = blind::digest(&written)? == blind::digest(&tree)?;
    (same && rewriter.refused.is_none()).then(|| rewriter.text(&tree)).flatten()
}

/// Whether a view's query shows more than columns, or cannot be read.
pub(super) fn computes(text: &str) -> bool {
    parse_one(text).is_none_or(|mut tree| quiet::computes(&mut tree))
}

/// Which columns a statement may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    /// All of them, masked where a mask lies.
    All,
    /// Those without a mask: the statement writes, and must not store masks.
    Unmasked,
}

/// Rewrites every statement of a text.
pub(super) fn text(plan: &Plan, sql: &str, judged: &mut Judged) -> Result<Covered, Refusal> {
    let (mut outcomes, mut texts, mut rewritten) = (Vec::new(), Vec::new(), false);
    let mut trees = std::mem::take(&mut judged.trees);
    for (tree, judged) in trees.iter_mut().zip(&judged.statements) {
        let original = sql.get(judged.text.clone()).unwrap_or_default();
        let (outcome, text) = match statement(plan, tree, judged)? {
            Done::Untouched => (Outcome::Untouched, original.to_owned()),
            Done::Refused(why) => (Outcome::Refused(why.into()), String::new()),
            Done::Covered(text) => {
                rewritten = true;
                (Outcome::Covered, text)
            }
        };
        outcomes.push(outcome);
        texts.push(text);
    }
    if outcomes.len() != judged.statements.len() {
        return Err(Refusal::UnknownNode { name: "a text with more statements than were judged" });
    }
    if !rewritten || outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
        return Ok(Covered { text: None, outcomes });
    }
    let text = if texts.len() == 1 { texts.pop() } else { joined(&texts, &outcomes, &trees) };
    if text.is_none() {
        outcomes.fill(Outcome::Refused(UNPROVEN.into()));
    }
    Ok(Covered { text: text.map(Into::into), outcomes })
}

/// Several statements as one text, which must read as each of them was judged or proven by itself: what the client wrote
/// stands in it as it was, and a comment at its end must not swallow what follows.
fn joined(texts: &[String], outcomes: &[Outcome], trees: &[pg::Node]) -> Option<String> {
    let text = texts.join("\n;\n");
    let whole = pg_query::parse(&text, 0).ok()?.protobuf;
    let mut parts = texts.iter().zip(outcomes).zip(trees).zip(&whole.stmts);
    let same = parts.all(|(((text, outcome), tree), read)| {
        let own = match outcome {
            Outcome::Untouched => blind::digest(tree),
            Outcome::Covered => parse_one(text).as_ref().and_then(blind::digest),
            Outcome::Refused(_) => None,
        };
        own.is_some() && own == read.stmt.as_deref().and_then(blind::digest)
    });
    (same && whole.stmts.len() == texts.len()).then_some(text)
}

enum Done {
    Untouched,
    Refused(String),
    Covered(String),
}

fn statement(plan: &Plan, tree: &mut pg::Node, judged: &Statement) -> Result<Done, Refusal> {
    if let Some(why) = forbidden(plan, tree, judged) {
        return Ok(Done::Refused(why));
    }
    if let Some(why) = write::refused(plan, tree, judged) {
        return Ok(Done::Refused(why));
    }
    if !touches(plan, judged) {
        return Ok(Done::Untouched);
    }
    let keeps_masks = write::writes(judged) && !write::keeps_for_itself(tree, judged);
    let columns = if keeps_masks { Columns::Unmasked } else { Columns::All };
    windows::rename(tree);
    let brittle = relations_of(plan, judged).any(|name| is_brittle(plan, &name));
    let (quiet, weighed) = (quiet::is_quiet(tree, brittle), estimate::Weighed::of(plan, tree));
    let names_versions = columns == Columns::All && spelled::names_versions(tree);
    let mut rewriter = Rewriter { quiet, weighed, names_versions, ..Rewriter::new(plan, columns) };
    let rewritten = rewriter.top(tree, judged);
    if let Some(why) = rewriter.refused.take() {
        return Ok(Done::Refused(why));
    }
    if !rewritten? {
        return Ok(Done::Untouched);
    }
    let Some(text) = rewriter.text(tree) else { return Ok(Done::Refused(UNPROVEN.to_owned())) };
    if prove::holds(plan, &text, rewriter.covered, tree) {
        Ok(Done::Covered(text))
    } else {
        Ok(Done::Refused(UNPROVEN.to_owned()))
    }
}

pub(super) const UNPROVEN: &str =
    "the gateway cannot prove that this statement shows nothing of a masked column; write it in a simpler form";

/// Whether a statement names a relation that is not shown as it is.
fn touches(plan: &Plan, judged: &Statement) -> bool {
    relations_of(plan, judged).any(|name| plan.treatment(&name).is_some())
}

/// The relation that an operation leads to.
pub(super) fn relation_of(plan: &Plan, access: &Access) -> Option<Name> {
    let object = access.object.as_ref().filter(|object| object.kind == ObjectKind::Relation)?;
    Some(plan.meant((object.schema.clone().unwrap_or_default(), object.name.clone())))
}

/// Whether a comparison with a column of a relation may fail by a cast, where the order of its rows must not show for which.
fn is_brittle(plan: &Plan, name: &Name) -> bool {
    let ordered = matches!(plan.treatment(name), Some(Treatment::Covered(cover)) if cover.access.is_ordered());
    let numeric = |relation: &Relation| relation.columns.iter().any(|column| column.kind.starts_with("numeric"));
    ordered && plan.catalog.relation(name).is_some_and(numeric)
}

fn relations_of(plan: &Plan, judged: &Statement) -> impl Iterator<Item = Name> {
    judged.accesses.iter().filter_map(|access| relation_of(plan, access))
}

/// What does not run on a connection with masks, whatever it touches.
fn forbidden(plan: &Plan, tree: &pg::Node, judged: &Statement) -> Option<String> {
    for access in &judged.accesses {
        let name = access.object.as_ref().map_or("", |object| &object.name);
        let operation = access.operation;
        if operation == Operation::Do {
            return Some("the gateway cannot see what a block of code reads, and this connection has masks".to_owned());
        }
        if operation == Operation::Call && !is_listed(plan, access) {
            return Some(format!(
                "the gateway cannot see what the routine `{name}` reads, and this connection has masks"
            ));
        }
        if operation == Operation::Show && name.is_empty() && access.object.is_none() {
            return Some(
                "a parameter is read by a name that only the running statement knows; write the name as a constant"
                    .to_owned(),
            );
        }
        if operation == Operation::Show && expression::is_reserved(name) {
            return Some(format!("`{name}` is the gateway's own parameter"));
        }
    }
    if explain::is_of_prepared(tree) {
        return Some(explain::PREPARED.to_owned());
    }
    if let Some(why) = casts(plan, judged) {
        return Some(why);
    }
    let why = effects::refused(plan, tree, judged).or_else(|| spelled::tells_numbers(plan, tree, judged));
    let why = why.or_else(|| hashes::made(plan, tree, judged)).or_else(|| hashes::redefined(plan, judged));
    let why = why.or_else(|| serial::refused(plan, judged));
    why.or_else(|| altered::refused(plan, tree)).or_else(|| spelled::refused(plan, tree))
}

/// Why a statement might run a routine that nothing in it names: the server casts by itself.
fn casts(plan: &Plan, judged: &Statement) -> Option<String> {
    let why = "the gateway cannot see what it reads; this connection has masks";
    if plan.catalog.casts_everywhere && !judged.accesses.is_empty() {
        return Some(format!("the database casts built-in types by a routine of its own, and {why}"));
    }
    let mut touched = relations_of(plan, judged);
    let name = touched.find(|name| plan.catalog.relation(name).is_some_and(|found| plan.catalog.casts(found.oid)))?;
    Some(format!("`{}.{}` holds a type that the database casts by a routine of its own, and {why}", name.0, name.1))
}

/// Whether every routine of this name reads its arguments only: built-ins that act on sequences, locks and snapshots, and
/// those of known extensions.
fn is_listed(plan: &Plan, access: &Access) -> bool {
    let Some(object) = access.object.as_ref().filter(|object| object.kind == ObjectKind::Routine) else { return false };
    let schema = object.schema.as_deref().unwrap_or_default();
    if schema == crate::catalog::PG_CATALOG {
        return object.class == ObjectClass::Ordinary && !plan.facts.overloads.contains(&object.name);
    }
    let same = |routine: &&crate::snapshot::Routine| *routine.schema == *schema && routine.name == object.name;
    let mut named = plan.catalog.routines.iter().filter(same).peekable();
    object.class != ObjectClass::Sensitive
        && named.peek().is_some()
        && named.all(|routine| routine.listed && &*routine.kind != "p")
}

/// One rewriting.
pub(super) struct Rewriter<'p> {
    pub(super) plan: &'p Plan,
    pub(super) columns: Columns,
    /// Whether no condition of the statement could fail or do something.
    quiet: bool,
    weighed: estimate::Weighed,
    /// Whether it names when rows were made, and spells all columns that it shows.
    names_versions: bool,
    ctes: Vec<Box<str>>,
    /// Relations that were replaced under their own name: `schema.relation.column` must lose its schema.
    replaced: BTreeSet<Name>,
    /// For each replaced item of FROM: what it is called, and its cover.
    pub(super) aliases: Vec<(Box<str>, &'p Cover)>,
    /// How many were replaced.
    pub(super) covered: usize,
    /// Why the statement does not run.
    pub(super) refused: Option<String>,
    /// The texts of what stands in, each for a mark in the tree.
    stand_ins: Vec<String>,
}

/// What the tree holds in the place of a query that stands in for a relation, followed by a number: such a query is long,
/// and its text is known.
const MARK: &str = "leasehold_stand_in_";

/// Whether a query is such a mark.
pub(super) fn is_mark(select: &pg::SelectStmt) -> bool {
    let [target] = select.target_list.as_slice() else { return false };
    let Some(E::ResTarget(target)) = target.node.as_ref() else { return false };
    let Some(E::ColumnRef(column)) = target.val.as_deref().and_then(|value| value.node.as_ref()) else { return false };
    matches!(column.fields.as_slice(), [name] if string(name).is_some_and(|name| name.starts_with(MARK)))
}

impl<'p> Rewriter<'p> {
    pub(super) fn new(plan: &'p Plan, columns: Columns) -> Self {
        Self {
            plan,
            columns,
            quiet: true,
            weighed: estimate::Weighed::default(),
            names_versions: false,
            ctes: Vec::new(),
            replaced: BTreeSet::new(),
            aliases: Vec::new(),
            covered: 0,
            refused: None,
            stand_ins: Vec::new(),
        }
    }

    /// A rewritten tree as SQL: the texts of what stands in, in the places of their marks. `None` when the marks are not
    /// where they were put; that the outcome means what it should is for the proof to say.
    fn text(&self, tree: &pg::Node) -> Option<String> {
        let skeleton = deparse(tree)?;
        let mut parts = skeleton.split(MARK);
        let mut text = parts.next()?.to_owned();
        let mut used = BTreeSet::new();
        for part in parts {
            let (number, rest) = part.split_once(')')?;
            let number: usize = number.parse().ok()?;
            let stand_in = self.stand_ins.get(number).filter(|_| used.insert(number))?;
            text.truncate(text.strip_suffix("(SELECT ")?.len() + 1);
            text.extend([stand_in.as_str(), ")", rest]);
        }
        (used.len() == self.stand_ins.len()).then_some(text)
    }

    /// What a query that stands in leaves in the tree.
    fn mark(&mut self, text: String) -> pg::Node {
        let name = format!("{MARK}{}", self.stand_ins.len());
        self.stand_ins.push(text);
        let value = Box::new(groups::column(&[&name]));
        let target = pg::ResTarget { val: Some(value), ..pg::ResTarget::default() };
        let target_list = vec![pg::Node { node: Some(E::ResTarget(Box::new(target))) }];
        let (op, limit_option) = (pg::SetOperation::SetopNone as i32, pg::LimitOption::Default as i32);
        let select = pg::SelectStmt { target_list, op, limit_option, ..pg::SelectStmt::default() };
        pg::Node { node: Some(E::SelectStmt(Box::new(select))) }
    }

    pub(super) fn refuse(&mut self, why: impl Into<String>) -> Walked {
        self.refused.get_or_insert_with(|| why.into());
        visit::refused("a statement on masked columns")
    }

    /// One whole statement; whether it goes on as a deparsed tree.
    fn top(&mut self, tree: &mut pg::Node, judged: &Statement) -> Result<bool, Refusal> {
        match tree.node.as_mut() {
            Some(E::ExplainStmt(explain)) => {
                let rewritten = self.inner(explain.query.as_deref_mut(), judged)?;
                let ordered = |name: &Name| matches!(self.plan.treatment(name), Some(Treatment::Covered(cover)) if cover.access.is_ordered());
                if relations_of(self.plan, judged).any(|name| ordered(&name))
                    || self.aliases.iter().any(|(_, cover)| cover.access.is_ordered())
                {
                    self.refuse(explain::ORDERED)?;
                }
                if let Err(why) = explain::options(&mut explain.options) {
                    self.refuse(why)?;
                }
                Ok(rewritten)
            }
            Some(E::PrepareStmt(prepare)) => self.inner(prepare.query.as_deref_mut(), judged),
            Some(E::DeclareCursorStmt(declare)) => self.inner(declare.query.as_deref_mut(), judged),
            Some(E::CopyStmt(copy)) => self.copy(copy, judged).map(|()| true),
            Some(E::CreateTableAsStmt(create)) => {
                if create.objtype == pg::ObjectType::ObjectMatview as i32 {
                    self.refuse(
                        "a materialised view would keep copies of masked columns; create it with an account of your own",
                    )?;
                }
                boxed(self, create.query.as_mut()).map(|()| true)
            }
            Some(E::SelectStmt(_) | E::InsertStmt(_) | E::UpdateStmt(_) | E::DeleteStmt(_) | E::MergeStmt(_)) => {
                visit::node(self, tree).map(|()| true)
            }
            // Without a table it does what the catalog knows already: such tables are read in an order of their own.
            Some(E::ClusterStmt(_)) => {
                let why = "CLUSTER would put the rows in the order of an index, and a masked column may be in it; \
                           run it with an account of your own";
                self.refuse(why).map(|()| false)
            }
            _ => self.utility(judged).map(|()| false),
        }
    }

    fn inner(&mut self, query: Option<&mut pg::Node>, judged: &Statement) -> Result<bool, Refusal> {
        let Some(query) = query else { return Err(Refusal::UnknownNode { name: "a statement without its query" }) };
        self.top(query, judged)
    }

    /// COPY of a relation becomes COPY of the query that stands in for it.
    fn copy(&mut self, copy: &mut pg::CopyStmt, judged: &Statement) -> Walked {
        if copy.is_from {
            return Ok(());
        }
        if let Some(query) = copy.query.as_deref_mut() {
            return self.top(query, judged).map(|_| ());
        }
        let Some(relation) = copy.relation.clone() else { return visit::refused("CopyStmt") };
        let Some(cover) = self.cover_of(&relation)? else { return Ok(()) };
        let names: Vec<&str> = if copy.attlist.is_empty() {
            cover.columns.iter().map(|(name, _)| name.as_ref()).collect()
        } else {
            copy.attlist.iter().filter_map(string).collect()
        };
        let columns: Vec<String> = names.iter().map(|name| format!("c.{}", expression::quoted(name))).collect();
        // COPY of a table gives the table's own rows, not those of what inherits from it.
        let text = format!("SELECT {} FROM (SELECT {MARK}{}) AS c", columns.join(", "), self.stand_ins.len());
        self.stand_ins.push(cover.only.text.clone());
        let Some(query) = parse_one(&text) else { return visit::refused("CopyStmt") };
        self.covered += 1;
        copy.relation = None;
        copy.attlist.clear();
        copy.query = Some(Box::new(query));
        Ok(())
    }

    /// A statement that is neither a query nor a change of rows: what needs no value runs, the rest does not.
    fn utility(&mut self, judged: &Statement) -> Walked {
        for access in &judged.accesses {
            let Some(name) = relation_of(self.plan, access) else { continue };
            let harmless = match (self.plan.treatment(&name), access.operation) {
                (None, _) | (_, Operation::Vacuum | Operation::Analyze | Operation::Reindex | Operation::Lock) => true,
                // Of a part that is closed it would tell which rows it held.
                (Some(treatment), Operation::Truncate) => matches!(treatment, Treatment::Covered(_)),
                _ => false,
            };
            if !harmless {
                return self.refuse(format!(
                    "`{}.{}` has masked columns: its definition, and what is defined over it, is changed with an account \
                     of your own, not through the gateway",
                    name.0, name.1
                ));
            }
        }
        Ok(())
    }

    /// What stands in for a relation, when something does.
    pub(super) fn cover_of(&mut self, relation: &pg::RangeVar) -> Result<Option<&'p Cover>, Refusal> {
        let name = resolved(self.plan, relation);
        match self.plan.treatment(&name) {
            None => Ok(None),
            Some(Treatment::Covered(cover)) => Ok(Some(cover)),
            Some(Treatment::Closed(why)) => {
                self.refuse(format!("`{}.{}` is closed on this connection: {why}", name.0, name.1))?;
                Ok(None)
            }
        }
    }

    fn shape_of<'c>(&self, cover: &'c Cover, inherits: bool) -> &'c Shape {
        match (self.columns, inherits) {
            (Columns::All, true) => &cover.whole,
            (Columns::All, false) => &cover.only,
            (Columns::Unmasked, true) => &cover.narrow,
            (Columns::Unmasked, false) => &cover.narrow_only,
        }
    }

    /// Whether statistics of masked values would matter to this statement. What stands in an order is not looked through.
    fn weighs(&self, cover: &Cover) -> bool {
        self.columns == Columns::All && !cover.access.is_ordered() && self.weighed.concerns(cover)
    }

    /// Whether the server may move no condition into what stands in for a relation, and look through nothing.
    fn is_fenced(&self, cover: &Cover) -> bool {
        let compares_plans = cover.access.is_correlated() && self.weighed.weighs;
        cover.access.is_fenced(self.quiet) || compares_plans || self.weighs(cover)
    }

    /// Whether a query locks rows of what was replaced.
    fn locks_covered(&self, select: &pg::SelectStmt) -> bool {
        let here: Vec<&str> = select.from_clause.iter().flat_map(groups::names_of).collect();
        let is_covered = |name: &str| self.aliases.iter().any(|(alias, _)| **alias == *name);
        select.locking_clause.iter().any(|item| match item.node.as_ref() {
            Some(E::LockingClause(lock)) if !lock.locked_rels.is_empty() => {
                lock.locked_rels.iter().any(|named| match named.node.as_ref() {
                    Some(E::RangeVar(named)) => is_covered(&named.relname),
                    _ => true,
                })
            }
            _ => here.iter().any(|name| is_covered(name)),
        })
    }

    /// The item of FROM that takes a relation's place, under the name that the rest of the query uses.
    fn replacement(&mut self, relation: &pg::RangeVar, cover: &'p Cover, query: pg::Node) -> pg::RangeSubselect {
        let alias = relation.alias.clone().unwrap_or_else(|| {
            self.replaced.insert(resolved(self.plan, relation));
            pg::Alias { aliasname: relation.relname.clone(), colnames: Vec::new() }
        });
        self.aliases.push((alias.aliasname.as_str().into(), cover));
        self.covered += 1;
        pg::RangeSubselect { lateral: false, subquery: Some(Box::new(query)), alias: Some(alias) }
    }
}

/// A relation's name, as the judge's walk resolves it.
pub(super) fn resolved(plan: &Plan, relation: &pg::RangeVar) -> Name {
    let schema = if !relation.schemaname.is_empty() {
        relation.schemaname.as_str()
    } else if relation.relpersistence == "t" {
        TEMPORARY
    } else {
        crate::catalog::schema_of(&relation.relname, &plan.facts.default_schema)
    };
    plan.meant((schema.into(), relation.relname.as_str().into()))
}

impl Visitor for Rewriter<'_> {
    fn change(&mut self, mut change: Change<'_>) -> Walked {
        let Some(target) = change.target() else { return visit::refused("a change without its relation") };
        match self.plan.treatment(&resolved(self.plan, target)) {
            Some(Treatment::Covered(cover)) => order::neutralise(cover, &mut change),
            Some(Treatment::Closed(_)) | None => Ok(()),
        }
    }

    fn relation(&mut self, node: &mut pg::Node) -> Walked {
        let Some(E::RangeVar(relation)) = node.node.as_ref() else { return visit::refused("RangeVar") };
        if relation.schemaname.is_empty() && self.ctes.iter().any(|cte| **cte == *relation.relname) {
            return Ok(());
        }
        let Some(cover) = self.cover_of(relation)? else { return Ok(()) };
        let opaque = cover.opaque.as_ref().filter(|_| self.weighs(cover));
        let query = match opaque {
            None if self.names_versions
                && let Some(versioned) = &cover.versioned =>
            {
                versioned.text.clone()
            }
            Some([whole, only]) if !cover.access.is_fenced(self.quiet) => {
                if relation.inh { whole } else { only }.text.clone()
            }
            Some(_) | None => {
                let fence = if self.is_fenced(cover) { order::FENCE } else { "" };
                format!("{}{fence}", self.shape_of(cover, relation.inh).text)
            }
        };
        let query = self.mark(query);
        let replacement = self.replacement(relation, cover, query);
        node.node = Some(E::RangeSubselect(Box::new(replacement)));
        Ok(())
    }

    fn sample(&mut self, node: &mut pg::Node) -> Walked {
        let Some(E::RangeTableSample(sample)) = node.node.as_mut() else { return visit::refused("RangeTableSample") };
        visit::nodes(self, &mut sample.args)?;
        boxed(self, sample.repeatable.as_mut())?;
        let Some(E::RangeVar(relation)) = sample.relation.as_deref().and_then(|inner| inner.node.as_ref()) else {
            return visit::refused("RangeTableSample");
        };
        let relation = relation.clone();
        let Some(cover) = self.cover_of(&relation)? else { return Ok(()) };
        if !sample.args.iter().all(order::is_hundred) {
            return self.refuse(
                "which rows a sample holds says where they are kept, and so how long masked values are; use a condition \
                 instead, for example `WHERE random() < 0.1`",
            );
        }
        let mut sample = sample.clone();
        let Some(mut query) = parse_one(&self.shape_of(cover, relation.inh).text) else {
            return visit::refused("RangeTableSample");
        };
        if self.is_fenced(cover) {
            order::fence(&mut query);
        }
        let mut replacement = self.replacement(&relation, cover, query);
        // The sample is taken of the relation itself, inside.
        let Some(E::SelectStmt(query)) = replacement.subquery.as_deref_mut().and_then(|query| query.node.as_mut())
        else {
            return visit::refused("RangeTableSample");
        };
        let Some(from) = query.from_clause.first_mut() else { return visit::refused("RangeTableSample") };
        if !matches!(&from.node, Some(E::RangeVar(table)) if !crate::provision::names::is_own(&table.schemaname)) {
            return self.refuse(
                "TABLESAMPLE needs the table itself, which the target hides behind a masking view; use a condition \
                 instead, for example `WHERE random() < 0.1`",
            );
        }
        sample.relation = Some(Box::new(from.clone()));
        from.node = Some(E::RangeTableSample(sample));
        node.node = Some(E::RangeSubselect(Box::new(replacement)));
        Ok(())
    }

    /// `schema.relation.column` names a relation that is a sub-query now: it keeps the relation's name only.
    fn column(&mut self, column: &mut pg::ColumnRef) {
        let names: Vec<&str> = column.fields.iter().map_while(string).collect();
        let at = |index: usize| names.get(index).copied().unwrap_or_default();
        let is = |schema: &str, name: &str| self.replaced.contains(&(schema.into(), name.into()));
        let drop = match column.fields.len() {
            3 if is(at(0), at(1)) => 1,
            4 if is(at(1), at(2)) => 2,
            _ => 0,
        };
        column.fields.drain(..drop);
    }

    fn selected(&mut self, select: &mut pg::SelectStmt) -> Walked {
        if self.plan.masks.views.is_some() && self.locks_covered(select) {
            self.refuse(
                "a row lock (FOR UPDATE, FOR SHARE) needs a right on the table itself, which the target hides behind a \
                 masking view; change the rows with UPDATE, which locks them, or name unmasked tables after OF",
            )?;
        }
        groups::extend(&self.aliases, select);
        Ok(())
    }

    fn scope(&mut self) -> &mut Vec<Box<str>> {
        &mut self.ctes
    }
}

/// The text of a string node.
pub(super) fn string(node: &pg::Node) -> Option<&str> {
    match node.node.as_ref() {
        Some(E::String(name)) => Some(&name.sval),
        _ => None,
    }
}
