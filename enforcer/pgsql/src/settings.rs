//! Parameters of the session: which are free to set, and which change what later texts mean.

use crate::statement::SettingClass;

/// Parameters that concern the session's own output, waits and plans only. Sorted.
/// None of them changes how a text is read, who the session is or what a trigger or a policy does.
const HARMLESS: &[&str] = &[
    "application_name",
    "array_nulls",
    "bytea_output",
    "client_min_messages",
    "cursor_tuple_fraction",
    "datestyle",
    "default_statistics_target",
    "default_text_search_config",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "effective_cache_size",
    "enable_async_append",
    "enable_bitmapscan",
    "enable_distinct_reordering",
    "enable_gathermerge",
    "enable_group_by_reordering",
    "enable_hashagg",
    "enable_hashjoin",
    "enable_incremental_sort",
    "enable_indexonlyscan",
    "enable_indexscan",
    "enable_material",
    "enable_memoize",
    "enable_mergejoin",
    "enable_nestloop",
    "enable_parallel_append",
    "enable_parallel_hash",
    "enable_partition_pruning",
    "enable_partitionwise_aggregate",
    "enable_partitionwise_join",
    "enable_presorted_aggregate",
    "enable_seqscan",
    "enable_sort",
    "enable_tidscan",
    "escape_string_warning",
    "extra_float_digits",
    "from_collapse_limit",
    "geqo",
    "gin_fuzzy_search_limit",
    "icu_validation_level",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "join_collapse_limit",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "max_parallel_workers_per_gather",
    "parallel_leader_participation",
    "plan_cache_mode",
    "quote_all_identifiers",
    "random_page_cost",
    "seed",
    "seq_page_cost",
    "statement_timeout",
    "tcp_keepalives_count",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "timezone",
    "timezone_abbreviations",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_timeout",
    "work_mem",
    "xmlbinary",
    "xmloption",
];

/// Parameters that change how later texts are read or resolved, or what the server does with them. Sorted.
const PINNED: &[&str] = &[
    "backslash_quote",
    "client_encoding",
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "session_replication_role",
    "standard_conforming_strings",
    "transform_null_equals",
];

/// Whether a value is the one that the gateway pins: setting it changes nothing, and drivers do so as they connect.
pub(crate) fn is_pinned_value(name: &str, value: Option<&str>) -> bool {
    let value = value.map(str::to_ascii_lowercase);
    match name {
        "standard_conforming_strings" => matches!(value.as_deref(), Some("on" | "true")),
        "client_encoding" => matches!(value.as_deref(), Some("utf8" | "utf-8" | "unicode")),
        _ => false,
    }
}

/// Whether the default of a parameter is the role that logged in.
pub(crate) fn is_own_role(name: &str) -> bool {
    ["role", "session_authorization"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// Classes a parameter by its name in lower case.
pub(crate) fn class(name: &str) -> SettingClass {
    match name {
        "role" | "session_authorization" | "is_superuser" => SettingClass::Role,
        "transaction_read_only" | "default_transaction_read_only" => SettingClass::AccessMode,
        // The gateway's own parameters: the keys of masks.
        _ if crate::mask::expression::is_reserved(name) => SettingClass::Pinned,
        _ if PINNED.binary_search(&name).is_ok() => SettingClass::Pinned,
        _ if HARMLESS.binary_search(&name).is_ok() => SettingClass::Harmless,
        _ => SettingClass::Ordinary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted() {
        assert!(HARMLESS.is_sorted());
        assert!(PINNED.is_sorted());
    }

    #[test]
    fn what_changes_the_meaning_of_texts_is_pinned() {
        assert_eq!(class("search_path"), SettingClass::Pinned);
        assert_eq!(class("role"), SettingClass::Role);
        assert_eq!(class("timezone"), SettingClass::Harmless);
        assert_eq!(class("log_statement"), SettingClass::Ordinary);
        assert!(is_pinned_value("client_encoding", Some("UTF8")) && !is_pinned_value("client_encoding", Some("SJIS")));
        assert!(!is_pinned_value("standard_conforming_strings", None), "the target's own default may differ");
        assert_eq!(class("app.tenant"), SettingClass::Ordinary);
    }
}
