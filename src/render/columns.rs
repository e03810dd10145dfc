//! Cells to columns of a terminal.

/// Cells are shown up to so many characters.
const WIDEST: usize = 500;

/// Lays out cells in columns; the last column is not padded. What a terminal would obey in a cell
/// becomes a mark, and what is very long is cut.
pub fn columns(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| shown(cell)).collect())
        .collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..count)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = widths[column] - cell.chars().count() + 2;
            line.push_str(cell);
            line.push_str(&" ".repeat(padding));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Returns lines with nothing in them that a terminal would obey.
pub fn plain(lines: &str) -> String {
    lines.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}

fn shown(cell: &str) -> String {
    let plain = cell.replace(char::is_control, "\u{fffd}");
    if plain.chars().count() <= WIDEST {
        return plain;
    }
    plain.chars().take(WIDEST).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_from_elsewhere_are_laid_out_and_obeyed_by_nothing() {
        let cell = |text: &str| text.to_owned();
        let text = columns(&[
            vec![cell("a\u{1b}[31m\n"), cell("b")],
            vec![cell(&"x".repeat(100_000)), cell("c")],
        ]);
        assert!(text.starts_with("a\u{fffd}[31m\u{fffd} "));
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().all(|line| line.chars().count() < 600));
    }
}
