//! Whether a ticket that satisfies some expressions satisfies another one as well.

use std::collections::BTreeSet;

/// Whether every ticket that all of `held` accept is accepted by `wanted`.
pub(super) fn implied(held: &BTreeSet<String>, wanted: &str) -> bool {
    held.contains(wanted)
}
