//! What relations are made of, for the question whether a condition leaves rows of one out: the queries of views, and
//! what each relation is a part of.

use crate::snapshot::{Catalog, Kind, Name};
use pg_query::protobuf as pg;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

/// What a catalog says of it; nothing where none is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Made(Option<Arc<Known>>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Known {
    views: BTreeMap<Name, View>,
    /// What a relation inherits from, however far.
    parts: BTreeMap<Name, BTreeSet<Name>>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct View {
    definition: Box<str>,
    tree: Tree,
}

/// A definition's tree, read when it is first asked for. It says nothing that the definition does not.
#[derive(Debug, Default)]
struct Tree(OnceLock<Option<Box<pg::Node>>>);

impl PartialEq for Tree {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Tree {}

impl PartialOrd for Tree {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Tree {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

impl Hash for Tree {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Made {
    /// What a catalog says.
    pub(crate) fn of(catalog: &Catalog) -> Self {
        let (mut views, mut parts) = (BTreeMap::new(), BTreeMap::new());
        for (name, relation) in catalog.relations() {
            if relation.kind == Kind::View
                && let Some(definition) = &relation.definition
            {
                views.insert(name.clone(), View { definition: definition.clone(), tree: Tree::default() });
            }
            let above: BTreeSet<Name> =
                catalog.ancestors(relation.oid).into_iter().filter_map(|oid| catalog.name_of(oid).cloned()).collect();
            if !above.is_empty() {
                parts.insert(name.clone(), above);
            }
        }
        Self(Some(Arc::new(Known { views, parts })))
    }

    /// The query of a view. Needs a stack as [`crate::judge`] does.
    pub(crate) fn query(&self, name: &Name) -> Option<&pg::Node> {
        let view = self.0.as_ref()?.views.get(name)?;
        view.tree.0.get_or_init(|| read(&view.definition)).as_deref()
    }

    /// Whether a relation is a part of another: one of its children or partitions, however far.
    pub(crate) fn is_part(&self, part: &Name, of: &Name) -> bool {
        self.0.as_ref().and_then(|known| known.parts.get(part)).is_some_and(|above| above.contains(of))
    }
}

/// The tree of a definition; none when it cannot be read.
fn read(definition: &str) -> Option<Box<pg::Node>> {
    crate::bounds::check(definition).ok()?;
    let mut parsed = pg_query::parse(definition, 0).ok()?.protobuf;
    parsed.stmts.pop().filter(|_| parsed.stmts.is_empty())?.stmt
}
