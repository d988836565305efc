//! `leasehold`.
fn main() {}
