//! `split`, carried out: rows are traced, dealt out and written side by side, and what leaks
//! between the sides is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::name::in_backticks;
use crate::base::nearest::suggest;
use crate::base::stored::StoredDocument;
use crate::frame::table::{ColumnType, Table, TableError};
use crate::frame::{codec, rows};
use crate::kinds::dataset::{Dataset, DatasetWriter, PartWork, read_kept};
use crate::kinds::merged_profile::together;
use crate::kinds::split::params::{SplitBy, SplitParams, UnlabelledRows};
use crate::profile::columns::Profile;
use crate::profile::labels::presumed_benign;
use crate::profile::leakage::{self, LeakageReport, RowTraces, SplitSide};
use crate::profile::separation::{LABELS, LabelProfiles, SAMPLE};
use crate::profile::units::distinct_rows;
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::stage::io::{Inputs, Outputs};
use crate::stage::kind::Stage;
use crate::stage::sub_action::{BlobRef, SubAction};

/// The name under which rarer labels are put together.
const OTHERS: &str = "all other labels";
/// The stage.
pub(crate) struct SplitStage {
    pub(crate) by: SplitBy,
    pub(crate) params: SplitParams,
}

/// What is known of a part before its rows are dealt out.
#[derive(Debug, Default, Serialize, Deserialize)]
struct LabelCounts {
    labels: BTreeMap<String, u64>,
}

/// What is known of a side of a part.
#[derive(Debug, Serialize, Deserialize)]
struct SidePart {
    rows: u64,
    columns: Vec<(String, ColumnType)>,
}

/// A table that is split, with what its parts are called.
struct SplitSource<'a> {
    data: Dataset<'a>,
    /// What its parts are called after: nothing, or that it is the given test table.
    suffix: &'static str,
    /// Columns that the other table does not have: they do not tell equal rows.
    unshared: Vec<String>,
}

impl SplitSource<'_> {
    fn work<'b>(&self, kind: &'static str, parts: &'b [usize]) -> PartWork<'b> {
        PartWork {
            kind,
            name: format!("{kind}{}", self.suffix),
            parts,
        }
    }
}

impl Stage for SplitStage {
    fn run(
        &self,
        inputs: &Inputs,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let sources = self.sources(inputs, outputs)?;
        let mut labels: BTreeMap<String, u64> = BTreeMap::new();
        let mut traces = RowTraces::default();
        let mut parts_of = Vec::new();
        for source in &sources {
            let traced = self.trace(source, context)?;
            parts_of.push(traced.len());
            for kept in &traced {
                let counts: LabelCounts = read_kept(&kept[0], context)?;
                counts
                    .labels
                    .into_iter()
                    .for_each(|(label, count)| *labels.entry(label).or_default() += count);
                traces.push(&context.memo.fetch(&kept[1].digest)?);
            }
        }
        let mut sides = self.sides(&traces, &labels, parts_of[0]);
        self.set_unlabelled_aside(&traces, &mut sides, outputs)?;
        let mut writers = [
            DatasetWriter::default(),
            DatasetWriter::default(),
            DatasetWriter::default(),
        ];
        let (mut kept_profiles, mut rest) = (BTreeMap::new(), sides.as_slice());
        for (source, parts) in sources.iter().zip(parts_of) {
            let index = &source.data.index;
            writers.iter_mut().for_each(|writer| writer.read_as(index));
            let (own, others) = rest.split_at(parts);
            rest = others;
            for kept in deal(source, own, context)? {
                for (side, writer) in writers.iter_mut().enumerate() {
                    let part: SidePart = read_kept(&kept[2 * side], context)?;
                    writer.add(kept[2 * side + 1], part.rows, part.columns);
                }
            }
            self.profiles(source, &mut kept_profiles, context)?;
        }
        let mut profiles = LabelProfiles::new();
        for (at, (label, kept)) in kept_profiles.into_iter().enumerate() {
            profiles.insert(label, together(&format!("label_{at}"), &kept, context)?);
        }
        let benign = match self.params.benign.is_empty() {
            true => presumed_benign(labels.iter().map(|(label, count)| (label.as_str(), *count))),
            false => self.params.benign.clone(),
        };
        let mut leakage =
            LeakageReport::new(&traces, &sides, benign, &profiles, self.params.near_perfect);
        // What the rows are split by is needed until here, and left out of the features later.
        let decides = self.deciding_columns();
        leakage
            .giveaways
            .retain(|giveaway| !decides.contains(&giveaway.column));
        let mut rows = Vec::new();
        for (writer, port) in writers.into_iter().zip(["train", "validation", "test"]) {
            rows.push(writer.finish(outputs, port, context)?.rows());
        }
        outputs.bytes("leakage", leakage.encode());
        let [train, validation, test] = rows[..] else {
            unreachable!("there are three sides")
        };
        let to_validation = match validation {
            0 => String::new(),
            rows => format!(", {rows} to validation"),
        };
        outputs.note(format!(
            "{} rows: {train} to train{to_validation}, {test} to test",
            leakage.rows
        ));
        for line in leakage.warnings() {
            outputs.note(line);
        }
        self.check(&leakage, train, test)
    }
}

impl SplitStage {
    fn check(&self, leakage: &LeakageReport, train: u64, test: u64) -> Result<(), StageError> {
        let shared = leakage.shared_share();
        if shared > self.params.max_shared_rows {
            return Err(StageError::Data(format!(
                "{:.2} % of the test rows have features that stand in train too, at most {} % may (`max_shared_rows`): split \
                 `by: content`",
                shared * 100.0,
                self.params.max_shared_rows * 100.0
            )));
        }
        if train == 0 || test == 0 {
            return Err(StageError::Data(format!(
                "of {} rows, {train} are for training and {test} for testing: both need some; change the shares or bring more \
                 rows that differ (equal ones are kept on one side)",
                leakage.rows
            )));
        }
        Ok(())
    }

    /// Opens the tables that are split, and checks that they have the columns that are named.
    fn sources<'a>(
        &self,
        inputs: &'a Inputs,
        outputs: &mut Outputs,
    ) -> Result<Vec<SplitSource<'a>>, StageError> {
        let data = Dataset::open(inputs.one("data"))?;
        self.check_columns(&data, "data")?;
        let test = match (inputs.maybe("test"), &self.by) {
            (Some(test), SplitBy::Given) => Dataset::open(test)?,
            (None, SplitBy::Given) => {
                let why =
                    "`by: given` needs the input `test`: name the table of the rows to judge by";
                return Err(StageError::Data(why.to_owned()));
            }
            (Some(_), _) => {
                let why = "the input `test` is for `by: given`: set that, or leave the input out";
                return Err(StageError::Data(why.to_owned()));
            }
            (None, _) => {
                return Ok(vec![SplitSource {
                    data,
                    suffix: "",
                    unshared: Vec::new(),
                }]);
            }
        };
        self.check_columns(&test, "test")?;
        let beyond = |mine: &Dataset<'_>, other: &Dataset<'_>| -> Vec<String> {
            let is_unshared =
                |name: &&String| !other.index.columns.iter().any(|(known, _)| known == *name);
            mine.index
                .columns
                .iter()
                .map(|(name, _)| name)
                .filter(is_unshared)
                .cloned()
                .collect()
        };
        let (only_data, only_test) = (beyond(&data, &test), beyond(&test, &data));
        for (only, place) in [
            (&only_data, "`data` and not in `test`"),
            (&only_test, "`test` and not in `data`"),
        ] {
            if !only.is_empty() {
                outputs.note(format!("columns in {place}: {}", in_backticks(only)));
            }
        }
        Ok(vec![
            SplitSource {
                data,
                suffix: "",
                unshared: only_data,
            },
            SplitSource {
                data: test,
                suffix: "_test",
                unshared: only_test,
            },
        ])
    }

    fn check_columns(&self, data: &Dataset<'_>, port: &str) -> Result<(), StageError> {
        let names: Vec<&str> = data
            .index
            .columns
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let asked = |key: &'static str, name: &str| match names.contains(&name) {
            true => Ok(()),
            false => {
                let help = suggest(name, names.iter().copied()).unwrap_or_default();
                Err(StageError::Data(format!(
                    "{key}: there is no column `{name}` in `{port}`: {help}"
                )))
            }
        };
        if let Some(target) = &self.params.target {
            asked("target", target)?;
        }
        match &self.by {
            SplitBy::Content | SplitBy::Given => Ok(()),
            SplitBy::Group(columns) => columns.iter().try_for_each(|name| asked("group", name)),
            SplitBy::Time { column, .. } => asked("time", column),
        }
    }

    /// Reads every part once: its labels, and of every row what decides its side and what tells
    /// equal rows.
    fn trace(
        &self,
        source: &SplitSource<'_>,
        context: &StageContext<'_>,
    ) -> Result<Vec<Vec<BlobRef>>, StageError> {
        let group = match &self.by {
            SplitBy::Group(columns) => Some(columns),
            SplitBy::Content | SplitBy::Given | SplitBy::Time { .. } => None,
        };
        let time = match &self.by {
            SplitBy::Time { column, .. } => Some(column),
            SplitBy::Content | SplitBy::Given | SplitBy::Group(_) => None,
        };
        let with = |_: usize, part: SubAction| {
            part.with("group", group)
                .with("time", time)
                .with("target", &self.params.target)
                .with("unshared", &source.unshared)
        };
        let body = |_: usize, table: &Table| self.traces(table, &source.unshared);
        source.data.each(
            source.work("trace", &source.data.all()),
            &with,
            context,
            &body,
        )
    }

    fn traces(&self, table: &Table, unshared: &[String]) -> Result<Vec<Vec<u8>>, TableError> {
        let except: Vec<&str> = self
            .params
            .target
            .iter()
            .chain(unshared)
            .map(String::as_str)
            .collect();
        let features = rows::digests(table, &except)?;
        let labels: Vec<Option<String>> = match &self.params.target {
            Some(target) => table.texts(target)?,
            None => vec![None; table.height()],
        };
        let deciders: Vec<u64> = match &self.by {
            SplitBy::Content | SplitBy::Given => features.iter().map(leakage::head).collect(),
            SplitBy::Group(columns) => {
                let kinds = columns
                    .iter()
                    .map(|name| Ok((name.clone(), table.column_type(name)?)));
                let group = table.shaped(&kinds.collect::<Result<Vec<_>, TableError>>()?)?;
                rows::digests(&group, &[])?
                    .iter()
                    .map(leakage::head)
                    .collect()
            }
            SplitBy::Time { column, .. } => {
                // A row without a moment goes nowhere.
                table
                    .times(column)?
                    .into_iter()
                    .map(|ms| ms.unwrap_or(i64::MIN).cast_unsigned())
                    .collect()
            }
        };
        let mut counts = LabelCounts::default();
        for label in labels.iter().flatten() {
            *counts.labels.entry(label.clone()).or_default() += 1;
        }
        Ok(vec![
            serde_json::to_vec(&counts).expect("plain data serialises"),
            RowTraces::encode(&features, &labels, &deciders),
        ])
    }

    /// The columns that rows are split by.
    fn deciding_columns(&self) -> &[String] {
        match &self.by {
            SplitBy::Time { column, .. } => std::slice::from_ref(column),
            SplitBy::Group(columns) => columns,
            SplitBy::Content | SplitBy::Given => &[],
        }
    }

    /// Decides the side of every row, part by part; so many parts are of the first table.
    fn sides(
        &self,
        traces: &RowTraces,
        labels: &BTreeMap<String, u64>,
        first: usize,
    ) -> Vec<Vec<SplitSide>> {
        if self.params.stratify {
            return self.dealt(traces, labels);
        }
        let by_place = |decider: u64, test_share: f64| match rows::place(decider) {
            place if place < test_share => SplitSide::Test,
            place if place < test_share + self.params.validation_share => SplitSide::Validation,
            _ => SplitSide::Train,
        };
        let side = |part: usize, decider: u64| match &self.by {
            SplitBy::Given if part >= first => SplitSide::Test,
            SplitBy::Given => by_place(decider, 0.0),
            SplitBy::Content | SplitBy::Group(_) => by_place(decider, self.params.test_share),
            SplitBy::Time {
                validation_from,
                test_from,
                gap_ms,
                ..
            } => {
                let ms = decider.cast_signed();
                let first = validation_from.unwrap_or(*test_from);
                let in_gap = |border: i64| ms < border && ms >= border.saturating_sub(*gap_ms);
                match ms {
                    i64::MIN => SplitSide::Nowhere,
                    ms if ms >= *test_from => SplitSide::Test,
                    _ if in_gap(*test_from) || in_gap(first) => SplitSide::Nowhere,
                    ms if ms >= first => SplitSide::Validation,
                    _ => SplitSide::Train,
                }
            }
        };
        let parts = traces.parts().enumerate();
        parts
            .map(|(at, part)| part.map(|trace| side(at, trace.decider)).collect())
            .collect()
    }

    /// Deals out the distinct rows of every label in turn, so that each side has its share of each
    /// label after any number of rows. Equal rows follow the first of them.
    fn dealt(&self, traces: &RowTraces, labels: &BTreeMap<String, u64>) -> Vec<Vec<SplitSide>> {
        let mut known: BTreeMap<u128, SplitSide> = BTreeMap::new();
        let mut counts: BTreeMap<u64, [f64; 3]> = labels
            .keys()
            .map(|label| (leakage::label(Some(label)), [0.0; 3]))
            .collect();
        let shares = [
            1.0 - self.params.test_share - self.params.validation_share,
            self.params.validation_share,
            self.params.test_share,
        ];
        let mut deal = |trace: leakage::RowTrace| {
            *known.entry(trace.features).or_insert_with(|| {
                let counts = counts.entry(trace.label).or_default();
                let all = counts.iter().sum::<f64>() + 1.0;
                // The side that is furthest behind its share gets the row.
                let behind = |side: usize| shares[side] * all - counts[side];
                let side = [0, 2, 1]
                    .into_iter()
                    .max_by(|a, b| behind(*a).total_cmp(&behind(*b)).then(b.cmp(a)));
                let side = side.unwrap_or_default();
                counts[side] += 1.0;
                [SplitSide::Train, SplitSide::Validation, SplitSide::Test][side]
            })
        };
        traces
            .parts()
            .map(|part| part.map(&mut deal).collect())
            .collect()
    }

    /// Takes rows without a label off their sides, or refuses them.
    fn set_unlabelled_aside(
        &self,
        traces: &RowTraces,
        sides: &mut [Vec<SplitSide>],
        outputs: &mut Outputs,
    ) -> Result<(), StageError> {
        if self.params.unlabelled == UnlabelledRows::Keep {
            return Ok(());
        }
        let (mut unlabelled, mut rows) = (0_u64, 0_u64);
        let unknown: Vec<u64> = std::iter::once(None)
            .chain(self.params.unknown.iter().map(|label| Some(label.as_str())))
            .map(leakage::label)
            .collect();
        for (part, sides) in traces.parts().zip(sides) {
            for (trace, side) in part.zip(sides) {
                rows += 1;
                if unknown.contains(&trace.label) {
                    *side = SplitSide::Unlabelled;
                    unlabelled += 1;
                }
            }
        }
        let target = self.params.target.as_deref().unwrap_or_default();
        let none = if self.params.unknown.is_empty() {
            "no label"
        } else {
            "no label, or one of `unknown`,"
        };
        match (unlabelled, self.params.unlabelled) {
            (0, _) => Ok(()),
            (_, UnlabelledRows::Fail) => Err(StageError::Data(format!(
                "{unlabelled} of {rows} rows have {none} in `{target}`: `unlabelled: drop` leaves them out"
            ))),
            _ => {
                outputs.note(format!(
                    "{unlabelled} of {rows} rows have {none} in `{target}` and are left out"
                ));
                Ok(())
            }
        }
    }

    /// Looks at the rows of every label of every part once, and adds what is kept of them to those
    /// of other parts.
    fn profiles(
        &self,
        source: &SplitSource<'_>,
        profiles: &mut BTreeMap<String, Vec<BlobRef>>,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let with = |_: usize, part: SubAction| part.with("target", &self.params.target);
        let body = |_: usize, table: &Table| self.label_profiles(table);
        for kept in source.data.each(
            source.work("classes", &source.data.all()),
            &with,
            context,
            &body,
        )? {
            let labels: Vec<String> = read_kept(&kept[0], context)?;
            for (label, profile) in labels
                .into_iter()
                .zip(&kept[1..])
                .filter(|(label, _)| !self.params.unknown.contains(label))
            {
                profiles.entry(label).or_default().push(*profile);
            }
        }
        Ok(())
    }

    /// The labels of a part, as JSON, and a profile of the rows of each.
    fn label_profiles(&self, table: &Table) -> Result<Vec<Vec<u8>>, TableError> {
        let Some(target) = &self.params.target else {
            let labels = serde_json::to_vec(&[""]).expect("plain data serialises");
            return Ok(vec![
                labels,
                Profile::of(table)?.with_sample(SAMPLE).encode(),
            ]);
        };
        // Copies of a row are no evidence of what its cells tell.
        let table = &distinct_rows(table)?;
        let cells = table.texts(target)?;
        let mut counts: Vec<(String, usize)> = table.counts(target)?.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let mut labels: Vec<String> = counts
            .iter()
            .take(LABELS)
            .map(|(label, _)| label.clone())
            .collect();
        let features = table.without(std::slice::from_ref(target))?;
        let of = |is_wanted: &dyn Fn(&str) -> bool| -> Result<Vec<u8>, TableError> {
            let keep: Vec<bool> = cells
                .iter()
                .map(|cell| cell.as_deref().is_some_and(is_wanted))
                .collect();
            Ok(Profile::of(&features.filter(&keep)?)?
                .with_sample(SAMPLE)
                .encode())
        };
        let mut profiles = labels
            .iter()
            .map(|label| of(&|cell| cell == label))
            .collect::<Result<Vec<_>, _>>()?;
        if counts.len() > LABELS {
            profiles.push(of(&|cell| !labels.iter().any(|label| label == cell))?);
            labels.push(OTHERS.to_owned());
        }
        profiles.insert(
            0,
            serde_json::to_vec(&labels).expect("plain data serialises"),
        );
        Ok(profiles)
    }
}

/// Writes the sides of every part.
fn deal(
    source: &SplitSource<'_>,
    sides: &[Vec<SplitSide>],
    context: &StageContext<'_>,
) -> Result<Vec<Vec<BlobRef>>, StageError> {
    let with = |at: usize, part: SubAction| {
        let bytes: Vec<u8> = sides[at].iter().map(|side| *side as u8).collect();
        part.with("sides", Digest::of(&bytes))
    };
    source.data.each(
        source.work("deal", &source.data.all()),
        &with,
        context,
        &|at, table| {
            let mut blobs = Vec::new();
            for wanted in [SplitSide::Train, SplitSide::Validation, SplitSide::Test] {
                let keep: Vec<bool> = sides[at].iter().map(|side| *side == wanted).collect();
                let side = table.filter(&keep)?;
                let part = SidePart {
                    rows: side.height() as u64,
                    columns: table.columns()?,
                };
                blobs.push(serde_json::to_vec(&part).expect("plain data serialises"));
                blobs.push(if part.rows == 0 {
                    Vec::new()
                } else {
                    codec::encode(&side)?
                });
            }
            Ok(blobs)
        },
    )
}
