'use strict';
'require view';
'require form';
'require uci';

// The node's own configuration: UCI `vpmesh.main`, which the daemon reads. Each check is the one of src/config/parse.rs,
// and says what would do.

const SOCKET_PATH_MAX = 107;
// Bits of marks that OpenWrt's mwan3 and pbr use.
const FWMARK_TAKEN = 0x00ff3f00;

const octets = (text) => new TextEncoder().encode(text).length;
const control = /[\u0000-\u001f\u007f-\u009f]/;

function name(text) {
	return /^[a-z0-9-]{1,63}$/.test(text) && !/^-|-$/.test(text) && text != 'any' && text != 'internet';
}

function node(text) {
	const segments = text.split('/');

	return (segments.length == 2 || segments.length == 3) && segments.every(name)
		|| _('Write OWNER/ROOM/GATEWAY or OWNER/RELAY, as in the roster');
}

function path(text) {
	return text != '' && !control.test(text) || _('Write a path without control characters');
}

function ownerKey(text) {
	// What signify writes is 56 characters that begin with `Ed` in base64 (src/config/parse.rs: owner_key).
	if (text.length != 56 || !text.startsWith('RW') || /[._]/.test(text))
		return path(text);

	return /^RW[Q-T][A-Za-z0-9+\/]{53}$/.test(text) || _('Write the owner\'s public key (RWQ...) or its file\'s path');
}

function interfaceName(text) {
	return /^[A-Za-z0-9._-]{1,15}$/.test(text) && ![ '.', '..', 'all', 'default', 'lo' ].includes(text)
		|| _('Write 1 to 15 of a-z, A-Z, 0-9, "-", "_" and "."');
}

function socketPath(text) {
	// Relative paths are relative to /etc/vpmesh.
	const whole = text.startsWith('/') ? text : `/etc/vpmesh/${text}`;

	return path(text) === true && octets(whole) <= SOCKET_PATH_MAX
		|| _('Write the path of the control socket, %d bytes at most').format(SOCKET_PATH_MAX);
}

function whole(least, most, mend) {
	return (text) => /^\d+$/.test(text) && +text >= least && +text <= most || mend;
}

function octet(text) {
	return /^(0|[1-9]\d{0,2})$/.test(text) && +text <= 255;
}

function ipv4(text) {
	const parts = text.split('.');

	return parts.length == 4 && parts.every(octet);
}

function ipv6(text) {
	const halves = text.split('::');
	const groups = (half) => (half == '') ? [] : half.split(':');
	let all = halves.flatMap(groups);

	if (all.length && ipv4(all[all.length - 1]) && !text.endsWith('::'))
		all = [ ...all.slice(0, -1), '0', '0' ];
	return halves.length <= 2 && all.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))
		&& (halves.length == 2 ? all.length <= 7 : all.length == 8);
}

// HOST:PORT, where `isHost` holds of what stands without brackets.
function isAt(text, isHost) {
	const [ , six, host, port ] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];

	return port != null && +port >= 1 && +port <= 65535 && (six != null ? ipv6(six) : isHost(host));
}

function addressAndPort(text) {
	return isAt(text, ipv4) || _('Write ADDRESS:PORT, as 127.0.0.1:9588 or [::1]:9588');
}

// src/base/endpoint.rs: an address, or a name in DNS.
function addressOrName(host) {
	const labels = host.split('.');
	const label = (one) => /^[A-Za-z0-9_-]{1,63}$/.test(one) && !/^-|-$/.test(one);

	return /^\d*$/.test(labels[labels.length - 1]) ? ipv4(host) : host.length <= 253 && labels.every(label);
}

function introducer(text) {
	return /^[A-Za-z0-9+\/]{42}[AEIMQUYcgkosw048]=@/.test(text) && isAt(text.slice(45), addressOrName)
		|| _('Write KEY@HOST:PORT, as "vpmesh invite" prints it');
}

function domain(text) {
	return text.split('.').every(name) || _('Write a domain that nobody else has, as mesh or home.example.net');
}

function fwmark(text) {
	const mark = /^(0x[0-9a-fA-F]+|\d+)$/.test(text) ? +text : 0;

	return mark >= 1 && mark <= 0xffffffff && (mark & FWMARK_TAKEN) == 0
		|| _('Write a number with none of the bits 0x00ff3f00, as 0x51000000');
}

function levels(text) {
	const good = (part) => {
		const cut = part.lastIndexOf('=');
		const [ target, level ] = (cut < 0) ? [ 'vpmesh', part ] : [ part.slice(0, cut), part.slice(cut + 1) ];

		return /^[A-Za-z0-9_:-]+$/.test(target) && /^(error|warn|info|debug|trace|off)$/.test(level.trim());
	};

	return text.split(',').every(good)
		|| _('Write error, warn, info, debug, trace or off, or MODULE=LEVEL after commas');
}

function failSafe(text) {
	return text == 'closed' || text == 'open' || _('Write closed or open');
}

function flag(text) {
	return /^(0|1|on|off|true|false|yes|no|enabled|disabled)$/.test(text) || _('Write 1 or 0');
}

// LuCI asks for empty texts too, and refuses them itself where they may not be.
function unlessEmpty(check) {
	return (id, text) => (text == null || text == '') ? true : check(text);
}

const buffer = () => whole(65536, 67108864, _('Write bytes, 65536 to 67108864'));

// Key, title, help, check, what holds when it is left out (`null`: it must be written), an example.
const OPTIONS = () => [
	[ 'node', _('Node'), _('Which gateway or relay of the owner\'s roster this is: OWNER/ROOM/GATEWAY or OWNER/RELAY.'),
	  node, null, 'alice/attic/gw' ],
	[ 'private_key', _('Private key'), _('The file of WireGuard\'s key, of mode 0600; "vpmesh key new FILE" makes it.'),
	  path, null, '/etc/vpmesh/node.key' ],
	[ 'room_key', _('Room key'), _('The file of the room\'s key, of mode 0600, the same on each gateway of the room; the roster has its public key. Stations go by whichever of them lives.'),
	  path, _('none') ],
	[ 'owner_key', _('Owner\'s key'), _('The public key of the owner (RWQ...), or its file\'s path. Everything else follows from the owner\'s roster.'),
	  ownerKey, null, '/etc/vpmesh/alice.pub' ],
	[ 'rosters', _('Rosters'), _('The folder with NAME.toml and NAME.toml.sig.'), path, '/etc/vpmesh/rosters' ],
	[ 'interface', _('Interface'), _('The name of the TUN device.'), interfaceName, 'vpm0' ],
	[ 'listen', _('UDP port'), _('Where peers reach this node, 1 to 65535, in IPv4 and IPv6.'),
	  whole(1, 65535, _('Write a UDP port, 1 to 65535')), '51888' ],
	[ 'mtu', _('MTU'), _('Bytes of the largest packet inside the tunnels, 1280 to 9000.'),
	  whole(1280, 9000, _('Write 1280 (IPv6 needs as much) to 9000')), '1420' ],
	[ 'fwmark', _('Firewall mark'), _('On the datagrams that this node sends; it stays out of the bits 0x00ff3f00, which mwan3 and pbr use.'),
	  fwmark, _('none') ],
	[ 'metrics', _('Metrics'), _('ADDRESS:PORT where /metrics is served to Prometheus. Anybody who reaches it can read it.'),
	  addressAndPort, _('none') ],
	[ 'tls_listen', _('TLS'), _('ADDRESS:PORT where TLS is answered, for nodes whose UDP is blocked. The daemon\'s user can open no port below 1024.'),
	  addressAndPort, _('none') ],
	[ 'dns', _('Names'), _('ADDRESS:PORT where dnsmasq asks for the mesh\'s names, as laptop.attic.alice.mesh.'),
	  addressAndPort, _('none') ],
	[ 'domain', _('Domain'), _('What their names end in.'), domain, 'mesh' ],
	// The daemon's user can write in this folder, and not where the socket is when the key is left out.
	[ 'control', _('Control socket'), _('Its path; LuCI and "vpmesh status" ask there.'), socketPath, null,
	  '/var/run/vpmesh/control.sock' ],
	[ 'flows', _('Flows'), _('The most flows that are kept, 256 to 4194304.'),
	  whole(256, 4194304, _('Write 256 to 4194304 flows')), '65536' ],
	[ 'log', _('Log'), _('A level (error, warn, info, debug, trace, off), or levels by module: info,vpmesh::os=debug.'),
	  levels, 'info' ],
	[ 'fail_safe', _('Fail-safe'), _('What the rules for hosts on the LAN do when the daemon dies: closed keeps them in force, open takes them away.'),
	  failSafe, 'closed' ],
	[ 'lan_admin', _('Administration from the LAN'), _('1: ssh and these pages stay open to this router\'s LAN, whatever the rosters say. 0: policy decides.'),
	  flag, '1' ],
	[ 'receive_buffer', _('Receive buffer'), _('Bytes of the UDP socket\'s buffer, 65536 to 67108864.'), buffer(), '1048576' ],
	[ 'send_buffer', _('Send buffer'), _('The same for what is sent.'), buffer(), '1048576' ]
];

return view.extend({
	load: function() {
		return uci.load('vpmesh').then(() => {
			if (!uci.get('vpmesh', 'main'))
				uci.add('vpmesh', 'node', 'main');
			return null;
		}).catch((error) => `${error?.message ?? error}`);
	},

	render: function(fault) {
		if (fault)
			return E('div', { 'class': 'alert-message error', 'role': 'alert' }, [
				E('h4', [ _('/etc/config/vpmesh can\'t be read; the package vpmesh brings it') ]), E('p', [ fault ])
			]);

		const map = new form.Map('vpmesh', _('vpmesh'),
			_('This node. Who may talk to whom is in the rosters, which their owners write and sign.'));
		const section = map.section(form.NamedSection, 'main', 'node', _('Node'));
		const enabled = section.option(form.Flag, 'enabled', _('Enabled'), _('Start the daemon, now and at boot.'));

		section.addremove = false;
		enabled.default = '0';
		enabled.rmempty = false;

		const portMapping = section.option(form.Flag, 'port_mapping', _('Port mapping'),
			_('Ask the router that this one is behind, if there is one, to forward the UDP port (PCP, NAT-PMP, UPnP).'));

		portMapping.default = '1';

		for (const [ key, title, help, check, fallback, example ] of OPTIONS()) {
			const option = section.option(form.Value, key, title,
				(fallback == null) ? help : `${help} ${_('Left out: %s.').format(fallback)}`);

			option.placeholder = fallback ?? example;
			if (key == 'control')
				option.default = example;
			option.rmempty = fallback != null;
			option.optional = fallback != null;
			option.validate = unlessEmpty(check);
		}

		const introducers = section.option(form.DynamicList, 'introducers', _('Introducers'),
			_('KEY@HOST:PORT of nodes that have the owner\'s roster, 16 at most: a node that has none yet gets it there.'));

		introducers.placeholder = _('KEY@HOST:PORT');
		introducers.validate = unlessEmpty(introducer);
		return map.render();
	}
});
