//! Recordings: append-only, hash-chained segments, and what reads them back.
