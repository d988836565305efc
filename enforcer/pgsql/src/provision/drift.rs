//! How a target differs from what its policy needs there.

use super::Class;
use super::check::Held;
use super::{names, script};
use crate::snapshot::Catalog;
use std::collections::{BTreeMap, BTreeSet};

/// Every difference, as sentences; `held` says what each class's role holds.
pub fn drift(connection: &str, classes: &[Class<'_>], catalog: &Catalog, held: &BTreeMap<String, Held>) -> Vec<String> {
    let mut found = Vec::new();
    let mut wanted = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for class in classes {
        let role = &class.names.role;
        if let Some(held) = held.get(role) {
            found.extend(
                held.judge(&class.plan, &class.names, None).into_iter().map(|what| format!("role {role}: {what}")),
            );
            for (name, relation) in catalog.relations() {
                if held.exists() && script::holds(class, name, relation) && !held.has(relation.oid) {
                    found.push(format!("role {role}: it may not use {}.{} yet", name.0, name.1));
                }
            }
        }
        for view in class.plan.provided() {
            let name = (class.names.schema.as_str().into(), view.view.as_str().into());
            if !seen.insert((class.names.schema.clone(), view.view.clone())) {
                continue;
            }
            match catalog.relation(&name) {
                None => found.push(format!("view {}.\"{}\": it is missing", name.0, name.1)),
                Some(there) if catalog.provisioned(there.oid) != Some(view.mark().as_str()) => {
                    found.push(format!("view {}.\"{}\": it was made for another policy or table", name.0, name.1));
                }
                Some(_) => {}
            }
            wanted.insert(name);
        }
    }
    let prefix = names::prefix(connection);
    let own = catalog.relations().filter(|((schema, _), _)| schema.starts_with(&prefix) && schema.contains("_v_"));
    for (name, _) in own.filter(|(name, _)| !wanted.contains(*name)) {
        found.push(format!("view {}.\"{}\": nothing needs it", name.0, name.1));
    }
    found
}
