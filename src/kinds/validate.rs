//! `validate`: rows that keep the schema go on, the others are set aside with the reason.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::base::clock::{self, Clock};
use crate::base::digest::Digest;
use crate::frame::build::{Cell, TableBuilder};
use crate::frame::table::{ColumnType, Table, TableError, read_time};
use crate::frame::{codec, rows};
use crate::kinds::dataset::{Dataset, DatasetWriter, read_kept};
use crate::kinds::quarantine::{QuarantinedRows, ROW, RULES, failure_columns, quarantine_columns};
use crate::schema::parse;
use crate::schema::report::{RuleVerdict, ValidationCounts, ValidationReport};
use crate::schema::rules::{self, RuleFailure, SchemaRule};
use crate::schema::types::{Schema, Severity, TableMeasure};
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::stage::io::{Inputs, Outputs};
use crate::stage::kind::{OutsideSource, Stage, StageKind};
use crate::stage::memo::BlobRef;
use crate::stage::param::{Param, ParamError, ParamFallback, ParamStep, ParamType, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};
use crate::views::{junit, validation};

/// How many broken rules the message of a failed stage lists; the report lists all.
const SHOWN: usize = 8;

/// The kind.
pub const KIND: StageKind = StageKind {
    name: "validate",
    version: 3,
    doc: "Checks a table against a schema file. Rows that keep it go on; those that break a rule are set aside with the \
          rule and the value. Each part of the table is checked once.",
    inputs: Ports::Fixed(&[
        Port {
            name: "schema",
            format: PortFormat::Any,
            need: PortNeed::One,
            doc: "the schema file, such as `schemas/phishing.yaml`",
        },
        Port {
            name: "data",
            format: PortFormat::Table,
            need: PortNeed::One,
            doc: "the rows",
        },
    ]),
    outputs: Ports::Fixed(&[
        Port {
            name: "data",
            format: PortFormat::Table,
            need: PortNeed::One,
            doc: "the rows that go on",
        },
        Port {
            name: "quarantine",
            format: PortFormat::Table,
            need: PortNeed::One,
            doc: "the rows that are set aside, with their number (`netsec_row`) and the rules they break",
        },
        Port {
            name: "failures",
            format: PortFormat::Table,
            need: PortNeed::One,
            doc: "every broken rule of every row: `row`, `column`, `rule`, `severity`, `value`",
        },
        Port {
            name: "report",
            format: PortFormat::Json,
            need: PortNeed::One,
            doc: "the verdict on every rule",
        },
        Port {
            name: "page",
            format: PortFormat::Text,
            need: PortNeed::One,
            doc: "the same as a page (HTML)",
        },
        Port {
            name: "junit",
            format: PortFormat::Text,
            need: PortNeed::One,
            doc: "the same for test runners (JUnit XML)",
        },
    ]),
    params: &[Param {
        name: "as_of",
        kind: ParamType::Text,
        default: ParamFallback::Absent,
        doc: "The moment from which `freshness` counts, such as `2026-01-31T12:00:00Z`; `today` is the begin of the day of the \
              run, so that the stage runs again every day.",
    }],
    seeded: false,
    own_turn: false,
    make,
};

struct ValidateStage {
    as_of: Option<i64>,
    today: Option<CurrentDay>,
}

/// Looks at the calendar.
struct CurrentDay;

impl OutsideSource for CurrentDay {
    fn look(&self) -> Result<String, StageError> {
        let day = i64::try_from(clock::SystemClock.now_ms() / 86_400_000).unwrap_or_default();
        Ok(crate::frame::table::show_time(day * 86_400_000))
    }
}

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    let text = values.text("as_of");
    let is_today = text == Some("today");
    let as_of = text.and_then(read_time);
    if text.is_some() && !is_today && as_of.is_none() {
        return Err(vec![ParamError {
            path: vec![ParamStep::Key("as_of".to_owned())],
            message: "not a date or time".to_owned(),
            help: Some("write `2026-01-31`, `2026-01-31T12:00:00Z` or `today`".to_owned()),
        }]);
    }
    Ok(Box::new(ValidateStage {
        as_of,
        today: is_today.then_some(CurrentDay),
    }))
}

/// What is known of a checked part.
#[derive(Debug, Serialize, Deserialize)]
struct PartValidation {
    rows: u64,
    /// Of every rule, how many rows break it, and the first with its value.
    broken: Vec<(u64, Option<(u64, String)>)>,
    /// The rows that go on, if they are not simply all, as they are.
    clean: Option<u64>,
    columns: Vec<(String, ColumnType)>,
    missing: u64,
    /// Of every column of which freshness is asked, its latest moment.
    latest: Vec<Option<i64>>,
}

/// Of every part, the rules and rows at which a value repeats an earlier one.
type RepeatedValues = BTreeMap<usize, Vec<(usize, usize)>>;

/// What a part is checked with.
struct PartCheck<'a> {
    schema: &'a Schema,
    rules: &'a [SchemaRule],
    /// Columns of which freshness is asked.
    moments: Vec<String>,
    counts_duplicates: bool,
}

impl Stage for ValidateStage {
    fn outside(&self) -> Option<&dyn OutsideSource> {
        self.today.as_ref().map(|today| today as &dyn OutsideSource)
    }

    fn run(
        &self,
        inputs: &Inputs,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let file = inputs.one("schema");
        let schema = parse::parse(&file.label, file.bytes()?)
            .map_err(|report| StageError::Data(report.plain()))?;
        let rules = rules::rules(&schema);
        let data = Dataset::open(inputs.one("data"))?;
        let measures = || schema.table.iter().map(|rule| &rule.measure);
        let moment = |measure: &TableMeasure| match measure {
            TableMeasure::Freshness(column) => Some(column.clone()),
            _ => None,
        };
        let moments: Vec<String> = measures().filter_map(moment).collect();
        let as_of = context.seen.and_then(read_time).or(self.as_of);
        if !moments.is_empty() && as_of.is_none() {
            let why = "the schema asks for `freshness`: set `as_of` to `today` or a moment";
            return Err(StageError::Data(why.to_owned()));
        }
        let check = PartCheck {
            schema: &schema,
            rules: &rules,
            moments,
            counts_duplicates: measures().any(|measure| *measure == TableMeasure::Duplicates),
        };
        let misfits = rules::misfits(&schema, &data.index.columns);
        let (kept, duplicates) = check.all(&data, file.digest, context)?;
        let mut checked = CheckedTable::new(&data, &check, duplicates);
        for (at, kept) in kept.iter().enumerate() {
            checked.add(at, kept, context)?;
        }
        let counts = checked.finish(as_of, outputs, context)?;
        let report = ValidationReport::new(&file.label, &schema, &rules, misfits, counts);
        write_report(&report, outputs)
    }
}

/// Writes the report in its three forms, and tells what came of the rows.
///
/// # Errors
/// The table is refused, or no row keeps the schema.
fn write_report(report: &ValidationReport, outputs: &mut Outputs) -> Result<(), StageError> {
    let json = serde_json::to_vec_pretty(report).expect("plain data serialises");
    outputs.bytes("report", json);
    outputs.bytes("page", validation::page(report).into_bytes());
    outputs.bytes("junit", junit::xml(report).into_bytes());
    if !report.valid {
        return Err(StageError::Data(message(report)));
    }
    if report.clean == 0 {
        let (rows, schema) = (report.rows, &report.schema);
        let why = format!("none of the {rows} rows keeps `{schema}`");
        return Err(StageError::Data(why));
    }
    match report.quarantined {
        0 => outputs.note(format!("{} rows keep the schema", report.rows)),
        aside => outputs.note(format!(
            "{} of {} rows keep the schema, {aside} are set aside",
            report.clean, report.rows
        )),
    }
    let lines = report.lines(&[RuleVerdict::Warned, RuleVerdict::Quarantined]);
    for line in lines.into_iter().take(SHOWN) {
        outputs.note(line);
    }
    Ok(())
}

/// What came of the parts of a table so far: the rows that go on, those that are set aside and why,
/// and what was counted.
struct CheckedTable<'a> {
    data: &'a Dataset<'a>,
    moments: &'a [String],
    clean: DatasetWriter,
    aside: QuarantinedRows,
    failures: QuarantinedRows,
    counts: ValidationCounts,
    /// Of each column of moments, the latest.
    latest: Vec<Option<i64>>,
}

impl<'a> CheckedTable<'a> {
    fn new(data: &'a Dataset<'a>, check: &'a PartCheck<'a>, duplicates: u64) -> Self {
        let counts = ValidationCounts {
            broken: vec![0; check.rules.len()],
            first: vec![None; check.rules.len()],
            duplicates,
            ..ValidationCounts::default()
        };
        Self {
            data,
            moments: &check.moments,
            clean: DatasetWriter::default(),
            aside: QuarantinedRows::default(),
            failures: QuarantinedRows::default(),
            counts,
            latest: vec![None; check.moments.len()],
        }
    }

    /// Adds a part, given what was kept of checking it.
    fn add(
        &mut self,
        at: usize,
        kept: &[BlobRef],
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let part: PartValidation = read_kept(&kept[0], context)?;
        let before = self.counts.rows;
        for (rule, (count, first)) in part.broken.iter().enumerate() {
            self.counts.broken[rule] += count;
            if self.counts.first[rule].is_none() {
                let first = first.clone();
                self.counts.first[rule] = first.map(|(row, value)| (before + row + 1, value));
            }
        }
        if part.broken.iter().any(|(count, _)| *count > 0) {
            self.aside
                .add(&context.memo.fetch(&kept[2].digest)?, ROW, before)?;
            self.failures
                .add(&context.memo.fetch(&kept[3].digest)?, "row", before)?;
        }
        for (latest, one) in self.latest.iter_mut().zip(&part.latest) {
            *latest = (*latest).max(*one);
        }
        let clean = part.clean.unwrap_or(part.rows);
        self.counts.rows += part.rows;
        self.counts.cells.0 += part.rows * self.data.index.columns.len() as u64;
        self.counts.cells.1 += part.missing;
        self.counts.clean += clean;
        // A part of which every row goes on stays the blob that it is.
        let blob = match (part.clean, self.data.kept(at)) {
            (None, Some(same)) => same,
            _ => kept[1],
        };
        self.clean.add(blob, clean, part.columns);
        Ok(())
    }

    /// Writes the rows; returns what was counted, with the age in hours of each column of moments.
    fn finish(
        self,
        as_of: Option<i64>,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<ValidationCounts, StageError> {
        let columns = &self.data.index.columns;
        self.clean.finish(outputs, "data", context)?;
        self.aside
            .finish(outputs, "quarantine", &quarantine_columns(columns), context)?;
        self.failures
            .finish(outputs, "failures", &failure_columns(), context)?;
        let mut counts = self.counts;
        for (column, latest) in self.moments.iter().zip(self.latest) {
            if let (Some(as_of), Some(latest)) = (as_of, latest) {
                let hours = (as_of - latest) as f64 / 3_600_000.0;
                counts.ages.push((column.clone(), hours));
            }
        }
        Ok(counts)
    }
}

fn message(report: &ValidationReport) -> String {
    let all = report.lines(&[RuleVerdict::Failed]);
    let mut lines = vec![format!(
        "the data breaks `{}` in {} places:",
        report.schema,
        all.len()
    )];
    lines.extend(all.iter().take(SHOWN).map(|line| format!("  {line}")));
    if all.len() > SHOWN {
        lines.push(format!("  and {} more in the `report`", all.len() - SHOWN));
    }
    let quarantined = report.lines(&[RuleVerdict::Quarantined]);
    lines.extend(
        quarantined
            .iter()
            .take(SHOWN)
            .map(|line| format!("  set aside: {line}")),
    );
    lines.push("change the data or the schema".to_owned());
    lines.join("\n")
}

impl PartCheck<'_> {
    /// Checks all parts: each by itself, and again those in which a value repeats one of an earlier
    /// part. Returns what is kept of each, and how many rows repeat an earlier one.
    fn all(
        &self,
        data: &Dataset<'_>,
        schema: Digest,
        context: &StageContext<'_>,
    ) -> Result<(Vec<Vec<BlobRef>>, u64), StageError> {
        let none = RepeatedValues::new();
        let mut kept = self.parts(data, (schema, ("check", &data.all())), &none, context)?;
        let digests = kept.iter().map(|kept| context.memo.fetch(&kept[4].digest));
        let (repeated, duplicates) = self.repeated(digests)?;
        let again: Vec<usize> = repeated.keys().copied().collect();
        let checked = self.parts(data, (schema, ("again", &again)), &repeated, context)?;
        for (at, checked) in again.into_iter().zip(checked) {
            kept[at] = checked;
        }
        Ok((kept, duplicates))
    }

    /// Checks some parts, of which some rows may be known to repeat earlier ones.
    fn parts(
        &self,
        data: &Dataset<'_>,
        (schema, parts): (Digest, (&str, &[usize])),
        repeated: &RepeatedValues,
        context: &StageContext<'_>,
    ) -> Result<Vec<Vec<BlobRef>>, StageError> {
        let with = |at: usize| {
            let rows = repeated
                .get(&at)
                .map(|rows| serde_json::to_vec(rows).expect("plain data serialises"));
            let rows = rows.map(|rows| ("repeated", Digest::of(&rows).hex()));
            [("schema", schema.hex())].into_iter().chain(rows).collect()
        };
        data.each(parts, &with, context, &|at, table| {
            self.part(table, repeated.get(&at).map_or(&[][..], Vec::as_slice))
        })
    }

    /// Checks a part: its gist, the rows that go on unless that is all of them, those set aside,
    /// the failures, and digests of what must not repeat.
    fn part(&self, table: &Table, repeated: &[(usize, usize)]) -> Result<Vec<Vec<u8>>, TableError> {
        let mut failures = rules::failures(self.rules, table)?;
        for &(rule, row) in repeated {
            let column = self.rules[rule].column.as_deref().unwrap_or_default();
            let value = table
                .slice(row, 1)
                .texts(column)?
                .remove(0)
                .unwrap_or_default();
            failures.push(RuleFailure { row, rule, value });
        }
        failures.sort_by_key(|failure| (failure.rule, failure.row));
        let mut broken: Vec<(u64, Option<(u64, String)>)> = vec![(0, None); self.rules.len()];
        let mut go_on = vec![true; table.height()];
        for RuleFailure { row, rule, value } in &failures {
            let (count, first) = &mut broken[*rule];
            *count += 1;
            first.get_or_insert_with(|| (*row as u64, value.clone()));
            go_on[*row] &= self.rules[*rule].severity == Severity::Warn;
        }
        let stay = go_on.iter().filter(|go| !**go).count();
        let clean = rules::coerced(self.schema, &table.filter(&go_on)?)?;
        let is_same = stay == 0 && clean.columns()? == table.columns()?;
        let mut missing = 0;
        for name in table.names() {
            missing += table
                .missing(&name)?
                .into_iter()
                .filter(|missing| *missing)
                .count() as u64;
        }
        let latest = |name: &String| match table.has(name) {
            true => Ok(table.times(name)?.into_iter().flatten().max()),
            false => Ok(None),
        };
        let gist = PartValidation {
            rows: table.height() as u64,
            broken,
            clean: (!is_same).then_some(clean.height() as u64),
            columns: clean.columns()?,
            missing,
            latest: self
                .moments
                .iter()
                .map(latest)
                .collect::<Result<_, TableError>>()?,
        };
        let (aside, listed) = if failures.is_empty() {
            (Vec::new(), Vec::new())
        } else {
            (
                codec::encode(&self.aside(table, &failures)?)?,
                codec::encode(&self.listed(&failures)?)?,
            )
        };
        Ok(vec![
            serde_json::to_vec(&gist).expect("plain data serialises"),
            if is_same {
                Vec::new()
            } else {
                codec::encode(&clean)?
            },
            aside,
            listed,
            self.digests(table)?,
        ])
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
    /// then, if duplicates are counted, for the whole row.
    fn digests(&self, table: &Table) -> Result<Vec<u8>, TableError> {
        let mut bytes = Vec::new();
        for (_, name) in self.unique() {
            if !table.has(name) {
                bytes.extend(std::iter::repeat_n(0, 16 * table.height()));
                continue;
            }
            let missing = table.missing(name)?;
            let column = table.shaped(&[(name.to_owned(), table.column_type(name)?)])?;
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
    fn repeated<E>(
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

/// What came of checking rows again.
#[derive(Debug)]
pub struct ReplayedRows {
    /// The rows that break no rule for which they would be set aside, without their marks.
    pub keeps: Table,
    /// How many rows break each rule that is broken.
    pub broken: BTreeMap<String, u64>,
    /// Columns that are missing or unexpected.
    pub misfits: Vec<rules::ColumnMisfit>,
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
    let (repeated, _) = check.repeated(std::iter::once(check.digests(&table)))?;
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
    let keeps = rules::coerced(schema, &table.filter(&keep)?)?;
    Ok(ReplayedRows {
        keeps,
        broken,
        misfits: rules::misfits(schema, &table.columns()?),
    })
}
