//! `masking database`: what a target needs so that its own privileges hide masked columns.
//!
//! For each class of sessions ([`lang::program::MaskClass`]) there is a role that may log in and holds nothing but what
//! its grant permits on what is not masked, and a schema of views that compute the masks with the rights of their owner.
//! [`script`] writes the SQL, [`check`] says whether a target stands as that SQL would leave it. Nothing here talks to a
//! target.

pub mod check;
pub mod drift;
pub mod names;
pub mod script;
pub mod session;

use crate::mask::{Plan, policy};
use crate::session::SessionFacts;
use crate::snapshot::{Builder, Catalog};
use lang::program::rules::{Connection, Grant};
use lang::program::{MaskClass, Program};
use names::Names;
use std::sync::Arc;

/// One class of sessions of a connection.
#[derive(Debug)]
pub struct Class<'p> {
    /// Its names in the target.
    pub names: Names,
    /// What makes it.
    pub class: MaskClass,
    /// Its grant.
    pub grant: &'p Grant,
    /// Its masks over the catalog.
    pub plan: Plan,
}

/// Whether the views of a plan must stand in the catalog already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Views {
    /// As they are to be made.
    Wanted,
    /// As they stand.
    Standing,
}

/// Every class of a connection, over a catalog. Call it on a thread with [`crate::bounds::STACK_BYTES`] of stack.
///
/// # Errors
/// When the policy's classes are too many.
pub fn classes<'p>(
    program: &'p Program,
    target: &Connection,
    catalog: &Arc<Catalog>,
    views: Views,
) -> Result<Vec<Class<'p>>, String> {
    let found = program.mask_classes(&target.name).map_err(|error| error.to_string())?;
    let mut classes = Vec::new();
    for (class, subject) in found {
        let Some(grant) = program.grant(&class.grant) else { continue };
        let mut masks = policy::masks(program, &subject, grant, target, catalog);
        if let Some(laid) = &mut masks.views {
            laid.standing = views == Views::Standing;
        }
        let plan = Plan::new(Arc::clone(catalog), masks, SessionFacts::pinned(0));
        classes.push(Class { names: Names::new(&target.name, &class), class, grant, plan });
    }
    Ok(classes)
}

/// The catalog that a file of definitions holds: one JSON array of texts and nulls for each row.
///
/// # Errors
/// With the number of the line that is not one.
pub fn definitions(text: &str) -> Result<Catalog, String> {
    let mut builder = Builder::default();
    for (number, line) in text.lines().enumerate() {
        let wrong = || format!("line {} of the definitions is not one that `catalog export` wrote", number + 1);
        let row: Vec<Option<String>> = serde_json::from_str(line).map_err(|_| wrong())?;
        let row: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
        builder.row(&row).map_err(|_| wrong())?;
    }
    Ok(builder.build())
}
