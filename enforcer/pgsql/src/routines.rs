//! Names of routines, as the server resolves them, and the built-ins that anybody may call.
//!
//! A harmless built-in reads its arguments, the clock or definitions of the catalog. The list must never hold a routine
//! that runs a text as SQL, reads or writes a table that its name does not show, reaches files, other sessions or other
//! servers, or changes the session. A name is enough only because the caller says which overloads exist outside
//! `pg_catalog` ([`crate::session::SessionFacts::overloads`]).

use crate::catalog::PG_CATALOG;
use crate::harmless::HARMLESS;
use crate::session::SessionFacts;
use crate::statement::ObjectClass;

/// The oldest server whose built-ins are assumed.
#[cfg(test)]
const SERVER_MAJOR_MIN: u16 = 13;

/// Harmless built-ins that servers from [`SERVER_MAJOR_MIN`] on lack until the major version named. There, the name
/// is that of somebody's own routine. Sorted.
#[rustfmt::skip]
const SINCE: &[(&str, u16)] = &[
    ("any_value", 16),
    ("array_reverse", 18),
    ("array_sample", 16),
    ("array_shuffle", 16),
    ("array_sort", 18),
    ("bit_count", 14),
    ("bit_xor", 14),
    ("casefold", 18),
    ("crc32", 18),
    ("crc32c", 18),
    ("date_add", 16),
    ("date_bin", 14),
    ("date_subtract", 16),
    ("datemultirange", 14),
    ("erf", 16),
    ("erfc", 16),
    ("gamma", 18),
    ("has_largeobject_privilege", 18),
    ("has_parameter_privilege", 15),
    ("icu_unicode_version", 17),
    ("int4multirange", 14),
    ("int8multirange", 14),
    ("json_agg_strict", 16),
    ("json_object_agg_strict", 16),
    ("json_object_agg_unique", 16),
    ("json_object_agg_unique_strict", 16),
    ("jsonb_agg_strict", 16),
    ("jsonb_object_agg_strict", 16),
    ("jsonb_object_agg_unique", 16),
    ("jsonb_object_agg_unique_strict", 16),
    ("jsonb_populate_record_valid", 17),
    ("lgamma", 18),
    ("multirange", 14),
    ("nummultirange", 14),
    ("random_normal", 16),
    ("range_agg", 14),
    ("range_intersect_agg", 14),
    ("regexp_count", 15),
    ("regexp_instr", 15),
    ("regexp_like", 15),
    ("regexp_substr", 15),
    ("string_to_table", 14),
    ("system_user", 16),
    ("to_bin", 17),
    ("to_oct", 17),
    ("trim_array", 14),
    ("tsmultirange", 14),
    ("tstzmultirange", 14),
    ("unicode_assigned", 17),
    ("unicode_version", 17),
    ("unistr", 14),
    ("uuid_extract_timestamp", 17),
    ("uuid_extract_version", 17),
    ("uuidv4", 18),
    ("uuidv7", 18),
];

/// Built-ins that a policy may permit by name like any other routine: they act on sequences, locks and snapshots, or run
/// the checks of a type that a text names.
/// Sorted.
const CALLABLE: &[&str] = &[
    "inet_client_addr",
    "inet_client_port",
    "inet_server_addr",
    "inet_server_port",
    "mxid_age",
    "nextval",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_shared",
    "pg_advisory_xact_lock",
    "pg_advisory_xact_lock_shared",
    "pg_blocking_pids",
    "pg_current_snapshot",
    "pg_current_xact_id",
    "pg_current_xact_id_if_assigned",
    "pg_input_error_info",
    "pg_input_is_valid",
    "pg_relation_filenode",
    "pg_relation_filepath",
    "pg_sequence_last_value",
    "pg_sequence_parameters",
    "pg_snapshot_xip",
    "pg_snapshot_xmax",
    "pg_snapshot_xmin",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "pg_try_advisory_xact_lock",
    "pg_try_advisory_xact_lock_shared",
    "pg_visible_in_snapshot",
    "pg_xact_status",
    "setval",
    "txid_current",
    "txid_current_if_assigned",
    "txid_current_snapshot",
    "txid_snapshot_xip",
    "txid_snapshot_xmax",
    "txid_snapshot_xmin",
    "txid_status",
    "txid_visible_in_snapshot",
];

/// Routines that are sensitive wherever they live and that do not begin with `pg_` or `lo_`: they run text as SQL or
/// reach another server, large objects or files. Sorted.
const SENSITIVE: &[&str] =
    &["connectby", "crosstab", "crosstab2", "crosstab3", "crosstab4", "xpath_table", "xslt_process"];

/// A routine's name, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Routine<'t> {
    /// The schema in which the server finds it.
    pub(crate) schema: &'t str,
    /// The routine's own name.
    pub(crate) name: &'t str,
    /// Harmless, to be permitted by name, or sensitive.
    pub(crate) class: ObjectClass,
}

/// Resolves a call. `schema` is the qualification in the text.
pub(crate) fn resolve<'t>(schema: Option<&'t str>, name: &'t str, session: &'t SessionFacts) -> Routine<'t> {
    let schema = schema.unwrap_or_else(|| {
        // An overload hides a harmless built-in only: what is not harmless stays what it is.
        let overloaded = session.overloads.contains(name) && is_harmless_name(name);
        if !overloaded && is_built_in(name, session.server_major) { PG_CATALOG } else { &session.default_schema }
    });
    Routine { schema, name, class: class(schema, name, session.server_major) }
}

/// Whether a new routine of this name could be called unseen.
pub(crate) fn hides(schema: Option<&str>, name: &str) -> bool {
    is_harmless_name(name) || schema == Some(INFORMATION_SCHEMA) && name == EXPANDS_ARRAY
}

/// Whether a harmless built-in has this name in any version.
pub(crate) fn is_harmless_name(name: &str) -> bool {
    HARMLESS.binary_search(&name).is_ok()
}

fn class(schema: &str, name: &str, server_major: u16) -> ObjectClass {
    if is_sensitive_name(name) {
        return ObjectClass::Sensitive;
    }
    match schema {
        PG_CATALOG if is_harmless(name, server_major) => ObjectClass::Harmless,
        PG_CATALOG if CALLABLE.binary_search(&name).is_ok() => ObjectClass::Ordinary,
        PG_CATALOG => ObjectClass::Sensitive,
        INFORMATION_SCHEMA if name == EXPANDS_ARRAY => ObjectClass::Harmless,
        _ => ObjectClass::Ordinary,
    }
}

/// A routine that the server brings outside `pg_catalog`: it gives an array's elements with their places, and drivers ask
/// for primary keys by it.
const EXPANDS_ARRAY: &str = "_pg_expandarray";
const INFORMATION_SCHEMA: &str = "information_schema";

fn is_harmless(name: &str, server_major: u16) -> bool {
    is_harmless_name(name)
        && match SINCE.binary_search_by(|(known, _)| (*known).cmp(name)) {
            Ok(at) => SINCE.get(at).is_some_and(|(_, since)| server_major >= *since),
            Err(_) => true,
        }
}

/// Whether an unqualified name is one of `pg_catalog`. Names that begin with `pg_` always are.
fn is_built_in(name: &str, server_major: u16) -> bool {
    name.starts_with("pg_")
        || is_harmless(name, server_major)
        || CALLABLE.binary_search(&name).is_ok()
        || BUILT_IN_SENSITIVE.binary_search(&name).is_ok()
        || name.starts_with("lo_")
        || name == "current_setting"
}

/// Whether a routine of this name runs a text as SQL, or reads what its name does not show.
pub(crate) fn is_sensitive_name(name: &str) -> bool {
    SENSITIVE.binary_search(&name).is_ok()
        || BUILT_IN_SENSITIVE.binary_search(&name).is_ok()
        || name.starts_with("lo_")
        || name.starts_with("dblink")
}

/// As [`SENSITIVE`], in `pg_catalog`. Sorted.
const BUILT_IN_SENSITIVE: &[&str] = &[
    "currtid2",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "database_to_xmlschema",
    "loread",
    "lowrite",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema",
    "set_config",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "table_to_xmlschema",
    "ts_rewrite",
    "ts_stat",
];

/// Routines that take or tell a number of a sequence.
pub(crate) const OF_SEQUENCES: &[&str] = &["currval", "lastval", "nextval", "pg_sequence_last_value", "setval"];

/// Built-ins that are not harmless and take one argument, so that `value.name` calls them, whatever the value's type is:
/// of all servers that are known, without those that compute and nothing else. That a name stands in [`CALLABLE`] as
/// well says that it may be permitted, not how many arguments it takes. Sorted.
const OF_ONE_ARGUMENT: &[&str] = &[
    "brin_summarize_new_values",
    "current_setting",
    "fmgr_c_validator",
    "fmgr_internal_validator",
    "fmgr_sql_validator",
    "gin_clean_pending_list",
    "lo_close",
    "lo_creat",
    "lo_create",
    "lo_get",
    "lo_import",
    "lo_tell",
    "lo_tell64",
    "lo_unlink",
    "mxid_age",
    "nextval",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_shared",
    "pg_advisory_xact_lock",
    "pg_advisory_xact_lock_shared",
    "pg_backup_start",
    "pg_backup_stop",
    "pg_blocking_pids",
    "pg_cancel_backend",
    "pg_column_toast_chunk_id",
    "pg_create_physical_replication_slot",
    "pg_create_restore_point",
    "pg_current_logfile",
    "pg_database_collation_actual_version",
    "pg_drop_replication_slot",
    "pg_extension_update_paths",
    "pg_get_multixact_members",
    "pg_get_sequence_data",
    "pg_import_system_collations",
    "pg_log_backend_memory_contexts",
    "pg_ls_dir",
    "pg_ls_replslotdir",
    "pg_ls_tmpdir",
    "pg_mcv_list_items",
    "pg_promote",
    "pg_read_binary_file",
    "pg_read_file",
    "pg_relation_filenode",
    "pg_relation_filepath",
    "pg_replication_origin_create",
    "pg_replication_origin_drop",
    "pg_replication_origin_oid",
    "pg_replication_origin_session_progress",
    "pg_replication_origin_session_setup",
    "pg_restore_attribute_stats",
    "pg_restore_relation_stats",
    "pg_safe_snapshot_blocking_pids",
    "pg_sequence_last_value",
    "pg_sequence_parameters",
    "pg_snapshot_xip",
    "pg_snapshot_xmax",
    "pg_snapshot_xmin",
    "pg_split_walfile_name",
    "pg_stat_file",
    "pg_stat_reset_backend_stats",
    "pg_stat_reset_replication_slot",
    "pg_stat_reset_shared",
    "pg_stat_reset_single_function_counters",
    "pg_stat_reset_single_table_counters",
    "pg_stat_reset_slru",
    "pg_stat_reset_subscription_stats",
    "pg_tablespace_databases",
    "pg_tablespace_size",
    "pg_terminate_backend",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "pg_try_advisory_xact_lock",
    "pg_try_advisory_xact_lock_shared",
    "pg_walfile_name",
    "pg_walfile_name_offset",
    "pg_xact_commit_timestamp",
    "pg_xact_commit_timestamp_origin",
    "pg_xact_status",
    "plpgsql_validator",
    "ts_stat",
    "txid_snapshot_xip",
    "txid_snapshot_xmax",
    "txid_snapshot_xmin",
    "txid_status",
];

/// Whether `value.name` may call a built-in that is not harmless, where there is no column of that name.
pub(crate) fn is_attribute(name: &str) -> bool {
    OF_ONE_ARGUMENT.binary_search(&name).is_ok()
        || ["binary_upgrade_", "pg_stat_get_"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved<'t>(schema: Option<&'t str>, name: &'t str, session: &'t SessionFacts) -> (&'t str, ObjectClass) {
        let routine = resolve(schema, name, session);
        (routine.schema, routine.class)
    }

    #[test]
    fn the_lists_are_sorted_and_disjoint() {
        assert!(HARMLESS.is_sorted());
        assert!(SINCE.is_sorted());
        assert!(CALLABLE.is_sorted());
        assert!(SENSITIVE.is_sorted());
        assert!(BUILT_IN_SENSITIVE.is_sorted());
        assert!(OF_ONE_ARGUMENT.is_sorted());
        for name in OF_ONE_ARGUMENT {
            assert!(!is_harmless_name(name) && is_attribute(name), "{name}");
        }
        for name in HARMLESS {
            assert!(CALLABLE.binary_search(name).is_err() && !is_sensitive_name(name), "{name}");
        }
        for (name, since) in SINCE {
            assert!(is_harmless_name(name) && *since > SERVER_MAJOR_MIN, "{name}");
        }
    }

    #[test]
    fn built_ins_are_told_from_routines_of_the_database() {
        let session = SessionFacts::pinned(15);
        assert_eq!(resolved(None, "lower", &session), ("pg_catalog", ObjectClass::Harmless));
        assert_eq!(resolved(Some("pg_catalog"), "lower", &session), ("pg_catalog", ObjectClass::Harmless));
        assert_eq!(resolved(Some("public"), "lower", &session), ("public", ObjectClass::Ordinary));
        assert_eq!(resolved(None, "refund", &session), ("public", ObjectClass::Ordinary));
        assert_eq!(resolved(None, "nextval", &session), ("pg_catalog", ObjectClass::Ordinary));
        assert_eq!(resolved(None, "pg_read_file", &session), ("pg_catalog", ObjectClass::Sensitive));
        assert_eq!(resolved(Some("pg_catalog"), "int4pl", &session), ("pg_catalog", ObjectClass::Sensitive));
        assert_eq!(resolved(Some("ext"), "dblink_exec", &session), ("ext", ObjectClass::Sensitive));
    }

    #[test]
    fn a_newer_built_in_is_somebody_s_own_routine_on_an_older_server() {
        assert_eq!(resolved(None, "gamma", &SessionFacts::pinned(18)), ("pg_catalog", ObjectClass::Harmless));
        assert_eq!(resolved(None, "gamma", &SessionFacts::pinned(17)), ("public", ObjectClass::Ordinary));
    }

    #[test]
    fn an_overload_takes_unqualified_calls() {
        let mut session = SessionFacts::pinned(18);
        session.overloads.insert("max".into());
        assert_eq!(resolved(None, "max", &session), ("public", ObjectClass::Ordinary));
        assert_eq!(resolved(Some("pg_catalog"), "max", &session), ("pg_catalog", ObjectClass::Harmless));
    }
}
