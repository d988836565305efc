//! P0603: a mask that nobody meets: no grant permits to read what it hides.

use super::{Ctx, overlap::tables_meet};
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ConnectionId, Mask},
    program::class_matches,
    protocol::{OpSet, Operation},
};
use std::collections::BTreeMap;

/// What a mask hides, by connection: a grant is on few of many.
pub(super) type Tables = BTreeMap<ConnectionId, Vec<String>>;

/// What returns data of a relation.
pub(super) fn reads() -> OpSet {
    [Operation::Select, Operation::CopyOut].into_iter().collect()
}

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    if ctx.is_partial() {
        return;
    }
    for mask in ctx.policy.masks.iter().filter(|mask| mask.patterns.is_empty()) {
        let hidden = ctx.hidden_tables(mask);
        // A mask that hides nothing is P0601, one that no grant comes near is P0103.
        let near: Vec<_> = hidden.iter().filter(|(on, _)| ctx.grants_on(**on).next().is_some()).collect();
        let is_met = near.iter().any(|(on, tables)| tables.iter().any(|table| is_read(ctx, mask, **on, table)));
        if near.is_empty() || is_met {
            continue;
        }
        let name = &mask.head.name;
        let message = format!("no grant permits to read what the mask `{}` hides", name.value);
        let mut found = Diagnostic::new(Code::P0603, name.span, message);
        if let Some(grant) = near.first().and_then(|(on, _)| ctx.grants_on(**on).next()) {
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
    pub(super) fn hidden_tables(&self, mask: &Mask) -> Tables {
        let on = |id: ConnectionId| {
            self.policy[id].kind.value.is_sql() && mask.on.as_ref().is_none_or(|on| on.connections.contains(&id))
        };
        let classified = self.policy.classify.iter().filter_map(|item| Some((item.connection?, item)));
        let mut all = Tables::new();
        for (id, classify) in classified.filter(|(id, _)| on(*id)) {
            let falls = |class: &str| mask.classes.iter().any(|pattern| class_matches(&pattern.value, class));
            let items = classify.items.iter().filter(|item| !item.json && falls(&item.class.value));
            let mut tables = items.map(|item| item.object.value.clone()).peekable();
            if tables.peek().is_some() {
                all.entry(id).or_default().extend(tables);
            }
        }
        for column in &mask.columns {
            let Some((table, _)) = column.value.rsplit_once('.') else { continue };
            for (id, _) in self.policy.connection_ids().filter(|(id, _)| on(*id)) {
                all.entry(id).or_default().push(table.to_owned());
            }
        }
        all
    }
}
