//! Posts notices to the channels of the configuration: signed, in order of need, again after a failure, and at last
//! into the dead-letter list. It decides nothing; a notice that is lost to a channel never holds a transition up.

mod sign;

use crate::config::Channel;
use crate::gateway::clock;
use crate::store::{Attempt, Notice, Store};
use lang::time::{Timestamp, Ttl};
use serde_json::json;
use sign::Key;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The longest post.
const POST_MAX: Duration = Duration::from_secs(10);
/// Nobody else tries a notice for so long once it was taken.
const LEASE: Ttl = Ttl::from_seconds(60);
/// Between two looks at what is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Notices taken at a time.
const BATCH_MAX: u32 = 16;
/// Attempts before a notice is dead.
const ATTEMPTS_MAX: u32 = 10;
/// The longest wait between two attempts.
const WAIT_MAX_SECONDS: u32 = 3_600;

/// Why there is no poster.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A channel's secret cannot be read.
    #[error("the secret of channel `{channel}`")]
    Secret {
        /// The channel.
        channel: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Http(#[from] crate::identity::SetupError),
}

/// Where a channel leads.
#[derive(Debug)]
struct Target {
    url: String,
    key: Option<Key>,
}

/// Posts notices.
#[derive(Debug)]
pub struct Poster {
    store: Arc<dyn Store>,
    channels: BTreeMap<String, Target>,
    http: reqwest::Client,
    gateway: String,
    public_url: String,
}

impl Poster {
    /// A poster for the configured channels.
    ///
    /// # Errors
    /// When a channel's secret cannot be read.
    pub fn new(
        store: Arc<dyn Store>,
        channels: &[Channel],
        gateway: String,
        public_url: String,
    ) -> Result<Self, SetupError> {
        let mut targets = BTreeMap::new();
        for channel in channels {
            let key = channel.secret.as_deref().map(Key::read).transpose();
            let key = key.map_err(|error| SetupError::Secret { channel: channel.name.clone(), error })?;
            targets.insert(channel.name.clone(), Target { url: channel.webhook.clone(), key });
        }
        Ok(Self { store, channels: targets, http: crate::identity::client(POST_MAX)?, gateway, public_url })
    }

    /// Posts what is due until `stop` changes.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                _ = stop.changed() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            match self.store.claim_notices(clock::wall(), LEASE, BATCH_MAX).await {
                Ok(due) => {
                    let posts = due.into_iter().map(|notice| self.attempt(notice));
                    futures_util::future::join_all(posts).await;
                }
                Err(error) => tracing::warn!(%error, "notices cannot be read"),
            }
        }
    }

    async fn attempt(&self, notice: Notice) {
        let attempts = notice.attempts.saturating_add(1);
        let attempt = match self.post(&notice).await {
            Ok(()) => Attempt::Delivered,
            Err(error) if attempts >= ATTEMPTS_MAX => {
                tracing::error!(notice = notice.id, channel = notice.channel, error, "a notice is given up");
                Attempt::Dead { error }
            }
            Err(error) => {
                tracing::warn!(notice = notice.id, channel = notice.channel, attempts, error, "a notice failed");
                Attempt::Again { due: next(clock::wall(), attempts), error }
            }
        };
        if let Err(error) = self.store.notice_attempted(notice.id.clone(), attempt).await {
            // The lease runs out, and it is posted again: the receiver knows it by its id.
            tracing::warn!(notice = notice.id, %error, "an attempt could not be written down");
        }
    }

    async fn post(&self, notice: &Notice) -> Result<(), String> {
        let target = self
            .channels
            .get(&notice.channel)
            .ok_or_else(|| format!("the configuration has no channel `{}`", notice.channel))?;
        let body = self.body(notice);
        let seconds = clock::wall().unix_ms() / 1_000;
        let mut call = self
            .http
            .post(&target.url)
            .header("content-type", "application/json")
            .header("webhook-id", &notice.id)
            .header("webhook-timestamp", seconds);
        if let Some(key) = &target.key {
            call = call.header("webhook-signature", key.sign(&notice.id, seconds, &body));
        }
        // An error of the client may hold the URL, and a URL may hold a secret: it is left out.
        let answer = call.body(body).send().await.map_err(|error| error.without_url().to_string())?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("the channel answered {}", status.as_u16())) }
    }

    fn body(&self, notice: &Notice) -> String {
        let place = if notice.kind.starts_with("request.") { "requests" } else { "windows" };
        json!({
            "type": notice.kind,
            "timestamp": notice.created.to_string(),
            "id": notice.id,
            "gateway": self.gateway,
            "about": notice.about,
            "url": format!("{}/{place}/{}", self.public_url, notice.about),
            "data": notice.detail,
        })
        .to_string()
    }
}

/// When to try again: twice the last wait, from two seconds up to an hour.
fn next(now: Timestamp, attempts: u32) -> Timestamp {
    let seconds = 1_u32.checked_shl(attempts).unwrap_or(WAIT_MAX_SECONDS).min(WAIT_MAX_SECONDS);
    now.plus(Ttl::from_seconds(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let at = |seconds| Timestamp::from_unix(seconds);
        assert_eq!(next(at(0), 1), at(2));
        assert_eq!(next(at(0), 5), at(32));
        assert_eq!(next(at(0), 31), at(3_600));
        assert_eq!(next(at(0), 99), at(3_600));
    }
}
