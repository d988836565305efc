//! `GET /v1/sessions/{id}/recording`: the files of a recording as one tar archive, byte for byte.
//!
//! The folder follows from the session's identifier alone, never from a client's text. A file is read up to the
//! length that it had when it was opened, so that a live session's recording is a whole prefix.

use super::body::{Named, Nothing, Read};
use super::{Problem, State};
use crate::core::id::SessionId;
use crate::recording;
use crate::recording::archive::{self, store::StoreError};
use axum::body::Body;
use axum::extract::State as Extracted;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 256 * 1024;
/// Bytes of a tar block.
const BLOCK: u64 = 512;

pub(super) async fn recording(
    Extracted(state): Extracted<State>,
    Named(id): Named<SessionId>,
    Read { identity, query: _ }: Read<Nothing>,
) -> Result<Response, Problem> {
    let session = state.access.recorded_session(&identity, &id).await?;
    let folder = state.recorder.folder().to_owned();
    let found = blocking(move || listed(&folder, &session.id)).await.map_err(|error| failed(&error))?;
    tracing::info!(session = %id, by = %identity.subject, "a recording is handed out");
    let Some((folder, numbers)) = found else { return from_archive(&state, &id).await };
    let pieces = stream::try_unfold(Archive::new(&id, folder, numbers), |mut archive| async move {
        let (archive, piece) = blocking(move || {
            let piece = archive.next()?;
            Ok((archive, piece))
        })
        .await?;
        Ok::<_, io::Error>(piece.map(|piece| (piece, archive)))
    });
    Ok(answer(&id, Body::from_stream(pieces)))
}

fn answer(id: &SessionId, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    if let Ok(name) = HeaderValue::try_from(format!("attachment; filename=\"{id}.tar\"")) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}

/// A recording that stands in the archive alone, object by object.
async fn from_archive(state: &State, id: &SessionId) -> Result<Response, Problem> {
    let absent = || Problem::new(StatusCode::NOT_FOUND, "the recording of this session is not on this gateway");
    let failed = |error: StoreError| {
        tracing::error!(%error, session = %id, "a recording cannot be read from the archive");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the archive of recordings does not answer; try again")
    };
    let Some(place) = state.recorder.archive().cloned() else { return Err(absent()) };
    let store = place.open().map_err(failed)?;
    let segments = archive::segments(store.as_ref(), id).await.map_err(failed)?;
    if segments.is_empty() {
        return Err(absent());
    }
    let (session, last) = (id.clone(), Bytes::from_static(&[0; 1024]));
    let objects = stream::iter(segments).then(move |(name, bytes)| {
        let (store, session) = (Arc::clone(&store), session.clone());
        async move {
            let object = format!("{}/{name}", archive::name_of(&session));
            let found = store.get(&object).await.map_err(io::Error::other)?;
            let found = found.ok_or_else(|| io::Error::other("an object went meanwhile"))?;
            let length = u64::try_from(found.len()).unwrap_or(u64::MAX);
            if length != bytes {
                return Err(io::Error::other("an object has another length than its list says"));
            }
            let mut piece = header_block(&format!("{session}/{name}"), length);
            piece.extend_from_slice(&found);
            let padding = (BLOCK - length % BLOCK) % BLOCK;
            piece.resize(piece.len() + usize::try_from(padding).unwrap_or(0), 0);
            Ok(Bytes::from(piece))
        }
    });
    Ok(answer(id, Body::from_stream(objects.chain(stream::once(async { Ok::<_, io::Error>(last) })))))
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn failed(error: &io::Error) -> Problem {
    tracing::error!(%error, "a recording cannot be read");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the recording cannot be read now; try again")
}

/// The numbers of a recording's segments; none when there is no recording here.
fn listed(recordings: &Path, session: &SessionId) -> io::Result<Option<(PathBuf, BTreeSet<u32>)>> {
    let Some(folder) = recording::find(recordings, session)? else { return Ok(None) };
    let mut numbers = BTreeSet::new();
    for entry in std::fs::read_dir(&folder)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(recording::segment_number).map(|(number, _)| number));
    }
    Ok((!numbers.is_empty()).then_some((folder, numbers)))
}

/// Opens one segment as it stands at this moment: compressed, or plain; none when it went meanwhile.
fn open(folder: &Path, number: u32) -> io::Result<Option<(String, File)>> {
    // It may be compressed between the two looks.
    for _ in 0..2 {
        for name in [format!("{number:06}.rec.zst"), format!("{number:06}.rec")] {
            match File::open(folder.join(&name)) {
                Ok(file) => return Ok(Some((name, file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(None)
}

/// A tar archive, piece by piece. One file is open at a time, however many segments there are.
struct Archive {
    session: SessionId,
    folder: PathBuf,
    /// The segments that come next.
    numbers: BTreeSet<u32>,
    /// The file that is being read, and how much of it is left.
    current: Option<(File, u64, u64)>,
    ended: bool,
}

impl Archive {
    fn new(session: &SessionId, folder: PathBuf, numbers: BTreeSet<u32>) -> Self {
        Self { session: session.clone(), folder, numbers, current: None, ended: false }
    }

    fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some((mut file, left, length)) = self.current.take() {
            let want = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            let mut piece = vec![0; want];
            file.read_exact(&mut piece)?;
            let left = left.saturating_sub(u64::try_from(want).unwrap_or(u64::MAX));
            if left > 0 {
                self.current = Some((file, left, length));
            } else {
                let padding = (BLOCK - length % BLOCK) % BLOCK;
                piece.resize(want + usize::try_from(padding).unwrap_or(0), 0);
            }
            return Ok(Some(piece.into()));
        }
        while let Some(number) = self.numbers.pop_first() {
            // A hole is for `verify` to find.
            let Some((name, file)) = open(&self.folder, number)? else { continue };
            let length = file.metadata()?.len();
            let head = header_block(&format!("{}/{name}", self.session), length);
            if length > 0 {
                self.current = Some((file, length, length));
            }
            return Ok(Some(head.into()));
        }
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        Ok(Some(vec![0; 1024].into()))
    }
}

/// The ustar header of one regular file.
fn header_block(name: &str, length: u64) -> Vec<u8> {
    let mut block = Vec::with_capacity(512);
    let mut field = |text: &str, width: usize| {
        let start = block.len();
        block.extend(text.bytes().take(width));
        block.resize(start + width, 0);
    };
    field(name, 100);
    field("0000600\0", 8);
    field("0000000\0", 8);
    field("0000000\0", 8);
    field(&format!("{length:011o}\0"), 12);
    field("00000000000\0", 12);
    field("        ", 8);
    field("0", 1);
    field("", 100);
    field("ustar\u{0}00", 8);
    field("", 247);
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let check = format!("{sum:06o}\0 ");
    block.splice(148..156, check.bytes());
    block
}
