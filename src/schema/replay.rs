//! Rows that were set aside, checked again.

use std::collections::BTreeMap;

use crate::frame::table::{Table, TableError};
use crate::schema::check::{PartCheck, ROW, RULES};
use crate::schema::rules::{self, ColumnMisfit, RuleFailure};
use crate::schema::types::{Schema, Severity};

/// What came of checking rows again.
#[derive(Debug)]
pub struct ReplayedRows {
    /// The rows that break no rule for which they would be set aside, without their marks.
    pub keeps: Table,
    /// How many rows break each rule that is broken.
    pub broken: BTreeMap<String, u64>,
    /// Columns that are missing or unexpected.
    pub misfits: Vec<ColumnMisfit>,
}

/// Checks rows that were set aside against a schema. A value that repeats within them breaks
/// uniqueness; one that repeats among the rows that went on is not known here.
///
/// # Errors
/// The table is no quarantine.
pub fn replay(schema: &Schema, table: &Table) -> Result<ReplayedRows, TableError> {
    let table = table.without(&[ROW.to_owned(), RULES.to_owned()])?;
    let rules = rules::rules(schema);
    let check = PartCheck {
        schema,
        rules: &rules,
        moments: Vec::new(),
        counts_duplicates: false,
    };
    let mut failures = rules::failures(&rules, &table)?;
    let read = rules::coerced(schema, &table)?;
    let (repeated, _) = check.repeated(std::iter::once(check.digests(&table, &read)))?;
    let repeats = repeated.into_values().flatten();
    failures.extend(repeats.map(|(rule, row)| RuleFailure {
        row,
        rule,
        value: String::new(),
    }));
    let (mut broken, mut keep) = (BTreeMap::new(), vec![true; table.height()]);
    for failure in failures {
        let rule = &rules[failure.rule];
        *broken.entry(rule.id()).or_insert(0) += 1;
        keep[failure.row] &= rule.severity == Severity::Warn;
    }
    let keeps = read.filter(&keep)?;
    Ok(ReplayedRows {
        keeps,
        broken,
        misfits: rules::misfits(schema, &table.columns()?),
    })
}
