//! `GET /v1/sessions` by what sessions did: statements, tables, outcomes, from the index of the recordings.
//!
//! What a search finds is shown only to who may replay that session: a match says something of what stands in it.

use super::body::ListState;
use super::handlers::list;
use super::view::{List, Session};
use super::{Problem, State};
use crate::access::Filter;
use crate::core::id::SessionId;
use crate::core::identity::Identity;
use crate::core::machine::Now;
use crate::recording::find::FindError;
use crate::recording::index::{Search, instant_of};
use axum::http::StatusCode;
use serde::Deserialize;

/// The most sessions that one search looks at.
const FOUND_MAX: u32 = 2_000;

/// The parameters of `GET /v1/sessions`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionsQuery {
    connection: Option<String>,
    state: Option<ListState>,
    #[serde(default)]
    mine: bool,
    cursor: Option<String>,
    limit: Option<u32>,
    subject: Option<String>,
    since: Option<String>,
    until: Option<String>,
    table: Option<String>,
    fingerprint: Option<String>,
    text: Option<String>,
    outcome: Option<String>,
}

impl SessionsQuery {
    /// Whether statements are looked for, which only recordings know.
    fn asks_for_statements(&self) -> bool {
        [&self.table, &self.fingerprint, &self.text, &self.outcome].into_iter().any(Option::is_some)
    }

    fn filter(&self, now: Now) -> Result<Filter, Problem> {
        let time = |text: &Option<String>| {
            let Some(text) = text else { return Ok(None) };
            let wrong = || Problem::new(StatusCode::BAD_REQUEST, "a time reads 7d, 12h or 2026-05-04T10:00:00Z");
            instant_of(text, now.wall).map(Some).ok_or_else(wrong)
        };
        Ok(Filter {
            connection: self.connection.clone(),
            open: self.state == Some(ListState::Open),
            mine: self.mine,
            who: self.subject.clone(),
            ended: None,
            from: time(&self.since)?,
            until: time(&self.until)?,
            after: self.cursor.clone(),
            limit: self.limit,
        })
    }
}

/// Answers the list or the search.
pub(super) async fn sessions(
    state: &State,
    identity: &Identity,
    query: SessionsQuery,
    now: Now,
) -> Result<List<Session>, Problem> {
    let filter = query.filter(now)?;
    if !query.asks_for_statements() {
        return Ok(list(state.access.sessions(identity, &filter, now).await?, Session::of));
    }
    if filter.after.is_some() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "a search for statements has no `cursor`: narrow it instead",
        ));
    }
    let search = Search {
        who: None,
        connection: query.connection,
        table: query.table,
        fingerprint: query.fingerprint,
        text: query.text,
        outcome: query.outcome,
        since: filter.from,
        until: filter.until,
        scope: Some(state.access.replayable(identity)?),
        limit: FOUND_MAX,
    };
    let found = state.recorder.find(search).await.map_err(|error| failed(&error))?;
    let ids: Vec<SessionId> = found.iter().filter_map(|found| SessionId::parse(&found.session)).collect();
    // The time was that of the statements; a session may be older.
    let filter = Filter { from: None, until: None, ..filter };
    Ok(list(state.access.recorded_among(identity, &filter, &ids).await?, Session::of))
}

fn failed(error: &FindError) -> Problem {
    if let FindError::Failed(source) = error {
        tracing::error!(error = %source, "recordings cannot be searched");
    }
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}
