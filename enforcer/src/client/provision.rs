//! `leasehold provision CONNECTION`: what `masking database` needs in a target, shown, made, compared or removed with the
//! gateway's own account.
//!
//! It must never print a secret but where `--secrets` asks for it, nor put the key of hashes into a statement of its own.

use super::commands::Format;
use super::connect::Failure;
use super::tell::{Done, tell};
use crate::config::{self, Config, Origin};
use crate::core::limits::Limits;
use crate::gateway::credentials::Credentials;
use crate::gateway::stream::Stream;
use crate::gateway::tls::UpstreamTls;
use crate::gitops::revision;
use crate::protocols::postgres::ask;
use crate::protocols::postgres::login::{Secret, Terms};
use crate::protocols::postgres::masking;
use crate::protocols::postgres::upstream::{self, Address, Target, Upstream};
use lang::program::Program;
use lang::program::rules::{Connection, Masking};
use pgsql::mask::expression::{KEY_INNER, KEY_OUTER};
use pgsql::provision::names::{self, Names};
use pgsql::provision::{self, Views, drift, script};
use pgsql::snapshot::Catalog;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;

/// `leasehold provision`
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Args {
    /// The connection
    pub connection: String,
    /// The gateway's configuration
    #[arg(long, value_name = "FILE", env = "LEASEHOLD_CONFIG")]
    pub config: PathBuf,
    /// The commit, branch or tag of the policy; by default the branch that the gateway follows
    #[arg(long, value_name = "REV")]
    pub policy: Option<String>,
    /// Make it, with the gateway's account
    #[arg(long, conflicts_with_all = ["remove", "drift", "secrets"])]
    pub apply: bool,
    /// Remove all of it, with the gateway's account
    #[arg(long, conflicts_with_all = ["drift", "secrets"])]
    pub remove: bool,
    /// Show how the target differs from the policy; exit 1 when it does
    #[arg(long, conflicts_with = "secrets")]
    pub drift: bool,
    /// Print the SQL that sets the roles' passwords and the key of hashes: it holds the key, so pipe it into psql
    #[arg(long)]
    pub secrets: bool,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// Runs the command; the exit code: 0 done, 1 the target differs, 3 it cannot be done.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(args: &Args, out: &mut dyn Write) -> io::Result<u8> {
    let own = args.clone();
    // Policies and definitions are parsed, which takes a large stack.
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(work(&own))
    };
    let done = std::thread::Builder::new().stack_size(pgsql::bounds::STACK_BYTES).spawn(work)?.join();
    match (done.unwrap_or_else(|_| Err("the provisioning failed".to_owned())), args.format) {
        // SQL stays as it is, byte for byte.
        (Ok((text, code)), Format::Human) => {
            out.write_all(text.as_bytes())?;
            Ok(code)
        }
        (Ok((text, code)), Format::Json) => {
            let done = Done { sentence: String::new(), answer: answer(args, &text, code), code };
            tell(Ok(done), args.format, out, &mut io::stderr())
        }
        (Err(sentence), _) => tell(Err(Failure::Usage(sentence)), args.format, out, &mut io::stderr()),
    }
}

/// What was done, for programs.
fn answer(args: &Args, text: &str, code: u8) -> Value {
    let connection = &args.connection;
    if args.drift {
        let differences: Vec<&str> = if code == 0 { Vec::new() } else { text.lines().collect() };
        json!({ "connection": connection, "differences": differences })
    } else if args.apply || args.remove {
        json!({ "connection": connection, "done": text.trim_end() })
    } else {
        json!({ "connection": connection, "sql": text })
    }
}

async fn work(args: &Args) -> Result<(String, u8), String> {
    let (config, findings) = config::load(&args.config);
    let mut said = Vec::new();
    findings.render(&mut said).map_err(|error| error.to_string())?;
    let config = config.ok_or_else(|| String::from_utf8_lossy(&said).into_owned())?;
    let program = policy(&config, args.policy.as_deref())?;
    let name = &args.connection;
    let target = program.connection(name).ok_or_else(|| format!("the policy has no connection `{name}`"))?;
    let makes_roles = target.credential.source == masking::ROLE_SOURCE;
    if target.masking != Masking::Database && !args.remove && !(makes_roles && args.secrets) {
        return Err(format!("`{name}` does not say `masking database`"));
    }
    let key = config::mask_key(&config.mask_key)
        .map_err(|error| format!("the mask key {} cannot be used: {error}", config.mask_key.file.display()))?;
    let mut roles = roles(&program, target)?;
    let count = roles.len();
    if makes_roles {
        // The account that makes a role for each session has a password as they have.
        roles.insert(target.credential.user.clone());
    }
    if args.secrets {
        return Ok((secrets(target, &roles, &key), 0));
    }
    let base = args.config.parent().unwrap_or(Path::new("."));
    let mut upstream = connect(target, base, &key).await?;
    let limits = Limits::default();
    let mut ready = Box::new(ready(&mut upstream, &limits));
    let catalog = Arc::new(ready.catalog().await?);
    if args.remove {
        run_in(&mut ready, &script::remove(target, &catalog)).await?;
        return Ok((format!("what `{name}` had in its database is removed\n"), 0));
    }
    let classes = provision::classes(&program, target, &catalog, Views::Wanted)?;
    if args.drift {
        let mut held = BTreeMap::new();
        for class in &classes {
            held.insert(class.names.role.clone(), ready.held(&class.names.role).await?);
        }
        return Ok(differences(name, &classes, &catalog, &held));
    }
    let sql = script::install(target, &classes, &catalog);
    if !args.apply {
        return Ok((sql, 0));
    }
    run_in(&mut ready, &sql).await?;
    run_in(&mut ready, &format!("{}{}", passwords(&roles, &key), key_from_parameters(target))).await?;
    let views: BTreeSet<_> = classes.iter().map(|class| &class.names.schema).collect();
    Ok((format!("{} roles and {} schemas of masking views stand in the database of `{name}`\n", count, views.len()), 0))
}

fn differences(
    connection: &str,
    classes: &[provision::Class<'_>],
    catalog: &Catalog,
    held: &BTreeMap<String, pgsql::provision::check::Held>,
) -> (String, u8) {
    let found = drift::drift(connection, classes, catalog, held);
    if found.is_empty() {
        return (format!("the database of `{connection}` is as the policy needs it\n"), 0);
    }
    (found.join("\n") + "\n", 1)
}

fn policy(config: &Config, revision: Option<&str>) -> Result<Program, String> {
    let repository = match &config.repository.origin {
        Origin::Local(path) => path.clone(),
        Origin::Remote(_) => crate::gitops::mirror(&config.state),
    };
    let revision = revision.unwrap_or(&config.repository.branch);
    revision::program(&repository, &config.repository.folder, revision)
}

/// The roles of every class.
fn roles(program: &Program, target: &Connection) -> Result<BTreeSet<String>, String> {
    if target.masking != Masking::Database {
        return Ok(BTreeSet::new());
    }
    let classes = program.mask_classes(&target.name).map_err(|error| error.to_string())?;
    Ok(classes.keys().map(|class| Names::new(&target.name, class).role).collect())
}

async fn connect(target: &Connection, base: &Path, key: &SecretBox<[u8; 32]>) -> Result<Upstream<TcpStream>, String> {
    let address = Address::parse(&target.address).ok_or_else(|| format!("`{}` is not host:port", target.address))?;
    let secret = if target.credential.source == masking::ROLE_SOURCE {
        masking::role_password(key, &target.credential.user)
    } else {
        Credentials::new(base).fetch(&target.credential).map_err(|error| error.to_string())?
    };
    let target = Target {
        address,
        tls: UpstreamTls::from_policy(&target.tls).map_err(|error| error.to_string())?,
        terms: Terms {
            user: target.credential.user.clone(),
            database: target.database.clone().unwrap_or_default(),
            secret: Secret::Password(secret),
            read_only: false,
            application_name: "leasehold provision".to_owned(),
            settings: Vec::new(),
            secrets: masking::key_blocks(key, &target.name),
        },
    };
    Box::pin(upstream::connect(&target, &Limits::default())).await.map_err(|error| error.to_string())
}

fn ready<'a>(upstream: &'a mut Upstream<TcpStream>, limits: &'a Limits) -> ask::Ready<'a, Stream<TcpStream>> {
    ask::Ready { stream: &mut upstream.stream, input: &mut upstream.leftover, limits }
}

async fn run_in(ready: &mut ask::Ready<'_, Stream<TcpStream>>, sql: &str) -> Result<(), String> {
    Box::pin(ready.ask(sql, &mut |_| Ok(()))).await.map_err(|why| format!("the target refuses: {why}"))
}

/// Each role's password, as the target keeps it: it can be checked with that, not used.
fn passwords(roles: &BTreeSet<String>, key: &SecretBox<[u8; 32]>) -> String {
    let mut out = String::new();
    for role in roles {
        let password = masking::role_password(key, role);
        let kept = postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes());
        // Writing to a string cannot fail.
        let _ = writeln!(out, "ALTER ROLE \"{}\" PASSWORD '{kept}';", role.replace('"', "\"\""));
    }
    out
}

/// Takes the key from the session's own parameters, so that it stands in no statement.
fn key_from_parameters(target: &Connection) -> String {
    let table = format!("\"{}key\".mask_key", names::prefix(&target.name));
    let block = |name: &str| format!("pg_catalog.decode(pg_catalog.current_setting('{name}'), 'hex')");
    format!(
        "BEGIN; DELETE FROM {table}; INSERT INTO {table} SELECT {}, {}; COMMIT;\n",
        block(KEY_INNER),
        block(KEY_OUTER)
    )
}

fn secrets(target: &Connection, roles: &BTreeSet<String>, key: &SecretBox<[u8; 32]>) -> String {
    if target.masking != Masking::Database {
        return passwords(roles, key);
    }
    let table = format!("\"{}key\".mask_key", names::prefix(&target.name));
    let blocks: Vec<(&str, SecretString)> = masking::key_blocks(key, &target.name);
    let values: Vec<String> =
        blocks.iter().map(|(_, block)| format!("pg_catalog.decode('{}', 'hex')", block.expose_secret())).collect();
    format!(
        "{}BEGIN;\nDELETE FROM {table};\nINSERT INTO {table} VALUES ({});\nCOMMIT;\n",
        passwords(roles, key),
        values.join(", ")
    )
}
