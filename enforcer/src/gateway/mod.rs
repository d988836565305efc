//! The running gateway: listeners, pumps, live sessions, upstreams, clocks and metrics.
