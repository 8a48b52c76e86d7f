//! A host that answers on every port, and questions to it.
//!
//! All ports are redirected to one by the host's own nftables, so that what a scan finds is what policy lets pass.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::Namespace;
use super::wait::poll_until;
use super::worker::Worker;

const PORT: u16 = 7;
const TURN: Duration = Duration::from_millis(100);
const RULES: &str = "
table inet echo {
    chain prerouting {
        type nat hook prerouting priority dstnat;
        iifname { lo, eth0 } accept
        meta l4proto { tcp, udp } redirect to :7
    }
}";
const RULES_LAN: &str = "
table inet echo {
    chain prerouting {
        type nat hook prerouting priority dstnat;
        iifname lo accept
        meta l4proto { tcp, udp } redirect to :7
    }
}";

/// Echo servers in a namespace, until dropped.
#[derive(Debug)]
pub struct Echo {
    _workers: [Worker; 2],
}

impl Echo {
    /// On every port of every interface but the underlay's `eth0`.
    pub fn on_every_port(namespace: &Namespace) -> Self {
        Self::with(namespace, RULES)
    }

    /// On every port of a host whose `eth0` is its place in the mesh: a LAN host or a container.
    pub fn on_every_port_of_eth0(namespace: &Namespace) -> Self {
        Self::with(namespace, RULES_LAN)
    }

    fn with(namespace: &Namespace, rules: &str) -> Self {
        namespace.nft(rules);
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
        let (tcp, udp) = namespace.inside(|| {
            (TcpListener::bind(any).expect("port 7 is free"), UdpSocket::bind(any).expect("port 7 is free"))
        });
        let tcp = Worker::start(move |goes_on| serve_tcp(tcp, goes_on));
        let udp = Worker::start(move |goes_on| serve_udp(&udp, goes_on));
        Self { _workers: [tcp, udp] }
    }
}

fn serve_tcp(listener: TcpListener, goes_on: &dyn Fn() -> bool) {
    let listener = socket2::Socket::from(listener);
    listener.set_read_timeout(Some(TURN)).expect("a socket has a timeout");
    while goes_on() {
        let Ok((socket, _)) = listener.accept() else { continue };
        let mut stream = TcpStream::from(socket);
        std::thread::spawn(move || {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let mut bytes = [0; 16_384];
            while let Ok(length @ 1..) = stream.read(&mut bytes) {
                if stream.write_all(&bytes[..length]).is_err() {
                    break;
                }
            }
        });
    }
}

fn serve_udp(socket: &UdpSocket, goes_on: &dyn Fn() -> bool) {
    socket.set_read_timeout(Some(TURN)).expect("a socket has a timeout");
    let mut bytes = [0; 16_384];
    while goes_on() {
        if let Ok((length, from)) = socket.recv_from(&mut bytes) {
            // nmap's probes may be empty; an answer should not be.
            let answer = if length == 0 { b"echo".as_slice() } else { &bytes[..length] };
            let _ = socket.send_to(answer, from);
        }
    }
}

/// One end of a question: the namespace and, where it has several, the address to ask from.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    pub namespace: &'a Namespace,
    pub from: Option<IpAddr>,
}

impl<'a> From<&'a Namespace> for Asker<'a> {
    fn from(namespace: &'a Namespace) -> Self {
        Self { namespace, from: None }
    }
}

/// Whether a TCP connection echoes within the limit.
pub fn tcp_answers<'a>(asker: impl Into<Asker<'a>>, to: SocketAddr, limit: Duration) -> bool {
    let asker = asker.into();
    asker.namespace.inside(|| {
        let domain = socket2::Domain::for_address(to);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).expect("a socket can be made");
        if let Some(from) = asker.from {
            socket.bind(&SocketAddr::new(from, 0).into()).expect("the asker has the address");
        }
        if socket.connect_timeout(&to.into(), limit).is_err() {
            return false;
        }
        let mut stream = TcpStream::from(socket);
        let _ = stream.set_read_timeout(Some(limit));
        let mut answer = [0; 5];
        stream.write_all(b"hello").is_ok() && stream.read_exact(&mut answer).is_ok() && answer == *b"hello"
    })
}

/// Whether UDP echoes within the limit; it is asked again every 200 ms.
pub fn udp_answers<'a>(asker: impl Into<Asker<'a>>, to: SocketAddr, limit: Duration) -> bool {
    let asker = asker.into();
    let unspecified = if to.is_ipv4() { IpAddr::from([0; 4]) } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = SocketAddr::new(asker.from.unwrap_or(unspecified), 0);
    let socket = asker.namespace.inside(|| UdpSocket::bind(from).expect("the asker has the address"));
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket has a timeout");
    let deadline = Instant::now() + limit;
    let mut answer = [0; 16];
    poll_until(limit, || {
        let _ = socket.send_to(b"hello", to);
        // An ICMP error comes out of recv as well, at once: then only the deadline ends it.
        match socket.recv_from(&mut answer) {
            Ok((length, _)) if &answer[..length] == b"hello" => Some(true),
            _ => (Instant::now() >= deadline).then_some(false),
        }
    })
    .unwrap_or(false)
}
