//! Attacks by a target.
