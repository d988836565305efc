//! What every session of a gateway shares.

use super::book::Book;
use super::credentials::Credentials;
use super::live::Live;
use super::metrics::Metrics;
use super::policy::Policy;
use crate::core::id::SessionId;
use crate::core::limits::Limits;
use crate::identity::Verifier;
use crate::protocols::postgres::cancel;
use crate::protocols::postgres::masking::Catalogs;
use crate::recording::Recorder;
use secrecy::SecretBox;
use std::sync::Arc;

/// The parts of a running gateway that a session uses.
#[derive(Debug)]
pub struct Shared {
    /// The gateway's name.
    pub name: String,
    /// The API's address as people reach it.
    pub public_url: String,
    /// Bounds.
    pub limits: Limits,
    /// The policy in force.
    pub policy: Policy,
    /// The register of live sessions.
    pub live: Live,
    /// Verifies tokens.
    pub verifier: Verifier,
    /// Windows and sessions.
    pub book: Arc<dyn Book>,
    /// Recordings.
    pub recorder: Recorder,
    /// Upstream credentials.
    pub credentials: Credentials,
    /// The key from which the keys of hashed columns are made.
    pub mask_key: SecretBox<[u8; 32]>,
    /// What is known of the targets' catalogs.
    pub catalogs: Arc<Catalogs>,
    /// Metrics.
    pub metrics: Metrics,
    /// The gateway's own cancel keys.
    pub cancels: cancel::Table<(SessionId, Arc<cancel::Route>)>,
}
