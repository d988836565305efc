//! `test`: every test of a policy with its result.

use super::{Failure, Terminal, count, located, root, threads};
use crate::{
    cli::{Exit, Format, TestArgs, TestFormat},
    compile::{Options, compile},
    coverage::{self, Section},
    policy_test::Outcome,
    report::{self, junit},
    system::join,
};
use lang::{
    diag::{Code, Severity},
    span::SourceMap,
};
use serde::Serialize;

/// Runs the tests and shows them.
///
/// # Errors
/// When the arguments make no sense, or files or output fail.
pub fn run(args: &TestArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let root = root(args.path.as_deref(), terminal.system)?;
    let at = args.at.unwrap_or_else(|| terminal.system.now());
    let compilation = compile(terminal.system, &root, at, &Options { threads: threads() })?;
    let sources = located(&compilation.sources, &root);
    let others: Vec<_> = compilation
        .diagnostics
        .iter()
        .filter(|found| found.severity == Severity::Error && found.code != Code::P0901)
        .cloned()
        .collect();
    if !others.is_empty() {
        let format = match args.format {
            TestFormat::Human => Format::Human,
            TestFormat::Plain => Format::Plain,
            TestFormat::Json => Format::Json,
            TestFormat::Sarif => Format::Sarif,
            TestFormat::Github => Format::Github,
            TestFormat::Junit => Format::Junit,
        };
        report::findings(format, &others, &sources, terminal)?;
        writeln!(terminal.err, "the tests were not run: the policy has {}", count(others.len(), "error"))?;
        return Ok(Exit::Found);
    }
    let shown: Vec<&Outcome> = compilation
        .tests
        .iter()
        .filter(|test| args.filter.as_ref().is_none_or(|filter| test.name.contains(filter.as_str())))
        .collect();
    if let Some(file) = &args.junit {
        terminal.system.write(file, junit::report(&shown, &sources).as_bytes())?;
    }
    let wanted = compilation.program.as_ref().filter(|_| args.coverage || args.coverage_min.is_some());
    let covered = wanted.map(|program| coverage::sections(program, &compilation.exercised));
    match args.format {
        TestFormat::Human | TestFormat::Plain => {
            lines(args.format, &shown, &sources, terminal)?;
            covered.iter().try_for_each(|sections| shown_coverage(sections, &root, terminal))?;
        }
        TestFormat::Json => json(&shown, &sources, covered.as_deref(), terminal)?,
        TestFormat::Junit => terminal.out.write_all(junit::report(&shown, &sources).as_bytes())?,
        TestFormat::Sarif | TestFormat::Github => {
            let failed: Vec<_> = compilation
                .diagnostics
                .iter()
                .filter(|found| found.code == Code::P0901)
                .filter(|found| shown.iter().any(|test| found.span().is_some_and(|span| test.span.contains(span))))
                .cloned()
                .collect();
            let format = if args.format == TestFormat::Sarif { Format::Sarif } else { Format::Github };
            report::findings(format, &failed, &sources, terminal)?;
        }
    }
    let failed = shown.iter().filter(|test| test.failure.is_some()).count();
    if shown.is_empty() && args.filter.is_some() {
        return Err(Failure::Usage("no test has a name that contains the filter".to_owned()));
    }
    let low = low(args.coverage_min, covered.as_deref().unwrap_or_default(), terminal)?;
    Ok(if failed > 0 || low { Exit::Found } else { Exit::Clean })
}

/// Whether too little of some sort is exercised; says of which.
fn low(least: Option<u8>, sections: &[Section], terminal: &mut Terminal<'_>) -> Result<bool, Failure> {
    let Some(least) = least else { return Ok(false) };
    let mut low = false;
    for section in sections.iter().filter(|section| section.percent() < usize::from(least)) {
        low = true;
        let Section { what, .. } = section;
        writeln!(
            terminal.err,
            "leaseholdc: tests exercise {} % of the {what}, and {least} % are wanted",
            section.percent()
        )?;
    }
    Ok(low)
}

/// `grants     5 of 12   41 %`, and below it what is missing.
fn shown_coverage(sections: &[Section], root: &str, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    writeln!(terminal.out, "\nexercised by tests")?;
    for section in sections.iter().filter(|section| section.all > 0) {
        let Section { what, all, exercised, missing } = section;
        writeln!(terminal.out, "  {what:<10} {exercised:>5} of {all:<5} {:>3} %", section.percent())?;
        for one in missing {
            let place = match (&one.file, one.line) {
                (Some(file), Some(line)) => format!("  ({}:{line})", join(root, file)),
                (Some(_) | None, _) => String::new(),
            };
            writeln!(terminal.out, "    not: {}{}", report::visible(&one.rule), report::visible(&place))?;
        }
    }
    Ok(())
}

fn place(test: &Outcome, sources: &SourceMap) -> String {
    format!("{}:{}", sources.path(test.span.source), sources.line_column(test.span).line)
}

fn lines(
    format: TestFormat,
    tests: &[&Outcome],
    sources: &SourceMap,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let colours = terminal.colours && format == TestFormat::Human;
    let (green, red, off) = if colours { ("\u{1b}[32m", "\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "", "") };
    for test in tests {
        match &test.failure {
            None => writeln!(terminal.out, "{green}ok{off}      {}", report::visible(&test.name))?,
            Some(failure) => {
                writeln!(
                    terminal.out,
                    "{red}FAILED{off}  {}  ({})",
                    report::visible(&test.name),
                    place(test, sources)
                )?;
                writeln!(terminal.out, "        {}", report::visible(&failure.message))?;
                writeln!(terminal.out, "        witness: {}", report::visible(&failure.witness))?;
            }
        }
    }
    let failed = tests.iter().filter(|test| test.failure.is_some()).count();
    writeln!(terminal.out, "{}, {} passed, {failed} failed", count(tests.len(), "test"), tests.len() - failed)?;
    Ok(())
}

#[derive(Serialize)]
struct JsonTest<'a> {
    name: &'a str,
    file: &'a str,
    line: u32,
    passed: bool,
    message: Option<&'a str>,
    witness: Option<&'a str>,
}

/// What stands in the document when coverage was asked for; otherwise it is the list of tests.
#[derive(Serialize)]
struct JsonCovered<'a> {
    tests: Vec<JsonTest<'a>>,
    coverage: &'a [Section],
}

fn json(
    tests: &[&Outcome],
    sources: &SourceMap,
    coverage: Option<&[Section]>,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let tests: Vec<JsonTest<'_>> = tests
        .iter()
        .map(|test| JsonTest {
            name: &test.name,
            file: sources.path(test.span.source),
            line: sources.line_column(test.span).line,
            passed: test.failure.is_none(),
            message: test.failure.as_ref().map(|failure| failure.message.as_str()),
            witness: test.failure.as_ref().map(|failure| failure.witness.as_str()),
        })
        .collect();
    let written = match coverage {
        Some(coverage) => serde_json::to_writer_pretty(&mut *terminal.out, &JsonCovered { tests, coverage }),
        None => serde_json::to_writer_pretty(&mut *terminal.out, &tests),
    };
    written.map_err(std::io::Error::from)?;
    writeln!(terminal.out)?;
    Ok(())
}
