//! What a policy says of a catalog's relations, for a subject under a grant. Reads the program, changes nothing.

use super::{Masks, RelationMasks, Views};
use crate::provision::names::Names;
use crate::snapshot::{Catalog, Name, Relation, TEMPORARY};
use lang::program::rules::{Connection, Grant, MaskAs, Masking};
use lang::program::{MaskHit, Object, Program, Subject, segment_matches};
use std::collections::BTreeSet;

/// The masks of a session of this subject under this grant.
pub fn masks(program: &Program, subject: &Subject, grant: &Grant, target: &Connection, catalog: &Catalog) -> Masks {
    let mut masks = Masks::default();
    for (name, relation) in catalog.relations() {
        if matches!(name.0.as_ref(), "pg_catalog" | TEMPORARY) {
            continue;
        }
        let object = Object::table(name.0.as_ref(), name.1.as_ref());
        let hits = program.masked(subject, grant, &target.name, &object);
        let laid = laid(program, target, name, relation, hits);
        if laid != RelationMasks::default() {
            masks.relations.insert(name.clone(), laid);
        }
    }
    for (name, path) in unreadable(program, target, catalog) {
        let object = Object::table(name.0.as_ref(), path.as_str());
        if program.masked(subject, grant, &target.name, &object).iter().any(|hit| hit.column.is_some()) {
            masks.relations.entry(name.clone()).or_default().closed = Some(format!(
                "the policy names `{}.{path}`, and a name with a dot in it cannot be told from a path; rename the column",
                name.0
            ));
        }
    }
    for (schema, table) in named_tables(program, target) {
        let like = Object::table(schema.replace('*', "x"), table.replace('*', "x"));
        let hits = program.masked(subject, grant, &target.name, &like);
        let hashed: Vec<_> = hits.into_iter().filter(|hit| matches!(hit.mask, MaskAs::Hash)).collect();
        let known = || catalog.relation(&(schema.into(), table.into())).is_some();
        if hashed.is_empty() || !table.contains('*') && !schema.contains('*') && known() {
            continue;
        }
        masks.hashed_tables.insert((schema.into(), table.into()));
        masks.hashed_anywhere.extend(hashed.into_iter().filter_map(|hit| hit.column.map(Into::into)));
    }
    if target.unlisted_hidden == Some(true) {
        masks.listed = target.listed.as_ref().map(|listed| {
            let classified = target.classified.iter();
            let classified = classified.filter_map(|item| Some(format!("{}.{}", item.object, item.column.as_ref()?)));
            listed.iter().cloned().chain(classified).collect::<BTreeSet<String>>()
        });
    }
    if target.masking == Masking::Database {
        let names = Names::new(&target.name, &program.mask_class(subject, grant, &target.name));
        masks.views = Some(Views { schema: names.schema.into(), keys: names.keys.into(), standing: true });
    }
    masks
}

/// Relations of which a path of the policy may name a column that has a dot in its name, with the path's table as it was read.
fn unreadable<'c>(program: &Program, target: &Connection, catalog: &'c Catalog) -> BTreeSet<(&'c Name, String)> {
    let classified = target.classified.iter().map(|item| item.object.as_str());
    let columns = program.rules().masks.iter().flat_map(|rule| &rule.columns);
    let tables: BTreeSet<&str> =
        classified.chain(columns.filter_map(|path| path.rsplit_once('.').map(|(table, _)| table))).collect();
    let parted = tables.into_iter().filter_map(|table| table.split_once('.')).filter(|(_, rest)| rest.contains('.'));
    let in_schema = |schema: &str, name: &Name| segment_matches(schema, &name.0);
    let unknown = parted.filter(|(schema, rest)| {
        !catalog.relations().any(|(name, _)| in_schema(schema, name) && segment_matches(rest, &name.1))
    });
    let of = |(schema, rest): (&'_ str, &'_ str)| -> Vec<(&'c Name, String)> {
        let names = catalog.relations().map(|(name, _)| name);
        let begins = |name: &&Name| {
            in_schema(schema, name) && rest.strip_prefix(name.1.as_ref()).is_some_and(|column| column.starts_with('.'))
        };
        names.filter(begins).map(|name| (name, rest.to_owned())).collect()
    };
    unknown.flat_map(of).collect()
}

/// Schema and table, or patterns of them, by which the policy names columns: a new table may be called so.
fn named_tables<'p>(program: &'p Program, target: &'p Connection) -> BTreeSet<(&'p str, &'p str)> {
    let classified = target.classified.iter().map(|item| item.object.as_str());
    let columns = program.rules().masks.iter().flat_map(|rule| &rule.columns);
    let tables = columns.filter_map(|path| path.rsplit_once('.').map(|(table, _)| table));
    classified.chain(tables).filter_map(|table| table.split_once('.')).collect()
}

fn laid(program: &Program, target: &Connection, name: &Name, relation: &Relation, hits: Vec<MaskHit>) -> RelationMasks {
    let mut laid = RelationMasks::default();
    for hit in hits {
        let of = |mask: &MaskAs, entry: &mut MaskAs| {
            if mask.rank() > entry.rank() {
                entry.clone_from(mask);
            }
        };
        match hit.column {
            Some(column) => {
                if relation.column_named(&column).is_none()
                    && named_exactly(program, target, name, &column, &hit.rule.name)
                {
                    laid.closed = Some(format!(
                        "the policy names its column `{column}`, which it does not have; mend the policy or the schema"
                    ));
                }
                of(&hit.mask, laid.columns.entry(column.into()).or_insert_with(|| hit.mask.clone()));
            }
            None if is_whole(program, &hit.rule.name) => {
                of(&hit.mask, laid.all.get_or_insert_with(|| hit.mask.clone()));
            }
            // Patterns are looked for in what the target sends, whatever relation it comes from.
            None => {}
        }
    }
    laid
}

/// Whether a mask without a column concerns every column of a table, and is not one for patterns.
fn is_whole(program: &Program, mask: &str) -> bool {
    let masks = &program.rules().masks;
    masks.iter().find(|rule| rule.name == mask).is_some_and(|rule| rule.patterns.is_empty())
}

/// Whether the policy names the column itself, and not by a pattern of tables.
fn named_exactly(program: &Program, target: &Connection, name: &Name, column: &str, mask: &str) -> bool {
    let table = format!("{}.{}", name.0, name.1);
    let classified =
        target.classified.iter().any(|item| item.object == table && item.column.as_deref() == Some(column));
    let path = format!("{table}.{column}");
    classified || program.rules().masks.iter().any(|rule| rule.name == mask && rule.columns.contains(&path))
}
