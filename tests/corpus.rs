//! The fuzz targets' committed inputs, run through the same bodies as `cargo fuzz` runs.
//!
//! An input that once broke something is copied into `fuzz/corpus/TARGET` with a name that says what it was.

use std::fs;
use std::path::{Path, PathBuf};

#[cfg(feature = "os")]
#[path = "../fuzz/bodies/control.rs"]
mod control;
#[path = "../fuzz/bodies/engine/mod.rs"]
mod engine;
#[path = "../fuzz/bodies/files.rs"]
mod files;
#[path = "../fuzz/bodies/mesh.rs"]
mod mesh;
#[path = "../fuzz/bodies/packet.rs"]
mod packet;
#[path = "../fuzz/bodies/roster.rs"]
mod roster;
#[cfg(feature = "tls")]
#[path = "../fuzz/bodies/stream.rs"]
mod stream;
#[cfg(feature = "os")]
#[path = "../fuzz/bodies/tun.rs"]
mod tun;
#[cfg(feature = "portmap")]
#[path = "../fuzz/bodies/upnp.rs"]
mod upnp;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn replay(target: &str, body: fn(&[u8])) {
    let folder = folder(target);
    let mut inputs: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    for input in inputs {
        // Printed by the test harness only when the body panics.
        println!("{}", input.display());
        body(&fs::read(&input).unwrap());
    }
}

#[test]
fn packets_of_the_corpus_break_nothing() {
    replay("packet", packet::run);
}

#[test]
fn what_mesh_nodes_say_in_the_corpus_breaks_nothing() {
    replay("mesh", mesh::run);
}

#[test]
fn rosters_of_the_corpus_break_nothing() {
    replay("roster", roster::run);
}

#[cfg(feature = "os")]
#[test]
fn control_lines_of_the_corpus_break_nothing() {
    replay("control", control::run);
}

#[cfg(feature = "os")]
#[test]
fn what_the_kernel_hands_over_in_the_corpus_breaks_nothing() {
    replay("tun", tun::run);
}

#[cfg(feature = "tls")]
#[test]
fn streams_of_the_corpus_break_nothing() {
    replay("stream", stream::run);
}

#[test]
fn files_of_the_corpus_break_nothing() {
    replay("files", files::run);
}

#[test]
fn the_engine_survives_every_script_of_the_corpus() {
    replay("engine", |script| _ = engine::run(script));
}

#[test]
fn a_script_of_the_corpus_gets_packets_through() {
    let script = fs::read(folder("engine").join("open-sends-to-far-and-far-answers")).unwrap();
    assert!(engine::run(&script) >= 3);
}

#[cfg(feature = "portmap")]
#[test]
fn what_routers_answer_in_the_corpus_breaks_nothing() {
    replay("upnp", upnp::run);
}
