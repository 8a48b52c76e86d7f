'use strict';
'require view';
'require dom';
'require rpc';

// `vpmesh explain FROM TO SERVICE`: every border on the way, in the order crossed, and its say.

const callExplain = rpc.declare({ object: 'vpmesh', method: 'explain', params: [ 'from', 'to', 'service' ], reject: true });
const callPeers = rpc.declare({ object: 'vpmesh', method: 'peers', reject: true });

// What the rpcd plugin lets through (openwrt/vpmesh/files/vpmesh.uc); none of it needs quoting in a shell.
const PARTY = '[0-9A-Za-z:][0-9A-Za-z:.\\/\\-]{0,254}';
const SERVICE = '[0-9A-Za-z][0-9A-Za-z\\/\\-]{0,31}';

// The theme has no red label.
const DENIED = 'background:#b00; color:#fff';

function inWords(verdict) {
	return { allow: _('allow'), deny: _('deny'), unknown: _('cannot tell') }[verdict] ?? verdict;
}

function field(id, label, hint, pattern, choices) {
	return E('div', { 'class': 'cbi-value' }, [
		E('label', { 'class': 'cbi-value-title', 'for': id }, [ label ]),
		E('div', { 'class': 'cbi-value-field' }, [
			E('input', {
				'type': 'text', 'id': id, 'class': 'cbi-input-text', 'required': true, 'pattern': pattern, 'title': hint,
				'list': `${id}-choices`, 'autocomplete': 'off', 'autocapitalize': 'none', 'spellcheck': 'false',
				'aria-describedby': `${id}-hint`
			}),
			E('datalist', { 'id': `${id}-choices` }, choices.map((choice) => E('option', { 'value': choice }))),
			E('div', { 'class': 'cbi-value-description', 'id': `${id}-hint` }, [ hint ])
		])
	]);
}

function verdict(value, first) {
	const kind = { allow: 'label success', unknown: 'label warning' }[value] ?? 'label';

	return [
		E('span', { 'class': kind, 'style': (value == 'deny') ? DENIED : null }, [ inWords(value) ]),
		...(first ? [ ' ', E('strong', [ `← ${_('the first denial')}` ]) ] : [])
	];
}

function borderRow(border, number, first) {
	const place = (border.file == null) ? '' : (border.line == null) ? border.file : `${border.file}:${border.line}`;
	const staged = (border.staged ?? []).map((rule) => E('div', [ _('staged: %s').format(rule) ]));
	const cell = (title, content) => E('td', { 'class': 'td', 'data-title': title }, content);

	return E('tr', {
		'class': 'tr',
		'data-first-denial': first ? 'true' : null,
		'style': first ? 'outline:2px solid currentColor; outline-offset:-2px; font-weight:bold' : null
	}, [
		cell('', [ `${number}` ]),
		cell(_('Border'), [ border.border ]),
		cell(_('Direction'), [ border.direction ]),
		cell(_('Verdict'), verdict(border.verdict, first)),
		cell(_('Reason'), [ border.reason, ...staged ]),
		cell(_('Rule'), [ border.rule ?? '' ]),
		cell(_('Place'), [ place ])
	]);
}

function borders(rows) {
	if (!rows.length)
		return E('p', [ _('No border lies between them.') ]);

	const first = rows.findIndex((border) => border.verdict == 'deny');
	const captions = [ _('No.'), _('Border'), _('Direction'), _('Verdict'), _('Reason'), _('Rule'), _('Place') ];

	return E('div', { 'style': 'overflow-x:auto' }, [
		E('table', { 'class': 'table', 'id': 'borders' }, [
			E('tr', { 'class': 'tr table-titles' }, captions.map(
				(caption) => E('th', { 'class': 'th', 'scope': 'col' }, [ caption ]))),
			...rows.map((border, i) => borderRow(border, i + 1, i == first))
		])
	]);
}

function answerNodes(asked, answer) {
	if (answer.error)
		return [ E('div', { 'class': 'alert-message error', 'role': 'alert' }, [ E('p', [ answer.error ]) ]) ];

	const kind = { allow: 'success', deny: 'error' }[answer.verdict] ?? 'warning';
	const nodes = [
		E('div', { 'class': `alert-message ${kind}`, 'id': 'verdict' }, [
			E('h4', [ `${asked.from} → ${asked.to}, ${asked.service}: ${inWords(answer.verdict)}` ]),
			...(answer.why ? [ E('p', [ answer.why ]) ] : [])
		])
	];

	if (answer.verdict != 'unknown')
		nodes.push(borders(answer.borders ?? []));
	return nodes;
}

return view.extend({
	load: function() {
		return callPeers().catch(() => ({}));
	},

	render: function(peers) {
		const names = [ 'internet', ...(peers.rows ?? []).map((peer) => peer.peer) ];

		this.answer = E('div', { 'id': 'answer', 'aria-live': 'polite' });
		this.line = E('code', {
			'id': 'line', 'style': 'display:block; margin:9px 0; padding:9px; white-space:pre-wrap; overflow-wrap:anywhere'
		});
		this.copied = E('span', { 'role': 'status' });
		this.command = E('div', { 'class': 'cbi-section', 'style': 'display:none' }, [
			E('h3', [ _('The same on the router\'s command line') ]),
			this.line,
			E('button', { 'type': 'button', 'class': 'btn cbi-button', 'id': 'copy', 'click': () => this.copy() }, [ _('Copy') ]),
			' ', this.copied
		]);
		this.form = E('form', {
			'id': 'question',
			'class': 'cbi-section',
			'submit': (event) => {
				event.preventDefault();
				this.explain();
			}
		}, [
			field('from', _('From'), _('a node\'s path, as alice/attic/laptop, an address, or internet'), PARTY, names),
			field('to', _('To'), _('the same; the flow ends there'), PARTY, names),
			field('service', _('Service'), _('any, icmp, tcp/PORT, udp/FIRST-LAST or proto/NUMBER'), SERVICE,
				[ 'any', 'icmp', 'tcp/22', 'tcp/80', 'tcp/443', 'tcp/445', 'udp/53' ]),
			E('p', { 'style': 'margin:18px 0' }, [
				E('button', { 'type': 'submit', 'class': 'btn cbi-button cbi-button-action', 'id': 'ask' }, [ _('Explain') ])
			])
		]);

		return E('div', [
			E('h2', [ _('Explain a flow') ]),
			E('p', [ _('Would a flow pass now? Every border that it crosses has a say, and one denial is enough.') ]),
			this.form,
			this.answer,
			this.command
		]);
	},

	explain: function() {
		const asked = {};
		const number = this.questions = (this.questions ?? 0) + 1;

		for (const name of [ 'from', 'to', 'service' ])
			asked[name] = this.form.querySelector(`#${name}`).value;
		return callExplain(asked.from, asked.to, asked.service)
			.catch((error) => ({ error: `${error?.message ?? error}` }))
			.then((answer) => {
				// Answers may come in another order than they were asked for.
				if (number != this.questions)
					return;
				dom.content(this.answer, answerNodes(asked, answer));
				dom.content(this.line, [ `vpmesh explain ${asked.from} ${asked.to} ${asked.service}` ]);
				this.command.style.display = '';
				dom.content(this.copied, []);
			});
	},

	// Pages without TLS have no clipboard of their own: `copy` works there.
	copy: function() {
		window.getSelection().selectAllChildren(this.line);
		dom.content(this.copied, [ document.execCommand('copy') ? _('copied') : _('press Ctrl+C') ]);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
