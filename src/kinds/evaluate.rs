//! `evaluate`: challenger against champion on the same rows; only a better one is accepted.

use std::collections::BTreeMap;

use crate::base::name::in_backticks;
use crate::base::stored::StoredDocument;
use crate::gate::decision::{Decision, JudgedModel};
use crate::gate::error::ContenderRole;
use crate::gate::evaluated::ContenderModel;
use crate::gate::families::worst;
use crate::gate::judge::decide;
use crate::gate::paired::AlternativeHypothesis;
use crate::gate::rules::{GateRules, PairedTest};
use crate::kinds::dataset::Dataset;
use crate::kinds::metric_floors::{check_reachable, floors};
use crate::model::metrics::CHOICES;
use crate::profile::giveaway::GiveawayGrade;
use crate::stage::context::StageContext;
use crate::stage::declare::{choices, params};
use crate::stage::error::StageError;
use crate::stage::io::{Input, Inputs, Outputs};
use crate::stage::kind::{Stage, StageKind};
use crate::stage::param::{ParamError, ParamType, Values};
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
    params: EvaluateParams::PARAMS,
    seeded: false,
    runs_elsewhere: false,
    make,
};

params! {
    /// Parameters of `evaluate`.
    struct EvaluateParams {
        /// What the models are compared by; `log_loss` counts negated, so that greater is better.
        metric: String = "f1", in ParamType::Choice(&CHOICES);
        /// A challenger below this is not accepted. If there is no champion either, the stage fails
        /// (exit code 6).
        min_score: f64 = "0.9", in ParamType::Float(-1e9, 1.0);
        /// Other metrics and what they have to reach, such as `{recall_at_fpr_0_01: 0.5}`: half of
        /// the attacks at 1 % false positives.
        at_least: BTreeMap<String, f64> = "{}", in ParamType::Map(&ParamType::Float(-1e9, 1.0));
        /// The greatest false-positive rate at the model's threshold.
        max_fpr: Option<f64>, in ParamType::Float(0.0, 1.0);
        /// With fewer attacks among the rows nothing is judged: the stage fails, and says what to
        /// do.
        min_attacks: usize = "10", in ParamType::Int(1, 1_000_000_000);
        /// The same of benign rows.
        min_benign: usize = "10", in ParamType::Int(1, 1_000_000_000);
        /// What becomes of test rows that equal a row that one of the models was fitted to, in all
        /// columns that it uses: they are left out, or kept although they flatter the model.
        seen_rows: SeenTestRows = "leave_out";
        /// The greatest p-value with which a challenger counts as better; 1 accepts any higher
        /// score.
        alpha: f64 = "0.05", in ParamType::Float(0.0, 1.0);
        /// The paired test. `auto` is that of the metric: exact McNemar for `accuracy`, DeLong for
        /// `roc_auc`, a paired bootstrap for all others.
        test: PairedTestChoice = "auto";
        /// Whether the test looks for any difference, or only for a better challenger.
        alternative: AlternativeHypothesis = "two_sided";
        /// A column that names the kind of attack: the decision then tells for each how many are
        /// found.
        family: Option<String>;
    }
}

choices!(SeenTestRows {
    "leave_out" => SeenTestRows::LeaveOut,
    "keep" => SeenTestRows::Keep,
});

choices!(PairedTestChoice {
    "auto" => PairedTestChoice(None),
    "mcnemar" => PairedTestChoice(Some(PairedTest::McNemar)),
    "delong" => PairedTestChoice(Some(PairedTest::DeLong)),
    "bootstrap" => PairedTestChoice(Some(PairedTest::Bootstrap)),
});

choices!(AlternativeHypothesis {
    "two_sided" => AlternativeHypothesis::TwoSided,
    "greater" => AlternativeHypothesis::Greater,
});

/// What becomes of test rows that equal training rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SeenTestRows {
    LeaveOut,
    Keep,
}

/// The paired test; none is that of the metric.
#[derive(Clone, Copy, Debug)]
struct PairedTestChoice(Option<PairedTest>);

impl PairedTestChoice {
    fn of_metric(self, metric: &str) -> PairedTest {
        self.0.unwrap_or(match metric {
            "accuracy" => PairedTest::McNemar,
            "roc_auc" => PairedTest::DeLong,
            _ => PairedTest::Bootstrap,
        })
    }
}

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    let params = EvaluateParams::of(values);
    check_reachable(&params.metric, params.min_score)?;
    Ok(Box::new(EvaluateStage(GateRules {
        test: params.test.of_metric(&params.metric),
        metric: params.metric,
        min_score: params.min_score,
        at_least: floors("at_least", params.at_least)?,
        max_fpr: params.max_fpr,
        min_attacks: params.min_attacks,
        min_benign: params.min_benign,
        keeps_seen: params.seen_rows == SeenTestRows::Keep,
        alpha: params.alpha,
        alternative: params.alternative,
        family: params.family,
    })))
}

/// The stage.
struct EvaluateStage(GateRules);

impl Stage for EvaluateStage {
    fn run(
        &self,
        inputs: &Inputs,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let test = Dataset::open(inputs.one("test"))?.whole()?;
        let challenger = model(ContenderRole::Challenger, inputs.one("model"))?;
        let champion = inputs
            .maybe("champion")
            .map(|input| model(ContenderRole::Champion, input))
            .transpose()?;
        context.check()?;
        let decision = decide(&self.0, &test, challenger, champion)?;
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
    let digest = input.digest.hex();
    Ok(ContenderModel::decode(role, digest, &input.bytes()?)?)
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
