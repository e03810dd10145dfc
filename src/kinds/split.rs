//! `split`: which rows are for learning and which for judging, and what leaks between them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::frame::codec;
use crate::frame::rows;
use crate::frame::table::{ColumnType, Table, TableError, read_time};
use crate::kinds::dataset::{Dataset, Writer, read_kept};
use crate::kinds::drift::together;
use crate::quality::leakage::{self, Leakage, Side, Traces};
use crate::quality::profile::Profile;
use crate::stage::error::StageError;
use crate::stage::io::{Context, Inputs, Outputs};
use crate::stage::kind::{Kind, Stage};
use crate::stage::memo::Kept;
use crate::stage::param::{Fallback, Fault, Param, Step, Type, Values};
use crate::stage::port::{Format, Need, Port, Ports};

/// The kind.
pub const KIND: Kind = Kind {
    name: "split",
    version: 2,
    doc: "Splits rows into train, validation and test, so that a row never changes its side when others are added, and \
          reports what leaks: rows that repeat, labels that contradict each other, columns that tell the label by themselves \
          or look like row numbers.",
    inputs: Ports::Fixed(&[Port { name: "data", format: Format::Table, need: Need::One, doc: "the rows" }]),
    outputs: Ports::Fixed(&[
        Port { name: "train", format: Format::Table, need: Need::One, doc: "the rows to learn from" },
        Port {
            name: "validation",
            format: Format::Table,
            need: Need::One,
            doc: "the rows to choose by; none by default",
        },
        Port { name: "test", format: Format::Table, need: Need::One, doc: "the rows to judge by" },
        Port { name: "leakage", format: Format::Json, need: Need::One, doc: "what leaks" },
    ]),
    params: &[
        Param {
            name: "by",
            kind: Type::Choice(&["content", "group", "time"]),
            default: Fallback::Yaml("content"),
            doc: "What decides a row's side: a digest of its features, so that equal rows stay together; that of the columns \
                  `group`, so that a host or a session stays together; or the moment in the column `time`.",
        },
        Param {
            name: "target",
            kind: Type::Text,
            default: Fallback::Absent,
            doc: "The column of labels: it has no say in the side, so that equal features with different labels stay together.",
        },
        Param {
            name: "test_share",
            kind: Type::Float(0.0, 1.0),
            default: Fallback::Yaml("0.2"),
            doc: "The share of distinct rows or groups that go to `test`.",
        },
        Param {
            name: "validation_share",
            kind: Type::Float(0.0, 1.0),
            default: Fallback::Yaml("0"),
            doc: "The share that goes to `validation`.",
        },
        Param {
            name: "group",
            kind: Type::List(&Type::Text),
            default: Fallback::Yaml("[]"),
            doc: "The columns that name a group, for `by: group`.",
        },
        Param {
            name: "stratify",
            kind: Type::Bool,
            default: Fallback::Yaml("false"),
            doc: "Whether the shares hold within each label as exactly as whole rows allow: sides are then dealt out in the \
                  order of the rows, which stays the same while rows are added at the end.",
        },
        Param {
            name: "time",
            kind: Type::Text,
            default: Fallback::Absent,
            doc: "The column of moments, for `by: time`.",
        },
        Param {
            name: "test_from",
            kind: Type::Text,
            default: Fallback::Absent,
            doc: "For `by: time`: rows from this moment on go to `test`, such as `2026-01-31` or `2026-01-31T12:00:00Z`.",
        },
        Param {
            name: "validation_from",
            kind: Type::Text,
            default: Fallback::Absent,
            doc: "For `by: time`: rows from this moment on and before `test_from` go to `validation`.",
        },
        Param {
            name: "gap_hours",
            kind: Type::Float(0.0, 1e6),
            default: Fallback::Yaml("0"),
            doc: "For `by: time`: rows of so many hours before a border go nowhere.",
        },
        Param {
            name: "near_perfect",
            kind: Type::Float(0.5, 1.0),
            default: Fallback::Yaml("0.99"),
            doc: "From which AUC on a column that tells the label by itself is reported.",
        },
        Param {
            name: "max_shared_rows",
            kind: Type::Float(0.0, 1.0),
            default: Fallback::Yaml("1"),
            doc: "The share of test rows whose features may stand in `train` too; more, and the stage fails.",
        },
    ],
    seeded: false,
    own_turn: false,
    make,
};

struct Split {
    by: By,
    target: Option<String>,
    test_share: f64,
    validation_share: f64,
    stratify: bool,
    near_perfect: f64,
    max_shared_rows: f64,
}

enum By {
    Content,
    Group(Vec<String>),
    Time { column: String, validation_from: Option<i64>, test_from: i64, gap_ms: i64 },
}

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut fault = |key: &str, message: &str, help: &str| {
        let path = vec![Step::Key(key.to_owned())];
        faults.push(Fault { path, message: message.to_owned(), help: Some(help.to_owned()) });
    };
    let (test_share, validation_share) =
        (values.float("test_share").unwrap_or_default(), values.float("validation_share").unwrap_or_default());
    if test_share + validation_share > 1.0 {
        fault("validation_share", "`test_share` and `validation_share` together are more than all rows", "lower one");
    }
    let mut moment = |key: &str| {
        let text = values.text(key)?;
        let time = read_time(text);
        if time.is_none() {
            fault(key, "this is no moment", "write `2026-01-31` or `2026-01-31T12:00:00Z`");
        }
        time
    };
    let (test_from, validation_from) = (moment("test_from"), moment("validation_from"));
    let target = values.text("target").map(str::to_owned);
    let stratify = values.flag("stratify");
    let by = match values.text("by").unwrap_or_default() {
        "group" => {
            let group = values.texts("group");
            if group.is_empty() {
                fault("by", "`by: group` needs `group`", "name the columns that tell one group from another");
            }
            By::Group(group)
        }
        "time" => {
            let column = values.text("time").unwrap_or_default().to_owned();
            if column.is_empty() || values.text("test_from").is_none() {
                fault(
                    "by",
                    "`by: time` needs `time` and `test_from`",
                    "name the column and the moment from which rows are for testing",
                );
            }
            if let (Some(test), Some(validation)) = (test_from, validation_from)
                && validation >= test
            {
                fault(
                    "validation_from",
                    "`validation_from` is not before `test_from`",
                    "validation rows lie between the two",
                );
            }
            let gap_ms = (values.float("gap_hours").unwrap_or_default() * 3_600_000.0) as i64;
            By::Time { column, validation_from, test_from: test_from.unwrap_or_default(), gap_ms }
        }
        _ => By::Content,
    };
    if stratify && target.is_none() {
        fault("stratify", "`stratify` needs `target`", "name the column of labels");
    }
    if stratify && !matches!(by, By::Content) {
        fault("stratify", "only `by: content` can be stratified", "leave it out");
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let near_perfect = values.float("near_perfect").unwrap_or_default();
    let max_shared_rows = values.float("max_shared_rows").unwrap_or_default();
    Ok(Box::new(Split { by, target, test_share, validation_share, stratify, near_perfect, max_shared_rows }))
}

/// What is known of a part before its rows are dealt out.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Gist {
    labels: BTreeMap<String, u64>,
}

/// What is known of a side of a part.
#[derive(Debug, Serialize, Deserialize)]
struct SideGist {
    rows: u64,
    columns: Vec<(String, ColumnType)>,
}

impl Stage for Split {
    fn run(&self, inputs: &Inputs, outputs: &mut Outputs, context: &Context<'_>) -> Result<(), StageError> {
        let data = Dataset::open(inputs.one("data"))?;
        self.check_columns(&data)?;
        let traced = self.trace(&data, context)?;
        let mut labels: BTreeMap<String, u64> = BTreeMap::new();
        let mut traces = Traces::default();
        for kept in &traced {
            let gist: Gist = read_kept(&kept[0], context)?;
            gist.labels.into_iter().for_each(|(label, count)| *labels.entry(label).or_default() += count);
            traces.push(&context.memo.fetch(&kept[1].digest)?);
        }
        let sides = self.sides(&traces, &labels);
        let mut writers = [Writer::default(), Writer::default(), Writer::default()];
        for kept in self.deal(&data, &sides, context)? {
            for (side, writer) in writers.iter_mut().enumerate() {
                let gist: SideGist = read_kept(&kept[2 * side], context)?;
                writer.add(kept[2 * side + 1], gist.rows, gist.columns);
            }
        }
        let leakage = self.leakage(&data, &traces, &labels, &sides, context)?;
        let mut rows = Vec::new();
        for (writer, port) in writers.into_iter().zip(["train", "validation", "test"]) {
            rows.push(writer.finish(outputs, port, context)?.rows());
        }
        outputs.bytes("leakage", serde_json::to_vec_pretty(&leakage).expect("plain data serialises"));
        let [train, validation, test] = rows[..] else { unreachable!("there are three sides") };
        let validation_words = if validation > 0 { format!(", {validation} to validation") } else { String::new() };
        outputs.note(format!("{} rows: {train} to train{validation_words}, {test} to test", data.index.rows()));
        leakage.warnings().into_iter().for_each(|line| outputs.note(line));
        let shared = leakage.shared_share();
        if shared > self.max_shared_rows {
            return Err(StageError::Data(format!(
                "{:.2} % of the test rows have features that stand in train too, at most {} % may (`max_shared_rows`): split \
                 `by: content`",
                shared * 100.0,
                self.max_shared_rows * 100.0
            )));
        }
        if train == 0 || test == 0 {
            return Err(StageError::Data(format!(
                "of {} rows, {train} are for training and {test} for testing: both need some; change the shares or bring more \
                 rows that differ (equal ones are kept on one side)",
                data.index.rows()
            )));
        }
        Ok(())
    }
}

impl Split {
    fn check_columns(&self, data: &Dataset<'_>) -> Result<(), StageError> {
        let names: Vec<&str> = data.index.columns.iter().map(|(name, _)| name.as_str()).collect();
        let asked = |key: &'static str, name: &str| match names.contains(&name) {
            true => Ok(()),
            false => {
                let help = crate::base::nearest::suggest(name, names.iter().copied()).unwrap_or_default();
                Err(StageError::Data(format!("{key}: there is no column `{name}`: {help}")))
            }
        };
        if let Some(target) = &self.target {
            asked("target", target)?;
        }
        match &self.by {
            By::Content => Ok(()),
            By::Group(columns) => columns.iter().try_for_each(|name| asked("group", name)),
            By::Time { column, .. } => asked("time", column),
        }
    }

    /// Reads every part once: its labels, and of every row what decides its side and what tells equal rows.
    fn trace(&self, data: &Dataset<'_>, context: &Context<'_>) -> Result<Vec<Vec<Kept>>, StageError> {
        let decides = match &self.by {
            By::Content => "content".to_owned(),
            By::Group(columns) => format!("group {columns:?}"),
            By::Time { column, .. } => format!("time {column:?}"),
        };
        let target = self.target.clone().unwrap_or_default();
        let with = |_| vec![("decides", decides.clone()), ("target", target.clone())];
        data.each(("trace", &data.all()), &with, context, &|_, table| self.traces(table))
    }

    fn traces(&self, table: &Table) -> Result<Vec<Vec<u8>>, TableError> {
        let except: Vec<&str> = self.target.as_deref().into_iter().collect();
        let features = rows::digests(table, &except)?;
        let labels: Vec<Option<String>> = match &self.target {
            Some(target) => table.texts(target)?,
            None => vec![None; table.height()],
        };
        let deciders: Vec<u64> = match &self.by {
            By::Content => features.iter().map(leakage::head).collect(),
            By::Group(columns) => {
                let kinds = columns.iter().map(|name| Ok((name.clone(), table.column_type(name)?)));
                let group = table.shaped(&kinds.collect::<Result<Vec<_>, TableError>>()?)?;
                rows::digests(&group, &[])?.iter().map(leakage::head).collect()
            }
            By::Time { column, .. } => {
                // A row without a moment goes nowhere.
                table.times(column)?.into_iter().map(|ms| ms.unwrap_or(i64::MIN).cast_unsigned()).collect()
            }
        };
        let mut gist = Gist::default();
        for label in labels.iter().flatten() {
            *gist.labels.entry(label.clone()).or_default() += 1;
        }
        Ok(vec![
            serde_json::to_vec(&gist).expect("plain data serialises"),
            Traces::encode(&features, &labels, &deciders),
        ])
    }

    /// Decides the side of every row, part by part.
    fn sides(&self, traces: &Traces, labels: &BTreeMap<String, u64>) -> Vec<Vec<Side>> {
        if self.stratify {
            return self.dealt(traces, labels);
        }
        let side = |decider: u64| match &self.by {
            By::Content | By::Group(_) => {
                let place = rows::place(decider);
                match place {
                    place if place < self.test_share => Side::Test,
                    place if place < self.test_share + self.validation_share => Side::Validation,
                    _ => Side::Train,
                }
            }
            By::Time { validation_from, test_from, gap_ms, .. } => {
                let ms = decider.cast_signed();
                let first = validation_from.unwrap_or(*test_from);
                let in_gap = |border: i64| ms < border && ms >= border.saturating_sub(*gap_ms);
                match ms {
                    i64::MIN => Side::Nowhere,
                    ms if ms >= *test_from => Side::Test,
                    _ if in_gap(*test_from) || in_gap(first) => Side::Nowhere,
                    ms if ms >= first => Side::Validation,
                    _ => Side::Train,
                }
            }
        };
        traces.parts().map(|part| part.map(|trace| side(trace.decider)).collect()).collect()
    }

    /// Deals out the distinct rows of every label in turn, so that each side has its share of each label after any number
    /// of rows. Equal rows follow the first of them.
    fn dealt(&self, traces: &Traces, labels: &BTreeMap<String, u64>) -> Vec<Vec<Side>> {
        let mut known: BTreeMap<u128, Side> = BTreeMap::new();
        let mut counts: BTreeMap<u64, [f64; 3]> =
            labels.keys().map(|label| (leakage::label(Some(label)), [0.0; 3])).collect();
        let shares = [1.0 - self.test_share - self.validation_share, self.validation_share, self.test_share];
        let mut deal = |trace: leakage::Trace| {
            *known.entry(trace.features).or_insert_with(|| {
                let counts = counts.entry(trace.label).or_default();
                let all = counts.iter().sum::<f64>() + 1.0;
                // The side that is furthest behind its share gets the row.
                let behind = |side: usize| shares[side] * all - counts[side];
                let side = [0, 2, 1].into_iter().max_by(|a, b| behind(*a).total_cmp(&behind(*b)).then(b.cmp(a)));
                let side = side.unwrap_or_default();
                counts[side] += 1.0;
                [Side::Train, Side::Validation, Side::Test][side]
            })
        };
        traces.parts().map(|part| part.map(&mut deal).collect()).collect()
    }

    /// Writes the sides of every part.
    fn deal(
        &self,
        data: &Dataset<'_>,
        sides: &[Vec<Side>],
        context: &Context<'_>,
    ) -> Result<Vec<Vec<Kept>>, StageError> {
        let with = |at: usize| {
            let bytes: Vec<u8> = sides[at].iter().map(|side| *side as u8).collect();
            vec![("sides", Digest::of(&bytes).hex())]
        };
        data.each(("deal", &data.all()), &with, context, &|at, table| {
            let mut blobs = Vec::new();
            for wanted in [Side::Train, Side::Validation, Side::Test] {
                let keep: Vec<bool> = sides[at].iter().map(|side| *side == wanted).collect();
                let side = table.filter(&keep)?;
                let gist = SideGist { rows: side.height() as u64, columns: table.columns()? };
                blobs.push(serde_json::to_vec(&gist).expect("plain data serialises"));
                blobs.push(if gist.rows == 0 { Vec::new() } else { codec::encode(&side)? });
            }
            Ok(blobs)
        })
    }

    fn leakage(
        &self,
        data: &Dataset<'_>,
        traces: &Traces,
        labels: &BTreeMap<String, u64>,
        sides: &[Vec<Side>],
        context: &Context<'_>,
    ) -> Result<Leakage, StageError> {
        // The label that is told from all others: the most frequent, of several the first. Of two labels either tells the
        // same, and the first stays it however many rows come.
        let label = match labels.len() {
            2 => labels.iter().next(),
            _ => labels.iter().max_by_key(|(label, count)| (**count, std::cmp::Reverse((*label).clone()))),
        };
        let label = label.map(|(label, _)| label.clone());
        let with = |_| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            vec![("target", text(&self.target)), ("label", text(&label))]
        };
        let kept = data.each(("classes", &data.all()), &with, context, &|_, table| {
            let Some(target) = &self.target else { return Ok(vec![Profile::of(table, 0)?.encode()]) };
            let cells = table.texts(target)?;
            let of = |is: bool| {
                let keep: Vec<bool> = cells.iter().map(|cell| (*cell == label) == is && cell.is_some()).collect();
                let side = table.filter(&keep)?.without(std::slice::from_ref(target))?;
                Ok(Profile::of(&side, 0)?.bare().encode())
            };
            Ok(vec![of(false)?, of(true)?])
        })?;
        let words = ["rest", "label"].into_iter().take(if self.target.is_some() { 2 } else { 1 });
        let of = |(class, word): (usize, &str)| {
            together(word, &kept.iter().map(|kept| kept[class]).collect::<Vec<_>>(), context)
        };
        let classes = words.enumerate().map(of).collect::<Result<Vec<_>, _>>()?;
        Ok(Leakage::new(traces, sides, label, &classes, self.near_perfect))
    }
}
