//! Columns for people.

use super::{Tone, paint};

/// Rows of text under headings; each column is as wide as its widest cell.
#[derive(Debug, Default)]
pub(crate) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self {
            headings: headings
                .iter()
                .map(|heading| (*heading).to_owned())
                .collect(),
            rows: Vec::new(),
        }
    }

    /// Facts with their names: two columns without headings.
    pub(crate) fn facts() -> Self {
        Self::new(&["", ""])
    }

    /// Adds a row; it has as many cells as there are headings.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| one_line(&cell)).collect();
        debug_assert_eq!(cells.len(), self.headings.len(), "one cell a heading");
        self.rows.push(cells);
    }

    /// The table as text, its last column unpadded, each line with its end.
    pub(crate) fn render(&self, color: bool) -> String {
        let mut widths: Vec<usize> = self
            .headings
            .iter()
            .map(|heading| heading.chars().count())
            .collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let headings: Vec<String> = self
            .headings
            .iter()
            .map(|heading| heading.to_uppercase())
            .collect();
        let mut text = String::new();
        if headings.iter().any(|heading| !heading.is_empty()) {
            text = paint(color, Tone::Faint, line(&headings, &widths));
            text.push('\n');
        }
        for row in &self.rows {
            text.push_str(&line(row, &widths));
            text.push('\n');
        }
        text
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        text.push_str(cell);
        text.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
    }
    text.truncate(text.trim_end().len());
    text
}

/// A cell never breaks the table: control characters become spaces.
fn one_line(cell: &str) -> String {
    cell.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_a_line_break_in_a_cell_does_not_break_them() {
        let mut table = Table::new(&["app", "release"]);
        table.row(["shop".to_owned(), "v1".to_owned()]);
        table.row(["a-longer-one".to_owned(), "v12\nx".to_owned()]);
        assert_eq!(
            table.render(false),
            "APP           RELEASE\nshop          v1\na-longer-one  v12 x\n"
        );
    }
}
