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
use crate::stage::error::StageError;
use crate::stage::io::{Input, Inputs, Outputs};
use crate::stage::kind::{Stage, StageKind};
use crate::stage::memo::SubAction;
use crate::stage::param::{Param, ParamError, ParamFallback, ParamType, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};
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
    params: &[
        Param {
            name: "alpha",
            kind: ParamType::Float(0.0, 1.0),
            default: ParamFallback::Yaml("0.05"),
            doc: "The chance of a false alarm; a fifth of it goes to the comparison of whole rows.",
        },
        Param {
            name: "correction",
            kind: ParamType::Choice(&["holm", "benjamini_hochberg"]),
            default: ParamFallback::Yaml("holm"),
            doc: "How p-values are corrected for how many things are asked.",
        },
        Param {
            name: "continuous",
            kind: ParamType::Choice(&["ks", "cramer_von_mises"]),
            default: ParamFallback::Yaml("ks"),
            doc: "The test for numbers with many values.",
        },
        Param {
            name: "few",
            kind: ParamType::Int(2, 1000),
            default: ParamFallback::Yaml("20"),
            doc: "Numbers with up to so many different values are compared like categories.",
        },
        Param {
            name: "min_effect",
            kind: ParamType::Float(0.0, 1.0),
            default: ParamFallback::Yaml("0.045"),
            doc: "The least effect of a changed distribution that counts: distance of the distribution functions, or Cramér's V.",
        },
        Param {
            name: "min_share",
            kind: ParamType::Float(0.0, 1.0),
            default: ParamFallback::Yaml("0.01"),
            doc: "The least difference of the shares of missing cells (or of NaN and infinities) that counts.",
        },
        Param {
            name: "min_new",
            kind: ParamType::Float(0.0, 1.0),
            default: ParamFallback::Yaml("0.002"),
            doc: "The least share of rows with new categories that counts.",
        },
        Param {
            name: "rows",
            kind: ParamType::Bool,
            default: ParamFallback::Yaml("true"),
            doc: "Whether whole rows are compared too, by a model that tries to tell them apart.",
        },
        Param {
            name: "min_auc",
            kind: ParamType::Float(0.5, 1.0),
            default: ParamFallback::Yaml("0.55"),
            doc: "The least AUC of that model that counts.",
        },
        Param {
            name: "max_share",
            kind: ParamType::Float(0.0, 1.0),
            default: ParamFallback::Yaml("0"),
            doc: "The share of columns that may drift.",
        },
        Param {
            name: "group",
            kind: ParamType::List(&ParamType::Text),
            default: ParamFallback::Yaml("[]"),
            doc: "Columns that name a group, such as a host, whose rows are alike and stay together (`split: {by: group}`): then one row of \
                  each group is compared. Without any, copies of a row are seen to by themselves.",
        },
        Param {
            name: "ignore",
            kind: ParamType::List(&ParamType::Text),
            default: ParamFallback::Yaml("[]"),
            doc: "Columns that are not compared.",
        },
        Param {
            name: "fail",
            kind: ParamType::Bool,
            default: ParamFallback::Yaml("false"),
            doc: "Whether drift fails the stage; otherwise it is only reported.",
        },
    ],
    seeded: true,
    own_turn: false,
    make,
};

struct DriftStage {
    settings: DriftThresholds,
    group: Vec<String>,
    ignore: Vec<String>,
    fail: bool,
}

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    let number = |name: &str| values.float(name).unwrap_or_default();
    let settings = DriftThresholds {
        alpha: number("alpha"),
        correction: match values.text("correction") {
            Some("benjamini_hochberg") => PValueCorrection::BenjaminiHochberg,
            _ => PValueCorrection::Holm,
        },
        continuous: match values.text("continuous") {
            Some("cramer_von_mises") => ContinuousTest::CramerVonMises,
            _ => ContinuousTest::Ks,
        },
        few: values.size("few"),
        min_effect: number("min_effect"),
        min_share: number("min_share"),
        min_new: number("min_new"),
        rows: values.flag("rows"),
        min_auc: number("min_auc"),
        max_share: number("max_share"),
        seed: 0,
    };
    Ok(Box::new(DriftStage {
        settings,
        group: values.texts("group"),
        ignore: values.texts("ignore"),
        fail: values.flag("fail"),
    }))
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
            &self.group,
            context,
        )?;
        let reference = match (inputs.maybe("reference"), inputs.maybe("champion")) {
            (Some(_), Some(_)) => {
                let why = "both `reference` and `champion` are given: which one is it to be?";
                return Err(StageError::Data(why.to_owned()));
            }
            (Some(input), None) => Some(from_any(input, &current, &self.group, context)?),
            (None, Some(model)) => Some(from_model(model)?),
            (None, None) => None,
        };
        let is_known = reference.is_some();
        let mut both = std::iter::once(&current)
            .chain(&reference)
            .flat_map(|profile| &profile.columns);
        let names: BTreeSet<&str> = both.by_ref().map(|column| column.name.as_str()).collect();
        if let Some(name) = self
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
                .retain(|column| !self.ignore.contains(&column.name));
            profile
        };
        let (reference, current) = (
            ignored(reference.unwrap_or_else(|| current.clone())),
            ignored(current),
        );
        let settings = DriftThresholds {
            seed: context.seed,
            rows: self.settings.rows && is_known,
            ..self.settings
        };
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
        if self.fail && found.drifted {
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
        name: word,
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
    let bundle = ModelBundle::decode(&input.bytes()?).map_err(wrong)?;
    let none =
        "this model does not know the data it was trained on: give its `train` stage a `profile`";
    let bytes = bundle.profile.ok_or_else(|| wrong(none.to_owned()))?;
    Profile::decode(&bytes).map_err(wrong)
}
