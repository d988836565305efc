//! `leasehold catalog export`: the tables and columns of a target, in the form that a policy's `catalog` refers to.
//!
//! It asks the target itself, with an account of the caller's choice, and writes names and types only: never a row.

use crate::core::limits::Limits;
use crate::gateway::credentials::Credentials;
use crate::gateway::tls::UpstreamTls;
use crate::protocols::postgres::ask;
use crate::protocols::postgres::login::{Secret, Terms};
use crate::protocols::postgres::upstream::{self, Address, Target};
use lang::program::rules::{Credential, Tls};
use pgsql::snapshot::{Builder, Catalog, Unexpected, query};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

/// What is asked, and where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The connection that the file is for
    pub connection: String,
    /// The target: host:port
    #[arg(long, value_name = "HOST:PORT")]
    pub address: String,
    /// The database
    #[arg(long)]
    pub database: String,
    /// The account; it needs to see definitions, not rows
    #[arg(long)]
    pub user: String,
    /// The environment variable that holds the account's password
    #[arg(long, value_name = "VARIABLE", default_value = "PGPASSWORD")]
    pub password_env: String,
    /// The certificate authorities of the target, instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "plaintext")]
    pub ca: Option<String>,
    /// Connect without TLS
    #[arg(long)]
    pub plaintext: bool,
    /// Also write every definition that masks rest on into this file, for `leaseholdc provision`
    #[arg(long, value_name = "FILE")]
    pub definitions: Option<PathBuf>,
}

/// Writes the catalog of a target as a policy file.
///
/// # Errors
/// When the target cannot be asked, or `out` does not take what is written.
pub async fn export(args: &Args, out: &mut dyn Write) -> io::Result<u8> {
    let wrong = |sentence: String| io::Error::new(io::ErrorKind::InvalidInput, sentence);
    let address = Address::parse(&args.address).ok_or_else(|| wrong(format!("`{}` is not host:port", args.address)))?;
    let tls = if args.plaintext { Tls::Off } else { Tls::VerifyFull { ca: args.ca.clone() } };
    let credential =
        Credential { source: "env".to_owned(), reference: args.password_env.clone(), user: args.user.clone() };
    let secret = Credentials::new(".").fetch(&credential).map_err(|error| wrong(error.to_string()))?;
    let target = Target {
        address,
        tls: UpstreamTls::from_policy(&tls).map_err(|error| wrong(error.to_string()))?,
        terms: Terms {
            user: args.user.clone(),
            database: args.database.clone(),
            secret: Secret::Password(secret),
            read_only: true,
            application_name: "leasehold catalog export".to_owned(),
            settings: Vec::new(),
            secrets: Vec::new(),
        },
    };
    let limits = Limits::default();
    let mut upstream = Box::pin(upstream::connect(&target, &limits)).await.map_err(|error| wrong(error.to_string()))?;
    let mut target = ask::Ready { stream: &mut upstream.stream, input: &mut upstream.leftover, limits: &limits };
    let (mut builder, mut definitions) = (Builder::default(), String::new());
    let mut take = |values: &[Option<&str>]| {
        definitions.push_str(&serde_json::to_string(values).map_err(|_| Unexpected)?);
        definitions.push('\n');
        builder.row(values)
    };
    let done = target.ask(query::TEXT, &mut take).await;
    done.map_err(|why| wrong(format!("the target's catalog cannot be read: {why}")))?;
    let catalog = builder.build();
    if let Some(file) = &args.definitions {
        std::fs::write(file, definitions)?;
    }
    write(&args.connection, &catalog, out)?;
    Ok(0)
}

/// The tables of a schema, each with its columns and their types.
type Tables<'a> = BTreeMap<&'a str, Vec<(&'a str, &'a str)>>;

/// The catalog in the words of the policy language, in one order whatever the target's.
fn write(connection: &str, catalog: &Catalog, out: &mut dyn Write) -> io::Result<()> {
    let mut schemas: BTreeMap<&str, Tables<'_>> = BTreeMap::new();
    for ((schema, name), relation) in catalog.relations() {
        if schema.starts_with("pg_") || relation.columns.is_empty() {
            continue;
        }
        let columns = relation.columns.iter().map(|column| (column.name.as_ref(), column.kind.as_ref()));
        schemas.entry(schema).or_default().insert(name, columns.collect());
    }
    writeln!(out, "/- kdl-version 2")?;
    writeln!(out, "catalog {} {{", word(connection))?;
    for (schema, tables) in schemas {
        writeln!(out, "    schema {} {{", word(schema))?;
        for (table, columns) in tables {
            writeln!(out, "        table {} {{", word(table))?;
            for (column, kind) in columns {
                writeln!(out, "            column {} type={}", word(column), word(kind))?;
            }
            writeln!(out, "        }}")?;
        }
        writeln!(out, "    }}")?;
    }
    writeln!(out, "}}")
}

/// A word as it stands, or as a quoted text.
fn word(text: &str) -> String {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let reserved = matches!(text, "true" | "false" | "null" | "inf" | "nan" | "-inf");
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if plain && first && !reserved {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.extend(c.escape_unicode()),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_a_catalog_that_the_policy_language_reads() {
        let mut builder = Builder::default();
        let mut row = |values: &[&str]| {
            let values: Vec<Option<&str>> = values.iter().map(|value| Some(*value)).collect();
            builder.row(&values).unwrap();
        };
        row(&["relation", "1", "public", "odd \"name\"", "r", "f", "f", "f", "f", "f", ""]);
        row(&["column", "1", "1", "null", "character varying(20)", "t", "f", "t"]);
        row(&["relation", "2", "public", "customers", "r", "f", "f", "f", "f", "f", ""]);
        row(&["column", "2", "1", "email", "text", "t", "f", "t"]);
        let mut out = Vec::new();
        write("orders-db", &builder.build(), &mut out).unwrap();
        let expected = "/- kdl-version 2\ncatalog orders-db {\n    schema public {\n        table customers {\n            \
                        column email type=text\n        }\n        table \"odd \\\"name\\\"\" {\n            \
                        column \"null\" type=\"character varying(20)\"\n        }\n    }\n}\n";
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, expected);
        assert!(kdl::KdlDocument::parse_v2(&text).is_ok());
    }
}
