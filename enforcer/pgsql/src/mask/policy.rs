//! What a policy says of a catalog's relations, for a subject under a grant. Reads the program, changes nothing.

use super::{Masks, RelationMasks, Views};
use crate::provision::names::Names;
use crate::snapshot::{Catalog, Name, Relation, TEMPORARY};
use lang::program::rules::{Connection, Grant, MaskAs, Masking};
use lang::program::{MaskHit, Object, Program, Subject};
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
