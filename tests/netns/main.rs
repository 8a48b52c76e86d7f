//! The gateway seen from outside: real parts in network namespaces, one case a file.
//!
//! `lab` builds what a case needs (namespaces, links, an internet, owners, gateways, stock WireGuard stations) and takes
//! it down however the test ends. `cases` say what a user would notice; each begins with its topology. Root and a few
//! Debian packages are needed (`make deps`): without them a test fails and says so, because a skipped test must not
//! look like one that passed. At most two labs stand at a time, whatever `--test-threads` says.

#![expect(clippy::disallowed_methods, reason = "this is the world outside of the engine: it has a clock")]

mod cases;
mod lab;
