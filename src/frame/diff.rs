//! What differs between two artifacts: the columns and rows of tables, the lines of texts.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::frame::codec::decode;
use crate::frame::convert::{ArtifactFiles, dataset};
use crate::frame::rows::digests;
use crate::frame::table::Table;

/// At most so many numbers are listed one by one.
const LISTED: usize = 8;

/// Returns lines for people that say what differs; none if the two cannot be compared.
pub fn compare(before: &[u8], after: &[u8]) -> Vec<String> {
    if before.starts_with(b"PAR1") && after.starts_with(b"PAR1") {
        return match (decode(before.to_vec()), decode(after.to_vec())) {
            (Ok(before), Ok(after)) => tables(&before, &after),
            _ => Vec::new(),
        };
    }
    match (std::str::from_utf8(before), std::str::from_utf8(after)) {
        (Ok(before), Ok(after)) => {
            let (before, after) = (
                before.lines().collect::<Vec<_>>(),
                after.lines().collect::<Vec<_>>(),
            );
            vec![places("line", &before, &after)]
        }
        _ => Vec::new(),
    }
}

/// Returns lines that say in which columns and rows two datasets differ; `None` if the files are
/// something else.
pub fn datasets(before: &ArtifactFiles, after: &ArtifactFiles) -> Option<Vec<String>> {
    match (dataset(before)?, dataset(after)?) {
        (Ok(before), Ok(after)) => Some(tables(&before, &after)),
        _ => None,
    }
}

fn tables(before: &Table, after: &Table) -> Vec<String> {
    let columns = |table: &Table| -> BTreeMap<String, &'static str> {
        let kind = |name: &str| {
            table
                .column_type(name)
                .map_or("other", |kind| kind.as_str())
        };
        table
            .names()
            .into_iter()
            .map(|name| (name.clone(), kind(&name)))
            .collect()
    };
    let (old, new) = (columns(before), columns(after));
    let mut lines = Vec::new();
    lines.extend(
        new.keys()
            .filter(|name| !old.contains_key(*name))
            .map(|name| format!("the column `{name}` is new")),
    );
    lines.extend(
        old.keys()
            .filter(|name| !new.contains_key(*name))
            .map(|name| format!("the column `{name}` is gone")),
    );
    for (name, kind) in &old {
        match new.get(name) {
            Some(now) if now != kind => {
                lines.push(format!("the column `{name}` was {kind} and is {now}"))
            }
            _ => {}
        }
    }
    let of_one = |mine: &BTreeMap<String, _>, other: &BTreeMap<String, _>| -> Vec<String> {
        mine.keys()
            .filter(|name| !other.contains_key(*name))
            .cloned()
            .collect()
    };
    let (only_old, only_new) = (of_one(&old, &new), of_one(&new, &old));
    let rows = |table: &Table, except: &[String]| {
        let except: Vec<&str> = except.iter().map(String::as_str).collect();
        digests(table, &except).ok()
    };
    if let (Some(old), Some(new)) = (rows(before, &only_old), rows(after, &only_new)) {
        lines.push(places("row", &old, &new));
    }
    lines
}

/// Says where two lists differ: what is the same at both ends is left out.
fn places<T: PartialEq>(what: &str, before: &[T], after: &[T]) -> String {
    let same = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let (old, new) = (&before[same..], &after[same..]);
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
    let of = |part: &[T]| span(what, same..same + part.len());
    match (old.len(), new.len()) {
        (0, 0) => format!(
            "all {} {what}s are the same, and differently written",
            before.len()
        ),
        (0, added) => format!(
            "{} added: {} of {}",
            many(added, what),
            of(new),
            after.len()
        ),
        (gone, 0) => format!("{} gone: {} of {}", many(gone, what), of(old), before.len()),
        (one, other) if one == other => {
            let differ = old.iter().zip(new).enumerate().filter(|(_, (a, b))| a != b);
            let changed: Vec<usize> = differ.map(|(at, _)| same + at + 1).collect();
            let listed: Vec<String> = changed
                .iter()
                .take(LISTED)
                .map(ToString::to_string)
                .collect();
            let more = if changed.len() > LISTED { ", …" } else { "" };
            format!(
                "{} of {} changed: {what} {}{more}",
                many(changed.len(), what),
                after.len(),
                listed.join(", ")
            )
        }
        _ => format!("{} became {}", of(old), of(new)),
    }
}

fn many(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Names a range of things that are counted from one.
fn span(what: &str, range: Range<usize>) -> String {
    match range.len() {
        1 => format!("{what} {}", range.start + 1),
        _ => format!("{what}s {} to {}", range.start + 1, range.end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_are_named_by_their_numbers() {
        let say = |before: &str, after: &str| compare(before.as_bytes(), after.as_bytes()).concat();
        assert_eq!(say("a\nb\nc\n", "a\nB\nc\n"), "1 line of 3 changed: line 2");
        assert_eq!(
            say("a\nb\nc\nd\n", "x\nb\nc\ny\n"),
            "2 lines of 4 changed: line 1, 4"
        );
        assert_eq!(
            say("a\nb\n", "a\nb\nc\nd\n"),
            "2 lines added: lines 3 to 4 of 4"
        );
        assert_eq!(say("a\nb\nc\n", "a\nc\n"), "1 line gone: line 2 of 3");
        assert_eq!(
            say("a\nb\n", "x\ny\nz\n"),
            "lines 1 to 2 became lines 1 to 3"
        );
        assert_eq!(
            say("a\n", "a"),
            "all 1 lines are the same, and differently written"
        );
        assert_eq!(compare(b"\xff", b"a"), Vec::<String>::new());
    }

    #[test]
    fn rows_and_columns_of_tables_are_compared() {
        let table = |a: &[f64], b: Option<&[f64]>| {
            let mut columns = vec![("a".to_owned(), a.to_vec())];
            columns.extend(b.map(|b| ("b".to_owned(), b.to_vec())));
            Table::of_numbers(columns).unwrap()
        };
        let say = |before: &Table, after: &Table| tables(before, after);
        let plain = table(&[1.0, 2.0, 3.0], None);
        assert_eq!(
            say(&plain, &table(&[1.0, 5.0, 3.0], None)),
            ["1 row of 3 changed: row 2"]
        );
        assert_eq!(
            say(&plain, &table(&[1.0, 2.0, 3.0], Some(&[0.0; 3]))),
            [
                "the column `b` is new",
                "all 3 rows are the same, and differently written"
            ]
        );
        assert_eq!(
            say(&plain, &table(&[1.0, 2.0, 3.0, 4.0], None)),
            ["1 row added: row 4 of 4"]
        );
    }
}
