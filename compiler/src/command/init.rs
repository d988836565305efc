//! `init`: a small policy to begin with. Never writes over anything.

use super::{Failure, Terminal};
use crate::{
    cli::{Exit, InitArgs},
    system::join,
};

/// The files, by path below the new folder.
pub const FILES: &[(&str, &str)] = &[
    ("policy.kdl", include_str!("../init/policy.kdl")),
    ("identity.kdl", include_str!("../init/identity.kdl")),
    ("connections.kdl", include_str!("../init/connections.kdl")),
    ("rules.kdl", include_str!("../init/rules.kdl")),
    ("grants.kdl", include_str!("../init/grants.kdl")),
    ("tests.kdl", include_str!("../init/tests.kdl")),
];

/// Writes the files.
///
/// # Errors
/// When a policy is there already, or files or output fail.
pub fn run(args: &InitArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let folder = args.path.as_deref().unwrap_or("policies");
    let place = |path: &str| join(folder, path);
    if let Some((path, _)) = FILES.iter().find(|(path, _)| terminal.system.is_file(&place(path))) {
        return Err(Failure::Usage(format!("`{}` exists already; nothing was written", place(path))));
    }
    for (path, text) in FILES {
        terminal.system.write(&place(path), text.as_bytes())?;
        writeln!(terminal.out, "{}", place(path))?;
    }
    writeln!(terminal.out, "\nNext: leaseholdc check {folder} && leaseholdc test {folder}")?;
    Ok(Exit::Clean)
}
