//! The node's own configuration (DESIGN 9): which mesh node this is, its key, its owner's key, where rosters are.
