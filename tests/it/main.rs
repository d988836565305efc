//! Integration tests.

mod identity;
mod live;
