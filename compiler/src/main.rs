//! `leaseholdc`: hands the arguments, the terminal and the operating system to the library.

use compiler::{cli, system::Os};
use std::{io::Write as _, process::ExitCode};

fn main() -> ExitCode {
    // Not locked: the language server writes from a thread of its own.
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let mut err = std::io::stderr().lock();
    let exit = cli::run(std::env::args_os(), &Os, &mut out, &mut err);
    // A reader that went away, as `head` does, is no failure of the policy.
    match out.flush() {
        Ok(()) => exit.into(),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => exit.into(),
        Err(_) => cli::Exit::Internal.into(),
    }
}
