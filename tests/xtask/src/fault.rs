//! The one error type: a sentence for the person at the terminal. It must never carry a token or a password.

use std::fmt;

/// What went wrong, in a sentence.
#[derive(Debug, Clone)]
pub struct Fault(String);

/// A result with such a sentence.
pub type Outcome<T> = Result<T, Fault>;

impl Fault {
    /// Makes one.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// Says what was being done when an error of the system came.
pub trait Doing<T> {
    /// Turns the error into a [`Fault`] that begins with what was being done.
    fn doing(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| Fault(format!("{}: {error}", what())))
    }
}

/// A check with a sentence for when it does not hold.
pub fn ensure(holds: bool, sentence: impl FnOnce() -> String) -> Outcome<()> {
    if holds { Ok(()) } else { Err(Fault(sentence())) }
}
