//! `drift`: do rows still look like those they are compared with.

use std::collections::BTreeSet;

use crate::base::nearest::suggest;
use crate::base::stored::StoredDocument;
use crate::drift::compare::{self, ContinuousTest, DriftThresholds, PValueCorrection};
use crate::frame::cell::MISSING;
use crate::frame::table::{ColumnType, TableError};
use crate::kinds::dataset::{Dataset, PartWork};
use crate::kinds::merged_profile::together;
use crate::model::bundle::ModelBundle;
use crate::profile::columns::Profile;
use crate::source::files::{self, Options};
use crate::stage::context::StageContext;
use crate::stage::declare::{choices, params};
use crate::stage::error::StageError;
use crate::stage::io::{Input, Inputs, Outputs};
use crate::stage::kind::{Stage, StageKind};
use crate::stage::param::{ParamError, ParamType, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};
use crate::stage::remote::RemoteWork;
use crate::stage::sub_action::SubAction;
use crate::views;

/// The kind.
pub const KIND: StageKind = StageKind {
    name: "drift",
    version: 4,
    doc: "Compares rows with a reference: column by column with the test that fits what it holds, and as whole rows. An alarm \
          needs a significant p-value after correction and an effect that counts. Each part of a table is looked at once.",
    inputs: Ports::Fixed(&[
        Port {
            name: "current",
            format: PortFormat::Table,
            need: PortNeed::One,
            doc: "the rows",
        },
        Port {
            name: "reference",
            format: PortFormat::Any,
            need: PortNeed::Optional,
            doc: "what they are compared with: a table, a file of rows, or a profile that was kept",
        },
        Port {
            name: "champion",
            format: PortFormat::Model,
            need: PortNeed::Ref(""),
            doc: "instead: the current champion, for the data it was trained on, such as `ref:champion/default`",
        },
    ]),
    outputs: Ports::Fixed(&[
        Port {
            name: "report",
            format: PortFormat::Json,
            need: PortNeed::One,
            doc: "every test, distance and verdict",
        },
        Port {
            name: "page",
            format: PortFormat::Text,
            need: PortNeed::One,
            doc: "the same as a page (HTML)",
        },
        Port {
            name: "reference",
            format: PortFormat::Profile,
            need: PortNeed::One,
            doc: "the profile of the reference",
        },
        Port {
            name: "current",
            format: PortFormat::Profile,
            need: PortNeed::One,
            doc: "the profile of the rows",
        },
    ]),
    params: DriftParams::PARAMS,
    seeded: true,
    runs_elsewhere: false,
    remote: RemoteWork::Parts,
    make,
};

params! {
    /// Parameters of `drift`.
    pub(crate) struct DriftParams {
        /// The chance of a false alarm; a fifth of it goes to the comparison of whole rows.
        alpha: f64 = "0.05", in ParamType::Float(0.0, 1.0);
        /// How p-values are corrected for how many things are asked.
        correction: PValueCorrection = "holm";
        /// The test for numbers with many values.
        continuous: ContinuousTest = "ks";
        /// Numbers with up to so many different values are compared like categories.
        few: usize = "20", in ParamType::Int(2, 1000);
        /// The least effect of a changed distribution that counts: distance of the distribution
        /// functions, or Cramér's V.
        min_effect: f64 = "0.045", in ParamType::Float(0.0, 1.0);
        /// The least difference of the shares of missing cells (or of NaN and infinities) that
        /// counts.
        min_share: f64 = "0.01", in ParamType::Float(0.0, 1.0);
        /// The least share of rows with new categories that counts.
        min_new: f64 = "0.002", in ParamType::Float(0.0, 1.0);
        /// Whether whole rows are compared too, by a model that tries to tell them apart.
        rows: bool = "true";
        /// The least AUC of that model that counts.
        min_auc: f64 = "0.55", in ParamType::Float(0.5, 1.0);
        /// The share of columns that may drift.
        max_share: f64 = "0", in ParamType::Float(0.0, 1.0);
        /// Columns that name a group, such as a host, whose rows are alike and stay together
        /// (`split: {by: group}`): then one row of each group is compared. Without any, copies of a
        /// row are seen to by themselves.
        group: Vec<String> = "[]";
        /// Columns that are not compared.
        ignore: Vec<String> = "[]";
        /// Whether drift fails the stage; otherwise it is only reported.
        fail: bool = "false";
    }
}

choices!(PValueCorrection {
    "holm" => PValueCorrection::Holm,
    "benjamini_hochberg" => PValueCorrection::BenjaminiHochberg,
});

choices!(ContinuousTest {
    "ks" => ContinuousTest::Ks,
    "cramer_von_mises" => ContinuousTest::CramerVonMises,
});

struct DriftStage(DriftParams);

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    Ok(Box::new(DriftStage(DriftParams::of(values))))
}

impl DriftParams {
    fn thresholds(&self, seed: u64, rows: bool) -> DriftThresholds {
        DriftThresholds {
            alpha: self.alpha,
            correction: self.correction,
            continuous: self.continuous,
            few: self.few,
            min_effect: self.min_effect,
            min_share: self.min_share,
            min_new: self.min_new,
            rows,
            min_auc: self.min_auc,
            max_share: self.max_share,
            seed,
        }
    }
}

impl Stage for DriftStage {
    fn run(
        &self,
        inputs: &Inputs,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let current = profile(
            &Dataset::open(inputs.one("current"))?,
            "current",
            &self.0.group,
            context,
        )?;
        let reference = match (inputs.maybe("reference"), inputs.maybe("champion")) {
            (Some(_), Some(_)) => {
                let why = "both `reference` and `champion` are given: which one is it to be?";
                return Err(StageError::Data(why.to_owned()));
            }
            (Some(input), None) => Some(from_any(input, &current, &self.0.group, context)?),
            (None, Some(model)) => Some(from_model(model)?),
            (None, None) => None,
        };
        let is_known = reference.is_some();
        let mut both = std::iter::once(&current)
            .chain(&reference)
            .flat_map(|profile| &profile.columns);
        let names: BTreeSet<&str> = both.by_ref().map(|column| column.name.as_str()).collect();
        if let Some(name) = self
            .0
            .ignore
            .iter()
            .find(|name| !names.contains(name.as_str()))
        {
            let help = suggest(name, names.iter().copied()).unwrap_or_default();
            return Err(StageError::Data(format!(
                "ignore: there is no column `{name}`: {help}"
            )));
        }
        let ignored = |mut profile: Profile| {
            profile
                .columns
                .retain(|column| !self.0.ignore.contains(&column.name));
            profile
        };
        let (reference, current) = (
            ignored(reference.unwrap_or_else(|| current.clone())),
            ignored(current),
        );
        let settings = self.0.thresholds(context.seed, self.0.rows && is_known);
        (context.progress)(0, 1, "comparing");
        let found = compare::compare(&reference, &current, &settings);
        outputs.bytes("report", found.encode());
        outputs.bytes(
            "page",
            views::drift::page(&found, &reference, &current).into_bytes(),
        );
        outputs.bytes("reference", reference.encode());
        outputs.bytes("current", current.encode());
        if !is_known {
            outputs.note("there is nothing to compare with yet: no `reference`, and no champion with a profile");
            return Ok(());
        }
        if self.0.fail && found.drifted {
            return Err(StageError::Data(format!(
                "{}; look at the `report`, or set `fail: false`",
                found.line()
            )));
        }
        outputs.note(found.line());
        Ok(())
    }
}

/// Returns the profile of a table; every part is looked at once.
pub(crate) fn profile(
    data: &Dataset<'_>,
    word: &str,
    group: &[String],
    context: &StageContext<'_>,
) -> Result<Profile, StageError> {
    let work = PartWork {
        kind: "profile",
        name: word.to_owned(),
        parts: &data.all(),
    };
    let with = |_: usize, part: SubAction| part.with("group", group);
    let kept = data.each(work, &with, context, &|_, table| {
        Ok(vec![Profile::of_groups(table, group)?.encode()])
    })?;
    together(
        word,
        &kept.iter().map(|kept| kept[0]).collect::<Vec<_>>(),
        context,
    )
}

/// Reads whatever a reference is. A file of rows gets the text columns of the current rows, as
/// numbers may be names there.
fn from_any(
    input: &Input,
    current: &Profile,
    group: &[String],
    context: &StageContext<'_>,
) -> Result<Profile, StageError> {
    if input.directory {
        return profile(&Dataset::open(input)?, "reference", group, context);
    }
    let bytes = input.bytes()?;
    if bytes.starts_with(b"PAR1") {
        return profile(&Dataset::open(input)?, "reference", group, context);
    }
    if let Ok(profile) = Profile::decode(&bytes) {
        return Ok(profile);
    }
    let wrong = |error: TableError| StageError::Data(format!("`{}`: {error}", input.label));
    let text = current
        .columns
        .iter()
        .filter(|column| column.kind == ColumnType::Text);
    let types = text
        .map(|column| (column.name.clone(), ColumnType::Text))
        .collect();
    let options = Options {
        types,
        ..Options::plain(&MISSING)
    };
    let table = files::read(bytes, &options).map_err(wrong)?;
    Profile::of_groups(&table, group).map_err(wrong)
}

fn from_model(input: &Input) -> Result<Profile, StageError> {
    let wrong = |why: String| StageError::Data(format!("`{}`: {why}", input.label));
    let bundle = ModelBundle::decode(&input.bytes()?);
    let bundle = bundle.map_err(|error| wrong(error.to_string()))?;
    let none =
        "this model does not know the data it was trained on: give its `train` stage a `profile`";
    let bytes = bundle.profile.ok_or_else(|| wrong(none.to_owned()))?;
    Profile::decode(&bytes).map_err(wrong)
}
