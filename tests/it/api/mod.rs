//! The HTTP API and its client, over real sockets, real tokens and a real store.

mod bench;
mod client;
mod http;
mod notify;
mod verbs;
