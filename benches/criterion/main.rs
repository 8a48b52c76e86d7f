//! Parts of the packet path, timed one by one: `cargo bench --bench criterion -- flows`.
//!
//! Times are of one machine in one minute: for comparing two ways of doing a thing, not for keeping. What is kept is
//! instructions (`make counts`) and ratios to peers (`make bench`).

mod flows;
mod judge;
mod packet;
mod routes;
#[path = "../judge/town.rs"]
mod town;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

criterion_group! {
    name = parts;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(50)
        .without_plots();
    targets = packet::bench, routes::bench, flows::bench, judge::bench
}
criterion_main!(parts);
