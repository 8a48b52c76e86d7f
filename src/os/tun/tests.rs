use std::io::{self, IoSlice};

use proptest::prelude::*;

use super::join::Join;
use super::refusal;
use super::split::{Refusal, Split};
use super::vnet_header::{Gso, VnetHeader};
use crate::config::InterfaceName;
use crate::packet::craft::{Craft, Segment, is_intact};
use crate::packet::{Packet, Sum, TcpFlags, Transport};

const MTU: usize = 1420;

/// A flow's packets as they leave its host.
#[derive(Debug, Clone)]
struct Flow {
    craft: Craft,
    is_tcp: bool,
    port: u16,
    next: u32,
}

impl Flow {
    fn new(is_v6: bool, is_tcp: bool, port: u16) -> Self {
        let [src, dst] = if is_v6 { ["fd00:1::a", "fd00:1::b"] } else { ["10.88.1.10", "10.88.2.10"] };
        Self { craft: Craft::new(src, dst), is_tcp, port, next: 0xffff_f000 }
    }

    fn packet(&mut self, size: usize, push: bool) -> Vec<u8> {
        let data: Vec<u8> = (0..size).map(|n| (n * 7 + usize::from(self.craft.id)) as u8).collect();
        let packet = if self.is_tcp {
            let segment = Segment {
                flags: TcpFlags::ACK,
                seq: self.next,
                ack: 77,
                options: &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
                data: &data,
            };
            let mut packet = self.craft.tcp(self.port, 80, segment);
            if push {
                add_flags(&mut packet, 0x08);
            }
            packet
        } else {
            self.craft.udp(self.port, 80, &data)
        };
        self.next = self.next.wrapping_add(size as u32);
        self.craft.id = self.craft.id.wrapping_add(1);
        packet
    }
}

/// Sets flags of TCP behind plain IP headers, and mends the checksum.
fn add_flags(packet: &mut [u8], flags: u8) {
    let at = if packet[0] >> 4 == 4 { 20 } else { 40 };
    packet[at + 13] |= flags;
    let sum = u16::from_be_bytes([packet[at + 16], packet[at + 17]]);
    let (mended, carry) = sum.overflowing_sub(flags.into());
    packet[at + 16..at + 18].copy_from_slice(&(mended - u16::from(carry)).to_be_bytes());
}

/// What `join` writes: header and packet in one.
fn joined(join: &mut Join, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut written = Vec::new();
    let refused = join.send(packets.iter().map(Vec::as_slice), |slices| {
        written.push(slices.iter().flat_map(|slice| slice.to_vec()).collect());
        Ok(())
    });
    assert_eq!(refused, 0);
    written
}

/// What `split` makes of that.
fn split(written: &[u8], mtu: usize) -> Result<Vec<Vec<u8>>, Refusal> {
    let header = VnetHeader::read(written).ok_or(Refusal::Malformed)?;
    let mut packet = written[VnetHeader::LENGTH..].to_vec();
    let mut split = Split::begin(header, &mut packet, mtu)?;
    let mut space = vec![0; mtu];
    Ok(std::iter::from_fn(|| split.next(&packet, &mut space).map(|length| space[..length].to_vec()))
        .collect())
}

fn through_both(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let written = joined(&mut Join::everything(), packets);
    written.iter().flat_map(|written| split(written, MTU).unwrap()).collect()
}

fn ports(packet: &[u8]) -> (bool, u8, u16) {
    let parsed = Packet::parse(packet).unwrap();
    let port = match parsed.transport {
        Transport::Tcp(tcp) => tcp.src_port,
        Transport::Udp { src_port, .. } => src_port,
        _ => 0,
    };
    (parsed.src.is_ipv6(), parsed.protocol, port)
}

#[test]
fn full_segments_make_one_super_packet_and_come_apart_as_they_were() {
    for (is_v6, is_tcp) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut flow = Flow::new(is_v6, is_tcp, 5201);
        let mut packets: Vec<_> = (0..40).map(|_| flow.packet(1300, false)).collect();
        packets.push(flow.packet(77, false));
        let written = joined(&mut Join::everything(), &packets);
        assert_eq!(written.len(), 1);
        let header = VnetHeader::read(&written[0]).unwrap();
        let gso = [Gso::Udp, if is_v6 { Gso::TcpV6 } else { Gso::TcpV4 }][usize::from(is_tcp)];
        assert_eq!((header.gso, header.gso_size, header.needs_checksum), (gso, 1300, true));
        assert_eq!(split(&written[0], MTU).unwrap(), packets);
    }
}

#[test]
fn a_push_ends_a_super_packet_and_stays_with_the_last_segment() {
    let mut flow = Flow::new(false, true, 1);
    let packets: Vec<_> = (0..6).map(|n| flow.packet(1000, n == 2)).collect();
    let written = joined(&mut Join::everything(), &packets);
    assert_eq!(written.len(), 2);
    assert_eq!(through_both(&packets), packets);
}

#[test]
fn a_long_run_is_cut_at_what_one_packet_may_be() {
    let mut flow = Flow::new(true, true, 1);
    let packets: Vec<_> = (0..200).map(|n| flow.packet(if n < 100 { 1300 } else { 100 }, false)).collect();
    let written = joined(&mut Join::everything(), &packets);
    assert!(written.iter().all(|written| written.len() <= VnetHeader::LENGTH + 65_535));
    assert_eq!(through_both(&packets), packets);
}

#[test]
fn what_differs_is_not_joined() {
    let change = |change: &dyn Fn(&mut Flow)| {
        let mut flow = Flow::new(false, true, 1);
        let first = flow.packet(1000, false);
        change(&mut flow);
        let packets = [first, flow.packet(1000, false)];
        let written = joined(&mut Join::everything(), &packets);
        let bytes: Vec<_> = written.iter().map(|written| &written[VnetHeader::LENGTH..]).collect();
        assert_eq!(bytes, packets, "in order and as they are");
        assert!(written.iter().all(|written| written[..VnetHeader::LENGTH] == [0; VnetHeader::LENGTH]));
    };
    change(&|flow| flow.craft.hop_limit = 63);
    change(&|flow| flow.craft.traffic_class = 3);
    change(&|flow| flow.craft.dont_fragment = true);
    change(&|flow| flow.craft.id = 9);
    change(&|flow| flow.next = flow.next.wrapping_add(1));
    change(&|flow| flow.next = flow.next.wrapping_sub(1000));
    change(&|flow| flow.port = 2);
    change(&|flow| flow.is_tcp = false);
}

#[test]
fn a_wrong_checksum_is_never_mended() {
    for (is_v6, is_tcp) in [(false, true), (true, true), (false, false), (true, false)] {
        for wrong in [0, 3] {
            let mut flow = Flow::new(is_v6, is_tcp, 1);
            let mut packets: Vec<_> = (0..8).map(|_| flow.packet(600, false)).collect();
            *packets[wrong].last_mut().unwrap() ^= 1;
            assert!(!is_intact(&packets[wrong]));
            assert_eq!(through_both(&packets), packets);
        }
    }
    let mut flow = Flow::new(false, true, 1);
    let mut packets: Vec<_> = (0..3).map(|_| flow.packet(600, false)).collect();
    packets[1][10] ^= 1;
    assert_eq!(through_both(&packets), packets, "IPv4's own");
}

#[test]
fn a_checksum_of_tcp_that_is_zero_stays_zero() {
    for is_v6 in [false, true] {
        let mut flow = Flow::new(is_v6, true, 5201);
        let mut packets: Vec<_> = (0..3).map(|_| flow.packet(1300, false)).collect();
        let [field, data] = [16, 32].map(|offset| if is_v6 { 40 } else { 20 } + offset);
        // The data takes the checksum's part in the sum.
        let [sum, old] =
            [field, data].map(|at| u32::from(u16::from_be_bytes([packets[1][at], packets[1][at + 1]])));
        let new = u16::try_from((sum + old) % 0xffff).unwrap();
        packets[1][data..data + 2].copy_from_slice(&new.to_be_bytes());
        packets[1][field..field + 2].fill(0);
        assert!(is_intact(&packets[1]));
        assert_eq!(joined(&mut Join::everything(), &packets).len(), 1);
        assert_eq!(through_both(&packets), packets);
    }
}

#[test]
fn a_datagram_without_a_checksum_gets_none() {
    let mut flow = Flow::new(false, false, 1);
    let mut packets: Vec<_> = (0..3).map(|_| flow.packet(600, false)).collect();
    packets.iter_mut().for_each(|packet| packet[26..28].fill(0));
    assert_eq!(through_both(&packets), packets);
}

#[test]
fn a_segment_that_is_special_overtakes_nothing_of_its_flow() {
    for flags in [0x01, 0x02, 0x04, 0x20, 0x40, 0x80] {
        let mut flow = Flow::new(false, true, 1);
        let mut packets: Vec<_> = (0..6).map(|_| flow.packet(600, false)).collect();
        add_flags(&mut packets[3], flags);
        assert_eq!(joined(&mut Join::everything(), &packets).len(), 3);
        assert_eq!(through_both(&packets), packets);
    }
}

#[test]
fn what_can_be_of_any_flow_is_overtaken_by_none() {
    let mut flow = Flow::new(false, true, 1);
    let mut packets: Vec<_> = (0..4).map(|_| flow.packet(600, false)).collect();
    packets.insert(2, flow.craft.fragment(6, 800, false, &[0; 64]));
    assert_eq!(joined(&mut Join::everything(), &packets).len(), 3);
    assert_eq!(through_both(&packets), packets);
}

#[test]
fn flows_that_take_turns_are_joined_each_for_itself() {
    let mut flows: Vec<_> = (1..=8).map(|port| Flow::new(port % 2 == 0, true, port)).collect();
    let packets: Vec<_> = (0..80).map(|n| flows[n % 8].packet(1000, false)).collect();
    let written = joined(&mut Join::everything(), &packets);
    let ports: Vec<_> = written.iter().map(|written| ports(&split(written, MTU).unwrap()[0]).2).collect();
    assert_eq!(ports, [1, 2, 3, 4, 5, 6, 7, 8], "in the order of their first");
    assert_eq!(through_both(&packets).len(), 80);
}

#[test]
fn a_kind_that_the_kernel_refuses_is_sent_apart_from_then_on() {
    let mut flows = [Flow::new(false, true, 1), Flow::new(true, true, 1)];
    let mut packets = |flow: usize| (0..4).map(|_| flows[flow].packet(1000, false)).collect::<Vec<_>>();
    let mut join = Join::everything();
    let sent = |join: &mut Join, packets: &[Vec<u8>], code: i32| {
        let mut supers = 0;
        let mut written = Vec::new();
        let refused = join.send(packets.iter().map(Vec::as_slice), |slices: &[IoSlice<'_>]| {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            if VnetHeader::read(&bytes).unwrap().gso == Gso::TcpV4 {
                supers += 1;
                return Err(io::Error::from_raw_os_error(code));
            }
            written.extend(split(&bytes, MTU).unwrap());
            Ok(())
        });
        assert_eq!((refused, &*written), (0, packets));
        supers
    };
    let [first, second, third, six] = [packets(0), packets(0), packets(0), packets(1)];
    assert_eq!(sent(&mut join, &first, libc::ENOMEM), 1, "short of memory is not for ever");
    assert_eq!(sent(&mut join, &second, libc::EINVAL), 1);
    assert_eq!(sent(&mut join, &third, libc::EINVAL), 0);
    assert_eq!(joined(&mut join, &six).len(), 1, "the other kind goes on");
}

#[test]
fn an_interface_that_is_down_refuses_all_and_nothing_is_given_up() {
    let mut flow = Flow::new(false, true, 1);
    let packets: Vec<_> = (0..4).map(|_| flow.packet(1000, false)).collect();
    let mut join = Join::everything();
    let refused =
        join.send(packets.iter().map(Vec::as_slice), |_| Err(io::Error::from_raw_os_error(libc::EIO)));
    assert_eq!(refused, 4);
    assert_eq!(joined(&mut join, &packets).len(), 1);
}

#[test]
fn flags_of_a_super_packet_go_where_they_belong() {
    let mut flow = Flow::new(false, true, 1);
    let packets: Vec<_> = (0..3).map(|_| flow.packet(600, false)).collect();
    let mut written = joined(&mut Join::everything(), &packets).remove(0);
    // CWR, PSH, ACK, FIN.
    written[VnetHeader::LENGTH + 33] = 0x99;
    let segments = split(&written, MTU).unwrap();
    assert_eq!(segments.iter().map(|segment| segment[33]).collect::<Vec<_>>(), [0x90, 0x10, 0x19]);
    assert!(segments.iter().all(|segment| is_intact(segment)));
}

#[test]
fn a_checksum_that_was_left_to_us_is_made() {
    for is_v6 in [false, true] {
        for is_tcp in [false, true] {
            let whole = Flow::new(is_v6, is_tcp, 1).packet(333, false);
            let start = if is_v6 { 40 } else { 20 };
            let offset = if is_tcp { 16 } else { 6 };
            let mut packet = whole.clone();
            // A whole packet's sum is zero; so without the pseudo-header it is the complement of that.
            let pseudo_header = Sum::default().with(&packet[start..]).checksum();
            packet[start + offset..][..2].copy_from_slice(&pseudo_header);
            let header = VnetHeader {
                needs_checksum: true,
                checksum_start: start as u16,
                checksum_offset: offset as u16,
                ..VnetHeader::default()
            };
            let read = [&header.to_bytes()[..], &packet].concat();
            assert_eq!(split(&read, MTU).unwrap(), [whole]);
        }
    }
}

#[test]
fn what_is_larger_than_the_mtu_is_counted_by_the_packet() {
    let mut flow = Flow::new(false, true, 1);
    let packets: Vec<_> = (0..5).map(|_| flow.packet(1000, false)).collect();
    let written = joined(&mut Join::everything(), &packets).remove(0);
    assert_eq!(split(&written, 1051).unwrap_err(), Refusal::Oversized(5));
    assert_eq!(split(&written, 1052).unwrap(), packets);
    let single = [&[0; VnetHeader::LENGTH][..], &packets[0]].concat();
    assert_eq!(split(&single, 1051).unwrap_err(), Refusal::Oversized(1));
}

#[test]
fn a_header_that_contradicts_its_packet_is_refused() {
    let mut flow = Flow::new(false, true, 1);
    let packets: Vec<_> = (0..5).map(|_| flow.packet(1000, false)).collect();
    let written = joined(&mut Join::everything(), &packets).remove(0);
    let header = VnetHeader::read(&written).unwrap();
    for wrong in [
        VnetHeader { gso_size: 0, ..header },
        VnetHeader { needs_checksum: false, ..header },
        VnetHeader { gso: Gso::TcpV6, ..header },
        VnetHeader { gso: Gso::Udp, ..header },
        VnetHeader { checksum_start: 24, ..header },
        VnetHeader { checksum_start: 60_000, ..header },
        VnetHeader { checksum_offset: 6, ..header },
        VnetHeader { gso: Gso::None, checksum_start: 60_000, ..header },
    ] {
        let read = [&wrong.to_bytes()[..], &written[VnetHeader::LENGTH..]].concat();
        assert_eq!(split(&read, 65_535).unwrap_err(), Refusal::Malformed, "{wrong:?}");
    }
    for length in 0..VnetHeader::LENGTH + 52 {
        assert_eq!(split(&written[..length], MTU).unwrap_err(), Refusal::Malformed, "{length}");
    }
}

/// Who sends how much next; with PSH; with a wrong checksum.
type Turn = (usize, usize, bool, bool);

fn conversations() -> impl Strategy<Value = (Vec<Flow>, Vec<Turn>)> {
    let flow = (any::<bool>(), any::<bool>(), any::<bool>(), any::<u16>(), any::<u32>()).prop_map(
        |(is_v6, is_tcp, dont_fragment, id, next)| {
            let mut flow = Flow::new(is_v6, is_tcp, 0);
            flow.craft = Craft { dont_fragment, id, ..flow.craft };
            flow.next = next;
            flow
        },
    );
    let flows = proptest::collection::vec(flow, 1..12).prop_map(|mut flows: Vec<Flow>| {
        flows.iter_mut().zip(1..).for_each(|(flow, port)| flow.port = port);
        flows
    });
    let size = prop_oneof![Just(1300_usize), Just(1300), Just(200), 0..1300_usize];
    let turn = (0..12_usize, size, proptest::bool::weighted(0.1), proptest::bool::weighted(0.05));
    (flows, proptest::collection::vec(turn, 0..200))
}

proptest! {
    #[test]
    fn whatever_is_joined_comes_apart_as_it_was((mut flows, turns) in conversations()) {
        let mut packets = Vec::new();
        let mut last = 0;
        for (who, size, push, is_wrong) in turns {
            // Who has spoken often goes on.
            last = if who % 3 == 0 { who } else { last };
            let flow = last % flows.len();
            let mut packet = flows[flow].packet(size, push);
            if is_wrong {
                *packet.last_mut().unwrap() ^= 0x10;
            }
            packets.push(packet);
        }
        let (mut before, mut after) = (packets.clone(), through_both(&packets));
        // Stable: the order within each flow is looked at.
        before.sort_by_key(|packet| ports(packet));
        after.sort_by_key(|packet| ports(packet));
        prop_assert_eq!(before, after);
    }

    /// What the kernel may write, with a few octets that it would not.
    #[test]
    fn no_bytes_make_more_than_they_hold(
        is_v6 in any::<bool>(),
        is_tcp in any::<bool>(),
        sizes in (1..1300_usize, 1..5_usize),
        wrong in proptest::collection::vec((0..80_usize, any::<u8>()), 0..4),
        cut in prop_oneof![3 => Just(usize::MAX), 1 => 0..6000_usize],
        mtu in 1300..2000_usize,
    ) {
        let mut flow = Flow::new(is_v6, is_tcp, 1);
        let packets: Vec<_> = (0..sizes.1).map(|_| flow.packet(sizes.0, false)).collect();
        let mut read = joined(&mut Join::everything(), &packets).remove(0);
        let is_good = wrong.is_empty() && read.len() <= cut && packets[0].len() <= mtu;
        read.truncate(cut);
        let length = read.len();
        for &(at, octet) in wrong.iter().filter(|(at, _)| *at < length) {
            read[at] = octet;
        }
        let outcome = split(&read, mtu);
        if is_good {
            prop_assert_eq!(outcome.as_ref(), Ok(&packets));
        }
        if let Ok(packets) = outcome {
            prop_assert!(!packets.is_empty() && packets.len() <= length + 1);
            prop_assert!(packets.iter().all(|packet| packet.len() <= mtu));
        }
    }
}

#[test]
fn every_refusal_of_the_kernel_has_its_mend() {
    for (code, mend) in [
        (libc::ENODEV, "install kmod-tun (OpenWrt) or run `modprobe tun`"),
        (libc::EPERM, "run as root, or with CAP_NET_ADMIN"),
        (libc::EBUSY, "stop it or write another `interface`"),
        (libc::EINVAL, "remove it or write another `interface`"),
        (libc::ENOMEM, "cannot make interface vpm0"),
    ] {
        let said = refusal(&InterfaceName::default(), io::Error::from_raw_os_error(code)).to_string();
        assert!(said.contains(mend), "{said}");
    }
}
