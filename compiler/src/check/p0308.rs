//! P0308: a classified table or column that the connection's catalog does not have. A class on nothing hides nothing,
//! and the gateway closes a relation of which the policy names a column that is not there.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    ident::nearest,
    model::{CatalogTable, Classified},
    program::table_matches,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    if ctx.is_partial() {
        return;
    }
    for classify in &ctx.policy.classify {
        let Some(connection) = classify.connection else { continue };
        let mut catalogs =
            ctx.policy.catalogs.iter().filter(|catalog| catalog.connection == Some(connection)).peekable();
        if catalogs.peek().is_none() {
            continue;
        }
        let tables: Vec<&CatalogTable> = catalogs.flat_map(|catalog| &catalog.tables).collect();
        for item in classify.items.iter().filter(|item| !item.json) {
            missing(ctx.connection_name(connection), item, &tables, sink);
        }
    }
}

fn missing(connection: &str, item: &Classified, tables: &[&CatalogTable], sink: &mut Sink) {
    let matching: Vec<&&CatalogTable> =
        tables.iter().filter(|table| table_matches(&item.object.value, &table.schema, &table.name.value)).collect();
    let report = |message: String, near: Option<String>, sink: &mut Sink| {
        let found = Diagnostic::new(Code::P0308, item.object.span, message);
        sink.push(match near {
            Some(near) => found.help(format!("did you mean `{near}`?")),
            None => found.help("name what the catalog has, or export the catalog again: `leasehold catalog export`"),
        });
    };
    if matching.is_empty() {
        let known: Vec<String> = tables.iter().map(|table| format!("{}.{}", table.schema, table.name.value)).collect();
        let near = nearest(&item.object.value, known.iter().map(String::as_str)).map(str::to_owned);
        let message = format!("the catalog of `{connection}` has no table `{}`", item.object.value);
        return report(message, near, sink);
    }
    let Some(column) = &item.column else { return };
    let has = |table: &&&CatalogTable| table.columns.iter().any(|known| known.value == *column);
    if !matching.iter().any(has) {
        let known = matching.iter().flat_map(|table| &table.columns).map(|known| known.value.as_str());
        let near = nearest(column, known).map(str::to_owned);
        report(format!("the catalog of `{connection}` has no column `{}.{column}`", item.object.value), near, sink);
    }
}
