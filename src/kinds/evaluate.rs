//! `evaluate`: challenger against champion on the same rows; only a better one is accepted.

use crate::base::name::in_backticks;
use crate::base::stored::StoredDocument;
use crate::gate::decision::{Decision, JudgedModel};
use crate::gate::error::{ContenderRole, GateError};
use crate::gate::evaluated::ContenderModel;
use crate::gate::families::worst;
use crate::gate::judge::decide;
use crate::gate::paired::AlternativeHypothesis;
use crate::gate::rules::{GateRules, PairedTest};
use crate::kinds::dataset::Dataset;
use crate::kinds::metric_floors::{floors, gate_fits};
use crate::model::metrics::CHOICES;
use crate::profile::giveaway::GiveawayGrade;
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::stage::io::{Input, Inputs, Outputs};
use crate::stage::kind::{Stage, StageKind};
use crate::stage::param::{Param, ParamError, ParamFallback, ParamType, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};

/// A ROC AUC above this is told to be suspicious.
const SUSPICIOUS: f64 = 0.9995;

/// The kind.
pub const KIND: StageKind = StageKind {
    name: "evaluate",
    version: 5,
    doc: "Judges a model by rows it has not seen and compares it with the accepted one on the same rows. It is accepted, \
          and the `champion` pointer moves to it, if there are enough attacks and benign rows to judge by, no column gives the \
          label away, it reaches `min_score` and `at_least` and, where there is a champion, scores higher with a p-value of at \
          most `alpha`. Test rows that equal training rows are left out.",
    inputs: Ports::Fixed(&[
        Port {
            name: "model",
            format: PortFormat::Model,
            need: PortNeed::One,
            doc: "the challenger",
        },
        Port {
            name: "test",
            format: PortFormat::Table,
            need: PortNeed::One,
            doc: "the rows to judge by, as they come",
        },
        Port {
            name: "champion",
            format: PortFormat::Model,
            need: PortNeed::Ref("model"),
            doc: "the pointer to the accepted model",
        },
    ]),
    outputs: Ports::Fixed(&[Port {
        name: "decision",
        format: PortFormat::Json,
        need: PortNeed::One,
        doc: "the decision, its reasons, and both models' figures",
    }]),
    params: &[
        Param {
            name: "metric",
            kind: ParamType::Choice(&CHOICES),
            default: ParamFallback::Yaml("f1"),
            doc: "What the models are compared by; `log_loss` counts negated, so that greater is better.",
        },
        Param {
            name: "min_score",
            kind: ParamType::Float(-1e9, 1.0),
            default: ParamFallback::Yaml("0.9"),
            doc: "A challenger below this is not accepted. If there is no champion either, the stage fails (exit code 6).",
        },
        Param {
            name: "at_least",
            kind: ParamType::Map(&ParamType::Float(-1e9, 1.0)),
            default: ParamFallback::Yaml("{}"),
            doc: "Other metrics and what they have to reach, such as `{recall_at_fpr_0_01: 0.5}`: half of the attacks at 1 % false \
                  positives.",
        },
        Param {
            name: "max_fpr",
            kind: ParamType::Float(0.0, 1.0),
            default: ParamFallback::Absent,
            doc: "The greatest false-positive rate at the model's threshold.",
        },
        Param {
            name: "min_attacks",
            kind: ParamType::Int(1, 1_000_000_000),
            default: ParamFallback::Yaml("10"),
            doc: "With fewer attacks among the rows nothing is judged: the stage fails, and says what to do.",
        },
        Param {
            name: "min_benign",
            kind: ParamType::Int(1, 1_000_000_000),
            default: ParamFallback::Yaml("10"),
            doc: "The same of benign rows.",
        },
        Param {
            name: "seen_rows",
            kind: ParamType::Choice(&["leave_out", "keep"]),
            default: ParamFallback::Yaml("leave_out"),
            doc: "What becomes of test rows that equal a row that one of the models was fitted to, in all columns that it uses: they \
                  are left out, or kept although they flatter the model.",
        },
        Param {
            name: "alpha",
            kind: ParamType::Float(0.0, 1.0),
            default: ParamFallback::Yaml("0.05"),
            doc: "The greatest p-value with which a challenger counts as better; 1 accepts any higher score.",
        },
        Param {
            name: "test",
            kind: ParamType::Choice(&["auto", "mcnemar", "delong", "bootstrap"]),
            default: ParamFallback::Yaml("auto"),
            doc: "The paired test. `auto` is that of the metric: exact McNemar for `accuracy`, DeLong for `roc_auc`, a paired \
                  bootstrap for all others.",
        },
        Param {
            name: "alternative",
            kind: ParamType::Choice(&["two_sided", "greater"]),
            default: ParamFallback::Yaml("two_sided"),
            doc: "Whether the test looks for any difference, or only for a better challenger.",
        },
        Param {
            name: "family",
            kind: ParamType::Text,
            default: ParamFallback::Absent,
            doc: "A column that names the kind of attack: the decision then tells for each how many are found.",
        },
    ],
    seeded: false,
    own_turn: false,
    make,
};

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    gate_fits(values)?;
    let metric = values.text("metric").unwrap_or_default().to_owned();
    let test = match (values.text("test"), metric.as_str()) {
        (Some("mcnemar"), _) | (Some("auto"), "accuracy") => PairedTest::McNemar,
        (Some("delong"), _) | (Some("auto"), "roc_auc") => PairedTest::DeLong,
        _ => PairedTest::Bootstrap,
    };
    Ok(Box::new(EvaluateStage(GateRules {
        family: values.text("family").map(str::to_owned),
        metric,
        min_score: values.float("min_score").unwrap_or_default(),
        at_least: floors(values, "at_least")?,
        max_fpr: values.float("max_fpr"),
        min_attacks: values.size("min_attacks"),
        min_benign: values.size("min_benign"),
        keeps_seen: values.text("seen_rows") == Some("keep"),
        alpha: values.float("alpha").unwrap_or_default(),
        test,
        alternative: match values.text("alternative") {
            Some("greater") => AlternativeHypothesis::Greater,
            _ => AlternativeHypothesis::TwoSided,
        },
    })))
}

/// The stage.
struct EvaluateStage(GateRules);

impl Stage for EvaluateStage {
    fn run(
        &self,
        inputs: &Inputs,
        outputs: &mut Outputs,
        _: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let test = Dataset::open(inputs.one("test"))?.whole()?;
        let challenger = model(ContenderRole::Challenger, inputs.one("model"))?;
        let champion = inputs
            .maybe("champion")
            .map(|input| model(ContenderRole::Champion, input))
            .transpose()?;
        let decision = decide(&self.0, &test, challenger, champion).map_err(data)?;
        outputs.bytes("decision", decision.encode());
        let Some(challenger) = &decision.challenger else {
            let why = decision.reasons.join("; ");
            return Err(StageError::Rejected(format!(
                "the model cannot be judged: {why}"
            )));
        };
        notes(&decision, challenger)
            .into_iter()
            .for_each(|note| outputs.note(note));
        let reasons = decision.reasons.join("; ");
        if decision.accepted {
            outputs.note(format!("accepted: {reasons}"));
            outputs.move_ref("champion", inputs.one("model"));
        } else if decision.champion.is_some() {
            outputs.note(format!("the champion stays: {reasons}"));
        } else {
            return Err(StageError::Rejected(format!(
                "the model is not accepted: {reasons}"
            )));
        }
        Ok(())
    }
}

fn model(role: ContenderRole, input: &Input) -> Result<ContenderModel, StageError> {
    ContenderModel::decode(role, input.digest.hex(), &input.bytes()?).map_err(data)
}

fn data(error: GateError) -> StageError {
    StageError::Data(error.to_string())
}

/// Returns what is to be known besides the reasons.
fn notes(decision: &Decision, challenger: &JudgedModel) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(decision.families.as_deref().and_then(worst));
    if decision.rows.seen_in_training > 0 {
        notes.push(decision.rows.tell());
    }
    for giveaway in &decision.giveaways {
        if giveaway.grade == GiveawayGrade::Shortcut {
            notes.push(giveaway.tell());
        }
    }
    if let Some((columns, metrics)) = &challenger.without_shortcuts {
        notes.push(format!(
            "without {} the ROC AUC in cross-validation is {:.4}",
            in_backticks(columns),
            metrics.roc_auc
        ));
    }
    if challenger.metrics.roc_auc > SUSPICIOUS {
        notes.push(
            "a ROC AUC of 1 is rare on real traffic: columns may give the label away together; `netsec model show` names \
             those that count most"
                .to_owned(),
        );
    }
    notes
}
