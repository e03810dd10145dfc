//! `validate`: rows that keep the schema go on, the others are set aside with the reason.

use crate::base::clock::{self, Clock};
use crate::base::digest::Digest;
use crate::base::stored::StoredDocument;
use crate::frame::codec;
use crate::frame::table::{Table, TableError, read_time};
use crate::kinds::dataset::{Dataset, DatasetWriter, PartWork, read_kept};
use crate::kinds::validate::quarantine::QuarantinedRows;
use crate::schema::check::{
    CheckedPart, PartCheck, PartSummary, ROW, RepeatedValues, failure_columns, quarantine_columns,
};
use crate::schema::parse;
use crate::schema::report::{RuleVerdict, ValidationCounts, ValidationReport};
use crate::schema::rules;
use crate::schema::types::TableMeasure;
use crate::stage::context::StageContext;
use crate::stage::declare::params;
use crate::stage::error::StageError;
use crate::stage::io::{Inputs, Outputs};
use crate::stage::kind::{OutsideSource, Stage, StageKind};
use crate::stage::param::{ParamError, ParamStep, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};
use crate::stage::remote::RemoteWork;
use crate::stage::sub_action::{BlobRef, SubAction};
use crate::views::{junit, validation};

/// How many broken rules the message of a failed stage lists; the report lists all.
const SHOWN: usize = 8;

/// The kind.
pub const KIND: StageKind = StageKind {
    name: "validate",
    version: 4,
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
    params: ValidateParams::PARAMS,
    seeded: false,
    runs_elsewhere: false,
    remote: RemoteWork::Parts,
    make,
};

params! {
    /// Parameters of `validate`.
    struct ValidateParams {
        /// The moment from which `freshness` counts, such as `2026-01-31T12:00:00Z`; `today` is the
        /// begin of the day of the run, so that the stage runs again every day.
        as_of: Option<String>;
    }
}

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
    let params = ValidateParams::of(values);
    let text = params.as_of.as_deref();
    let is_today = text == Some("today");
    let as_of = text.and_then(read_time);
    if text.is_some() && !is_today && as_of.is_none() {
        return Err(vec![ParamError {
            path: vec![ParamStep::key("as_of")],
            message: "not a date or time".to_owned(),
            help: Some("write `2026-01-31`, `2026-01-31T12:00:00Z` or `today`".to_owned()),
        }]);
    }
    Ok(Box::new(ValidateStage {
        as_of,
        today: is_today.then_some(CurrentDay),
    }))
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
        let (kept, duplicates) = check_all(&check, &data, file.digest, context)?;
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
    outputs.bytes("report", report.encode());
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
        let mut clean = DatasetWriter::default();
        clean.read_as(&data.index);
        Self {
            data,
            moments: &check.moments,
            clean,
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
        let part: PartSummary = read_kept(&kept[0], context)?;
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

/// Checks all parts: each by itself, and again those in which a value repeats one of an earlier
/// part. Returns what is kept of each, and how many rows repeat an earlier one.
fn check_all(
    check: &PartCheck<'_>,
    data: &Dataset<'_>,
    schema: Digest,
    context: &StageContext<'_>,
) -> Result<(Vec<Vec<BlobRef>>, u64), StageError> {
    let none = RepeatedValues::new();
    let all = data.all();
    let mut kept = check_parts(check, data, (schema, work("check", &all)), &none, context)?;
    let digests = kept.iter().map(|kept| context.memo.fetch(&kept[4].digest));
    let (repeated, duplicates) = check.repeated(digests)?;
    let again: Vec<usize> = repeated.keys().copied().collect();
    let checked = check_parts(
        check,
        data,
        (schema, work("again", &again)),
        &repeated,
        context,
    )?;
    for (at, checked) in again.into_iter().zip(checked) {
        kept[at] = checked;
    }
    Ok((kept, duplicates))
}

fn work<'a>(name: &str, parts: &'a [usize]) -> PartWork<'a> {
    PartWork {
        kind: "check",
        name: name.to_owned(),
        parts,
    }
}

/// Checks some parts, of which some rows may be known to repeat earlier ones.
fn check_parts(
    check: &PartCheck<'_>,
    data: &Dataset<'_>,
    (schema, work): (Digest, PartWork<'_>),
    repeated: &RepeatedValues,
    context: &StageContext<'_>,
) -> Result<Vec<Vec<BlobRef>>, StageError> {
    let with = |at: usize, part: SubAction| {
        part.with("schema", schema)
            .with("repeated", repeated.get(&at))
    };
    data.each(work, &with, context, &|at, table| {
        let repeated = repeated.get(&at).map_or(&[][..], Vec::as_slice);
        blobs(check.part(table, repeated)?)
    })
}

/// Returns what is kept of a part: its summary, the rows that go on unless that is all of them,
/// those set aside, the failures, and digests of what must not repeat.
fn blobs(part: CheckedPart) -> Result<Vec<Vec<u8>>, TableError> {
    Ok(vec![
        serde_json::to_vec(&part.summary).expect("plain data serialises"),
        encoded(part.clean.as_ref())?,
        encoded(part.aside.as_ref())?,
        encoded(part.listed.as_ref())?,
        part.digests,
    ])
}

fn encoded(table: Option<&Table>) -> Result<Vec<u8>, TableError> {
    table.map_or_else(|| Ok(Vec::new()), codec::encode)
}
