//! Tables with aligned columns.

use super::output::{Output, Paint, Painted};

/// Which way a column leans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lean {
    Left,
    Right,
}

/// A table: a head and rows of the same length.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<(&'static str, Lean)>,
    rows: Vec<Vec<(String, Option<Paint>)>>,
}

impl Table {
    /// A table with these columns. Without a name in any there is no head.
    pub(super) fn new(columns: &[(&'static str, Lean)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into_iter().map(|cell| (cell, None)).collect());
    }

    /// Paints a cell of the last row.
    pub(super) fn paint(&mut self, column: usize, paint: Paint) {
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.get_mut(column)) {
            cell.1 = Some(paint);
        }
    }

    /// Adds the table to what is printed, each line after `indent` spaces.
    pub(super) fn print(&self, output: &mut Output, indent: usize) {
        let width = |column: usize| {
            let cells =
                self.rows.iter().filter_map(|row| row.get(column)).map(|(cell, _)| cell.chars().count());
            cells.chain([self.columns[column].0.len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        if self.columns.iter().any(|(name, _)| !name.is_empty()) {
            let head: Vec<_> =
                self.columns.iter().map(|(name, _)| ((*name).to_owned(), Some(Paint::Head))).collect();
            self.print_row(output, &head, &widths, indent);
        }
        for row in &self.rows {
            self.print_row(output, row, &widths, indent);
        }
    }

    fn print_row(
        &self,
        output: &mut Output,
        row: &[(String, Option<Paint>)],
        widths: &[usize],
        indent: usize,
    ) {
        let mut line = " ".repeat(indent);
        for (column, (cell, paint)) in row.iter().enumerate() {
            let (_, lean) = self.columns[column];
            let room = " ".repeat(widths[column] - cell.chars().count());
            let painted =
                paint.map_or_else(|| cell.clone(), |paint| self.painted(output, paint, cell).to_string());
            let last = column + 1 == row.len();
            match lean {
                Lean::Right => line.extend([room.as_str(), &painted]),
                Lean::Left if last => line.push_str(&painted),
                Lean::Left => line.extend([painted.as_str(), &room]),
            }
            if !last {
                line.push_str("  ");
            }
        }
        output.line(line.trim_end());
    }

    fn painted<'c>(&self, output: &Output, paint: Paint, cell: &'c str) -> Painted<&'c str> {
        output.paint(paint, cell)
    }
}
