//! The static checks: one rule in one file, each a function over the whole resolved policy.
//!
//! A check reads the [`Ctx`] and pushes findings; it never stops at the first, never looks at another check's
//! findings, and stays silent where an item is marked as broken or its conclusion rests on an absence in it.
//! To add one: write `check/pXXXX.rs` with `pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink)`, add a line to
//! [`CHECKS`], a page `errors/PXXXX.md`, and fixtures that fire and stay silent under `fixtures/policy/PXXXX/`.

mod allow;
pub mod beside;
mod ctx;
mod facts;
mod grants;
mod overlap;
mod page;
mod terms;

mod p0103;
mod p0104;
mod p0105;
mod p0201;
mod p0202;
mod p0203;
mod p0204;
mod p0205;
mod p0206;
mod p0207;
mod p0208;
mod p0301;
mod p0302;
mod p0303;
mod p0305;
mod p0306;
mod p0307;
mod p0308;
mod p0309;
mod p0310;
mod p0401;
mod p0405;
mod p0406;
mod p0407;
mod p0408;
mod p0409;
mod p0410;
mod p0412;
mod p0413;
mod p0415;
mod p0416;
mod p0417;
mod p0418;
mod p0419;
mod p0420;
mod p0421;
mod p0422;
mod p0501;
mod p0502;
mod p0503;
mod p0504;
mod p0505;
mod p0506;
mod p0507;
mod p0601;
mod p0602;
mod p0603;
mod p0604;
mod p0605;
mod p0606;
mod p0607;
mod p0608;
mod p0701;
mod p0702;
mod p0704;
mod p0706;
mod p0707;
mod p0709;
mod p0801;
mod p0803;
mod p0804;
mod p0806;
mod p0904;
mod p1001;
mod p1002;
mod p1003;
mod p1004;
mod p1006;
mod p1007;
mod p1008;

pub use ctx::Ctx;
pub use p0405::plural;
pub(crate) use page::Page;

use crate::parallel;
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
    Check { codes: &[Code::P0104], run: p0104::check },
    Check { codes: &[Code::P0105], run: p0105::check },
    Check { codes: &[Code::P0201], run: p0201::check },
    Check { codes: &[Code::P0202], run: p0202::check },
    Check { codes: &[Code::P0203], run: p0203::check },
    Check { codes: &[Code::P0204], run: p0204::check },
    Check { codes: &[Code::P0205], run: p0205::check },
    Check { codes: &[Code::P0206], run: p0206::check },
    Check { codes: &[Code::P0207], run: p0207::check },
    Check { codes: &[Code::P0208], run: p0208::check },
    Check { codes: &[Code::P0301], run: p0301::check },
    Check { codes: &[Code::P0302], run: p0302::check },
    Check { codes: &[Code::P0303], run: p0303::check },
    Check { codes: &[Code::P0305], run: p0305::check },
    Check { codes: &[Code::P0306], run: p0306::check },
    Check { codes: &[Code::P0307], run: p0307::check },
    Check { codes: &[Code::P0308], run: p0308::check },
    Check { codes: &[Code::P0309], run: p0309::check },
    Check { codes: &[Code::P0310], run: p0310::check },
    Check {
        codes: &[
            Code::P0401,
            Code::P0402,
            Code::P0403,
            Code::P0404,
            Code::P0410,
            Code::P0411,
            Code::P0412,
            Code::P0413,
            Code::P0414,
            Code::P0008,
        ],
        run: grants::check,
    },
    Check { codes: &[Code::P0405], run: p0405::check },
    Check { codes: &[Code::P0406], run: p0406::check },
    Check { codes: &[Code::P0407], run: p0407::check },
    Check { codes: &[Code::P0408], run: p0408::check },
    Check { codes: &[Code::P0409], run: p0409::check },
    Check { codes: &[Code::P0415], run: p0415::check },
    Check { codes: &[Code::P0416], run: p0416::check },
    Check { codes: &[Code::P0417], run: p0417::check },
    Check { codes: &[Code::P0418], run: p0418::check },
    Check { codes: &[Code::P0419], run: p0419::check },
    Check { codes: &[Code::P0420], run: p0420::check },
    Check { codes: &[Code::P0421], run: p0421::check },
    Check { codes: &[Code::P0422], run: p0422::check },
    Check { codes: &[Code::P0501], run: p0501::check },
    Check { codes: &[Code::P0502], run: p0502::check },
    Check { codes: &[Code::P0503], run: p0503::check },
    Check { codes: &[Code::P0504], run: p0504::check },
    Check { codes: &[Code::P0505], run: p0505::check },
    Check { codes: &[Code::P0506], run: p0506::check },
    Check { codes: &[Code::P0507], run: p0507::check },
    Check { codes: &[Code::P0601], run: p0601::check },
    Check { codes: &[Code::P0602], run: p0602::check },
    Check { codes: &[Code::P0603], run: p0603::check },
    Check { codes: &[Code::P0604], run: p0604::check },
    Check { codes: &[Code::P0605], run: p0605::check },
    Check { codes: &[Code::P0606], run: p0606::check },
    Check { codes: &[Code::P0607], run: p0607::check },
    Check { codes: &[Code::P0608], run: p0608::check },
    Check { codes: &[Code::P0701], run: p0701::check },
    Check { codes: &[Code::P0702], run: p0702::check },
    Check { codes: &[Code::P0704], run: p0704::check },
    Check { codes: &[Code::P0706], run: p0706::check },
    Check { codes: &[Code::P0707], run: p0707::check },
    Check { codes: &[Code::P0709], run: p0709::check },
    Check { codes: &[Code::P0801, Code::P0405, Code::P0802, Code::P0805], run: p0801::check },
    Check { codes: &[Code::P0803], run: p0803::check },
    Check { codes: &[Code::P0804], run: p0804::check },
    Check { codes: &[Code::P0806], run: p0806::check },
    Check { codes: &[Code::P0904], run: p0904::check },
    Check { codes: &[Code::P1001], run: p1001::check },
    Check { codes: &[Code::P1002], run: p1002::check },
    Check { codes: &[Code::P1003], run: p1003::check },
    Check { codes: &[Code::P1004], run: p1004::check },
    Check { codes: &[Code::P1006], run: p1006::check },
    Check { codes: &[Code::P1007], run: p1007::check },
    Check { codes: &[Code::P1008], run: p1008::check },
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
    Code::P0703,
    Code::P0901,
    Code::P0902,
    Code::P0903,
    Code::P1005,
    Code::P1009,
];

/// Whether this version looks for a code at all.
pub fn is_implemented(code: Code) -> bool {
    ELSEWHERE.contains(&code) || CHECKS.iter().any(|check| check.codes.contains(&code))
}

/// Runs every check, several at once; what is found does not depend on how many.
pub fn run(ctx: &Ctx<'_>, sink: &mut Sink) {
    // Several checks ask for the pages; one after the other they would wait for the first.
    ctx.pages();
    let all = parallel::map(CHECKS, ctx.threads, |check| {
        let mut own = Sink::new();
        (check.run)(ctx, &mut own);
        own
    });
    for own in all {
        sink.absorb(own);
    }
}

/// Silences what the policy accepts, and reports every `allow` that accepts nothing or may not.
pub fn suppress(ctx: &Ctx<'_>, sink: &mut Sink) {
    allow::apply(ctx, sink);
}
