//! The configuration's file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::base::{Fault, Faults, Line};
use crate::config::{CONFIG_BYTES_MAX, Config};

/// Reads and checks a configuration file.
///
/// # Errors
/// Every fault of the file; that it can't be read is one.
pub fn read(path: &Path) -> Result<Config, Faults> {
    let name = path.display().to_string();
    let fault = |what: String, mend: &str| {
        Faults(vec![Fault { file: name.as_str().into(), line: Line(0), what, mend: mend.to_owned() }])
    };
    let unreadable = |error: std::io::Error| {
        let mend = match error.kind() {
            std::io::ErrorKind::NotFound => "write one, or name another with --config",
            std::io::ErrorKind::PermissionDenied => "run as root",
            _ => "name another with --config",
        };
        fault(format!("cannot be read: {error}"), mend)
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(CONFIG_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| fault("is not UTF-8".to_owned(), "write plain text"))?;
    let folder = std::path::absolute(path).map_err(unreadable)?;
    Config::parse(&name, folder.parent().unwrap_or(Path::new("/")), &text)
}

/// The first key that changed and that a running daemon can't take.
pub(super) fn needs_restart(old: &Config, new: &Config) -> Option<&'static str> {
    let differs = [
        ("node", old.node != new.node),
        ("private_key", old.private_key != new.private_key),
        ("interface", old.interface != new.interface),
        ("listen", old.listen != new.listen),
        ("control", old.control != new.control),
        ("metrics", old.metrics != new.metrics),
        ("tls_listen", old.tls_listen != new.tls_listen),
        ("dns", old.dns != new.dns),
        ("mtu", old.mtu != new.mtu),
        ("fwmark", old.fwmark != new.fwmark),
        ("flows", old.flows != new.flows),
        ("log", old.log != new.log),
        ("receive_buffer", old.receive_buffer != new.receive_buffer),
        ("send_buffer", old.send_buffer != new.send_buffer),
        ("introducers", old.introducers != new.introducers),
        ("port_mapping", old.port_mapping != new.port_mapping),
    ];
    differs.into_iter().find(|(_, differs)| *differs).map(|(key, _)| key)
}
