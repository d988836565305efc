//! Accepts connections for the API: bounded in number and age, with a deadline for every step.

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 1_024;
/// Connections from one address at a time.
const PER_ADDRESS_MAX: usize = 128;
/// The longest TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// The longest wait for a request's head.
const HEAD_MAX: Duration = Duration::from_secs(15);
/// The longest life of a connection: nobody holds a place for ever.
const AGE_MAX: Duration = Duration::from_mins(15);
/// How long running calls may take after a stop was asked for.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Streams of one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;
/// Bytes of a request's head: a token, and some.
const HEAD_BYTES_MAX: u32 = 96 * 1024;

/// Serves until `stop` changes, then lets running calls end.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let addresses = Addresses::default();
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            _ = stop.changed() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "an API connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let (Ok(place), Some(seat)) = (Arc::clone(&places).try_acquire_owned(), addresses.enter(peer.ip())) else {
            tracing::warn!(%peer, "an API connection above the bound was closed");
            continue;
        };
        let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
        connections.spawn(async move {
            match acceptor {
                None => connection(stream, router, stop).await,
                Some(acceptor) => match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => connection(stream, router, stop).await,
                    Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
                },
            }
            drop((place, seat));
        });
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_MAX, ended).await.is_err() {
        tracing::warn!("API calls were cut by the stop");
    }
}

/// One connection, until it ends, is too old, or the gateway stops.
async fn connection<S>(stream: S, router: Router, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(usize::try_from(HEAD_BYTES_MAX).unwrap_or(usize::MAX));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(served);
    let ended = tokio::time::timeout(AGE_MAX, async {
        tokio::select! {
            ended = served.as_mut() => ended,
            _ = stop.changed() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        }
    })
    .await;
    if let Ok(Err(error)) = ended {
        tracing::debug!(%error, "an API connection ended early");
    }
}

/// How many connections each address holds.
#[derive(Clone, Debug, Default)]
struct Addresses(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

#[derive(Debug)]
struct Seat {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    fn enter(&self, address: IpAddr) -> Option<Seat> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = all.entry(address).or_default();
        if *held >= PER_ADDRESS_MAX {
            return None;
        }
        *held += 1;
        Some(Seat { addresses: self.clone(), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get_mut(&self.address) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                all.remove(&self.address);
            }
        }
    }
}
