//! What the tools print, held against golden files. A stand-in for the daemon answers `NAME.answer` to whatever it is
//! asked; the tool's exit code, stdout and stderr are in `NAME.printed`. `BLESS=1` writes the golden files anew.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Each file's name and the command that it is the answer to.
const CASES: &[(&str, &str)] = &[
    ("status", "status"),
    ("status-json", "status --json"),
    ("status-new", "status"),
    ("status-refused", "status"),
    ("status-kernel", "status"),
    ("status-unenforced", "status"),
    ("flows", "flows"),
    ("flows-none", "flows"),
    ("flows-json", "flows --json"),
    ("flows-none-json", "flows --json"),
    ("flows-cut", "flows"),
    ("flows-largest", "flows --largest 2"),
    ("flows-largest-json", "flows --largest 2 --json"),
    ("peers", "peers"),
    ("peers-none", "peers"),
    ("peers-json", "peers --json"),
    ("topology", "topology"),
    ("reload", "reload"),
    ("reload-json", "reload --json"),
    ("reload-refused", "reload"),
    ("reload-within", "reload --commit-within 60"),
    ("reload-commit", "reload --commit"),
    ("explain-allow", "explain alice/attic/laptop bob/cellar/nas tcp/445"),
    ("explain-deny", "explain internet alice/attic/nas tcp/22"),
    ("explain-deny-json", "explain internet alice/attic/nas tcp/22 --json"),
    ("explain-inside", "explain alice/attic/laptop alice/attic/laptop any"),
    ("explain-unknown", "explain alice/attic/laptop carol/loft/pc any"),
    ("explain-party", "explain Alice internet any"),
    ("explain-service", "explain internet alice smb"),
    ("foreign", "status"),
    ("too-many", "peers"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli")
}

/// What the daemon answers in the case `name`: NAME.answer, or one file for each request, NAME.REQUEST.answer.
fn answers(name: &str, request: &str) -> Vec<u8> {
    let request = request.split('"').nth(3).unwrap_or_default();
    let file = |name: String| fs::read(folder().join(name));
    file(format!("{name}.answer")).or_else(|_| file(format!("{name}.{request}.answer"))).unwrap_or_default()
}

/// A daemon that answers each request so, at the socket `control` of a folder.
fn daemon(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("control");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut request = String::new();
            BufReader::new(&stream).read_line(&mut request).unwrap();
            let _ = stream.write_all(&answer(&request));
        }
    });
    (place, socket)
}

/// `vpmesh COMMAND`, which asks at this socket.
fn vpmesh(command: &str, socket: &Path) -> Command {
    let mut vpmesh = Command::new(env!("CARGO_BIN_EXE_vpmesh"));
    vpmesh.args(command.split(' ')).arg("--control").arg(socket).stdin(Stdio::null());
    vpmesh
}

/// Runs `vpmesh COMMAND` against such a daemon: its exit code, stdout and stderr as one text.
fn run(command: &str, answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> String {
    let (_place, socket) = daemon(answer);
    let output = vpmesh(command, &socket).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(socket.to_str().unwrap(), "SOCKET");
    format!(
        "$ vpmesh {command}\n{}\n--- exit {}\n{}",
        text(output.stdout),
        output.status.code().unwrap(),
        text(output.stderr)
    )
}

#[test]
fn every_tool_prints_what_its_golden_file_says() {
    let mut wrong = Vec::new();
    for (name, command) in CASES {
        let printed = run(command, |request| answers(name, request));
        let golden = folder().join(format!("{name}.printed"));
        if std::env::var_os("BLESS").is_some() {
            fs::write(&golden, &printed).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if printed != expected {
            wrong.push(format!("{name}: expected\n{expected}\ngot\n{printed}"));
        }
    }
    assert!(wrong.is_empty(), "{} (BLESS=1 to accept)", wrong.join("\n"));
}

#[test]
fn no_golden_file_has_an_escape() {
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "printed") {
            assert!(!fs::read(&path).unwrap().contains(&0x1b), "{}", path.display());
        }
    }
}

#[test]
fn without_a_daemon_every_tool_says_how_to_start_one() {
    for (command, code) in
        [("status", 1), ("flows", 1), ("peers", 1), ("reload", 1), ("explain internet alice any", 2)]
    {
        let output = vpmesh(command, Path::new("/nowhere/vpmesh.sock")).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(
            said.contains("no vpmesh answers at /nowhere/vpmesh.sock") && said.contains("`vpmesh run`"),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let rows = 20_000;
    let row = fs::read_to_string(folder().join("flows.answer")).unwrap().lines().nth(1).unwrap().to_owned();
    let answer = format!("{{\"rows\":{rows}}}\n{}", (row + "\n").repeat(rows));
    let (_place, socket) = daemon(move |_| answer.clone().into_bytes());
    let mut tool = vpmesh("flows", &socket).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(tool.stdout.take());
    let output = tool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
