//! `evaluate`: challenger against champion on the same rows; only a better one is accepted.

use crate::base::name::in_backticks;
use crate::base::stored::StoredDocument;
use crate::gate::decision::{Decision, JudgedModel};
use crate::gate::elsewhere::ElsewhereFigures;
use crate::gate::error::ContenderRole;
use crate::gate::evaluated::ContenderModel;
use crate::gate::judge::decide;
use crate::gate::latency::RowLatency;
use crate::gate::rules::GateRules;
use crate::gate::slices::least_found;
use crate::gate::time_decay::TimeDecay;
use crate::gate::traffic::TrafficOutlook;
use crate::kinds::dataset::Dataset;
use crate::kinds::evaluate::params::EvaluateParams;
use crate::model::class_report::{ClassFigures, ClassReport};
use crate::model::review::ReviewBand;
use crate::model::unseen::UnseenFamily;
use crate::profile::giveaway::GiveawayGrade;
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::stage::io::{Input, Inputs, Outputs};
use crate::stage::kind::{Stage, StageKind};
use crate::stage::param::{ParamError, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};
use crate::stage::remote::RemoteWork;
use crate::views::decision::page;

/// A ROC AUC above this is told to be suspicious.
const SUSPICIOUS: f64 = 0.9995;

/// The kind.
pub const KIND: StageKind = StageKind {
    name: "evaluate",
    version: 7,
    doc: "Judges a model by rows it has not seen and compares it with the accepted one on the same rows. It is accepted, \
          and the `champion` pointer moves to it, if every rule holds: no column gives the label away, it reaches `min_score` and \
          `at_least`, it keeps within `limits` and, where there is a champion, it is shown to be better (`improve`) and nowhere \
          worse (`not_worse`). Otherwise the champion stays and `netsec run` ends with exit code 6. Test rows that equal \
          training rows are left out.",
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
            name: "elsewhere",
            format: PortFormat::Table,
            need: PortNeed::Optional,
            doc: "rows of another network, as they come, with the same columns and labels: whether the model holds there",
        },
        Port {
            name: "champion",
            format: PortFormat::Model,
            need: PortNeed::Ref("model"),
            doc: "the pointer to the accepted model",
        },
    ]),
    outputs: Ports::Fixed(&[
        Port {
            name: "decision",
            format: PortFormat::Json,
            need: PortNeed::One,
            doc: "the decision: every rule with its figures, and both models'",
        },
        Port {
            name: "page",
            format: PortFormat::Text,
            need: PortNeed::One,
            doc: "the same as a page (HTML), with plots",
        },
    ]),
    params: EvaluateParams::PARAMS,
    seeded: false,
    runs_elsewhere: false,
    remote: RemoteWork::Never,
    make,
};

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    let rules = EvaluateParams::of(values).rules()?;
    Ok(Box::new(EvaluateStage(rules)))
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
        let other = inputs.maybe("elsewhere");
        let other = other
            .map(|input| Dataset::open(input)?.whole())
            .transpose()?;
        if other.is_none() && !self.0.at_least_elsewhere.is_empty() {
            return Err(StageError::Data(
                "at_least_elsewhere: there are no rows of another network: name them as the input `elsewhere`".to_owned(),
            ));
        }
        context.check()?;
        let decision = decide(&self.0, &test, other.as_ref(), challenger, champion)?;
        outputs.bytes("decision", decision.encode());
        outputs.bytes("page", page(&decision).into_bytes());
        let Some(challenger) = &decision.challenger else {
            let why = decision.reasons().join("; ");
            return Err(StageError::Rejected(format!(
                "the model cannot be judged: {why}"
            )));
        };
        notes(&decision, challenger)
            .into_iter()
            .for_each(|note| outputs.note(note));
        if decision.accepted {
            let reasons = decision.reasons().join("; ");
            outputs.note(format!("accepted: {reasons}"));
            outputs.move_ref("champion", inputs.one("model"));
            return Ok(());
        }
        let broken: Vec<&str> = decision.broken().map(|rule| rule.reason.as_str()).collect();
        let broken = broken.join("; ");
        if decision.champion.is_none() {
            return Err(StageError::Rejected(format!(
                "the model is not accepted: {broken}"
            )));
        }
        outputs.note(format!("the champion stays: {broken}"));
        outputs.reject();
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
    notes.extend(decision.elsewhere.as_ref().map(ElsewhereFigures::tell));
    let by_column = decision.slices.chunk_by(|a, b| a.column == b.column);
    notes.extend(by_column.filter_map(least_found));
    let by_class = challenger.by_class.as_ref();
    notes.extend(by_class.and_then(ClassReport::tell_never_seen));
    let least = by_class.and_then(ClassReport::least_found);
    notes.extend(least.map(ClassFigures::tell_least));
    notes.extend(challenger.review.as_ref().map(ReviewBand::tell));
    notes.extend(challenger.unseen_families.first().map(UnseenFamily::tell));
    notes.extend(decision.by_time.as_ref().map(TimeDecay::tell));
    notes.extend(decision.latency.as_ref().map(RowLatency::tell));
    notes.extend(decision.traffic.iter().flat_map(TrafficOutlook::tell));
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
