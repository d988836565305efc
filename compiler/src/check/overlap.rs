//! Whether two table patterns have a table in common. Patterns end in at most one `*` per part, so the answer is exact.

/// Whether two `schema.table` patterns have a table in common.
pub(super) fn tables_meet(a: &str, b: &str) -> bool {
    match (a.split_once('.'), b.split_once('.')) {
        (Some((a_schema, a_name)), Some((b_schema, b_name))) => {
            segments_meet(a_schema, b_schema) && segments_meet(a_name, b_name)
        }
        (Some(_), None) | (None, _) => false,
    }
}

/// Whether two literals or prefixes have a text in common.
fn segments_meet(a: &str, b: &str) -> bool {
    match (a.strip_suffix('*'), b.strip_suffix('*')) {
        (None, None) => a == b,
        (Some(prefix), None) => b.starts_with(prefix),
        (None, Some(prefix)) => a.starts_with(prefix),
        (Some(a), Some(b)) => a.starts_with(b) || b.starts_with(a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_meet_where_some_table_matches_both() {
        assert!(tables_meet("public.*", "public.customers"));
        assert!(tables_meet("public.*", "*.audit_*"));
        assert!(tables_meet("public.a", "public.a"));
        assert!(tables_meet("public.audit", "pub*.a*"));
        assert!(!tables_meet("public.a", "public.ab"));
        assert!(!tables_meet("shipping.*", "public.*"));
        assert!(!tables_meet("shipping", "shipping.*"));
    }
}
