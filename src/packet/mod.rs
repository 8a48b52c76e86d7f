//! Bytes to checked packets and back.
