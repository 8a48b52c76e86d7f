//! One connection: bytes between its socket, TLS, its lanes and the event loop.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustls::Connection;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Word;
use super::frame::{FrameError, Frames};
use super::lane::Line;
use crate::os::sockopt;

/// Plaintext of one TLS record at most (RFC 8446, section 5.1).
const RECORD: usize = 16 * 1024;
/// Bytes that wait in the kernel besides those that are on their way; more would be a queue that nobody can drop from.
const UNSENT: libc::c_int = 16 * 1024;
/// Milliseconds that sent bytes may go without an acknowledgement: the other end may have gone without a word.
const UNACKNOWLEDGED: libc::c_int = 15_000;
/// Bytes of a whole handshake, certificates of strangers included.
const HANDSHAKE_BYTES_MAX: usize = 32 * 1024;
/// Ticks without a datagram, of a connection that a peer was heard through: a keepalive comes every 25 s.
const QUIET: u32 = 13;
/// Ticks after which a connection that no peer was heard through ends, whatever came.
const UNPROVEN: u32 = 2;
/// Ticks without the other end taking anything of what waits.
const STUCK: u32 = 2;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the other end closed it")]
    Closed,
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    #[error("what came is none of ours: {0}")]
    Frame(#[from] FrameError),
    #[error("the handshake took too long")]
    Handshake,
    #[error("nothing came any more")]
    Quiet,
    #[error("no peer was heard through it")]
    Unproven,
    #[error("the other end takes nothing")]
    Stuck,
    #[error("others need its place")]
    Cut,
    #[error("the daemon ends")]
    Stop,
}

/// A TCP connection with TLS in it.
pub(super) struct Wire {
    stream: TcpStream,
    tls: Connection,
}

impl Wire {
    /// Shakes hands within `patience`.
    pub(super) async fn shake(
        stream: TcpStream,
        tls: impl Into<Connection>,
        patience: Duration,
    ) -> Result<Self, End> {
        stream.set_nodelay(true)?;
        sockopt::set(stream.as_fd(), libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, UNSENT)?;
        sockopt::set(stream.as_fd(), libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, UNACKNOWLEDGED)?;
        let mut wire = Self { stream, tls: tls.into() };
        let shaken = timeout(patience, wire.shake_hands()).await;
        shaken.unwrap_or(Err(End::Handshake)).map(|()| wire)
    }

    async fn shake_hands(&mut self) -> Result<(), End> {
        let mut read = 0;
        loop {
            self.write()?;
            if !self.tls.is_handshaking() && !self.tls.wants_write() {
                return Ok(());
            }
            tokio::select! {
                readable = self.stream.readable() => {
                    readable?;
                    read += self.read()?;
                    if self.tls.is_handshaking() && read > HANDSHAKE_BYTES_MAX {
                        return Err(End::Handshake);
                    }
                }
                writable = self.stream.writable(), if self.tls.wants_write() => writable?,
            }
        }
    }

    /// Reads once, and deciphers what came; how many bytes there were.
    fn read(&mut self) -> Result<usize, End> {
        let read = match self.tls.read_tls(&mut Socket(&self.stream)) {
            Ok(0) => return Err(End::Closed),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        if let Err(error) = self.tls.process_new_packets() {
            // The alert that says why, as far as there is room for it.
            let _ = self.write();
            return Err(error.into());
        }
        Ok(read)
    }

    /// Writes what TLS has, as far as there is room; whether any went out.
    fn write(&mut self) -> Result<bool, End> {
        let mut any = false;
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Socket(&self.stream)) {
                Ok(0) => return Err(End::Closed),
                Ok(_) => any = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(any)
    }
}

/// What carries datagrams.
pub(super) struct Carrier {
    wire: Wire,
    connection: u32,
    line: Arc<Line>,
    words: mpsc::Sender<Word>,
    frames: Frames,
    record: Vec<u8>,
    waits: Waits,
}

/// Ticks since things happened last.
#[derive(Debug, Default)]
struct Waits {
    age: u32,
    quiet: u32,
    stuck: u32,
}

impl Carrier {
    pub(super) fn new(wire: Wire, connection: u32, line: Arc<Line>, words: mpsc::Sender<Word>) -> Self {
        let (frames, record, waits) = (Frames::default(), Vec::new(), Waits::default());
        Self { wire, connection, line, words, frames, record, waits }
    }

    /// Carries until there is no going on.
    pub(super) async fn carry(mut self, tick: Duration) -> End {
        let mut ticks = interval(tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            match self.step(&mut ticks).await {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    async fn step(&mut self, ticks: &mut tokio::time::Interval) -> Result<(), End> {
        if self.line.is_cut() {
            return Err(End::Cut);
        }
        self.hand_over().await?;
        self.fill()?;
        let wants_write = self.wire.tls.wants_write();
        tokio::select! {
            biased;
            _ = ticks.tick() => self.waits.tick(wants_write, self.line.is_proven()),
            readable = self.wire.stream.readable() => {
                readable?;
                self.wire.read().map(|_| ())
            }
            writable = self.wire.stream.writable(), if wants_write => Ok(writable?),
            () = self.line.woken() => Ok(()),
        }
    }

    /// Gives the event loop what came. While it has no room, the other end's TCP waits.
    async fn hand_over(&mut self) -> Result<(), End> {
        let plaintext = self.wire.tls.process_new_packets()?;
        let bytes = plaintext.plaintext_bytes_to_read();
        if bytes == 0 {
            return if plaintext.peer_has_closed() { Err(End::Closed) } else { Ok(()) };
        }
        self.frames.read(&mut self.wire.tls.reader(), bytes)?;
        loop {
            let frames = self.frames.take()?;
            if frames.is_empty() {
                return Ok(());
            }
            self.waits.quiet = 0;
            let word = Word::Came { connection: self.connection, frames };
            self.words.send(word).await.map_err(|_| End::Stop)?;
        }
    }

    /// Moves what waits in the lanes through TLS into the socket, a record at a time, as far as there is room.
    fn fill(&mut self) -> Result<(), End> {
        loop {
            if self.wire.write()? {
                self.waits.stuck = 0;
            }
            if self.wire.tls.wants_write() {
                return Ok(());
            }
            self.record.clear();
            self.line.take(&mut self.record, RECORD);
            if self.record.is_empty() {
                return Ok(());
            }
            self.wire.tls.writer().write_all(&self.record)?;
        }
    }
}

impl Waits {
    fn tick(&mut self, stuck: bool, proven: bool) -> Result<(), End> {
        self.age = self.age.saturating_add(1);
        self.quiet += 1;
        self.stuck = if stuck { self.stuck + 1 } else { 0 };
        match self {
            Self { age, .. } if !proven && *age >= UNPROVEN => Err(End::Unproven),
            Self { quiet, .. } if *quiet >= QUIET => Err(End::Quiet),
            Self { stuck, .. } if *stuck > STUCK => Err(End::Stuck),
            _ => Ok(()),
        }
    }
}

/// The socket as `std` has them.
struct Socket<'s>(&'s TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(bytes)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
