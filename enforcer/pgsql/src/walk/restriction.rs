//! Whether a condition keeps an UPDATE, DELETE or MERGE from reaching every row of its target.
//!
//! The answer errs on the side of "every row": a constant or tautological condition, one that does not reference the
//! target, and one whose reference cannot be told from another relation's, do not restrict. `column IS NOT NULL` alone
//! does not either, since most columns are never null. What holds for every row by its values alone (`id > 0`) cannot
//! be seen without data: row limits on writes catch it.

use super::names::string;
use super::query::alias_of;
use super::{E, Refusal, Walker, pg};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Write;

/// A column as the text names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<'t> {
    pub(super) fields: &'t [pg::Node],
    /// How many sub-queries enclose it.
    pub(super) level: u32,
}

/// The relation that a statement changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'t> {
    relation: &'t pg::RangeVar,
    /// Whether FROM or USING adds other relations, so that a bare name may be theirs.
    alone: bool,
}

/// Columns of the target that an expression names, and whether it names any.
#[derive(Debug, Default)]
struct Names<'t> {
    any: bool,
    columns: BTreeSet<&'t str>,
}

/// How many nodes the questions about one statement may walk. Past it, nothing restricts.
const EFFORT_NODES_MAX: usize = 4_000_000;

/// What a byte of a condition's shape costs, in nodes.
const SHAPE_BYTES_PER_NODE: usize = 32;

/// What is left of [`EFFORT_NODES_MAX`].
#[derive(Debug)]
pub(super) struct Effort(Cell<usize>);

impl Default for Effort {
    fn default() -> Self {
        Self(Cell::new(EFFORT_NODES_MAX))
    }
}

impl Effort {
    fn is_spent(&self) -> bool {
        self.0.get() == 0
    }

    fn spend(&self, nodes: usize) {
        self.0.set(self.0.get().saturating_sub(nodes));
    }
}

type Restricts = Result<bool, Refusal>;

impl<'t> Target<'t> {
    pub(super) fn new(relation: &'t pg::RangeVar, alone: bool) -> Self {
        Self { relation, alone }
    }

    pub(super) fn relation(&self) -> &'t pg::RangeVar {
        self.relation
    }

    fn alias(&self) -> &'t str {
        self.relation.alias.as_ref().map_or(&self.relation.relname, |alias| &alias.aliasname)
    }

    /// Whether a name with a qualification is qualified by the target.
    fn qualifies(&self, fields: &'t [pg::Node]) -> bool {
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
    pub(super) fn restricts(&self, condition: Option<&'t pg::Node>, target: Target<'t>) -> Restricts {
        condition.map_or(Ok(false), |condition| self.restricts_when(condition, target, false))
    }

    fn restricts_when(&self, condition: &'t pg::Node, target: Target<'t>, negated: bool) -> Restricts {
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
                Ok(!not_null && self.names(arg, target)?.any)
            }
            Some(E::AExpr(n)) => {
                Ok(self.names(condition, target)?.any && self.comparison_restricts(n, target, negated)?)
            }
            Some(E::SubLink(n)) => {
                Ok(self.names(condition, target)?.any && (negated || !self.holds_whole_target(n, target)?))
            }
            Some(E::CurrentOfExpr(_)) => Ok(true),
            _ => Ok(self.names(condition, target)?.any),
        }
    }

    fn boolean_restricts(&self, n: &'t pg::BoolExpr, target: Target<'t>, negated: bool) -> Restricts {
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
        Ok(self.arms_restrict(&n.args, target, negated)? && !complementary(&n.args, &self.effort))
    }

    /// Alternatives restrict when every one of them does; one that never holds adds nothing.
    fn arms_restrict(&self, arms: &'t [pg::Node], target: Target<'t>, negated: bool) -> Restricts {
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
    fn case_restricts(&self, n: &'t pg::CaseExpr, target: Target<'t>, negated: bool) -> Restricts {
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
    fn comparison_restricts(&self, n: &'t pg::AExpr, target: Target<'t>, negated: bool) -> Restricts {
        let (Some(left), Some(right)) = (n.lexpr.as_deref(), n.rexpr.as_deref()) else { return Ok(true) };
        let (on_left, on_right) = (self.names(left, target)?, self.names(right, target)?);
        if on_left.any && on_left.columns == on_right.columns {
            return Ok(false);
        }
        if let Some(E::SubLink(link)) = right.node.as_ref()
            && n.kind == pg::AExprKind::AexprOpAny as i32
            && !negated
            && self.holds_whole_target(link, target)?
        {
            return Ok(false);
        }
        let operator = n.name.last().and_then(string).unwrap_or_default();
        if let Some(pattern) = super::expression::constant(right)
            && operator.starts_with('!') == negated
            && matches_everything(operator.trim_start_matches('!'), pattern)
        {
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

    /// `column IN (SELECT column FROM target)`, without anything that leaves rows out.
    fn holds_whole_target(&self, link: &'t pg::SubLink, target: Target<'t>) -> Restricts {
        let kind = pg::SubLinkType::try_from(link.sub_link_type);
        if !matches!(kind, Ok(pg::SubLinkType::AnySublink | pg::SubLinkType::ArraySublink)) {
            return Ok(false);
        }
        let Some(E::SelectStmt(select)) = link.subselect.as_deref().and_then(|select| select.node.as_ref()) else {
            return Ok(false);
        };
        let [from] = select.from_clause.as_slice() else { return Ok(false) };
        let Some(E::RangeVar(inner)) = from.node.as_ref() else { return Ok(false) };
        let same = inner.relname == target.relation.relname && inner.schemaname == target.relation.schemaname;
        let plain = select.limit_count.is_none()
            && select.limit_offset.is_none()
            && select.having_clause.is_none()
            && select.group_clause.is_empty();
        Ok(same && plain && !self.restricts(select.where_clause.as_deref(), Target::new(inner, true))?)
    }

    /// The target's columns that an expression names for certain.
    fn names(&self, expression: &'t pg::Node, target: Target<'t>) -> Result<Names<'t>, Refusal> {
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
            if owned {
                names.any = true;
                names.columns.insert(column.fields.last().and_then(string).unwrap_or("*"));
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

/// Whether a pattern matches every text.
fn matches_everything(operator: &str, pattern: &str) -> bool {
    match operator {
        "~~" | "~~*" => !pattern.is_empty() && pattern.chars().all(|c| c == '%'),
        "~" | "~*" => matches!(pattern, "" | "^" | "$" | ".*" | "^.*" | ".*$" | "^.*$" | "(.*)" | ".?"),
        _ => false,
    }
}

/// Whether two arms of an OR are each other's negation, so that together they hold for every row.
fn complementary(arms: &[pg::Node], effort: &Effort) -> bool {
    let mut seen = BTreeSet::new();
    arms.iter().any(|arm| {
        let (key, opposite) = keys(arm);
        effort.spend(key.len() / SHAPE_BYTES_PER_NODE);
        if effort.is_spent() {
            return true;
        }
        let found = seen.contains(&opposite);
        seen.insert(key);
        found
    })
}

/// A text that equal conditions share, and that of the negation.
fn keys(condition: &pg::Node) -> (String, String) {
    match condition.node.as_ref() {
        Some(E::BoolExpr(n)) if n.boolop == pg::BoolExprType::NotExpr as i32 => {
            let (key, opposite) = n.args.first().map(keys).unwrap_or_default();
            (opposite, key)
        }
        Some(E::AExpr(n)) if n.kind == pg::AExprKind::AexprOp as i32 => {
            let operator = n.name.last().and_then(string).unwrap_or_default();
            let sides = format!("{}|{}", shape(n.lexpr.as_deref()), shape(n.rexpr.as_deref()));
            let inverse = match operator {
                "=" => "<>",
                "<>" => "=",
                "<" => ">=",
                ">=" => "<",
                ">" => "<=",
                "<=" => ">",
                other => return (format!("{other}{sides}"), format!("!{other}{sides}")),
            };
            (format!("{operator}{sides}"), format!("{inverse}{sides}"))
        }
        _ => {
            let shape = shape(Some(condition));
            (format!("={shape}"), format!("!{shape}"))
        }
    }
}

/// The tree as text, without the places where its parts stand.
fn shape(node: Option<&pg::Node>) -> String {
    let mut text = String::new();
    if let Some(node) = node
        && write!(text, "{node:?}").is_ok()
    {
        let mut parts = text.split("location: ");
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            out.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-'));
        }
        return out;
    }
    text
}
