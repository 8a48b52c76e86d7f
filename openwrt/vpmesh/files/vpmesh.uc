// The ubus object `vpmesh`: what `/usr/bin/vpmesh … --json` prints, for LuCI and for `ubus call vpmesh status`.
//
// rpcd serves everybody from one thread, so the program runs in a task of its own. No shell is in between: arguments are
// an array, checked here first. Of a table only the largest rows go on: a ubus message has 1 MiB at most. The program
// picks the flows; peers wait in an unnamed file of /tmp and are read line by line. What goes wrong is { "error": "…" }, in
// the words of the program.

'use strict';

import { mkstemp, open, stdin, stdout, stderr } from 'fs';
import { connect } from 'ubus';
import { task } from 'uloop';

const PROGRAM = '/usr/bin/vpmesh';
// What the init script starts the daemon with: it names the control socket.
const CONFIG = '/etc/config/vpmesh';
// Milliseconds; less than the 30 s after which rpcd itself gives up.
const PATIENCE = 20000;
// The daemon serves eight clients at once; the shell keeps some.
const TASKS_MAX = 6;
const ARGUMENT_MAX = 255;
const FLOWS_MAX = 500;
const PEERS_MAX = 500;
const RULES_MAX = 500;

// A node's path, an address, or `internet`; never an option.
const PARTY = /^[0-9A-Za-z:][0-9A-Za-z:.\/-]*$/;
// any, icmp, tcp/PORT, udp/FIRST-LAST, proto/NUMBER.
const SERVICE = /^[0-9A-Za-z][0-9A-Za-z\/-]*$/;

let bus;
let tasks = [];

// The `most` rows with the largest `weight`, largest first, and how many there were. Add with `add`.
function largest(most, weight) {
	let rows = [];
	let total = 0;

	const cut = () => {
		sort(rows, (a, b) => b[0] - a[0]);
		rows = slice(rows, 0, most);
	};

	return {
		add: (row) => {
			total++;
			push(rows, [ weight(row), row ]);
			if (length(rows) >= 2 * most)
				cut();
		},
		finish: () => {
			cut();
			return { total, rows: map(rows, (row) => row[1]) };
		}
	};
}

// Whether all of the text has the form: `^` and `$` match at line breaks too.
const good = (text, form) => type(text) == 'string' && length(text) <= ARGUMENT_MAX && match(text, form)?.[0] == text;

const octets = (one, other) => one.bytes + other.bytes;

// One JSON object.
function whole(out) {
	return json(out.read('all'));
}

// `status`, with the rules that matched most.
function status(out) {
	const answer = whole(out);

	if (type(answer.rules) == 'array') {
		const rules = largest(RULES_MAX, (rule) => rule.matches);
		for (let i = 0; i < length(answer.rules); i++)
			rules.add(answer.rules[i]);
		const most = rules.finish();
		answer.rules = most.rows;
		answer.rules_total = most.total;
	}
	return answer;
}

// A table: `[`, a row a line with a comma behind it, `]`.
function table(most, weight) {
	return (out) => {
		const rows = largest(most, weight);
		let line = out.read('line');

		if (!length(line))
			die('nothing');
		for (; length(line); line = out.read('line'))
			if (substr(line, 0, 1) == '{')
				rows.add(json(rtrim(line, ',\n')));
			else if (index([ '[', ']', '[]' ], trim(line)) < 0)
				die('not a row');
		return rows.finish();
	};
}

// Runs the program, in a process that is nobody else's: its files 1 and 2 are unnamed ones, which the program inherits.
function run(args, read) {
	stdin.close();
	stdout.close();
	stderr.close();
	const files = [ open('/dev/null', 'r'), mkstemp(), mkstemp() ];

	for (let number = 0; number < 3; number++)
		if (files[number]?.fileno() != number)
			return { error: 'no temporary files' };

	const code = system([ PROGRAM, '--config', CONFIG, ...args ], PATIENCE);
	const out = files[1];
	const said = files[2];

	out.seek(0);
	said.seek(0);
	try {
		const answer = read(out);
		if (type(answer) == 'object')
			return answer;
	}
	catch (error) {
		// No JSON: what was said beside it tells why.
	}
	const words = trim(said.read(16384));
	if (length(words))
		return { error: replace(words, /^vpmesh: /, '') };
	return { error: (code == -9) ? `vpmesh did not answer in ${PATIENCE / 1000} s` : `vpmesh ended with ${code}` };
}

// What a method returns when its reply comes later. rpcd before 2026-04 takes nothing but a ubus call under way.
function later(request) {
	if (request.defer)
		return request.defer();

	const call = () => bus?.defer?.('session', 'list', {}, () => {});
	let called = call();

	if (!called) {
		// The first time, or ubus was started again.
		bus = connect();
		called = call();
	}
	return called ?? { error: 'no ubus' };
}

function ask(request, args, read) {
	tasks = filter(tasks, (one) => !one.finished());
	if (length(tasks) >= TASKS_MAX)
		return { error: `${TASKS_MAX} questions are being answered; try again` };

	// The answer goes through a file: a task's own pipe takes no message larger than itself.
	const answer = mkstemp();
	if (!answer)
		return { error: 'no temporary file' };

	// Nothing is ever put in, but without the last function ucode of 2026 leaves a pipe open (uc_uloop_task_clear).
	const one = task(() => {
		answer.write(sprintf('%J', run(args, read)));
		answer.flush();
	}, () => {
		// An exception here would end rpcd's loop: after rpcd's own timeout there is nobody to reply to.
		try {
			answer.seek(0);
			request.reply(json(answer.read('all')));
		}
		catch (error) {}
		answer.close();
	}, () => null);
	if (!one)
		return { error: 'no process' };
	push(tasks, one);

	return later(request);
}

return {
	vpmesh: {
		status: {
			call: (request) => ask(request, [ 'status', '--json' ], status)
		},
		peers: {
			call: (request) => ask(request, [ 'peers', '--json' ],
				table(PEERS_MAX, (peer) => octets(peer.received, peer.sent)))
		},
		flows: {
			call: (request) => ask(request, [ 'flows', '--largest', `${FLOWS_MAX}`, '--json' ], whole)
		},
		explain: {
			args: { from: '', to: '', service: '' },
			call: (request) => {
				const asked = request.args;

				if (!good(asked.from, PARTY) || !good(asked.to, PARTY))
					return { error: 'from and to are a node\'s path, an address, or internet' };
				if (!good(asked.service, SERVICE))
					return { error: 'service is none that there is; write any, icmp, tcp/PORT, udp/FIRST-LAST or proto/NUMBER' };
				return ask(request, [ 'explain', '--json', '--', asked.from, asked.to, asked.service ], whole);
			}
		},
		reload: {
			call: (request) => ask(request, [ 'reload', '--json' ], whole)
		}
	}
};
