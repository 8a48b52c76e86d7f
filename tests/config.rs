//! What is said of a bad node configuration, held against golden files: `tests/config/NAME.toml` gives
//! `NAME.faults`, as `vpmesh run` prints it. `BLESS=1` writes the golden files anew.

use std::fs;
use std::path::{Path, PathBuf};

use vpmesh::config::Config;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

#[test]
fn every_fault_names_its_line_and_the_mend() {
    let mut seen = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let said = match Config::parse(name, Path::new("/etc/vpmesh"), &text) {
            Ok(config) => format!("{config:#?}\n"),
            Err(faults) => format!("{faults}\n"),
        };
        let golden = path.with_extension("faults");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&golden, &said).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(said, expected, "{name} (BLESS=1 to accept)");
        seen += 1;
    }
    assert!(seen >= 6);
}
