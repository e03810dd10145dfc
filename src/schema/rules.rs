//! The rules of a schema, one by one, and the rows of a table that break them.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::nearest::suggest;
use crate::frame::cell::{Cell, read_float};
use crate::frame::table::{ColumnType, Table, TableError};
use crate::schema::expression::Expression;
use crate::schema::types::{ColumnRule, Schema, Severity};

/// One rule about rows.
#[derive(Clone, Debug)]
pub struct SchemaRule {
    /// The column; none for a condition between columns.
    pub column: Option<String>,
    /// What it is called: `min`, or the name of the condition.
    pub name: String,
    /// What it asks, in words.
    pub asks: String,
    /// What happens to rows that break it.
    pub severity: Severity,
    /// The share of rows that may break it; more, and the table is refused (or, of `warn`, told
    /// of).
    pub at_most: Option<f64>,
    test: RuleTest,
}

#[derive(Clone, Debug)]
enum RuleTest {
    Type(ColumnType, bool),
    Null,
    Nan,
    Infinite,
    Allowed(HashSet<String>, Vec<f64>),
    Min(f64),
    Max(f64),
    Regex(regex::Regex),
    MinLength(u64),
    MaxLength(u64),
    /// Judged over the whole table: see `Rule::is_unique`.
    Unique,
    Condition(Expression),
}

/// A row that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFailure {
    /// The row, counted from zero within its part.
    pub row: usize,
    /// The number of the rule.
    pub rule: usize,
    /// The value that breaks it, as text.
    pub value: String,
}

/// A column that is not as the schema says, whatever is in its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ColumnMisfit {
    /// The column.
    pub column: String,
    /// `missing` or `unexpected`.
    pub rule: String,
    /// What is so.
    pub message: String,
}

impl SchemaRule {
    /// Returns the name with the column.
    pub fn id(&self) -> String {
        match &self.column {
            Some(column) => format!("{column}.{}", self.name),
            None => self.name.clone(),
        }
    }

    /// Returns whether it asks that no value stands twice: what one part of a table cannot tell.
    pub fn is_unique(&self) -> bool {
        matches!(self.test, RuleTest::Unique)
    }
}

/// Returns the rules of a schema, in the order of the file.
pub fn rules(schema: &Schema) -> Vec<SchemaRule> {
    let columns = schema.columns.iter().flat_map(of_column);
    let rows = schema.rows.iter().map(|rule| SchemaRule {
        column: None,
        name: rule.name.clone(),
        asks: format!("such that {}", rule.text),
        severity: rule.severity,
        at_most: rule.at_most,
        test: RuleTest::Condition(rule.check.clone()),
    });
    columns.chain(rows).collect()
}

/// Returns the rules of a column.
pub(super) fn of_column(column: &ColumnRule) -> Vec<SchemaRule> {
    let mut rules = Vec::new();
    let mut add = |name: &str, asks: String, test: RuleTest| {
        let severity = column
            .severity
            .get(name)
            .or(column.severity.get(""))
            .copied()
            .unwrap_or(Severity::Quarantine);
        let at_most = column.at_most.get(name).or(column.at_most.get("")).copied();
        rules.push(SchemaRule {
            column: Some(column.name.clone()),
            name: name.to_owned(),
            asks,
            severity,
            at_most,
            test,
        });
    };
    let of_type = match column.kind {
        ColumnType::Int => "a whole number",
        ColumnType::Float => "a number",
        ColumnType::Bool => "a truth value",
        ColumnType::Time => "a moment",
        _ => "text",
    };
    add(
        "type",
        of_type.to_owned(),
        RuleTest::Type(column.kind, column.coerce),
    );
    if !column.nullable {
        add("null", "present".to_owned(), RuleTest::Null);
    }
    if column.kind == ColumnType::Float && !column.nan {
        add("nan", "a number".to_owned(), RuleTest::Nan);
    }
    if column.kind == ColumnType::Float && !column.infinite {
        add("infinite", "finite".to_owned(), RuleTest::Infinite);
    }
    if let Some(allowed) = &column.allowed {
        let numbers = allowed
            .iter()
            .filter_map(|value| read_float(value))
            .collect();
        add(
            "allowed",
            format!("one of {}", allowed.join(", ")),
            RuleTest::Allowed(allowed.iter().cloned().collect(), numbers),
        );
    }
    if let Some(min) = column.min {
        add(
            "min",
            format!("at least {}", show(min, column.kind)),
            RuleTest::Min(min),
        );
    }
    if let Some(max) = column.max {
        add(
            "max",
            format!("at most {}", show(max, column.kind)),
            RuleTest::Max(max),
        );
    }
    if let Some(regex) = &column.regex {
        add(
            "regex",
            format!(
                "matching {}",
                regex
                    .as_str()
                    .trim_start_matches("^(?:")
                    .trim_end_matches(")$")
            ),
            RuleTest::Regex(regex.clone()),
        );
    }
    if let Some(least) = column.min_length {
        add(
            "min_length",
            format!("at least {least} characters"),
            RuleTest::MinLength(least),
        );
    }
    if let Some(most) = column.max_length {
        add(
            "max_length",
            format!("at most {most} characters"),
            RuleTest::MaxLength(most),
        );
    }
    if column.unique {
        add(
            "unique",
            "different from all earlier ones".to_owned(),
            RuleTest::Unique,
        );
    }
    rules
}

fn show(bound: f64, kind: ColumnType) -> String {
    if kind == ColumnType::Time {
        crate::frame::table::show_time(bound as i64)
    } else {
        bound.to_string()
    }
}

/// Returns the columns that are not as the schema says: missing or unexpected.
pub fn misfits(schema: &Schema, columns: &[(String, ColumnType)]) -> Vec<ColumnMisfit> {
    let mut found = Vec::new();
    let names = || columns.iter().map(|(name, _)| name.as_str());
    for rule in &schema.columns {
        if !names().any(|name| name == rule.name) {
            let help = suggest(&rule.name, names()).unwrap_or_default();
            let message = format!("the column is missing: {help}");
            found.push(ColumnMisfit {
                column: rule.name.clone(),
                rule: "missing".to_owned(),
                message,
            });
        }
    }
    for name in names() {
        if !schema.others && !schema.columns.iter().any(|rule| rule.name == name) {
            let message =
                "the schema does not know this column (`other_columns: allow` lets it pass)"
                    .to_owned();
            found.push(ColumnMisfit {
                column: name.to_owned(),
                rule: "unexpected".to_owned(),
                message,
            });
        }
    }
    for rule in &schema.rows {
        for name in rule.check.columns() {
            if !names().any(|column| column == name) {
                let help = suggest(&name, names()).unwrap_or_default();
                let message = format!(
                    "the condition `{}` needs this column, and it is missing: {help}",
                    rule.name
                );
                found.push(ColumnMisfit {
                    column: name,
                    rule: "missing".to_owned(),
                    message,
                });
            }
        }
    }
    found
}

/// A column, read once for all of its rules.
struct RuleColumn<'t> {
    table: &'t Table,
    kind: ColumnType,
    missing: Vec<bool>,
    numbers: Vec<f64>,
    texts: Vec<Option<String>>,
}

impl<'t> RuleColumn<'t> {
    /// Reads a column as its rule asks; text that does not read as the type is in the second list.
    fn read(
        table: &'t Table,
        name: &str,
        asked: ColumnType,
        coerce: bool,
    ) -> Result<(Self, Vec<bool>), TableError> {
        let found = table.column_type(name)?;
        let missing = table.missing(name)?;
        let mut unfit = vec![false; table.height()];
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        let fits = match (asked, found) {
            (_, ColumnType::Empty) => true,
            (ColumnType::Int | ColumnType::Float, found) => found.is_numeric(),
            (asked, found) => asked == found,
        };
        match (fits, found) {
            (true, ColumnType::Text) => texts = table.texts(name)?,
            (true, ColumnType::Empty) => {}
            (true, ColumnType::Time) => {
                numbers = table
                    .times(name)?
                    .into_iter()
                    .map(|ms| ms.map_or(f64::NAN, |ms| ms as f64))
                    .collect();
            }
            (true, _) => numbers = table.numbers(name)?,
            (false, ColumnType::Text) if coerce => {
                let cells = table.texts(name)?;
                let read = |cell: &Option<String>| Cell::read(cell.as_ref()?, asked);
                let cells: Vec<Option<Cell>> = cells.iter().map(read).collect();
                unfit = cells
                    .iter()
                    .zip(&missing)
                    .map(|(cell, missing)| cell.is_none() && !missing)
                    .collect();
                numbers = cells
                    .iter()
                    .map(|cell| cell.as_ref().map_or(f64::NAN, as_number))
                    .collect();
            }
            (false, _) => unfit = missing.iter().map(|missing| !missing).collect(),
        }
        if asked == ColumnType::Int {
            for (unfit, number) in unfit.iter_mut().zip(&numbers) {
                *unfit |= number.is_finite() && number.fract() != 0.0 || number.is_infinite();
            }
        }
        Ok((
            Self {
                table,
                kind: asked,
                missing,
                numbers,
                texts,
            },
            unfit,
        ))
    }

    fn show(&self, name: &str, row: usize) -> Result<String, TableError> {
        if self.missing[row] {
            return Ok("missing".to_owned());
        }
        match self.numbers.get(row) {
            Some(number)
                if self.kind != ColumnType::Time
                    && !self.table.column_type(name)?.eq(&ColumnType::Text) =>
            {
                Ok(number.to_string())
            }
            _ => Ok(self
                .table
                .slice(row, 1)
                .texts(name)?
                .remove(0)
                .unwrap_or_else(|| "NaN".to_owned())),
        }
    }
}

fn as_number(cell: &Cell) -> f64 {
    match cell {
        Cell::Int(number) | Cell::Time(number) => *number as f64,
        Cell::Whole(number) => *number as f64,
        Cell::Float(number) => *number,
        Cell::Bool(flag) => f64::from(u8::from(*flag)),
        Cell::Missing | Cell::Text(_) => f64::NAN,
    }
}

/// Returns every row of a table that breaks a rule, with each of the rules it breaks, ordered by
/// rule and row. Rules about columns that are not there and rules about uniqueness are passed over.
///
/// # Errors
/// A column cannot be read.
pub fn failures(rules: &[SchemaRule], table: &Table) -> Result<Vec<RuleFailure>, TableError> {
    let mut found = Vec::new();
    let mut current: Option<(String, RuleColumn<'_>, Vec<bool>)> = None;
    for (number, rule) in rules.iter().enumerate() {
        if let RuleTest::Condition(check) = &rule.test {
            if check.columns().iter().all(|name| table.has(name)) {
                let about =
                    |TableError(why)| TableError(format!("the condition `{}`: {why}", rule.name));
                let bound = check.bind(table).map_err(about)?;
                let broken = (0..table.height()).filter(|row| check.is_broken(&bound, *row));
                found.extend(broken.map(|row| RuleFailure {
                    row,
                    rule: number,
                    value: bound.show(row),
                }));
            }
            continue;
        }
        let Some(name) = rule.column.as_deref().filter(|name| table.has(name)) else {
            continue;
        };
        if let RuleTest::Type(kind, coerce) = rule.test {
            let (column, unfit) = RuleColumn::read(table, name, kind, coerce)?;
            current = Some((name.to_owned(), column, unfit));
        }
        let Some((_, column, unfit)) = current.as_ref().filter(|(current, ..)| current == name)
        else {
            continue;
        };
        for row in broken(&rule.test, column, unfit) {
            found.push(RuleFailure {
                row,
                rule: number,
                value: column.show(name, row)?,
            });
        }
    }
    Ok(found)
}

/// Returns the rows of a column that break a test. What is missing or not of the type breaks only
/// the tests for that.
fn broken(test: &RuleTest, column: &RuleColumn<'_>, unfit: &[bool]) -> Vec<usize> {
    let rows =
        |breaks: &dyn Fn(usize) -> bool| (0..unfit.len()).filter(|row| breaks(*row)).collect();
    let numbers = |breaks: &dyn Fn(f64) -> bool| {
        let is_broken = |(row, number): (usize, &f64)| {
            (!column.missing[row] && !unfit[row] && breaks(*number)).then_some(row)
        };
        column
            .numbers
            .iter()
            .enumerate()
            .filter_map(is_broken)
            .collect()
    };
    let texts = |breaks: &dyn Fn(&str) -> bool| {
        let is_broken = |(row, text): (usize, &Option<String>)| {
            text.as_deref().is_some_and(breaks).then_some(row)
        };
        column
            .texts
            .iter()
            .enumerate()
            .filter_map(is_broken)
            .collect::<Vec<_>>()
    };
    match test {
        RuleTest::Type(..) => rows(&|row| unfit[row]),
        RuleTest::Null => rows(&|row| column.missing[row]),
        RuleTest::Nan => numbers(&f64::is_nan),
        RuleTest::Infinite => numbers(&f64::is_infinite),
        RuleTest::Min(min) => numbers(&|number| number < *min),
        RuleTest::Max(max) => numbers(&|number| number > *max),
        RuleTest::Allowed(_, allowed)
            if column.texts.is_empty() && column.kind != ColumnType::Bool =>
        {
            numbers(&|number| !number.is_nan() && !allowed.contains(&number))
        }
        RuleTest::Allowed(allowed, _) if column.kind == ColumnType::Bool => {
            numbers(&|number| !allowed.contains(if number == 0.0 { "false" } else { "true" }))
        }
        RuleTest::Allowed(allowed, _) => texts(&|text| !allowed.contains(text)),
        RuleTest::Regex(regex) => texts(&|text| !regex.is_match(text)),
        RuleTest::MinLength(least) => texts(&|text| (text.chars().count() as u64) < *least),
        RuleTest::MaxLength(most) => texts(&|text| text.chars().count() as u64 > *most),
        RuleTest::Unique | RuleTest::Condition(_) => Vec::new(),
    }
}

/// Returns a table in which every column that a schema reads from text (`coerce`) has its type;
/// what does not read as it is missing.
///
/// # Errors
/// A column cannot be read.
pub fn coerced(schema: &Schema, table: &Table) -> Result<Table, TableError> {
    let mut types = std::collections::BTreeMap::new();
    for rule in schema
        .columns
        .iter()
        .filter(|rule| rule.coerce && table.has(&rule.name))
    {
        if table.column_type(&rule.name)? == ColumnType::Text && rule.kind != ColumnType::Text {
            types.insert(rule.name.clone(), rule.kind);
        }
    }
    if types.is_empty() {
        Ok(table.clone())
    } else {
        crate::frame::build::retyped(table, &types)
    }
}
