//! Datagrams to everybody on a link.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;
use vpmesh::os::multicast::LinkSocket;
use vpmesh::os::netlink::multicast_links;

use crate::namespace::{in_namespace, ip};

const PORT: u16 = 51889;

fn index(link: &str) -> u32 {
    ip(&format!("-o link show {link}")).split(':').next().unwrap().parse().unwrap()
}

#[test]
fn every_neighbour_hears_and_nobody_behind_a_router() {
    in_namespace(|| async {
        ip("link add a0 type veth peer name a1");
        ip("link add down0 type veth peer name down1");
        for link in ["lo", "a0", "a1"] {
            ip(&format!("link set {link} up"));
        }
        let mut links = multicast_links(index("a1")).await.unwrap();
        links.sort_unstable();
        assert_eq!(links, [index("a0")], "no loopback, none that is down, not the one left out");

        let mut socket = LinkSocket::bind(PORT).unwrap();
        let both = [index("a0"), index("a1")];
        assert_eq!(socket.join(&both), 2);
        assert_eq!(socket.join(&both), 0);
        // Until addresses are no longer tentative nothing can be sent.
        let mut buffer = [0; 64];
        let (len, source) = loop {
            socket.send(b"here I am").await;
            if let Ok(heard) = timeout(Duration::from_millis(200), socket.receive(&mut buffer)).await {
                break heard.unwrap();
            }
        };
        assert_eq!(&buffer[..len], b"here I am");
        let SocketAddr::V6(source) = source else { panic!("{source}") };
        assert!(source.ip().is_unicast_link_local() && both.contains(&source.scope_id()), "{source}");

        // What is sent to the port itself, from an address that routers pass on, is not heard.
        while timeout(Duration::from_millis(50), socket.receive(&mut buffer)).await.is_ok() {}
        let stranger = UdpSocket::bind("[::1]:0").await.unwrap();
        stranger.send_to(b"let me in", format!("[::1]:{PORT}")).await.unwrap();
        assert!(timeout(Duration::from_millis(200), socket.receive(&mut buffer)).await.is_err());

        assert_eq!(socket.join(&[]), 0);
        ip("link set a1 down");
        socket.send(b"nobody is there").await;
    });
}
