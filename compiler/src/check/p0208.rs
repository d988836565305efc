//! P0208: the size that a group is declared to have is not what the directory says. Quorums and warnings rest on it.

use super::{Ctx, beside::Directory};
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::GroupId,
};
use std::collections::BTreeSet;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let directory = match ctx.beside.directory() {
        None => return,
        Some(Ok(directory)) => directory,
        Some(Err(why)) => {
            let message = format!("directory.json cannot be read: {why}");
            let found = Diagnostic::without_place(Code::P0208, message);
            sink.push(found.help("write a list of `{\"subject\": …, \"kind\": …, \"groups\": [object ids]}`"));
            return;
        }
    };
    for (id, group) in ctx.policy.group_ids() {
        let (Some(size), Some(count)) = (&group.size, members(ctx, id, &directory)) else { continue };
        let name = &group.head.name.value;
        let (bound, word) = match (&size.min, &size.max) {
            (Some(min), _) if count < min.value as usize => (min, "least"),
            (_, Some(max)) if count > max.value as usize => (max, "most"),
            (Some(_) | None, Some(_) | None) => continue,
        };
        let message = format!("`{name}` has {count} members, and is declared to have {} at {word}", bound.value);
        sink.push(
            Diagnostic::new(Code::P0208, bound.span, message)
                .label(format!("the directory knows {count}"))
                .help("correct the size, or the group"),
        );
    }
}

/// How many people the directory has in a group and in what nests in it; `None` for groups that it cannot know.
fn members(ctx: &Ctx<'_>, group: GroupId, directory: &Directory) -> Option<usize> {
    let inner: Vec<_> = ctx.policy.group_ids().filter(|(id, _)| ctx.closure(*id).contains(&group)).collect();
    if inner.iter().any(|(_, item)| !item.claim_values.is_empty()) {
        return None;
    }
    let ids: BTreeSet<&str> =
        inner.iter().flat_map(|(_, item)| &item.ids).map(|object| object.value.as_str()).collect();
    Some(directory.iter().filter(|entry| entry.groups.iter().any(|held| ids.contains(held.as_str()))).count())
}
