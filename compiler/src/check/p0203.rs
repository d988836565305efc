//! P0203: two groups that one assertion of a token means. Whoever has one has the other, and rules that tell them
//! apart tell nothing apart. (An id that is no UUID is reported where it is read.)

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::GroupId,
    span::Spanned,
};
use std::collections::BTreeMap;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let mut ids: BTreeMap<(usize, String), (GroupId, &Spanned<String>)> = BTreeMap::new();
    let mut values: BTreeMap<(usize, String), (GroupId, &Spanned<String>)> = BTreeMap::new();
    for (group, item) in ctx.policy.group_ids() {
        let Some(idp) = &item.idp else { continue };
        let asserted = item.ids.iter().map(|id| (true, id)).chain(item.claim_values.iter().map(|id| (false, id)));
        for (is_id, value) in asserted {
            let key = (idp.value.index(), if is_id { value.value.to_ascii_lowercase() } else { value.value.clone() });
            let table = if is_id { &mut ids } else { &mut values };
            let Some((first, place)) = table.get(&key).copied() else {
                table.insert(key, (group, value));
                continue;
            };
            if first == group {
                continue;
            }
            let what = if is_id { "object id" } else { "claim value" };
            let (a, b) = (ctx.group_name(first), ctx.group_name(group));
            sink.push(
                Diagnostic::new(Code::P0203, value.span, format!("`{a}` and `{b}` are the same group of the idp"))
                    .label(format!("this {what} means `{b}` …"))
                    .also(place.span, format!("… and already means `{a}`"))
                    .help("keep one of the groups; to nest one in the other, each needs its own id and one `within`"),
            );
        }
    }
}
