'use strict';
'require baseclass';
'require ui';

// LuCI's sortable table, for the keyboard too, and with the column's order told to screen readers.

const DIRECTIONS = { asc: 'ascending', desc: 'descending' };

function tellOrder(headings) {
	for (const heading of headings) {
		const direction = DIRECTIONS[heading.getAttribute('data-sort-direction')];

		if (direction)
			heading.setAttribute('aria-sort', direction);
		else
			heading.removeAttribute('aria-sort');
	}
}

// A name has up to 255 characters without a space: words that long are broken, and others are not.
const LONG_WORD = /\S{25}/;
const BROKEN = 'display:inline-block; max-width:min(24em, 40vw); overflow-wrap:break-word';

// Texts become text nodes in a node: LuCI takes a bare text for HTML, and names come from other people's rosters.
function cell(value) {
	const [ key, shown ] = Array.isArray(value) ? value : [ `${value}`, value ];

	if (shown instanceof Node)
		return [ key, shown ];
	return [ key, E('span', { 'style': LONG_WORD.test(shown) ? BROKEN : null }, [ `${shown}` ]) ];
}

return baseclass.extend({
	// A table with these columns, and what it says without rows. `update` takes rows: lists of cells, each a text or
	// `[sort key, text or node]`.
	create: function(id, captions, placeholder) {
		const table = new ui.Table(captions, { id: id }, E('em', [ placeholder ]));
		const node = table.render();
		const headings = [ ...node.querySelectorAll('th') ];

		for (const heading of headings) {
			heading.setAttribute('scope', 'col');
			heading.setAttribute('tabindex', '0');
			heading.addEventListener('keydown', (event) => {
				if (event.key != 'Enter' && event.key != ' ')
					return;
				event.preventDefault();
				heading.click();
			});
		}
		node.addEventListener('click', () => tellOrder(headings));
		tellOrder(headings);
		return {
			node: node,
			update: (rows) => {
				table.update(rows.map((row) => row.map(cell)), E('em', [ placeholder ]));
				tellOrder(headings);
			}
		};
	}
});
