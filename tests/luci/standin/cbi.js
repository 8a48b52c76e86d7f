'use strict';

// What LuCI's cbi.js gives to pages: `_` and `format`. No translation.

function _(text) {
	return text;
}

String.prototype.format = function(...values) {
	return this.replace(/%([sd%])/g, (all, kind) => {
		if (kind == '%')
			return '%';
		const value = values.shift();

		return (kind == 'd') ? `${Math.trunc(value)}` : `${value}`;
	});
};
