'use strict';

// As much of ucode as openwrt/vpmesh/files/vpmesh.uc uses, for its text to run as JavaScript: a task is a call that comes
// later, and `system` asks the test (router.py). Real ucode and rpcd were tried by hand; this holds what they showed.

const ARRAY = { true: 'array', false: 'object' };
const KINDS = { string: 'string', number: 'int', boolean: 'bool', function: 'function' };

const core = {
	type: (value) => (value == null) ? null : KINDS[typeof value] ?? ARRAY[Array.isArray(value)],
	length: (value) => (value == null) ? null : Array.isArray(value) || typeof value == 'string'
		? value.length : Object.keys(value).length,
	json: JSON.parse,
	sprintf: (form, value) => JSON.stringify(value),
	die: (words) => { throw new Error(words); },
	push: (list, value) => list.push(value),
	sort: (list, order) => list.sort(order),
	slice: (list, from, to) => list.slice(from, to),
	map: (list, change) => list.map(change),
	filter: (list, good) => list.filter(good),
	index: (list, value) => list.indexOf(value),
	substr: (text, from, count) => text.substr(from, count),
	trim: (text) => text.trim(),
	rtrim: (text, these) => {
		let end = text.length;

		for (; these.includes(text[end - 1]) && end; end--);
		return text.slice(0, end);
	},
	// Lines: as POSIX has them.
	match: (text, form) => text.match(new RegExp(form.source, `${form.flags}m`)),
	replace: (text, form, by) => text.replace(form, by)
};

class File {
	constructor(number) {
		Object.assign(this, { number, text: '', at: 0 });
	}
	fileno() { return this.number; }
	seek(to) { this.at = to; }
	write(text) { this.text += text; }
	flush() {}
	close() {}
	read(what) {
		const line = this.text.indexOf('\n', this.at);
		const end = (what == 'all') ? this.text.length
			: (what == 'line') ? ((line < 0) ? this.text.length : line + 1) : this.at + what;
		const part = this.text.slice(this.at, end);

		this.at = end;
		return part;
	}
}

// Loads the plugin; gives `call(method, args)`, a promise of what ubus would answer.
function load(source) {
	let closed = 0;
	let files = [];
	const standard = () => ({ close: () => { closed++; } });
	const modules = {
		fs: {
			stdin: standard(), stdout: standard(), stderr: standard(),
			open: () => files[0] = new File(0),
			mkstemp: () => {
				const file = new File((closed == 3) ? files.length : 99);

				if (closed == 3)
					files.push(file);
				return file;
			}
		},
		ubus: { connect: () => null },
		uloop: {
			task: (run, then) => {
				const state = { finished: () => state.over ?? false };

				setTimeout(() => {
					closed = 0;
					files = [];
					run();
					state.over = true;
					then();
				}, 0);
				return state;
			}
		}
	};
	const system = (argv, milliseconds) => {
		const request = new XMLHttpRequest();

		request.open('POST', '/system', false);
		request.send(JSON.stringify({ argv, milliseconds }));
		const { out, err, code } = JSON.parse(request.responseText);

		files[1].write(out);
		files[2].write(err);
		return code;
	};
	const script = source.replace(/^import (\{.*\}) from '(\w+)';$/gm, "const $1 = modules.$2;");
	const plugin = new Function('modules', 'system', ...Object.keys(core), script)(modules, system, ...Object.values(core));

	return {
		methods: Object.keys(plugin.vpmesh),
		call: (method, args) => new Promise((resolve) => {
			const answer = plugin.vpmesh[method].call({ args: args ?? {}, reply: resolve, defer: () => null });

			if (answer != null)
				resolve(answer);
		})
	};
}
