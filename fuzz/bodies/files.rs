//! Any bytes as the small files that a node reads: its configuration, signify's keys and signatures.
//!
//! The first byte chooses. What can be read is written again as it would be, and reads the same.

use std::path::Path;

use vpmesh::base::signify::{OwnerKey, OwnerSecret, Signature};
use vpmesh::config::Config;

pub fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match kind {
        b'c' => drop(Config::parse("node.toml", Path::new("/etc/vpmesh"), &text)),
        b'p' => {
            let Ok(key) = OwnerKey::parse_file(&text) else { return };
            assert_eq!(OwnerKey::parse_file(&key.to_file("again")), Ok(key));
        }
        b's' => {
            let Ok(signature) = Signature::parse_file(rest) else { return };
            let again = Signature::parse_file(signature.to_file("again").as_bytes());
            assert_eq!(again.map(|again| again.number()), Ok(signature.number()));
        }
        b'x' => drop(OwnerSecret::parse_file(&text)),
        _ => {}
    }
}
