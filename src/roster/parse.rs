//! Bytes to a checked roster.
