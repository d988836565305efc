//! `lsp`: the language server for editors, over the standard input and output.

use super::{Failure, Terminal};
use crate::{
    cli::{Exit, LspArgs},
    lsp,
};

/// Serves an editor until it says good-bye.
///
/// # Errors
/// When the editor breaks the protocol.
pub fn run(args: &LspArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    lsp::stdio(terminal.system, args.path.as_deref())?;
    Ok(Exit::Clean)
}
