//! `leaseholdc`.
fn main() {}
