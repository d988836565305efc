//! `leasehold`: the gateway, and the commands for people and agents.

use clap::{CommandFactory, Parser, Subcommand};
use enforcer::client::commands::{Common, Format};
use enforcer::client::connect::Connect;
use enforcer::client::{archive, catalog, commands, download, hold, login, provision, replay, simulate, verify};
use enforcer::{config, gateway};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Access is leased, never owned.
#[derive(Parser)]
#[command(name = "leasehold", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway
    Serve {
        /// The gateway's configuration
        #[arg(long, value_name = "FILE", env = "LEASEHOLD_CONFIG")]
        config: PathBuf,
        /// The form of the log
        #[arg(long, value_enum, default_value = "auto")]
        log: LogFormat,
    },
    /// Look at the gateway's configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    #[command(flatten)]
    Client(commands::Command),
    /// Keep a recording, whatever retention says
    Hold {
        #[command(flatten)]
        args: hold::Args,
    },
    /// Let retention have a recording again
    Release {
        #[command(flatten)]
        args: hold::Args,
    },
    /// Show a recording
    Replay {
        #[command(flatten)]
        args: replay::Args,
        #[command(flatten)]
        connect: Connect,
    },
    /// Check that nothing was cut out of a recording or added to it
    Verify {
        #[command(flatten)]
        args: verify::Args,
        #[command(flatten)]
        connect: Connect,
    },
    /// Judge recorded operations by another commit of the policy
    Simulate(simulate::Args),
    /// Sign in at the gateway's identity provider, with a browser on this machine or another device
    Login {
        /// Sign in on another device, with a code
        #[arg(long)]
        device: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Forget the token of `leasehold login`
    Logout {
        #[command(flatten)]
        common: Common,
    },
    /// Write the manual pages into a folder
    Man {
        /// The folder
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// Read the tables and columns of a target
    Catalog {
        #[command(subcommand)]
        command: CatalogCommand,
    },
    /// Show, make, compare or remove what `masking database` needs in a target
    Provision(provision::Args),
    /// Print a completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Say everything that is wrong with a configuration
    Check {
        /// The configuration
        #[arg(long, value_name = "FILE", env = "LEASEHOLD_CONFIG")]
        config: PathBuf,
        /// The form of the findings
        #[arg(long, value_enum, default_value = "human")]
        format: Format,
    },
}

#[derive(Subcommand)]
enum CatalogCommand {
    /// Write the file that a policy's `catalog` refers to
    Export(catalog::Args),
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// Text on a terminal, JSON elsewhere
    Auto,
    /// A line of text for each event
    Text,
    /// A line of JSON for each event
    Json,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing else can be done when even that cannot be written.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 3 } else { 0 });
        }
    };
    match run(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(4)
        }
    }
}

fn run(command: Command) -> io::Result<u8> {
    let mut out = io::stdout().lock();
    match command {
        Command::Serve { config, log } => {
            drop(out);
            serve(&config, log)
        }
        Command::Config { command: ConfigCommand::Check { config, format } } => {
            let stands = match format {
                Format::Human => config::check(&config, &mut out)?,
                Format::Json => config::check_json(&config, &mut out)?,
            };
            Ok(u8::from(!stands))
        }
        Command::Client(command) => runtime()?.block_on(commands::run(&command, &mut out, &mut io::stderr())),
        Command::Replay { args, connect } => replayed(args, &connect, &mut out),
        Command::Verify { mut args, connect } => {
            let archived = match archived(&args.archive, args.recording.as_deref(), args.recordings.as_deref())? {
                Ok(archived) => archived,
                Err(code) => return Ok(code),
            };
            if let Some((_, path)) = &archived {
                args.recording = Some(path.display().to_string());
            }
            let fetched = match &args.recording {
                Some(recording) => match fetched(recording, args.recordings.as_deref(), &connect)? {
                    Ok(fetched) => fetched,
                    Err(code) => return Ok(code),
                },
                None => None,
            };
            if let Some(downloaded) = &fetched {
                args.recording = Some(downloaded.path().display().to_string());
            }
            verify::run(&args, &mut out).map(verify::Outcome::code)
        }
        Command::Hold { args } => runtime()?.block_on(hold::run(&args, hold::Wish::Hold, &mut out, &mut io::stderr())),
        Command::Release { args } => {
            runtime()?.block_on(hold::run(&args, hold::Wish::Release, &mut out, &mut io::stderr()))
        }
        Command::Simulate(args) => simulate::run(&args, &mut out),
        Command::Login { device, common } => {
            let mut notes = io::stderr();
            let signed_in = login::login(&common.connect, device, common.format, &mut out, &mut notes);
            runtime()?.block_on(signed_in)
        }
        Command::Logout { common } => login::logout(&common.connect, common.format, &mut out, &mut io::stderr()),
        Command::Man { folder } => {
            std::fs::create_dir_all(&folder)?;
            clap_mangen::generate_to(Cli::command(), &folder)?;
            Ok(0)
        }
        Command::Catalog { command: CatalogCommand::Export(args) } => {
            runtime()?.block_on(catalog::export(&args, &mut out))
        }
        Command::Provision(args) => provision::run(&args, &mut out),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "leasehold", &mut out);
            Ok(0)
        }
    }
}

/// Replays a recording that is here, in the archive or at the gateway; the exit code.
fn replayed(mut args: replay::Args, connect: &Connect, out: &mut dyn Write) -> io::Result<u8> {
    let archived = match archived(&args.archive, Some(&args.recording), args.recordings.as_deref())? {
        Ok(archived) => archived,
        Err(code) => return Ok(code),
    };
    if let Some((_, path)) = &archived {
        args.recording = path.display().to_string();
    }
    let fetched = match fetched(&args.recording, args.recordings.as_deref(), connect)? {
        Ok(fetched) => fetched,
        Err(code) => return Ok(code),
    };
    if let Some(downloaded) = &fetched {
        args.recording = downloaded.path().display().to_string();
    }
    match replay::run(&args, out, &mut replay::Terminal) {
        Ok(outcome) => Ok(outcome.map_or(0, verify::Outcome::code)),
        Err(error) => {
            writeln!(io::stderr(), "error: {error}")?;
            Ok(3)
        }
    }
}

/// The recording of a session that is not here comes from the archive that was named; the exit code when it cannot.
fn archived(
    archive: &archive::Args,
    recording: Option<&str>,
    folder: Option<&Path>,
) -> io::Result<Result<Option<(archive::Remote, PathBuf)>, u8>> {
    let (Some(recording), Some(_)) = (recording, &archive.archive) else { return Ok(Ok(None)) };
    let brought = archive.open().and_then(|remote| {
        let Some(remote) = remote else { return Ok(None) };
        Ok(remote.bring_named(recording, folder)?.map(|path| (remote, path)))
    });
    match brought {
        Ok(brought) => Ok(Ok(brought)),
        Err(sentence) => {
            writeln!(io::stderr(), "error: {sentence}")?;
            Ok(Err(3))
        }
    }
}

/// The recording of a session that is named without a folder comes from the gateway; the exit code when it cannot.
fn fetched(
    recording: &str,
    folder: Option<&Path>,
    connect: &Connect,
) -> io::Result<Result<Option<download::Downloaded>, u8>> {
    let Some(session) = download::remote(recording, folder) else { return Ok(Ok(None)) };
    match runtime()?.block_on(download::recording(connect, &session)) {
        Ok(downloaded) => Ok(Ok(Some(downloaded))),
        Err(failure) => {
            writeln!(io::stderr(), "error: {failure}")?;
            Ok(Err(failure.code()))
        }
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn serve(file: &Path, log: LogFormat) -> io::Result<u8> {
    let (config, findings) = config::load(file);
    findings.render(&mut io::stderr())?;
    let Some(config) = config else { return Ok(3) };
    start_log(log);
    gateway::run::keep_memory_private();
    let folder = file.parent().unwrap_or(Path::new(".")).to_owned();
    match runtime()?.block_on(gateway::run::serve(config, &folder)) {
        Ok(()) => Ok(0),
        Err(error) => {
            tracing::error!(%error, "the gateway cannot run");
            Ok(4)
        }
    }
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_env("LEASEHOLD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let json = match format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    if json {
        log.json().init();
    } else {
        log.with_ansi(io::stderr().is_terminal()).init();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_manual_page() {
        let folder = std::env::temp_dir().join(format!("leasehold-man-{}", std::process::id()));
        run(Command::Man { folder: folder.clone() }).unwrap();
        let pages = std::fs::read_dir(&folder).unwrap().count();
        std::fs::remove_dir_all(folder).unwrap();
        assert!(pages > Cli::command().get_subcommands().count(), "{pages}");
    }
}
