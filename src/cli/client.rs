//! Asks the running daemon.

use std::io::{self, BufRead, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::daemon::question::{ErrorLine, Request, Rows};

/// How long the daemon may take. A reload of a hundred thousand stations takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of one line of an answer at most.
const LINE_MAX: u64 = 16 * 1024 * 1024;

/// Why there is no answer, with the mend.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(
        "no vpmesh answers at {path} ({error}); start it with `vpmesh run`, or name its socket with --control"
    )]
    Silent { path: String, error: io::Error },
    #[error("not permitted to ask the vpmesh at {path}; run as root")]
    NotPermitted { path: String },
    #[error("the vpmesh at {path} hung up ({error}); see its log")]
    Lost { path: String, error: io::Error },
    #[error("the vpmesh at {path} answers in words that this version doesn't know ({error}); restart it")]
    Foreign { path: String, error: serde_json::Error },
    /// The daemon's own words.
    #[error("{0}")]
    Refused(String),
}

/// Asks for one object: its JSON as it came.
///
/// # Errors
/// [`AskError`].
pub(super) fn ask(socket: &Path, request: &Request) -> Result<String, AskError> {
    Answer::to(socket, request)?.line()
}

/// Publishes a roster: its signature file and itself follow the request.
///
/// # Errors
/// [`AskError`].
#[cfg(feature = "desk")]
pub(super) fn publish(socket: &Path, signature: &[u8], roster: &[u8]) -> Result<String, AskError> {
    let request = Request::Publish { signature: signature.len(), roster: roster.len() };
    let mut answer = Answer::to(socket, &request)?;
    // What refuses it early hangs up, and its words are there to be read.
    let stream = answer.reader.get_mut();
    let _ = stream.write_all(signature).and_then(|()| stream.write_all(roster));
    answer.line()
}

/// Asks for rows: the JSON of each, as it came, and how many there are of which these are the largest.
///
/// # Errors
/// [`AskError`].
pub(super) fn ask_rows(socket: &Path, request: &Request) -> Result<(Vec<String>, usize), AskError> {
    let mut answer = Answer::to(socket, request)?;
    let Rows { rows, of } = parse(socket, &answer.line()?)?;
    let rows: Vec<String> = (0..rows).map(|_| answer.line()).collect::<Result<_, _>>()?;
    let of = of.unwrap_or(rows.len());
    Ok((rows, of))
}

/// Reads what the daemon answered.
///
/// # Errors
/// [`AskError::Foreign`].
pub(super) fn parse<T: DeserializeOwned>(socket: &Path, line: &str) -> Result<T, AskError> {
    serde_json::from_str(line)
        .map_err(|error| AskError::Foreign { path: socket.display().to_string(), error })
}

/// A daemon's answer, line by line.
struct Answer {
    path: String,
    reader: BufReader<UnixStream>,
}

impl Answer {
    fn to(socket: &Path, request: &Request) -> Result<Self, AskError> {
        let path = socket.display().to_string();
        let silent = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => AskError::NotPermitted { path: path.clone() },
            _ => AskError::Silent { path: path.clone(), error },
        };
        let lost = |error| AskError::Lost { path: path.clone(), error };
        let mut stream = UnixStream::connect(socket).map_err(silent)?;
        stream
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
            .map_err(lost)?;
        let mut line = serde_json::to_vec(request).map_err(|error| lost(error.into()))?;
        line.push(b'\n');
        // One client too many is told so before it has said anything.
        let _ = stream.write_all(&line);
        Ok(Self { reader: BufReader::new(stream), path })
    }

    fn line(&mut self) -> Result<String, AskError> {
        let mut line = String::new();
        let read = io::Read::take(&mut self.reader, LINE_MAX).read_line(&mut line);
        let lost = |error| AskError::Lost { path: self.path.clone(), error };
        read.map_err(lost)?;
        if !line.ends_with('\n') {
            return Err(lost(io::ErrorKind::UnexpectedEof.into()));
        }
        line.pop();
        match serde_json::from_str::<ErrorLine>(&line) {
            Ok(ErrorLine { error }) => Err(AskError::Refused(error)),
            Err(_) => Ok(line),
        }
    }
}
