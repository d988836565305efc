//! The HTTP API and its client, over real sockets, real tokens and a real store.

mod bench;
mod client;
mod conditions;
mod http;
mod notify;
mod verbs;
