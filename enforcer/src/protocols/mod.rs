//! One folder for each connection kind that the gateway proxies.

pub mod postgres;
