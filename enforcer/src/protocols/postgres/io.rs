//! One PostgreSQL connection from accept to end. The only file of the protocol, beside the handshakes, that awaits.
//!
//! The order is the guarantee: identity, grant, window, credential, recording, and only then AuthenticationOk.

use super::ask;
use super::cancel::{self, Route};
use super::classify::{Texts, reads_only};
use super::login::{Secret, Terms};
use super::machine::{self, Parts};
use super::masking::{self, CATALOG_MS_MAX, Known};
use super::roles::SessionRole;
use super::startup::{self, Arrival, Door, Login, Provider, Providers};
use super::upstream::{self, Address, Target, Upstream};
use super::wire::write::{self, Notice};
use super::{reply, verdict};
use crate::core::event::{Event, Opened};
use crate::core::id::SessionId;
use crate::core::lease::{ClientFacts, Lease};
use crate::core::machine::{Cause, Close};
use crate::gateway::hold::Keeper;
use crate::gateway::live::Facts;
use crate::gateway::policy::Staleness;
use crate::gateway::pump::{self, Durable, Recording};
use crate::gateway::shared::Shared;
use crate::gateway::stream::Stream;
use crate::gateway::tls::UpstreamTls;
use crate::gateway::{clock, metrics::Metrics};
use crate::identity::issuer;
use crate::recording::{Pending, RecorderError, SessionRecorder};
use bytes::BytesMut;
use lang::program::enforced;
use lang::program::rules::Connection;
use lang::protocol::ConnectionKind;
use lang::time::Timestamp;
use pgsql::session::SessionFacts;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Why a login was refused: a word for metrics, and what the client is told.
struct Refusal {
    cause: &'static str,
    notice: Box<Notice>,
}

impl Refusal {
    fn new(cause: &'static str, notice: Notice) -> Self {
        Self { cause, notice: Box::new(notice) }
    }
}

/// The identity providers of the policy in force.
struct InForce<'a>(&'a Shared);

impl Providers for InForce<'_> {
    fn provider(&self, idp: &str) -> Option<Provider> {
        let active = self.0.policy.state().active?;
        let found = active.program.rules().idps.iter().find(|known| known.name == idp)?;
        let (metadata, scope) = issuer::announced(found)?;
        Some(Provider { metadata, scope })
    }
}

/// What a listener gives every connection.
#[derive(Clone, Debug)]
pub struct Listener {
    /// What every session shares.
    pub shared: Arc<Shared>,
    /// The listener's certificate; `None` only on loopback.
    pub tls: Option<Arc<ServerConfig>>,
    /// Texts that this worker has judged.
    pub texts: Arc<Mutex<Texts>>,
}

/// Serves one connection to its end. `entered` is called once the login is through.
pub async fn serve(listener: Listener, stream: TcpStream, peer: SocketAddr, entered: impl FnOnce()) {
    let began = clock::mono_ms();
    let shared = Arc::clone(&listener.shared);
    let _ = stream.set_nodelay(true);
    let providers = InForce(&shared);
    let door = Door { peer: peer.ip(), tls: listener.tls.as_ref(), limits: &shared.limits, providers: &providers };
    match Box::pin(startup::arrive(stream, door)).await {
        Err(error) => {
            tracing::debug!(%peer, %error, "no login");
            shared.metrics.login_refused("handshake");
        }
        Ok(Arrival::Cancel(request, stream)) => {
            if let Some((session, route)) = shared.cancels.find(&request)
                && !shared.live.cancel_held(&session)
            {
                deliver_cancel(&route, &shared).await;
            }
            // Only now: clients wait for the end of this connection before they run what must not be cancelled.
            drop(stream);
        }
        Ok(Arrival::Login(mut login)) => {
            let mut role = None;
            match Box::pin(open(&listener, &login, peer, &mut role)).await {
                Err(refusal) => {
                    tracing::info!(%peer, connection = %login.asked.connection, cause = refusal.cause,
                        sentence = %refusal.notice.message, "login refused");
                    shared.metrics.login_refused(refusal.cause);
                    startup::refuse(&mut login.stream, &refusal.notice, &shared.limits).await;
                }
                Ok(ready) => {
                    entered();
                    Box::pin(run(listener, *login, *ready, peer, began)).await;
                }
            }
            if let Some(role) = role {
                Box::pin(role.end(&shared)).await;
            }
        }
    }
}

/// A session that may begin.
struct Ready {
    lease: Lease,
    upstream: Upstream<TcpStream>,
    route: Route,
    known: Option<Known>,
    read_only: bool,
    facts: SessionFacts,
    recorder: SessionRecorder,
    opened: Opened,
}

/// Everything that must hold before the client is let in, in order. A role that was made for it goes to `role`, to be
/// dropped whatever comes.
async fn open(
    listener: &Listener,
    login: &Login<TcpStream>,
    peer: SocketAddr,
    role: &mut Option<SessionRole>,
) -> Result<Box<Ready>, Refusal> {
    let shared = &listener.shared;
    let lease = lease(shared, login).await?;
    let Some(target) = lease.target() else {
        return Err(Refusal::new("policy", reply::unknown_connection()));
    };
    supported(target)?;
    let read_only = lease.grant().is_some_and(|grant| reads_only(grant.permit));
    let (mut upstream, route) = connect(shared, &lease, target, login, read_only, role).await?;
    let known = if verdict::needs_catalog(&lease) {
        in_utf8(&upstream.parameters)?;
        let read = timeout(shared.limits.login_max, catalog(&mut upstream, shared, lease.connection())).await;
        match read {
            Ok(Ok(known)) => Some(known),
            Ok(Err(sentence)) => return Err(unusable(lease.connection(), &sentence)),
            Err(_) => return Err(unusable(lease.connection(), "the target's catalog took too long")),
        }
    } else {
        None
    };
    let facts = SessionFacts::pinned(server_major(&upstream.parameters));
    if let Some(known) = &known {
        self_check(&mut upstream, shared, &lease, known, &facts, role.as_ref()).await?;
    }
    let (recorder, opened) = record(shared, &lease, login, peer).await?;
    if let Err(error) = shared.book.session_opened(&opened, clock::wall()).await {
        return Err(Refusal::new("state", reply::not_now(&error.to_string())));
    }
    Ok(Box::new(Ready { lease, upstream, route, known, read_only, facts, recorder, opened }))
}

/// Identity, grant and window.
async fn lease(shared: &Shared, login: &Login<TcpStream>) -> Result<Lease, Refusal> {
    let state = shared.policy.state();
    let Some(active) = state.active else {
        return Err(Refusal::new("no-policy", reply::not_now("the gateway has no policy in force yet")));
    };
    let now = clock::wall();
    let identity = match shared.verifier.verify(&active.program, &login.token, now).await {
        Ok(identity) => Arc::new(identity),
        Err(refused) => return Err(Refusal::new("identity", reply::token_refused(&refused.sentence))),
    };
    shared.live.identity_seen(&identity);
    let asked = &login.asked;
    let windows = shared
        .book
        .open_windows(&identity.subject, &asked.connection, now)
        .await
        .map_err(|error| Refusal::new("state", reply::not_now(&error.to_string())))?;
    let lease =
        Lease::open(active, identity, &asked.connection, asked.via.as_deref(), &windows, now).map_err(|refused| {
            Refusal::new("policy", reply::session_refused(&refused.sentence, reply::Rule::default(), None))
        })?;
    let closed = match state.staleness {
        Staleness::Fresh => false,
        Staleness::NoNewWindows => lease.window().is_none(),
        Staleness::Deny => true,
    };
    if closed {
        let sentence = "the policy is stale, and says that nothing new opens then";
        return Err(Refusal::new("stale", reply::not_now(sentence)));
    }
    Ok(lease)
}

/// What this version of the gateway cannot enforce stays closed.
fn supported(target: &Connection) -> Result<(), Refusal> {
    let closed = |sentence: String| {
        Err(Refusal::new("unenforced", reply::session_refused(&sentence, reply::Rule::default(), None)))
    };
    if target.kind != ConnectionKind::Postgres {
        return closed(format!("`{}` speaks {}, not PostgreSQL", target.name, target.kind));
    }
    if let Some(gap) = enforced::closed(target) {
        return closed(format!(
            "this version of the gateway does not provide what `{}` needs: {}",
            target.name,
            gap.instead()
        ));
    }
    Ok(())
}

/// The target, with the injected credential.
async fn connect(
    shared: &Shared,
    lease: &Lease,
    target: &Connection,
    login: &Login<TcpStream>,
    read_only: bool,
    role: &mut Option<SessionRole>,
) -> Result<(Upstream<TcpStream>, Route), Refusal> {
    let broken = |sentence: String| unusable(&target.name, &sentence);
    let address = Address::parse(&target.address).ok_or_else(|| broken("the address is not host:port".to_owned()))?;
    let tls = UpstreamTls::from_policy(&target.tls).map_err(|error| broken(chain(&error)))?;
    let names = masking::names(lease);
    let (user, secret) = if target.credential.source == masking::ROLE_SOURCE {
        let template = names.as_ref().map_or(&target.credential.reference, |names| &names.role);
        let made = Box::pin(SessionRole::make(shared, target, template, lease.ends(), role)).await;
        made.map_err(broken)?
    } else if let Some(names) = &names {
        (names.role.clone(), masking::role_password(&shared.mask_key, &names.role))
    } else {
        let secret = shared.credentials.fetch(&target.credential).map_err(|error| broken(chain(&error)))?;
        (target.credential.user.clone(), secret)
    };
    let terms = Terms {
        user,
        database: target.database.clone().unwrap_or_default(),
        secret: Secret::Password(secret),
        read_only,
        application_name: format!("leasehold:{}", lease.grant_id()),
        settings: login.asked.settings.clone(),
        // Where the target masks, its views read the key, and the session has none.
        secrets: if names.is_none() && verdict::has_masks(lease) {
            masking::key_blocks(&shared.mask_key, lease.connection())
        } else {
            Vec::new()
        },
    };
    let target = Target { address, tls, terms };
    match Box::pin(upstream::connect(&target, &shared.limits)).await {
        Ok(upstream) => {
            let Some(key) = upstream.key.clone() else {
                return Err(broken("the target gives no cancel key".to_owned()));
            };
            let route = Route { address: target.address, tls: target.tls, key };
            Ok((upstream, route))
        }
        Err(error) => {
            tracing::warn!(connection = %lease.connection(), error = %chain(&error), "the target cannot be reached");
            Err(Refusal::new("upstream", reply::upstream_failed(lease.connection(), &error)))
        }
    }
}

/// A target that cannot be used: why is for operators, since the target's own words may stand in it.
fn unusable(connection: &str, sentence: &str) -> Refusal {
    tracing::warn!(%connection, %sentence, "the target cannot be used");
    Refusal::new("upstream", reply::not_now("the gateway cannot use this connection; its operators have the details"))
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

async fn record(
    shared: &Shared,
    lease: &Lease,
    login: &Login<TcpStream>,
    peer: SocketAddr,
) -> Result<(SessionRecorder, Opened), Refusal> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|_| Refusal::new("fault", reply::internal()))?;
    let session = SessionId::from_random(random);
    let client = ClientFacts {
        user: login.asked.user.clone(),
        application_name: login.asked.application_name.clone(),
        trace: None,
        peer: peer.to_string(),
    };
    let refused = |error: RecorderError| {
        tracing::error!(error = %chain(&error), "a session cannot be recorded");
        Refusal::new("recorder", reply::not_now("sessions cannot be recorded now, so none opens"))
    };
    let key = shared.recorder.key_for(&session).await.map_err(refused)?;
    let opened = lease.opened(session, &shared.name, client);
    let recorder = shared.recorder.open_with(clock::wall(), opened.clone(), lease.recorded(), key).map_err(refused)?;
    Ok((recorder, opened))
}

/// The target's catalog, read now as the gateway's own account, or by another session a moment ago.
async fn catalog(upstream: &mut Upstream<TcpStream>, shared: &Shared, connection: &str) -> Result<Known, String> {
    let made = shared.catalogs.interplay.made(connection);
    if let Some(known) = shared.catalogs.latest(connection)
        && known.made == made
        && clock::mono_ms().saturating_sub(known.read_mono_ms) <= CATALOG_MS_MAX
    {
        return Ok(known);
    }
    let catalog = ready(upstream, shared).catalog().await?;
    Ok(shared.catalogs.learn(connection, catalog, clock::mono_ms(), made))
}

fn ready<'a>(upstream: &'a mut Upstream<TcpStream>, shared: &'a Shared) -> ask::Ready<'a, Stream<TcpStream>> {
    ask::Ready { stream: &mut upstream.stream, input: &mut upstream.leftover, limits: &shared.limits }
}

/// Where the target masks by itself: the role, asked of the target as the role, may see nothing that the policy masks.
async fn self_check(
    upstream: &mut Upstream<TcpStream>,
    shared: &Shared,
    lease: &Lease,
    known: &Known,
    facts: &SessionFacts,
    made: Option<&SessionRole>,
) -> Result<(), Refusal> {
    let Some(names) = masking::names(lease) else { return Ok(()) };
    let (role, template) = made.map_or((names.role.as_str(), None), |made| (made.name(), Some(names.role.as_str())));
    let broken = |sentence: &str| unusable(lease.connection(), sentence);
    let held = match timeout(shared.limits.login_max, ready(upstream, shared).held(role)).await {
        Ok(Ok(held)) => held,
        Ok(Err(sentence)) => return Err(broken(&sentence)),
        Err(_) => return Err(broken("the target took too long to say what the role may do")),
    };
    let plan = shared.catalogs.plan(&known.catalog, shared.catalogs.masks(lease, &known.catalog), facts);
    let found = held.judge(&plan, &names, template);
    if found.is_empty() {
        return Ok(());
    }
    let sentence = format!(
        "the role `{role}` at the target of `{}` holds more than the policy permits, so the session does not open: {}",
        lease.connection(),
        found.join("; ")
    );
    tracing::warn!(connection = %lease.connection(), role = %role, findings = ?found, "the self-check refuses");
    Err(Refusal::new("self-check", reply::session_refused(&sentence, reply::Rule::default(), None)))
}

/// Where names decide, the database keeps them as the gateway reads them: in another encoding the server cuts long names
/// elsewhere, and may fold letters that are not ASCII.
fn in_utf8(parameters: &[(String, String)]) -> Result<(), Refusal> {
    let encoding = parameters.iter().find(|(name, _)| name == "server_encoding").map_or("unknown", |(_, value)| value);
    if encoding.eq_ignore_ascii_case("UTF8") {
        return Ok(());
    }
    let sentence = format!(
        "the database's encoding is {encoding}, and where a policy masks, narrows or guards by names the gateway reads UTF8 \
         databases only"
    );
    Err(Refusal::new("unenforced", reply::session_refused(&sentence, reply::Rule::default(), None)))
}

fn server_major(parameters: &[(String, String)]) -> u16 {
    let version = parameters.iter().find(|(name, _)| name == "server_version").map_or("", |(_, value)| value.as_str());
    version.split(|c: char| !c.is_ascii_digit()).next().and_then(|major| major.parse().ok()).unwrap_or(0)
}

/// The recorder, as the pump sees it.
struct Recorder<'a> {
    session: &'a mut SessionRecorder,
    pending: Option<Pending>,
}

impl Recording for Recorder<'_> {
    fn accept(&mut self, events: &[Event]) -> Result<(), String> {
        match self.session.begin(events) {
            Ok(pending) => {
                self.pending = pending;
                Ok(())
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), "the recorder does not accept");
                Err("the session could not be recorded any further".to_owned())
            }
        }
    }

    fn durable(&mut self) -> Option<Durable> {
        let pending = self.pending.take()?;
        Some(Box::pin(async move {
            pending.wait().await.map_err(|_| "the session could not be recorded any further".to_owned())
        }))
    }

    fn sign(&mut self, at: Timestamp) -> Result<(), String> {
        self.session.checkpoint(at).map_err(|error| {
            tracing::error!(error = %chain(&error), "a recording cannot be signed");
            "the session could not be recorded any further".to_owned()
        })
    }
}

async fn deliver_cancel(route: &Route, shared: &Shared) {
    if let Err(error) = Box::pin(cancel::cancel(route, &shared.limits)).await {
        tracing::warn!(error = %chain(&error), "a cancel request did not reach the target");
    }
}

/// Sends a cancel request in the background; what is returned is told when the target has taken it.
fn send_cancel(route: Arc<Route>, shared: Arc<Shared>) -> oneshot::Receiver<()> {
    let (done, taken) = oneshot::channel();
    tokio::task::spawn_local(async move {
        deliver_cancel(&route, &shared).await;
        // The session may have ended meanwhile.
        let _ = done.send(());
    });
    taken
}

fn cancels(route: Arc<Route>, shared: Arc<Shared>) -> pump::Cancel {
    Box::new(move || send_cancel(Arc::clone(&route), Arc::clone(&shared)))
}

/// A window may have been revoked while the target was dialled, before the session could be told.
async fn still_open(shared: &Shared, opened: &Opened) -> Result<(), Close> {
    let Some(window) = &opened.window else { return Ok(()) };
    let now = clock::wall();
    match shared.book.open_windows(&opened.subject, &opened.connection, now).await {
        Ok(windows) if windows.iter().any(|open| open.id == *window) => Ok(()),
        Ok(_) => Err(Close { cause: Cause::Revoked, sentence: "the window was closed".to_owned() }),
        Err(error) => Err(Close { cause: Cause::Fault, sentence: error.to_string() }),
    }
}

async fn run(listener: Listener, login: Login<TcpStream>, ready: Ready, peer: SocketAddr, began: u64) {
    let shared = listener.shared;
    let Ready { lease, upstream, route, known, read_only, facts, mut recorder, opened } = ready;
    let session = opened.session.clone();
    let route = Arc::new(route);
    let Ok(key) = shared.cancels.register((session.clone(), Arc::clone(&route)), login.asked.minor) else {
        let close = Close { cause: Cause::Fault, sentence: "no cancel key is free".to_owned() };
        return turn_away(login.stream, &reply::internal(), &shared, &mut recorder, &session, &close).await;
    };
    let (seat, orders) = shared.live.enter(Facts {
        session: session.clone(),
        subject: opened.subject.clone(),
        kind: lease.identity().kind,
        subject_name: opened.subject_name.clone(),
        connection: opened.connection.clone(),
        grant: opened.grant.clone(),
        window: opened.window.clone(),
        started: clock::wall(),
        ends: opened.ends,
    });
    if let Err(close) = still_open(&shared, &opened).await {
        let notice = reply::ended(close.cause, &close.sentence);
        return turn_away(login.stream, &notice, &shared, &mut recorder, &session, &close).await;
    }
    let active = Arc::clone(lease.active());
    let now = clock::now();
    let mut machine = machine::start(
        now,
        Parts {
            lease,
            limits: shared.limits.clone(),
            facts,
            known,
            catalogs: Arc::clone(&shared.catalogs),
            pattern_key: Arc::new(masking::pattern_key(&shared.mask_key, &opened.connection)),
            read_only,
            texts: listener.texts,
        },
    );
    shared.metrics.session_opened(&opened.connection, now.mono_ms.saturating_sub(began));
    say_opened(&opened, peer);
    let mut greeting = BytesMut::new();
    reply::welcome(&mut greeting, &upstream.parameters, key.pid(), key.secret());
    let cancel = cancels(Arc::clone(&route), Arc::clone(&shared));
    let mut keeper = Keeper::of(&shared, &session, &orders);
    let close = Box::pin(pump::run(pump::Session {
        client: login.stream,
        client_input: BytesMut::new(),
        upstream: upstream.stream,
        upstream_input: upstream.leftover,
        greeting,
        machine: &mut machine,
        recording: &mut Recorder { session: &mut recorder, pending: None },
        orders,
        policy: shared.policy.clone(),
        applied: active,
        cancel,
        hold: &mut |order| keeper.order(order),
        pending_bytes_max: shared.limits.pending_bytes_max,
        unsigned_ms_max: pump::UNSIGNED_MS_MAX,
        recorder_failed: &|out| reply::recorder_failed().write(out),
        goodbye: &write::terminate,
    }))
    .await;
    drop((key, seat));
    keeper.close().await;
    closed(&shared.metrics, &session, &close);
    finish(&shared, &mut recorder, &session, &close).await;
}

fn say_opened(opened: &Opened, peer: SocketAddr) {
    let session = &opened.session;
    tracing::info!(%session, %peer, subject = %opened.subject, connection = %opened.connection,
        grant = %opened.grant, ends = %opened.ends, "session opened");
}

/// Refuses a client whose session was opened already.
async fn turn_away(
    mut stream: Stream<TcpStream>,
    notice: &Notice,
    shared: &Shared,
    recorder: &mut SessionRecorder,
    session: &SessionId,
    close: &Close,
) {
    startup::refuse(&mut stream, notice, &shared.limits).await;
    finish(shared, recorder, session, close).await;
}

fn closed(metrics: &Metrics, session: &SessionId, close: &Close) {
    metrics.session_closed(close.cause.word());
    tracing::info!(%session, cause = close.cause.word(), sentence = %close.sentence, "session closed");
}

async fn finish(shared: &Shared, recorder: &mut SessionRecorder, session: &SessionId, close: &Close) {
    if let Err(error) = recorder.close(clock::wall(), close) {
        tracing::error!(%session, error = %chain(&error), "a recording could not be closed in order");
    }
    if let Err(error) = shared.book.session_closed(session, close, clock::wall()).await {
        tracing::error!(%session, %error, "a session's end could not be noted");
    }
}
