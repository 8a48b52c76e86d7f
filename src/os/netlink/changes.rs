//! News of the interface, or of the way to the internet, from the kernel.
//!
//! A socket of its own: on a router whose routes change by the thousand, news of other interfaces cost a read and
//! nothing else.

use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;

use super::message;
use crate::os::line::{Message, Messages};
use crate::os::news::News;

/// `RTMGRP_…`.
const OF_V4: libc::c_int = libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV4_ROUTE;
const ALL: libc::c_int = libc::RTMGRP_LINK | OF_V4 | libc::RTMGRP_IPV6_IFADDR | libc::RTMGRP_IPV6_ROUTE;

/// What the news are to be of.
#[derive(Debug, Clone, Copy)]
enum Subject {
    /// Everything about the interface with this index.
    Interface(u32),
    /// IPv4 default routes, and this host's own addresses.
    WayOut,
}

/// Tells when somebody changed something. Made inside a tokio runtime.
#[derive(Debug)]
pub struct Changes {
    news: News,
    subject: Subject,
}

impl Changes {
    /// News of one interface.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(index: u32) -> io::Result<Self> {
        Self::of(Subject::Interface(index), ALL)
    }

    /// News of the way to the internet: IPv4 default routes, and this host's addresses.
    ///
    /// # Errors
    /// The kernel's.
    pub fn of_way_out() -> io::Result<Self> {
        Self::of(Subject::WayOut, OF_V4)
    }

    fn of(subject: Subject, groups: libc::c_int) -> io::Result<Self> {
        Ok(Self { news: News::open(NETLINK_ROUTE, groups.cast_unsigned())?, subject })
    }

    /// Waits until what this is about changed, by whomever: an address, a route, the interface's state.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn changed(&mut self) -> io::Result<()> {
        let subject = self.subject;
        self.news.heard(|bytes| is_about(bytes, subject)).await
    }
}

/// Whether one of the messages is about the subject.
fn is_about(bytes: &[u8], subject: Subject) -> bool {
    Messages::new(bytes).any(|message| {
        let Message::Data(data) = message else { return false };
        match (message::News::read(data), subject) {
            (Some(message::News::Link(of) | message::News::Address(of)), Subject::Interface(index)) => {
                of == index
            }
            (Some(message::News::Address(_)), Subject::WayOut) => true,
            (Some(message::News::Route { into, .. }), Subject::Interface(index)) => into == Some(index),
            (Some(message::News::Route { is_default, .. }), Subject::WayOut) => is_default,
            (Some(message::News::Link(_)) | None, _) => false,
        }
    })
}
