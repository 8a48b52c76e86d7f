//! Joins tunnels, routes, flows and policy.
