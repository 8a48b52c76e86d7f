//! The kernel's live connections (`linux/netfilter/nfnetlink_conntrack.h`): looked at one by one, and those that may not
//! go on deleted.
//!
//! They are read as they come, however many there are. Deleting one also takes it out of the kernel's flow offload.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{HEAD, kind, line, request};
use crate::os::line::{Attributes, Data, Line, Message};
use crate::packet::{Ports, Tuple, protocol};

/// `NFNL_SUBSYS_CTNETLINK`.
const SUBSYSTEM: u8 = 1;
/// `IPCTNL_MSG_CT_…`.
const NEW: u16 = kind(SUBSYSTEM, 0);
const GET: u16 = kind(SUBSYSTEM, 1);
const DELETE: u16 = kind(SUBSYSTEM, 2);
/// `CTA_…`.
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
/// `CTA_TUPLE_…`.
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
/// `CTA_IP_…`.
const V4_SRC: u16 = 1;
const V4_DST: u16 = 2;
const V6_SRC: u16 = 3;
const V6_DST: u16 = 4;
/// `CTA_PROTO_…`.
const NUMBER: u16 = 1;
const SRC_PORT: u16 = 2;
const DST_PORT: u16 = 3;
const ICMP_ID: u16 = 4;
const ICMP_TYPE: u16 = 5;
const ICMPV6_ID: u16 = 7;
const ICMPV6_TYPE: u16 = 8;

/// Why connections can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    #[error(
        "the kernel does not tell of its connections; install kmod-nf-conntrack-netlink (OpenWrt), or load nf_conntrack_netlink"
    )]
    Missing,
    #[error("not permitted to look at the kernel's connections; run as root, or with CAP_NET_ADMIN")]
    NotPermitted,
    #[error("the kernel's connections: {0}")]
    Other(io::Error),
}

impl From<io::Error> for ConntrackError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            // A subsystem that is not there is an invalid one (nfnetlink_rcv_msg).
            Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::EOPNOTSUPP | libc::EINVAL) => {
                Self::Missing
            }
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted,
            _ => Self::Other(error),
        }
    }
}

/// What one look did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Looked {
    pub seen: u64,
    pub deleted: u64,
}

/// One connection: from who began it to who answers, whatever address translation made of the packets in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// From the first packet's source, as that sent it, to where it ended up.
    pub tuple: Tuple,
    /// Where the first packet was sent to. Another address than the tuple's where that was translated.
    pub sent_to: IpAddr,
    /// Whom the answers are sent to. Another address than the tuple's source where that was translated.
    pub answered_to: IpAddr,
}

/// Looks at every connection of both families, and deletes those that are to end.
///
/// # Errors
/// [`ConntrackError`]; those deleted before it are.
pub fn delete_where(mut is_to_end: impl FnMut(&Connection) -> bool) -> Result<Looked, ConntrackError> {
    let (mut dump, mut scissors) = (line()?, line()?);
    dump.send(request(GET, libc::NLM_F_DUMP, 0))?;
    let mut looked = Looked::default();
    loop {
        for message in dump.receive()? {
            let data = match message {
                Message::End(outcome) => return Ok(outcome.map(|()| looked)?),
                Message::Data(data) => data,
            };
            let Some(connection) = connection(data) else { continue };
            looked.seen += 1;
            if is_to_end(&connection) && delete(&mut scissors, data)? {
                looked.deleted += 1;
            }
        }
    }
}

/// Deletes the connection that a message is of; whether it was there still.
fn delete(line: &mut Line, data: Data<'_>) -> io::Result<bool> {
    let Some(([family, ..], attributes)) = data.split::<HEAD>() else { return Ok(false) };
    let mut request = request(DELETE, libc::NLM_F_ACK, family);
    for (kind, value) in attributes {
        request = match kind {
            TUPLE_ORIG => request.nested(kind, value),
            ID | ZONE => request.attribute(kind, value),
            _ => request,
        };
    }
    match line.tell(request) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

fn connection(data: Data<'_>) -> Option<Connection> {
    let (_, attributes) = data.split::<HEAD>().filter(|_| data.kind == NEW)?;
    let first = side(attributes.inside(TUPLE_ORIG)?)?;
    let answer = side(attributes.inside(TUPLE_REPLY)?)?;
    let ports = match (first.ports, answer.ports) {
        // The answer comes from where the first packet ended up.
        (Ports::Known { src, .. }, Ports::Known { src: dst, .. }) => Ports::Known { src, dst },
        (ports, _) => ports,
    };
    let tuple = Tuple { src: first.src, dst: answer.src, protocol: first.protocol, ports };
    Some(Connection { tuple, sent_to: first.dst, answered_to: answer.dst })
}

/// One direction of a connection, as its packets look.
fn side(tuple: Attributes<'_>) -> Option<Tuple> {
    let (ip, proto) = (tuple.inside(TUPLE_IP)?, tuple.inside(TUPLE_PROTO)?);
    let v4 = |kind| ip.array(kind).map(|bytes: [u8; 4]| IpAddr::from(Ipv4Addr::from(bytes)));
    let v6 = |kind| ip.array(kind).map(|bytes: [u8; 16]| IpAddr::from(Ipv6Addr::from(bytes)));
    let (src, dst) = (v4(V4_SRC).or_else(|| v6(V6_SRC))?, v4(V4_DST).or_else(|| v6(V6_DST))?);
    let word = |kind| proto.array(kind).map(u16::from_be_bytes);
    let [number] = proto.array(NUMBER)?;
    let ports = match number {
        protocol::ICMP | protocol::ICMPV6 => {
            let kind = proto.array(ICMP_TYPE).or_else(|| proto.array(ICMPV6_TYPE));
            let ident = word(ICMP_ID).or_else(|| word(ICMPV6_ID));
            match (kind, ident) {
                (Some([8 | 128]), Some(ident)) => Ports::Echo { request: true, ident },
                (Some([0 | 129]), Some(ident)) => Ports::Echo { request: false, ident },
                _ => Ports::OneWay,
            }
        }
        // Other protocols with ports are `proto/N` to policy.
        protocol::TCP | protocol::UDP => Ports::Known { src: word(SRC_PORT)?, dst: word(DST_PORT)? },
        _ => Ports::None,
    };
    Some(Tuple { src, dst, protocol: number, ports })
}
