//! Requests, approvals, windows and sessions: one trait, SQLite embedded.
