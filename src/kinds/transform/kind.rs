//! `transform`: tables → matrices; every step fitted on train only.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array1, Array2, Axis, concatenate};

use crate::base::nearest::suggest;
use crate::frame::labels::Labels;
use crate::frame::npy;
use crate::frame::npz::NpzWriter;
use crate::frame::table::{Table, TableError};
use crate::kinds::dataset::Dataset;
use crate::kinds::transform::steps::{self, StepParams};
use crate::prep::error::PrepError;
use crate::prep::labels::TargetMap;
use crate::prep::preprocessor::{Preprocessor, PreprocessorSettings};
use crate::profile::columns::Profile;
use crate::profile::giveaway::Giveaway;
use crate::profile::nature::rising;
use crate::profile::separation::{ClassTellings, LABELS, LabelProfiles, SAMPLE};
use crate::profile::units::distinct_rows;
use crate::stage::context::StageContext;
use crate::stage::declare::params;
use crate::stage::error::StageError;
use crate::stage::io::{Inputs, Outputs};
use crate::stage::kind::{Stage, StageKind};
use crate::stage::param::{ParamError, ParamType, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};

/// The kind.
pub const KIND: StageKind = StageKind {
    name: "transform",
    version: 6,
    doc: "Makes tables numbers, step by step: fills, encodes, scales, and maps the target to 0 and 1. Fitted on `train` only, \
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
    make,
};

params! {
    /// Parameters of `transform`.
    struct TransformParams {
        /// The column of labels.
        target: String = required;
        /// Which label means which class; 1 is the attack.
        target_map: BTreeMap<String, i64> = "{-1: 0, 1: 1}", in ParamType::Map(&ParamType::Int(0, 1));
        /// The class of every label that `target_map` does not name; without it such a label is an
        /// error.
        other_labels: Option<i64>, in ParamType::Int(0, 1);
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
        /// `quantile`, `log1p`, `clip`, `onehot`, `ordinal`, `target`, `hash`, `pca`, `drop`,
        /// `ratio` and `difference`. In the end there are only numbers; missing cells may stay
        /// where all learners are made of trees.
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
            steps,
        },
        drop: params.drop,
        near_perfect: params.near_perfect,
        allow,
    }))
}

impl TransformParams {
    /// Returns which label means which class; both have one.
    fn labels(&self) -> Result<TargetMap, Vec<ParamError>> {
        let class = |class: i64| u8::from(class == 1);
        let classes: BTreeMap<String, u8> = self
            .target_map
            .iter()
            .map(|(label, number)| (label.clone(), class(*number)))
            .collect();
        let others = self.other_labels.map(class);
        let reached: Vec<u8> = classes.values().copied().chain(others).collect();
        if reached.contains(&0) && reached.contains(&1) {
            return Ok(TargetMap { classes, others });
        }
        let help =
            "name the benign labels with 0, and set `other_labels: 1` if all others are attacks";
        let message = "both classes, 0 and 1, must have a label";
        Err(vec![ParamError::new(&["target_map"], message, help)])
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
        let table = |port: &str| -> Result<Table, StageError> {
            let table = Dataset::open(inputs.one(port))?.whole()?;
            if let Some(name) = self.drop.iter().find(|name| !table.has(name)) {
                let names = table.names();
                let help = suggest(name, names.iter().map(String::as_str)).unwrap_or_default();
                return Err(StageError::Data(format!(
                    "drop: there is no column `{name}`: {help}"
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
        let (train, test) = (table("train")?, table("test")?);
        (context.progress)(0, 2, "fitting on train");
        let (mut preprocessor, features) =
            Preprocessor::fit(&train, &self.settings).map_err(of("train"))?;
        context.check()?;
        preprocessor.giveaways = self
            .giveaways(&train)
            .map_err(|error| of("train")(error.into()))?;
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
        let attacks = labels.attacks();
        outputs.bytes("train", array(features, &labels)?);
        outputs.bytes("train_labels", named(&preprocessor, &written, &labels)?);
        (context.progress)(1, 2, "applying to test");
        let features = preprocessor.apply(&test).map_err(of("test"))?;
        let written = preprocessor.written_labels(&test).map_err(of("test"))?;
        let labels = preprocessor.mapped(&written).map_err(of("test"))?;
        outputs.bytes("test", array(features, &labels)?);
        outputs.bytes("test_labels", named(&preprocessor, &written, &labels)?);
        outputs.note(format!(
            "{} features of {} rows: {attacks} attacks, {} benign",
            preprocessor.features().len(),
            train.height(),
            train.height() - attacks
        ));
        outputs.bytes("preprocessor", preprocessor.encode());
        Ok(())
    }
}

impl TransformStage {
    /// Finds the columns that give the label away, by the question that is asked here: attack or
    /// not.
    fn giveaways(&self, train: &Table) -> Result<Vec<Giveaway>, TableError> {
        // Copies of a row are no evidence of what its cells tell.
        let rising = rising(train)?;
        let train = &distinct_rows(train)?;
        let labels = &self.settings.labels;
        let cells = train.texts(&self.settings.target)?;
        let features = train.without(std::slice::from_ref(&self.settings.target))?;
        let mut counts: Vec<(String, usize)> =
            train.counts(&self.settings.target)?.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let mut profiles = LabelProfiles::new();
        let class = |label: Option<&str>| labels.class(label).unwrap_or_default();
        // Labels that are rarer than these are put together by their class.
        let name = |label: Option<&str>| match label {
            Some(label)
                if counts
                    .iter()
                    .take(LABELS)
                    .any(|(common, _)| common == label) =>
            {
                label.to_owned()
            }
            label => format!("\0{}", class(label)),
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
        let is_attack = |label: &str| match label.strip_prefix('\0') {
            Some(class) => class == "1",
            None => class(Some(label)) == 1,
        };
        Ok(ClassTellings::new(&profiles, &is_attack).giveaways(self.near_perfect, &rising))
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
