//! P0606: a way around a mask: who may read a masked table and write elsewhere can copy it to where no class says what
//! it is. Masks hide what is shown; they cannot follow what was stored.

use super::{
    Ctx,
    overlap::tables_meet,
    p0602::meet,
    p0603::{Tables, reads},
};
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{Grant, Mask},
    protocol::{OpSet, Operation},
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let leaks: OpSet =
        [Operation::CopyOut, Operation::CreateAs, Operation::DdlCreate, Operation::Insert, Operation::Merge]
            .into_iter()
            .collect();
    let whole = ctx.policy.masks.iter().filter(|mask| !mask.head.broken);
    let masks: Vec<(&Mask, Tables)> = whole.map(|mask| (mask, ctx.hidden_tables(mask))).collect();
    for grant in ctx.policy.grants.iter().filter(|grant| !grant.head.broken) {
        let Some(permit) = &grant.permit else { continue };
        let leaking = permit.words.iter().find(|word| !word.set.intersection(leaks).is_empty());
        let Some(word) = leaking.filter(|_| !grant.ops.intersection(reads()).is_empty()) else { continue };
        let Some((mask, table)) = masks.iter().find_map(|(mask, tables)| hidden(ctx, grant, mask, tables)) else {
            continue;
        };
        let op = word.set.intersection(leaks).iter().next().map_or("", Operation::word);
        let (id, name) = (&grant.head.name.value, &mask.head.name.value);
        let message = format!("`{id}` can copy `{table}`, which the mask `{name}` hides, by `{op}`");
        sink.push(
            Diagnostic::new(Code::P0606, word.word.span, message)
                .label(format!("permits `{op}`"))
                .also(mask.head.name.span, "hides what is shown, not what is stored")
                .help("split the grant: one that reads the table, one that writes the others"),
        );
    }
}

/// A table under a mask that the grant reads and does not reveal.
fn hidden<'a>(ctx: &Ctx<'_>, grant: &Grant, mask: &'a Mask, tables: &'a Tables) -> Option<(&'a Mask, &'a str)> {
    let revealed = mask.reveal_by_grant.as_ref().is_some_and(|by_grant| by_grant.value)
        && !mask.classes.is_empty()
        && mask.classes.iter().all(|class| grant.reveal.iter().any(|reveal| meet(&reveal.value, &class.value)));
    let concerned = grant.to.iter().any(|principal| ctx.may_fall_under(principal, &mask.to));
    if revealed || !concerned {
        return None;
    }
    let reads = |table: &&String| {
        let own = &grant.objects.tables;
        own.is_empty() || own.iter().any(|own| tables_meet(&own.value, table))
    };
    let hit = grant.connections().iter().filter_map(|connection| tables.get(connection)).flatten().find(reads);
    hit.map(|table| (mask, table.as_str()))
}
