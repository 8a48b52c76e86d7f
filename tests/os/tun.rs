//! The TUN device.

use vpmesh::os::batch::Batch;
use vpmesh::os::netlink::{Interface, Wanted};
use vpmesh::os::tun::{TunDevice, TunError, is_gone};

use crate::namespace::{in_namespace, ip};

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
        tun.send(&back).unwrap();
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
