'use strict';
'require view';
'require dom';
'require poll';
'require rpc';
'require ui';
'require vpmesh.amount as amount';
'require vpmesh.reason as reason';
'require vpmesh.table as table';

// What `vpmesh status`, `peers` and `flows` say, on one page. Text goes in by text nodes only: names, rules and refusals
// come from other people's rosters.

const INTERVAL = 5;
// Rows of flows that are shown; the daemon's answer has 500 at most.
const FLOWS_SHOWN = 50;
// IP protocol numbers with a name (src/cli/flows.rs).
const PROTOCOLS = { 1: 'icmp', 6: 'tcp', 17: 'udp', 47: 'gre', 58: 'icmpv6', 132: 'sctp' };

const call = (method) => rpc.declare({ object: 'vpmesh', method: method, reject: true });
const callStatus = call('status');
const callPeers = call('peers');
const callFlows = call('flows');
const callReload = call('reload');

// An answer, or `{ error }`: never a rejection.
function ask(method) {
	return method().catch((error) => ({ error: `${error?.message ?? error}` }));
}

function sum(counts) {
	return Object.values(counts ?? {}).reduce((total, count) => total + count, 0);
}

function address(host, port) {
	if (port == null)
		return host;
	return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

// `all` of them, or how many of them are shown.
function shown(shown, all) {
	return (shown < all) ? _('%d of %d shown, the largest').format(shown, all) : '';
}

// Two names with their values in each row: half the height.
function pairs(all) {
	const cells = ([ name, value ]) => [
		E('th', { 'class': 'td left', 'scope': 'row', 'style': 'width:12%' }, [ name ]),
		E('td', { 'class': 'td left', 'style': 'width:38%; overflow-wrap:anywhere' }, [ value ])
	];
	const half = Math.ceil(all.length / 2);

	return E('table', { 'class': 'table' }, all.slice(0, half).map((left, i) =>
		E('tr', { 'class': 'tr' }, [ ...cells(left), ...(all[half + i] ? cells(all[half + i]) : []) ])));
}

function alert(kind, title, lines) {
	return E('div', { 'class': `alert-message ${kind}`, 'role': (kind == 'error') ? 'alert' : 'status' }, [
		E('h4', [ title ]),
		...lines.map((line) => E('p', { 'style': 'white-space:pre-wrap; overflow-wrap:anywhere' }, [ line ]))
	]);
}

function reloadSentence(report) {
	return _('owners %d, nodes %d; peers added %d, removed %d; flows cut %d').format(
		report.owners, report.nodes, report.peers_added, report.peers_removed, report.flows_cut);
}

function ago(seconds) {
	return _('%s ago').format(amount.time(seconds));
}

// The path to a peer that is in use, where paths are measured.
function usedPath(peer) {
	return peer.paths?.candidates.find((path) => path.in_use);
}

function pathName(path) {
	return { relay: _('by a relay'), tls: _('inside TLS') }[path?.kind] ?? _('direct');
}

function whyUsed(why) {
	return {
		session: _('the session was made there'),
		found: _('found by a handshake'),
		better: _('better than the one before'),
		silent: _('the one before fell silent')
	}[why] ?? why;
}

function pathRows(peer) {
	const { why, since, candidates } = peer.paths ?? { candidates: [] };

	return candidates.map((path) => [
		peer.peer,
		path.kind,
		path.address ?? _('unknown'),
		path.relay ?? '-',
		[ path.round_trip ?? Number.MAX_SAFE_INTEGER,
			(path.round_trip == null) ? _('no answer') : `${(path.round_trip / 1000).toFixed(1)} ms` ],
		[ path.loss, `${(path.loss / 10).toFixed(1)} %` ],
		[ path.in_use ? 0 : 1, path.in_use ? _('yes, since %s: %s').format(amount.time(since), whyUsed(why)) : _('no') ]
	]);
}

function peerRow(peer) {
	const used = usedPath(peer);
	const turnedAway = sum(peer.drops);
	const reasons = Object.entries(peer.drops ?? {}).map(([ name, count ]) => `${name} ${count}`).join(', ');

	return [
		peer.peer,
		peer.kind,
		[ peer.up ? 0 : 1, E('span', { 'class': peer.up ? 'label success' : 'label' }, [ peer.up ? _('up') : _('down') ]) ],
		peer.attached ? _('at %s').format(peer.attached.gateway) : pathName(used),
		used?.relay ?? '-',
		used?.address ?? peer.endpoint ?? _('unknown'),
		[ peer.handshake ?? Number.MAX_SAFE_INTEGER, (peer.handshake == null) ? _('never') : ago(peer.handshake) ],
		[ peer.received.bytes, amount.bytes(peer.received.bytes) ],
		[ peer.sent.bytes, amount.bytes(peer.sent.bytes) ],
		[ turnedAway, reasons ? `${turnedAway} (${reasons})` : `${turnedAway}` ]
	];
}

function flowCells(flow) {
	return [
		PROTOCOLS[flow.protocol] ?? `proto/${flow.protocol}`,
		flow.from,
		address(flow.source, flow.source_port),
		flow.to,
		address(flow.destination, flow.destination_port),
		flow.state,
		[ flow.forward.bytes, amount.bytes(flow.forward.bytes) ],
		[ flow.back.bytes, amount.bytes(flow.back.bytes) ],
		[ flow.age, amount.time(flow.age) ],
		[ flow.idle, amount.time(flow.idle) ]
	];
}

function ruleRow(rule) {
	return [
		[ rule.matches, `${rule.matches}` ],
		rule.border,
		rule.direction,
		rule.stage ? _('staged: %s').format(rule.rule) : rule.rule,
		`${rule.file}:${rule.line}`
	];
}

function dropRow([ name, count ]) {
	return [ [ count, `${count}` ], name, reason.sentences()[name] ?? '' ];
}

return view.extend({
	load: function() {
		return Promise.all([ ask(callStatus), ask(callPeers), ask(callFlows) ]);
	},

	render: function(answers) {
		const filter = E('input', {
			'type': 'search',
			'id': 'flow-filter',
			'class': 'cbi-input-text',
			'placeholder': _('name, address, port or state'),
			'input': () => this.showFlows()
		});

		this.flows = { rows: [], total: 0 };
		this.filter = filter;
		this.banner = E('div', { 'id': 'banner' });
		this.node = E('div', { 'id': 'node' });
		this.peersNote = E('span');
		this.flowsNote = E('span', { 'role': 'status' });
		this.rulesNote = E('span');
		this.neverSummary = E('summary');
		this.owners = table.create('owners',
			[ _('Owner'), _('Serial'), _('Nodes'), _('Prefixes') ], _('No roster is accepted.'));
		this.peers = table.create('peers',
			[ _('Peer'), _('Kind'), _('State'), _('Path'), _('Relay'), _('Endpoint'), _('Handshake'), _('Received'),
			  _('Sent'), _('Turned away') ], _('No peers.'));
		this.paths = table.create('paths',
			[ _('Peer'), _('Kind'), _('Address'), _('Relay'), _('Round trip'), _('Lost'), _('In use') ],
			_('No paths to other gateways are measured.'));
		this.flowTable = table.create('flows',
			[ _('Protocol'), _('From'), _('Source'), _('To'), _('Destination'), _('State'), _('Out'), _('Back'), _('Age'),
			  _('Idle') ], _('No flows.'));
		this.drops = table.create('drops', [ _('Packets'), _('Reason'), _('Meaning') ], _('Nothing was turned away.'));
		this.never = table.create('never', [ _('Packets'), _('Reason'), _('Meaning') ], '');
		this.rules = table.create('rules',
			[ _('Flows'), _('Border'), _('Direction'), _('Rule'), _('Place') ], _('No rule matched since the last reload.'));

		const section = (title, ...content) => E('div', { 'class': 'cbi-section' }, [ E('h3', [ title ]), ...content ]);
		const wide = (sheet) => E('div', { 'style': 'overflow-x:auto' }, [ sheet.node ]);
		const page = E('div', [
			E('h2', [ _('vpmesh') ]),
			this.banner,
			section(_('Node'), this.node, E('button', {
				'class': 'btn cbi-button cbi-button-action',
				'id': 'reload',
				'style': 'margin-bottom:18px',
				'disabled': L.hasViewPermission() ? null : true,
				'click': () => this.reload()
			}, [ _('Read rosters again') ])),
			section(_('Owners'), wide(this.owners)),
			section(_('Peers'), this.peersNote, wide(this.peers)),
			section(_('Paths'), wide(this.paths)),
			section(_('Turned away'), wide(this.drops),
				E('details', { 'id': 'never-section', 'style': 'margin-bottom:18px' }, [ this.neverSummary, wide(this.never) ])),
			section(_('Rules that matched'), this.rulesNote, wide(this.rules)),
			section(_('Flows'), E('p', [
				E('label', { 'for': 'flow-filter' }, [ _('Filter'), ' ' ]), filter, ' ', this.flowsNote
			]), wide(this.flowTable))
		]);

		this.show(answers);
		poll.add(() => this.refresh(), INTERVAL);
		// What was not asked for while nobody looked.
		document.addEventListener('visibilitychange', () => this.refresh());
		return page;
	},

	refresh: function() {
		if (document.hidden)
			return Promise.resolve();
		return this.load().then((answers) => this.show(answers));
	},

	show: function([ status, peers, flows ]) {
		const failed = [ status, peers, flows ].find((answer) => answer.error);

		this.showBanner(status, failed?.error);
		// What came before stays in view when an answer is missing.
		if (!status.error)
			this.showStatus(status);
		if (!peers.error) {
			this.peers.update(peers.rows.map(peerRow));
			this.paths.update(peers.rows.flatMap(pathRows));
			dom.content(this.peersNote, [ shown(peers.rows.length, peers.total) ]);
		}
		if (!flows.error) {
			this.flows = flows;
			this.showFlows();
		}
	},

	showBanner: function(status, error) {
		const alerts = [];
		const last = status.last_reload;

		if (error)
			alerts.push(alert('error', _('vpmesh gives no answer'), [ error, _('What is shown below, if anything, is older.') ]));
		if (last?.refusal)
			alerts.push(alert('error', _('The last reload was refused %s; what ran before runs on').format(ago(last.ago)),
				last.refusal.split('\n')));
		if (last?.notes?.length)
			alerts.push(alert('warning', _('Notes of the last reload'), last.notes));

		// Told to screen readers when it changes, and not every five seconds.
		const wording = (nodes) => nodes.map((node) => node.textContent.replace(/\d+ (s|min|h|d)\b/g, '')).join('\n');

		if (wording(alerts) == wording([ ...this.banner.children ]))
			alerts.forEach((node, i) => {
				const heading = this.banner.children[i].querySelector('h4');

				dom.content(heading, [ node.querySelector('h4').textContent ]);
			});
		else
			dom.content(this.banner, alerts);
	},

	showStatus: function(status) {
		const last = status.last_reload;

		dom.content(this.node, pairs([
			[ _('Node'), status.node ],
			[ _('Version'), status.version ],
			[ _('Running for'), amount.time(status.uptime) ],
			[ _('Interface'), _('%s, MTU %d').format(status.interface, status.mtu) ],
			[ _('UDP port'), !status.mapped ? status.listen
				: _('%d; the router maps %s by %s').format(status.listen, status.mapped.address, status.mapped.by) ],
			[ _('Addresses'), status.addresses.join(', ') || _('none') ],
			[ _('Last reload'), !last ? _('none since the start')
				: last.report ? `${ago(last.ago)}: ${reloadSentence(last.report)}` : _('%s: refused').format(ago(last.ago)) ],
			[ _('Peers'), _('%d, of them %d up').format(status.peers, status.peers_up) ],
			[ _('Flows'), _('%d of %d at most').format(status.flows, status.flows_max) ],
			[ _('Passed'), _('%s from peers, %s to peers').format(
				amount.bytes(status.from_peers.bytes), amount.bytes(status.to_peers.bytes)) ],
			[ _('Kernel'), _('%s from it, %s to it').format(
				amount.bytes(status.from_kernel.bytes), amount.bytes(status.to_kernel.bytes)) ]
		]));
		this.owners.update(status.owners.map((owner) => [
			owner.owner, [ owner.serial, `${owner.serial}` ], [ owner.nodes, `${owner.nodes}` ], owner.prefixes.join(', ')
		]));
		this.rules.update([ ...status.rules ].sort((a, b) => b.matches - a.matches).map(ruleRow));
		dom.content(this.rulesNote, [ shown(status.rules.length, status.rules_total ?? status.rules.length) ]);

		const counts = Object.assign({}, status.drops);

		for (const name of [ 'socket_overflows', 'socket_refused', 'oversized' ])
			counts[name] = status[name] ?? 0;
		for (const name in reason.sentences())
			counts[name] ??= 0;

		const all = Object.entries(counts);
		const never = all.filter((drop) => drop[1] == 0);

		this.drops.update(all.filter((drop) => drop[1] > 0).sort((a, b) => b[1] - a[1]).map(dropRow));
		this.never.update(never.map(dropRow));
		dom.content(this.neverSummary, [ _('%d reasons that never occurred').format(never.length) ]);
	},

	showFlows: function() {
		const wanted = this.filter.value.trim().toLowerCase();
		const rows = this.flows.rows
			.map(flowCells)
			.filter((cells) => cells.some((cell) => `${Array.isArray(cell) ? '' : cell}`.toLowerCase().includes(wanted)));

		this.flowTable.update(rows.slice(0, FLOWS_SHOWN));
		dom.content(this.flowsNote, [ wanted
			? _('%d match among the %d largest of %d').format(rows.length, this.flows.rows.length, this.flows.total)
			: shown(Math.min(rows.length, FLOWS_SHOWN), this.flows.total) ]);
	},

	reload: function() {
		return ask(callReload).then((answer) => {
			if (answer.error)
				ui.addNotification(_('Not reloaded'), answer.error.split('\n').map((line) => E('p', [ line ])), 'error');
			else
				ui.addNotification(_('Reloaded'),
					[ reloadSentence(answer.reloaded), ...(answer.errors ?? []), ...(answer.notes ?? []) ].map(
						(line) => E('p', [ line ])), 'info');
			return this.refresh();
		});
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
