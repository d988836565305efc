//! Why a text does not run at all, whatever the policy permits.
//!
//! A refusal never holds more of the client's text than PostgreSQL's own error message quotes.

use thiserror::Error;

/// A text that cannot be judged, or that holds a statement which never runs through the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// PostgreSQL's grammar does not accept the text.
    #[error("{message}")]
    Unparsed {
        /// The grammar's message, as the server words it.
        message: Box<str>,
    },
    /// The text is longer than the judge reads.
    #[error("the statement has {bytes} bytes; at most {bytes_max} are judged")]
    TooLong {
        /// The length of the text.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The text nests deeper than the judge follows.
    #[error("the statement nests too deeply; at most {depth_max} levels are judged")]
    TooDeep {
        /// The bound.
        depth_max: usize,
    },
    /// The tree holds a node, an enumeration's value or a shape that the judge does not know.
    #[error("the statement holds `{name}`, which is not judged")]
    UnknownNode {
        /// The node's name in PostgreSQL's parse tree.
        name: &'static str,
    },
    /// A statement that never runs through the gateway.
    #[error("{statement} never runs through the gateway: {reason}")]
    NeverRuns {
        /// The statement's usual name.
        statement: &'static str,
        /// Why.
        reason: &'static str,
    },
}

impl Refusal {
    /// The grammar's own refusal, without the prefix that the parser's crate adds.
    pub(crate) fn unparsed(error: &pg_query::Error) -> Self {
        use pg_query::Error as P;
        let message = match error {
            P::Parse(message) | P::Scan(message) => message.clone(),
            P::Conversion(_) => "the statement holds a NUL byte".to_owned(),
            P::Decode(_) => "the statement's tree cannot be decoded".to_owned(),
            P::InvalidJson(_) | P::InvalidPointer | P::IsUtility(_) | P::Split(_) => {
                "the statement cannot be parsed".to_owned()
            }
        };
        Self::Unparsed { message: message.into() }
    }
}
