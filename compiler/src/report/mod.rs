//! How findings and results reach people and programs.

pub mod comment;
pub mod diff;
pub mod junit;

use crate::{
    cli::Format,
    command::{Failure, Terminal},
};
use lang::{
    diag::{Diagnostic, render},
    span::SourceMap,
};

/// Shows findings.
///
/// # Errors
/// When the output fails.
pub fn findings(
    format: Format,
    found: &[Diagnostic],
    sources: &SourceMap,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let format = match format {
        Format::Human => render::Format::Human { colour: terminal.colours },
        Format::Plain => render::Format::Plain,
        Format::Json => render::Format::Json,
        Format::Sarif => render::Format::Sarif,
        Format::Github => render::Format::Github,
        Format::Junit => render::Format::Junit,
    };
    let text = render::render(format, found, sources);
    // The commands end with a line of their own, which says more.
    let text = match format {
        render::Format::Human { .. } => text.strip_suffix(&format!("{}\n", render::summary(found))).unwrap_or(&text),
        render::Format::Plain
        | render::Format::Json
        | render::Format::Sarif
        | render::Format::Github
        | render::Format::Junit => &text,
    };
    terminal.out.write_all(text.as_bytes())?;
    Ok(())
}

/// A text of the policy without characters that would steer a terminal.
pub fn visible(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control() || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect()
}
