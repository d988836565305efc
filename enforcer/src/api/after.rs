//! Reviews, notices, activations and the history, over HTTP.

use super::body::{ListState, Named, Nothing, PageQuery, Read, Write};
use super::handlers::list;
use super::view::{List, Subject};
use super::{Problem, State};
use crate::access::{Did, Filter};
use crate::core::id::WindowId;
use crate::gateway::clock;
use crate::store;
use axum::Json;
use axum::extract::{Path, State as Extracted};
use serde::{Deserialize, Serialize};

/// The review that a break-glass window owes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The window.
    pub window: String,
    /// `open`, `overdue` or `done`.
    pub state: String,
    /// Whose window it is.
    pub subject: Subject,
    /// The connection.
    pub connection: String,
    /// The break-glass grant.
    pub grant: String,
    /// Who reviews, for example `1 from group:security`.
    pub quorum: String,
    /// When it is or was overdue.
    pub due: String,
    /// What was said so far.
    pub verdicts: Vec<Verdict>,
    /// When it was done.
    pub done: Option<String>,
    /// Whether the caller may speak.
    pub may_review: bool,
}

/// One person's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Who.
    pub subject: Subject,
    /// Whether the use is called into question.
    pub concern: bool,
    /// What was said.
    pub note: Option<String>,
    /// When.
    pub at: String,
}

impl Review {
    /// As it stands at an instant.
    pub fn of(review: &store::Review, may_review: bool, now: lang::time::Timestamp) -> Self {
        let groups: Vec<String> = review.quorum.from.iter().map(|group| format!("group:{group}")).collect();
        let state = match review.done {
            Some(_) => "done",
            None if review.is_overdue(now) => "overdue",
            None => "open",
        };
        Self {
            window: review.window.to_string(),
            state: state.to_owned(),
            subject: Subject::new(&review.subject, review.subject_name.as_ref()),
            connection: review.connection.clone(),
            grant: review.grant.clone(),
            quorum: format!("{} from {}", review.quorum.count, groups.join(" ")),
            due: review.due.to_string(),
            verdicts: review
                .verdicts
                .iter()
                .map(|verdict| Verdict {
                    subject: Subject::new(&verdict.subject, verdict.subject_name.as_ref()),
                    concern: verdict.concern,
                    note: verdict.note.clone(),
                    at: verdict.at.to_string(),
                })
                .collect(),
            done: review.done.map(|done| done.to_string()),
            may_review,
        }
    }
}

/// What a word on a break-glass window did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviewed {
    /// What it did.
    pub did: Did,
    /// The review after it.
    pub review: Review,
}

/// The body of `POST /v1/windows/{id}/review`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReviewBody {
    #[serde(default)]
    concern: bool,
    note: Option<String>,
}

/// The parameters of `GET /v1/reviews`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReviewQuery {
    state: Option<ListState>,
    cursor: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn reviews(
    Extracted(state): Extracted<State>,
    Read { identity, query }: Read<ReviewQuery>,
) -> Result<Json<List<Review>>, Problem> {
    let open = query.state != Some(ListState::All);
    let filter = Filter { open, after: query.cursor, limit: query.limit, ..Filter::default() };
    let listed = state.access.reviews(&identity, &filter).await?;
    let at = state.access.instant(clock::now());
    Ok(Json(list(listed, |(review, may)| Review::of(review, *may, at))))
}

pub(super) async fn review(
    Extracted(state): Extracted<State>,
    Named(id): Named<WindowId>,
    write: Write<ReviewBody>,
) -> Result<Json<Reviewed>, Problem> {
    let now = clock::now();
    let ReviewBody { concern, note } = write.body.clone();
    let (did, review) =
        write.access(&state).review(&write.identity, &id, concern, note, write.key.as_ref(), now).await?;
    Ok(Json(Reviewed { did, review: Review::of(&review, false, state.access.instant(now)) }))
}

/// Something that a channel is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its name.
    pub id: String,
    /// `waiting`, `delivered` or `dead`.
    pub state: String,
    /// The channel.
    pub channel: String,
    /// What it tells of.
    pub kind: String,
    /// The request or window.
    pub about: String,
    /// When it was written.
    pub created: String,
    /// Attempts so far.
    pub attempts: u32,
    /// Why the last one failed.
    pub error: Option<String>,
}

impl Notice {
    /// As it stands.
    pub fn of(notice: &store::Notice) -> Self {
        Self {
            id: notice.id.clone(),
            state: notice.state.word().to_owned(),
            channel: notice.channel.clone(),
            kind: notice.kind.clone(),
            about: notice.about.clone(),
            created: notice.created.to_string(),
            attempts: notice.attempts,
            error: notice.error.clone(),
        }
    }
}

/// The parameters of `GET /v1/notices`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoticeQuery {
    state: Option<store::NoticeState>,
    cursor: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn notices(
    Extracted(state): Extracted<State>,
    Read { identity, query }: Read<NoticeQuery>,
) -> Result<Json<List<Notice>>, Problem> {
    let wanted = query.state.unwrap_or(store::NoticeState::Dead);
    let filter = Filter { after: query.cursor, limit: query.limit, ..Filter::default() };
    Ok(Json(list(state.access.notices(&identity, wanted, &filter).await?, Notice::of)))
}

pub(super) async fn retry_notice(
    Extracted(state): Extracted<State>,
    Path(id): Path<String>,
    write: Write<Nothing>,
) -> Result<Json<serde_json::Value>, Problem> {
    state.access.retry_notice(&write.identity, &id, clock::now()).await?;
    Ok(Json(serde_json::json!({ "did": "retried" })))
}

/// One entry of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number.
    pub seq: u64,
    /// When.
    pub at: String,
    /// Who did it; none for the policy and for time.
    pub actor: Option<Subject>,
    /// What.
    pub event: String,
    /// The request, window, session or commit.
    pub about: String,
    /// The connection that it concerns.
    pub connection: Option<String>,
    /// Whose request, window or session it is.
    pub subject: Option<Subject>,
    /// More.
    pub detail: serde_json::Value,
}

impl Event {
    /// As a caller sees it: what a token asserted stays inside.
    pub fn of(audit: &store::AuditEntry) -> Self {
        let entry = &audit.entry;
        let mut detail = entry.detail.clone();
        if let Some(asked) = detail.get_mut("asked").and_then(serde_json::Value::as_object_mut) {
            asked.remove("evidence");
        }
        Self {
            seq: entry.seq,
            at: entry.at.to_string(),
            actor: entry.actor.as_ref().map(|actor| Subject::new(actor, None)),
            event: entry.event.clone(),
            about: entry.about.clone(),
            connection: audit.connection.clone(),
            subject: audit.subject.as_ref().map(|subject| Subject::new(subject, None)),
            detail,
        }
    }
}

pub(super) async fn audit(
    Extracted(state): Extracted<State>,
    Read { identity, query }: Read<PageQuery>,
) -> Result<Json<List<Event>>, Problem> {
    let listed = state.access.audit(&identity, query.cursor, query.limit.unwrap_or(50)).await?;
    Ok(Json(list(listed, Event::of)))
}

/// A policy that came into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// Commit of the policy repository.
    pub commit: String,
    /// The commit before it on that gateway.
    pub previous: Option<String>,
    /// Semantic digest.
    pub digest: String,
    /// The commit's date.
    pub committed_at: String,
    /// When it came into force.
    pub activated_at: String,
    /// The gateway.
    pub gateway: String,
    /// Rules that came (`+`), went (`-`) and changed (`~`).
    pub changes: Vec<String>,
    /// Who gained (`+`) and lost (`-`) what.
    #[serde(default)]
    pub access: Vec<String>,
}

impl Activation {
    /// As it was written down.
    pub fn of(bundle: &store::Bundle) -> Self {
        Self {
            commit: bundle.commit.clone(),
            previous: bundle.previous.clone(),
            digest: bundle.digest.clone(),
            committed_at: bundle.committed_at.to_string(),
            activated_at: bundle.activated_at.to_string(),
            gateway: bundle.gateway.clone(),
            changes: bundle.summary.lines().map(str::to_owned).collect(),
            access: bundle.access.clone(),
        }
    }
}

/// Where people sign in, for `leasehold login`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// The issuer.
    pub issuer: String,
    /// The client id of the command line.
    pub client_id: String,
    /// Scopes to ask for.
    pub scope: String,
    /// The resource to ask a token for.
    pub resource: Option<String>,
    /// Where a browser is sent.
    pub authorization_endpoint: String,
    /// Where codes become tokens.
    pub token_endpoint: String,
    /// Where a device asks for a code.
    pub device_authorization_endpoint: Option<String>,
}

/// Needs no token: it is how one comes by one.
pub(super) async fn sign_in(Extracted(state): Extracted<State>) -> Result<Json<SignIn>, Problem> {
    use axum::http::StatusCode;
    let unavailable = |sentence: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, sentence);
    let Some(setting) = &state.sign_in else {
        let sentence = "the gateway's configuration names no `sign-in`; bring a token of your own";
        return Err(Problem::new(StatusCode::NOT_FOUND, sentence));
    };
    let active = state.policy.active().ok_or_else(|| unavailable("no policy is in force yet".to_owned()))?;
    let found = state.verifier.endpoints(&active.program, &setting.idp).await;
    let found = found.map_err(|refused| unavailable(refused.sentence))?;
    let client_id =
        setting.cli_client_id.clone().or_else(|| setting.secret.is_none().then(|| setting.client_id.clone()));
    Ok(Json(SignIn {
        issuer: found.issuer,
        client_id: client_id.ok_or_else(|| {
            let sentence = "the gateway's configuration names no `cli-client-id`; bring a token of your own";
            Problem::new(StatusCode::NOT_FOUND, sentence)
        })?,
        scope: setting.scope.clone(),
        resource: setting.resource.clone(),
        authorization_endpoint: found.authorization,
        token_endpoint: found.token,
        device_authorization_endpoint: found.device,
    }))
}
