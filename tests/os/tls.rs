//! Datagrams inside TLS: both ways, within bounds, and whoever speaks something else, too slowly or not at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vpmesh::engine::{Line, Transmit};
use vpmesh::os::tls::{Arrival, ListenError, Patience, TlsPort, bind, frame};
use vpmesh::table::PeerId;

use crate::namespace::block_on;

const QUICK: Patience = Patience { tick: Duration::from_millis(100), handshake: Duration::from_millis(500) };

/// Somebody who listens, and where.
fn server(patience: Patience) -> (TlsPort, SocketAddr) {
    let port = TlsPort::new(None, patience).unwrap();
    let listener = bind("[::1]:0".parse().unwrap()).unwrap();
    let at = listener.local_addr().unwrap();
    port.serve(listener, &[7; 32]).unwrap();
    (port, at)
}

/// A client with a connection, and where the other end is to it.
async fn client(at: SocketAddr, patience: Patience) -> (TlsPort, SocketAddr) {
    let mut port = TlsPort::new(None, patience).unwrap();
    tokio::spawn(port.dialler().dial(PeerId(5), vec![(Arc::from("hill.example.net"), at)]));
    match port.next().await {
        Arrival::Dialled { peer: PeerId(5), endpoint } => (port, endpoint),
        other => panic!("{other:?}"),
    }
}

fn send(port: &mut TlsPort, destination: SocketAddr, bytes: &[u8], segment: usize) {
    port.send(&Transmit { line: Line::Answer, destination, local: None, ecn: 0, bytes, segment });
}

/// What comes until so many datagrams did, and from where.
async fn receive(port: &mut TlsPort, count: usize) -> (Vec<Vec<u8>>, SocketAddr) {
    let mut came = Vec::new();
    loop {
        match port.next().await {
            Arrival::Datagrams { from, mut frames } => {
                came.extend(frame::datagrams(&mut frames).map(|datagram| datagram.to_vec()));
                if came.len() >= count {
                    return (came, from);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn wait_for_end(port: &mut TlsPort) {
    while !matches!(port.next().await, Arrival::Ended { .. }) {}
}

#[test]
fn datagrams_go_both_ways_whole_and_in_order() {
    block_on(async {
        let (mut hill, at) = server(Patience::default());
        let (mut gw, to_hill) = client(at, Patience::default()).await;
        let train: Vec<u8> = (0..20_u8).flat_map(|n| [n; 1_452]).chain([99; 700]).collect();
        send(&mut gw, to_hill, &train, 1_452);
        let (came, to_gw) = receive(&mut hill, 21).await;
        assert_eq!(came.concat(), train);
        assert_eq!(came.last().unwrap().len(), 700);
        send(&mut hill, to_gw, &[2; 92], 92);
        assert_eq!(receive(&mut gw, 1).await, (vec![vec![2; 92]], to_hill));
        assert_eq!((hill.take_losses(), gw.take_losses()), Default::default());
        drop(gw);
    });
}

#[test]
fn what_is_sent_where_no_connection_is_is_counted() {
    let (mut port, nowhere) = block_on_value(async {
        let (port, _) = server(Patience::default());
        (port, "[100::2:0:0:9]:443".parse().unwrap())
    });
    send(&mut port, nowhere, &[4; 100], 50);
    assert_eq!(port.take_losses().refused, 2);
}

fn block_on_value<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn who_says_nothing_or_something_else_is_hung_up_on() {
    block_on(async {
        let (mut hill, at) = server(QUICK);
        for words in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", &[0xff; 4_096]] {
            let mut stranger = TcpStream::connect(at).await.unwrap();
            stranger.write_all(words).await.unwrap();
            let mut said = Vec::new();
            // An alert at most, and the end.
            let _ = stranger.read_to_end(&mut said).await;
            assert!(said.len() < 64, "{said:?}");
            wait_for_end(&mut hill).await;
        }
        assert_eq!(hill.connections(), 0);
    });
}

#[test]
fn a_hello_a_byte_at_a_time_takes_no_longer_than_a_handshake_may() {
    block_on(async {
        let (mut hill, at) = server(QUICK);
        let mut slow = TcpStream::connect(at).await.unwrap();
        let dripping = tokio::spawn(async move {
            // The beginning of a record of 16 KiB, and zeros.
            let mut sent = 0;
            for byte in [0x16, 3, 1, 0x40, 0, 1].into_iter().chain(std::iter::repeat(0)) {
                if slow.write_all(&[byte]).await.is_err() {
                    break;
                }
                sent += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            sent
        });
        wait_for_end(&mut hill).await;
        assert!(dripping.await.unwrap() > 2);
    });
}

#[test]
fn a_connection_that_no_peer_is_heard_through_ends_and_a_peers_stays() {
    block_on(async {
        let (mut hill, at) = server(QUICK);
        let (mut stranger, to_hill) = client(at, QUICK).await;
        send(&mut stranger, to_hill, &[1; 148], 148);
        let (_, to_stranger) = receive(&mut hill, 1).await;
        // A cookie is what strangers get too.
        send(&mut hill, to_stranger, &[3; 64], 64);
        assert!(matches!(hill.next().await, Arrival::Ended { endpoint } if endpoint == to_stranger));
        let (mut gw, to_hill) = client(at, QUICK).await;
        send(&mut gw, to_hill, &[1; 148], 148);
        let (_, to_gw) = receive(&mut hill, 1).await;
        send(&mut hill, to_gw, &[2; 92], 92);
        receive(&mut gw, 1).await;
        for _ in 0..10 {
            tokio::time::sleep(QUICK.tick).await;
            send(&mut gw, to_hill, &[4; 32], 32);
            assert_eq!(receive(&mut hill, 1).await.1, to_gw);
        }
    });
}

#[test]
fn a_crowd_from_one_address_gets_its_share_of_places() {
    block_on(async {
        let (hill, at) = server(Patience { handshake: Duration::from_secs(20), ..Patience::default() });
        let mut streams = Vec::new();
        for _ in 0..60 {
            streams.push(TcpStream::connect(at).await.unwrap());
        }
        // Those that got no place are closed at once; the others are waited for.
        let mut closed = 0;
        let mut open = 0;
        for stream in &mut streams {
            let mut byte = [0];
            match tokio::time::timeout(Duration::from_millis(100), stream.read(&mut byte)).await {
                Ok(_) => closed += 1,
                Err(_) => open += 1,
            }
        }
        assert_eq!((open, closed), (32, 28));
        drop(hill);
    });
}

#[test]
fn who_reads_nothing_loses_the_oldest_and_is_cut() {
    block_on(async {
        let (mut hill, at) = server(QUICK);
        let (mut gw, to_hill) = client(at, Patience::default()).await;
        send(&mut gw, to_hill, &[1; 148], 148);
        let (_, to_gw) = receive(&mut hill, 1).await;
        // Nobody takes what comes to gw: its channel, its socket and the lane here fill, in this order.
        let train = vec![4; 40 * 1_452];
        let mut lost = 0;
        let ended = loop {
            send(&mut hill, to_gw, &train, 1_452);
            lost += hill.take_losses().full;
            tokio::time::sleep(Duration::from_millis(5)).await;
            match hill.try_next() {
                Some(Arrival::Ended { endpoint }) => break endpoint,
                Some(other) => panic!("{other:?}"),
                None => {}
            }
        };
        assert_eq!(ended, to_gw);
        assert!(lost > 0);
        assert_eq!(hill.connections(), 0);
    });
}

#[test]
fn nobody_to_dial_is_said() {
    block_on(async {
        let mut gw = TlsPort::new(None, QUICK).unwrap();
        let nobody: SocketAddr = "[::1]:9".parse().unwrap();
        for targets in [vec![], vec![(Arc::from("localhost"), nobody)]] {
            tokio::spawn(gw.dialler().dial(PeerId(5), targets));
            assert!(matches!(gw.next().await, Arrival::Refused { peer: PeerId(5) }));
        }
    });
}

#[test]
fn an_address_that_is_taken_or_not_ours_is_said_with_the_mend() {
    block_on(async {
        let taken = bind("[::1]:0".parse().unwrap()).unwrap();
        let again = bind(taken.local_addr().unwrap()).unwrap_err();
        assert!(matches!(again, ListenError::Taken(_)), "{again}");
        let elsewhere = bind("192.0.2.77:0".parse().unwrap()).unwrap_err();
        assert!(matches!(elsewhere, ListenError::Address(_)), "{elsewhere}");
    });
}
