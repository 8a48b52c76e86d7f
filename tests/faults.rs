//! What is said of bad files, held against golden ones: `tests/faults/*/NAME.toml` gives `NAME.faults` beside it, as
//! `vpmesh check` and `vpmesh run` print it. `BLESS=1` writes the golden files anew.

use std::fs;
use std::path::Path;

use vpmesh::config::Config;
use vpmesh::roster;

/// What `say` says of each file's name and text.
fn hold(folder: &str, say: impl Fn(&str, &[u8]) -> String) {
    let mut seen = 0;
    for entry in
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults").join(folder)).unwrap()
    {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let said = say(name, &fs::read(&path).unwrap()) + "\n";
        let golden = path.with_extension("faults");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&golden, &said).unwrap();
        }
        assert_eq!(said, fs::read_to_string(&golden).unwrap_or_default(), "{name} (BLESS=1 to accept)");
        seen += 1;
    }
    assert!(seen >= 6);
}

#[test]
fn every_fault_of_a_roster_names_its_line_and_the_mend() {
    hold("roster", |name, text| roster::parse(name, text).unwrap_err().to_string());
}

#[test]
fn every_fault_of_a_configuration_names_its_line_and_the_mend() {
    hold("config", |name, text| {
        match Config::parse(name, Path::new("/etc/vpmesh"), str::from_utf8(text).unwrap()) {
            Ok(config) => format!("{config:#?}"),
            Err(faults) => faults.to_string(),
        }
    });
}
