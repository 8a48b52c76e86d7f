//! Lines to the system's log, each with its level: procd would write all of stderr at one.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// The facility `daemon` (RFC 3164), as procd writes.
const DAEMON: u8 = 3 << 3;
/// OpenWrt's logd has a clock of its own, and cuts off the 16 bytes in which other senders write the time.
const TIME: &str = "Jan  1 00:00:00 ";

/// How bad it is, as syslog counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Severity {
    Error = 3,
    Warning = 4,
    Info = 6,
    Debug = 7,
}

/// The log's socket. Nothing here waits, and a log that was started again is found again.
#[derive(Debug)]
pub struct Syslog {
    socket: UnixDatagram,
    path: PathBuf,
    pid: u32,
}

impl Syslog {
    /// # Errors
    /// The kernel's.
    pub fn new(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path: path.to_owned(), pid: std::process::id() })
    }

    /// Writes one line.
    ///
    /// # Errors
    /// Nobody listens, or has no room for it.
    pub fn line(&self, severity: Severity, text: &str) -> io::Result<()> {
        let priority = DAEMON | severity as u8;
        let line = format!("<{priority}>{TIME}vpmesh[{}]: {}", self.pid, text.trim_end());
        self.socket.send_to(line.as_bytes(), &self.path).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_level_where_logd_looks_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let logd = UnixDatagram::bind(&path).unwrap();
        let syslog = Syslog::new(&path).unwrap();
        let read = || {
            let mut buffer = [0; 256];
            let length = logd.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        let pid = std::process::id();
        syslog.line(Severity::Warning, "a roster was refused\n").unwrap();
        assert_eq!(read(), format!("<28>Jan  1 00:00:00 vpmesh[{pid}]: a roster was refused"));
        syslog.line(Severity::Error, "no port").unwrap();
        assert!(read().starts_with("<27>"));
    }

    #[test]
    fn a_log_that_is_not_there_is_an_error_and_is_found_when_it_comes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let syslog = Syslog::new(&path).unwrap();
        assert!(syslog.line(Severity::Info, "lost").is_err());
        let _logd = UnixDatagram::bind(&path).unwrap();
        syslog.line(Severity::Info, "heard").unwrap();
    }
}
