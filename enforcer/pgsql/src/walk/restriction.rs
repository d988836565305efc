//! Whether a condition keeps an UPDATE, DELETE or MERGE from reaching every row of its target.
//!
//! The answer errs on the side of "every row": a constant or tautological condition, one that does not reference the
//! target, and one whose reference cannot be told from another relation's, do not restrict. `column IS NOT NULL` alone
//! does not either, since most columns are never null. What seems to restrict is then tried on sample rows
//! ([`super::sampled`]). What holds for every row by its values alone (`id > 0`) cannot be seen without data: row limits
//! on writes catch it.

use super::asked::first_in_order;
use super::expression::constant;
use super::names::string;
use super::operator::uncast;
use super::pattern::{is_range_of_everything, matches_everything};
use super::query::alias_of;
use super::tautology::{boolean, complementary, number, shape};
use super::twin::{ANY, Attached, Columns, Twin};
use super::whole::{Bound, bound, gathered};
use super::{E, Refusal, Walker, pg};
use std::cell::Cell;
use std::collections::BTreeSet;

/// A column as the text names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<'t> {
    pub(super) fields: &'t [pg::Node],
    /// How many sub-queries enclose it.
    pub(super) level: u32,
}

/// The relation that a statement changes.
#[derive(Clone, Debug)]
pub(super) struct Target<'t> {
    pub(super) relation: &'t pg::RangeVar,
    /// What it is called, when not by its own name.
    called: Option<&'t str>,
    /// Whether nothing stands beside it in FROM or USING, so that a bare name is its own.
    pub(super) alone: bool,
    /// What stands beside it and holds every one of its rows again: a row is always equal to its twin.
    pub(super) twins: Vec<Twin<'t>>,
    /// What stands beside it and belongs to its row.
    pub(super) attached: Vec<Attached<'t>>,
    /// What its columns are of the relation, when it is a query over it.
    pub(super) own: Columns<'t>,
}

/// Columns of the target's row that an expression names, and whether it names any. Those of the target itself have no
/// qualification here.
#[derive(Debug, Default)]
struct Names<'t> {
    any: bool,
    columns: BTreeSet<(&'t str, &'t str)>,
}

/// How many nodes the questions about one statement may walk. Past it, nothing restricts.
const EFFORT_NODES_MAX: usize = 4_000_000;

/// How many nodes may be tried on sample rows. Past it, no more is tried.
const SAMPLED_NODES_MAX: usize = 4_000_000;

/// What is left of [`EFFORT_NODES_MAX`] and [`SAMPLED_NODES_MAX`].
#[derive(Debug)]
pub(super) struct Effort {
    nodes: Cell<usize>,
    sampled: Cell<usize>,
}

impl Default for Effort {
    fn default() -> Self {
        Self { nodes: Cell::new(EFFORT_NODES_MAX), sampled: Cell::new(SAMPLED_NODES_MAX) }
    }
}

impl Effort {
    pub(super) fn is_spent(&self) -> bool {
        self.nodes.get() == 0
    }

    pub(super) fn spend(&self, nodes: usize) {
        self.nodes.set(self.nodes.get().saturating_sub(nodes));
    }

    /// Whether so many nodes may still be tried on samples.
    pub(super) fn sample(&self, nodes: usize) -> bool {
        self.sampled.set(self.sampled.get().saturating_sub(nodes));
        self.sampled.get() > 0
    }
}

pub(super) type Restricts = Result<bool, Refusal>;

impl<'t> Target<'t> {
    pub(super) fn of(relation: &'t pg::RangeVar) -> Self {
        Self { relation, called: None, alone: true, twins: Vec::new(), attached: Vec::new(), own: Columns::same() }
    }

    /// The same relation under another name.
    pub(super) fn named(relation: &'t pg::RangeVar, called: &'t str) -> Self {
        Self { called: Some(called), ..Self::of(relation) }
    }

    pub(super) fn alias(&self) -> &'t str {
        self.called.unwrap_or_else(|| alias_of_relation(self.relation))
    }

    /// Whether this is the name of the target or of what belongs to its row.
    pub(super) fn is_called(&self, alias: &str) -> bool {
        alias == self.alias() || self.attached.iter().any(|other| other.alias == alias)
    }

    pub(super) fn attach(&mut self, attached: Attached<'t>) {
        if !attached.alias.is_empty() && !self.is_called(attached.alias) {
            self.attached.push(attached);
        }
    }

    fn attached(&self, fields: &'t [pg::Node]) -> Option<&Attached<'t>> {
        let alias = fields.first().and_then(string).filter(|_| fields.len() > 1)?;
        self.attached.iter().find(|other| other.alias == alias)
    }

    /// The twin that qualifies a name.
    pub(super) fn twin(&self, fields: &'t [pg::Node]) -> Option<&Twin<'t>> {
        let alias = fields.first().and_then(string).filter(|_| fields.len() > 1)?;
        self.twins.iter().find(|twin| twin.alias == alias)
    }

    /// The twin in `t.a = twin.a`: the same column of the same relation.
    pub(super) fn twin_compared(&self, left: &'t pg::Node, right: &'t pg::Node) -> Option<&Twin<'t>> {
        let fields = |node: &'t pg::Node| match uncast(node).node.as_ref() {
            Some(E::ColumnRef(column)) => Some(column.fields.as_slice()),
            _ => None,
        };
        let (left, right) = (fields(left)?, fields(right)?);
        let name = |fields: &'t [pg::Node]| fields.last().and_then(string).unwrap_or(ANY);
        [(left, right), (right, left)].into_iter().find_map(|(own, other)| {
            let twin = self.twin(other)?;
            let own = self.own.stands_for(name(own)).filter(|_| own.len() < 2 || self.qualifies(own))?;
            let other = twin.columns.stands_for(name(other))?;
            (own == other || own == ANY || other == ANY).then_some(twin)
        })
    }

    pub(super) fn compares_twins(&self, left: &'t pg::Node, right: &'t pg::Node) -> bool {
        self.twin_compared(left, right).is_some()
    }

    /// Whether a name with a qualification is qualified by the target.
    pub(super) fn qualifies(&self, fields: &'t [pg::Node]) -> bool {
        let mut names = fields.iter().map(string);
        let (first, second) = (names.next().flatten(), names.next().flatten());
        first == Some(self.alias())
            || fields.len() > 2 && first == Some(&self.relation.schemaname) && second == Some(self.alias())
    }

    /// Whether a column may be the target's: for what a statement reads, where doubt means yes.
    pub(super) fn may_own(&self, column: Column<'t>) -> bool {
        column.fields.len() < 2 || self.qualifies(column.fields)
    }
}

impl<'t> Walker<'t> {
    /// Whether the condition restricts the rows of the target.
    pub(super) fn restricts(&self, condition: Option<&'t pg::Node>, target: &Target<'t>) -> Restricts {
        let Some(condition) = condition else { return Ok(false) };
        if let Some(E::BoolExpr(n)) = condition.node.as_ref()
            && n.boolop == pg::BoolExprType::AndExpr as i32
        {
            for arg in &n.args {
                if self.restricts(Some(arg), target)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        Ok(self.restricts_when(condition, target, false)? && !self.always_holds(condition, target))
    }

    fn restricts_when(&self, condition: &'t pg::Node, target: &Target<'t>, negated: bool) -> Restricts {
        match condition.node.as_ref() {
            Some(E::BoolExpr(n)) => self.boolean_restricts(n, target, negated),
            Some(E::BooleanTest(n)) => {
                let Some(arg) = n.arg.as_deref() else { return Ok(false) };
                match pg::BoolTestType::try_from(n.booltesttype) {
                    Ok(pg::BoolTestType::IsTrue | pg::BoolTestType::IsNotFalse) => {
                        self.restricts_when(arg, target, negated)
                    }
                    Ok(pg::BoolTestType::IsFalse | pg::BoolTestType::IsNotTrue) => {
                        self.restricts_when(arg, target, !negated)
                    }
                    Ok(pg::BoolTestType::IsUnknown) if !negated => Ok(self.names(arg, target)?.any),
                    Ok(pg::BoolTestType::IsNotUnknown) if negated => Ok(self.names(arg, target)?.any),
                    Ok(pg::BoolTestType::IsUnknown | pg::BoolTestType::IsNotUnknown | pg::BoolTestType::Undefined)
                    | Err(_) => Ok(false),
                }
            }
            Some(E::TypeCast(n)) => n.arg.as_deref().map_or(Ok(false), |arg| self.restricts_when(arg, target, negated)),
            Some(E::CollateClause(n)) => {
                n.arg.as_deref().map_or(Ok(false), |arg| self.restricts_when(arg, target, negated))
            }
            Some(E::CoalesceExpr(n)) => self.arms_restrict(&n.args, target, negated),
            Some(E::CaseExpr(n)) => self.case_restricts(n, target, negated),
            Some(E::NullTest(n)) => {
                let not_null = (n.nulltesttype == pg::NullTestType::IsNotNull as i32) != negated;
                let Some(arg) = n.arg.as_deref() else { return Ok(false) };
                let says = !not_null || may_be_absent(arg, target);
                Ok(says && self.names(arg, target)?.any)
            }
            Some(E::AExpr(n)) => {
                Ok(self.names(condition, target)?.any && self.comparison_restricts(n, target, negated)?)
            }
            Some(E::SubLink(n)) => Ok(self.names(condition, target)?.any
                && (negated || self.asks_of_row(n, target)?)
                && !self.holds_whole_target(n, target, negated)?),
            Some(E::FuncCall(call)) if is_vacuous(call) => Ok(false),
            Some(E::CurrentOfExpr(_)) => Ok(true),
            _ => Ok(self.names(condition, target)?.any),
        }
    }

    fn boolean_restricts(&self, n: &'t pg::BoolExpr, target: &Target<'t>, negated: bool) -> Restricts {
        let conjunction = match pg::BoolExprType::try_from(n.boolop) {
            Ok(pg::BoolExprType::AndExpr) => !negated,
            Ok(pg::BoolExprType::OrExpr) => negated,
            Ok(pg::BoolExprType::NotExpr) => {
                return n.args.first().map_or(Ok(false), |arg| self.restricts_when(arg, target, !negated));
            }
            Ok(pg::BoolExprType::Undefined) | Err(_) => return Ok(false),
        };
        if conjunction {
            for arg in &n.args {
                if self.restricts_when(arg, target, negated)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        Ok(self.arms_restrict(&n.args, target, negated)? && !complementary(&n.args, negated, &self.effort))
    }

    /// Alternatives restrict when every one of them does; one that never holds adds nothing.
    fn arms_restrict(&self, arms: &'t [pg::Node], target: &Target<'t>, negated: bool) -> Restricts {
        let mut some = false;
        for arm in arms.iter().filter(|arm| !never_holds(arm, negated)) {
            some = true;
            if !self.restricts_when(arm, target, negated)? {
                return Ok(false);
            }
        }
        Ok(some)
    }

    /// CASE restricts when each arm that can hold stands under a restricting condition or is one.
    fn case_restricts(&self, n: &'t pg::CaseExpr, target: &Target<'t>, negated: bool) -> Restricts {
        let mut some = false;
        for node in &n.args {
            let Some(E::CaseWhen(when)) = node.node.as_ref() else { return Ok(false) };
            let (Some(condition), Some(result)) = (when.expr.as_deref(), when.result.as_deref()) else {
                return Ok(false);
            };
            if never_holds(result, negated) {
                continue;
            }
            some = true;
            let under = match n.arg.as_deref() {
                Some(arg) => self.names(arg, target)?.any && !self.names(condition, target)?.any,
                None => self.restricts_when(condition, target, false)?,
            };
            if !under && !self.restricts_when(result, target, negated)? {
                return Ok(false);
            }
        }
        match n.defresult.as_deref() {
            Some(other) if !never_holds(other, negated) => self.restricts_when(other, target, negated),
            Some(_) | None => Ok(some),
        }
    }

    /// `a = a`, `a + 0 = a`, `a LIKE '%'` and the like hold for every row.
    fn comparison_restricts(&self, n: &'t pg::AExpr, target: &Target<'t>, negated: bool) -> Restricts {
        let (Some(left), Some(right)) = (n.lexpr.as_deref(), n.rexpr.as_deref()) else { return Ok(true) };
        let operator = n.name.last().and_then(string).unwrap_or_default();
        for (condition, value) in [(left, right), (right, left)] {
            // `(condition) = true` is the condition.
            if let Some(value) = boolean(value)
                && n.kind == pg::AExprKind::AexprOp as i32
                && matches!(operator, "=" | "<>")
            {
                return self.restricts_when(condition, target, negated != (value != (operator == "=")));
            }
        }
        let (on_left, on_right) = (self.names(left, target)?, self.names(right, target)?);
        let same = on_left.any && on_left.columns == on_right.columns && is_arithmetic(left) && is_arithmetic(right);
        // `amount <> amount::integer` asks what a cast changes.
        let changed = operator == "<>" && shape(Some(uncast(left))) == shape(Some(uncast(right)));
        if same && !changed || pairs_twins(operator, left, right, target) {
            return Ok(false);
        }
        if let Some(query) = gathered(right)
            && n.kind == pg::AExprKind::AexprOpAny as i32
            && !negated
            && self.holds_whole(query, target, &on_left)?
        {
            return Ok(false);
        }
        if n.kind == pg::AExprKind::AexprOp as i32
            && (self.is_bound_by_whole(mirrored(operator), left, target)?
                || self.is_bound_by_whole(operator, right, target)?)
        {
            return Ok(false);
        }
        if let Some(E::List(bounds)) = right.node.as_ref()
            && let ([low, high], false) = (bounds.items.as_slice(), negated)
            && n.kind == pg::AExprKind::AexprBetween as i32
            && self.is_bound_by_whole(">=", low, target)?
            && self.is_bound_by_whole("<=", high, target)?
        {
            return Ok(false);
        }
        if holds_by_shape(n, operator, left, right, negated) {
            return Ok(false);
        }
        // IS DISTINCT FROM NULL is IS NOT NULL.
        let distinct = n.kind == pg::AExprKind::AexprDistinct as i32;
        let not_distinct = n.kind == pg::AExprKind::AexprNotDistinct as i32;
        if is_null(left) || is_null(right) {
            return Ok(if negated { distinct } else { not_distinct });
        }
        Ok(true)
    }

    /// `column >= (SELECT min(column) FROM target)`: what all rows bound leaves out next to none of them.
    /// Likewise `column = (SELECT column FROM target x WHERE x.column = target.column)`. Within a group of rows (`owner =
    /// target.owner`) it leaves those out that a `>` or `<>` asks for.
    fn is_bound_by_whole(&self, operator: &str, side: &'t pg::Node, target: &Target<'t>) -> Restricts {
        let Some(E::SubLink(link)) = side.node.as_ref() else { return Ok(false) };
        let Some(query) = link.subselect.as_deref() else { return Ok(false) };
        if let Some(first) = first_in_order(query) {
            let bounds = matches!((first, operator), (Bound::Least, ">=") | (Bound::Greatest, "<="));
            return Ok(bounds && self.existence_yields_whole(query, target)?.is_some());
        }
        let whole = match (bound(query), operator) {
            (Bound::None, _) | (Bound::Least, ">=") | (Bound::Greatest, "<=") => {
                self.correlated_yields_whole(query, target)?
            }
            (Bound::Least, ">" | "<>") | (Bound::Greatest, "<" | "<>") => {
                self.query_yields_whole(query, target.relation)?
            }
            (Bound::Least | Bound::Greatest | Bound::Between, _) => None,
        };
        Ok(whole.is_some())
    }

    /// `column IN (SELECT column FROM target)` and the like, without anything that leaves rows out.
    fn holds_whole_target(&self, link: &'t pg::SubLink, target: &Target<'t>, negated: bool) -> Restricts {
        let Some(query) = link.subselect.as_deref() else { return Ok(false) };
        let operator = link.oper_name.last().and_then(string).unwrap_or("=");
        match pg::SubLinkType::try_from(link.sub_link_type) {
            Ok(pg::SubLinkType::AnySublink) if !negated => match (operator, link.testexpr.as_deref()) {
                ("=", Some(test)) => self.holds_whole(query, target, &self.names(test, target)?),
                _ => Ok(self.query_yields_whole(query, target.relation)?.is_some()),
            },
            // NOT (a <> ALL (…)) is a = ANY (…).
            Ok(pg::SubLinkType::AllSublink) if negated => {
                Ok(self.query_yields_whole(query, target.relation)?.is_some())
            }
            Ok(pg::SubLinkType::ExistsSublink) if !negated => Ok(self.existence_yields_whole(query, target)?.is_some()),
            Ok(_) | Err(_) => Ok(false),
        }
    }

    /// Whether a query holds, for each row of the target, the value of the same column.
    fn holds_whole(&self, query: &'t pg::Node, target: &Target<'t>, names: &Names<'t>) -> Restricts {
        let columns = self.correlated_yields_whole(query, target)?;
        let column = columns.and_then(|columns| columns.only());
        Ok(column.is_some_and(|column| column == ANY || names.columns.contains(&("", column))))
    }

    /// What the names in a condition are qualified with.
    pub(super) fn qualifiers(&self, condition: &'t pg::Node) -> Result<BTreeSet<&'t str>, Refusal> {
        let mut probe = Walker::new(self.session);
        probe.inside_write = true;
        probe.node(condition)?;
        self.effort.spend(probe.walked);
        let qualified = probe.columns.iter().filter(|column| column.fields.len() > 1);
        Ok(qualified.filter_map(|column| column.fields.first().and_then(string)).collect())
    }

    /// Whether an expression names the target's row for certain.
    pub(super) fn names_row(&self, expression: &'t pg::Node, target: &Target<'t>) -> Restricts {
        Ok(self.names(expression, target)?.any)
    }

    /// The target's columns that an expression names for certain.
    fn names(&self, expression: &'t pg::Node, target: &Target<'t>) -> Result<Names<'t>, Refusal> {
        let mut names = Names::default();
        if self.effort.is_spent() {
            return Ok(names);
        }
        let mut probe = Walker::new(self.session);
        probe.inside_write = true;
        probe.node(expression)?;
        self.effort.spend(probe.walked);
        let shadowed = probe.aliases.contains(&target.alias());
        for column in &probe.columns {
            let owned = if column.fields.len() < 2 {
                // A bare name inside a sub-query is looked up there first.
                target.alone && column.level == 0
            } else {
                target.qualifies(column.fields) && (column.level == 0 || !shadowed)
            };
            let name = column.fields.last().and_then(string).unwrap_or("*");
            let qualification = if owned {
                Some("")
            } else {
                target.attached(column.fields).filter(|_| column.level == 0).map(|attached| attached.alias)
            };
            // Every row has the same table.
            if let Some(qualification) = qualification.filter(|_| name != "tableoid") {
                let name = if owned { target.own.stands_for(name).unwrap_or(name) } else { name };
                names.any = true;
                names.columns.insert((qualification, name));
            }
        }
        Ok(names)
    }
}

impl<'t> Walker<'t> {
    /// Remembers what an item of FROM inside a sub-query is called.
    pub(super) fn remember_alias(&mut self, item: &'t pg::Node) {
        let alias = alias_of(item);
        if !alias.is_empty() {
            self.aliases.push(alias);
        }
    }
}

/// Whether an arm of OR is a constant that never holds: it adds no rows.
fn never_holds(node: &pg::Node, negated: bool) -> bool {
    match node.node.as_ref() {
        Some(E::AConst(constant)) if constant.isnull => true,
        Some(E::AConst(constant)) => match &constant.val {
            Some(pg::a_const::Val::Boolval(flag)) => flag.boolval == negated,
            _ => false,
        },
        _ => false,
    }
}

fn is_null(node: &pg::Node) -> bool {
    matches!(node.node.as_ref(), Some(E::AConst(constant)) if constant.isnull)
}

/// Whether a comparison with a twin holds for a row and its like, or for a row and any other.
fn pairs_twins<'t>(operator: &str, left: &'t pg::Node, right: &'t pg::Node, target: &Target<'t>) -> bool {
    match (operator, target.twin_compared(left, right)) {
        ("=" | "<=" | ">=", Some(_)) => true,
        ("<>", Some(twin)) => !target.is_called(twin.alias),
        _ => false,
    }
}

/// Whether IS NOT NULL asks for more than what most rows have: a part of a document, or what an outer join found.
fn may_be_absent<'t>(arg: &'t pg::Node, target: &Target<'t>) -> bool {
    match uncast(arg).node.as_ref() {
        Some(E::ColumnRef(column)) => target.attached(&column.fields).is_some_and(|attached| attached.nullable),
        Some(E::AExpr(n)) => matches!(n.name.last().and_then(string), Some("->" | "->>" | "#>" | "#>>")),
        _ => false,
    }
}

/// Whether a value is a column, or one reckoned from columns, lists of them included: what calls make of a column may
/// well differ from it.
fn is_arithmetic(node: &pg::Node) -> bool {
    let all = |nodes: &[pg::Node]| nodes.iter().all(is_arithmetic);
    match node.node.as_ref() {
        Some(E::ColumnRef(_) | E::AConst(_)) => true,
        Some(E::TypeCast(n)) => n.arg.as_deref().is_some_and(is_arithmetic),
        Some(E::AExpr(n)) => {
            let reckons = matches!(n.name.last().and_then(string), Some("+" | "-" | "*" | "/" | "%" | "||"));
            reckons && [&n.lexpr, &n.rexpr].into_iter().flatten().all(|side| is_arithmetic(side))
        }
        Some(E::List(n)) => all(&n.items),
        Some(E::RowExpr(n)) => all(&n.args),
        Some(E::AArrayExpr(n)) => all(&n.elements),
        _ => false,
    }
}

/// The operator with its sides exchanged.
fn mirrored(operator: &str) -> &str {
    match operator {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}

/// Whether a comparison holds for every row by its shape: a pattern of everything, arithmetic that cancels out, a length
/// that is not negative, both truth values.
fn holds_by_shape(n: &pg::AExpr, operator: &str, left: &pg::Node, right: &pg::Node, negated: bool) -> bool {
    let kind = pg::AExprKind::try_from(n.kind);
    if matches!(kind, Ok(pg::AExprKind::AexprIn)) && !negated && operator == "=" {
        let Some(E::List(list)) = right.node.as_ref() else { return false };
        let holds = |value: bool| list.items.iter().any(|item| boolean(item) == Some(value));
        return holds(true) && holds(false);
    }
    if matches!(kind, Ok(pg::AExprKind::AexprOpAny)) && !negated {
        let both = constant(right).map(str::to_ascii_lowercase);
        return both.is_some_and(|text| matches!(text.as_str(), "{t,f}" | "{f,t}" | "{true,false}" | "{false,true}"));
    }
    let range = match operator {
        "@>" => constant(uncast(left)),
        "<@" => constant(uncast(right)),
        _ => None,
    };
    if !negated && range.is_some_and(is_range_of_everything) {
        return true;
    }
    let pattern = match right.node.as_ref() {
        // LIKE … ESCAPE and SIMILAR TO wrap their pattern.
        Some(E::FuncCall(call)) => call.args.first().and_then(constant),
        _ => constant(right),
    };
    let like = if matches!(kind, Ok(pg::AExprKind::AexprSimilar)) { "~~" } else { operator.trim_start_matches('!') };
    if let Some(pattern) = pattern
        && operator.starts_with('!') == negated
        && matches_everything(like, pattern)
    {
        return true;
    }
    let bounded_below = matches!((operator, number(right)), (">=", Some(bound)) if bound <= 0.0)
        || matches!((operator, number(right)), (">", Some(bound)) if bound < 0.0);
    !negated && (cancels(left) || cancels(right) || bounded_below && never_negative(left))
}

/// `a - a`, `a * 0`, `left(a, 0)`, `position('' in a)`.
fn cancels(expression: &pg::Node) -> bool {
    match expression.node.as_ref() {
        Some(E::AExpr(n)) => match (n.name.last().and_then(string), n.lexpr.as_deref(), n.rexpr.as_deref()) {
            (Some("-" | "/" | "%" | "#"), Some(left), Some(right)) => shape(Some(left)) == shape(Some(right)),
            (Some("*" | "&"), Some(left), Some(right)) => number(left) == Some(0.0) || number(right) == Some(0.0),
            _ => false,
        },
        Some(E::FuncCall(call)) => {
            let name = call.funcname.last().and_then(string).unwrap_or_default();
            let nothing = |at: usize| call.args.get(at).is_some_and(|arg| number(arg) == Some(0.0));
            let empty = || call.args.iter().any(|arg| constant(arg) == Some(""));
            matches!(name, "left" | "right" | "repeat") && nothing(1)
                || matches!(name, "position" | "strpos") && empty()
        }
        _ => false,
    }
}

fn never_negative(expression: &pg::Node) -> bool {
    let Some(E::FuncCall(call)) = expression.node.as_ref() else { return false };
    let name = call.funcname.last().and_then(string).unwrap_or_default();
    matches!(
        name,
        "abs" | "length" | "char_length" | "character_length" | "octet_length" | "bit_length" | "cardinality" | "sqrt"
    )
}

/// `starts_with(column, '')`.
fn is_vacuous(call: &pg::FuncCall) -> bool {
    call.funcname.last().and_then(string) == Some("starts_with") && call.args.get(1).and_then(constant) == Some("")
}

fn alias_of_relation(relation: &pg::RangeVar) -> &str {
    relation.alias.as_ref().map_or(&relation.relname, |alias| &alias.aliasname)
}
