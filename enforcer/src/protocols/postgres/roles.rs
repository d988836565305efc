//! A role for one session (`credential (postgres-role)"TEMPLATE" user=MAKER`): made before the session's own login, with
//! a random password and an end, dropped after it. What a crash leaves behind can log in no more once its end has come,
//! and is dropped when the next session opens.
//!
//! It must never log a password, nor drop a role that is not one of its own making.

use super::ask::Ready;
use super::io::chain;
use super::login::{Secret, Terms};
use super::masking;
use super::upstream::{self, Address, Target, Upstream};
use crate::gateway::shared::Shared;
use crate::gateway::tls::UpstreamTls;
use crate::gateway::{clock, stream::Stream};
use lang::program::rules::Connection;
use lang::time::Timestamp;
use pgsql::provision::session;
use secrecy::SecretString;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

/// How often a role that cannot be dropped yet is tried again: the target may still be ending its session.
const ATTEMPTS_MAX: u32 = 4;
/// The wait before that.
const AGAIN_AFTER: Duration = Duration::from_millis(150);

/// The role of one session.
#[derive(Debug)]
pub(super) struct SessionRole {
    target: Connection,
    template: String,
    name: String,
}

impl SessionRole {
    /// Makes a role as a member of `template`, until `ends`; its name and password. What it must be dropped by goes to
    /// `made` before it is made.
    ///
    /// # Errors
    /// With a sentence for operators.
    pub(super) async fn make(
        shared: &Shared,
        target: &Connection,
        template: &str,
        ends: Timestamp,
        made: &mut Option<Self>,
    ) -> Result<(String, SecretString), String> {
        let whole = async {
            let mut maker = maker(shared, target).await?;
            let mut ready = ready(&mut maker, shared);
            sweep(&mut ready, target, template).await;
            let (mut random, mut bytes) = ([0; 8], Zeroizing::new([0; 32]));
            getrandom::fill(&mut random).map_err(|error| error.to_string())?;
            getrandom::fill(bytes.as_mut_slice()).map_err(|error| error.to_string())?;
            let name = session::role(&target.name, unix_seconds(), random);
            let mut password = Zeroizing::new(String::with_capacity(64));
            for byte in bytes.iter() {
                // Writing to a string cannot fail.
                let _ = write!(password, "{byte:02x}");
            }
            let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
            *made = Some(Self { target: target.clone(), template: template.to_owned(), name: name.clone() });
            let sql = session::make(&name, template, &verifier, &ends.to_string());
            ready.values(&sql).await.map_err(|why| format!("no role can be made for the session: {why}"))?;
            Ok((name, SecretString::from(password.as_str())))
        };
        let late = || "the target took too long to make a role for the session".to_owned();
        timeout(shared.limits.login_max, Box::pin(whole)).await.unwrap_or_else(|_| Err(late()))
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Drops it.
    pub(super) async fn end(self, shared: &Shared) {
        let mut last = String::new();
        for _ in 0..ATTEMPTS_MAX {
            let attempt = async {
                let mut maker = maker(shared, &self.target).await?;
                let sql = session::discard(&self.name, &self.template);
                ready(&mut maker, shared).values(&sql).await
            };
            match timeout(shared.limits.login_max, Box::pin(attempt)).await {
                Ok(Ok(_)) => return,
                Ok(Err(why)) => last = why,
                Err(_) => "the target took too long".clone_into(&mut last),
            }
            sleep(AGAIN_AFTER).await;
        }
        tracing::warn!(connection = %self.target.name, role = %self.name, why = %last,
            "the role of a session could not be dropped; the next session's opening tries again");
    }
}

/// Drops what sessions left behind that could not drop it.
async fn sweep(ready: &mut Ready<'_, Stream<TcpStream>>, target: &Connection, template: &str) {
    let found = ready.values(&session::left(&target.name, unix_seconds())).await;
    let left = match found {
        Ok(left) => left,
        Err(why) => {
            tracing::warn!(connection = %target.name, %why, "roles of earlier sessions cannot be looked for");
            return;
        }
    };
    for role in left.iter().filter(|role| session::is_of(&target.name, role)) {
        match ready.values(&session::discard(role, template)).await {
            Ok(_) => tracing::info!(connection = %target.name, %role, "a role that a session left behind is dropped"),
            // Another gateway may be at it.
            Err(why) => tracing::debug!(connection = %target.name, %role, %why, "a role is not dropped yet"),
        }
    }
}

fn unix_seconds() -> u64 {
    u64::try_from(clock::wall().unix_ms() / 1_000).unwrap_or_default()
}

/// A session of the account that makes roles. Its password follows from the mask key, as those of classes do.
async fn maker(shared: &Shared, target: &Connection) -> Result<Upstream<TcpStream>, String> {
    let user = target.credential.user.clone();
    let target = Target {
        address: Address::parse(&target.address).ok_or_else(|| "the address is not host:port".to_owned())?,
        tls: UpstreamTls::from_policy(&target.tls).map_err(|error| chain(&error))?,
        terms: Terms {
            secret: Secret::Password(masking::role_password(&shared.mask_key, &user)),
            user,
            database: target.database.clone().unwrap_or_default(),
            read_only: false,
            application_name: "leasehold:roles".to_owned(),
            settings: Vec::new(),
            secrets: Vec::new(),
        },
    };
    Box::pin(upstream::connect(&target, &shared.limits)).await.map_err(|error| chain(&error))
}

fn ready<'a>(upstream: &'a mut Upstream<TcpStream>, shared: &'a Shared) -> Ready<'a, Stream<TcpStream>> {
    Ready { stream: &mut upstream.stream, input: &mut upstream.leftover, limits: &shared.limits }
}
