//! Who changed nftables (`linux/netfilter/nf_tables.h`).

use std::io;

use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{Socket, SocketAddr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::message::{Data, Message, Messages, Request};
use super::{Line, MESSAGE_MAX};
use crate::os::ready;

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u8 = 10;
/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;
/// `NFT_MSG_…GEN`.
const NEW_GENERATION: u8 = 15;
const GET_GENERATION: u8 = 16;
/// `NFTA_GEN_ID`.
const GENERATION_ID: u16 = 1;
/// The first attribute of a table, and of whatever is in one: the table's name (`NFTA_TABLE_NAME`, `NFTA_RULE_TABLE` …).
const TABLE: u16 = 1;

/// How often nftables were changed since the boot, by whomever, in 32 bits. A transaction is one change.
///
/// # Errors
/// The kernel's.
pub fn generation() -> io::Result<u32> {
    let mut line = Line::open()?;
    line.send(&Request::new(SUBSYSTEM, GET_GENERATION, 0, 0).finish())?;
    loop {
        for message in line.receive()? {
            match message {
                Message::End(outcome) => outcome?,
                Message::Data(data) if (data.subsystem, data.kind) == (SUBSYSTEM, NEW_GENERATION) => {
                    let id = data.attributes.array(GENERATION_ID).ok_or(io::ErrorKind::InvalidData)?;
                    return Ok(u32::from_be_bytes(id));
                }
                Message::Data(_) => {}
            }
        }
    }
}

/// Tells when somebody changed one table, in whatever family. Made inside a tokio runtime.
#[derive(Debug)]
pub struct TableChanges {
    socket: AsyncFd<Socket>,
    table: &'static str,
    buffer: Vec<u8>,
}

impl TableChanges {
    /// # Errors
    /// The kernel's: it needs CAP_NET_ADMIN.
    pub fn open(table: &'static str) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind(&SocketAddr::new(0, 1 << (GROUP - 1)))?;
        socket.set_non_blocking(true)?;
        let socket = ready::watch(socket, Interest::READABLE)?;
        Ok(Self { socket, table, buffer: Vec::with_capacity(MESSAGE_MAX) })
    }

    /// Waits until the table or something in it was made, changed or deleted, by whomever; or it can't be told.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut guard = self.socket.readable().await?;
            self.buffer.clear();
            let buffer = &mut self.buffer;
            match guard.try_io(|socket| socket.get_ref().recv(buffer, 0)) {
                // Would block: wait again.
                Err(_) => {}
                Ok(Ok(_)) if is_about(&self.buffer, self.table) => return Ok(()),
                Ok(Ok(_)) => {}
                // More news than there was room for.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(()),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
            }
        }
    }

    /// Forgets what happened so far: one's own changes.
    pub fn forget(&mut self) {
        loop {
            self.buffer.clear();
            match self.socket.get_ref().recv(&mut self.buffer, 0) {
                Ok(_) => {}
                Err(error)
                    if error.raw_os_error() == Some(libc::ENOBUFS)
                        || error.kind() == io::ErrorKind::Interrupted => {}
                // Nothing more; or an error that the next wait meets.
                Err(_) => return,
            }
        }
    }
}

fn is_about(bytes: &[u8], table: &str) -> bool {
    Messages::new(bytes).any(|message| match message {
        Message::Data(data) => is_of(&data, table),
        Message::End(_) => false,
    })
}

fn is_of(data: &Data<'_>, table: &str) -> bool {
    let name = data.attributes.find(TABLE).and_then(|name| name.strip_suffix(b"\0"));
    data.subsystem == SUBSYSTEM && data.kind != NEW_GENERATION && name == Some(table.as_bytes())
}
