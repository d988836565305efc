//! What becomes of whole policies: the fixtures, the pages and the digest of the test suite, as a program of this crate
//! alone. `cargo xtask mutants` runs it; `cargo test` runs the same tests in `tests/it`.

#[path = "../../tests/it/policy_digest.rs"]
mod policy_digest;
#[path = "../../tests/it/policy_fixtures.rs"]
mod policy_fixtures;
#[path = "../../tests/it/rules.rs"]
mod rules;
