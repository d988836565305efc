//! Names of relations, as the server resolves them, and the catalog relations that anybody may read.
//!
//! The list holds definitions only. It must never hold a relation with values of user tables (`pg_stats`,
//! `pg_statistic`, `pg_largeobject`), with other sessions (`pg_stat_activity`), or with credentials
//! (`pg_authid`, `pg_shadow`, `pg_user_mapping`, `pg_hba_file_rules`, `pg_subscription`).

use crate::statement::ObjectClass;

/// The schema that the server searches first, whatever `search_path` says.
pub(crate) const PG_CATALOG: &str = "pg_catalog";

const INFORMATION_SCHEMA: &str = "information_schema";

/// Relations of `pg_catalog` that hold definitions and nothing else. Sorted.
/// `pg_statistic_ext` holds the definitions of statistics objects; the values stand in `pg_statistic_ext_data`.
const CATALOG: &[&str] = &[
    "pg_aggregate",
    "pg_am",
    "pg_amop",
    "pg_amproc",
    "pg_attrdef",
    "pg_attribute",
    "pg_auth_members",
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_cast",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_conversion",
    "pg_database",
    "pg_default_acl",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_group",
    "pg_index",
    "pg_indexes",
    "pg_inherits",
    "pg_init_privs",
    "pg_language",
    "pg_matviews",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_opfamily",
    "pg_partitioned_table",
    "pg_policies",
    "pg_policy",
    "pg_proc",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_publication_tables",
    "pg_range",
    "pg_rewrite",
    "pg_roles",
    "pg_rules",
    "pg_sequence",
    "pg_settings",
    "pg_shdepend",
    "pg_shdescription",
    "pg_statistic_ext",
    "pg_tables",
    "pg_tablespace",
    "pg_timezone_abbrevs",
    "pg_timezone_names",
    "pg_transform",
    "pg_trigger",
    "pg_ts_config",
    "pg_ts_config_map",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_type",
    "pg_user",
    "pg_views",
];

/// Views of `information_schema`. The rest of that schema holds options of foreign servers and user mappings. Sorted.
const INFORMATION: &[&str] = &[
    "administrable_role_authorizations",
    "applicable_roles",
    "attributes",
    "character_sets",
    "check_constraint_routine_usage",
    "check_constraints",
    "collation_character_set_applicability",
    "collations",
    "column_column_usage",
    "column_domain_usage",
    "column_privileges",
    "column_udt_usage",
    "columns",
    "constraint_column_usage",
    "constraint_table_usage",
    "data_type_privileges",
    "domain_constraints",
    "domain_udt_usage",
    "domains",
    "element_types",
    "enabled_roles",
    "information_schema_catalog_name",
    "key_column_usage",
    "parameters",
    "referential_constraints",
    "role_column_grants",
    "role_routine_grants",
    "role_table_grants",
    "role_udt_grants",
    "role_usage_grants",
    "routine_column_usage",
    "routine_privileges",
    "routine_routine_usage",
    "routine_sequence_usage",
    "routine_table_usage",
    "routines",
    "schemata",
    "sequences",
    "sql_features",
    "sql_implementation_info",
    "sql_parts",
    "sql_sizing",
    "table_constraints",
    "table_privileges",
    "tables",
    "transforms",
    "triggered_update_columns",
    "triggers",
    "udt_privileges",
    "usage_privileges",
    "user_defined_types",
    "view_column_usage",
    "view_routine_usage",
    "view_table_usage",
    "views",
];

/// The schema of an unqualified relation name: every relation of `pg_catalog` is named `pg_…`, and a relation of that
/// name elsewhere cannot be told from it, so it counts as one.
pub(crate) fn schema_of<'t>(name: &str, default_schema: &'t str) -> &'t str {
    if name.starts_with("pg_") { PG_CATALOG } else { default_schema }
}

/// Whether a relation of this schema and name is an ordinary one.
pub(crate) fn relation_class(schema: &str, name: &str) -> ObjectClass {
    let listed = match schema {
        PG_CATALOG => CATALOG.binary_search(&name).is_ok(),
        INFORMATION_SCHEMA => INFORMATION.binary_search(&name).is_ok(),
        // pg_temp, pg_temp_N: the session's own, or refused by the server.
        _ if schema == "pg_temp" || schema.starts_with("pg_temp_") => return ObjectClass::Ordinary,
        // pg_toast holds the long values of tables.
        _ if schema.starts_with("pg_") => false,
        _ => return ObjectClass::Ordinary,
    };
    if listed { ObjectClass::Harmless } else { ObjectClass::Sensitive }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted() {
        assert!(CATALOG.is_sorted());
        assert!(INFORMATION.is_sorted());
    }

    #[test]
    fn relations_with_values_or_credentials_are_sensitive() {
        for name in [
            "pg_authid",
            "pg_hba_file_rules",
            "pg_largeobject",
            "pg_shadow",
            "pg_stat_activity",
            "pg_statistic",
            "pg_statistic_ext_data",
            "pg_stats",
            "pg_stats_ext",
            "pg_stats_ext_exprs",
            "pg_subscription",
            "pg_user_mapping",
            "pg_user_mappings",
        ] {
            assert_eq!(relation_class(PG_CATALOG, name), ObjectClass::Sensitive, "{name}");
        }
        assert_eq!(relation_class("pg_toast", "pg_toast_2619"), ObjectClass::Sensitive);
        assert_eq!(relation_class(INFORMATION_SCHEMA, "user_mapping_options"), ObjectClass::Sensitive);
        assert_eq!(relation_class("public", "pg_class"), ObjectClass::Ordinary);
        assert_eq!(schema_of("pg_authid", "public"), PG_CATALOG);
        assert_eq!(schema_of("users", "public"), "public");
    }
}
