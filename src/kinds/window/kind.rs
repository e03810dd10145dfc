//! `window`: features of a row over those that came before it.

use std::collections::BTreeMap;

use crate::base::nearest::suggest;
use crate::frame::table::ColumnType;
use crate::kinds::dataset::Dataset;
use crate::kinds::duration::{LENGTHS, seconds};
use crate::kinds::window::work::tell_parts;
use crate::profile::nature::is_annotation;
use crate::rolling::definition::{RollingFeatures, RollingWindow, WindowMeasure, WindowReach};
use crate::rolling::reader::no_numbers;
use crate::stage::context::StageContext;
use crate::stage::declare::{WrittenScalar, choices, params};
use crate::stage::error::StageError;
use crate::stage::io::{Inputs, Outputs};
use crate::stage::kind::{Stage, StageKind};
use crate::stage::param::{ParamError, ParamStep, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};
use crate::stage::remote::RemoteWork;

/// The kind.
pub const KIND: StageKind = StageKind {
    name: "window",
    version: 1,
    doc: "Adds to each row what came before it: how many rows of its host or pair in the last ten seconds, to how many ports, \
          how regularly. It looks back only, so that what is told of a row stays the same whatever comes after. Each part of \
          the table is computed once, from what the parts before it left.",
    inputs: Ports::Fixed(&[Port {
        name: "data",
        format: PortFormat::Table,
        need: PortNeed::One,
        doc: "the rows, in the order in which they came",
    }]),
    outputs: Ports::Fixed(&[
        Port {
            name: "data",
            format: PortFormat::Table,
            need: PortNeed::One,
            doc: "the same rows with the columns that are added",
        },
        Port {
            name: "windows",
            format: PortFormat::Windows,
            need: PortNeed::One,
            doc: "what is computed; `transform` takes it, so that the model computes the same of raw rows",
        },
    ]),
    params: WindowStageParams::PARAMS,
    seeded: false,
    runs_elsewhere: false,
    remote: RemoteWork::Never,
    make,
};

params! {
    /// A window and what is computed of it.
    struct WindowParams {
        /// Only rows with the same cells in these columns are in the window: `[src]`, `[src, dst]`;
        /// without any, all rows.
        by: Vec<String> = "[]";
        /// How far it reaches back, one or several: a length of time such as `10s`, `5min` or `1h`,
        /// or a number of rows. The row itself is in it.
        over: Vec<WrittenScalar> = required;
        /// How many rows.
        count: bool = "false";
        /// Of these columns, how many different values.
        distinct: Vec<String> = "[]";
        /// Of these columns, the share of the cells that equal the row's own.
        share: Vec<String> = "[]";
        /// Of these columns, the entropy of the values in bits.
        entropy: Vec<String> = "[]";
        /// Of these columns, the sum; like what follows, missing where all cells are.
        sum: Vec<String> = "[]";
        /// Of these columns, the mean.
        mean: Vec<String> = "[]";
        /// Of these columns, the standard deviation.
        std: Vec<String> = "[]";
        /// Of these columns, the least cell.
        min: Vec<String> = "[]";
        /// Of these columns, the greatest cell.
        max: Vec<String> = "[]";
        /// The seconds since the row before; missing of the first.
        gap: bool = "false";
        /// The standard deviation of the seconds between rows over their mean: near 0 for what
        /// comes like a clock, such as a beacon, 1 for what comes at random. Missing with fewer
        /// than three rows.
        regularity: bool = "false";
    }
}

params! {
    /// Parameters of `window`.
    struct WindowStageParams {
        /// The column that tells when a row came: times, or numbers of seconds since 1970. The
        /// clock of the windows is the latest time so far: a row that is logged late counts when it
        /// comes.
        time: String = required;
        /// How numbers in it count from 1970, in seconds, thousandths or millionths; without it, as
        /// `types` of `ingest` says, otherwise in seconds.
        epoch: Option<EpochUnit>;
        /// By how much a row may be behind the latest time before it; one that is further behind is
        /// refused, as one of the two is wrong then.
        late: String = "1d";
        /// The windows.
        windows: Vec<Option<WindowParams>> = required;
    }
}

/// What numbers of a column of times count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EpochUnit {
    Seconds,
    Thousandths,
    Millionths,
}

choices!(EpochUnit {
    "s" => EpochUnit::Seconds,
    "ms" => EpochUnit::Thousandths,
    "us" => EpochUnit::Millionths,
});

impl EpochUnit {
    /// Returns the digits of the parts of a second.
    fn digits(self) -> u32 {
        match self {
            Self::Seconds => 0,
            Self::Thousandths => 3,
            Self::Millionths => 6,
        }
    }
}

struct WindowStage {
    /// What is computed, of numbers that count in seconds.
    features: RollingFeatures,
    /// What numbers of the times count instead.
    epoch: Option<EpochUnit>,
}

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    let params = WindowStageParams::of(values);
    let mut faults = Vec::new();
    let late = seconds(&params.late).map_or_else(
        || {
            let message = format!("`{}` is no length of time", params.late);
            faults.push(ParamError::new(&["late"], message, LENGTHS));
            0
        },
        |seconds| (seconds * 1000.0) as i64,
    );
    let mut windows = Vec::new();
    for (at, window) in params.windows.iter().enumerate() {
        // What was refused is told already.
        let Some(window) = window else { continue };
        match window.read(at) {
            Ok(read) => windows.extend(read),
            Err(fault) => faults.push(*fault),
        }
    }
    if params.windows.is_empty() {
        let help = "name one, such as `{by: [src], over: [10s], count: true}`";
        faults.push(ParamError::new(&["windows"], "there is no window", help));
    }
    let features = RollingFeatures::new(params.time, 0, late, windows);
    let mut names = features.names();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let message = format!("`{}` is asked for twice", twice[0]);
        faults.push(ParamError::new(&["windows"], message, "leave one out"));
    }
    match faults.is_empty() {
        true => Ok(Box::new(WindowStage {
            features,
            epoch: params.epoch,
        })),
        false => Err(faults),
    }
}

impl WindowParams {
    /// Reads a window of each length.
    fn read(&self, at: usize) -> Result<Vec<RollingWindow>, Box<ParamError>> {
        let fault = |key: Option<&str>, message: &str, help: &str| {
            let path = [ParamStep::key("windows"), ParamStep::Index(at)];
            let path = path.into_iter().chain(key.map(ParamStep::key)).collect();
            Box::new(ParamError {
                path,
                message: message.to_owned(),
                help: Some(help.to_owned()),
            })
        };
        let measures = self.measures();
        if measures.is_empty() {
            let help = "set `count`, `gap` or `regularity`, or name columns in `distinct`, `share`, `entropy`, `sum`, `mean`, \
                        `std`, `min` or `max`";
            return Err(fault(None, "nothing is computed of this window", help));
        }
        if self.over.is_empty() {
            let help = "name a length of time such as `10s`, or a number of rows";
            return Err(fault(Some("over"), "no length is named", help));
        }
        let mut windows = Vec::new();
        for WrittenScalar(written) in &self.over {
            let reach = reach(written).ok_or_else(|| {
                let message =
                    format!("`{written}` is neither a length of time nor a number of rows");
                let help = "say `10s`, `5min`, `1h` or `1d`, or a whole number of rows above 1";
                fault(Some("over"), &message, help)
            })?;
            let written = match reach {
                WindowReach::Rows(rows) => format!("{rows} rows"),
                WindowReach::Milliseconds(_) => written.clone(),
            };
            windows.push(RollingWindow {
                by: self.by.clone(),
                reach,
                written,
                measures: measures.clone(),
            });
        }
        Ok(windows)
    }

    fn measures(&self) -> Vec<WindowMeasure> {
        type OfColumn = fn(String) -> WindowMeasure;
        let of_columns: [(&Vec<String>, OfColumn); 8] = [
            (&self.distinct, WindowMeasure::Distinct),
            (&self.share, WindowMeasure::Share),
            (&self.entropy, WindowMeasure::Entropy),
            (&self.sum, WindowMeasure::Sum),
            (&self.mean, WindowMeasure::Mean),
            (&self.std, WindowMeasure::Deviation),
            (&self.min, WindowMeasure::Least),
            (&self.max, WindowMeasure::Greatest),
        ];
        let mut measures = Vec::new();
        measures.extend(self.count.then_some(WindowMeasure::Count));
        for (columns, measure) in of_columns {
            measures.extend(columns.iter().cloned().map(measure));
        }
        measures.extend(self.gap.then_some(WindowMeasure::Gap));
        measures.extend(self.regularity.then_some(WindowMeasure::Regularity));
        measures
    }
}

/// Reads how far a window reaches back.
fn reach(written: &str) -> Option<WindowReach> {
    if let Ok(rows) = written.trim().parse::<u64>() {
        return (rows > 1).then_some(WindowReach::Rows(rows));
    }
    let ms = seconds(written)? * 1000.0;
    (ms >= 1.0).then_some(WindowReach::Milliseconds(ms as i64))
}

impl Stage for WindowStage {
    fn run(
        &self,
        inputs: &Inputs,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let data = Dataset::open(inputs.one("data"))?;
        self.check(&data.index.columns)?;
        let mut features = self.features.clone();
        features.digits = self.digits(&data.index.epochs)?;
        let told = tell_parts(&features, &data, outputs, context)?;
        for line in told {
            outputs.note(line);
        }
        for name in self.features.needed() {
            if is_annotation(name) {
                outputs.note(format!(
                    "`{name}` is called like a label: what is computed of it is not known of a row that is to be scored"
                ));
            }
        }
        outputs.bytes("windows", features.encode());
        Ok(())
    }
}

impl WindowStage {
    /// Returns the digits of the parts of a second that numbers of the times count in: also those of
    /// raw rows that the model is asked about, where the column was made times.
    fn digits(&self, epochs: &BTreeMap<String, u32>) -> Result<u32, StageError> {
        let asked = self.epoch.map(EpochUnit::digits);
        let read = epochs.get(&self.features.time).copied();
        match (asked, read) {
            (Some(asked), Some(read)) if asked != read => Err(StageError::Data(format!(
                "epoch: the numbers of `{}` were made times by another unit, as `types` of `ingest` says: leave `epoch` out, or \
                 mend `types`",
                self.features.time
            ))),
            _ => Ok(asked.or(read).unwrap_or(0)),
        }
    }

    /// Checks that the columns are there, and those that are added are not.
    fn check(&self, columns: &[(String, ColumnType)]) -> Result<(), StageError> {
        let has = |name: &String| columns.iter().any(|(column, _)| column == name);
        if let Some(name) = self.features.names().iter().find(|name| has(name)) {
            let why =
                format!("there is a column `{name}` already: the windows were computed before");
            return Err(StageError::Data(why));
        }
        let known = || columns.iter().map(|(column, _)| column.as_str());
        if let Some(name) = self.features.needed().into_iter().find(|name| !has(name)) {
            let help = suggest(name, known()).unwrap_or_default();
            let why = format!("there is no column `{name}`: {help}");
            return Err(StageError::Data(why));
        }
        if let Some((name, kind)) = no_numbers(&self.features, columns) {
            let kind = kind.as_str();
            let why = format!(
                "the column `{name}` holds {kind}, not numbers: of it `distinct`, `share` and `entropy` can be computed"
            );
            return Err(StageError::Data(why));
        }
        Ok(())
    }
}
