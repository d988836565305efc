//! The steps of a recording that a replay shows: from an instant on, only some kinds, and on with a live session.

use super::replay::{Args, Only, Pace, ReplayError};
use crate::recording::read::Reader;
use crate::recording::transcript::{Item, Step, Transcript};
use lang::time::{Timestamp, Ttl};
use std::collections::VecDeque;
use std::time::Duration;

/// Between two looks at a live recording.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Where a replay begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// At an instant.
    At(Timestamp),
    /// Milliseconds after the opening.
    After(u64),
}

impl From {
    pub(super) fn parse(text: &str) -> Result<Self, ReplayError> {
        if let Some(at) = Timestamp::parse_rfc3339(text) {
            return Ok(Self::At(at));
        }
        let length = Ttl::parse(text.trim_start_matches('+')).map_err(|_| ReplayError::From(text.to_owned()))?;
        Ok(Self::After(u64::try_from(length.to_std().as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Gives one step after another.
#[derive(Debug)]
pub(super) struct Source {
    transcript: Transcript,
    fresh: Vec<Step>,
    queue: VecDeque<Step>,
    from: Option<From>,
    opened: Option<Timestamp>,
    only: Option<Only>,
    follow: bool,
    /// The statement that a denial may follow.
    asked: Option<Step>,
}

impl Source {
    pub(super) fn new(args: &Args, from: Option<From>) -> Self {
        Self {
            transcript: Transcript::default(),
            fresh: Vec::new(),
            queue: VecDeque::new(),
            from,
            opened: None,
            only: args.only,
            follow: args.follow,
            asked: None,
        }
    }

    /// The next step that is shown; `None` at the end.
    pub(super) fn next(&mut self, reader: &mut Reader, pace: &mut dyn Pace) -> Result<Option<Step>, ReplayError> {
        loop {
            if let Some(step) = self.queue.pop_front() {
                return Ok(Some(step));
            }
            if let Some(entry) = reader.next_entry()? {
                self.transcript.push(entry, &mut self.fresh);
                for step in std::mem::take(&mut self.fresh) {
                    self.take(step);
                }
            } else if self.follow && reader.again()? {
                pace.wait(LOOK_EVERY);
            } else {
                return Ok(None);
            }
        }
    }

    fn take(&mut self, step: Step) {
        if matches!(step.item, Item::Opened(_)) {
            self.opened = Some(step.at);
            return self.queue.push_back(step);
        }
        let begun = match (self.from, self.opened) {
            (None, _) => true,
            (Some(From::At(at)), _) => step.at >= at,
            (Some(From::After(ms)), opened) => opened.is_some_and(|opened| step.at.ms_since(opened) >= ms),
        };
        match self.only {
            _ if !begun => {}
            None => self.queue.push_back(step),
            Some(Only::Statements) => {
                if is_of_statements(&step.item) {
                    self.queue.push_back(step);
                }
            }
            Some(Only::Denials) => self.take_denial(step),
        }
    }

    fn take_denial(&mut self, step: Step) {
        if let Item::Decision(decision) = &step.item {
            let asked = self.asked.take();
            if decision.outcome == "denied" {
                self.queue.extend(asked);
                self.queue.push_back(step);
            }
        } else if matches!(step.item, Item::Query { .. } | Item::Parse { .. } | Item::Execute { .. }) {
            self.asked = Some(step);
        } else if matches!(step.item, Item::Closed { .. }) {
            self.queue.push_back(step);
        }
    }
}

const fn is_of_statements(item: &Item) -> bool {
    match item {
        Item::Opened(_)
        | Item::Query { .. }
        | Item::Parse { .. }
        | Item::Bind { .. }
        | Item::Execute { .. }
        | Item::Decision(_)
        | Item::Done { .. }
        | Item::Report { .. }
        | Item::Reauthorised { .. }
        | Item::Closed { .. } => true,
        Item::Close { .. }
        | Item::Columns { .. }
        | Item::Row { .. }
        | Item::Copy { .. }
        | Item::RowsOmitted { .. }
        | Item::Note { .. } => false,
    }
}
