//! One part of a table against a schema: the rows that go on, those that are set aside and why.
//!
//! A part is checked by itself. What must not repeat within the whole table is told by digests: a
//! part gives those of its rows, [`PartCheck::repeated`] finds the rows that repeat an earlier one
//! over all parts, and the parts that hold some are checked again with these rows named.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::frame::build::TableBuilder;
use crate::frame::cell::Cell;
use crate::frame::rows;
use crate::frame::table::{ColumnType, Table, TableError};
use crate::schema::rules::{self, RuleFailure, SchemaRule};
use crate::schema::types::{Schema, Severity};

/// The column of a row's number.
pub const ROW: &str = "netsec_row";
/// The column of the rules a row breaks.
pub const RULES: &str = "netsec_rules";

/// Returns the columns of the list of all failures.
pub fn failure_columns() -> Vec<(String, ColumnType)> {
    let text =
        ["column", "rule", "severity", "value"].map(|name| (name.to_owned(), ColumnType::Text));
    [("row".to_owned(), ColumnType::Int)]
        .into_iter()
        .chain(text)
        .collect()
}

/// Returns the columns of the rows that are set aside.
pub fn quarantine_columns(columns: &[(String, ColumnType)]) -> Vec<(String, ColumnType)> {
    let own = [
        (ROW.to_owned(), ColumnType::Int),
        (RULES.to_owned(), ColumnType::Text),
    ];
    own.into_iter().chain(columns.iter().cloned()).collect()
}

/// How many rows break a rule, and the first of them with its value.
pub type RuleTally = (u64, Option<(u64, String)>);

/// Of every part, the rules and rows at which a value repeats an earlier one.
pub type RepeatedValues = BTreeMap<usize, Vec<(usize, usize)>>;

/// What is known of a checked part.
#[derive(Debug, Serialize, Deserialize)]
pub struct PartSummary {
    /// Its rows.
    pub rows: u64,
    /// Of every rule, how many rows break it, and the first.
    pub broken: Vec<RuleTally>,
    /// How many rows go on; none if they are simply all, as they are.
    pub clean: Option<u64>,
    /// The columns of the rows that go on.
    pub columns: Vec<(String, ColumnType)>,
    /// Cells without a value.
    pub missing: u64,
    /// Of every column of which freshness is asked, its latest moment.
    pub latest: Vec<Option<i64>>,
}

/// A part that was checked.
#[derive(Debug)]
pub struct CheckedPart {
    /// What is known of it.
    pub summary: PartSummary,
    /// The rows that go on; none if they are all, as they are.
    pub clean: Option<Table>,
    /// The rows that are set aside; none if no rule is broken.
    pub aside: Option<Table>,
    /// Every failure; none if there is none.
    pub listed: Option<Table>,
    /// Digests of what must not repeat.
    pub digests: Vec<u8>,
}

/// What a part is checked with.
#[derive(Debug)]
pub struct PartCheck<'a> {
    /// The schema.
    pub schema: &'a Schema,
    /// Its rules.
    pub rules: &'a [SchemaRule],
    /// Columns of which freshness is asked.
    pub moments: Vec<String>,
    /// Whether rows that equal an earlier one are counted.
    pub counts_duplicates: bool,
}

impl PartCheck<'_> {
    /// Checks a part of which some rows, with the number of a rule each, are known to repeat a value
    /// of an earlier part.
    ///
    /// # Errors
    /// A column cannot be read as its type.
    pub fn part(
        &self,
        table: &Table,
        repeated: &[(usize, usize)],
    ) -> Result<CheckedPart, TableError> {
        let failures = self.failures(table, repeated)?;
        let (broken, go_on) = self.tally(&failures, table.height());
        let read = rules::coerced(self.schema, table)?;
        let clean = read.filter(&go_on)?;
        let is_same = !go_on.contains(&false) && clean.columns()? == table.columns()?;
        let summary = PartSummary {
            rows: table.height() as u64,
            broken,
            clean: (!is_same).then_some(clean.height() as u64),
            columns: clean.columns()?,
            missing: missing_cells(table)?,
            latest: self.latest(table)?,
        };
        let is_kept = !failures.is_empty();
        let aside = is_kept.then(|| self.aside(table, &failures));
        let listed = is_kept.then(|| self.listed(&failures));
        Ok(CheckedPart {
            summary,
            clean: (!is_same).then_some(clean),
            aside: aside.transpose()?,
            listed: listed.transpose()?,
            digests: self.digests(table, &read)?,
        })
    }

    /// Returns every failure of a part, by rule and row.
    fn failures(
        &self,
        table: &Table,
        repeated: &[(usize, usize)],
    ) -> Result<Vec<RuleFailure>, TableError> {
        let mut failures = rules::failures(self.rules, table)?;
        for &(rule, row) in repeated {
            let column = self.rules[rule].column.as_deref().unwrap_or_default();
            let cell = table.slice(row, 1).texts(column)?.remove(0);
            let value = cell.unwrap_or_default();
            failures.push(RuleFailure { row, rule, value });
        }
        failures.sort_by_key(|failure| (failure.rule, failure.row));
        Ok(failures)
    }

    /// Returns, of every rule, how many rows break it and the first of them; and of every row
    /// whether it goes on.
    fn tally(&self, failures: &[RuleFailure], height: usize) -> (Vec<RuleTally>, Vec<bool>) {
        let mut broken: Vec<RuleTally> = vec![(0, None); self.rules.len()];
        let mut go_on = vec![true; height];
        for RuleFailure { row, rule, value } in failures {
            let (count, first) = &mut broken[*rule];
            *count += 1;
            first.get_or_insert_with(|| (*row as u64, value.clone()));
            go_on[*row] &= self.rules[*rule].severity == Severity::Warn;
        }
        (broken, go_on)
    }

    /// Returns, of every column of which freshness is asked, its latest moment.
    fn latest(&self, table: &Table) -> Result<Vec<Option<i64>>, TableError> {
        let mut latest = Vec::new();
        for name in &self.moments {
            latest.push(match table.has(name) {
                true => table.times(name)?.into_iter().flatten().max(),
                false => None,
            });
        }
        Ok(latest)
    }

    /// The rows that break a rule for which rows are set aside or the table is refused.
    fn aside(&self, table: &Table, failures: &[RuleFailure]) -> Result<Table, TableError> {
        let mut broken: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for failure in failures
            .iter()
            .filter(|failure| self.rules[failure.rule].severity != Severity::Warn)
        {
            broken
                .entry(failure.row)
                .or_default()
                .push(self.rules[failure.rule].id());
        }
        let keep: Vec<bool> = (0..table.height())
            .map(|row| broken.contains_key(&row))
            .collect();
        let rows = broken.keys().map(|row| *row as i64).collect();
        let names = broken
            .values()
            .map(|names| Some(names.join(", ")))
            .collect();
        Table::of_ints(ROW, rows)?
            .beside(&Table::of_texts(RULES, names)?)?
            .beside(&table.filter(&keep)?)
    }

    fn listed(&self, failures: &[RuleFailure]) -> Result<Table, TableError> {
        let mut builder = TableBuilder::default();
        let mut ordered: Vec<&RuleFailure> = failures.iter().collect();
        ordered.sort_by_key(|failure| (failure.row, failure.rule));
        for RuleFailure { row, rule, value } in ordered {
            let rule = &self.rules[*rule];
            let column = rule.column.clone().map_or(Cell::Missing, Cell::Text);
            builder.row(
                String::new(),
                [
                    ("row".to_owned(), Cell::Int(*row as i64)),
                    ("column".to_owned(), column),
                    ("rule".to_owned(), Cell::Text(rule.name.clone())),
                    (
                        "severity".to_owned(),
                        Cell::Text(rule.severity.as_str().to_owned()),
                    ),
                    ("value".to_owned(), Cell::Text(value.clone())),
                ],
            );
        }
        let types = failure_columns().into_iter().collect();
        Ok(builder.finish(&types)?.0)
    }

    /// The columns of which no value may stand twice: the numbers of their rules.
    fn unique(&self) -> impl Iterator<Item = (usize, &str)> {
        let rules = self
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.is_unique());
        rules.filter_map(|(at, rule)| Some((at, rule.column.as_deref()?)))
    }

    /// Of every row 16 bytes of digest: for each column that is unique (zeros for what is missing),
    /// then, if duplicates are counted, for the whole row. `read` is the table as the schema reads it:
    /// what is the same value there is the same, however it is written.
    ///
    /// # Errors
    /// A column cannot be read.
    pub fn digests(&self, table: &Table, read: &Table) -> Result<Vec<u8>, TableError> {
        let mut bytes = Vec::new();
        for (_, name) in self.unique() {
            if !table.has(name) {
                bytes.extend(std::iter::repeat_n(0, 16 * table.height()));
                continue;
            }
            let missing = read.missing(name)?;
            let column = read.shaped(&[(name.to_owned(), read.column_type(name)?)])?;
            for (digest, missing) in rows::digests(&column, &[])?.iter().zip(missing) {
                bytes.extend_from_slice(if missing { &[0; 16] } else { &digest[..16] });
            }
        }
        if self.counts_duplicates {
            rows::digests(table, &[])?
                .iter()
                .for_each(|digest| bytes.extend_from_slice(&digest[..16]));
        }
        Ok(bytes)
    }

    /// Returns the rows that repeat the value of an earlier row, by part, and how many whole rows
    /// do; given the digests of every part.
    ///
    /// # Errors
    /// Those of the digests.
    pub fn repeated<E>(
        &self,
        parts: impl Iterator<Item = Result<Vec<u8>, E>>,
    ) -> Result<(RepeatedValues, u64), E> {
        let unique: Vec<usize> = self.unique().map(|(rule, _)| rule).collect();
        let mut seen: Vec<HashSet<u128>> = vec![HashSet::new(); unique.len()];
        let (mut whole, mut duplicates) = (HashSet::new(), 0);
        let mut repeated = RepeatedValues::new();
        let lists = unique.len() + usize::from(self.counts_duplicates);
        if lists == 0 {
            return Ok((repeated, 0));
        }
        for (at, bytes) in parts.enumerate() {
            let bytes = bytes?;
            let (digests, _) = bytes.as_chunks::<16>();
            let rows = digests.len() / lists;
            for (list, digests) in digests.chunks(rows.max(1)).enumerate() {
                for (row, digest) in digests
                    .iter()
                    .map(|digest| u128::from_le_bytes(*digest))
                    .enumerate()
                {
                    match unique.get(list) {
                        Some(rule) if digest != 0 && !seen[list].insert(digest) => {
                            repeated.entry(at).or_default().push((*rule, row));
                        }
                        Some(_) => {}
                        None => duplicates += u64::from(!whole.insert(digest)),
                    }
                }
            }
        }
        Ok((repeated, duplicates))
    }
}

fn missing_cells(table: &Table) -> Result<u64, TableError> {
    let mut count = 0;
    for name in table.names() {
        let missing = table.missing(&name)?;
        count += missing.into_iter().filter(|missing| *missing).count() as u64;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::parse::parse;

    #[test]
    fn what_reads_as_the_same_value_is_not_unique() {
        let text = b"columns: { i: { type: int, coerce: true, unique: true } }\n".to_vec();
        let Ok(schema) = parse("s.yaml", text) else {
            panic!("the schema is right");
        };
        let rules = rules::rules(&schema);
        let check = PartCheck {
            schema: &schema,
            rules: &rules,
            moments: Vec::new(),
            counts_duplicates: false,
        };
        let cells = ["4", " 4", "5", "x", "x"].map(|cell| Some(cell.to_owned()));
        let table = Table::of_texts("i", cells.to_vec()).expect("a column of text");
        let read = rules::coerced(&schema, &table).expect("every column can be read");
        let digests = check.digests(&table, &read);
        let (repeated, _) = check
            .repeated(std::iter::once(digests))
            .expect("every column can be read");
        let rows: Vec<usize> = repeated[&0].iter().map(|(_, row)| *row).collect();
        assert_eq!(
            rows,
            [1],
            "the second 4; what is no number breaks another rule"
        );
    }
}
