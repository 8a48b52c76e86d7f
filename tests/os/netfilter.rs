//! Tables of nftables and the kernel's live connections.

use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use tokio::time::timeout;
use vpmesh::os::netfilter::conntrack::{self, Connection};
use vpmesh::os::netfilter::{TableChanges, generation};
use vpmesh::os::nft::{Nft, NftError};
use vpmesh::packet::{Ports, Tuple};

use crate::namespace::{in_namespace, ip, run};

/// A table of ours with a counter, as JSON.
const TABLE: &str = r#"{"nftables": [
    {"add": {"table": {"family": "inet", "name": "ours"}}},
    {"add": {"counter": {"family": "inet", "table": "ours", "name": "c"}}}
]}"#;

/// Has the kernel follow connections.
fn follow() {
    run("nft", "add table inet watch");
    run("nft", "add chain inet watch input { type filter hook input priority 0 ; }");
    run("nft", "add rule inet watch input ct state established accept");
}

fn all() -> Vec<Connection> {
    let mut all = Vec::new();
    let looked = conntrack::delete_where(|connection| {
        all.push(*connection);
        false
    });
    let looked = looked.unwrap();
    assert_eq!((looked.seen, looked.deleted), (all.len() as u64, 0));
    all
}

#[test]
fn a_transaction_is_in_force_whole_or_not_at_all() {
    in_namespace(|| async {
        let nft = Nft::find().unwrap();
        assert!(!nft.has("inet", "ours").unwrap());
        assert!(matches!(nft.counters("inet", "ours"), Err(NftError::Refused(_))));
        nft.apply(TABLE).unwrap();
        assert!(nft.has("inet", "ours").unwrap());
        assert!(nft.counters("inet", "ours").unwrap().contains(r#""name": "c""#));
        let half = r#"{"nftables": [
            {"add": {"table": {"family": "inet", "name": "second"}}},
            {"delete": {"table": {"family": "inet", "name": "third"}}}
        ]}"#;
        let error = nft.apply(half).unwrap_err().to_string();
        assert!(error.contains("No such file or directory"), "{error}");
        assert!(!nft.has("inet", "second").unwrap());
    });
}

#[test]
fn what_others_do_to_a_table_is_told_and_what_they_do_elsewhere_is_not() {
    in_namespace(|| async {
        let nft = Nft::find().unwrap();
        let mut changes = TableChanges::open("ours").unwrap();
        let before = generation().unwrap();
        nft.apply(TABLE).unwrap();
        assert_eq!(generation().unwrap(), before + 1, "a transaction is one change");
        changes.forget();
        run("nft", "add table inet theirs");
        run("nft", "add chain inet theirs ours");
        assert!(timeout(Duration::from_millis(300), changes.changed()).await.is_err());
        run("nft", "add chain inet ours theirs");
        timeout(Duration::from_secs(5), changes.changed()).await.unwrap().unwrap();
        changes.forget();
        run("nft", "flush ruleset");
        timeout(Duration::from_secs(5), changes.changed()).await.unwrap().unwrap();
    });
}

#[test]
fn connections_of_both_families_are_looked_at_and_those_named_deleted() {
    in_namespace(|| async {
        follow();
        let mut open = Vec::new();
        for address in ["127.0.0.1:8000", "[::1]:8000"] {
            let listener = TcpListener::bind(address).unwrap();
            open.push((TcpStream::connect(address).unwrap(), listener));
            let udp = UdpSocket::bind((address.parse::<std::net::SocketAddr>().unwrap().ip(), 0)).unwrap();
            udp.send_to(b"x", address).unwrap();
        }
        ip("link show lo");
        run("ping", "-c 1 127.0.0.1");
        let tuples: Vec<Tuple> = all().iter().map(|connection| connection.tuple).collect();
        for (stream, _) in &open {
            let (local, peer) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
            let ports = Ports::Known { src: local.port(), dst: 8000 };
            assert!(
                tuples.contains(&Tuple { src: local.ip(), dst: peer.ip(), protocol: 6, ports }),
                "{tuples:?}"
            );
        }
        assert_eq!(tuples.iter().filter(|tuple| tuple.protocol == 17).count(), 2, "{tuples:?}");
        assert!(tuples.iter().any(|tuple| matches!(tuple.ports, Ports::Echo { request: true, .. })));
        let looked = conntrack::delete_where(|connection| connection.tuple.protocol == 6).unwrap();
        assert_eq!((looked.seen, looked.deleted), (5, 2));
        assert!(all().iter().all(|connection| connection.tuple.protocol != 6));
    });
}

#[test]
fn a_connection_is_from_who_began_it_to_where_it_ended_up() {
    in_namespace(|| async {
        follow();
        run("nft", "add table ip nat");
        run("nft", "add chain ip nat out { type nat hook output priority -100 ; }");
        run("nft", "add rule ip nat out ip daddr 127.0.0.9 tcp dport 80 dnat to 127.0.0.1:8000");
        let listener = TcpListener::bind("127.0.0.1:8000").unwrap();
        let stream = TcpStream::connect("127.0.0.9:80").unwrap();
        let port = stream.local_addr().unwrap().port();
        let all = all();
        let connection = all.iter().find(|connection| connection.tuple.protocol == 6).unwrap();
        assert_eq!(connection.tuple.dst, IpAddr::from([127, 0, 0, 1]));
        assert_eq!(connection.sent_to, IpAddr::from([127, 0, 0, 9]));
        assert_eq!(connection.tuple.ports, Ports::Known { src: port, dst: 8000 });
        drop(listener);
    });
}

#[test]
fn a_thousand_connections_are_looked_at_in_a_bounded_buffer() {
    in_namespace(|| async {
        follow();
        let sockets: Vec<UdpSocket> = (0..1000)
            .map(|_| {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.send_to(b"x", "127.0.0.1:9").unwrap();
                socket
            })
            .collect();
        let looked = conntrack::delete_where(
            |connection| matches!(connection.tuple.ports, Ports::Known { src, .. } if src % 2 == 0),
        );
        let looked = looked.unwrap();
        let even =
            sockets.iter().filter(|socket| socket.local_addr().unwrap().port() % 2 == 0).count() as u64;
        assert_eq!((looked.seen, looked.deleted), (1000, even));
    });
}
