//! A served API: a stand-in identity provider, a policy, a store, a recorder, and people with tokens.

use crate::access::world::{self, Folder, opened};
use crate::identity::provider::{Key, Provider, with};
use enforcer::access::activation::Activation;
use enforcer::access::{Access, Asking};
use enforcer::api;
use enforcer::core::id::SessionId;
use enforcer::core::identity::Identity;
use enforcer::core::limits::Limits;
use enforcer::core::machine::{Cause, Close};
use enforcer::gateway::clock;
use enforcer::gateway::live::Live;
use enforcer::gateway::policy::{self, Publisher};
use enforcer::gitops::Nudge;
use enforcer::gitops::webhook::Webhook;
use enforcer::identity::Verifier;
use enforcer::recording::{Recorder, Settings, SigningKey};
use enforcer::store::sqlite::Sqlite;
use enforcer::store::{Attempt, NoticeState, Page, Request, Window};
use lang::program::rules::{Recorded, Rules};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// The callers of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Owns everything that there is.
    Owner,
    /// May decide the pending request.
    Approver,
    /// Approver as well, and `operate … replay requests policy hold`.
    Auditor,
    /// `operate … revoke watch`.
    Controller,
    /// Holds the owner's grants and owns nothing.
    Colleague,
    /// Holds no group.
    Stranger,
    /// An agent, whose group an `operate` names in vain.
    Agent,
    /// A service.
    Service,
    /// Sends no token.
    Anonymous,
    /// Sends a token that was good an hour ago.
    Expired,
}

impl Role {
    pub(super) const ALL: [Self; 10] = [
        Self::Owner,
        Self::Approver,
        Self::Auditor,
        Self::Controller,
        Self::Colleague,
        Self::Stranger,
        Self::Agent,
        Self::Service,
        Self::Anonymous,
        Self::Expired,
    ];
}

/// A GUID that stands for a name.
pub(super) fn guid(name: &str) -> String {
    let hex: String = name.bytes().cycle().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

/// The test's policy, with the stand-in as its idp.
pub(super) fn rules(provider: &Provider) -> Rules {
    let mut rules = world::rules();
    rules.idps = vec![provider.entra()];
    for group in &mut rules.groups {
        group.idp = "entra".to_owned();
        group.ids = vec![guid(&group.name)];
    }
    rules.grants.iter_mut().for_each(|grant| grant.mfa = false);
    rules
}

/// What every served API of a test shares.
#[derive(Clone)]
pub(super) struct Idp {
    pub(super) provider: Provider,
    key: Arc<Key>,
}

impl Idp {
    pub(super) async fn start() -> Self {
        let key = Key::rsa("k1");
        let provider = Provider::start(&[&key]).await;
        Self { provider, key: Arc::new(key) }
    }

    /// An access token for a role; none for those who have none.
    pub(super) fn token(&self, role: Role) -> Option<String> {
        let person = |name: &str, groups: &[&str]| Some(self.person(name, groups));
        match role {
            Role::Owner => person("dana", &["devs"]),
            Role::Approver => person("lea", &["leads"]),
            Role::Auditor => person("sam", &["security"]),
            Role::Controller => person("olga", &["oncall"]),
            Role::Colleague => person("eve", &["devs"]),
            Role::Stranger => person("x", &[]),
            Role::Agent => Some(self.application("bot", "agents")),
            Role::Service => Some(self.application("svc", "runners")),
            Role::Anonymous => None,
            Role::Expired => {
                let now = clock::wall().unix_ms() / 1000;
                Some(self.sign("dana", &json!({"groups": [guid("devs")], "iat": now - 7200, "exp": now - 3600})))
            }
        }
    }

    pub(super) fn person(&self, name: &str, groups: &[&str]) -> String {
        let groups: Vec<String> = groups.iter().map(|group| guid(group)).collect();
        self.sign(name, &json!({ "groups": groups, "name": name }))
    }

    fn application(&self, name: &str, group: &str) -> String {
        let changes = json!({"scp": null, "name": null, "idtyp": "app", "groups": [guid(group)]});
        self.sign(name, &changes)
    }

    fn sign(&self, name: &str, changes: &Value) -> String {
        let now = clock::wall().unix_ms() / 1000;
        let times = json!({"iat": now - 5, "nbf": now - 5, "exp": now + 3600, "oid": guid(name)});
        let claims = with(with(self.provider.person(), &times), &json!({"nbf": now - 8000}));
        self.key.token(&with(claims, changes))
    }
}

/// One served API with things of `dana` in it.
pub(super) struct Bench {
    pub(super) idp: Idp,
    pub(super) url: String,
    pub(super) access: Access,
    pub(super) live: Live,
    pub(super) publisher: Publisher,
    pub(super) recorder: Recorder,
    pub(super) folder: Folder,
    pub(super) http: reqwest::Client,
    pub(super) hints: mpsc::Receiver<()>,
    stop: watch::Sender<bool>,
    verifier: Verifier,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // A server that is gone already has stopped.
        let _ = self.stop.send(true);
    }
}

/// A plain client: the tests' calls never leave this machine.
pub(super) fn http() -> reqwest::Client {
    let config = rustls::ClientConfig::builder_with_provider(enforcer::gateway::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy().build().unwrap()
}

impl Bench {
    pub(super) async fn start(idp: &Idp, http: &reqwest::Client) -> Self {
        Self::start_with(idp, http, None, &Limits::default()).await
    }

    pub(super) async fn start_with(
        idp: &Idp,
        http: &reqwest::Client,
        tls: Option<Arc<rustls::ServerConfig>>,
        limits: &Limits,
    ) -> Self {
        let folder = Folder::new();
        let store = Arc::new(Sqlite::open(&folder.path().join("state.db")).unwrap());
        let (publisher, policy) = policy::channel();
        publisher.update(|state| state.active = Some(world::active(rules(&idp.provider), "c1")));
        let live = Live::default();
        let access = Access::new(store, policy.clone(), live.clone(), "gw-1");
        let settings = Settings::new(folder.path().join("recordings"));
        let recorder = Recorder::new(settings, SigningKey::from_seed(&[7; 32])).unwrap();
        let verifier = Verifier::new().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://localhost:{}", listener.local_addr().unwrap().port());
        let (stop, stopped) = watch::channel(false);
        let (nudge, hints) = Nudge::channel();
        std::fs::write(folder.path().join("hook"), "a secret of the forge\n").unwrap();
        let webhook = Some(Webhook::new(&folder.path().join("hook"), nudge).unwrap());
        let state = api::State {
            access: access.clone(),
            verifier: verifier.clone(),
            policy,
            live: live.clone(),
            recorder: recorder.clone(),
            public_url: url.clone(),
            rates: api::rate::Rates::new(limits),
            postgres: None,
            sign_in: None,
            webhook,
        };
        tokio::spawn(api::serve(listener, tls, api::router(&state), stopped));
        let http = http.clone();
        Self { idp: idp.clone(), url, access, live, publisher, recorder, folder, http, hints, stop, verifier }
    }

    /// Who a token says somebody is.
    pub(super) async fn identity(&self, role: Role) -> Identity {
        self.bearer(self.idp.token(role).unwrap()).await
    }

    async fn bearer(&self, token: String) -> Identity {
        let program = world::active(rules(&self.idp.provider), "c1");
        self.verifier.verify(&program.program, &SecretString::from(token), clock::wall()).await.unwrap()
    }

    /// Dana's: a request that waits, a window that is open, a session in it with a recording.
    pub(super) async fn furnish(&self) -> (Request, Window, SessionId) {
        let owner = self.identity(Role::Owner).await;
        let ledger = Asking {
            connection: "ledger".to_owned(),
            reason: Some("totals".to_owned()),
            ticket: Some("INC-1".to_owned()),
            ..Asking::default()
        };
        let request = self.access.request(&owner, ledger, None, clock::now()).await.unwrap().request.unwrap();
        let long = Asking { connection: "long".to_owned(), reason: Some("slow".to_owned()), ..Asking::default() };
        let window = self.access.request(&owner, long, None, clock::now()).await.unwrap().window.unwrap();
        let session = SessionId::from_random([9; 10]);
        let opened = opened(&session, &window);
        let mut recording = self.recorder.open(window.started, opened.clone(), Recorded::Full).unwrap();
        let close = Close { cause: Cause::Client, sentence: "bye".to_owned() };
        recording.close(window.started, &close).unwrap();
        self.access.session_opened(&opened, clock::now()).await.unwrap();
        (request, window, session)
    }

    /// A second one of everything that is listed, as far as the first were furnished.
    pub(super) async fn furnish_more(&self) {
        let mut rules = rules(&self.idp.provider);
        for glass in rules.grants.iter_mut().filter_map(|grant| grant.break_glass.as_mut()) {
            glass.notify = vec!["security".to_owned()];
        }
        let before = world::active(rules.clone(), "c1");
        let active = world::active(rules, "c2");
        self.access.announce_to(["security".to_owned()]);
        self.publisher.update(|state| state.active = Some(active.clone()));
        for (before, active) in [(None, before.clone()), (Some(before), active)] {
            assert!(self.access.note_activation(&Activation { before, active }, &[]).await.unwrap());
        }
        let ask = async |token: String, connection: &str, via: Option<&str>| {
            let asking = Asking {
                connection: connection.to_owned(),
                via: via.map(str::to_owned),
                reason: Some("more".to_owned()),
                ..Asking::default()
            };
            self.access.request(&self.bearer(token).await, asking, None, clock::now()).await.unwrap().window.unwrap()
        };
        for name in ["olga", "otto"] {
            ask(self.idp.person(name, &["oncall"]), "ledger", Some("fire")).await;
        }
        let store = self.access.store();
        for notice in store.notices(NoticeState::Waiting, Page::first(10)).await.unwrap() {
            store.notice_attempted(notice.id, Attempt::Dead { error: "410 Gone".to_owned() }).await.unwrap();
        }
        let window = ask(self.idp.token(Role::Colleague).unwrap(), "long", None).await;
        self.access.session_opened(&opened(&SessionId::from_random([8; 10]), &window), clock::now()).await.unwrap();
    }

    pub(super) async fn send(
        &self,
        role: Role,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (u16, reqwest::header::HeaderMap, Vec<u8>) {
        let mut call = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        if let Some(token) = self.idp.token(role) {
            call = call.bearer_auth(token);
        }
        if let Some(body) = body {
            call = call.header("content-type", "application/json").body(body.to_string());
        }
        let answer = call.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        (status, headers, answer.bytes().await.unwrap().to_vec())
    }

    pub(super) async fn json(&self, role: Role, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let (status, _, bytes) = self.send(role, method, path, body).await;
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&bytes))),
        )
    }
}
