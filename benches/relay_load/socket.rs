//! A UDP socket of a generator, towards the relaying node alone: trains out and in.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};

const DATAGRAM_MAX: usize = 65_536;

pub struct Socket {
    pub socket: UdpSocket,
    state: UdpSocketState,
    /// Where everything goes.
    pub to: SocketAddr,
}

impl Socket {
    /// How many octets the kernel is to hold each way, where it is to be told; what it grants is enough.
    pub fn new(port: u16, to: SocketAddr, receive: usize, send: Option<usize>) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
        let state = UdpSocketState::new((&socket).into())?;
        state.set_recv_buffer_size((&socket).into(), receive)?;
        if let Some(send) = send {
            state.set_send_buffer_size((&socket).into(), send)?;
        }
        Ok(Self { socket, state, to })
    }

    /// Sends one datagram, or a train of them; false when the socket is full.
    pub fn send(&self, contents: &[u8], segment_size: Option<usize>) -> io::Result<bool> {
        let transmit = Transmit { destination: self.to, ecn: None, contents, segment_size, src_ip: None };
        match self.state.try_send((&self.socket).into(), &transmit) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            // An ICMP error of an earlier one: the relaying node was not yet listening.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Takes what waits, as far as there is room for it; `None`: nothing does.
    pub fn receive<'a>(
        &self,
        buffers: &'a mut Buffers,
    ) -> io::Result<Option<impl Iterator<Item = &'a [u8]> + use<'a>>> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let count = loop {
            match self.state.recv((&self.socket).into(), &mut buffers.slices(), &mut metas) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        };
        let trains = buffers.0.iter().zip(metas).take(count);
        Ok(Some(trains.flat_map(|(train, meta)| train[..meta.len].chunks(meta.stride.max(1)))))
    }
}

/// Room for one `recvmmsg` of trains.
pub struct Buffers(Vec<Vec<u8>>);

impl Buffers {
    pub fn new() -> Self {
        Self(vec![vec![0; DATAGRAM_MAX]; BATCH_SIZE])
    }

    fn slices(&mut self) -> Vec<IoSliceMut<'_>> {
        self.0.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect()
    }
}
