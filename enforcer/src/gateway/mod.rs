//! The running gateway: listeners, pumps, live sessions, upstreams, clocks and metrics.

pub mod book;
pub mod clock;
pub mod credentials;
pub mod hold;
pub mod ledger;
pub mod listener;
pub mod live;
pub mod metrics;
pub mod policy;
pub mod pump;
pub mod run;
pub mod shared;
pub mod stream;
pub mod tls;
