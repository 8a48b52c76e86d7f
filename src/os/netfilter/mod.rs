//! What the kernel's netfilter is asked and told without a program between: live connections ([`conntrack`]), and who
//! changed a table ([`TableChanges`]).
//!
//! Messages are few and small, and are read attribute by attribute, each with its length checked. Setting a table up is
//! `nft`'s work (`os::nft`).

pub mod conntrack;
mod message;
mod tables;

use std::io;
use std::time::Duration;

use rtnetlink::sys::Socket;
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use socket2::SockRef;

use message::{Message, Messages};
pub use tables::{TableChanges, generation};

/// How long the kernel may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of the largest message that Linux sends here (a dump's are 32 KiB at most).
const MESSAGE_MAX: usize = 64 * 1024;

/// One socket to the kernel's netfilter: a question, and its answers read into one buffer.
#[derive(Debug)]
struct Line {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Line {
    fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_NETFILTER)?;
        let options = SockRef::from(&socket);
        options.set_read_timeout(Some(PATIENCE))?;
        options.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, buffer: Vec::with_capacity(MESSAGE_MAX) })
    }

    fn send(&self, request: &[u8]) -> io::Result<()> {
        self.socket.send(request, 0).map(|_| ())
    }

    /// The next messages, as many as came together.
    fn receive(&mut self) -> io::Result<Messages<'_>> {
        self.buffer.clear();
        loop {
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => return Ok(Messages::new(&self.buffer)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a request that asks for an acknowledgement, and waits for that.
    fn tell(&mut self, request: &[u8]) -> io::Result<()> {
        self.send(request)?;
        loop {
            for message in self.receive()? {
                if let Message::End(outcome) = message {
                    return outcome;
                }
            }
        }
    }
}
