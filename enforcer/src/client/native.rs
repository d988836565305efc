//! `leasehold connect`: asks for access where there is none, and becomes the native client with a token.

use super::connect::{Api, Connect, Failure};
use crate::api::view::{Endpoint, Reachables, Window};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Whether access is there already: a standing grant, or an open window.
pub(super) async fn reachable(api: &Api, connection: &str, via: Option<&str>) -> Result<bool, Failure> {
    let query = [("connection", connection.to_owned())];
    let found: Reachables = api.get(&["v1", "access"], &query).await?;
    let standing = found
        .connections
        .iter()
        .flat_map(|reachable| &reachable.grants)
        .any(|grant| grant.mode == "standing" && via.is_none_or(|via| via == grant.grant));
    if standing {
        return Ok(true);
    }
    let query = [
        ("connection", connection.to_owned()),
        ("mine", "true".to_owned()),
        ("state", "open".to_owned()),
        ("limit", "200".to_owned()),
    ];
    let windows: crate::api::view::List<Window> = api.get(&["v1", "windows"], &query).await?;
    Ok(windows.items.iter().any(|window| via.is_none_or(|via| via == window.grant)))
}

/// Becomes psql. Comes back only when that is not possible.
pub(super) async fn psql(
    api: &Api,
    connect: &Connect,
    connection: &str,
    via: Option<&str>,
    arguments: &[String],
) -> Result<u8, Failure> {
    let query = [("connection", connection.to_owned())];
    let found: Reachables = api.get(&["v1", "access"], &query).await?;
    let kind = found.connections.first().map(|reachable| reachable.kind.clone()).unwrap_or_default();
    let endpoint = found
        .postgres
        .filter(|_| kind == "postgres")
        .ok_or_else(|| Failure::Usage(format!("this gateway does not serve `{connection}` to psql")))?;
    let mut command = Command::new("psql");
    command.arg(conninfo(&endpoint, connection, via, connect)).args(arguments);
    // The environment of a process is its user's alone; an argument would be everybody's.
    command.env("PGPASSWORD", api.token());
    let error = command.exec();
    Err(Failure::Usage(format!("cannot run psql: {error}; install the PostgreSQL client")))
}

fn conninfo(endpoint: &Endpoint, connection: &str, via: Option<&str>, connect: &Connect) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let database = via.map_or_else(|| connection.to_owned(), |via| format!("{connection}/{via}"));
    let mut text = format!(
        "host={} port={} dbname={} user=leasehold application_name=leasehold",
        quote(&endpoint.host),
        endpoint.port,
        quote(&database)
    );
    if endpoint.tls {
        let roots = connect.ca.as_ref().map_or_else(|| "system".to_owned(), |file| file.display().to_string());
        text.push_str(" sslmode=verify-full sslrootcert=");
        text.push_str(&quote(&roots));
    } else {
        // The gateway takes a token without TLS on this machine only.
        text.push_str(" sslmode=disable");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_holds_no_token_and_quotes_what_it_is_given() {
        let endpoint = Endpoint { host: "gw.example".to_owned(), port: 5432, tls: true };
        let connect = Connect { url: None, token_file: None, ca: Some("/a b/ca.pem".into()) };
        let text = conninfo(&endpoint, "db", Some("o'x"), &connect);
        assert_eq!(
            text,
            "host='gw.example' port=5432 dbname='db/o\\'x' user=leasehold application_name=leasehold \
             sslmode=verify-full sslrootcert='/a b/ca.pem'"
        );
    }
}
