//! Where recordings go and their keys come from, for live runs: an S3 of moto, a Blob storage of Azurite, and
//! `bao` for keys.

use crate::command::must;
use crate::fault::{Doing as _, Outcome, ensure};
use crate::http;
use crate::service::{Plan, Service, free_port, secret};
use crate::tools::{self, Places};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The bucket or container of a run.
pub const BUCKET: &str = "recordings";
/// Azurite's own account, which its documentation publishes with its key.
pub const AZURITE_ACCOUNT: &str = "devstoreaccount1";
/// The key of [`AZURITE_ACCOUNT`].
pub const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A server that speaks S3. What it holds goes with it.
#[derive(Debug)]
pub struct S3 {
    /// Its port on 127.0.0.1.
    pub port: u16,
    service: Service,
}

impl S3 {
    /// Starts one on a port of the caller's choice, with an empty bucket.
    pub fn start_on(places: &Places, folder: &Path, port: u16) -> Outcome<Self> {
        let mut command = Command::new(places.tools().join("venv/bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let plan = Plan { name: "s3", command, folder, stop_signal: "TERM", user: None, remove: None };
        let service = Service::start(&plan)?;
        service.ready_when(Duration::from_mins(1), || http::get(port, "/", None).ok().map(|_| ()))?;
        let made = http::put(port, &format!("/{BUCKET}"), &[], "")?;
        ensure(made.status == 200, || format!("no bucket: {} {}", made.status, made.body))?;
        Ok(Self { port, service })
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.service.stop();
    }
}

/// A server that speaks Azure's Blob storage.
#[derive(Debug)]
pub struct Blob {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Ends with this value.
    pub service: Service,
}

impl Blob {
    /// Starts one; the container is the caller's to make, with a signed request.
    pub fn start(places: &Places, folder: &Path) -> Outcome<Self> {
        let port = free_port()?;
        let mut command = Command::new(tools::node()?);
        command.arg(places.root.join("tests/stores/node_modules/azurite/dist/src/blob/main.js"));
        command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--silent", "--disableTelemetry"]);
        command.args(["--skipApiVersionCheck", "--location"]).arg(folder.join("blob"));
        let plan = Plan { name: "blob", command, folder, stop_signal: "TERM", user: None, remove: None };
        let service = Service::start(&plan)?;
        service.ready_when(Duration::from_mins(1), || http::get(port, "/", None).ok().map(|_| ()))?;
        Ok(Self { port, service })
    }

    /// The account's address.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{AZURITE_ACCOUNT}", self.port)
    }
}

/// A key service: `bao` with a transit key, and two tokens.
#[derive(Debug)]
pub struct Vault {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// A token that may only wrap keys: the gateway's.
    pub encrypt_token: String,
    /// A token that may only unwrap them: an auditor's.
    pub decrypt_token: String,
    root: String,
    service: Service,
}

impl Vault {
    /// Starts one that keeps everything in memory.
    pub fn start(places: &Places, folder: &Path) -> Outcome<Self> {
        let (port, root) = (free_port()?, secret()?);
        let mut command = Command::new(places.tools().join("venv/bin/bao"));
        command.args(["server", "-dev", "-dev-no-store-token"]);
        command.arg(format!("-dev-listen-address=127.0.0.1:{port}")).env("BAO_DEV_ROOT_TOKEN_ID", &root);
        let plan = Plan { name: "bao", command, folder, stop_signal: "TERM", user: None, remove: None };
        let service = Service::start(&plan)?;
        service.ready_when(Duration::from_mins(1), || {
            http::get(port, "/v1/sys/health", None).ok().filter(|answer| answer.status == 200).map(|_| ())
        })?;
        let mut vault = Self { port, encrypt_token: String::new(), decrypt_token: String::new(), root, service };
        vault.ask("PUT", "/v1/sys/mounts/transit", &json!({ "type": "transit" }))?;
        vault.ask("PUT", "/v1/transit/keys/recordings", &json!({}))?;
        vault.encrypt_token = vault.token_for("encrypt")?;
        vault.decrypt_token = vault.token_for("decrypt")?;
        Ok(vault)
    }

    fn token_for(&self, verb: &str) -> Outcome<String> {
        let policy = format!("path \"transit/{verb}/recordings\" {{ capabilities = [\"update\"] }}");
        self.ask("PUT", &format!("/v1/sys/policies/acl/{verb}"), &json!({ "policy": policy }))?;
        let made = self.ask("PUT", "/v1/auth/token/create", &json!({ "policies": [verb], "ttl": "1h" }))?;
        let token = made.pointer("/auth/client_token").and_then(serde_json::Value::as_str).unwrap_or_default();
        ensure(!token.is_empty(), || "the key service gave no token".to_owned())?;
        Ok(token.to_owned())
    }

    fn ask(&self, method: &str, path: &str, body: &serde_json::Value) -> Outcome<serde_json::Value> {
        let token = [("X-Vault-Token", self.root.as_str())];
        let answer = http::send_with(self.port, method, path, &token, &body.to_string())?;
        ensure(matches!(answer.status, 200 | 204), || format!("{path}: {} {}", answer.status, answer.body))?;
        if answer.body.is_empty() { Ok(json!({})) } else { answer.json() }
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.service.stop();
    }

    /// The program's version, which shows that it runs here.
    pub fn version(places: &Places) -> Outcome<String> {
        Ok(must(Command::new(places.tools().join("venv/bin/bao")).arg("version"))?.out)
    }
}

/// Writes a file that only its owner may read.
pub fn private_file(path: &Path, text: &str) -> Outcome<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).doing(|| format!("cannot write {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .doing(|| format!("cannot close {}", path.display()))
}
