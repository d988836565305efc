//! Why something was not done, in words that may leave the gateway.
//!
//! A refusal names the rule that decided and where it stands; never a guard's pattern, and never a rule that
//! concerns other subjects only.

use crate::store::StoreError;
use lang::program::rules::RuleId;
use lang::program::{Place, Program, Reason};

/// One sentence with the rule behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Because {
    /// What a person or an agent can act on.
    pub sentence: String,
    /// The rule that decided, when one did.
    pub rule: Option<RuleId>,
    /// Where the rule stands in the policy repository.
    pub place: Option<Place>,
}

impl Because {
    /// A sentence without a rule.
    pub fn plain(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), rule: None, place: None }
    }

    /// A sentence with the rule that decided.
    pub fn rule(program: &Program, rule: RuleId, sentence: impl Into<String>) -> Self {
        let place = program.place(&rule).cloned();
        Self { sentence: sentence.into(), rule: Some(rule), place }
    }

    /// The reasons of the policy.
    pub fn reasons(program: &Program, reasons: &[Reason]) -> Vec<Self> {
        reasons
            .iter()
            .map(|reason| Self {
                sentence: reason.why.to_string(),
                place: reason.rule.as_ref().and_then(|rule| program.place(rule)).cloned(),
                rule: reason.rule.clone(),
            })
            .collect()
    }
}

impl std::fmt::Display for Because {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sentence)?;
        match (&self.rule, &self.place) {
            (Some(rule), Some(place)) => write!(f, " ({rule}, {place})"),
            (Some(rule), None) => write!(f, " ({rule})"),
            (None, _) => Ok(()),
        }
    }
}

/// Why something was not done. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The policy says no.
    #[error("{}", sentences(.0))]
    Policy(Vec<Because>),
    /// There is no such thing, or the caller may not know of it.
    #[error("there is no {0} of that name that you may see")]
    NotFound(&'static str),
    /// The caller may see it, but not do this.
    #[error("{0}")]
    Forbidden(Because),
    /// Its state does not allow this any more.
    #[error("{0}")]
    State(Because),
    /// It is not what the caller looked at any more.
    #[error("it has changed since you looked; look again and decide anew")]
    Changed,
    /// What was asked has no meaning.
    #[error("{0}")]
    Invalid(String),
    /// The same `Idempotency-Key` was used for something else.
    #[error("this Idempotency-Key was used for something else; use a new one for each new wish")]
    KeyReused,
    /// No policy is in force.
    #[error("no policy is in force yet; nothing is permitted")]
    NoPolicy,
    /// The state could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn sentences(all: &[Because]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Refused {
    /// One plain sentence of the policy.
    pub fn policy(because: Because) -> Self {
        Self::Policy(vec![because])
    }

    /// The sentences with their rules.
    pub fn because(&self) -> Vec<Because> {
        match self {
            Self::Policy(all) => all.clone(),
            Self::Forbidden(because) | Self::State(because) => vec![because.clone()],
            Self::NotFound(_)
            | Self::Changed
            | Self::Invalid(_)
            | Self::KeyReused
            | Self::NoPolicy
            | Self::Store(_) => {
                vec![Because::plain(self.to_string())]
            }
        }
    }
}
