//! Which queue a datagram waits in: a program of a few instructions that the kernel runs when one arrives.
//!
//! What can be no message of WireGuard's for this gateway is turned away before it takes room from any other. Data,
//! handshakes, and the data of who crowds the others have a socket each, bound to the same port (SO_REUSEPORT, Linux
//! 4.5: SO_ATTACH_REUSEPORT_CBPF). A train of GRO's is told by its first datagram. All of it is checked again by who
//! reads: the program may err towards reading more, never towards less.

use std::net::IpAddr;

use libc::sock_filter;

use crate::engine::{CROWDING_MAX, Crowding, Steering};

/// The group's sockets, in the order in which they are bound.
pub(super) const DATA: u32 = 0;
pub(super) const APART: u32 = 1;
pub(super) const HANDSHAKES: u32 = 2;
/// Nobody reads this one.
pub(super) const REFUSED: u32 = 3;

/// First word and length of the handshake's messages (WireGuard paper, section 5.4).
const HANDSHAKE_MESSAGES: [(u32, u32); 3] = [(0x0100_0000, 148), (0x0200_0000, 92), (0x0300_0000, 64)];
const DATA_MESSAGE: u32 = 0x0400_0000;
/// What a relay frame's first word has more.
const FRAME_BIT: u32 = 0x0100_0000;
/// A data message has at least a header and a tag. Not everybody pads what is between them.
const DATA_MIN: u32 = 32;

// Offsets: 0 is where the datagram's payload begins, `NET` where the IP header does.
const NET: u32 = libc::SKF_NET_OFF.cast_unsigned();
const INDEX: u32 = 4;

const WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const OCTET: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const LENGTH: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_LEN;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const MODULO: u32 = libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K;
const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// The program for what the engine says.
pub(super) fn program(steering: &Steering) -> Vec<sock_filter> {
    let mut code = Code::default();
    code.load(LENGTH, 0);
    code.unless(AT_LEAST, INDEX, |code| code.answer(REFUSED));
    code.load(WORD, 0);
    for (kind, length) in HANDSHAKE_MESSAGES {
        code.when(EQUAL, kind, |code| {
            code.load(LENGTH, 0);
            code.compute(MODULO, length);
            code.when(EQUAL, 0, |code| code.answer(HANDSHAKES));
            code.answer(REFUSED);
        });
    }
    // Relay frames have their index where data messages have it, and are as long at least.
    code.compute(AND, !FRAME_BIT);
    code.unless(EQUAL, DATA_MESSAGE, |code| code.answer(REFUSED));
    code.load(LENGTH, 0);
    code.unless(AT_LEAST, DATA_MIN, |code| code.answer(REFUSED));
    // The index is little-endian on the wire, and the program loads big-endian.
    code.load(WORD, INDEX);
    code.compute(AND, steering.mask.swap_bytes());
    code.unless(EQUAL, steering.bits.swap_bytes(), |code| code.answer(REFUSED));
    for crowding in steering.crowding.iter().take(CROWDING_MAX) {
        code.load(WORD, INDEX);
        code.compute(AND, 0xffff_ff00_u32.swap_bytes());
        code.when(EQUAL, (crowding.index << 8).swap_bytes(), |code| apart(code, crowding));
    }
    code.answer(DATA);
    code.0
}

/// An entry's data: from where its peer is it waits with the others', if the peer is innocent. Options or extension
/// headers before UDP are nobody's habit, and wait apart.
fn apart(code: &mut Code, crowding: &Crowding) {
    let same = |code: &mut Code, kind: u32, at: u32, value: u32| {
        code.load(kind, NET.wrapping_add(at));
        code.unless(EQUAL, value, |code| code.answer(APART));
    };
    let Some(home) = crowding.except_from else { return code.answer(APART) };
    let port_at = match home.ip() {
        IpAddr::V4(v4) => {
            same(code, OCTET, 0, 0x45);
            same(code, WORD, 12, v4.to_bits());
            20
        }
        IpAddr::V6(v6) => {
            code.load(OCTET, NET);
            code.compute(AND, 0xf0);
            code.unless(EQUAL, 0x60, |code| code.answer(APART));
            for (at, word) in (8..).step_by(4).zip(v6.octets().as_chunks::<4>().0) {
                same(code, WORD, at, u32::from_be_bytes(*word));
            }
            40
        }
    };
    same(code, HALF, port_at, u32::from(home.port()));
    code.answer(DATA);
}

/// Classic BPF with blocks for jumps.
#[derive(Default)]
struct Code(Vec<sock_filter>);

impl Code {
    fn push(&mut self, code: u32, k: u32) {
        self.0.push(sock_filter { code: code as u16, jt: 0, jf: 0, k });
    }

    fn load(&mut self, kind: u32, at: u32) {
        self.push(kind, at);
    }

    fn compute(&mut self, operation: u32, operand: u32) {
        self.push(operation, operand);
    }

    fn answer(&mut self, queue: u32) {
        self.push(RETURN, queue);
    }

    /// Runs the block when the comparison holds, and goes on behind it otherwise. A block loads what it compares.
    fn when(&mut self, comparison: u32, operand: u32, block: impl FnOnce(&mut Self)) {
        let jump = self.0.len();
        self.push(comparison, operand);
        block(self);
        self.0[jump].jf = self.distance(jump);
    }

    /// Runs the block unless the comparison holds.
    fn unless(&mut self, comparison: u32, operand: u32, block: impl FnOnce(&mut Self)) {
        let jump = self.0.len();
        self.push(comparison, operand);
        block(self);
        self.0[jump].jt = self.distance(jump);
    }

    /// From behind the jump to the end. Blocks are far shorter than 255 instructions.
    fn distance(&self, jump: usize) -> u8 {
        u8::try_from(self.0.len() - jump - 1).unwrap_or(u8::MAX)
    }
}
