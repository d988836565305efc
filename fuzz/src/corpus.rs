//! The inputs that a search begins with: every policy text of the repository, whole, the bundles built from them,
//! every annotated statement, and messages around those.

use crate::targets;
use bytes::BytesMut;
use enforcer::protocols::postgres::wire::{
    frame::{ServerTag, Tag as _},
    packet,
    server::TransactionStatus,
    sqlstate::SqlState,
    write::{self, Notice, Severity},
};
use std::{fs, io, path::Path};

/// What kind of seeds a target takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seeds {
    /// Policy texts.
    Texts,
    /// Bundles of the policies that compile.
    Bundles,
    /// Statements of SQL.
    Statements,
    /// What a client sends to run them.
    Client,
    /// What a server answers.
    Server,
    /// What a client sends first.
    Startup,
    /// Configurations of a gateway.
    Configurations,
}

/// The longest seed in bytes: short ones are changed faster.
const SEED_BYTES_MAX: u64 = 16 * 1024;

/// The seeds, in a stable order.
pub(crate) fn seeds(root: &Path, kind: Seeds) -> io::Result<Vec<Vec<u8>>> {
    let mut texts = Vec::new();
    for folder in ["fixtures/policy", "policies"] {
        collect(&root.join(folder), &mut texts)?;
    }
    Ok(match kind {
        Seeds::Texts => texts,
        Seeds::Bundles => texts.iter().filter_map(|text| targets::bundle_of(text)).collect(),
        Seeds::Statements => statements(root)?.into_iter().map(String::into_bytes).collect(),
        Seeds::Client => statements(root)?.iter().filter_map(|sql| asked(sql).ok()).collect(),
        Seeds::Server => statements(root)?.iter().map(|sql| answered(sql)).collect(),
        Seeds::Startup => statements(root)?.iter().filter_map(|name| first(name).ok()).collect(),
        Seeds::Configurations => configurations(),
    })
}

/// Every annotated statement of `fixtures/sql`.
fn statements(root: &Path) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(root.join("fixtures/sql/judged.txt"))?;
    Ok(text.lines().filter_map(|line| line.strip_prefix("> ")).map(str::to_owned).collect())
}

/// A statement in both protocols of a client.
fn asked(sql: &str) -> Result<Vec<u8>, enforcer::protocols::postgres::wire::WireError> {
    let mut out = BytesMut::new();
    write::query(&mut out, sql)?;
    write::parse(&mut out, "s", sql, &[23, 0])?;
    write::bind_text(&mut out, "p", "s", &[Some(sql), None])?;
    write::describe_portal(&mut out, "p")?;
    write::execute(&mut out, "p", 7)?;
    write::close_statement(&mut out, "s")?;
    write::copy_fail(&mut out, sql)?;
    write::sync(&mut out);
    Ok(out.to_vec())
}

/// An answer with a text in it.
fn answered(text: &str) -> Vec<u8> {
    let mut out = BytesMut::new();
    write::authentication_ok(&mut out);
    write::parameter_status(&mut out, "application_name", text);
    write::backend_key_data(&mut out, 7, b"seven");
    write::frame(&mut out, ServerTag::RowDescription.byte(), |body| {
        body.extend_from_slice(&[0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0]);
    });
    write::data_row(&mut out, [Some(text.as_bytes()), None].into_iter());
    write::command_complete(&mut out, "SELECT 1");
    Notice::new(Severity::Error, SqlState::SYNTAX_ERROR, text).with_hint(text).write(&mut out);
    write::ready_for_query(&mut out, TransactionStatus::Failed);
    out.to_vec()
}

/// A start-up packet with a text for a parameter.
fn first(text: &str) -> Result<Vec<u8>, enforcer::protocols::postgres::wire::WireError> {
    let mut out = BytesMut::new();
    let options = "-c leasehold.via=grant";
    packet::write_startup(&mut out, &[("user", "me"), ("database", text), ("options", options)])?;
    Ok(out.to_vec())
}

/// A configuration with everything in it, and each of its lines alone.
fn configurations() -> Vec<Vec<u8>> {
    let whole = CONFIGURATION.as_bytes().to_vec();
    let lines = CONFIGURATION.lines().map(|line| format!("gateway name=gw {{\n{line}\n}}\n").into_bytes());
    let without = CONFIGURATION.lines().map(|line| CONFIGURATION.replacen(line, "", 1).into_bytes());
    std::iter::once(whole).chain(lines).chain(without).collect()
}

const CONFIGURATION: &str = r#"/- kdl-version 2
gateway name="gw-1" {
    state "/var/lib/leasehold"
    public-url "https://leasehold.example"
    listen postgres "0.0.0.0:5432" { tls certificate="/tls/crt" key="/tls/key"; }
    listen api "127.0.0.1:8443"
    listen metrics "127.0.0.1:9464"
    repository {
        url "https://forge.example/acme/policy.git"
        branch main
        folder "."
        poll "30s"
        fetch-timeout "20s"
        webhook-secret (file)"/secrets/webhook"
        signers "/etc/leasehold/allowed_signers"
    }
    recording {
        folder "/var/lib/leasehold/recordings"
        durability disk
        free-min "1GiB"
    }
    mask-key (file)"/secrets/mask"
    limits {
        connections 1000
        connections-per-address 64
    }
    drain "30s"
}
"#;

fn collect(folder: &Path, out: &mut Vec<Vec<u8>>) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, out)?;
        } else if path.extension().is_some_and(|extension| extension == "kdl")
            && entry.metadata()?.len() <= SEED_BYTES_MAX
        {
            out.push(fs::read(&path)?);
        }
    }
    Ok(())
}
