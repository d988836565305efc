//! A statement that waits for people, as the API shows it: exactly what would run.

use crate::access::Caller;
use crate::core::hold;
use crate::store;
use serde::{Deserialize, Serialize};

/// The statement of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The session that waits.
    pub session: String,
    /// The text, as the client sent it.
    pub text: String,
    /// Texts that it runs by name: prepared statements, cursors.
    pub named: Vec<Named>,
    /// The values of `$1`, `$2` and so on; none for whoever neither sent nor decides it.
    pub parameters: Vec<Parameter>,
    /// Operations with their objects.
    pub accesses: Vec<String>,
    /// The rules that want the review.
    pub rules: Vec<String>,
    /// Whether the session's transaction may hold locks while it waits.
    pub in_transaction: bool,
    /// Digest of the message and everything that it runs by name.
    pub digest: String,
    /// When it ran; the approval is used up.
    pub released: Option<String>,
}

/// A text behind a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A parameter's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// The text; for `binary` in hexadecimal; none for null.
    pub value: Option<String>,
    /// Whether the gateway cannot read the value's type.
    pub binary: bool,
}

impl Statement {
    /// The statement of a request, when it is for one.
    pub fn of(caller: &Caller, request: &store::Request) -> Option<Self> {
        let statement = request.asked.purpose.statement()?;
        let shown = &statement.shown;
        // Whoever may look at requests learns that it waits and what it does, not the values in it.
        let sees_values = request.asked.subject == caller.identity.subject || !caller.lines(request).is_empty();
        let parameters = if sees_values { shown.parameters.as_slice() } else { &[] };
        Some(Self {
            session: statement.session.to_string(),
            text: shown.text.clone(),
            named: shown
                .named
                .iter()
                .map(|named| Named { name: named.name.clone(), text: named.text.clone() })
                .collect(),
            parameters: parameters.iter().map(Parameter::of).collect(),
            accesses: statement.accesses.clone(),
            rules: statement.rules.clone(),
            in_transaction: statement.in_transaction,
            digest: statement.digest.clone(),
            released: request.used.map(|at| at.to_string()),
        })
    }
}

impl Parameter {
    fn of(parameter: &hold::Parameter) -> Self {
        match parameter {
            hold::Parameter::Null => Self { value: None, binary: false },
            hold::Parameter::Text(text) => Self { value: Some(text.clone()), binary: false },
            hold::Parameter::Binary(bytes) => Self { value: Some(bytes.clone()), binary: true },
        }
    }

    /// The value as people read it.
    pub fn words(&self) -> String {
        match (&self.value, self.binary) {
            (None, _) => "null".to_owned(),
            (Some(text), false) => format!("'{text}'"),
            (Some(bytes), true) => format!("\\x{bytes} (binary, of a type that the gateway cannot read)"),
        }
    }
}
