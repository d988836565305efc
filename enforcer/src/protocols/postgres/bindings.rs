//! What was bound to portals, kept where people may have to be shown it: exactly what the server confirmed.
//!
//! Synchronous. A value must never be shown under a type that the server did not name.

use super::names::Meanings;
use super::wire::client::{Bind, format_of};
use super::wire::frame::Format;
use crate::core::hold::{Agreed, Parameter};
use crate::recording::{hexadecimal, readable};
use std::collections::BTreeMap;

/// Bytes of parameters that one session keeps for all of its portals.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// A Bind that was sent.
#[derive(Debug)]
pub struct Binding {
    /// What the statement was.
    pub(super) meanings: Meanings,
    /// Its name.
    pub(super) statement: Box<str>,
    /// Digest of the message.
    pub(super) digest: String,
    /// Its values; none when they are too many to be kept.
    pub(super) values: Option<Vec<Value>>,
    kept_bytes: usize,
}

/// A value with its format; none is null.
type Value = Option<(Format, Box<[u8]>)>;

impl Binding {
    fn new(bind: &Bind<'_>, body: &[u8], meanings: Meanings, bytes_max: usize) -> Self {
        let bytes: usize = bind.parameters.iter().flatten().map(|value| value.len()).sum();
        let keeps = bytes <= bytes_max && bind.parameters.len() <= bytes_max;
        let format = |at| format_of(&bind.parameter_formats, at);
        Self {
            meanings,
            statement: bind.statement.into(),
            digest: blake3::hash(body).to_hex().to_string(),
            values: keeps.then(|| {
                let values = bind.parameters.iter().enumerate();
                values.map(|(at, value)| value.map(|value| (format(at), Box::from(value)))).collect()
            }),
            kept_bytes: if keeps { bytes } else { 0 },
        }
    }

    /// The values as people read them.
    fn parameters(&self, types: &[u32]) -> Option<Vec<Parameter>> {
        let shown = |(at, value): (usize, &Value)| match value {
            None => Parameter::Null,
            Some((format, bytes)) => shown(*format, bytes, types.get(at).copied().unwrap_or(0)),
        };
        self.values.as_ref().map(|values| values.iter().enumerate().map(shown).collect())
    }
}

fn shown(format: Format, bytes: &[u8], type_oid: u32) -> Parameter {
    let text = match format {
        Format::Text => std::str::from_utf8(bytes).ok().map(str::to_owned),
        Format::Binary => readable(type_oid, bytes),
    };
    match text {
        Some(text) => Parameter::Text(text),
        None => Parameter::Binary(hexadecimal(bytes)),
    }
}

/// What a portal was bound to.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) meanings: Meanings,
    pub(super) digest: String,
    /// None when they are too many to be shown.
    pub(super) parameters: Option<Vec<Parameter>>,
    kept_bytes: usize,
}

/// The portals of a session that people may have to be shown, and those that they have agreed to.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    types: BTreeMap<Box<str>, Vec<u32>>,
    bound: BTreeMap<Box<str>, Bound>,
    agreed: BTreeMap<Box<str>, Agreed>,
    kept_bytes: usize,
}

impl Bindings {
    /// A Bind, as it has to be kept until the server confirms it.
    pub(super) fn binding(&self, bind: &Bind<'_>, body: &[u8], meanings: Meanings, bytes_max: usize) -> Binding {
        Binding::new(bind, body, meanings, bytes_max.min(KEPT_BYTES_MAX.saturating_sub(self.kept_bytes)))
    }

    /// The server says which types a statement's parameters have.
    pub(super) fn typed(&mut self, statement: &str, types: Vec<u32>) {
        self.types.insert(statement.into(), types);
    }

    /// What a Bind means that the server is about to confirm, given the types that stand before it.
    pub(super) fn bound(&self, binding: &Binding, types: Option<&[u32]>) -> Bound {
        let known = types.or_else(|| self.types.get(&binding.statement).map(Vec::as_slice)).unwrap_or_default();
        Bound {
            meanings: binding.meanings.clone(),
            digest: binding.digest.clone(),
            parameters: binding.parameters(known),
            kept_bytes: binding.kept_bytes,
        }
    }

    /// The server confirmed a Bind; none when nothing of it has to be kept.
    pub(super) fn confirm(&mut self, portal: &str, binding: Option<&Binding>) {
        self.forget_portal(portal);
        if let Some(binding) = binding {
            let bound = self.bound(binding, None);
            self.kept_bytes = self.kept_bytes.saturating_add(bound.kept_bytes);
            self.bound.insert(portal.into(), bound);
        }
    }

    /// What a portal was bound to.
    pub(super) fn portal(&self, portal: &str) -> Option<&Bound> {
        self.bound.get(portal)
    }

    /// People agreed to what a portal or cursor runs: the rest of its rows needs no other word.
    pub(super) fn agree(&mut self, portal: &str, agreed: &Agreed) {
        self.agreed.insert(portal.into(), agreed.clone());
    }

    /// What was agreed on for a portal or cursor.
    pub(super) fn agreed(&self, portal: &str) -> Option<&Agreed> {
        self.agreed.get(portal)
    }

    /// The name is about to stand for something else.
    pub(super) fn disagree(&mut self, portal: &str) {
        self.agreed.remove(portal);
    }

    pub(super) fn forget_portal(&mut self, portal: &str) {
        self.agreed.remove(portal);
        if let Some(bound) = self.bound.remove(portal) {
            self.kept_bytes = self.kept_bytes.saturating_sub(bound.kept_bytes);
        }
    }

    pub(super) fn forget_portals(&mut self) {
        self.agreed.clear();
        self.bound.clear();
        self.kept_bytes = 0;
    }

    pub(super) fn forget_statement(&mut self, statement: &str) {
        self.types.remove(statement);
    }

    pub(super) fn forget_statements(&mut self) {
        self.types.clear();
    }
}
