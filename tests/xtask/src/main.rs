//! `cargo xtask`: the command line only. What a command does stands in its own module.

use std::process::ExitCode;
use xtask::fault::{Fault, Outcome};
use xtask::setup::Want;
use xtask::{bench, demo, fuzz, mutants, regress, say, setup, verify, versions};

const HELP: &str = "\
The project's own commands.

  cargo xtask demo [--keep]   the product at work, with real clients; --keep leaves everything running
  cargo xtask test            everything, from a clean checkout: formatting, lints, tests, policies, live runs, the demo
  cargo xtask bench           throughput and CPU per transaction: direct, pgbouncer, the gateway
  cargo xtask bench --masked  the same with column masks, new statements, and a million rows streamed with masks
  cargo xtask bench compiler [GRANTS …]
                              what check, diff and decisions cost in generated repositories, beside the targets
  cargo xtask bench --gigabytes 10
                              rows streamed at each level of recording, and one session of that size, replayed
  cargo xtask fuzz [TARGET] [--seconds N] [--seed S]
                              changes policies and bundles at random: kdl, format, compile, bundle
  cargo xtask regress [--walk | --from FILE | FILE …]
                              PostgreSQL's own regression suite: through the walk of statements, or through the gateway
  cargo xtask smith [SEED [QUERIES]]
                              random queries of sqlsmith: two worlds that differ in masked values, and directly
  cargo xtask versions [15|16|17|18 …] [-- TEST …]
                              the live tests on each major version of PostgreSQL
  cargo xtask mutants [--seed S] [--count N] [--only PATH]
                              changes `lang` and `compiler` in sampled places, one at a time; lists what no test notices
  cargo xtask setup           only install what is missing (demo and test do it themselves)
  cargo xtask help            this text

What is missing is installed through apt-get (as root), else pip and npm into target/tools, and each install is announced.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&words) {
        Ok(code) => code,
        Err(fault) => {
            say::error(&fault.to_string());
            ExitCode::FAILURE
        }
    }
}

fn dispatch(words: &[&str]) -> Outcome<ExitCode> {
    match words {
        ["demo"] => demo::run(false),
        ["demo", "--keep"] => demo::run(true),
        ["test"] => verify::run(),
        ["bench", rest @ ..] => bench::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["regress", rest @ ..] => regress::run(rest),
        ["smith", rest @ ..] => regress::smith(rest),
        ["versions", rest @ ..] => versions::run(rest),
        ["mutants", rest @ ..] => mutants::run(rest),
        ["setup"] => setup::run(Want::Everything).map(|_| ExitCode::SUCCESS),
        [] | ["help" | "--help" | "-h"] => {
            say::text(HELP);
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(Fault::new(format!("unknown command `{}`; see `cargo xtask help`", words.join(" ")))),
    }
}
