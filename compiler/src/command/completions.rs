//! `completions`: a script that teaches a shell the commands.

use super::{Failure, Terminal};
use crate::cli::{CompletionsArgs, Exit};

/// Prints the script for a shell.
///
/// # Errors
/// When the output fails.
pub fn run(args: &CompletionsArgs, mut command: clap::Command, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    // The generator panics when its output fails, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "leaseholdc", &mut script);
    terminal.out.write_all(&script)?;
    Ok(Exit::Clean)
}
