//! The inputs that searches of the gateway's parsers begin with: every annotated statement, and messages around it.

use bytes::BytesMut;
use enforcer::protocols::postgres::wire::{
    WireError,
    frame::{ServerTag, Tag as _},
    packet,
    server::TransactionStatus,
    sqlstate::SqlState,
    write::{self, Notice, Severity},
};
use std::{fs, io, path::Path};

/// Statements of SQL.
pub(crate) fn sql(root: &Path) -> io::Result<Vec<Vec<u8>>> {
    Ok(statements(root)?.into_iter().map(String::into_bytes).collect())
}

/// What a client sends to run them.
pub(crate) fn client(root: &Path) -> io::Result<Vec<Vec<u8>>> {
    Ok(statements(root)?.iter().filter_map(|sql| asked(sql).ok()).collect())
}

/// What a server answers.
pub(crate) fn server(root: &Path) -> io::Result<Vec<Vec<u8>>> {
    Ok(statements(root)?.iter().map(|sql| answered(sql)).collect())
}

/// What a client sends first.
pub(crate) fn startup(root: &Path) -> io::Result<Vec<Vec<u8>>> {
    Ok(statements(root)?.iter().filter_map(|name| first(name).ok()).collect())
}

/// Configurations of a gateway: one with everything in it, and each of its lines alone and left out.
#[expect(clippy::unnecessary_wraps, reason = "as the other makers of inputs")]
pub(crate) fn configurations(_root: &Path) -> io::Result<Vec<Vec<u8>>> {
    let whole = CONFIGURATION.as_bytes().to_vec();
    let lines = CONFIGURATION.lines().map(|line| format!("gateway name=gw {{\n{line}\n}}\n").into_bytes());
    let without = CONFIGURATION.lines().map(|line| CONFIGURATION.replacen(line, "", 1).into_bytes());
    Ok(std::iter::once(whole).chain(lines).chain(without).collect())
}

/// Every annotated statement of `fixtures/sql`.
fn statements(root: &Path) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(root.join("fixtures/sql/judged.txt"))?;
    Ok(text.lines().filter_map(|line| line.strip_prefix("> ")).map(str::to_owned).collect())
}

/// A statement in both protocols of a client.
fn asked(sql: &str) -> Result<Vec<u8>, WireError> {
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
fn first(text: &str) -> Result<Vec<u8>, WireError> {
    let mut out = BytesMut::new();
    let options = "-c leasehold.via=grant";
    packet::write_startup(&mut out, &[("user", "me"), ("database", text), ("options", options)])?;
    Ok(out.to_vec())
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
