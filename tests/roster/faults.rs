//! What is said of a bad roster, held against golden files: `tests/roster/faults/NAME.toml` gives `NAME.faults`, as
//! `vpmesh check` prints it. `BLESS=1` writes the golden files anew.

use std::fs;
use std::path::{Path, PathBuf};

use vpmesh::roster;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/roster/faults")
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
        let said = format!("{}\n", roster::parse(name, &fs::read(&path).unwrap()).unwrap_err());
        let golden = path.with_extension("faults");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&golden, &said).unwrap();
        }
        assert_eq!(said, fs::read_to_string(&golden).unwrap_or_default(), "{name} (BLESS=1 to accept)");
        seen += 1;
    }
    assert!(seen >= 8);
}
