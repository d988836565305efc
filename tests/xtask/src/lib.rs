//! The project's own commands (`cargo xtask …`) and the services that live runs start.
//!
//! It drives the product from outside: programs, sockets and files. It must never depend on a product crate, so that it
//! builds on a machine that has only Rust, and so that what it shows is what a user gets.

pub mod bench;
pub mod cast;
pub mod clock;
pub mod command;
pub mod demo;
pub mod fault;
pub mod fuzz;
pub mod gateway;
pub mod http;
pub mod idp;
pub mod mutants;
pub mod policy;
pub mod postgres;
pub mod regress;
pub mod say;
pub mod scene;
pub mod service;
pub mod setup;
pub mod stores;
pub mod tls;
pub mod tools;
pub mod verify;
pub mod versions;
