//! The SQL that makes a target mask by itself, and the SQL that takes it away again: for people to review and run.
//!
//! It holds no secret: the passwords of the roles and the key of hashes are set by `leasehold provision`, never here.

use super::Class;
use super::{names, session};
use crate::mask::expression::{KEY_TABLE, literal, quoted};
use crate::snapshot::{Catalog, Kind, Name, Relation};
use lang::program::Object;
use lang::program::rules::Connection;
use lang::protocol::Operation;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// What is right for every role of the gateway.
const ATTRIBUTES: &str = "NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS";

/// The SQL that makes the views, roles and privileges of a connection, whatever of them stood before.
pub fn install(target: &Connection, classes: &[Class<'_>], catalog: &Catalog) -> String {
    let mut out = header(target, "makes");
    out.push_str("BEGIN;\n");
    let kept: Vec<&str> = classes.iter().map(|class| class.names.role.as_str()).collect();
    clean(&mut out, &target.name, &kept, Keep::Key);
    owner(&mut out, &target.name, catalog);
    let mut made = BTreeSet::new();
    for class in classes {
        if made.insert(class.names.schema.as_str()) {
            views(&mut out, class);
        }
    }
    for class in classes {
        role(&mut out, target, class, catalog);
    }
    if target.credential.source == "postgres-role" {
        let templates: Vec<&str> = classes.iter().map(|class| class.names.role.as_str()).collect();
        out.push_str(&session::maker(&target.credential.user, &templates));
    }
    definers(&mut out, catalog);
    out.push_str("COMMIT;\n");
    out
}

/// The SQL that takes all of it away.
pub fn remove(target: &Connection, catalog: &Catalog) -> String {
    let mut out = header(target, "removes");
    out.push_str("BEGIN;\n");
    clean(&mut out, &target.name, &[], Keep::Nothing);
    out.push_str("COMMIT;\n");
    for routine in definer_routines(catalog) {
        remark(&mut out, &format!("EXECUTE on {routine} stays revoked from PUBLIC: grant it to whoever needs it."));
    }
    out
}

fn header(target: &Connection, does: &str) -> String {
    let name = &target.name;
    format!(
        "-- Leasehold: this {does} what `masking database` of the connection {name} needs in its database.\n\
         -- Run it with an account that owns the tables or is a superuser, in the database {}.\n\
         -- The roles' passwords and the key of hashes are set by `leasehold provision {name} --secrets`.\n",
        target.database.as_deref().unwrap_or_default()
    )
}

fn put(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

/// A comment. Names may hold any letter: none of them begins a line of its own.
fn remark(out: &mut String, text: &str) {
    let line: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    put(out, &format!("-- {line}"));
}

/// What a cleaning leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// The key and the owner.
    Key,
    /// Nothing.
    Nothing,
}

/// Drops everything of the connection; roles in `roles` keep nothing but their name and password.
fn clean(out: &mut String, connection: &str, roles: &[&str], keep: Keep) {
    let prefix = names::prefix(connection);
    let all: Vec<String> = roles.iter().map(|role| literal(role)).collect();
    let (key, owner, sessions) = match keep {
        Keep::Key => {
            let sessions = format!(" AND rolname !~ {}", literal(session::FORM));
            (literal(&format!("{prefix}key")), literal(&format!("{prefix}owner")), sessions)
        }
        Keep::Nothing => (literal(""), literal(""), String::new()),
    };
    let prefix = literal(&prefix);
    let _ = write!(
        out,
        "-- What stood before.\n\
         DO $leasehold$\nDECLARE found text;\nBEGIN\n\
         \x20 FOR found IN SELECT nspname FROM pg_catalog.pg_namespace\n\
         \x20   WHERE pg_catalog.starts_with(nspname::text, {prefix}) AND nspname <> {key} LOOP\n\
         \x20   EXECUTE pg_catalog.format('DROP SCHEMA %I CASCADE', found);\n\
         \x20 END LOOP;\n\
         \x20 FOR found IN SELECT rolname FROM pg_catalog.pg_roles\n\
         \x20   WHERE pg_catalog.starts_with(rolname::text, {prefix}) AND rolname <> {owner}{sessions} LOOP\n\
         \x20   IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER) THEN\n\
         \x20     EXECUTE pg_catalog.format('GRANT %I TO CURRENT_USER', found);\n\
         \x20   END IF;\n\
         \x20   EXECUTE pg_catalog.format('DROP OWNED BY %I', found);\n\
         \x20   IF found <> ALL (ARRAY[{}]::text[]) THEN\n\
         \x20     EXECUTE pg_catalog.format('DROP ROLE %I', found);\n\
         \x20   END IF;\n\
         \x20 END LOOP;\nEND $leasehold$;\n",
        all.join(", ")
    );
}

/// Makes a role unless it is there.
fn make_role(out: &mut String, role: &str, login: &str) {
    let (name, text) = (quoted(role), literal(role));
    let _ = write!(
        out,
        "DO $leasehold$ BEGIN\n\
         \x20 IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {text}) THEN\n\
         \x20   CREATE ROLE {name} {login};\n\
         \x20   IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER) THEN\n\
         \x20     GRANT {name} TO CURRENT_USER;\n\
         \x20   END IF;\n\
         \x20 END IF;\nEND $leasehold$;\n",
    );
}

/// Who owns the views, what it may read, and where the key of hashes stands.
fn owner(out: &mut String, connection: &str, catalog: &Catalog) {
    let prefix = names::prefix(connection);
    let (name, owner) = (format!("{prefix}owner"), quoted(&format!("{prefix}owner")));
    put(out, "\n-- Who owns the masking views: it reads the tables, and nobody can log in as it.");
    make_role(out, &name, &format!("NOLOGIN {ATTRIBUTES}"));
    let readable = catalog.relations().filter(|(name, relation)| holds_rows(name, relation));
    let mut schemas: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, _) in readable {
        schemas.entry(&name.0).or_default().push(qualified(name));
    }
    for (schema, tables) in &schemas {
        put(out, &format!("GRANT USAGE ON SCHEMA {} TO {owner};", quoted(schema)));
        put(out, &format!("GRANT SELECT ON {} TO {owner};", tables.join(", ")));
    }
    let keys = quoted(&format!("{prefix}key"));
    put(out, &format!("CREATE SCHEMA IF NOT EXISTS {keys} AUTHORIZATION {owner};"));
    put(
        out,
        &format!(
            "CREATE TABLE IF NOT EXISTS {keys}.{KEY_TABLE} (inner_block bytea NOT NULL, outer_block bytea NOT NULL);"
        ),
    );
    put(out, &format!("ALTER TABLE {keys}.{KEY_TABLE} OWNER TO {owner};"));
}

fn views(out: &mut String, class: &Class<'_>) {
    let (schema, owner) = (quoted(&class.names.schema), quoted(&class.names.owner));
    let masks = if class.class.masks.is_empty() { "none".to_owned() } else { class.class.masks.join(", ") };
    out.push('\n');
    remark(out, &format!("The views of whoever has these masks: {masks}."));
    put(out, &format!("CREATE SCHEMA {schema} AUTHORIZATION {owner};"));
    for view in class.plan.provided() {
        let name = format!("{schema}.{}", quoted(&view.view));
        put(out, &format!("CREATE VIEW {name} AS\n  {};", view.query));
        put(out, &format!("ALTER VIEW {name} OWNER TO {owner};"));
        put(out, &format!("COMMENT ON VIEW {name} IS {};", literal(&view.mark())));
    }
    for (name, why) in class.plan.closed().filter(|(name, _)| !names::is_own(&name.0)) {
        remark(out, &format!("{}.{} is closed: {why}.", name.0, name.1));
    }
}

fn role(out: &mut String, target: &Connection, class: &Class<'_>, catalog: &Catalog) {
    let role = quoted(&class.names.role);
    put(out, &format!("\n-- Sessions of the grant {}, as this role and no other.", class.grant.id));
    make_role(out, &class.names.role, &format!("LOGIN {ATTRIBUTES}"));
    put(out, &format!("ALTER ROLE {role} LOGIN {ATTRIBUTES};"));
    if let Some(database) = &target.database {
        put(out, &format!("GRANT CONNECT ON DATABASE {} TO {role};", quoted(database)));
    }
    let mut schemas: BTreeSet<&str> = BTreeSet::from([class.names.schema.as_str()]);
    let mut grants = Vec::new();
    for (name, relation) in catalog.relations() {
        for (privilege, object) in rights(class, name, relation) {
            schemas.insert(&name.0);
            grants.push(format!("GRANT {privilege} ON {object} TO {role};"));
        }
    }
    for schema in schemas {
        put(out, &format!("GRANT USAGE ON SCHEMA {} TO {role};", quoted(schema)));
    }
    for view in class.plan.provided() {
        if reads(class) && covers(class, &view.relation) {
            let name = format!("{}.{}", quoted(&class.names.schema), quoted(&view.view));
            put(out, &format!("GRANT SELECT ON {name} TO {role};"));
        }
    }
    for grant in &grants {
        put(out, grant);
    }
}

/// Whether a class's role holds anything on a relation itself.
pub(super) fn holds(class: &Class<'_>, name: &Name, relation: &Relation) -> bool {
    rights(class, name, relation).iter().any(|(_, object)| !object.starts_with("SEQUENCE "))
}

/// What a role holds on a relation itself: a privilege, and on what.
fn rights(class: &Class<'_>, name: &Name, relation: &Relation) -> Vec<(String, String)> {
    let mut rights = Vec::new();
    if !covers(class, name) || names::is_own(&name.0) {
        return rights;
    }
    let object = qualified(name);
    let changes = changes(class);
    if relation.kind == Kind::Sequence {
        if changes.inserts && !class.plan.is_closed(name) {
            rights.push(("USAGE".to_owned(), format!("SEQUENCE {object}")));
        }
        return rights;
    }
    if !holds_rows(name, relation) {
        return rights;
    }
    let mut add = |privilege: &str| rights.push((privilege.to_owned(), object.clone()));
    let writable = matches!(relation.kind, Kind::Table | Kind::Partitioned | Kind::Foreign);
    if class.plan.is_plain(name) {
        if reads(class) || changes.any() && writable {
            add("SELECT");
        }
        let granted = [
            (changes.inserts, "INSERT", Operation::Insert),
            (changes.updates, "UPDATE", Operation::UpdateBounded),
            (changes.deletes, "DELETE", Operation::DeleteBounded),
            (changes.truncates, "TRUNCATE", Operation::Truncate),
        ];
        for (permitted, privilege, operation) in granted {
            if permitted && writable && !class.plan.is_loud(name, operation) {
                add(privilege);
            }
        }
        return rights;
    }
    let Some(unmasked) = class.plan.unmasked(name).filter(|_| writable && changes.any()) else { return rights };
    let listed = |columns: &BTreeSet<Box<str>>| -> String {
        columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
    };
    let refused =
        |inserts, deletes, columns: &BTreeSet<Box<str>>| class.plan.refuses_change(name, inserts, deletes, columns);
    if !unmasked.is_empty() {
        add(&format!("SELECT ({})", listed(&unmasked)));
    }
    // Each column by itself: what may only be changed together with another is not granted.
    let own = relation.columns.iter().filter(|column| !column.generated).map(|column| column.name.clone());
    let single = |inserts: bool| -> BTreeSet<Box<str>> {
        own.clone().filter(|column| !refused(inserts, false, &BTreeSet::from([column.clone()]))).collect()
    };
    for (permitted, inserts, privilege) in [(changes.inserts, true, "INSERT"), (changes.updates, false, "UPDATE")] {
        let columns = single(inserts);
        if permitted && !columns.is_empty() {
            add(&format!("{privilege} ({})", listed(&columns)));
        }
    }
    if changes.deletes && !refused(false, true, &BTreeSet::new()) {
        add("DELETE");
    }
    if changes.truncates {
        add("TRUNCATE");
    }
    rights
}

/// The changes of rows that a grant permits.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "one for each of the server's privileges")]
struct Changes {
    inserts: bool,
    updates: bool,
    deletes: bool,
    truncates: bool,
}

impl Changes {
    const fn any(self) -> bool {
        self.inserts || self.updates || self.deletes
    }
}

fn changes(class: &Class<'_>) -> Changes {
    let any = |operations: &[Operation]| operations.iter().any(|op| class.grant.permit.contains(*op));
    Changes {
        inserts: any(&[Operation::Insert, Operation::CopyIn, Operation::Merge]),
        updates: any(&[Operation::UpdateBounded, Operation::UpdateUnbounded, Operation::Merge]),
        deletes: any(&[Operation::DeleteBounded, Operation::DeleteUnbounded, Operation::Merge]),
        truncates: any(&[Operation::Truncate]),
    }
}

fn reads(class: &Class<'_>) -> bool {
    [Operation::Select, Operation::CopyOut].iter().any(|op| class.grant.permit.contains(*op))
}

fn covers(class: &Class<'_>, name: &Name) -> bool {
    class.grant.scope.covers(&Object::table(name.0.as_ref(), name.1.as_ref()))
}

/// Whether a relation of a user has rows of its own.
fn holds_rows(name: &Name, relation: &Relation) -> bool {
    let kept = matches!(relation.kind, Kind::Table | Kind::Partitioned | Kind::Foreign | Kind::Materialised);
    kept && !name.0.starts_with("pg_") && !names::is_own(&name.0)
}

fn qualified(name: &Name) -> String {
    format!("{}.{}", quoted(&name.0), quoted(&name.1))
}

/// Takes from PUBLIC what would run with the rights of others.
fn definers(out: &mut String, catalog: &Catalog) {
    let mut routines = definer_routines(catalog).peekable();
    if routines.peek().is_some() {
        put(out, "\n-- Routines with their owners' rights: grant EXECUTE to those of your own roles that call them.");
    }
    for routine in routines {
        put(out, &format!("REVOKE EXECUTE ON {routine} FROM PUBLIC;"));
    }
}

fn definer_routines(catalog: &Catalog) -> impl Iterator<Item = String> {
    catalog
        .routines
        .iter()
        .filter(|routine| routine.security_definer)
        .map(|routine| format!("ROUTINE {}.{}({})", quoted(&routine.schema), quoted(&routine.name), routine.arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_the_comment_that_it_stands_in() {
        let mut out = String::new();
        remark(&mut out, "public.a\nDROP TABLE b;\r--\u{85}c\u{b}d");
        assert_eq!(out, "-- public.a DROP TABLE b; -- c d\n");
    }
}
