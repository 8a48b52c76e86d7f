//! Addresses that the roster writes or that follow from names.
