//! Integration tests.

mod live;
