//! Resolves limits, approvals, grants, forbids and operators.

use super::{Resolver, lines, read};
use lang::{
    model::{
        ApprovalId, AtMost, BreakGlass, ConnectionId, Forbid, Grant, GrantId, Limits, Operate, PerKind, Policy, Target,
    },
    program::rules::{Mode, Operator, Recorded},
    span::Spanned,
    syntax::{
        ast::{Node, Value},
        keyword::Keyword,
    },
};
use std::collections::BTreeSet;

impl Resolver<'_> {
    /// Fills the tables of limits, approvals, grants, forbids and operators.
    pub(super) fn rules(&mut self, policy: &mut Policy) {
        policy.approvals = self.nodes(Keyword::Approval).filter_map(|node| self.approval(node)).collect();
        let limits: Vec<Limits> = self.nodes(Keyword::Limits).filter_map(|node| self.limits(node, policy)).collect();
        policy.limits = limits;
        // Grants and break-glass share one namespace, so their order is that of the names.
        let nodes: Vec<&Node> = self
            .documents
            .iter()
            .flat_map(|document| &document.nodes)
            .filter(|node| matches!(node.keyword, Keyword::Grant | Keyword::BreakGlass))
            .collect();
        for node in nodes {
            // One that lacks a part is resolved all the same, for what else is wrong in it.
            let grant = self.grant(node, policy);
            policy.grants.extend(grant.filter(|_| read::viable(node)));
        }
        let forbids: Vec<Forbid> = self.nodes(Keyword::Forbid).filter_map(|node| self.forbid(node, policy)).collect();
        policy.forbids = forbids;
        let operators: Vec<Operate> =
            self.nodes(Keyword::Operate).filter_map(|node| self.operate(node, policy)).collect();
        policy.operators = operators;
    }

    fn approvals(&mut self, node: &Node, broken: &mut bool) -> Vec<Spanned<ApprovalId>> {
        node.values(Keyword::Approval).filter_map(|value| self.names.approval(value, broken, self.sink)).collect()
    }

    fn limits(&mut self, node: &Node, policy: &Policy) -> Option<Limits> {
        let name = read::name(node)?;
        let mut broken = false;
        let on = self.on(node, policy, &mut broken);
        let to = self.to(node, &mut broken);
        let approvals = self.approvals(node, &mut broken);
        let standing = node.value(Keyword::Standing);
        Some(Limits {
            on,
            to,
            lifetime: per_kind(node, Keyword::Lifetime, read::duration),
            extend: per_kind(node, Keyword::Extend, read::small),
            standing_denied: read::word(standing, |word| Some(word != "permit")),
            recorded: recorded(node.value(Keyword::Recorded)),
            approvals,
            reason: read::place(node, Keyword::Reason),
            ticket: read::text_of(node, Keyword::Ticket),
            mfa: read::place(node, Keyword::Mfa),
            hours: read::hours(node),
            cooldown: read::duration_of(node, Keyword::Cooldown),
            at_most: at_most(node),
            head: read::head(node, name, broken),
        })
    }

    fn grant(&mut self, node: &Node, policy: &Policy) -> Option<Grant> {
        let name = read::name(node)?;
        let mut broken = false;
        let target = self.target(node, policy, &mut broken);
        let connections: BTreeSet<ConnectionId> = match &target {
            Target::One(connection) => BTreeSet::from([connection.value]),
            Target::Selected(on) => on.connections.clone(),
            Target::Unknown => BTreeSet::new(),
        };
        let kinds = lines::kinds(policy, &connections);
        let permit = node.clause(Keyword::Permit).map(|clause| self.ops(&clause.args, &kinds, &mut broken));
        let ops = permit.as_ref().map_or_else(|| lines::meaning("read", &kinds), |permit| permit.set);
        let to = self.principals(node, Keyword::To, &mut broken);
        let approvals = self.approvals(node, &mut broken);
        let beside: Vec<Spanned<GrantId>> =
            node.values(Keyword::Beside).filter_map(|value| self.names.grant(value, &mut broken, self.sink)).collect();
        let objects = self.objects(node, &mut broken);
        let break_glass =
            if node.keyword == Keyword::BreakGlass { Some(self.break_glass(node, &mut broken)?) } else { None };
        let mode = match read::word(node.value(Keyword::When), |word| match word {
            "requested" => Some(Mode::Requested),
            "standing" => Some(Mode::Standing),
            _ => None,
        }) {
            Some(mode) => mode,
            None => Spanned { value: Mode::Requested, span: node.head },
        };
        Some(Grant {
            id_stated: node.keyword == Keyword::BreakGlass || node.prop("id").is_some(),
            target,
            to,
            mode,
            lifetime: read::lifetime(node)?,
            permit,
            ops,
            objects,
            recorded: recorded(node.value(Keyword::Recorded)),
            approvals,
            reveal: read::texts_of(node, Keyword::Reveal),
            hours: read::hours(node),
            valid: read::valid(node),
            reason: read::place(node, Keyword::Reason),
            ticket: read::text_of(node, Keyword::Ticket),
            mfa: read::place(node, Keyword::Mfa),
            cooldown: read::duration_of(node, Keyword::Cooldown),
            at_most: at_most(node),
            beside,
            break_glass,
            head: read::head(node, name, broken),
        })
    }

    fn target(&mut self, node: &Node, policy: &Policy, broken: &mut bool) -> Target {
        if node.keyword == Keyword::BreakGlass {
            return Target::Selected(self.on(node, policy, broken));
        }
        match node.arg().and_then(|value| self.names.connection(value, broken, self.sink)) {
            Some(connection) => Target::One(connection),
            None => Target::Unknown,
        }
    }

    fn break_glass(&mut self, node: &Node, broken: &mut bool) -> Option<BreakGlass> {
        let afterwards = node.clause(Keyword::Afterwards)?;
        let review = self.quorum(afterwards, afterwards.prop("quorum"), broken);
        Some(BreakGlass {
            waives_approval: read::place(node, Keyword::Waives),
            notify: read::texts_of(node, Keyword::Notify),
            within: afterwards.prop("within").and_then(read::duration)?,
            review,
        })
    }

    fn forbid(&mut self, node: &Node, policy: &Policy) -> Option<Forbid> {
        let name = read::name(node)?;
        let mut broken = false;
        let on = self.on(node, policy, &mut broken);
        let to = self.principals(node, Keyword::To, &mut broken);
        let (hours, valid) = (read::hours(node), read::valid(node));
        Some(Forbid { on, to, hours, valid, head: read::head(node, name, broken) })
    }

    fn operate(&mut self, node: &Node, policy: &Policy) -> Option<Operate> {
        let name = read::name(node)?;
        let mut broken = false;
        let on = self.on(node, policy, &mut broken);
        let to = self.principals(node, Keyword::To, &mut broken);
        let may = node.values(Keyword::May).filter_map(|value| read::word(Some(value), Operator::parse)).collect();
        Some(Operate { on, to, may, head: read::head(node, name, broken) })
    }
}

fn per_kind<T>(node: &Node, keyword: Keyword, read: impl Fn(&Value) -> Option<Spanned<T>>) -> PerKind<T> {
    let of = |key| node.clause(keyword).and_then(|clause| clause.prop(key)).and_then(&read);
    PerKind { human: of("human"), service: of("service"), agent: of("agent") }
}

fn at_most(node: &Node) -> Option<Spanned<AtMost>> {
    let clause = node.clause(Keyword::AtMost)?;
    let count = clause.arg().and_then(read::small)?.value;
    let per = clause.prop("per").and_then(Value::duration)?;
    Some(Spanned { value: AtMost { count, per }, span: clause.head })
}

/// An amount of recording; `yes` means full.
pub(super) fn recorded(value: Option<&Value>) -> Option<Spanned<Recorded>> {
    read::word(value, |word| match word {
        "none" => Some(Recorded::None),
        "metadata" => Some(Recorded::Metadata),
        "full" | "yes" => Some(Recorded::Full),
        _ => None,
    })
}
