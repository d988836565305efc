//! The command line: arguments become values here, and nothing behind it sees strings of the shell.

use crate::{
    command::{self, Failure, Terminal},
    system::System,
};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum, error::ErrorKind};
use lang::time::Timestamp;
use std::{ffi::OsString, io::Write, process::ExitCode};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing is wrong; warnings may be.
    Clean,
    /// The policy has errors, a test failed, a file is not formatted, a bundle is not to be trusted.
    Found,
    /// A difference gives somebody more, and that was to fail.
    Widens,
    /// The command line is wrong.
    Usage,
    /// The program could not do its work.
    Internal,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Found => 1,
            Self::Widens => 2,
            Self::Usage => 3,
            Self::Internal => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Checks, formats, tests, explains and builds Leasehold policies.
#[derive(Debug, Parser)]
#[command(name = "leaseholdc", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    color: Colour,
}

const EXIT_CODES: &str = "Exit codes: 0 nothing is wrong (warnings may be), 1 errors or failed tests, \
                          2 a difference widens access (with --fail-on wider), 3 wrong arguments, 4 the program could not do its work.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find everything that is wrong with a policy, its tests included.
    #[command(after_help = "Examples:\n  leaseholdc check\n  leaseholdc check policies --format github\n  \
                            leaseholdc check --at 2026-12-24T08:00:00Z --deny-warnings")]
    Check(CheckArgs),
    /// Lay policy files out in the one canonical way, comments included.
    #[command(
        after_help = "Examples:\n  leaseholdc fmt\n  leaseholdc fmt --check policies\n  leaseholdc fmt teams/payments/grants.kdl"
    )]
    Fmt(FmtArgs),
    /// Run the tests of a policy and show each of them.
    #[command(
        after_help = "Examples:\n  leaseholdc test\n  leaseholdc test policies --filter agent --junit report.xml\n  \
                            leaseholdc test --coverage --coverage-min 80"
    )]
    Test(TestArgs),
    /// Show exactly what a change of the policy gives and takes, with witnesses; offline.
    #[command(
        after_help = "Examples:\n  leaseholdc diff main\n  leaseholdc diff main...HEAD --format markdown --fail-on wider\n  \
                            leaseholdc diff v1 v2 --policy policies --directory directory.json --author mira"
    )]
    Diff(DiffArgs),
    /// Who can do something at a connection, under which terms.
    #[command(
        name = "who-can",
        after_help = "Example:\n  leaseholdc who-can orders-db --op write --table orders.lines"
    )]
    WhoCan(WhoCanArgs),
    /// What somebody can do, at one connection or everywhere.
    #[command(name = "what-can", after_help = "Example:\n  leaseholdc what-can --kind agent --group coding-agents")]
    WhatCan(WhatCanArgs),
    /// Why a request is permitted: the grant, its terms, every obligation, with file and line.
    #[command(
        after_help = "Example:\n  leaseholdc why orders-db --kind agent --group coding-agents --op select --table orders.lines"
    )]
    Why(WhyArgs),
    /// Why a request is not permitted: what is missing for each grant, the nearest miss first.
    #[command(name = "why-not")]
    WhyNot(WhyArgs),
    /// Check a policy and write it as a bundle, signed when a key is given.
    #[command(after_help = "Make a key with:\n  openssl genpkey -algorithm ed25519 -out sign.pem\n  \
                            openssl pkey -in sign.pem -pubout -out sign.pub\nExample:\n  \
                            leaseholdc build policies -o policy.bundle --sign-key sign.pem --commit \"$(git rev-parse HEAD)\"")]
    Build(BuildArgs),
    /// Check the policy of a commit and attach a signed statement about it, as a git note.
    #[command(after_help = "A gateway with `require-signed-by` puts only such commits into force.\nExample:\n  \
                            leaseholdc sign HEAD --sign-key sign.pem && git push origin refs/notes/leasehold")]
    Sign(SignArgs),
    /// Verify the signature and the content of a bundle, or of a commit's note, and show what it says.
    #[command(after_help = "Examples:\n  leaseholdc verify policy.bundle --public-key sign.pub\n  \
                            leaseholdc verify --commit HEAD --public-key sign.pub")]
    Verify(VerifyArgs),
    /// Write a small, commented policy to begin with.
    #[command(
        after_help = "Example:\n  leaseholdc init policies && leaseholdc check policies && leaseholdc test policies"
    )]
    Init(InitArgs),
    /// Show who reaches what as a table, or keep the committed one fresh.
    #[command(after_help = "Examples:\n  leaseholdc matrix\n  leaseholdc matrix policies --check")]
    Matrix(MatrixArgs),
    /// Draw who reaches what, or who may hand out what.
    #[command(after_help = "Examples:\n  leaseholdc graph --format svg -o access.svg\n  \
                            leaseholdc graph --show delegation --format mermaid")]
    Graph(GraphArgs),
    /// Show, write or check the part of CODEOWNERS that follows from the policy's teams.
    #[command(after_help = "Examples:\n  leaseholdc owners --write\n  leaseholdc owners policies --check")]
    Owners(OwnersArgs),
    /// Print the SQL that a connection with `masking database` needs in its database, for review.
    #[command(
        after_help = "The definitions come from:\n  leasehold catalog export orders-db … --definitions catalog/orders-db.jsonl\n\
                      Example:\n  leaseholdc provision orders-db > sql/orders-db.sql"
    )]
    Provision(ProvisionArgs),
    /// Serve an editor: the language server, over standard input and output.
    Lsp(LspArgs),
    /// Explain a rule, for example P0401; without a rule, list them all.
    Explain(ExplainArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
}

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The folder that holds policy.kdl; by default this one, else `policies`.
    pub path: Option<String>,
    /// The instant that counts as now, in RFC 3339; by default the clock.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub at: Option<Timestamp>,
    /// How findings are shown.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// Fail on warnings too.
    #[arg(long)]
    pub deny_warnings: bool,
}

/// `fmt`.
#[derive(Debug, Args)]
pub struct FmtArgs {
    /// Files or folders; by default the policy in this folder, else `policies`.
    pub paths: Vec<String>,
    /// Change nothing; fail when a file would change.
    #[arg(long)]
    pub check: bool,
}

/// `test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The folder that holds policy.kdl; by default this one, else `policies`.
    pub path: Option<String>,
    /// Show only tests whose name contains this text.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Also show which grants, forbids, guards and obligations the tests exercise.
    #[arg(long)]
    pub coverage: bool,
    /// Fail when the tests exercise less than this of the rules of one sort, in per cent.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100), conflicts_with = "filter")]
    pub coverage_min: Option<u8>,
    /// Also write a report in the XML of `JUnit`.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<String>,
    /// The instant that counts as now, in RFC 3339; by default the clock.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub at: Option<Timestamp>,
    /// How results are shown.
    #[arg(long, value_enum, default_value_t = TestFormat::Human)]
    pub format: TestFormat,
}

/// `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The older revision: a commit, branch or tag; `BASE..HEAD`, or `BASE...HEAD` for what HEAD added since it left.
    pub base: String,
    /// The newer revision; by default the work tree.
    pub head: Option<String>,
    /// The folder that holds policy.kdl; by default this one, else `policies`.
    #[arg(long = "policy", alias = "path", value_name = "FOLDER")]
    pub path: Option<String>,
    /// How the difference is shown.
    #[arg(long, value_enum, default_value_t = DiffFormat::Human)]
    pub format: DiffFormat,
    /// End with 2 when somebody gets more.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub fail_on: Option<FailOn>,
    /// A snapshot of the directory, as JSON: `[{"subject", "kind", "groups", "github"}]`.
    #[arg(long, value_name = "FILE")]
    pub directory: Option<String>,
    /// The author's name on the forge, to be looked up in the directory.
    #[arg(long, value_name = "NAME", requires = "directory")]
    pub author: Option<String>,
    /// The instant from which on decisions are compared; by default the newer commit's, else the clock.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub at: Option<Timestamp>,
}

/// How a difference is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// For people.
    Human,
    /// For a comment on a pull request.
    Markdown,
    /// One JSON document.
    Json,
}

/// What makes a difference fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Somebody gets more.
    Wider,
}

/// The object of a question.
#[derive(Debug, Args)]
pub struct ObjectArgs {
    /// A table, as schema.table.
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// A path of an HTTP connection, from `/` on.
    #[arg(long = "path", value_name = "PATH")]
    pub object_path: Option<String>,
    /// A namespace.
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// A resource of Kubernetes, in the plural.
    #[arg(long, value_name = "NAME")]
    pub resource: Option<String>,
    /// A command line.
    #[arg(long, value_name = "COMMAND")]
    pub argv: Option<String>,
}

/// `who-can`.
#[derive(Debug, Args)]
pub struct WhoCanArgs {
    /// The connection.
    pub connection: String,
    /// An operation, a family or `prefix.*`; by default any.
    #[arg(long, value_name = "OPERATION")]
    pub op: Option<String>,
    /// The object.
    #[command(flatten)]
    pub object: ObjectArgs,
    /// The policy, the instant and the form.
    #[command(flatten)]
    pub about: AskArgs,
}

/// `what-can`.
#[derive(Debug, Args)]
pub struct WhatCanArgs {
    /// human, service or agent.
    #[arg(long, value_name = "KIND")]
    pub kind: String,
    /// A group that the subject asserts; several may be given.
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
    /// Only at this connection.
    #[arg(long, value_name = "NAME")]
    pub connection: Option<String>,
    /// The policy, the instant and the form.
    #[command(flatten)]
    pub about: AskArgs,
}

/// `why` and `why-not`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// The connection.
    pub connection: String,
    /// human, service or agent.
    #[arg(long, value_name = "KIND")]
    pub kind: String,
    /// A group that the subject asserts; several may be given.
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
    /// The operation.
    #[arg(long, value_name = "OPERATION")]
    pub op: String,
    /// The object.
    #[command(flatten)]
    pub object: ObjectArgs,
    /// The policy, the instant and the form.
    #[command(flatten)]
    pub about: AskArgs,
}

/// What every question says.
#[derive(Debug, Args)]
pub struct AskArgs {
    /// The folder that holds policy.kdl; by default this one, else `policies`.
    #[arg(long = "policy", value_name = "FOLDER")]
    pub path: Option<String>,
    /// The instant of the request, or from which on it holds, in RFC 3339; by default the clock.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub at: Option<Timestamp>,
    /// How the answer is shown.
    #[arg(long, value_enum, default_value_t = AskFormat::Human)]
    pub format: AskFormat,
}

/// How an answer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AskFormat {
    /// For people.
    Human,
    /// One JSON document.
    Json,
}

/// `build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The folder that holds policy.kdl; by default this one, else `policies`.
    pub path: Option<String>,
    /// Where the bundle goes.
    #[arg(short, long, value_name = "FILE", default_value = "policy.bundle")]
    pub output: String,
    /// An Ed25519 private key in PKCS#8 PEM to sign with.
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<String>,
    /// The commit that the policy stems from.
    #[arg(long, value_name = "HASH")]
    pub commit: Option<String>,
    /// The tree of that commit.
    #[arg(long, value_name = "HASH")]
    pub tree: Option<String>,
    /// The position in the branch's history; a gateway accepts only a greater one than before.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub sequence: u64,
    /// The instant that counts as now, in RFC 3339; by default the clock.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub at: Option<Timestamp>,
}

/// `sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// The commit, or a branch or tag.
    #[arg(default_value = "HEAD")]
    pub revision: String,
    /// An Ed25519 private key in PKCS#8 PEM to sign with.
    #[arg(long, value_name = "FILE")]
    pub sign_key: String,
    /// The folder that holds policy.kdl; by default this one, else `policies`.
    #[arg(long = "policy", value_name = "FOLDER")]
    pub path: Option<String>,
    /// The position in the branch's history.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub sequence: u64,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The bundle.
    #[arg(required_unless_present = "commit")]
    pub bundle: Option<String>,
    /// Verify the note of this commit instead, and that its policy is the one that was signed.
    #[arg(long, value_name = "REVISION", conflicts_with = "bundle")]
    pub commit: Option<String>,
    /// The folder that holds policy.kdl, with `--commit`; by default this one, else `policies`.
    #[arg(long = "policy", value_name = "FOLDER", requires = "commit")]
    pub path: Option<String>,
    /// An Ed25519 public key in PEM that must have signed; several may be given.
    #[arg(long, value_name = "FILE", required = true)]
    pub public_key: Vec<String>,
}

/// `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The folder for the new policy; by default `policies`.
    pub path: Option<String>,
}

/// `matrix`.
#[derive(Debug, Args)]
pub struct MatrixArgs {
    /// The folder that holds policy.kdl; by default this one, else `policies`.
    pub path: Option<String>,
    /// Write the table to ACCESS.md beside policy.kdl.
    #[arg(long, conflicts_with = "check")]
    pub write: bool,
    /// Change nothing; fail when ACCESS.md is stale.
    #[arg(long)]
    pub check: bool,
    /// The instant that counts as now, in RFC 3339; by default the clock.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub at: Option<Timestamp>,
}

/// `provision`.
#[derive(Debug, Args)]
pub struct ProvisionArgs {
    /// The connection.
    pub connection: String,
    /// The folder that holds policy.kdl; by default this one, else `policies`.
    pub path: Option<String>,
    /// The definitions of the database; by default catalog/CONNECTION.jsonl beside policy.kdl.
    #[arg(long, value_name = "FILE")]
    pub definitions: Option<String>,
    /// Print the SQL that takes all of it away again.
    #[arg(long)]
    pub remove: bool,
    /// The instant that counts as now, in RFC 3339; by default the clock.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub at: Option<Timestamp>,
}

/// `graph`.
#[derive(Debug, Args)]
pub struct GraphArgs {
    /// The folder that holds policy.kdl; by default this one, else `policies`.
    pub path: Option<String>,
    /// What is drawn.
    #[arg(long, value_enum, default_value_t = GraphView::Access)]
    pub show: GraphView,
    /// How it is written down.
    #[arg(long, value_enum, default_value_t = GraphForm::Dot)]
    pub format: GraphForm,
    /// Where it goes; by default the standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<String>,
    /// The instant that counts as now, in RFC 3339; by default the clock.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub at: Option<Timestamp>,
}

/// What a graph shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphView {
    /// Who reaches what, by which grant.
    Access,
    /// Who maintains which team, and what is delegated to it.
    Delegation,
}

/// How a graph is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphForm {
    /// For Graphviz.
    Dot,
    /// For Markdown.
    Mermaid,
    /// A drawing.
    Svg,
}

/// `owners`.
#[derive(Debug, Args)]
pub struct OwnersArgs {
    /// The folder that holds policy.kdl; by default this one, else `policies`.
    pub path: Option<String>,
    /// Put the generated part into the file.
    #[arg(long, conflicts_with = "check")]
    pub write: bool,
    /// Change nothing; fail when the file is stale.
    #[arg(long)]
    pub check: bool,
    /// The file.
    #[arg(long, value_name = "FILE", default_value = ".github/CODEOWNERS")]
    pub file: String,
    /// Where the policy lies in the repository; by default its folder as given.
    #[arg(long, value_name = "FOLDER")]
    pub prefix: Option<String>,
}

/// `lsp`.
#[derive(Debug, Args)]
pub struct LspArgs {
    /// The folder that holds policy.kdl, as an absolute path; by default the one that the editor opened.
    pub path: Option<String>,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The rule.
    pub rule: Option<String>,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// How findings are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// With the lines of text concerned, for people.
    Human,
    /// One line for each finding, for editors and scripts.
    Plain,
    /// One JSON document.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// Workflow commands that GitHub shows as annotations.
    Github,
    /// XML of `JUnit`, a case for each file.
    Junit,
}

/// How test results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TestFormat {
    /// For people.
    Human,
    /// One line for each test, without colours.
    Plain,
    /// One JSON document.
    Json,
    /// SARIF 2.1.0 of the failures, for code scanning.
    Sarif,
    /// Workflow commands that GitHub shows as annotations.
    Github,
    /// XML of `JUnit`, a case for each test.
    Junit,
}

fn instant(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| "write it like 2026-05-04T10:00:00+02:00".to_owned())
}

/// Runs the program: reads the arguments, does the work, says how it ends.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    system: &dyn System,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Exit {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return complain(&error, system, out, err),
    };
    let colours = match cli.color {
        Colour::Auto => system.colours(),
        Colour::Always => true,
        Colour::Never => false,
    };
    let mut terminal = Terminal { system, out, err, colours };
    let done = match &cli.command {
        Command::Check(args) => command::check::run(args, &mut terminal),
        Command::Fmt(args) => command::fmt::run(args, &mut terminal),
        Command::Test(args) => command::test::run(args, &mut terminal),
        Command::Diff(args) => command::diff::run(args, &mut terminal),
        Command::WhoCan(args) => command::ask::who_can(args, &mut terminal),
        Command::WhatCan(args) => command::ask::what_can(args, &mut terminal),
        Command::Why(args) => command::ask::why(args, command::ask::Wanted::Why, &mut terminal),
        Command::WhyNot(args) => command::ask::why(args, command::ask::Wanted::WhyNot, &mut terminal),
        Command::Build(args) => command::build::run(args, &mut terminal),
        Command::Sign(args) => command::sign::run(args, &mut terminal),
        Command::Verify(args) => command::verify::run(args, &mut terminal),
        Command::Init(args) => command::init::run(args, &mut terminal),
        Command::Matrix(args) => command::matrix::run(args, &mut terminal),
        Command::Graph(args) => command::graph::run(args, &mut terminal),
        Command::Owners(args) => command::owners::run(args, &mut terminal),
        Command::Provision(args) => command::provision::run(args, &mut terminal),
        Command::Lsp(args) => command::lsp::run(args, &mut terminal),
        Command::Explain(args) => command::explain::run(args, &mut terminal),
        Command::Completions(args) => command::completions::run(args, Cli::command(), &mut terminal),
    };
    match done {
        Ok(exit) => exit,
        Err(Failure::Usage(sentence)) => say(err, &sentence, Exit::Usage),
        Err(Failure::System(error)) => say(err, &error.to_string(), Exit::Internal),
        // A reader that went away, as `head` does, has seen what it wanted.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Clean,
        Err(Failure::Output(error)) => say(err, &format!("cannot write the output: {error}"), Exit::Internal),
        Err(Failure::Engine(error)) => say(err, &error.to_string(), Exit::Internal),
        Err(Failure::Bundle(error)) => say(err, &error.to_string(), Exit::Internal),
    }
}

fn say(err: &mut dyn Write, sentence: &str, exit: Exit) -> Exit {
    // When even the place for errors is gone, the exit code still says it.
    let _nobody_listens = writeln!(err, "leaseholdc: {sentence}");
    exit
}

/// Help and version are answers; everything else is a wrong command line, which is 3 and not clap's 2.
fn complain(error: &clap::Error, system: &dyn System, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    let rendered = error.render();
    let text = if system.colours() { rendered.ansi().to_string() } else { rendered.to_string() };
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let written = if asked { write!(out, "{text}") } else { write!(err, "{text}") };
    match (asked, written) {
        (true, Ok(())) => Exit::Clean,
        (true, Err(_)) => Exit::Internal,
        (false, _) => Exit::Usage,
    }
}
