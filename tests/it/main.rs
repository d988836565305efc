//! Integration tests.

mod live;
mod identity;
