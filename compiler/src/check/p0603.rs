//! P0603: a mask that nobody meets: no grant permits to read what it hides.

use super::{Ctx, overlap::tables_meet};
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ConnectionId, Mask},
    program::class_matches,
    protocol::{OpSet, Operation},
};

/// What returns data of a relation.
pub(super) fn reads() -> OpSet {
    [Operation::Select, Operation::CopyOut].into_iter().collect()
}

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    if ctx.is_partial() {
        return;
    }
    for mask in ctx.policy.masks.iter().filter(|mask| mask.patterns.is_empty()) {
        let targets: Vec<(ConnectionId, String)> = ctx.hidden_tables(mask);
        // A mask that hides nothing is P0601, one that no grant comes near is P0103.
        let near: Vec<_> = targets.iter().filter(|(on, _)| ctx.grants_on(*on).next().is_some()).collect();
        if near.is_empty() || near.iter().any(|(on, table)| is_read(ctx, mask, *on, table)) {
            continue;
        }
        let name = &mask.head.name;
        let message = format!("no grant permits to read what the mask `{}` hides", name.value);
        let mut found = Diagnostic::new(Code::P0603, name.span, message);
        if let Some(grant) = near.first().and_then(|(on, _)| ctx.grants_on(*on).next()) {
            found = found.also(grant.head.span, "this one does not reach it");
        }
        sink.push(found.help("remove the mask, or correct the classes or tables it is meant for"));
    }
}

fn is_read(ctx: &Ctx<'_>, mask: &Mask, on: ConnectionId, table: &str) -> bool {
    ctx.grants_on(on).any(|grant| {
        !grant.ops.intersection(reads()).is_empty()
            && (grant.objects.tables.is_empty()
                || grant.objects.tables.iter().any(|own| tables_meet(&own.value, table)))
            && grant.to.iter().any(|principal| ctx.may_fall_under(principal, &mask.to))
    })
}

impl Ctx<'_> {
    /// The tables in which a mask hides something, on the SQL connections that it concerns.
    pub(super) fn hidden_tables(&self, mask: &Mask) -> Vec<(ConnectionId, String)> {
        let on = |id: ConnectionId| {
            self.policy[id].kind.value.is_sql() && mask.on.as_ref().is_none_or(|on| on.connections.contains(&id))
        };
        let classified = self.policy.classify.iter().filter_map(|item| Some((item.connection?, item)));
        let mut all: Vec<(ConnectionId, String)> = classified
            .filter(|(id, _)| on(*id))
            .flat_map(|(id, classify)| classify.items.iter().map(move |item| (id, item)))
            .filter(|(_, item)| !item.json)
            .filter(|(_, item)| mask.classes.iter().any(|class| class_matches(&class.value, &item.class.value)))
            .map(|(id, item)| (id, item.object.value.clone()))
            .collect();
        for column in &mask.columns {
            let Some((table, _)) = column.value.rsplit_once('.') else { continue };
            all.extend(self.policy.connection_ids().filter(|(id, _)| on(*id)).map(|(id, _)| (id, table.to_owned())));
        }
        all
    }
}
