//! Roles for one session each (`credential (postgres-role)`): the SQL that makes, looks for and drops them.
//!
//! A session's role is a member of one other, its template, and has that one's privileges as long as it lives. Its name
//! says to which connection it belongs and when it was made. It must never hold an attribute of its own, nor a password
//! in a form that could be used.

use super::names;
use crate::mask::expression::{literal, quoted};
use std::fmt::Write as _;

/// A role younger than this may be that of a session which is being opened, in seconds.
const OPENING_SECONDS_MAX: u64 = 120;
/// Roles that are looked for at a time.
const SWEPT_MAX: usize = 32;

/// How the name of a session's role ends, as a regular expression.
pub(super) const FORM: &str = "_s_[0-9a-f]{10}_[0-9a-f]{16}$";

/// What the names of a connection's session roles begin with.
fn prefix(connection: &str) -> String {
    format!("{}s_", names::prefix(connection))
}

/// The name of a session's role, made at this second of Unix time.
pub fn role(connection: &str, unix_seconds: u64, random: [u8; 8]) -> String {
    let mut name = format!("{}{unix_seconds:010x}_", prefix(connection));
    for byte in random {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// Makes a role with what may check its password, as a member of its template, until an instant in RFC 3339.
pub fn make(role: &str, template: &str, verifier: &str, until: &str) -> String {
    format!(
        "CREATE ROLE {} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 1 \
         PASSWORD {} VALID UNTIL {} IN ROLE {}",
        quoted(role),
        literal(verifier),
        literal(until),
        quoted(template)
    )
}

/// Drops a role; what it may have made becomes its template's.
pub fn discard(role: &str, template: &str) -> String {
    let (role, text, template) = (quoted(role), literal(role), quoted(template));
    format!(
        "DO $leasehold$ BEGIN \
         IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {text}) THEN \
         IF EXISTS (SELECT FROM pg_catalog.pg_shdepend d JOIN pg_catalog.pg_roles r ON r.oid = d.refobjid \
         WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND r.rolname = {text}) THEN \
         IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER) THEN \
         GRANT {role} TO CURRENT_USER; GRANT {template} TO CURRENT_USER; END IF; \
         REASSIGN OWNED BY {role} TO {template}; DROP OWNED BY {role}; END IF; \
         DROP ROLE {role}; END IF; END $leasehold$"
    )
}

/// Looks for roles whose session is gone: past their end, or without a connection and not just made.
pub fn left(connection: &str, unix_seconds: u64) -> String {
    let before = format!("{}{:010x}", prefix(connection), unix_seconds.saturating_sub(OPENING_SECONDS_MAX));
    format!(
        "SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.starts_with(r.rolname::text, {}) \
         AND r.rolname ~ '{FORM}' AND r.rolname::text COLLATE pg_catalog.\"C\" < {} AND NOT EXISTS \
         (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.usename = r.rolname) LIMIT {SWEPT_MAX}",
        literal(&prefix(connection)),
        literal(&before)
    )
}

/// Whether a role that a target names is one that this connection's sessions had.
pub fn is_of(connection: &str, role: &str) -> bool {
    role.strip_prefix(&prefix(connection))
        .is_some_and(|rest| rest.len() == 27 && rest.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'_'))
}

/// The SQL that lets an account make roles of these templates, for an administrator.
pub fn maker(user: &str, templates: &[&str]) -> String {
    let (name, text) = (quoted(user), literal(user));
    let mut out = format!(
        "\n-- Makes a role for each session, and drops it.\n\
         DO $leasehold$ BEGIN\n\
         \x20 IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {text}) THEN\n\
         \x20   CREATE ROLE {name} LOGIN CREATEROLE;\n\
         \x20 END IF;\nEND $leasehold$;\n"
    );
    for template in templates {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "GRANT {} TO {name} WITH ADMIN OPTION;", quoted(template));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_and_says_whose_it_is() {
        let long = "a-very-long-name-of-a-connection-that-nobody-would-want-to-type";
        let name = role(long, 1_800_000_000, [0xab; 8]);
        assert!(name.len() <= 63, "{name}");
        assert!(is_of(long, &name) && !is_of("other", &name), "{name}");
        for other in ["admin", &format!("{}s_x", names::prefix(long)), &format!("{name}\"; DROP ROLE admin")] {
            assert!(!is_of(long, other), "{other}");
        }
        assert!(role(long, 1, [0; 8]) < role(long, 1_800_000_000, [0; 8]), "older ones come first");
    }
}
