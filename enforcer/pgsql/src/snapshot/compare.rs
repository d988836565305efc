//! Whether a name still means what it meant in an earlier catalog.

use super::{Catalog, Name, Relation};

impl Catalog {
    /// Whether a relation's name leads to the same relation with the same rows' meaning. How it is indexed does not
    /// matter, nor what statistics are kept of it.
    pub fn means_the_same(&self, later: &Self, name: &Name) -> bool {
        let (before, now) = match (self.relation(name), later.relation(name)) {
            (Some(before), Some(now)) => (before, now),
            (None, None) => return self.table_of(name) == later.table_of(name),
            (Some(_), None) | (None, Some(_)) => return false,
        };
        is_the_same(before, now)
            && self.parents.get(&before.oid) == later.parents.get(&now.oid)
            && self.inherits.get(&before.oid) == later.inherits.get(&now.oid)
            && self.along.get(&before.oid) == later.along.get(&now.oid)
            && self.rules.get(&before.oid) == later.rules.get(&now.oid)
            && self.on_write.get(&before.oid) == later.on_write.get(&now.oid)
    }

    /// Whether no domain, cast or operator of the database was made, changed or removed: what a value becomes where it is
    /// stored or compared.
    pub fn makes_the_same_of_values(&self, later: &Self) -> bool {
        self.shared_versions == later.shared_versions
    }

    /// Whether no routine of the database was made, changed or removed.
    pub fn has_the_same_routines(&self, later: &Self) -> bool {
        self.routines == later.routines && self.routine_versions == later.routine_versions
    }

    /// Whether reading or changing a relation may run routines of the database.
    pub fn runs_routines(&self, name: &Name) -> bool {
        self.relation(name).is_some_and(|relation| {
            relation.triggers
                || relation.rules
                || self.runs(relation.oid)
                || self.on_write.contains_key(&relation.oid)
                || relation.policy_reads.iter().any(|(read, _)| read.is_none())
        })
    }
}

/// Every field is named, so that a new one is thought about.
fn is_the_same(before: &Relation, now: &Relation) -> bool {
    let Relation {
        oid,
        kind,
        columns,
        definition,
        row_security,
        rules,
        triggers,
        primary_key: _,
        indexes: _,
        clustered_by: _,
        evaluated: _,
        leading: _,
        analysed: _,
        defaults,
        most_common: _,
        partitioned_by,
        computed_from,
        policy_reads,
        stands,
    } = before;
    *oid == now.oid
        && *kind == now.kind
        && *columns == now.columns
        && *definition == now.definition
        && *row_security == now.row_security
        && *rules == now.rules
        && *triggers == now.triggers
        && *defaults == now.defaults
        && *partitioned_by == now.partitioned_by
        && *computed_from == now.computed_from
        && *policy_reads == now.policy_reads
        && *stands == now.stands
}
