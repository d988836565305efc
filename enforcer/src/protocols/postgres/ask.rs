//! The gateway's own questions to a target that is ready: its catalog, and what a role holds. Awaits on the socket.
//!
//! It must never send a client's text, nor hand on what a target says but in the words of its caller.

use super::masking;
use super::wire::frame::{Frame, ServerTag};
use super::wire::server::Fields;
use super::wire::write;
use crate::core::limits::Limits;
use bytes::BytesMut;
use pgsql::provision::check::{self, Held};
use pgsql::snapshot::{Builder, Catalog, Unexpected, query};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Values that a question of one column may have for an answer.
const VALUES_MAX: usize = 1_000;

/// A target that is ready for a query.
#[derive(Debug)]
pub struct Ready<'a, S> {
    /// The connection.
    pub stream: &'a mut S,
    /// What was read and not yet used.
    pub input: &'a mut BytesMut,
    /// Bounds.
    pub limits: &'a Limits,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Ready<'_, S> {
    /// The target's catalog.
    ///
    /// # Errors
    /// With one sentence when it cannot be read.
    pub async fn catalog(&mut self) -> Result<Catalog, String> {
        let mut builder = Builder::default();
        let done = self.ask(query::TEXT, &mut |values| builder.row(values)).await;
        done.map_err(|why| format!("the target's catalog cannot be read: {why}"))?;
        Ok(builder.build())
    }

    /// What a role holds there.
    ///
    /// # Errors
    /// With one sentence when it cannot be read.
    pub async fn held(&mut self, role: &str) -> Result<Held, String> {
        let mut held = Held::default();
        let done = self.ask(&check::query(role), &mut |values| held.row(values)).await;
        done.map_err(|why| format!("the role's privileges cannot be read: {why}"))?;
        Ok(held)
    }

    /// Runs a text of the gateway's own making that gives one column at most; its values.
    ///
    /// # Errors
    /// With the target's own message, which is for the gateway's operators only.
    pub async fn values(&mut self, sql: &str) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let take = &mut |values: &[Option<&str>]| {
            found.extend(values.first().copied().flatten().map(str::to_owned));
            if found.len() > VALUES_MAX { Err(Unexpected) } else { Ok(()) }
        };
        self.ask(sql, take).await?;
        Ok(found)
    }

    /// Runs a text and hands each row that comes back to `take`.
    ///
    /// # Errors
    /// With the target's own message, which is for the gateway's operators only.
    pub async fn ask(&mut self, sql: &str, take: masking::Take<'_>) -> Result<(), String> {
        let mut query = BytesMut::new();
        write::query(&mut query, sql).map_err(|error| error.to_string())?;
        let io = |error: std::io::Error| error.to_string();
        self.stream.write_all(&query).await.map_err(io)?;
        self.stream.flush().await.map_err(io)?;
        let mut failed = None;
        loop {
            match Frame::<ServerTag>::next(self.input, self.limits) {
                Err(error) => return Err(error.to_string()),
                Ok(None) => {
                    if self.stream.read_buf(self.input).await.map_err(io)? == 0 {
                        return Err("the connection closed".to_owned());
                    }
                }
                Ok(Some(frame)) => {
                    let tag = frame.tag();
                    if tag == ServerTag::ReadyForQuery {
                        return failed.map_or(Ok(()), Err);
                    }
                    if tag == ServerTag::ErrorResponse {
                        let fields = Fields::read(frame.body()).map_err(|error| error.to_string())?;
                        let message = fields.message().unwrap_or("the target refuses").to_owned();
                        failed.get_or_insert(message);
                    }
                    if tag == ServerTag::DataRow {
                        masking::take_row(frame.body(), take).map_err(|error| error.to_string())?;
                    }
                }
            }
        }
    }
}
