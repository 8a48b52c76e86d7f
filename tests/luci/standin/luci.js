'use strict';

// A stand-in for LuCI's runtime: as much of it as the pages of vpmesh use, behaving as LuCI 2024 to 2026 does, its traps
// included: a bare text among the children of E() is HTML. `make test-luci LUCI=FOLDER` runs the same tests on the real one.

const dom = {
	elem: (thing) => thing instanceof Node,

	append: (node, children) => {
		if (Array.isArray(children)) {
			for (const child of children)
				if (dom.elem(child))
					node.appendChild(child);
				else if (child != null)
					node.appendChild(document.createTextNode(`${child}`));
		}
		else if (dom.elem(children))
			node.appendChild(children);
		else if (children != null)
			node.innerHTML = `${children}`;
	},

	content: (node, children) => {
		node.replaceChildren();
		dom.append(node, children);
	}
};

function E(name, attributes, children) {
	const node = document.createElement(name);

	if (Array.isArray(attributes) || dom.elem(attributes) || typeof attributes == 'string')
		[ attributes, children ] = [ {}, attributes ];
	for (const [ key, value ] of Object.entries(attributes ?? {}))
		if (typeof value == 'function')
			node.addEventListener(key, value);
		else if (value != null)
			node.setAttribute(key, value);
	dom.append(node, children);
	return node;
}

const baseclass = {
	extend: (members) => {
		const derived = class { constructor() { this.__init__?.(); } };

		Object.assign(derived.prototype, members);
		return derived;
	}
};

let requests = 0;

const rpc = {
	declare: (options) => (...values) => {
		const params = Object.fromEntries((options.params ?? []).map((name, i) => [ name, values[i] ]));
		const message = { jsonrpc: '2.0', id: ++requests, method: 'call',
			params: [ L.env.sessionid, options.object, options.method, params ] };

		return fetch(L.env.ubuspath, { method: 'POST', body: JSON.stringify(message) })
			.then((response) => response.json())
			.then(({ result: [ code, data ] }) => {
				if (code == 0)
					return data;
				if (options.reject)
					throw new Error(`RPC call to ${options.object}/${options.method} failed with ubus code ${code}: `
						+ `${{ 4: 'Resource not found', 6: 'Permission denied' }[code] ?? 'Unknown error'}`);
				return {};
			});
	}
};

const poll = {
	add: (run, seconds) => {
		let done = true;
		const step = () => {
			if (!done)
				return;
			done = false;
			Promise.resolve(run()).finally(() => { done = true; });
		};

		step();
		setInterval(step, seconds * 1000);
	}
};

// Loaded sections, and what is not saved yet.
const uci = {
	values: {},
	changed: {},
	added: {},
	call: (method, params) => rpc.declare({ object: 'uci', method, params: Object.keys(params), reject: true })(...Object.values(params)),
	load: (config) => uci.values[config] ? Promise.resolve()
		: uci.call('get', { config }).then((answer) => { uci.values[config] = answer.values; }),
	get: (config, section, option) => {
		const found = Object.assign({}, uci.values[config]?.[section], uci.changed[section]);

		if (option != null)
			return found[option];
		return (uci.values[config]?.[section] || uci.added[section]) ? found : null;
	},
	add: (config, type, name) => { uci.added[name] = { config, type }; return name; },
	set: (config, section, option, value) => { (uci.changed[section] ??= {})[option] = value; },
	// What is not there needs no taking away.
	unset: (config, section, option) => {
		if (uci.values[config]?.[section]?.[option] != null)
			(uci.changed[section] ??= {})[option] = null;
		else
			delete uci.changed[section]?.[option];
	},
	save: (config) => {
		const tasks = Object.entries(uci.added).map(([ name, { type } ]) => {
			const values = uci.changed[name] ?? {};

			delete uci.changed[name];
			return uci.call('add', { config, type, name, values });
		});

		for (const [ section, options ] of Object.entries(uci.changed)) {
			const set = Object.entries(options).filter(([ , value ]) => value != null);
			const unset = Object.keys(options).filter((key) => options[key] == null);

			if (set.length)
				tasks.push(uci.call('set', { config, section, values: Object.fromEntries(set) }));
			if (unset.length)
				tasks.push(uci.call('delete', { config, section, options: unset }));
		}
		uci.added = {};
		uci.changed = {};
		return Promise.all(tasks);
	}
};

class Table {
	constructor(captions, options, placeholder) {
		const heads = captions.map((caption) => E('th', { 'class': 'th', 'data-sortable-row': true }, [ caption ]));

		this.head = E('tr', { 'class': 'tr table-titles', 'click': (event) => this.sort(heads.indexOf(event.target)) }, heads);
		this.heads = heads;
		this.node = E('table', { 'id': options.id, 'class': 'table' }, [ this.head ]);
		this.placeholder = placeholder;
		this.update([]);
	}

	sort(column) {
		if (column < 0)
			return;
		this.sorting = [ column, this.heads[column].getAttribute('data-sort-direction') == 'asc' ];
		this.update(this.data, this.placeholder);
	}

	update(data, placeholder) {
		if (this.sorting) {
			const [ column, down ] = this.sorting;
			const compare = new Intl.Collator(undefined, { numeric: true }).compare;

			data.sort((a, b) => (down ? -1 : 1) * compare(String(a[column]), String(b[column])));
			this.heads.forEach((head, i) => (i == column)
				? head.setAttribute('data-sort-direction', down ? 'desc' : 'asc') : head.removeAttribute('data-sort-direction'));
		}
		this.data = data;
		this.placeholder = placeholder;
		const rows = data.map((row) => E('tr', { 'class': 'tr' }, row.map((cell, i) => E('td', {
			'class': 'td', 'data-title': this.heads[i].innerText.trim(), 'data-value': Array.isArray(cell) ? cell[0] : null
		}, Array.isArray(cell) ? cell[1] : cell))));

		while (this.node.lastChild != this.head)
			this.node.lastChild.remove();
		this.node.append(...(rows.length ? rows
			: [ E('tr', { 'class': 'tr placeholder' }, [ E('td', { 'class': 'td' }, placeholder) ]) ]));
	}

	render() {
		return this.node;
	}
}

const ui = {
	Table,
	addNotification: (title, children, ...classes) => {
		const message = E('div', { 'class': [ 'alert-message', ...classes ].join(' ') });

		dom.append(message, E('h4', {}, title));
		dom.append(message, children);
		document.getElementById('maincontent').prepend(message);
	},
	instantiateView: (path) => L.require(`view.${path.replaceAll('/', '.')}`).catch(L.error)
};

const view = {
	extend: (members) => baseclass.extend(Object.assign({
		__init__: function() {
			Promise.resolve(this.load?.()).then((data) => this.render(data)).then((node) => {
				const place = document.getElementById('view');

				dom.content(place, node);
				if (this.handleSave !== null)
					place.append(E('div', { 'class': 'cbi-page-actions' }, [
						E('button', { 'class': 'btn cbi-button cbi-button-save', 'click': () => form.save() }, [ 'Save' ])
					]));
			}).catch(L.error);
		}
	}, members))
};

// Forms: one map, named sections, flags and values.
class Option {
	constructor(map, section, key, title, help) {
		Object.assign(this, { map, section, key, title, help, rmempty: true, optional: false });
	}

	id() {
		return `widget.cbid.${this.map.config}.${this.section}.${this.key}`;
	}

	saved() {
		return uci.get(this.map.config, this.section, this.key) ?? this.default;
	}

	// Why the value is refused; empty: it is not.
	fault() {
		const value = this.value();

		if (value == '' && !this.optional)
			return 'non-empty value';
		const say = this.validate ? this.validate(this.section, value) : true;

		return (say === true) ? '' : say;
	}

	check() {
		const fault = this.fault();

		this.input.classList.toggle('cbi-input-invalid', fault != '');
		if (fault)
			this.input.setAttribute('data-tooltip', fault);
		else
			this.input.removeAttribute('data-tooltip');
	}

	store() {
		const value = this.value();

		if (value == (uci.get(this.map.config, this.section, this.key) ?? ''))
			return;
		if (value == '' || (this.rmempty && value == this.default))
			uci.unset(this.map.config, this.section, this.key);
		else
			uci.set(this.map.config, this.section, this.key, value);
	}

	render() {
		this.input = this.widget();
		return E('div', { 'class': 'cbi-value', 'id': `cbi-${this.map.config}-${this.section}-${this.key}` }, [
			E('label', { 'class': 'cbi-value-title', 'for': this.id() }, this.title),
			E('div', { 'class': 'cbi-value-field' }, [
				this.input, E('div', { 'class': 'cbi-value-description' }, this.help)
			])
		]);
	}
}

class Value extends Option {
	value() {
		return this.input.value;
	}

	widget() {
		const check = () => this.check();

		return E('input', { 'type': 'text', 'class': 'cbi-input-text', 'id': this.id(), 'value': this.saved(),
			'placeholder': this.placeholder, 'keyup': check, 'blur': check, 'change': check });
	}
}

// LuCI's list has a box for each text; here they stand in one, with spaces between.
class DynamicList extends Value {
	saved() {
		return [ super.saved() ?? [] ].flat().join(' ');
	}

	texts() {
		return this.value().split(' ').filter((text) => text != '');
	}

	fault() {
		const says = this.texts().map((text) => this.validate ? this.validate(this.section, text) : true);

		return says.find((say) => say !== true) ?? '';
	}

	store() {
		const texts = this.texts();

		if (texts.join(' ') == this.saved())
			return;
		if (texts.length)
			uci.set(this.map.config, this.section, this.key, texts);
		else
			uci.unset(this.map.config, this.section, this.key);
	}
}

class Flag extends Option {
	// LuCI writes a flag whatever it was.
	store() {
		if (this.rmempty && this.value() == this.default)
			uci.unset(this.map.config, this.section, this.key);
		else
			uci.set(this.map.config, this.section, this.key, this.value());
	}

	value() {
		return this.input.checked ? '1' : '0';
	}

	widget() {
		return E('input', { 'type': 'checkbox', 'id': this.id(), 'checked': (this.saved() == '1') ? true : null });
	}
}

class NamedSection {
	constructor(map, name, title) {
		Object.assign(this, { map, name, title, options: [] });
	}

	option(kind, key, title, help) {
		const option = new kind(this.map, this.name, key, title, help);

		this.options.push(option);
		return option;
	}
}

class FormMap {
	constructor(config, title, help) {
		Object.assign(this, { config, title, help, sections: [] });
		form.map = this;
	}

	section(kind, name, type, title) {
		const section = new kind(this, name, title);

		this.sections.push(section);
		return section;
	}

	render() {
		return uci.load(this.config).then(() => E('div', { 'class': 'cbi-map' }, [
			E('h2', {}, this.title), E('div', { 'class': 'cbi-map-descr' }, this.help),
			...this.sections.map((section) => E('div', { 'class': 'cbi-section' }, [
				E('h3', {}, section.title), ...section.options.map((option) => option.render())
			]))
		]));
	}
}

const form = {
	Map: FormMap, NamedSection, Value, DynamicList, Flag,
	save: () => {
		const options = form.map.sections.flatMap((section) => section.options);

		options.forEach((option) => option.check());
		const faults = options.filter((option) => option.fault());

		if (faults.length)
			return ui.addNotification('Save error', faults.map((option) => E('p', [ `${option.title}: ${option.fault()}` ])), 'error');
		options.forEach((option) => option.store());
		return uci.save(form.map.config);
	}
};

const LOADED = { baseclass, dom, form, poll, rpc, ui, uci, view };

class LuCI {
	constructor(env) {
		this.env = env;
	}

	hasViewPermission() {
		return !this.env.nodespec.readonly;
	}

	error(error) {
		document.getElementById('view').replaceChildren(E('p', { 'class': 'alert-message error' }, [ `${error.stack ?? error}` ]));
		throw error;
	}

	// A class file begins with 'require NAME' or 'require NAME as OTHER' lines and returns a class, of which one is made.
	require(name) {
		return Promise.resolve(LOADED[name] ??= fetch(`${this.env.base_url}/${name.replaceAll('.', '/')}.js`)
			.then((response) => response.text())
			.then((source) => {
				const lines = [ ...source.matchAll(/^'require (\S+?)(?: as (\w+))?';$/gm) ];

				return Promise.all(lines.map((line) => this.require(line[1]))).then((classes) => {
					const names = lines.map((line) => line[2] ?? line[1].replaceAll('.', '_'));
					const made = new Function('L', ...names, `${source}\n//# sourceURL=${name}.js`)(this, ...classes);

					return new made();
				});
			}));
	}
}
