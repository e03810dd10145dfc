//! `transform`: tables → matrices; every step fitted on train only.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array1, Array2, Axis, concatenate};

use crate::base::nearest::suggest;
use crate::frame::labels::{Classes, Labels};
use crate::frame::npy;
use crate::frame::npz::NpzWriter;
use crate::frame::table::{Table, TableError};
use crate::kinds::dataset::Dataset;
use crate::kinds::transform::steps::{self, StepParams};
use crate::prep::error::PrepError;
use crate::prep::labels::{OtherLabels, TargetMap, TargetRule, UNSEEN_CLASS};
use crate::prep::preprocessor::{Preprocessor, PreprocessorSettings};
use crate::profile::columns::Profile;
use crate::profile::giveaway::{Giveaway, GiveawayReason};
use crate::profile::nature::rising;
use crate::profile::separation::{ClassTellings, LABELS, LabelProfiles, SAMPLE};
use crate::profile::units::distinct_rows;
use crate::rolling::definition::RollingFeatures;
use crate::rolling::reader::times;
use crate::stage::context::StageContext;
use crate::stage::declare::{ParamField, WrittenScalar, params};
use crate::stage::error::StageError;
use crate::stage::io::{Inputs, Outputs};
use crate::stage::kind::{Stage, StageKind};
use crate::stage::param::{ParamError, ParamType, Value, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};
use crate::stage::remote::RemoteWork;

/// The kind.
pub const KIND: StageKind = StageKind {
    name: "transform",
    version: 7,
    doc: "Makes tables numbers, step by step: fills, encodes, scales, and maps the target to classes. Fitted on `train` only, \
          applied to both.",
    inputs: Ports::Fixed(&[
        Port {
            name: "train",
            format: PortFormat::Table,
            need: PortNeed::One,
            doc: "the rows to learn from",
        },
        Port {
            name: "test",
            format: PortFormat::Table,
            need: PortNeed::One,
            doc: "the rows to judge by",
        },
        Port {
            name: "windows",
            format: PortFormat::Windows,
            need: PortNeed::Optional,
            doc: "what `window` computed: the model computes the same of rows that lack it",
        },
    ]),
    outputs: Ports::Fixed(&[
        Port {
            name: "train",
            format: PortFormat::Array,
            need: PortNeed::One,
            doc: "features, then the class in the last column",
        },
        Port {
            name: "test",
            format: PortFormat::Array,
            need: PortNeed::One,
            doc: "the same of the test rows",
        },
        Port {
            name: "train_labels",
            format: PortFormat::Labels,
            need: PortNeed::One,
            doc: "what the numbers of `train` mean, as `numpy.load` reads it: the names of its `features` and `classes`, \
                  `is_attack` of each class, the `class` of each row, and its `label` as it is written (empty where it is missing), \
                  a place in `label_names`",
        },
        Port {
            name: "test_labels",
            format: PortFormat::Labels,
            need: PortNeed::One,
            doc: "the same of the test rows",
        },
        Port {
            name: "preprocessor",
            format: PortFormat::Preprocessor,
            need: PortNeed::One,
            doc: "every fitted step",
        },
    ]),
    params: TransformParams::PARAMS,
    seeded: false,
    runs_elsewhere: false,
    remote: RemoteWork::Whole,
    make,
};

/// The word that makes each label a class of its own.
const EACH: &str = "each";

/// What helps where labels have no classes.
const CLASSES: &str = "name the benign labels with 0 or `benign`, and set `other_labels: 1` if all others are attacks; a class \
     that is no attack, beside `benign`, stands in `benign_classes`";

/// A class as it is written: 0, 1, or its name.
#[derive(Clone, Debug, PartialEq)]
struct ClassChoice(WrittenScalar);

impl ClassChoice {
    fn name(&self) -> &str {
        let [(benign, _), (attack, _)] = Classes::BINARY;
        match self.0.0.as_str() {
            "0" => benign,
            "1" => attack,
            name => name,
        }
    }
}

impl ParamField for ClassChoice {
    const TYPE: ParamType = WrittenScalar::TYPE;

    fn read(value: Option<&Value>) -> Self {
        Self(WrittenScalar::read(value))
    }
}

params! {
    /// Parameters of `transform`.
    struct TransformParams {
        /// The column of labels.
        target: String = required;
        /// Which label means which class: 0 or `benign`, 1 or `attack`, or the name of a family of
        /// attacks, such as `{normal: benign, neptune: dos, nmap: probe}`. The label `""` stands
        /// for a missing one, and for all of a table without the column.
        target_map: BTreeMap<String, ClassChoice> = "{-1: 0, 1: 1}";
        /// The class of every label that `target_map` does not name; without it such a label is an
        /// error. `each`: it is a class of its own and an attack, and one that only the test rows
        /// have is `unseen`.
        other_labels: Option<ClassChoice>;
        /// The classes that are no attacks.
        benign_classes: Vec<String> = "[benign]";
        /// The column that says how much each training row counts: a number from 0 on, such as how
        /// many rows it stands for. It is no feature, and the test rows may lack it.
        weight: Option<String>;
        /// Columns that are no features, such as row numbers and times.
        drop: Vec<String> = "[]";
        /// A column that tells attacks from benign rows by itself with this AUC gives the label
        /// away: a model that uses it is not accepted, nor one that uses row numbers, flow ids,
        /// addresses or times, unless `allow` names the column.
        near_perfect: f64 = "0.99", in ParamType::Float(0.5, 1.0);
        /// Columns that are used although they give the label away, each with the reason, such as
        /// `{sttl: known at detection time}`. The reasons stand in the decision and in the model
        /// card.
        allow: BTreeMap<String, String> = "{}";
        /// What is done, one after the other; each is one of `finite`, `impute`, `scale`,
        /// `quantile`, `log1p`, `clip`, `onehot`, `category`, `ordinal`, `target`, `hash`, `pca`,
        /// `drop`, `ratio` and `difference`. In the end there are only numbers, and categories and
        /// missing cells where all learners are made of trees.
        steps: Vec<Option<StepParams>> = "[{impute: {with: knn}}, {onehot: {}}, {scale: {}}]";
    }
}

struct TransformStage {
    settings: PreprocessorSettings,
    drop: Vec<String>,
    near_perfect: f64,
    allow: BTreeMap<String, String>,
}

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    let params = TransformParams::of(values);
    let labels = params.labels()?;
    let allow = params.allowed()?;
    let (steps, faults) = steps::read(&params.steps);
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Box::new(TransformStage {
        settings: PreprocessorSettings {
            target: params.target,
            labels,
            weight: params.weight,
            steps,
        },
        drop: params.drop,
        near_perfect: params.near_perfect,
        allow,
    }))
}

impl TransformParams {
    /// Returns which label means which class; benign rows have one, and attacks.
    fn labels(&self) -> Result<TargetRule, Vec<ParamError>> {
        let named = self.target_map.iter();
        let named = named.map(|(label, class)| (label.clone(), class.name().to_owned()));
        let rule = TargetRule {
            labels: named.collect(),
            others: match self.other_labels.as_ref().map(ClassChoice::name) {
                None => OtherLabels::Refused,
                Some(EACH) => OtherLabels::Each,
                Some(class) => OtherLabels::Class(class.to_owned()),
            },
            benign: self.benign_classes.clone(),
        };
        let mut reached: BTreeSet<&str> = rule.labels.values().map(String::as_str).collect();
        match &rule.others {
            OtherLabels::Refused => {}
            OtherLabels::Class(class) => {
                reached.insert(class);
            }
            OtherLabels::Each => {
                reached.insert(UNSEEN_CLASS);
            }
        }
        let is_odd = |class: &&&str| class.trim().is_empty() || class.parse::<f64>().is_ok();
        if let Some(class) = reached.iter().find(is_odd) {
            let message = format!("`{class}` is no class: one is 0, 1 or a name");
            return Err(vec![ParamError::new(&["target_map"], message, CLASSES)]);
        }
        let is_benign = |class: &&str| rule.benign.iter().any(|benign| benign == class);
        if reached.iter().any(is_benign) && !reached.iter().all(is_benign) {
            return Ok(rule);
        }
        let message = "a label must be benign, and one must be an attack";
        Err(vec![ParamError::new(&["target_map"], message, CLASSES)])
    }

    /// Returns the columns that are allowed, each with its reason.
    fn allowed(&self) -> Result<BTreeMap<String, String>, Vec<ParamError>> {
        let mut allowed = BTreeMap::new();
        for (column, reason) in &self.allow {
            let reason = reason.trim();
            if reason.is_empty() {
                let help = "say why it is known at detection time: the reason stands in the decision and in the card";
                let message = format!("no reason is given for `{column}`");
                return Err(vec![ParamError::new(&["allow", column], message, help)]);
            }
            allowed.insert(column.clone(), reason.to_owned());
        }
        Ok(allowed)
    }
}

impl Stage for TransformStage {
    fn run(
        &self,
        inputs: &Inputs,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let whole = |port: &str| Dataset::open(inputs.one(port))?.whole();
        let used = |port: &str, table: &Table| -> Result<Table, StageError> {
            if let Some(name) = self.drop.iter().find(|name| !table.has(name)) {
                let names = table.names();
                let help = suggest(name, names.iter().map(String::as_str)).unwrap_or_default();
                return Err(StageError::Data(format!(
                    "drop: there is no column `{name}` in `{port}`: {help}"
                )));
            }
            match table.height() {
                0 => Err(StageError::Data(format!("the table `{port}` has no rows"))),
                _ => table.without(&self.drop).map_err(StageError::from),
            }
        };
        let of = |port: &'static str| {
            move |error: PrepError| StageError::Data(format!("{port}: {error}"))
        };
        let read_train = Dataset::open(inputs.one("train"))?;
        let (all_train, all_test) = (read_train.whole()?, whole("test")?);
        let (train, test) = (used("train", &all_train)?, used("test", &all_test)?);
        (context.progress)(0, 2, "fitting on train");
        let (mut preprocessor, features) =
            Preprocessor::fit(&train, &self.settings).map_err(of("train"))?;
        context.check()?;
        preprocessor.na.clone_from(&read_train.index.na);
        preprocessor.giveaways = self
            .giveaways(&train, preprocessor.target_map())
            .map_err(|error| of("train")(error.into()))?;
        if let Some(input) = inputs.maybe("windows") {
            let windows = windows(&input.bytes()?, &preprocessor)?;
            if let Some(note) = overlap(&windows, &all_train, &all_test)? {
                outputs.note(note);
            }
            preprocessor
                .giveaways
                .retain(|found| !is_of_name(found, &windows));
            preprocessor.windows = Some(windows);
        }
        preprocessor.allowed.clone_from(&self.allow);
        if let Some(name) = self.allow.keys().find(|name| !train.has(name)) {
            let names = train.names();
            let help = suggest(name, names.iter().map(String::as_str)).unwrap_or_default();
            return Err(StageError::Data(format!(
                "allow: there is no column `{name}`: {help}"
            )));
        }
        let written = preprocessor.written_labels(&train).map_err(of("train"))?;
        let labels = preprocessor.mapped(&written).map_err(of("train"))?;
        let (attacks, of_each_class) = (labels.attacks(), labels.tell_classes());
        outputs.bytes("train", array(features, &labels)?);
        outputs.bytes("train_labels", named(&preprocessor, &written, &labels)?);
        (context.progress)(1, 2, "applying to test");
        let features = preprocessor.apply(&test).map_err(of("test"))?;
        let written = preprocessor.written_labels(&test).map_err(of("test"))?;
        let labels = preprocessor.mapped(&written).map_err(of("test"))?;
        outputs.bytes("test", array(features, &labels)?);
        outputs.bytes("test_labels", named(&preprocessor, &written, &labels)?);
        outputs.note(format!(
            "{} features of {} rows: {attacks} attacks, {} benign{}",
            preprocessor.features().len(),
            train.height(),
            train.height() - attacks,
            of_each_class
        ));
        outputs.bytes("preprocessor", preprocessor.encode());
        Ok(())
    }
}

/// Reads the features over the past, of which the model has to use some.
fn windows(bytes: &[u8], preprocessor: &Preprocessor) -> Result<RollingFeatures, StageError> {
    let windows = RollingFeatures::decode(bytes)?;
    if windows
        .needed()
        .into_iter()
        .any(|name| name == preprocessor.target())
    {
        let why = format!(
            "windows: they look at the labels in `{}`, which are not known of rows that are to be scored: leave that column out",
            preprocessor.target()
        );
        return Err(StageError::Data(why));
    }
    let names = windows.names();
    let mut inputs = preprocessor.inputs().iter();
    if inputs.any(|input| names.contains(&input.name)) {
        return Ok(windows);
    }
    let why = "windows: none of their columns is a feature: take the rows from the same `window` stage, or leave the input out";
    Err(StageError::Data(why.to_owned()))
}

/// Whether a column is suspected for its name alone, which is put together of those that its window
/// looks at: how many ports were asked is no port.
fn is_of_name(found: &Giveaway, windows: &RollingFeatures) -> bool {
    let by_name = [
        GiveawayReason::FlowId,
        GiveawayReason::Port,
        GiveawayReason::TimeToLive,
    ];
    by_name.contains(&found.reason) && windows.names().contains(&found.column)
}

/// Says how many test rows came before the last training row: windows then hold rows of both sides.
fn overlap(
    windows: &RollingFeatures,
    train: &Table,
    test: &Table,
) -> Result<Option<String>, StageError> {
    let (train, test) = (times(train, windows)?, times(test, windows)?);
    let Some(last) = train.into_iter().flatten().max() else {
        return Ok(None);
    };
    let (rows, earlier) = (test.len(), test.into_iter().flatten());
    let early = earlier.filter(|time| *time < last).count();
    Ok((early > 0).then(|| {
        format!(
            "{early} of {rows} test rows came before the last training row: their windows hold training rows, and windows of \
             training rows hold them, so that figures may flatter; `split` with `by: time` keeps them apart"
        )
    }))
}

impl TransformStage {
    /// Finds the columns that give the label away, by the question that is asked here: attack or
    /// not.
    fn giveaways(&self, train: &Table, labels: &TargetMap) -> Result<Vec<Giveaway>, TableError> {
        if !train.has(&self.settings.target) {
            return Ok(Vec::new());
        }
        // Copies of a row are no evidence of what its cells tell.
        let rising = rising(train)?;
        let train = &distinct_rows(train)?;
        let cells = train.texts(&self.settings.target)?;
        let aside: Vec<String> = [Some(&self.settings.target), self.settings.weight.as_ref()]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let features = train.without(&aside)?;
        let mut counts: Vec<(String, usize)> =
            train.counts(&self.settings.target)?.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let mut profiles = LabelProfiles::new();
        let is_attack = |label: Option<&str>| labels.is_attack(label).unwrap_or_default();
        // Labels that are rarer than these are put together: attacks, and others.
        let name = |label: Option<&str>| match label {
            Some(label)
                if counts
                    .iter()
                    .take(LABELS)
                    .any(|(common, _)| common == label) =>
            {
                label.to_owned()
            }
            label => format!("\0{}", u8::from(is_attack(label))),
        };
        let mut rows_of: BTreeMap<String, Vec<bool>> = BTreeMap::new();
        for (row, cell) in cells.iter().enumerate() {
            rows_of
                .entry(name(cell.as_deref()))
                .or_insert_with(|| vec![false; cells.len()])[row] = true;
        }
        for (label, keep) in rows_of {
            profiles.insert(
                label,
                Profile::of(&features.filter(&keep)?)?.with_sample(SAMPLE),
            );
        }
        let of_profile = |label: &str| match label.strip_prefix('\0') {
            Some(rest) => rest == "1",
            None => is_attack(Some(label)),
        };
        Ok(ClassTellings::new(&profiles, &of_profile).giveaways(self.near_perfect, &rising))
    }
}

/// What features and classes are called, the class of each row, and its label as it is written, as
/// `.npz`.
fn named(
    preprocessor: &Preprocessor,
    written: &[Option<String>],
    labels: &Labels,
) -> Result<Vec<u8>, StageError> {
    let classes = labels.classes();
    let texts = || {
        written
            .iter()
            .map(|label| label.as_deref().unwrap_or_default())
    };
    let distinct: BTreeSet<&str> = texts().collect();
    let names: Vec<String> = distinct.into_iter().map(str::to_owned).collect();
    let place = |text: &str| names.partition_point(|name| name.as_str() < text) as u32;
    let places: Vec<u32> = texts().map(place).collect();
    let mut archive = NpzWriter::default();
    let written = archive
        .add_texts("features", preprocessor.features())
        .and_then(|()| archive.add_texts("classes", classes.names()))
        .and_then(|()| archive.add("is_attack", classes.attacks().to_vec()))
        .and_then(|()| archive.add("class", labels.rows().to_vec()))
        .and_then(|()| archive.add_texts("label_names", &names))
        .and_then(|()| archive.add("label", places))
        .and_then(|()| archive.finish());
    Ok(written?)
}

/// Features with the class as the last column, as `.npy`.
fn array(features: Array2<f64>, labels: &Labels) -> Result<Vec<u8>, StageError> {
    let numbers = labels.rows().iter().map(|class| f64::from(*class));
    let labels = numbers.collect::<Array1<f64>>().insert_axis(Axis(1));
    let whole = concatenate(Axis(1), &[features.view(), labels.view()])
        .map_err(|error| StageError::Broken(error.to_string()))?;
    npy::encode(&whole.as_standard_layout().to_owned()).map_err(|error| StageError::Broken(error.0))
}
