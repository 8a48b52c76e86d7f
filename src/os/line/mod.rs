//! One question at a time to the kernel, over netlink, and its answer.
//!
//! The kernel answers while it takes the question, so that nobody waits for an answer longer than it took to give; of a long
//! one the next part is made when this one is read.

mod message;

use std::io;
use std::time::Duration;

use netlink_sys::Socket;
use socket2::SockRef;

pub(super) use message::{Attributes, Data, Message, Messages, Request};

/// How long the kernel may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of the largest message that Linux sends here (a dump's are 32 KiB at most).
const MESSAGE_MAX: usize = 64 * 1024;

/// A socket of its own, and the answers read into one buffer.
#[derive(Debug)]
pub(super) struct Line {
    socket: Socket,
    buffer: Vec<u8>,
    /// Of the last request.
    sequence: u32,
}

impl Line {
    /// `protocol` is `NETLINK_…`.
    pub(super) fn open(protocol: isize) -> io::Result<Self> {
        let socket = Socket::new(protocol)?;
        let options = SockRef::from(&socket);
        options.set_read_timeout(Some(PATIENCE))?;
        options.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, buffer: Vec::with_capacity(MESSAGE_MAX), sequence: 0 })
    }

    pub(super) fn send(&mut self, request: Request) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send(&request.finish(self.sequence), 0).map(|_| ())
    }

    /// The next messages of the answer, as many as came together.
    pub(super) fn receive(&mut self) -> io::Result<Messages<'_>> {
        self.buffer.clear();
        loop {
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => return Ok(Messages::answering(self.sequence, &self.buffer)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a request that asks for an acknowledgement, and waits for that.
    pub(super) fn tell(&mut self, request: Request) -> io::Result<()> {
        self.send(request)?;
        loop {
            for message in self.receive()? {
                if let Message::End(outcome) = message {
                    return outcome;
                }
            }
        }
    }

    /// Sends a request that asks for an acknowledgement or for everything, and hands over what is told. Others get their
    /// turn between two reads: a router's routes may be a million.
    pub(super) async fn ask(&mut self, request: Request, mut take: impl FnMut(Data<'_>)) -> io::Result<()> {
        self.send(request)?;
        loop {
            for message in self.receive()? {
                match message {
                    Message::End(outcome) => return outcome,
                    Message::Data(data) => take(data),
                }
            }
            tokio::task::yield_now().await;
        }
    }
}
