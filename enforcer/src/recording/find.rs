//! Searches the recordings of a gateway through their index, one search at a time and off the data path.
//!
//! The index says what recordings hold. Who may read it is not known here: whoever calls asks that first, for every
//! session that was found.

use super::index::{Found, Search, search_in};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// The longest that somebody waits for an answer; the index goes on growing meanwhile.
const WAIT_MAX: Duration = Duration::from_secs(15);
/// Searches that wait for the one that is under way.
const WAITING_MAX: usize = 32;

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

/// The one search at a time, and how many wait for it.
#[derive(Debug)]
pub(super) struct Finder {
    one: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Default for Finder {
    fn default() -> Self {
        Self { one: Arc::new(Semaphore::new(1)), waiting: Semaphore::new(WAITING_MAX) }
    }
}

impl Finder {
    /// Brings the index of a folder of recordings up to date, and searches it.
    pub(super) async fn find(&self, folder: &Path, search: Search) -> Result<Vec<Found>, FindError> {
        let failed = |error: &str| FindError::Failed(error.to_owned().into());
        let _waits = self.waiting.try_acquire().map_err(|_| FindError::Busy)?;
        let began = tokio::time::Instant::now();
        let alone = tokio::time::timeout(WAIT_MAX, Arc::clone(&self.one).acquire_owned()).await;
        let alone = alone.map_err(|_| FindError::Busy)?.map_err(|_| failed("the searches ended"))?;
        let (answer, answered) = oneshot::channel();
        let folder = folder.to_owned();
        let work = move || {
            let found = search_in(&folder, &search);
            // The next one begins before this one's answer is read.
            drop(alone);
            drop(answer.send(found.map_err(|error| FindError::Failed(error.into()))));
        };
        std::thread::Builder::new()
            .name("search".to_owned())
            .spawn(work)
            .map_err(|error| FindError::Failed(error.into()))?;
        match tokio::time::timeout(WAIT_MAX.saturating_sub(began.elapsed()), answered).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(failed("the search ended without an answer")),
            Err(_) => Err(FindError::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::tests::{TempFolder, at, client_left, decision, opened, recorder};
    use lang::program::rules::Recorded;

    #[tokio::test]
    async fn searches_take_turns_and_a_crowd_is_sent_away() {
        let temp = TempFolder::new();
        let recorder = recorder(&temp.0, u64::MAX);
        let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
        session.append(&[decision(1)]).unwrap();
        session.close(at(2), &client_left()).unwrap();
        let search = || Search { table: Some("public.orders".to_owned()), limit: 5, ..Search::default() };
        let (one, two) = tokio::join!(recorder.find(search()), recorder.find(search()));
        assert_eq!((one.unwrap().len(), two.unwrap().len()), (1, 1));
        let crowd = (0..WAITING_MAX + 3).map(|_| recorder.find(search()));
        let answers = futures_util::future::join_all(crowd).await;
        let busy = answers.iter().filter(|answer| matches!(answer, Err(FindError::Busy))).count();
        assert!(busy >= 3, "{busy} of {} were sent away", answers.len());
        assert_eq!(recorder.find(search()).await.unwrap().len(), 1, "and nothing is left behind");
    }
}
