//! PostgreSQL statements.
