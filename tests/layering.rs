//! The shape of the code, held: a module imports lower floors only and no sibling; below the wall nobody
//! names a socket, a file, a thread, a clock or tokio; `unsafe` is in `os` alone.
//!
//! Reads the sources as text: comments, strings and test modules are left out, the rest is looked at word by word.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module and its floor. A new module is entered here, or the test fails.
const FLOORS: &[(&str, u8)] = &[
    ("base", 0),
    ("packet", 1),
    ("roster", 1),
    ("config", 1),
    ("names", 2),
    ("policy", 2),
    ("table", 2),
    ("tunnel", 3),
    ("mesh", 3),
    ("netstack", 3),
    ("nft", 3),
    ("engine", 4),
    ("os", 5),
    ("daemon", 6),
    ("cli", 7),
];

/// The floor of the engine: nothing up to it does I/O.
const WALL: u8 = 4;

/// What has no place below the wall.
const ABOVE_THE_WALL: &[&str] = &[
    "tokio",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "socket2",
    "libc",
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "Instant::now",
    "SystemTime::now",
    "println!",
    "eprintln!",
];

/// Crates that one module alone names.
const ALONE: &[(&str, &str)] = &[
    ("boringtun", "tunnel"),
    ("smoltcp::iface", "netstack"),
    ("smoltcp::socket", "netstack"),
    ("clap", "cli"),
    ("netlink_sys", "os"),
    ("rustls", "os"),
];

/// One source file: its path under `src`, its module path, and its code.
struct Source {
    path: String,
    module: Vec<String>,
    code: String,
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files
        .into_iter()
        .map(|file| {
            let path = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let mut module: Vec<String> =
                path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
                module.pop();
            }
            let code = code(&fs::read_to_string(&file).unwrap());
            // A file of tests is no part of the module.
            let code = if path.ends_with("/tests.rs") { String::new() } else { code };
            Source { path, module, code }
        })
        .collect()
}

/// A source without its comments, its strings and its test modules.
fn code(text: &str) -> String {
    without_tests(&without_words_for_people(text))
}

/// Leaves out comments and the insides of strings and characters.
fn without_words_for_people(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest, bytes, at) {
            length
        } else if rest.starts_with('"') {
            quoted(rest)
        } else if rest.starts_with('\'') {
            character(rest)
        } else {
            0
        };
        if skipped == 0 {
            kept.push(bytes[at]);
            at += 1;
        } else {
            kept.push(b' ');
            at += skipped;
            while !text.is_char_boundary(at) {
                at += 1;
            }
        }
        while at < bytes.len() && !text.is_char_boundary(at) {
            at += 1;
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

fn raw_string(rest: &str, bytes: &[u8], at: usize) -> Option<usize> {
    let begins_word = at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r')).filter(|_| begins_word)?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(())?;
    let start = rest.len() - after.len() + hashes + 1;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(rest[start..].find(&close).map_or(rest.len(), |end| start + end + close.len()))
}

fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character literal; 0 for a lifetime.
fn character(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => rest[2..].find('\'').map_or(0, |end| {
            // '\'' closes with the quote after the escaped one.
            if end == 0 { 4 } else { end + 3 }
        }),
        Some(_) => match characters.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}

/// Leaves out what stands under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..start]);
        let item = &rest[start..];
        let end = match (item.find('{'), item.find(';')) {
            (Some(open), semicolon) if semicolon.is_none_or(|semicolon| open < semicolon) => {
                let mut depth = 0;
                item[open..]
                    .char_indices()
                    .find_map(|(at, c)| {
                        match c {
                            '{' => depth += 1,
                            '}' => depth -= 1,
                            _ => {}
                        }
                        (depth == 0).then_some(open + at + 1)
                    })
                    .unwrap_or(item.len())
            }
            (_, Some(semicolon)) => semicolon + 1,
            _ => item.len(),
        };
        rest = &item[end..];
    }
    kept + rest
}

/// Whether `code` has `word` standing alone.
fn names(code: &str, word: &str) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(at, _)| {
        !is_letter(code[..at].chars().next_back()) && !is_letter(code[at + word.len()..].chars().next())
    })
}

/// The top modules that a file names, by `crate::…` (one or a braced list) or by `super::…` from its own place.
fn imports(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in source.code.match_indices("crate::") {
        if !source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            found.extend(heads(&source.code[at + "crate::".len()..]));
        }
    }
    // `super` from the top of a module is the crate.
    let up = "super::".repeat(source.module.len());
    if !source.module.is_empty() {
        for (at, _) in source.code.match_indices(&up) {
            let alone = !source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if alone && !source.code[at + up.len()..].starts_with("super::") {
                found.extend(heads(&source.code[at + up.len()..]));
            }
        }
    }
    found
}

/// The first names of a path or of a braced list of paths.
fn heads(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(list) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let mut depth = 1;
    let mut heads = vec![word(list)];
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => heads.push(word(&list[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn floors() -> BTreeMap<&'static str, u8> {
    FLOORS.iter().copied().collect()
}

#[test]
fn a_module_imports_lower_floors_only() {
    let floors = floors();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = source.module.first() else { continue };
        let Some(floor) = floors.get(own.as_str()) else {
            wrong.push(format!("{}: {own} has no floor; enter it in FLOORS", source.path));
            continue;
        };
        for import in imports(&source) {
            match floors.get(import.as_str()) {
                Some(other) if import != *own && other >= floor => {
                    wrong.push(format!(
                        "{}: {own} (floor {floor}) imports {import} (floor {other})",
                        source.path
                    ));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn below_the_wall_nobody_names_what_is_above() {
    let floors = floors();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = source.module.first() else { continue };
        if floors.get(own.as_str()).is_none_or(|floor| *floor > WALL) {
            continue;
        }
        for word in ABOVE_THE_WALL.iter().filter(|word| names(&source.code, word)) {
            wrong.push(format!("{}: names {word}", source.path));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_is_in_os_alone() {
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|source| source.module.first().is_none_or(|own| own != "os") && names(&source.code, "unsafe"))
        .map(|source| source.path)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_crate_with_a_keeper_is_named_by_it_alone() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (named, keeper) in ALONE {
            if names(&source.code, &format!("{named}::"))
                && source.module.first().is_none_or(|own| own != keeper)
            {
                wrong.push(format!("{}: names {named}, which is {keeper}'s", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_test_itself_sees_what_it_should() {
    let text = r##"
        use crate::{engine::{Engine, Now}, os};
        // unsafe in a comment
        const A: &str = "unsafe \" crate::cli"; const B: char = '"'; const C: &str = r#"crate::cli"#;
        fn f<'a>(x: &'a str) { super::super::daemon::run(); '\''; }
        #[cfg(test)] mod tests { use crate::cli::x; fn g() { { unsafe } } }
        fn h() { Instant::now() }
    "##;
    let source = Source { path: "a/b.rs".into(), module: vec!["a".into(), "b".into()], code: code(text) };
    assert_eq!(imports(&source), ["engine", "os", "daemon"]);
    assert!(!names(&source.code, "unsafe") && names(&source.code, "Instant::now"));
    assert!(!names("unsafe_op", "unsafe") && !names("MyInstant::now", "Instant::now"));
}
