//! The running gateway: listeners, pumps, live sessions, upstreams, clocks and metrics.

pub mod clock;
pub mod live;
pub mod policy;
pub mod stream;
pub mod tls;
