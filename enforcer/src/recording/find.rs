//! Searches the recordings of a gateway through their index, one search at a time and off the data path.
//!
//! The index says what recordings hold. Who may read it is not known here: whoever calls asks that first, for every
//! session that was found.

use super::Recorder;
use super::index::{Found, Search};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;
use tokio::sync::oneshot;

/// The longest that somebody waits for an answer; the index goes on growing meanwhile.
const WAIT_MAX: Duration = Duration::from_secs(15);

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Another search is still taking recordings in.
    #[error("the recordings are being indexed; try again in a moment")]
    Busy,
    /// The index or the recordings cannot be used.
    #[error("the recordings cannot be searched now")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The one search at a time. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Finder(Arc<Mutex<()>>);

impl Finder {
    /// Brings the index of a gateway's recordings up to date, and searches it.
    ///
    /// # Errors
    /// When another search is under way, it takes too long, or the recordings cannot be read.
    pub async fn find(&self, recorder: &Recorder, search: Search) -> Result<Vec<Found>, FindError> {
        let (answer, answered) = oneshot::channel();
        let (one, recorder) = (Arc::clone(&self.0), recorder.clone());
        let work = move || {
            let held = match one.try_lock() {
                Ok(held) => held,
                // A panic while it was held left the index as its last whole transaction.
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return drop(answer.send(Err(FindError::Busy))),
            };
            let found = recorder.search(&search);
            drop(held);
            drop(answer.send(found.map_err(|error| FindError::Failed(error.into()))));
        };
        std::thread::Builder::new()
            .name("search".to_owned())
            .spawn(work)
            .map_err(|error| FindError::Failed(error.into()))?;
        match tokio::time::timeout(WAIT_MAX, answered).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(FindError::Failed("the search ended without an answer".into())),
            Err(_) => Err(FindError::Busy),
        }
    }
}
