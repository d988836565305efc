//! From KDL nodes to a [`Config`]: every node is looked at, whatever went wrong before it.

use super::document::{self, Node, Value};
use super::mistake::Findings;
use super::value::{is_branch, is_loopback_host, stays_within};
use super::{Channel, Config, KeyFile, Listener, Origin, Repository, SignIn, TlsFiles, limits};
use kdl::KdlDocument;
use std::path::{Path, PathBuf};
use std::time::Duration;

const CLAUSES: &[&str] =
    &["state", "public-url", "repository", "recording", "mask-key", "sign-in", "graph", "store", "drain", "limits"];
const SIGN_IN: &[&str] = &["client-id", "secret", "cli-client-id", "scope", "resource"];
const REPOSITORY: &[&str] =
    &["url", "branch", "folder", "poll", "fetch-timeout", "webhook-secret", "signers", "require-signed-by", "rewind"];
const MANY: &[&str] = &["listen", "channel"];
const DRAIN: Duration = Duration::from_secs(30);
const POLL_LOCAL: Duration = Duration::from_secs(5);
const POLL_REMOTE: Duration = Duration::from_secs(30);
const FETCH_TIMEOUT: Duration = Duration::from_mins(1);

/// What reading needs.
pub(super) struct Reader<'a> {
    pub(super) base: &'a Path,
    pub(super) exists: &'a dyn Fn(&Path) -> bool,
    pub(super) findings: &'a mut Findings,
}

struct Listeners {
    postgres: Option<Listener>,
    api: Option<Listener>,
    metrics: Option<Listener>,
}

impl Reader<'_> {
    /// The one `gateway` node; `None` when something that every other part needs is missing.
    pub(super) fn gateway(&mut self, document: &KdlDocument) -> Option<Config> {
        let found = document::children(Some(document), "a configuration", &["gateway"], &[], self.findings);
        let Some(gateway) = found.first().copied() else {
            self.findings.whole("the file has no `gateway`", "write `gateway name=\"gw-1\" { … }`");
            return None;
        };
        let [] = gateway.arguments([], self.findings);
        let [name] = gateway.properties(["name"], self.findings);
        if name.is_none() {
            self.findings.error(gateway.place(), "`gateway` needs a name", "write `gateway name=\"gw-1\"`");
        }
        let name = name.and_then(|name| self.name(&name));
        let nodes = gateway.children(CLAUSES, MANY, self.findings);
        let node = |name: &str| nodes.iter().copied().find(|node| node.name() == name);
        let all = |name: &str| nodes.iter().copied().filter(|node| node.name() == name).collect::<Vec<_>>();
        self.cannot(node("graph"), node("store"));
        let state = self.needed(gateway, node("state"), "state \"/var/lib/leasehold\"");
        let state = state.and_then(|value| value.path(self.base, self.findings));
        let listeners = self.listeners(gateway, &all("listen"));
        let public_url = self.public_url(gateway, node("public-url"), listeners.api.as_ref());
        let repository = self.repository(gateway, node("repository"));
        let mask_key = self.given(node("mask-key"));
        let mask_key = mask_key.and_then(|value| self.secret_file(&value));
        let recording = self.recording(node("recording"), state.as_deref());
        let channels = all("channel").into_iter().filter_map(|node| self.channel(node)).collect();
        let sign_in = node("sign-in").map(|node| self.sign_in(node));
        self.signs_in_over_tls(node("sign-in"), public_url.as_deref(), listeners.api.as_ref());
        let drain = self.given(node("drain")).and_then(|value| value.duration(self.findings)).or(|| DRAIN);
        let limits = limits::read(node("limits"), self.findings);
        let state = state?;
        Some(Config {
            name: name?,
            public_url: public_url?,
            postgres: listeners.postgres,
            api: listeners.api,
            metrics: listeners.metrics,
            repository: repository?,
            recording: recording?,
            mask_key: key_file(mask_key, &state, "mask.key")?,
            channels,
            sign_in: match sign_in {
                Some(read) => Some(read?),
                None => None,
            },
            drain: drain?,
            limits,
            state,
        })
    }

    fn name(&mut self, value: &Value<'_>) -> Option<String> {
        let name = value.text(self.findings)?;
        if lang::ident::is_ident(&name) {
            return Some(name);
        }
        let message = format!("`{name}` is not a name");
        self.findings.error(value.place.clone(), message, "lower-case letters, digits and hyphens, a letter first");
        None
    }

    /// What other versions can do and this one refuses or only accepts half.
    fn cannot(&mut self, graph: Option<Node<'_>>, store: Option<Node<'_>>) {
        if let Some(graph) = graph {
            self.findings.error(
                graph.place(),
                "this version cannot resolve groups through Microsoft Graph",
                "remove `graph`; tokens with too many groups are refused (`overage refuse`)",
            );
        }
        let Some(store) = store else { return };
        let engine = store.0.entries().first().and_then(|entry| entry.value().as_string());
        if engine == Some("postgres") {
            let help = "write `store sqlite`, and run one gateway for each state folder";
            self.findings.error(store.place(), "this version keeps its state in SQLite only", help);
        } else if let Some(engine) = self.only_argument(store, "an engine")
            && engine.text(self.findings).is_some_and(|word| word != "sqlite")
        {
            self.findings.error(engine.place, "this is no engine of the store", "write `store sqlite`");
        }
    }

    /// The only argument of a node without properties and children.
    pub(super) fn only_argument<'n>(&mut self, node: Node<'n>, name: &str) -> Option<Value<'n>> {
        let [] = node.properties([], self.findings);
        node.no_children(self.findings);
        let [value] = node.arguments([name], self.findings);
        value
    }

    pub(super) fn given<'n>(&mut self, node: Option<Node<'n>>) -> Given<Value<'n>> {
        match node {
            None => Given::LeftOut,
            Some(node) => self.only_argument(node, "a value").map_or(Given::Mistaken, Given::Value),
        }
    }

    pub(super) fn needed<'n>(&mut self, owner: Node<'_>, node: Option<Node<'n>>, example: &str) -> Option<Value<'n>> {
        let Some(node) = node else {
            let name = example.split(' ').next().unwrap_or_default();
            let message = format!("`{}` needs `{name}`", owner.name());
            self.findings.error(owner.place(), message, format!("write `{example}`"));
            return None;
        };
        self.only_argument(node, "a value")
    }

    fn existing(&mut self, path: PathBuf, value: &Value<'_>) -> Option<PathBuf> {
        if (self.exists)(&path) {
            return Some(path);
        }
        let message = format!("there is no file `{}`", path.display());
        self.findings.error(value.place.clone(), message, "create it, or mend the path");
        None
    }

    pub(super) fn secret_file(&mut self, value: &Value<'_>) -> Option<PathBuf> {
        let path = value.secret_file(self.base, self.findings)?;
        self.existing(path, value)
    }

    fn public_url(&mut self, gateway: Node<'_>, node: Option<Node<'_>>, api: Option<&Listener>) -> Option<String> {
        if let Some(node) = node {
            let value = self.only_argument(node, "a URL")?;
            return value.web_url(self.findings);
        }
        match api {
            Some(api) if api.address.ip().is_loopback() => {
                let scheme = if api.tls.is_some() { "https" } else { "http" };
                Some(format!("{scheme}://{}", api.address))
            }
            Some(_) | None => {
                let help = "write `public-url \"https://access.acme.example\"`: notices and messages carry it";
                self.findings.error(gateway.place(), "`gateway` needs `public-url`", help);
                None
            }
        }
    }

    fn listeners(&mut self, gateway: Node<'_>, nodes: &[Node<'_>]) -> Listeners {
        let mut all = Listeners { postgres: None, api: None, metrics: None };
        let mut taken = Vec::new();
        for node in nodes.iter().copied() {
            let [] = node.properties([], self.findings);
            let [what, address] = node.arguments(["what listens", "an address"], self.findings);
            let (Some(what), Some(address)) = (what, address) else { continue };
            let Some(word) = what.text(self.findings) else { continue };
            let Some(listener) = self.listener(node, &address) else { continue };
            if listener.address.port() != 0 && taken.contains(&listener.address) {
                self.findings.error(address.place.clone(), "two listeners share one address", "choose another port");
            }
            taken.push(listener.address);
            let slot = match word.as_str() {
                "postgres" => &mut all.postgres,
                "api" => &mut all.api,
                "metrics" => &mut all.metrics,
                _ => {
                    let message = format!("`{word}` is nothing that listens");
                    self.findings.error(what.place, message, "known here: postgres, api, metrics");
                    continue;
                }
            };
            if slot.replace(listener).is_some() {
                self.findings.error(what.place, format!("`listen {word}` stands twice"), "keep one of the two");
            }
        }
        if nodes.is_empty() {
            let help = "write `listen postgres \"127.0.0.1:5432\"` and `listen api \"127.0.0.1:8443\"`";
            self.findings.error(gateway.place(), "the gateway listens nowhere", help);
        }
        all
    }

    fn listener(&mut self, node: Node<'_>, address: &Value<'_>) -> Option<Listener> {
        let parsed = address.address(self.findings);
        let clauses = node.children(&["tls"], &[], self.findings);
        let Some(tls) = clauses.first().copied() else {
            let parsed = parsed?;
            if !parsed.ip().is_loopback() {
                let help = "write `{ tls certificate=\"…\" key=\"…\"; }`, or listen on 127.0.0.1";
                let message = "a listener beyond this machine needs TLS: tokens pass over it";
                self.findings.error(address.place.clone(), message, help);
                return None;
            }
            return Some(Listener { address: parsed, tls: None });
        };
        let [] = tls.arguments([], self.findings);
        tls.no_children(self.findings);
        let [certificate, key] = tls.properties(["certificate", "key"], self.findings);
        if certificate.is_none() || key.is_none() {
            let help = "write `tls certificate=\"/path\" key=\"/path\"`";
            self.findings.error(tls.place(), "`tls` needs a certificate and a key", help);
        }
        let mut file = |value: Option<Value<'_>>| {
            let value = value?;
            let path = value.path(self.base, self.findings)?;
            self.existing(path, &value)
        };
        let (certificate, key) = (file(certificate), file(key));
        Some(Listener { address: parsed?, tls: Some(TlsFiles { certificate: certificate?, key: key? }) })
    }

    fn repository(&mut self, gateway: Node<'_>, node: Option<Node<'_>>) -> Option<Repository> {
        let Some(node) = node else {
            let help = "write `repository { url \"/srv/policy.git\"; branch main; }`";
            self.findings.error(gateway.place(), "`gateway` needs `repository`", help);
            return None;
        };
        let [] = node.arguments([], self.findings);
        let [] = node.properties([], self.findings);
        let nodes = node.children(REPOSITORY, &[], self.findings);
        let clause = |name: &str| nodes.iter().copied().find(|node| node.name() == name);
        let origin = self.needed(node, clause("url"), "url \"/srv/policy.git\"");
        let origin = origin.and_then(|value| self.origin(&value));
        let branch = self.needed(node, clause("branch"), "branch main").and_then(|value| {
            self.checked(&value, is_branch, "is not a branch", "write the branch's short name, for example `main`")
        });
        let mut given = |name: &str| self.given(clause(name));
        let (folder, poll, timeout) = (given("folder"), given("poll"), given("fetch-timeout"));
        let (secret, signers, rewind) = (given("webhook-secret"), given("signers"), given("rewind"));
        let required = given("require-signed-by");
        let folder = folder.and_then(|value| {
            let within = |path: &str| stays_within(Path::new(path));
            self.checked(&value, within, "leaves the repository", "write a folder of the repository")
        });
        let poll = poll.and_then(|value| value.duration(self.findings));
        let timeout = timeout.and_then(|value| value.duration(self.findings));
        let webhook_secret = secret.and_then(|value| self.secret_file(&value));
        let mut file = |value: Value<'_>| {
            let path = value.path(self.base, self.findings)?;
            self.existing(path, &value)
        };
        let (signers, required) = (signers.and_then(&mut file), required.and_then(&mut file));
        let rewind = rewind.and_then(|value| {
            let is_commit = |text: &str| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            self.checked(&value, is_commit, "is not a commit", "write all 40 hexadecimal digits of the commit")
        });
        let origin = origin?;
        let usual_poll = match origin {
            Origin::Local(_) => POLL_LOCAL,
            Origin::Remote(_) => POLL_REMOTE,
        };
        Some(Repository {
            branch: branch?,
            folder: folder.map(|folder| normal_folder(&folder)).or(String::new)?,
            poll: poll.or(|| usual_poll)?,
            fetch_timeout: timeout.or(|| FETCH_TIMEOUT)?,
            webhook_secret: webhook_secret.map(Some).or(|| None)?,
            signers: signers.map(Some).or(|| None)?,
            require_signed_by: required.map(Some).or(|| None)?,
            rewind: rewind.map(|commit| Some(commit.to_ascii_lowercase())).or(|| None)?,
            origin,
        })
    }

    fn checked(&mut self, value: &Value<'_>, fits: impl Fn(&str) -> bool, what: &str, help: &str) -> Option<String> {
        let text = value.text(self.findings)?;
        if fits(&text) {
            return Some(text);
        }
        self.findings.error(value.place.clone(), format!("`{text}` {what}"), help);
        None
    }

    /// A path, an https or ssh URL, or the short ssh form. Transports without authentication of the server, helpers
    /// that run programs, and secrets in the URL are refused.
    fn origin(&mut self, value: &Value<'_>) -> Option<Origin> {
        let text = value.text(self.findings)?;
        let mut refuse = |message: &str, help: &str| {
            self.findings.error(value.place.clone(), message, help);
            None
        };
        if text.starts_with('-') || text.contains("::") {
            return refuse("this is not a repository", "write a path, or an https or ssh URL");
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let (user, host) = host.rsplit_once('@').unwrap_or(("", host));
            if user.contains(':') || (!user.is_empty() && scheme != "ssh") {
                return refuse("a secret never stands in the configuration", "let git's credential helper hold it");
            }
            let name = host.split(':').next().unwrap_or_default();
            return match scheme {
                "file" => Some(Origin::Local(PathBuf::from(rest))),
                "https" | "ssh" if !name.is_empty() && !name.starts_with('-') => Some(Origin::Remote(text)),
                "http" if is_loopback_host(name) => Some(Origin::Remote(text)),
                _ => refuse("this transport does not prove who the server is", "write an https or ssh URL, or a path"),
            };
        }
        let is_short_ssh = text.split_once(':').is_some_and(|(host, _)| !host.contains('/'));
        if is_short_ssh { Some(Origin::Remote(text)) } else { Some(Origin::Local(self.base.join(text))) }
    }

    /// Cookies are kept from plain HTTP by the scheme of the public address: beyond this machine it is https.
    fn signs_in_over_tls(&mut self, sign_in: Option<Node<'_>>, public_url: Option<&str>, api: Option<&Listener>) {
        let beyond = api.is_some_and(|api| !api.address.ip().is_loopback());
        let plain = public_url.is_some_and(|url| !url.starts_with("https://"));
        if let Some(node) = sign_in.filter(|_| beyond && plain) {
            let help = "write `public-url \"https://…\"`, or let the api listen on 127.0.0.1";
            self.findings.error(node.place(), "people sign in over https only, and `public-url` is http", help);
        }
    }

    fn sign_in(&mut self, node: Node<'_>) -> Option<SignIn> {
        let [idp] = node.arguments(["the name of an idp of the policy"], self.findings);
        let [] = node.properties([], self.findings);
        let nodes = node.children(SIGN_IN, &[], self.findings);
        let clause = |name: &str| nodes.iter().copied().find(|node| node.name() == name);
        let client_id = self.needed(node, clause("client-id"), "client-id \"…\"");
        let client_id = client_id.and_then(|value| value.text(self.findings));
        let mut given = |name: &str| self.given(clause(name));
        let (secret, cli, scope, resource) =
            (given("secret"), given("cli-client-id"), given("scope"), given("resource"));
        let secret = secret.and_then(|value| self.secret_file(&value));
        let cli = cli.and_then(|value| value.text(self.findings));
        let scope = scope.and_then(|value| value.text(self.findings));
        let resource = resource.and_then(|value| value.text(self.findings));
        let idp = idp.and_then(|value| value.text(self.findings));
        Some(SignIn {
            idp: idp?,
            client_id: client_id?,
            secret: secret.map(Some).or(|| None)?,
            cli_client_id: cli.map(Some).or(|| None)?,
            scope: scope.or(|| "openid".to_owned())?,
            resource: resource.map(Some).or(|| None)?,
        })
    }

    fn channel(&mut self, node: Node<'_>) -> Option<Channel> {
        node.no_children(self.findings);
        let [name] = node.arguments(["a name"], self.findings);
        let [webhook, secret] = node.properties(["webhook", "secret"], self.findings);
        if webhook.is_none() {
            let help = "write `channel \"security\" webhook=\"https://…\"`";
            self.findings.error(node.place(), "`channel` needs a webhook", help);
        }
        let name = name.and_then(|value| value.text(self.findings));
        let webhook = webhook.and_then(|value| value.web_url(self.findings));
        let secret = secret.map_or(Given::LeftOut, Given::Value).and_then(|value| self.secret_file(&value));
        Some(Channel { name: name?, webhook: webhook?, secret: secret.map(Some).or(|| None)? })
    }
}

/// A clause that may be left out.
pub(super) enum Given<T> {
    LeftOut,
    Mistaken,
    Value(T),
}

impl<T> Given<T> {
    pub(super) fn and_then<U>(self, read: impl FnOnce(T) -> Option<U>) -> Given<U> {
        match self {
            Self::LeftOut => Given::LeftOut,
            Self::Mistaken => Given::Mistaken,
            Self::Value(value) => read(value).map_or(Given::Mistaken, Given::Value),
        }
    }

    /// The value, or the default; `None` after a mistake.
    pub(super) fn or(self, default: impl FnOnce() -> T) -> Option<T> {
        match self {
            Self::LeftOut => Some(default()),
            Self::Mistaken => None,
            Self::Value(value) => Some(value),
        }
    }

    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Given<U> {
        self.and_then(|value| Some(change(value)))
    }
}

pub(super) fn key_file(given: Given<PathBuf>, state: &Path, name: &str) -> Option<KeyFile> {
    let configured = given.map(|file| KeyFile { file, create: false });
    configured.or(|| KeyFile { file: state.join(name), create: true })
}

fn normal_folder(folder: &str) -> String {
    let parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}
