//! `leasehold serve`: builds the gateway from its configuration, runs it until a signal, drains it.

use super::ledger::Ledger;
use super::listener::{self, Workers};
use super::live::Live;
use super::metrics::{self, Metrics};
use super::policy::{self, Policy};
use super::shared::Shared;
use super::{clock, credentials::Credentials, tls};
use crate::access::{Access, activation};
use crate::config::{self, Config, Listener};
use crate::core::machine::Cause;
use crate::gitops::webhook::Webhook;
use crate::identity::Verifier;
use crate::notify::Poster;
use crate::protocols::postgres::{self, cancel};
use crate::recording::archive::Archivist;
use crate::recording::{self, Recorder, SigningKey};
use crate::store::Store;
use crate::store::sqlite::Sqlite;
use crate::{api, gitops};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustls::ServerConfig;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// Between two looks at what time has decided.
const SWEEP: Duration = Duration::from_secs(5);
/// Between two looks at what other gateways over the same state decided.
const HEED: Duration = Duration::from_millis(500);
/// Between two passes of retention.
const RETENTION_EVERY: Duration = Duration::from_hours(1);
/// The wall clock may run ahead of the monotonic one by this much before retention mistrusts it.
const CLOCK_SKEW_MS_MAX: u64 = 3_600_000;
/// How long sessions may take to end after the drain.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why the gateway does not start. One sentence with a way out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

fn cannot(what: impl Into<String>, error: &dyn std::error::Error) -> StartError {
    let mut text = format!("{}: {error}", what.into());
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    StartError(text)
}

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// When it cannot start.
pub async fn serve(config: Config, credentials_folder: &Path) -> Result<(), StartError> {
    private_folder(&config.state)?;
    let (publisher, policy) = policy::channel();
    let live = Live::default();
    let metrics = Metrics::default();
    let store: Arc<dyn Store> = Arc::new(open_store(&config)?);
    let poster = open_poster(&config, &store)?;
    let access = Access::new(store, policy.clone(), live.clone(), config.name.clone());
    access.announce_to(config.channels.iter().map(|channel| channel.name.clone()));
    close_orphans(&access).await?;
    let recorder = open_recorder(&config)?;
    let verifier = Verifier::new().map_err(|error| cannot("tokens cannot be verified", &error))?;
    let shared = Arc::new(Shared {
        public_url: config.public_url.clone(),
        name: config.name.clone(),
        limits: config.limits.clone(),
        policy: policy.clone(),
        live: live.clone(),
        verifier: verifier.clone(),
        book: Arc::new(Ledger(access.clone())),
        recorder: recorder.clone(),
        credentials: Credentials::new(credentials_folder),
        mask_key: config::mask_key(&config.mask_key)
            .map_err(|error| cannot(format!("the mask key {}", config.mask_key.file.display()), &error))?,
        catalogs: Arc::default(),
        metrics: metrics.clone(),
        cancels: cancel::Table::new(usize::try_from(config.limits.sessions_max).unwrap_or(usize::MAX)),
    });
    let (stop, stopped) = watch::channel(false);
    let (follower, nudge) = gitops::Follower::new(config.repository.clone(), &config.state, publisher);
    let webhook = open_webhook(&config, nudge)?;
    let following = tokio::spawn(follow(follower, access.clone(), stopped.clone()));
    let posting = tokio::spawn(poster.run(stopped.clone()));
    let housekeeping = tokio::spawn(keep_house(access.clone(), policy.clone(), metrics.clone(), stopped.clone()));
    let newest = access.newest().await.map_err(|error| cannot("the state cannot be read", &error))?;
    let heeding = tokio::spawn(heed(access.clone(), newest, stopped.clone()));
    let [retaining, archiving] = tend_recordings(&config, &recorder, &metrics, &stopped);
    let watched = match &config.metrics {
        Some(at) => Some(serve_metrics(at, &shared, stopped.clone()).await?),
        None => None,
    };
    let served = match &config.api {
        Some(at) => Some(serve_api(at, &config, access, &shared, webhook, stopped.clone()).await?),
        None => None,
    };
    let (workers, accepting) = match &config.postgres {
        Some(at) => {
            let (workers, accepting) = serve_postgres(at, &shared, stopped.clone()).await?;
            (Some(workers), Some(accepting))
        }
        None => (None, None),
    };
    tracing::info!(gateway = %config.name, "ready for connections");
    wait_for_signal().await?;
    tracing::info!(live = live.count(), drain_seconds = config.drain.as_secs(), "stopping: no new connections");
    // Nobody listens for the end of a listener that never began.
    let _ = stop.send(true);
    drain(&live, config.drain).await;
    let always = [housekeeping, heeding, following, posting].map(Some);
    let tasks = [accepting, served, watched, retaining, archiving].into_iter().chain(always);
    for task in tasks.flatten() {
        if tokio::time::timeout(LAST_WORDS, task).await.is_err() {
            tracing::warn!("a part of the gateway did not stop in time");
        }
    }
    if let Some(workers) = workers {
        join(workers).await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Has a crash leave no image of the memory, where tokens and passwords stand, and keeps other processes of this user
/// from reading it.
pub fn keep_memory_private() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let outcome = setrlimit(Resource::Core, none).and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(error) = outcome {
        tracing::warn!(%error, "a crash of the gateway may write its memory to a file");
    }
}

/// Starts what removes recordings that were kept long enough, and what copies them into the archive.
fn tend_recordings(
    config: &Config,
    recorder: &Recorder,
    metrics: &Metrics,
    stopped: &watch::Receiver<bool>,
) -> [Option<tokio::task::JoinHandle<()>>; 2] {
    metrics.show_recorder(recorder.meter(), recorder.archive().is_some());
    let keep = config.recording.keep;
    let retaining = keep.map(|keep| tokio::spawn(retain(recorder.clone(), keep, stopped.clone())));
    let archivist = Archivist::new(recorder.clone());
    let archiving = archivist.map(|archivist| tokio::spawn(archivist.run(clock::wall, stopped.clone())));
    [retaining, archiving]
}

/// Closes what an earlier process left open.
async fn close_orphans(access: &Access) -> Result<(), StartError> {
    match access.close_orphans(clock::now()).await {
        Ok(0) => {}
        Ok(count) => tracing::warn!(count, "sessions that an earlier process left open were closed"),
        Err(error) => return Err(cannot("the state cannot be read", &error)),
    }
    Ok(())
}

/// Waits until the sessions' threads have ended.
async fn join(workers: Arc<Workers>) {
    let joined = tokio::task::spawn_blocking(move || {
        if let Ok(workers) = Arc::try_unwrap(workers) {
            workers.join();
        }
    });
    if tokio::time::timeout(LAST_WORDS, joined).await.is_err() {
        tracing::warn!("sessions did not end in time");
    }
}

fn private_folder(folder: &Path) -> Result<(), StartError> {
    let failed = |error: &std::io::Error| cannot(format!("the state folder {}", folder.display()), error);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| failed(&error))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(|error| failed(&error))
}

fn open_store(config: &Config) -> Result<Sqlite, StartError> {
    Sqlite::open(&config.state.join("state.sqlite")).map_err(|error| cannot("the state cannot be opened", &error))
}

fn open_recorder(config: &Config) -> Result<Recorder, StartError> {
    let file = &config.recording.signing_key.file;
    let key = if config.recording.signing_key.create {
        let (key, created) = SigningKey::load_or_create(file)
            .map_err(|error| cannot(format!("the recording key {}", file.display()), &error))?;
        if created {
            tracing::info!(public = %recording::public_file(file).display(), "a key that signs recordings was made");
        }
        key
    } else {
        SigningKey::load(file).map_err(|error| cannot(format!("the recording key {}", file.display()), &error))?
    };
    let settings = recording::Settings {
        folder: config.recording.folder.clone(),
        durability: config.recording.durability,
        free_bytes_min: config.recording.free_bytes_min,
        quota_bytes: config.recording.quota_bytes,
        gateway: config.name.clone(),
        recipients: config.recording.recipients.clone(),
        key_service: config.recording.key_service.clone(),
        archive: config.recording.archive.clone(),
    };
    Recorder::new(settings, key).map_err(|error| cannot("recordings cannot be written", &error))
}

/// Follows the branch, and writes down what comes into force until the follower is gone.
async fn follow(follower: gitops::Follower, access: Access, stopped: watch::Receiver<bool>) {
    let (journal, activations) = mpsc::channel(activation::WAITING_MAX);
    tokio::join!(follower.journal(journal).run(stopped), access.keep_journal(activations, gitops::difference));
}

fn open_poster(config: &Config, store: &Arc<dyn Store>) -> Result<Poster, StartError> {
    Poster::new(Arc::clone(store), &config.channels, config.name.clone(), config.public_url.clone())
        .map_err(|error| cannot("notices cannot be posted", &error))
}

fn open_webhook(config: &Config, nudge: gitops::Nudge) -> Result<Option<Webhook>, StartError> {
    let Some(file) = &config.repository.webhook_secret else { return Ok(None) };
    Webhook::new(file, nudge)
        .map(Some)
        .map_err(|error| cannot(format!("the webhook secret {}", file.display()), &error))
}

fn certificate(at: &Listener, alpn: &[&[u8]]) -> Result<Option<Arc<ServerConfig>>, StartError> {
    let Some(files) = &at.tls else { return Ok(None) };
    tls::server_config_from_files(&files.certificate, &files.key, alpn)
        .map(Some)
        .map_err(|error| cannot(format!("the certificate of {}", at.address), &error))
}

async fn bind(at: &Listener, what: &str) -> Result<TcpListener, StartError> {
    let listener =
        TcpListener::bind(at.address).await.map_err(|error| cannot(format!("{what} on {}", at.address), &error))?;
    let address = listener.local_addr().map_err(|error| cannot(what, &error))?;
    tracing::info!(%address, tls = at.tls.is_some(), "{what} listens");
    Ok(listener)
}

async fn serve_metrics(
    at: &Listener,
    shared: &Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) -> Result<tokio::task::JoinHandle<()>, StartError> {
    let listener = bind(at, "metrics").await?;
    let (policy, recorder) = (shared.policy.clone(), shared.recorder.clone());
    let draining = stopped.clone();
    let ready: metrics::Readiness = Arc::new(move || {
        if *draining.borrow() {
            return Err("the gateway is stopping".to_owned());
        }
        if policy.active().is_none() {
            return Err("no policy is in force yet".to_owned());
        }
        recorder.ready().map_err(|error| error.to_string())
    });
    let router = metrics::router(shared.metrics.clone(), ready);
    Ok(tokio::spawn(async move {
        let until = async move {
            // A sender that is gone stops the listener as well.
            let _ = stopped.changed().await;
        };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(until).await {
            tracing::error!(%error, "the metrics listener failed");
        }
    }))
}

async fn serve_api(
    at: &Listener,
    config: &Config,
    access: Access,
    shared: &Arc<Shared>,
    webhook: Option<Webhook>,
    stopped: watch::Receiver<bool>,
) -> Result<tokio::task::JoinHandle<()>, StartError> {
    let tls = certificate(at, &[b"h2", b"http/1.1"])?;
    let listener = bind(at, "api").await?;
    let state = api::State {
        access,
        verifier: shared.verifier.clone(),
        policy: shared.policy.clone(),
        live: shared.live.clone(),
        recorder: shared.recorder.clone(),
        public_url: config.public_url.clone(),
        rates: api::rate::Rates::new(&config.limits),
        postgres: config.postgres.as_ref().and_then(|listener| endpoint(config, listener)),
        sign_in: config.sign_in.clone(),
        webhook,
    };
    Ok(tokio::spawn(api::serve(listener, tls, api::router(&state), stopped)))
}

/// Where clients are told to connect: the host of the public address, and the listener's port.
fn endpoint(config: &Config, listener: &Listener) -> Option<api::view::Endpoint> {
    let host = reqwest::Url::parse(&config.public_url).ok()?.host_str()?.trim_matches(['[', ']']).to_owned();
    let port = listener.address.port();
    (port != 0).then(|| api::view::Endpoint { host, port, tls: listener.tls.is_some() })
}

async fn serve_postgres(
    at: &Listener,
    shared: &Arc<Shared>,
    stopped: watch::Receiver<bool>,
) -> Result<(Arc<Workers>, tokio::task::JoinHandle<()>), StartError> {
    let tls = certificate(at, &[postgres::ALPN])?;
    let listener = bind(at, "postgres").await?;
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = Workers::start(count, shared, tls.as_ref()).map_err(|error| cannot("workers", &error))?;
    let workers = Arc::new(workers);
    let (doors, shared) = (Arc::clone(&workers), Arc::clone(shared));
    let accepting = tokio::spawn(async move { listener::accept(listener, shared, &doors, stopped).await });
    Ok((workers, accepting))
}

/// Has the sessions here follow what other gateways over the same state decide.
async fn heed(access: Access, mut newest: u64, mut stopped: watch::Receiver<bool>) {
    let mut told = false;
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(HEED) => {}
        }
        match access.follow(newest).await {
            Ok(after) => (newest, told) = (after, false),
            Err(error) if told => tracing::debug!(%error, "the state still cannot be followed"),
            Err(error) => {
                told = true;
                tracing::warn!(%error, "what other gateways decide cannot be followed");
            }
        }
    }
}

/// Writes down what time decided, and keeps the gauges true.
async fn keep_house(access: Access, policy: Policy, metrics: Metrics, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
        if let Err(error) = access.sweep(clock::now()).await {
            tracing::warn!(%error, "the state could not be swept");
        }
        let state = policy.state();
        let age = state.confirmed_at.map(|at| clock::wall().ms_since(at) / 1_000);
        metrics.policy(age, state.last_error.is_some());
    }
}

/// Removes recordings that were kept long enough, now and then.
async fn retain(recorder: Recorder, keep: Duration, mut stopped: watch::Receiver<bool>) {
    let began = clock::now();
    let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    loop {
        let now = clock::now();
        let passed_ms = now.mono_ms.saturating_sub(began.mono_ms);
        if now.wall.ms_since(began.wall) > passed_ms.saturating_add(CLOCK_SKEW_MS_MAX) {
            tracing::error!("the clock was set far ahead: no recording is removed until the gateway starts again");
        } else {
            let recorder = recorder.clone();
            match tokio::task::spawn_blocking(move || recorder.retain(now.wall, keep_ms)).await {
                Ok(Ok(done)) => tracing::debug!(?done, "retention"),
                Ok(Err(error)) => tracing::error!(%error, "recordings cannot be looked through for retention"),
                Err(error) => tracing::error!(%error, "retention failed"),
            }
        }
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(RETENTION_EVERY) => {}
        }
    }
}

async fn wait_for_signal() -> Result<(), StartError> {
    let failed = |error: std::io::Error| cannot("signals", &error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Lets sessions go on for a while, then ends those that are left.
async fn drain(live: &Live, grace: Duration) {
    let until = tokio::time::Instant::now() + grace;
    while live.count() > 0 && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let left = live.end_all(Cause::Drain, "the gateway is stopping; connect again");
    if left > 0 {
        tracing::warn!(left, "sessions were ended by the drain");
    }
    let until = tokio::time::Instant::now() + LAST_WORDS;
    while live.count() > 0 && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
