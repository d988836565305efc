//! P0308: a table or column that the exported catalog does not have, and a class that nothing bears. The rule holds
//! for nothing, and reads as if it did.

use super::{Ctx, overlap::tables_meet};
use lang::{
    diag::{Code, Diagnostic, Sink},
    ident::nearest,
    model::{Catalog, CatalogTable, Classified, ConnectionId},
    program::{class_matches, table_matches},
    span::Spanned,
};
use std::collections::BTreeSet;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    if ctx.is_partial() {
        return;
    }
    for classify in &ctx.policy.classify {
        let Some(catalogs) = classify.connection.and_then(|connection| catalogs(ctx, connection)) else { continue };
        for item in classify.items.iter().filter(|item| !item.json) {
            classified(&catalogs, item, sink);
        }
    }
    for grant in &ctx.policy.grants {
        let on = grant.connections();
        for table in &grant.objects.tables {
            narrowed(ctx, &format!("{} `{}`", grant.keyword(), grant.head.name.value), table, &on, sink);
        }
        for class in &grant.reveal {
            revealed(ctx, &grant.head.name.value, class, &on, sink);
        }
    }
    for guard in &ctx.policy.guards {
        let regions = guard.blocks.iter().chain(&guard.only).chain(guard.reviews.iter().map(|review| &review.region));
        for table in regions.flat_map(|region| &region.objects.tables) {
            narrowed(ctx, &format!("guard `{}`", guard.head.name.value), table, &guard.on.connections, sink);
        }
    }
}

/// The catalogs of a connection; `None` when it has none.
fn catalogs<'a>(ctx: &Ctx<'a>, connection: ConnectionId) -> Option<Vec<&'a Catalog>> {
    let all: Vec<_> = ctx.policy.catalogs.iter().filter(|catalog| catalog.connection == Some(connection)).collect();
    (!all.is_empty()).then_some(all)
}

fn classified(catalogs: &[&Catalog], item: &Classified, sink: &mut Sink) {
    let all = || catalogs.iter().flat_map(|catalog| &catalog.tables);
    let hits: Vec<&CatalogTable> =
        all().filter(|table| table_matches(&item.object.value, &table.schema, &table.name.value)).collect();
    let place = catalogs.first().map(|catalog| catalog.span);
    let report = |message: String, help: Option<String>, sink: &mut Sink| {
        let mut found = Diagnostic::new(Code::P0308, item.object.span, message);
        if let Some(place) = place {
            found = found.also(place, "the catalog");
        }
        sink.push(found.help(help.unwrap_or_else(|| "correct the name, or export the catalog again".to_owned())));
    };
    if hits.is_empty() {
        let names: Vec<String> = all().map(|table| format!("{}.{}", table.schema, table.name.value)).collect();
        let near = nearest(&item.object.value, names.iter().map(String::as_str));
        report(
            format!("the catalog has no table `{}`", item.object.value),
            near.map(|near| format!("did you mean `{near}`?")),
            sink,
        );
    } else if let Some(column) = &item.column
        && !hits.iter().any(|table| table.columns.iter().any(|known| known.value == *column))
    {
        let known = hits.iter().flat_map(|table| &table.columns).map(|column| column.value.as_str());
        let near = nearest(column, known).map(|near| format!("did you mean `{near}`?"));
        report(format!("the catalog has no column `{column}` in `{}`", item.object.value), near, sink);
    }
}

/// A table that a rule narrows to, which no selected connection can have.
fn narrowed(ctx: &Ctx<'_>, what: &str, table: &Spanned<String>, on: &BTreeSet<ConnectionId>, sink: &mut Sink) {
    let sql: Vec<ConnectionId> = on.iter().copied().filter(|id| ctx.policy[*id].kind.value.is_sql()).collect();
    let known: Option<Vec<&Catalog>> =
        sql.iter().map(|connection| catalogs(ctx, *connection)).collect::<Option<Vec<_>>>().map(|all| all.concat());
    // A connection without a catalog may have every table.
    let Some(known) = known.filter(|known| !known.is_empty()) else { return };
    let exists = known
        .iter()
        .flat_map(|catalog| &catalog.tables)
        .any(|item| tables_meet(&table.value, &format!("{}.{}", item.schema, item.name.value)));
    if !exists {
        let message = format!("{what} names the table `{}`, which the catalog does not have", table.value);
        let mut found = Diagnostic::new(Code::P0308, table.span, message);
        if let Some(catalog) = known.first() {
            found = found.also(catalog.span, "the catalog");
        }
        sink.push(found.help("correct the name, or export the catalog again"));
    }
}

/// A class that a grant reveals, which nothing on its connections bears.
fn revealed(ctx: &Ctx<'_>, id: &str, class: &Spanned<String>, on: &BTreeSet<ConnectionId>, sink: &mut Sink) {
    let known: BTreeSet<&str> = ctx
        .policy
        .classify
        .iter()
        .filter(|classify| classify.connection.is_some_and(|connection| on.contains(&connection)))
        .flat_map(|classify| &classify.items)
        .map(|item| item.class.value.as_str())
        .collect();
    // Without any classification there is nothing to be held to.
    if known.is_empty() || known.iter().any(|known| class_matches(&class.value, known)) {
        return;
    }
    let message = format!("`{id}` reveals the class `{}`, which nothing there has", class.value);
    let found = Diagnostic::new(Code::P0308, class.span, message);
    sink.push(match nearest(&class.value, known.iter().copied()) {
        Some(near) => found.help(format!("did you mean `{near}`?")),
        None => found.help(format!("the classes there are {}", known.into_iter().collect::<Vec<_>>().join(", "))),
    });
}
