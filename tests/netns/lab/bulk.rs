//! Bulk whose every byte is looked at where it arrives.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use super::Namespace;
use super::command::LIMIT;

const CHUNK: usize = 64 * 1024;
/// Datagrams that are on their way at the same time.
const BURST: u32 = 40;

/// Sends so many bytes over one TCP connection. `quarter` is called after the first, second and third quarter.
///
/// # Panics
/// When another byte arrives than was sent, or none for long.
pub fn tcp(from: &Namespace, to: &Namespace, address: IpAddr, bytes: usize, mut quarter: impl FnMut(usize)) {
    let listener = to.inside(|| TcpListener::bind((address, 0))).expect("the address is there");
    let target = listener.local_addr().expect("it is bound");
    let mut sender =
        from.inside(|| TcpStream::connect_timeout(&target, LIMIT)).expect("the connection is let through");
    let (mut receiver, _) = listener.accept().expect("it is connected");
    sender.set_write_timeout(Some(LIMIT)).expect("a limit can be set");
    receiver.set_read_timeout(Some(LIMIT)).expect("a limit can be set");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut pattern, mut chunk) = (Pattern::new(0), vec![0; CHUNK]);
            let mut left = bytes;
            while left > 0 {
                let part = left.min(CHUNK);
                pattern.fill(&mut chunk[..part]);
                sender.write_all(&chunk[..part]).expect("it goes on");
                left -= part;
            }
        });
        let (mut pattern, mut chunk, mut expected) = (Pattern::new(0), vec![0; CHUNK], vec![0; CHUNK]);
        let mut came = 0;
        loop {
            let length = receiver.read(&mut chunk).expect("it goes on");
            if length == 0 {
                break;
            }
            pattern.fill(&mut expected[..length]);
            assert!(chunk[..length] == expected[..length], "other bytes from {came} on");
            let before = came * 4 / bytes;
            came += length;
            (before + 1..=(came * 4 / bytes).min(3)).for_each(&mut quarter);
        }
        assert_eq!(came, bytes);
    });
}

/// Sends so many datagrams, as fast as they arrive; how many did not.
///
/// # Panics
/// When a datagram arrives that was not sent.
pub fn udp(from: &Namespace, to: &Namespace, source: IpAddr, target: IpAddr, size: usize, count: u32) -> u32 {
    let bind = |address: IpAddr| UdpSocket::bind(SocketAddr::new(address, 0)).expect("the address is there");
    let (sender, receiver) = (from.inside(|| bind(source)), to.inside(|| bind(target)));
    sender.connect(receiver.local_addr().expect("it is bound")).expect("there is a way");
    receiver.set_read_timeout(Some(Duration::from_secs(1))).expect("a limit can be set");
    let datagram = |number: u32| {
        let mut bytes = vec![0; size];
        Pattern::new(number.into()).fill(&mut bytes);
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        bytes
    };
    let (mut came, mut buffer) = (0, vec![0; 65_536]);
    for first in (0..count).step_by(BURST as usize) {
        let burst = first..(first + BURST).min(count);
        for number in burst.clone() {
            sender.send(&datagram(number)).expect("it goes out");
        }
        for _ in burst {
            let Ok(length) = receiver.recv(&mut buffer) else { break };
            let number =
                buffer[..length].first_chunk().map_or(u32::MAX, |octets| u32::from_be_bytes(*octets));
            assert!(buffer[..length] == datagram(number), "datagram {number} is another");
            came += 1;
        }
    }
    count - came
}

/// Bytes that repeat late (xorshift64).
struct Pattern {
    state: u64,
    left: Vec<u8>,
}

impl Pattern {
    fn new(seed: u64) -> Self {
        Self { state: seed + 0x9e37_79b9_7f4a_7c15, left: Vec::new() }
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.left.is_empty() {
                self.state ^= self.state << 13;
                self.state ^= self.state >> 7;
                self.state ^= self.state << 17;
                self.left.extend(self.state.to_ne_bytes());
            }
            *byte = self.left.pop().unwrap_or_default();
        }
    }
}
