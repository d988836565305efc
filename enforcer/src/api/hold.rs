//! `POST /v1/sessions/{id}/hold` and `…/release`: legal holds, for those whom `operate … hold` names.
//!
//! Order matters. A hold is answered only once the signed log has it; a release is judged and in the history before the
//! log has it. A call that breaks off in between leaves a recording held, never released.

use super::body::{Named, Write};
use super::view::Session;
use super::{Problem, State};
use crate::access::{Did, Wish};
use crate::core::id::SessionId;
use crate::gateway::clock;
use crate::recording::hold::{self, HoldError, REASON_BYTES_MAX};
use axum::Json;
use axum::extract::State as Extracted;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

/// The body of `hold` and `release`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HoldBody {
    reason: Option<String>,
}

/// Who holds a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The subject, as `IDP:TENANT:ID`.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: String,
}

/// How a recording stands after a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What the call did.
    pub did: Did,
    /// The session.
    pub session: Session,
    /// The hold, while there is one.
    pub hold: Option<Hold>,
}

pub(super) async fn hold(
    Extracted(state): Extracted<State>,
    Named(id): Named<SessionId>,
    write: Write<HoldBody>,
) -> Result<Json<Kept>, Problem> {
    keep(&state, id, write, Wish::Hold).await
}

pub(super) async fn release(
    Extracted(state): Extracted<State>,
    Named(id): Named<SessionId>,
    write: Write<HoldBody>,
) -> Result<Json<Kept>, Problem> {
    keep(&state, id, write, Wish::Release).await
}

async fn keep(state: &State, id: SessionId, write: Write<HoldBody>, wish: Wish) -> Result<Json<Kept>, Problem> {
    let reason = write.body.reason.clone().unwrap_or_default();
    if !hold::is_reason(&reason) {
        return Err(Problem::invalid(format!("`reason` is one line of at most {REASON_BYTES_MAX} bytes")));
    }
    state.access.holdable_session(&write.identity, &id).await?;
    let (recorder, session) = (state.recorder.clone(), id.clone());
    let standing = blocking(move || Ok((recorder.is_kept(&session)?, recorder.held(&session).is_some()))).await?;
    let (kept, standing) = standing;
    if !kept {
        return Err(failed(&HoldError::Absent));
    }
    let now = clock::now();
    let wished = (wish, reason.clone());
    let noted = write.access(state).note_hold(&write.identity, &id, wished, standing, write.key.as_ref(), now).await?;
    let (recorder, session, by) = (state.recorder.clone(), id.clone(), write.identity.subject.to_string());
    let at = state.access.instant(now);
    // An answer that is only repeated may hold once more what was released since; it never releases.
    let acts = noted.judged || wish == Wish::Hold;
    let hold = blocking(move || {
        match wish {
            Wish::Hold => recorder.hold(&session, &by, &reason, at)?,
            Wish::Release if acts => recorder.release(&session, &by, &reason, at)?,
            Wish::Release => false,
        };
        Ok(recorder.held(&session))
    })
    .await?;
    tracing::info!(session = %id, by = %write.identity.subject, held = hold.is_some(), "a legal hold");
    let hold = hold.map(|held| Hold { by: held.by, reason: held.why, at: held.at.to_string() });
    Ok(Json(Kept { did: noted.did, session: Session::of(&noted.session), hold }))
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HoldError> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| failed(&HoldError::Io(std::io::Error::other(error))))?.map_err(|error| failed(&error))
}

fn failed(error: &HoldError) -> Problem {
    match error {
        HoldError::Absent => Problem::new(StatusCode::CONFLICT, error.to_string()),
        HoldError::Reason => Problem::invalid(error.to_string()),
        HoldError::TooMany | HoldError::Recorder(_) | HoldError::Io(_) => {
            tracing::error!(%error, "a recording cannot be held or released");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the log of recordings cannot be written now; try again")
        }
    }
}
