//! The UDP port: trains, both families, addresses, ECN, and what is lost.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Instant;

use vpmesh::engine::{CROWDING_MAX, Crowding, Line, Steering, Transmit};
use vpmesh::os::batch::Batch;
use vpmesh::os::path_mtu::path_mtu;
use vpmesh::os::udp::{BindError, ReceiveSlots, UdpOptions, UdpPort};
use vpmesh::table::PeerId;

use crate::namespace::{block_on, in_namespace, ip};

const OPTIONS: UdpOptions =
    UdpOptions { port: 0, fwmark: None, receive_buffer: 4 << 20, send_buffer: 4 << 20 };

/// Whether what is tested uses the kernel's trains.
const TRAINS: bool = !cfg!(feature = "no-offload");

fn port() -> UdpPort {
    UdpPort::bind(&OPTIONS).unwrap()
}

/// A datagram or train as it came in.
#[derive(Debug, PartialEq, Eq)]
struct Came {
    source: SocketAddr,
    local: Option<IpAddr>,
    ecn: u8,
    bytes: Vec<u8>,
    stride: usize,
}

/// What comes in until `bytes` of it did.
async fn receive(port: &mut UdpPort, bytes: usize) -> Vec<Came> {
    let mut slots = ReceiveSlots::default();
    let mut all = Vec::new();
    while all.iter().map(|came: &Came| came.bytes.len()).sum::<usize>() < bytes {
        port.readable().await.unwrap();
        port.receive(0, &mut slots, now(), |datagrams| {
            all.extend(datagrams.iter().map(|datagram| Came {
                source: datagram.source,
                local: datagram.local,
                ecn: datagram.ecn,
                bytes: datagram.bytes.to_vec(),
                stride: datagram.stride,
            }));
        })
        .unwrap();
    }
    all
}

fn train(destination: SocketAddr, bytes: &[u8], segment: usize) -> Transmit<'_> {
    Transmit { line: Line::Peer(PeerId(0)), destination, local: None, ecn: 0, bytes, segment }
}

#[expect(clippy::disallowed_methods, reason = "the test is the shell here")]
fn now() -> Instant {
    Instant::now()
}

fn numbered(count: usize, segment: usize) -> Vec<u8> {
    (0..count).flat_map(|n| std::iter::repeat_n(u8::try_from(n % 251).unwrap(), segment)).collect()
}

#[test]
fn a_train_goes_out_and_comes_in_whole_in_both_families() {
    block_on(async {
        let (mut here, mut there) = (port(), port());
        for host in ["127.0.0.1", "::1"] {
            let host: IpAddr = host.parse().unwrap();
            let bytes = [numbered(10, 1200), vec![7; 300]].concat();
            here.send(&train((host, there.port().unwrap()).into(), &bytes, 1200), now());
            let came = receive(&mut there, bytes.len()).await;
            assert_eq!(came.len(), if TRAINS { 1 } else { 11 }, "the kernel has GRO");
            assert_eq!((came[0].source, came[0].local), ((host, here.port().unwrap()).into(), Some(host)));
            assert_eq!((came[0].stride, came.concat_bytes()), (1200, bytes));
            assert_eq!(here.take_losses(), Default::default());
        }
    });
}

#[test]
fn a_train_longer_than_the_kernel_takes_goes_out_in_several() {
    block_on(async {
        let (mut here, mut there) = (port(), port());
        let bytes = numbered(200, 1000);
        here.send(&train(([127, 0, 0, 1], there.port().unwrap()).into(), &bytes, 1000), now());
        let came = receive(&mut there, bytes.len()).await;
        assert_eq!(came.concat_bytes(), bytes);
        assert!(came.len() < 10 || !TRAINS, "{} pieces", came.len());
    });
}

trait ConcatBytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl ConcatBytes for Vec<Came> {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|came| came.bytes.iter().copied()).collect()
    }
}

#[test]
fn a_reply_leaves_from_the_address_that_was_asked() {
    block_on(async {
        let (mut here, mut there) = (port(), port());
        let local: IpAddr = "127.0.0.2".parse().unwrap();
        let destination = ([127, 0, 0, 3], there.port().unwrap()).into();
        here.send(&Transmit { local: Some(local), ..train(destination, b"hello", 5) }, now());
        let came = receive(&mut there, 5).await;
        assert_eq!((came[0].source.ip(), came[0].local), (local, Some("127.0.0.3".parse().unwrap())));
    });
}

#[test]
fn an_address_that_the_host_lost_does_not_stop_the_tunnel() {
    block_on(async {
        let (mut here, mut there) = (port(), port());
        for (host, lost) in [("127.0.0.1", "192.0.2.77"), ("::1", "2001:db8::77")] {
            let (host, lost): (IpAddr, IpAddr) = (host.parse().unwrap(), lost.parse().unwrap());
            let bytes = numbered(8, 1000);
            for _ in 0..3 {
                let destination = (host, there.port().unwrap()).into();
                here.send(&Transmit { local: Some(lost), ..train(destination, &bytes, 1000) }, now());
                assert_eq!(receive(&mut there, bytes.len()).await.concat_bytes(), bytes);
            }
            assert_eq!(here.take_losses(), Default::default());
        }
    });
}

#[test]
fn ecn_arrives_beside_everything_else_that_comes_with_a_train() {
    block_on(async {
        let (mut here, mut there) = (port(), port());
        for host in ["127.0.0.1", "::1"] {
            for ecn in 0..4 {
                let destination = (host.parse::<IpAddr>().unwrap(), there.port().unwrap()).into();
                let bytes = numbered(4, 1000);
                here.send(&Transmit { ecn, ..train(destination, &bytes, 1000) }, now());
                let came = receive(&mut there, bytes.len()).await;
                assert_eq!((came[0].ecn, came[0].stride), (ecn, 1000), "{host}");
            }
        }
    });
}

/// ```text
/// here ── lo, MTU 1280 ── there
/// ```
#[test]
fn a_train_wider_than_its_path_arrives_datagram_by_datagram_and_other_paths_keep_theirs() {
    in_namespace(|| async {
        ip("link set lo mtu 1280");
        let (mut here, mut there) = (port(), port());
        for (wide, narrow) in [("127.0.0.1", "127.0.0.2"), ("::1", "127.0.0.3")] {
            let to = |host: &str| (host.parse::<IpAddr>().unwrap(), there.port().unwrap()).into();
            let (wide, narrow): (SocketAddr, SocketAddr) = (to(wide), to(narrow));
            let bytes = numbered(20, 1400);
            here.send(&train(wide, &bytes, 1400), now());
            let came = receive(&mut there, bytes.len()).await;
            assert_eq!((came.len(), came.concat_bytes()), (20, bytes.clone()), "fragmented and put together");
            let bytes = numbered(20, 1000);
            here.send(&Transmit { ecn: 2, ..train(narrow, &bytes, 1000) }, now());
            let came = receive(&mut there, bytes.len()).await;
            assert_eq!(
                (came.len(), came[0].ecn),
                (if TRAINS { 1 } else { 20 }, 2),
                "a refusal is about one path"
            );
            assert_eq!(here.take_losses(), Default::default());
        }
    });
}

/// ```text
/// here ── near0, a veth whose neighbour is not known ── far0
/// ```
#[test]
fn a_full_socket_fills_the_backlog_then_counts_then_drains() {
    in_namespace(|| async {
        ip("link add near0 type veth peer name far0");
        ip("addr add 10.9.0.1/24 dev near0");
        ip("link set near0 up");
        ip("link set far0 up");
        let mut here = UdpPort::bind(&UdpOptions { send_buffer: 65_536, ..OPTIONS }).unwrap();
        let to: SocketAddr = "10.9.0.2:51888".parse().unwrap();
        let bytes = numbered(1, 1200);
        let mut sent = 0u64;
        while here.take_losses().full == 0 {
            assert!(sent < 10_000, "the backlog is bounded");
            here.send(&train(to, &bytes, 1200), now());
            sent += 1;
        }
        assert!(here.has_backlog());
        let neighbour = ip("-br link show far0").split_whitespace().nth(2).unwrap().to_owned();
        ip(&format!("neigh replace 10.9.0.2 lladdr {neighbour} dev near0"));
        while here.has_backlog() {
            here.writable().await.unwrap();
            here.flush(now());
        }
        let arrived = ip("-s link show far0");
        assert_eq!(here.take_losses(), Default::default(), "{arrived}");
    });
}

/// ```text
/// here ── near0, only for what is marked, MTU 1400 ── far0
/// ```
#[test]
fn a_mark_chooses_the_route_and_the_route_its_mtu() {
    in_namespace(|| async {
        ip("link add near0 mtu 1400 type veth peer name far0");
        ip("link set near0 up");
        ip("addr add 10.9.0.1/32 dev near0");
        ip("route add 10.9.0.2 dev near0 table 100");
        ip("rule add fwmark 0x51000000 lookup 100");
        let mark = NonZeroU32::new(0x5100_0000);
        let to: SocketAddr = "10.9.0.2:51888".parse().unwrap();
        let (mut plain, mut marked) =
            (port(), UdpPort::bind(&UdpOptions { fwmark: mark, ..OPTIONS }).unwrap());
        for (port, refused) in [(&mut plain, 1), (&mut marked, 0)] {
            port.send(&train(to, b"x", 1), now());
            assert_eq!(port.take_losses().refused, refused);
        }
        assert_eq!(path_mtu(to, mark).unwrap(), 1400);
        assert!(path_mtu(to, None).is_err());
        ip("link set lo mtu 1280");
        assert_eq!(path_mtu("[::1]:9".parse().unwrap(), None).unwrap(), 1280);
    });
}

#[test]
fn what_nobody_reads_is_counted() {
    block_on(async {
        let mut here = port();
        let there = UdpPort::bind(&UdpOptions { receive_buffer: 65_536, ..OPTIONS }).unwrap();
        assert_eq!(there.overflows(), 0);
        let bytes = vec![0; 30_000];
        for _ in 0..40 {
            here.send(&train(([127, 0, 0, 1], there.port().unwrap()).into(), &bytes, 1000), now());
        }
        assert!(there.overflows() > 0);
    });
}

#[test]
fn an_empty_socket_says_so() {
    block_on(async {
        let (mut here, mut there) = (port(), port());
        let mut slots = ReceiveSlots::default();
        assert_eq!(there.receive(0, &mut slots, now(), |_| panic!("nothing came")).unwrap(), Batch::Empty);
        here.send(&train(([127, 0, 0, 1], there.port().unwrap()).into(), b"x", 1), now());
        there.readable().await.unwrap();
        assert_eq!(there.receive(0, &mut slots, now(), |_| ()).unwrap(), Batch::Last);
        assert_eq!(there.receive(0, &mut slots, now(), |_| panic!("nothing came")).unwrap(), Batch::Empty);
    });
}

#[test]
fn a_port_that_is_taken_is_refused_with_the_mend() {
    block_on(async {
        let first = port();
        let refusal = UdpPort::bind(&UdpOptions { port: first.port().unwrap(), ..OPTIONS }).unwrap_err();
        assert!(matches!(refusal, BindError::Taken { .. }));
        assert!(refusal.to_string().contains("write another `listen`"), "{refusal}");
    });
}

/// A message of this kind and length, to this receiver index.
fn message(kind: u8, index: u32, length: usize) -> Vec<u8> {
    let mut message = vec![0x5a; length];
    message[..4].copy_from_slice(&[kind, 0, 0, 0]);
    if length >= 8 {
        message[4..8].copy_from_slice(&index.to_le_bytes());
    }
    message
}

/// What each of the queues has.
fn waiting(port: &mut UdpPort) -> Vec<Vec<Vec<u8>>> {
    let mut slots = ReceiveSlots::default();
    let mut read = |queue: usize| {
        let mut all = Vec::new();
        let mut each = |datagrams: &mut [vpmesh::engine::Datagram<'_>]| {
            all.extend(datagrams.iter().map(|datagram| datagram.bytes.to_vec()));
        };
        while port.receive(queue, &mut slots, now(), &mut each).unwrap() == Batch::More {}
        all
    };
    (0..3).map(&mut read).collect()
}

const STEERING: Steering = Steering { mask: 0x00ff_ff00, bits: 0x0012_3400, crowding: Vec::new() };
const INDEX: u32 = 0xab12_3477;

#[test]
fn each_kind_of_datagram_waits_in_a_queue_of_its_own_and_junk_in_none() {
    block_on(async {
        let mut port = port();
        port.steer(&STEERING).unwrap();
        for host in ["127.0.0.1", "::1"] {
            let refused = port.refused();
            let host: IpAddr = host.parse().unwrap();
            let sender = std::net::UdpSocket::bind((host, 0)).unwrap();
            let send = |bytes: &[u8]| sender.send_to(bytes, (host, port.port().unwrap())).unwrap();
            // Type 5 are a relay's frames.
            let data = [message(4, INDEX, 32), message(4, INDEX ^ 0x5500_00ff, 1_419), message(5, INDEX, 64)];
            let handshakes = [message(1, 0, 148), message(2, 7, 92), message(3, 7, 64)];
            let mut junk =
                vec![Vec::new(), vec![4], vec![4, 0, 0], message(4, INDEX, 16), message(4, INDEX, 31)];
            junk.extend((8..24).map(|bit| message(4, INDEX ^ 1 << bit, 32)));
            junk.extend([1, 2, 3].map(|kind| message(kind, 0, 149)));
            junk.extend([0, 6, 255].map(|kind| message(kind, INDEX, 148)));
            junk.push([4, 0, 1, 0].into_iter().chain(message(4, INDEX, 32).split_off(4)).collect());
            for bytes in data.iter().chain(&junk).chain(&handshakes) {
                send(bytes);
            }
            port.readable().await.unwrap();
            assert_eq!(waiting(&mut port), [data.to_vec(), vec![], handshakes.to_vec()], "{host}");
            assert_eq!(port.refused() - refused, u32::try_from(junk.len()).unwrap(), "{host}");
            assert_eq!(port.overflows(), 0);
        }
    });
}

#[test]
fn who_crowds_waits_apart_and_an_innocent_peer_only_from_elsewhere() {
    block_on(async {
        let mut port = port();
        for host in ["127.0.0.1", "::1"] {
            let host: IpAddr = host.parse().unwrap();
            let sender = || std::net::UdpSocket::bind((host, 0)).unwrap();
            let (home, elsewhere) = (sender(), sender());
            let crowding = vec![
                Crowding { index: (INDEX + 0x100_0000) >> 8, except_from: None },
                Crowding { index: (INDEX + 0x200_0000) >> 8, except_from: Some(home.local_addr().unwrap()) },
            ];
            port.steer(&Steering { crowding, ..STEERING }).unwrap();
            let [other, crowd, innocent] =
                [0, 1, 2].map(|n| message(4, INDEX + n * 0x100_0000, 32 + n as usize * 16));
            for from in [&home, &elsewhere] {
                for bytes in [&other, &crowd, &innocent] {
                    from.send_to(bytes, (host, port.port().unwrap())).unwrap();
                }
            }
            port.readable().await.unwrap();
            let with_others = vec![other.clone(), innocent.clone(), other];
            assert_eq!(
                waiting(&mut port),
                [with_others, vec![crowd.clone(), crowd, innocent], vec![]],
                "{host}"
            );
        }
    });
}

#[test]
fn the_longest_program_is_taken_and_a_port_that_is_shared_is_still_taken() {
    block_on(async {
        let mut port = port();
        let home = Some(([0x20, 1, 0, 0, 0, 0, 0, 9], 51888).into());
        let crowding = (0..CROWDING_MAX as u32).map(|index| Crowding { index, except_from: home }).collect();
        port.steer(&Steering { crowding, ..STEERING }).unwrap();
        let refusal = UdpPort::bind(&UdpOptions { port: port.port().unwrap(), ..OPTIONS }).unwrap_err();
        assert!(matches!(refusal, BindError::Taken { .. }));
    });
}

#[test]
fn a_flood_of_one_kind_leaves_the_others_their_room() {
    block_on(async {
        let mut port = UdpPort::bind(&UdpOptions { receive_buffer: 65_536, ..OPTIONS }).unwrap();
        port.steer(&STEERING).unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let destination = ("127.0.0.1", port.port().unwrap());
        for _ in 0..20_000 {
            sender.send_to(&message(1, 0, 148), destination).unwrap();
            sender.send_to(&message(9, 0, 148), destination).unwrap();
        }
        sender.send_to(&message(4, INDEX, 32), destination).unwrap();
        port.readable().await.unwrap();
        assert_eq!(waiting(&mut port)[0], [message(4, INDEX, 32)]);
        assert!(port.overflows() > 0 && port.refused() == 20_000);
    });
}

#[test]
fn a_queue_that_stands_is_marked_one_datagram_at_a_time_and_a_burst_is_not() {
    block_on(async {
        let mut here = port();
        let to = |there: &UdpPort| ([127, 0, 0, 1], there.port().unwrap()).into();
        // Trains, and how long reading a batch of them takes.
        for (segments, pause, standing) in [(1, 0, false), (1, 20, true), (10, 20, true)] {
            let mut there = port();
            let bytes = numbered(segments, 100);
            for _ in 0..400 {
                here.send(&train(to(&there), &bytes, 100), now());
            }
            let (mut slots, mut at, mut marked, mut read) =
                (ReceiveSlots::default(), now(), Vec::new(), Vec::new());
            let mut batches = 0;
            there.readable().await.unwrap();
            while read.len() < 400 * bytes.len() {
                there
                    .receive(0, &mut slots, at, |datagrams| {
                        marked.extend(datagrams.iter().filter(|d| d.ecn == 3).map(|d| d.bytes.len()));
                        read.extend(datagrams.iter().flat_map(|d| d.bytes.to_vec()));
                    })
                    .unwrap();
                at += std::time::Duration::from_millis(pause);
                batches += 1;
            }
            assert_eq!(read, bytes.repeat(400));
            assert_eq!(!marked.is_empty(), standing, "{segments}");
            assert!(marked.len() < batches && marked.iter().all(|&length| length == 100), "{marked:?}");
        }
    });
}
