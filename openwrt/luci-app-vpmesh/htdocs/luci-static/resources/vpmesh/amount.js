'use strict';
'require baseclass';

// Amounts as `vpmesh status` prints them (src/cli/amount.rs).

const UNITS = [ 'kB', 'MB', 'GB', 'TB', 'PB' ];

function two(large, largeUnit, small, smallUnit) {
	return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

return baseclass.extend({
	// Seconds: `5 s`, `3 min 12 s`, `2 h 5 min`, `4 d 7 h`.
	time: function(seconds) {
		const whole = Math.floor;

		if (seconds < 60)
			return `${seconds} s`;
		if (seconds < 3600)
			return two(whole(seconds / 60), 'min', seconds % 60, 's');
		if (seconds < 86400)
			return two(whole(seconds / 3600), 'h', whole(seconds % 3600 / 60), 'min');
		return two(whole(seconds / 86400), 'd', whole(seconds % 86400 / 3600), 'h');
	},

	// `999 B`, `1.4 kB`, `23.0 MB`.
	bytes: function(bytes) {
		if (bytes < 1000)
			return `${bytes} B`;

		// Tenths of the unit, so that no rounding makes 1000.0 of one.
		let tenths = Math.floor(bytes / 100);
		let unit = 0;

		for (; tenths >= 10000 && unit + 1 < UNITS.length; unit++)
			tenths = Math.floor(tenths / 1000);
		return `${Math.floor(tenths / 10)}.${tenths % 10} ${UNITS[unit]}`;
	}
});
