//! What is read, what is refused, and what is changed in place.

mod any_bytes;
mod changing;
mod reading;

use super::craft::{Craft, Segment, is_intact};
use super::*;

const V4: (&str, &str) = ("10.88.1.10", "10.89.2.20");
const V6: (&str, &str) = ("fd00::10", "fd01::20");

fn crafts() -> [Craft; 2] {
    [Craft::new(V4.0, V4.1), Craft::new(V6.0, V6.1)]
}

fn reason(bytes: &[u8]) -> DropReason {
    Packet::parse(bytes).expect_err("refused")
}
