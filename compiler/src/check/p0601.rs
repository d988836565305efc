//! P0601: a mask of which a part hides nothing: no column of any connection has the class, or the column does not
//! exist. Somebody believes that data is hidden.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    ident::nearest,
    model::{ConnectionId, Mask},
    program::{class_matches, table_matches},
    protocol::ConnectionKind,
    span::Spanned,
};
use std::collections::BTreeSet;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    if ctx.is_partial() {
        return;
    }
    for mask in &ctx.policy.masks {
        let on: BTreeSet<ConnectionId> = match &mask.on {
            Some(on) => on.connections.clone(),
            None => ctx.policy.connection_ids().map(|(id, _)| id).collect(),
        };
        // A selector that selects nothing yet is P0303.
        if !on.is_empty() {
            classes(ctx, mask, &on, sink);
            columns(ctx, mask, &on, sink);
        }
    }
}

fn classes(ctx: &Ctx<'_>, mask: &Mask, on: &BTreeSet<ConnectionId>, sink: &mut Sink) {
    let known: BTreeSet<&str> = ctx
        .policy
        .classify
        .iter()
        .filter(|classify| classify.connection.is_some_and(|connection| on.contains(&connection)))
        .flat_map(|classify| &classify.items)
        .map(|item| item.class.value.as_str())
        .collect();
    for pattern in &mask.classes {
        if known.iter().any(|class| class_matches(&pattern.value, class)) {
            continue;
        }
        let name = &mask.head.name.value;
        let message = format!("the mask `{name}` hides nothing of the class `{}`", pattern.value);
        let found = Diagnostic::new(Code::P0601, pattern.span, message).label("no column has this class");
        sink.push(match nearest(&pattern.value, known.iter().copied()) {
            Some(near) => found.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => found.help("say what the columns hold: `classify … { column s.t.c as=…; }`"),
            None => {
                found.help(format!("the classes there are: {}", known.iter().copied().collect::<Vec<_>>().join(", ")))
            }
        });
    }
}

fn columns(ctx: &Ctx<'_>, mask: &Mask, on: &BTreeSet<ConnectionId>, sink: &mut Sink) {
    let sql: Vec<ConnectionId> = on
        .iter()
        .copied()
        .filter(|connection| match ctx.policy[*connection].kind.value {
            ConnectionKind::Postgres | ConnectionKind::Mysql => true,
            ConnectionKind::Ssh | ConnectionKind::Kubernetes | ConnectionKind::Http => false,
        })
        .collect();
    for column in &mask.columns {
        // Without a catalog the column may exist.
        let dead = !sql.iter().any(|connection| may_exist(ctx, *connection, column));
        if dead {
            let message =
                format!("the mask `{}` hides nothing: there is no column `{}`", mask.head.name.value, column.value);
            let found = Diagnostic::new(Code::P0601, column.span, message);
            sink.push(found.help("name a column of the catalog, or export the catalog again"));
        }
    }
}

fn may_exist(ctx: &Ctx<'_>, connection: ConnectionId, column: &Spanned<String>) -> bool {
    let mut catalogs = ctx.policy.catalogs.iter().filter(|catalog| catalog.connection == Some(connection)).peekable();
    if catalogs.peek().is_none() {
        return true;
    }
    let Some((table, name)) = column.value.rsplit_once('.') else { return true };
    catalogs.flat_map(|catalog| &catalog.tables).any(|known| {
        table_matches(table, &known.schema, &known.name.value)
            && known.columns.iter().any(|column| column.value == name)
    })
}
