//! The static checks: one rule in one file, each a function over the whole resolved policy.
//!
//! A check reads the [`Ctx`] and pushes findings; it never stops at the first, never looks at another check's
//! findings, and stays silent where an item is marked as broken or its conclusion rests on an absence in it.
//! To add one: write `check/pXXXX.rs` with `pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink)`, add a line to
//! [`CHECKS`], a page `errors/PXXXX.md`, and fixtures that fire and stay silent under `fixtures/policy/PXXXX/`.

mod allow;
mod ctx;

mod p0103;
mod p0422;
mod p0801;

pub use ctx::Ctx;

use lang::diag::{Code, Sink};

/// A check and the codes that it may report.
pub struct Check {
    /// The codes.
    pub codes: &'static [Code],
    run: fn(&Ctx<'_>, &mut Sink),
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Check").field(&self.codes).finish()
    }
}

/// Every check, by its first code.
pub const CHECKS: &[Check] = &[
    Check { codes: &[Code::P0103], run: p0103::check },
    Check { codes: &[Code::P0422], run: p0422::check },
    Check { codes: &[Code::P0801, Code::P0802, Code::P0805], run: p0801::check },
];

/// Codes that are reported outside this folder: by the parser, the loader, the resolution and the tests.
pub const ELSEWHERE: &[Code] = &[
    Code::P0001,
    Code::P0002,
    Code::P0003,
    Code::P0004,
    Code::P0005,
    Code::P0006,
    Code::P0007,
    Code::P0008,
    Code::P0009,
    Code::P0101,
    Code::P0102,
    Code::P0106,
    Code::P0304,
    Code::P0421,
    Code::P0703,
    Code::P0901,
    Code::P1009,
];

/// Whether this version looks for a code at all.
pub fn is_implemented(code: Code) -> bool {
    ELSEWHERE.contains(&code) || CHECKS.iter().any(|check| check.codes.contains(&code))
}

/// Runs every check.
pub fn run(ctx: &Ctx<'_>, sink: &mut Sink) {
    for check in CHECKS {
        (check.run)(ctx, sink);
    }
}

/// Silences what the policy accepts, and reports every `allow` that accepts nothing or may not.
pub fn suppress(ctx: &Ctx<'_>, sink: &mut Sink) {
    allow::apply(ctx, sink);
}
