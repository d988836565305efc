//! Attacks on the way in.
