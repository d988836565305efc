//! P0709: escalation: somebody can change what decides about access, through the gateway itself. Who can write to the
//! gateway's host, the identity provider, the policy repository or the store of secrets holds everything behind them.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ConnectionId, Grant, GroupId, Principal},
    protocol::{OpSet, Operation},
};

/// The label that says what a connection controls.
const LABEL: &str = "controls";

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for grant in ctx.policy.grants.iter().filter(|grant| !grant.head.broken) {
        for connection in grant.connections() {
            let Some(controls) = ctx.policy[connection].label(LABEL) else { continue };
            let writes = writes(ctx, connection, grant);
            let (Some(op), Some(principal)) = (writes.iter().next(), grant.to.first()) else { continue };
            report(ctx, grant, connection, (controls, op, principal), sink);
            break;
        }
    }
}

/// The operations of a grant that change something there.
fn writes(ctx: &Ctx<'_>, connection: ConnectionId, grant: &Grant) -> OpSet {
    let harmless = |op: &Operation| op.family() == Some("read") || matches!(op, Operation::Listen | Operation::Set);
    let known = ctx.policy[connection].kind.value.operations().filter(|op| !harmless(op)).collect();
    grant.ops.intersection(known)
}

fn report(
    ctx: &Ctx<'_>,
    grant: &Grant,
    connection: ConnectionId,
    (controls, op, principal): (&str, Operation, &Principal),
    sink: &mut Sink,
) {
    let (id, target) = (&grant.head.name.value, &ctx.policy[connection].head.name);
    let who = ctx.describe(principal);
    let place = grant
        .permit
        .iter()
        .flat_map(|permit| &permit.words)
        .find(|word| word.set.contains(op))
        .map_or(grant.head.name.span, |word| word.word.span);
    let message = format!("`{id}` lets {who} change what controls access: `{}` is the {controls}", target.value);
    let mut found = Diagnostic::new(Code::P0709, place, message)
        .label(format!("`{op}` changes it"))
        .also(principal.span, "for them")
        .also(target.span, format!("labelled controls={controls}"));
    for step in path(ctx, principal) {
        found = found.witness(step);
    }
    let found = found
        .witness(format!("{who} -> {} {id}", grant.keyword()))
        .witness(format!("{id} -> {op} on {}", target.value))
        .witness(format!("{} -> {controls}, and with it every rule of this policy", target.value));
    sink.push(found.help("permit `read` only; change it by pull request, or accept it with `allow` and a reason"));
}

/// How members of inner groups come to match, one step in a line.
fn path(ctx: &Ctx<'_>, principal: &Principal) -> Vec<String> {
    let mut steps = Vec::new();
    for (id, group) in ctx.policy.group_ids() {
        let within: Vec<GroupId> = group.within.iter().map(|parent| parent.value).collect();
        let reaches = |parent: &GroupId| !ctx.closure(*parent).is_disjoint(&principal.groups);
        if let Some(parent) = within.iter().find(|parent| reaches(parent)) {
            steps.push(format!("{} -> within {}", ctx.group_name(id), ctx.group_name(*parent)));
        }
    }
    steps
}
