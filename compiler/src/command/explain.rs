//! `explain`: the page about a rule.

use super::{Failure, Terminal};
use crate::{
    check::is_implemented,
    cli::{Exit, ExplainArgs},
};
use lang::{
    diag::{Code, Severity, Suppression},
    ident::nearest,
};

/// The pages, by the id of their rule.
pub const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// Prints the page about a rule, or the list of all rules.
///
/// # Errors
/// When there is no such rule, or the output fails.
pub fn run(args: &ExplainArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let Some(rule) = &args.rule else {
        return list(terminal);
    };
    let id = rule.to_ascii_uppercase();
    let Some(code) = Code::parse(&id) else {
        let near = nearest(&id, Code::ALL.iter().map(|code| code.id()));
        let hint = near.map_or_else(
            || "`leaseholdc explain` lists all rules".to_owned(),
            |near| format!("did you mean {near}? `leaseholdc explain` lists all rules"),
        );
        return Err(Failure::Usage(format!("there is no rule `{rule}`; {hint}")));
    };
    if let Some((_, text)) = PAGES.iter().find(|(page, _)| *page == code.id()) {
        writeln!(terminal.out, "{}", text.trim_end())?;
    } else {
        writeln!(terminal.out, "# {code}: {}\n", code.summary())?;
        if !is_implemented(code) {
            writeln!(terminal.out, "This version does not look for it yet.\n")?;
        }
    }
    writeln!(terminal.out, "\nWeight: {}. {}", code.severity(), suppression(code))?;
    Ok(Exit::Clean)
}

fn suppression(code: Code) -> &'static str {
    match (code.suppression(code.severity()), code.is_ever_suppressible()) {
        (_, false) => "It cannot be suppressed.",
        (Suppression::Never, true) => "As an error it cannot be suppressed; as a warning it can, with `allow`.",
        (Suppression::OutsideTeams, true) => "It can be suppressed with `allow`, outside the folders of teams.",
        (Suppression::Anywhere, true) => "It can be suppressed with `allow`.",
    }
}

fn list(terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    for code in Code::ALL {
        let weight = match code.severity() {
            Severity::Error => "error  ",
            Severity::Warning => "warning",
            Severity::Info => "info   ",
        };
        let note = if is_implemented(*code) { "" } else { " (not looked for yet)" };
        writeln!(terminal.out, "{code}  {weight}  {}{note}", code.summary())?;
    }
    Ok(Exit::Clean)
}
