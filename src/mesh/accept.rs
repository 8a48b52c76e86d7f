//! Which rosters are accepted: signature, owner, serial, equivocation, overlap, tests.
