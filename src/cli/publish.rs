//! `vpmesh owner publish`: a signed roster is introduced to one node of the mesh, and travels from there.
//!
//! To the daemon on this host through its control socket; or, with `--to`, from a station to its room's gateway, over
//! TCP to the gateway's mesh address. The node looks at the signature first, and answers what became of the roster.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::client;
use crate::base::LINK_PORT;
use crate::base::signify::{FILE_MAX, Signature};
use crate::daemon::question::Published;
use crate::mesh::transfer::{Hearing, Said};
use crate::os::whole_file;
use crate::roster::{self, ROSTER_BYTES_MAX};

/// How long the node may take to answer at first, and to judge the roster.
const CONNECT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a roster is published.
pub(super) enum Node<'a> {
    /// The daemon behind this control socket.
    Here(&'a Path),
    /// A gateway's mesh address, with or without a port.
    At(&'a str),
}

/// Publishes a roster; what became of it, in words.
///
/// # Errors
/// What a person can mend, and the node's own words when it refuses.
pub(super) fn publish(file: &Path, node: &Node<'_>) -> anyhow::Result<String> {
    let roster = whole_file::read(file, ROSTER_BYTES_MAX)?;
    let name = file.display().to_string();
    roster::parse(&name, &roster).map_err(|faults| anyhow::anyhow!("{faults}"))?;
    let signature_file = PathBuf::from(format!("{name}.sig"));
    let signature = whole_file::read(&signature_file, FILE_MAX)
        .with_context(|| format!("{name} is not signed; run `vpmesh owner sign {name}`"))?;
    Signature::parse_file(&signature)
        .map_err(|error| anyhow::anyhow!("{} {error}; sign the roster again", signature_file.display()))?;
    match node {
        Node::Here(socket) => {
            let line = client::publish(socket, &signature, &roster)?;
            let Published { published } = client::parse(socket, &line)?;
            Ok(published)
        }
        Node::At(address) => bring(address, signature, roster),
    }
}

fn bring(to: &str, signature: Vec<u8>, roster: Vec<u8>) -> anyhow::Result<String> {
    let address = to
        .parse::<SocketAddr>()
        .or_else(|_| to.trim_matches(['[', ']']).parse().map(|ip| SocketAddr::new(ip, LINK_PORT)));
    let Ok(address) = address else {
        bail!("{to} is no address; write the gateway's IPv6 address in the mesh")
    };
    let silent = || {
        format!(
            "no gateway answers at {address}; from a station, give the mesh address of its room's gateway"
        )
    };
    let mut stream = TcpStream::connect_timeout(&address, CONNECT).with_context(silent)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut sending = Said::Bring { signature: signature.into(), roster: roster.into() }.into_sending();
    while !sending.next().is_empty() {
        let written = stream.write(sending.next()).with_context(silent)?;
        if written == 0 {
            bail!("the gateway at {address} hung up");
        }
        sending.advance(written);
    }
    let mut hearing = Hearing::default();
    let mut buffer = [0; 1024];
    loop {
        let read = stream.read(&mut buffer).with_context(silent)?;
        if read == 0 {
            bail!("the gateway at {address} hung up");
        }
        match hearing.hear(&buffer[..read]) {
            Ok(Some(Said::Verdict { accepted: true, words })) => return Ok(words),
            Ok(Some(Said::Verdict { accepted: false, words })) => bail!("{words}"),
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => bail!("what answers at {address} is no gateway of this version"),
        }
    }
}
