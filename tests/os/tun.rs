//! The TUN device.

use std::os::fd::AsRawFd as _;

use vpmesh::os::batch::Batch;
use vpmesh::os::netlink::{Interface, Wanted};
use vpmesh::os::tun::{TunDevice, TunError, is_gone};
use vpmesh::packet::craft::{Craft, Segment, is_intact};
use vpmesh::packet::{Packet, TcpFlags, decrement_hop_limit};

use crate::namespace::{in_namespace, ip, run};

fn wanted() -> Wanted {
    Wanted {
        up: true,
        mtu: 1420,
        addresses: vec!["10.88.0.1/32".parse().unwrap(), "fd00:1::1/128".parse().unwrap()],
        routes: vec!["10.88.0.0/16".parse().unwrap(), "fd00:1::/48".parse().unwrap()],
    }
}

async fn device() -> TunDevice {
    let tun = TunDevice::open(&"vpm0".parse().unwrap(), 1420).unwrap();
    let applied = Interface::open(tun.index()).unwrap().apply(&wanted()).await.unwrap();
    assert_eq!(applied.refused, []);
    tun
}

/// The packets that come in until `count` of them did.
async fn receive(tun: &mut TunDevice, count: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while all.len() < count {
        tun.readable().await.unwrap();
        tun.receive(|packets| all.extend(packets.iter().map(|packet| packet.to_vec()))).unwrap();
    }
    all
}

#[test]
fn the_host_and_the_mesh_reach_each_other_through_the_device() {
    in_namespace(|| async {
        let mut tun = device().await;
        let socket = tokio::net::UdpSocket::bind("10.88.0.1:7").await.unwrap();
        for n in 0..100u8 {
            socket.send_to(&[n], "10.88.3.4:9").await.unwrap();
        }
        let packets = receive(&mut tun, 100).await;
        assert!(packets.iter().enumerate().all(|(n, packet)| usize::from(packet[28]) == n), "in order");
        // The same packet with its ends exchanged is the mesh's answer.
        let mut back = packets[0].clone();
        back[12..20].rotate_left(4);
        back[20..24].rotate_left(2);
        assert_eq!(tun.send([&back[..]]), 0);
        let mut buffer = [0; 8];
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..length], from.to_string().as_str()), (&[0][..], "10.88.3.4:9"));
    });
}

#[test]
fn an_idle_device_is_silent() {
    in_namespace(|| async {
        let mut tun = device().await;
        // No link-local address, so no solicitations and no multicast reports.
        let shown = ip("-6 addr show dev vpm0");
        assert!(!shown.contains("fe80"), "{shown}");
        let told = tokio::time::timeout(std::time::Duration::from_millis(200), tun.readable()).await;
        assert!(told.is_err());
        assert_eq!(tun.receive(|packets| panic!("{packets:?}")).unwrap(), Batch::Empty);
    });
}

#[test]
fn a_host_that_does_without_ipv6_has_it_here() {
    in_namespace(|| async {
        for scope in ["all", "default"] {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1").unwrap();
        }
        let _tun = device().await;
        assert!(ip("-6 addr show dev vpm0").contains("fd00:1::1/128"));
    });
}

#[test]
fn the_device_goes_with_its_owner() {
    in_namespace(|| async {
        let tun = device().await;
        assert!(ip("link").contains("vpm0"));
        drop(tun);
        assert!(!ip("link").contains("vpm0"));
        assert!(!ip("route").contains("10.88"));
    });
}

#[test]
fn a_device_that_is_deleted_under_the_daemon_says_so() {
    in_namespace(|| async {
        let mut tun = device().await;
        ip("link del vpm0");
        tun.readable().await.unwrap();
        assert!(is_gone(&tun.receive(|_| ()).unwrap_err()));
    });
}

#[test]
fn packets_larger_than_the_mtu_are_counted_and_not_handed_on() {
    in_namespace(|| async {
        let mut tun = device().await;
        ip("link set vpm0 mtu 9000");
        let socket = tokio::net::UdpSocket::bind("10.88.0.1:7").await.unwrap();
        socket.send_to(&[1; 4000], "10.88.3.4:9").await.unwrap();
        socket.send_to(&[2; 40], "10.88.3.4:9").await.unwrap();
        let packets = receive(&mut tun, 1).await;
        assert_eq!((packets.len(), packets[0].len(), tun.oversized()), (1, 68, 1));
    });
}

#[test]
fn an_interface_that_is_taken_is_refused_with_the_mend() {
    in_namespace(|| async {
        let _tun = device().await;
        let name = "vpm0".parse().unwrap();
        assert!(matches!(TunDevice::open(&name, 1420), Err(TunError::InUse { .. })));
        ip("link add veth0 type veth peer name veth1");
        let refusal = TunDevice::open(&"veth0".parse().unwrap(), 1420).unwrap_err();
        assert!(matches!(refusal, TunError::NoTun { .. }), "{refusal:?}");
    });
}

/// Segments of TCP from a station of the mesh to another, as they come out of a tunnel.
fn segments((src, dst): (&str, &str), count: u16, size: usize) -> Vec<Vec<u8>> {
    let craft = Craft::new(src, dst);
    let segment = |n: u16| {
        let data: Vec<u8> = (0..size).map(|at| (at * 7 + usize::from(n)) as u8).collect();
        let seq = (u32::MAX - 3000).wrapping_add(u32::from(n) * size as u32);
        let segment = Segment { flags: TcpFlags::ACK, seq, ack: 9, options: &[1; 12], data: &data };
        Craft { id: n, ..craft }.tcp(5201, 80, segment)
    };
    (0..count).map(segment).collect()
}

fn datagrams((src, dst): (&str, &str), count: u16, size: usize) -> Vec<Vec<u8>> {
    let craft = Craft::new(src, dst);
    let datagram = |n: u16| Craft { id: n, ..craft }.udp(5201, 80, &vec![n as u8; size]);
    (0..count).map(datagram).collect()
}

/// What comes out of a device is what went into another, one hop older, whoever cut it apart.
async fn assert_passes_through(feature: &str) {
    let mut into = device().await;
    let mut out = TunDevice::open(&"vpm1".parse().unwrap(), 1420).unwrap();
    for line in
        ["link set vpm1 mtu 1420 up", "route add 10.99.0.0/16 dev vpm1", "-6 route add fd00:9::/48 dev vpm1"]
    {
        ip(line);
    }
    for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        std::fs::write(format!("/proc/sys/net/{key}"), "1").unwrap();
    }
    run("ethtool", &format!("-K vpm1 {feature}"));
    let [four, six] = [("10.88.1.10", "10.99.0.1"), ("fd00:1::a", "fd00:9::1")];
    for packets in [
        segments(four, 100, 1348),
        segments(six, 100, 1348),
        datagrams(four, 100, 1300),
        datagrams(six, 100, 1300),
        segments(four, 150, 100),
        datagrams(six, 3, 9),
    ] {
        assert_eq!(into.send(packets.iter().map(Vec::as_slice)), 0);
        let mut came = Vec::new();
        while came.len() < packets.len() {
            came.extend(receive(&mut out, 1).await);
            // The kernel has reports of its own.
            came.retain(|packet| {
                Packet::parse(packet).is_ok_and(|packet| [6, 17].contains(&packet.protocol))
            });
        }
        assert_eq!(came.len(), packets.len());
        for (came, mut packet) in came.into_iter().zip(packets) {
            assert!(decrement_hop_limit(&mut packet));
            assert_eq!(came, packet, "with {feature}");
        }
    }
}

#[test]
fn what_is_joined_goes_on_as_it_was_when_it_is_cut_by_us() {
    in_namespace(|| assert_passes_through("gro on"));
}

#[test]
fn what_is_joined_goes_on_as_it_was_when_it_is_cut_by_the_kernel() {
    for feature in ["tso off", "tx-udp-segmentation off", "tx off", "gso off"] {
        in_namespace(|| assert_passes_through(feature));
    }
}

#[test]
fn bulk_of_the_host_comes_in_packets_of_the_mtu() {
    in_namespace(|| async {
        let mut tun = device().await;
        let socket = std::net::UdpSocket::bind("10.88.0.1:7").unwrap();
        // SOL_UDP, UDP_SEGMENT (linux/udp.h).
        let size: libc::c_int = 1000;
        // SAFETY: the descriptor is open, and the option's value is one int.
        let set = unsafe {
            libc::setsockopt(socket.as_raw_fd(), 17, 103, (&raw const size).cast(), size_of_val(&size) as u32)
        };
        assert_eq!(set, 0, "this kernel has no UDP_SEGMENT");
        for _ in 0..3 {
            socket.send_to(&[5; 50_500], "10.88.3.4:9").unwrap();
        }
        let packets = receive(&mut tun, 3 * 51).await;
        assert_eq!(packets.len(), 3 * 51, "in batches of 64, and nothing is lost between them");
        for packet in &packets {
            assert!(is_intact(packet));
            assert!([1028, 528].contains(&packet.len()));
        }
        assert_eq!((tun.oversized(), tun.take_malformed()), (0, 0));
    });
}
