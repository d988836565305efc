//! The development identity provider (`tests/idp/dev`): started, asked for tokens, told to rotate its keys.

use crate::cast::Person;
use crate::fault::{Doing as _, Fault, Outcome, ensure};
use crate::http;
use crate::service::{Plan, Service};
use crate::tools::{self, Places};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The tenant of the example policies.
pub const TENANT: &str = "9d1f0000-0000-4000-8000-000000000001";
/// The audience of the example policies.
pub const AUDIENCE: &str = "api://access-gateway";

/// A running identity provider for development.
#[derive(Debug)]
pub struct Idp {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// `http://127.0.0.1:PORT`.
    pub authority: String,
    service: Service,
}

impl Idp {
    /// Starts one.
    pub fn start(places: &Places, folder: &Path) -> Outcome<Self> {
        Self::start_on(places, folder, 0)
    }

    /// Starts one on a port of the caller's choice.
    pub fn start_on(places: &Places, folder: &Path, port: u16) -> Outcome<Self> {
        let mut command = Command::new(tools::node()?);
        command.arg(places.root.join("tests/idp/dev/server.mjs"));
        command.args(["--port", &port.to_string(), "--tenant", TENANT, "--audience", AUDIENCE]);
        let plan = Plan { name: "idp", command, folder, stop_signal: "TERM", user: None, remove: None };
        let service = Service::start(&plan)?;
        let said = service.ready_when(Duration::from_secs(30), || first_line_json(&service.said()))?;
        let port = said
            .get("port")
            .and_then(Value::as_u64)
            .and_then(|port| u16::try_from(port).ok())
            .ok_or_else(|| Fault::new("the identity provider named no port"))?;
        Ok(Self { port, authority: format!("http://127.0.0.1:{port}"), service })
    }

    /// A token for a person, with everything as it should be.
    pub fn token(&self, person: &Person, lifetime_seconds: u64) -> Outcome<String> {
        let mut ask = person.claims();
        if let Some(ask) = ask.as_object_mut() {
            ask.insert("lifetime".to_owned(), json!(lifetime_seconds));
        }
        self.mint(&ask)
    }

    /// A token exactly as asked, right or wrong.
    pub fn mint(&self, ask: &Value) -> Outcome<String> {
        let answer = http::post(self.port, "/mint", None, ask)?;
        ensure(answer.status == 200, || format!("the identity provider refused: {}", answer.body))?;
        let body = answer.json()?;
        body.get("access_token")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| Fault::new("the identity provider gave no token"))
    }

    /// A new signing key; the old ones stay published, or not.
    pub fn rotate(&self, keep: bool) -> Outcome<()> {
        let answer = http::post(self.port, "/rotate", None, &json!({ "keep": keep }))?;
        ensure(answer.status == 200, || format!("no rotation: {}", answer.body))
    }

    /// Ends it, for tests of a provider that cannot be reached.
    pub fn stop(&mut self) {
        self.service.stop();
    }
}

/// A certified provider (npm `oidc-provider`), for tests.
#[derive(Debug)]
pub struct CertifiedProvider {
    /// `http://127.0.0.1:PORT`.
    pub authority: String,
    /// Where client credentials become tokens.
    pub token_endpoint: String,
    service: Service,
}

impl CertifiedProvider {
    /// Starts one with the given clients; see `tests/idp/oidc-provider/server.mjs` for their shape.
    pub fn start(places: &Places, folder: &Path, clients: &Value) -> Outcome<Self> {
        let config = folder.join("oidc-provider.json");
        let text = json!({ "tenant": TENANT, "audience": AUDIENCE, "port": 0, "clients": clients }).to_string();
        std::fs::write(&config, text).doing(|| format!("cannot write {}", config.display()))?;
        let mut command = Command::new(tools::node()?);
        command.arg(places.root.join("tests/idp/oidc-provider/server.mjs")).arg(&config);
        let plan = Plan { name: "oidc-provider", command, folder, stop_signal: "TERM", user: None, remove: None };
        let service = Service::start(&plan)?;
        let said = service.ready_when(Duration::from_mins(1), || first_line_json(&service.said()))?;
        let text = |key: &str| {
            said.get(key).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| Fault::new(format!("no {key}")))
        };
        Ok(Self { authority: text("authority")?, token_endpoint: text("token_endpoint")?, service })
    }

    /// A token by the client credentials grant.
    pub fn token(&self, client: &str, secret: &str) -> Outcome<String> {
        let rest = self.token_endpoint.strip_prefix("http://127.0.0.1:").unwrap_or_default();
        let (port, path) =
            rest.split_once('/').ok_or_else(|| Fault::new("the token endpoint is no loopback address"))?;
        let port = port.parse().doing(|| "the token endpoint's port".to_owned())?;
        let form = format!("grant_type=client_credentials&client_id={client}&client_secret={secret}&scope=access");
        let answer = http::post_form(port, &format!("/{path}"), &form)?;
        let body = answer.json()?;
        body.get("access_token")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| Fault::new(format!("the provider gave no token: {body}")))
    }

    /// The server's process id.
    pub const fn pid(&self) -> u32 {
        self.service.pid()
    }
}

fn first_line_json(said: &str) -> Option<Value> {
    said.lines().find_map(|line| serde_json::from_str::<Value>(line).ok().filter(Value::is_object))
}
