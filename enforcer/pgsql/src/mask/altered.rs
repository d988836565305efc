//! Definitions of tables without a mask that make the server compare their rows with masked ones: by foreign keys that are
//! tested anew.

use super::Plan;
use super::rewrite::resolved;
use crate::snapshot::Relation;
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;
use std::collections::BTreeSet;

/// Why a table may not be altered so.
pub(super) fn refused(plan: &Plan, tree: &pg::Node) -> Option<String> {
    let Some(E::AlterTableStmt(alter)) = tree.node.as_ref() else { return None };
    let tests = alter.cmds.iter().any(|command| match command.node.as_ref() {
        Some(E::AlterTableCmd(command)) => tests_keys(command),
        _ => true,
    });
    let name = resolved(plan, alter.relation.as_ref().filter(|_| tests)?);
    let oid = plan.catalog.relation(&name)?.oid;
    let members = plan.catalog.family(oid).into_iter().filter_map(|oid| plan.catalog.name_of(oid));
    let mut members = members.filter_map(|name| plan.catalog.relation(name));
    members.any(|member| refers(plan, member)).then(|| {
        format!(
            "a foreign key compares `{}.{}` with masked values, and this would make the server test it: its outcome would tell \
             of them; do it with an account of your own",
            name.0, name.1
        )
    })
}

/// Whether a part of ALTER TABLE may make the server test foreign keys on rows that are there.
fn tests_keys(command: &pg::AlterTableCmd) -> bool {
    use pg::AlterTableType as A;
    !matches!(
        A::try_from(command.subtype),
        Ok(A::AtAddColumn
            | A::AtColumnDefault
            | A::AtDropNotNull
            | A::AtSetNotNull
            | A::AtSetStatistics
            | A::AtSetOptions
            | A::AtResetOptions
            | A::AtSetStorage
            | A::AtSetCompression
            | A::AtDropColumn
            | A::AtDropConstraint
            | A::AtChangeOwner
            | A::AtSetRelOptions
            | A::AtResetRelOptions
            | A::AtEnableRowSecurity
            | A::AtDisableRowSecurity
            | A::AtForceRowSecurity
            | A::AtNoForceRowSecurity
            | A::AtReplicaIdentity
            | A::AtAddIdentity
            | A::AtSetIdentity
            | A::AtDropIdentity)
    )
}

/// Whether a foreign key compares a table's columns with masked ones, from either side, or masked ones of its own.
fn refers(plan: &Plan, relation: &Relation) -> bool {
    let masked = |table: u32, columns: &BTreeSet<i16>| columns.iter().any(|column| plan.is_masked(table, *column));
    plan.catalog.relations().any(|(_, other)| {
        other.evaluated.iter().any(|rule| {
            let Some((table, columns)) = &rule.refers else { return false };
            let concerns = other.oid == relation.oid || *table == relation.oid;
            concerns && (masked(other.oid, &rule.columns) || masked(*table, columns))
        })
    })
}
