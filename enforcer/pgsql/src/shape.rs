//! The shape of a statement, for people who look for it: its text without constants, and a fingerprint of its tree.
//!
//! Serves search alone; no judgement rests on it.

use crate::bounds;
use pg_query::FingerprintOptions;

/// A statement's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// 16 hexadecimal digits; equal for statements that differ in constants, names of parameters and layout alone.
    pub fingerprint: String,
    /// The text with every constant replaced by `$n`; none where a quoted constant or a comment would stay in it.
    pub text: Option<String>,
}

/// The shape of a text; `None` when the grammar does not accept it. Needs a stack as [`crate::judge`] does.
pub fn shape(sql: &str) -> Option<Shape> {
    bounds::check(sql).ok()?;
    let options = FingerprintOptions::RANGEVAR_PG17_COMPAT | FingerprintOptions::FULL_RELNAME;
    let fingerprint = pg_query::fingerprint(sql, 0, options).ok()?.hex;
    let text = pg_query::normalize(sql).ok();
    // Commands that are no queries keep their constants, and every text keeps its comments.
    let text = text.filter(|text| !["'", "--", "/*", "$$"].iter().any(|sign| text.contains(sign)));
    Some(Shape { fingerprint, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_leave_the_text_and_the_fingerprint_alone() {
        let one = shape("select id from orders where email = 'canary' and n > 5").unwrap();
        let other = shape("SELECT id  FROM orders WHERE email='x' AND n>7").unwrap();
        assert_eq!(one.fingerprint, other.fingerprint);
        assert_eq!(one.text.as_deref(), Some("select id from orders where email = $1 and n > $2"));
        assert_ne!(
            one.fingerprint,
            shape("select id from audit.orders where email = 'x' and n > 7").unwrap().fingerprint
        );
        for secret in ["create role a password 'canary'", "select 1 -- canary", "do $$ begin end $$"] {
            assert!(shape(secret).unwrap().text.is_none_or(|text| !text.contains("canary")), "{secret}");
        }
        assert_eq!(shape("selec 'canary'"), None);
    }
}
