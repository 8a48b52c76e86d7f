//! The control socket: one JSON object a line, asked and answered.
//!
//! Everything is bounded: clients, the length of a line, how long a client may think, how long it may take to read.
//! The event loop only gathers an answer; turning it into text is done here, a few rows at a time, so that packets
//! pass in between.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::delivery::{Deliveries, Delivery};
use super::kernel::Kernel;
use super::notice::{Notice, Notices};
use super::question::{
    Answer, Committed, ErrorLine, Published, Question, Reloaded, Request, Rows, party, service,
};
use super::reload::{Reloads, Wish};
use crate::base::signify::FILE_MAX;
use crate::engine::FlowRow;
use crate::roster::ROSTER_BYTES_MAX;

/// Bytes of a request's line at most.
pub const LINE_MAX: u64 = 4096;
/// Clients at a time.
pub const CLIENTS_MAX: usize = 8;
/// How long a client may think.
const THINK: Duration = Duration::from_secs(30);
/// How long a client may take to read what it asked for, a piece at a time.
const READ: Duration = Duration::from_secs(10);
/// Rows that are written in one piece.
const PIECE: usize = 64;

/// Where questions go.
#[derive(Debug, Clone)]
pub(super) struct Ears {
    notices: Notices,
    deliveries: Deliveries,
    reloads: Reloads,
    /// Who publishes brings megabytes: one client at a time.
    publishing: Arc<Semaphore>,
    kernel: Kernel,
    /// Whoever gets rows: they may be many, and are gathered for one client at a time.
    rows: Arc<Semaphore>,
}

/// The ways to the event loop and to who judges rosters.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) notices: Notices,
    pub(super) deliveries: Deliveries,
}

impl Ears {
    pub(super) fn new(way: Way, reloads: Reloads, kernel: Kernel) -> Self {
        let Way { notices, deliveries } = way;
        let one = || Arc::new(Semaphore::new(1));
        Self { notices, deliveries, reloads, publishing: one(), kernel, rows: one() }
    }
}

/// Answers clients until the event loop ends.
pub(super) async fn serve(listener: UnixListener, ears: Ears) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely; there will be some again.
                tracing::debug!(%error, "control client not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            refuse(stream);
            continue;
        };
        let ears = ears.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &ears).await {
                tracing::debug!(%error, "control client left");
            }
            drop(place);
        });
    }
}

/// Tells one client too many so, without waiting for it.
fn refuse(stream: UnixStream) {
    let line = to_line(&ErrorLine { error: format!("{CLIENTS_MAX} clients are being served; try again") });
    let _ = stream.try_write(&line);
}

/// One client's requests, one after the other.
async fn converse(stream: UnixStream, ears: &Ears) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = timeout(THINK, (&mut read).take(LINE_MAX).read_until(b'\n', &mut line)).await??;
        if length == 0 {
            return Ok(());
        }
        let reply = match line.strip_suffix(b"\n") {
            Some(line) => answer(line, &mut read, ears).await,
            None if length as u64 == LINE_MAX => {
                Err(format!("a request has at most {LINE_MAX} bytes and a newline"))
            }
            // Cut off: nobody waits for an answer.
            None => return Ok(()),
        };
        let cut = line.last() != Some(&b'\n');
        match reply {
            Ok(reply) => reply.write(&mut write).await?,
            Err(error) => send(&mut write, &to_line(&ErrorLine { error })).await?,
        }
        if cut {
            // What follows is the rest of a line.
            return Ok(());
        }
    }
}

/// An answer, before it is text.
enum Reply {
    Answer(Answer),
    /// Rows, and the turn of who gets them.
    Rows(Answer, OwnedSemaphorePermit),
    Largest(Vec<FlowRow>, u32, OwnedSemaphorePermit),
    Reloaded(Reloaded),
    Published(Published),
    Committed(Committed),
}

/// Puts a request to whom it concerns.
async fn answer(line: &[u8], read: &mut (impl AsyncRead + Unpin), ears: &Ears) -> Result<Reply, String> {
    let request: Request = serde_json::from_slice(line)
        .map_err(|error| format!("not understood ({error}); send {{\"cmd\": \"status\"}} and the like"))?;
    let stopping = || "vpmesh is stopping".to_owned();
    let most = match request {
        Request::Flows { largest } => largest,
        _ => None,
    };
    let question = match request {
        Request::Status => Question::Status,
        Request::Flows { .. } => Question::Flows,
        Request::Peers => Question::Peers,
        Request::Explain { from, to, service: asked } => {
            Question::Explain { from: party(&from)?, to: party(&to)?, service: service(&asked)? }
        }
        Request::Publish { signature, roster } => {
            return publish(signature, roster, read, ears).await.map(Reply::Published);
        }
        Request::Reload { within } => {
            let (reply, outcome) = oneshot::channel();
            ears.reloads.send(Wish::Reload(within, reply)).await.map_err(|_| stopping())?;
            return outcome.await.map_err(|_| stopping())?.map(Reply::Reloaded);
        }
        Request::Commit => {
            let (reply, outcome) = oneshot::channel();
            ears.reloads.send(Wish::Commit(reply)).await.map_err(|_| stopping())?;
            return outcome.await.map_err(|_| stopping())?.map(Reply::Committed);
        }
    };
    if question == Question::Status {
        ears.kernel.count().await;
    }
    if matches!(question, Question::Flows | Question::Peers) {
        let turn = ears.rows.clone().acquire_owned().await.map_err(|_| stopping())?;
        return match (ask(&ears.notices, question).await.ok_or_else(stopping)?, most) {
            (Answer::Flows(rows), Some(most)) => Ok(Reply::Largest(rows, most, turn)),
            (rows, _) => Ok(Reply::Rows(rows, turn)),
        };
    }
    ask(&ears.notices, question).await.map(Reply::Answer).ok_or_else(stopping)
}

/// Reads the two files that follow the request, and has them judged.
async fn publish(
    signature: usize,
    roster: usize,
    read: &mut (impl AsyncRead + Unpin),
    ears: &Ears,
) -> Result<Published, String> {
    if signature > FILE_MAX || roster > ROSTER_BYTES_MAX {
        return Err(format!("a signature has at most {FILE_MAX} bytes, and a roster {ROSTER_BYTES_MAX}"));
    }
    let stopping = || "vpmesh is stopping".to_owned();
    let _turn =
        ears.publishing.clone().try_acquire_owned().map_err(|_| "another roster is being published")?;
    let mut files = Vec::new();
    let whole = (signature + roster) as u64;
    let taken = timeout(THINK, read.take(whole).read_to_end(&mut files)).await;
    if !matches!(taken, Ok(Ok(length)) if length as u64 == whole) {
        return Err("the roster was cut short".to_owned());
    }
    let (reply, outcome) = oneshot::channel();
    let delivery = Delivery {
        owner: None,
        signature: files[..signature].into(),
        roster: files[signature..].into(),
        from: "this node".to_owned(),
        reply: Some(reply),
    };
    drop(files);
    ears.deliveries.send(delivery).await.map_err(|_| stopping())?;
    outcome.await.map_err(|_| stopping())?.map(|published| Published { published })
}

/// Asks the event loop; `None` when it has ended.
pub(super) async fn ask(notices: &Notices, question: Question) -> Option<Answer> {
    let (reply, answer) = oneshot::channel();
    notices.send(Notice::Ask(question, reply)).await.ok()?;
    answer.await.ok()
}

impl Reply {
    async fn write(self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let (answer, _turn) = match self {
            Self::Reloaded(reloaded) => return send(stream, &to_line(&reloaded)).await,
            Self::Published(published) => return send(stream, &to_line(&published)).await,
            Self::Committed(committed) => return send(stream, &to_line(&committed)).await,
            Self::Largest(rows, most, _turn) => {
                let (of, rows) = (Some(rows.len()), largest(rows, most).await);
                return send_rows(stream, &rows, of).await;
            }
            Self::Answer(answer) => (answer, None),
            Self::Rows(answer, turn) => (answer, Some(turn)),
        };
        match answer {
            Answer::Status(status) => send(stream, &to_line(&status)).await,
            Answer::Explain(answer) => send(stream, &to_line(&answer)).await,
            Answer::Flows(rows) => send_rows(stream, &rows, None).await,
            Answer::Peers(rows) => send_rows(stream, &rows, None).await,
        }
    }
}

/// The flows that carried most, the largest first. A few at a time, as they are written.
async fn largest(rows: Vec<FlowRow>, most: u32) -> Vec<FlowRow> {
    let most = most as usize;
    let mut found: BinaryHeap<(Reverse<u64>, usize)> = BinaryHeap::new();
    for (at, row) in rows.iter().enumerate() {
        found.push((Reverse(row.forward.bytes.saturating_add(row.back.bytes)), at));
        if found.len() > most {
            found.pop();
        }
        if at % PIECE == 0 {
            tokio::task::yield_now().await;
        }
    }
    found.into_sorted_vec().into_iter().map(|(_, at)| rows[at].clone()).collect()
}

async fn send_rows<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    rows: &[T],
    of: Option<usize>,
) -> io::Result<()> {
    send(stream, &to_line(&Rows { rows: rows.len(), of })).await?;
    for piece in rows.chunks(PIECE) {
        let lines: Vec<u8> = piece.iter().flat_map(to_line).collect();
        send(stream, &lines).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    timeout(READ, stream.write_all(bytes)).await?
}

/// One line of JSON. What the daemon answers is made of texts and numbers, and always can be written.
fn to_line<T: Serialize>(value: &T) -> Vec<u8> {
    let mut line =
        serde_json::to_vec(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}").into_bytes());
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;
