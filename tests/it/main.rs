//! Integration tests.

mod identity;
mod live;
mod tidy;
