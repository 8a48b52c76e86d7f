//! Who changed nftables (`linux/netfilter/nf_tables.h`).

use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::{HEAD, kind, line, request};
use crate::os::line::{Data, Message, Messages};
use crate::os::news::News;

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u8 = 10;
/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;
/// `NFT_MSG_…GEN`.
const NEW_GENERATION: u16 = kind(SUBSYSTEM, 15);
const GET_GENERATION: u16 = kind(SUBSYSTEM, 16);
/// `NFTA_GEN_ID`.
const GENERATION_ID: u16 = 1;
/// The first attribute of a table, and of whatever is in one: the table's name (`NFTA_TABLE_NAME`, `NFTA_RULE_TABLE` …).
const TABLE: u16 = 1;

/// How often nftables were changed since the boot, by whomever, in 32 bits. A transaction is one change.
///
/// # Errors
/// The kernel's.
pub fn generation() -> io::Result<u32> {
    let mut line = line()?;
    line.send(request(GET_GENERATION, 0, 0))?;
    loop {
        for message in line.receive()? {
            match message {
                Message::End(outcome) => outcome?,
                Message::Data(data) if data.kind == NEW_GENERATION => {
                    let told = data.split::<HEAD>();
                    let id = told.and_then(|(_, attributes)| attributes.array(GENERATION_ID));
                    let id = id.ok_or(io::ErrorKind::InvalidData)?;
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
    news: News,
    table: &'static str,
}

impl TableChanges {
    /// # Errors
    /// The kernel's: it needs CAP_NET_ADMIN.
    pub fn open(table: &'static str) -> io::Result<Self> {
        Ok(Self { news: News::open(NETLINK_NETFILTER, 1 << (GROUP - 1))?, table })
    }

    /// Waits until the table or something in it was made, changed or deleted, by whomever; or it can't be told.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn changed(&mut self) -> io::Result<()> {
        let table = self.table;
        self.news.heard(|bytes| is_about(bytes, table)).await
    }

    /// Forgets what happened so far: one's own changes.
    pub fn forget(&mut self) {
        self.news.forget();
    }
}

fn is_about(bytes: &[u8], table: &str) -> bool {
    Messages::new(bytes).any(|message| match message {
        Message::Data(data) => is_of(data, table),
        Message::End(_) => false,
    })
}

fn is_of(data: Data<'_>, table: &str) -> bool {
    let [subsystem, _] = data.kind.to_be_bytes();
    let name = data.split::<HEAD>().and_then(|(_, attributes)| attributes.find(TABLE));
    let name = name.and_then(|name| name.strip_suffix(b"\0"));
    subsystem == SUBSYSTEM && data.kind != NEW_GENERATION && name == Some(table.as_bytes())
}
