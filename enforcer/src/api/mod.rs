//! HTTP API: requests, windows, sessions and policy, for the same tokens as the connections.
