'use strict';
'require baseclass';

// Why packets are turned away: the names and sentences of src/base/reason.rs and src/cli/status.rs, in their order.
// tests/luci holds them against each other.

return baseclass.extend({
	sentences: function() {
		return {
			not_wireguard: _('the datagram is no WireGuard message'),
			unknown_index: _('no session has this receiver index'),
			unknown_key: _('the handshake is from a key that no accepted roster lists'),
			bad_mac: _('the handshake\'s MAC is not for this gateway\'s key'),
			handshake_failed: _('the handshake or cookie does not verify, or is a replay'),
			handshake_limited: _('too many handshakes; those with a cookie go first'),
			handshake_crossed: _('both sides began a handshake at once; the other one goes on'),
			bad_packet: _('the datagram does not decrypt'),
			replayed: _('the datagram\'s counter was seen before or is too old'),
			no_session: _('the peer has no session and no known endpoint'),
			queue_full: _('too many packets wait for the peer\'s handshake or for the socket'),
			bad_beacon: _('what came as a beacon is none, is of nobody known, or is one too many'),
			virtual_source: _('the datagram says that it comes from an address that no host has (100::/64)'),
			bad_frame: _('the relay frame is cut short, or its tag is not of the leg that it names'),
			no_leg: _('the relay frame is of a gateway that has not registered, or goes to one'),
			no_channel: _('the relay frame\'s channel is not open, or not between these two gateways'),
			relay_quota: _('the owner has its share of the relay\'s bandwidth in use'),
			send_failed: _('the system refused to send the datagram'),
			malformed: _('the packet is cut short or contradicts itself'),
			bad_source: _('the source is a multicast, loopback, link-local, v4-mapped or unspecified address'),
			bad_destination: _('the destination is a multicast, loopback, link-local, v4-mapped or unspecified address'),
			not_forwarded: _('a source route, a redirect or a message for one link is never forwarded'),
			spoofed: _('the peer does not own the packet\'s source address'),
			hop_limit: _('the packet\'s hop limit ran out'),
			too_big: _('the packet is larger than the next tunnel carries; ICMP says so to its sender'),
			congested: _('the network marked the datagram as congested, and the packet inside can\'t be told'),
			not_control: _('it is for the mesh itself, and says nothing that this version understands'),
			control_limited: _('it is for the mesh itself, and the peer says more than its share'),
			foreign_claim: _('a gateway says of a station what only the gateways of its room may say'),
			denied: _('a border\'s policy denies it'),
			no_flow: _('the reply or ICMP error belongs to no flow'),
			other_peer: _('the flow is carried by another peer'),
			flows_full: _('the peer has its share of the flow table in use'),
			no_route: _('no node has the destination address'),
			not_served: _('another gateway sends it, and its destination is not in the room served here'),
			elsewhere: _('the station is at another gateway of its room, or at none'),
			leak: _('the packet is for the mesh, and would leave by another interface than the mesh\'s'),
			loop: _('the packet would go back where it came from'),
			socket_overflows: _('the UDP socket\'s buffer was full'),
			socket_refused: _('the kernel saw that it is no message for this gateway'),
			oversized: _('the kernel handed over a packet larger than the MTU')
		};
	}
});
