//! `evaluate`: challenger against champion on the same rows; only a better one is accepted.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::frame::table::Table;
use crate::kinds::dataset::Dataset;
use crate::kinds::select::gate_fits;
use crate::model::bundle::Bundle;
use crate::model::compare::mcnemar;
use crate::model::intervals::{Interval, intervals};
use crate::model::metrics::{CHOICES, Metrics, Ranked};
use crate::stage::error::StageError;
use crate::stage::io::{Context, Input, Inputs, Outputs};
use crate::stage::kind::{Kind, Stage};
use crate::stage::param::{Fallback, Fault, Param, Type, Values};
use crate::stage::port::{Format, Need, Port, Ports};

/// The kind.
pub const KIND: Kind = Kind {
    name: "evaluate",
    version: 3,
    doc: "Judges a model by rows it has not seen and compares it with the accepted one on the same rows. It is accepted, \
          and the `champion` pointer moves to it, if it reaches `min_score` and, where there is a champion, scores \
          higher with an exact McNemar p-value of at most `alpha`.",
    inputs: Ports::Fixed(&[
        Port { name: "model", format: Format::Model, need: Need::One, doc: "the challenger" },
        Port { name: "test", format: Format::Table, need: Need::One, doc: "the rows to judge by, as they come" },
        Port {
            name: "champion",
            format: Format::Model,
            need: Need::Ref("model"),
            doc: "the pointer to the accepted model",
        },
    ]),
    outputs: Ports::Fixed(&[Port {
        name: "decision",
        format: Format::Json,
        need: Need::One,
        doc: "the decision, its reasons, and both models' figures",
    }]),
    params: &[
        Param {
            name: "metric",
            kind: Type::Choice(&CHOICES),
            default: Fallback::Yaml("f1"),
            doc: "What the models are compared by; `log_loss` counts negated, so that greater is better.",
        },
        Param {
            name: "min_score",
            kind: Type::Float(-1e9, 1.0),
            default: Fallback::Yaml("0.9"),
            doc: "A challenger below this is not accepted. If there is no champion either, the stage fails (exit code 6).",
        },
        Param {
            name: "alpha",
            kind: Type::Float(0.0, 1.0),
            default: Fallback::Yaml("0.05"),
            doc: "The greatest McNemar p-value with which a challenger counts as better; 1 accepts any higher score.",
        },
        Param {
            name: "family",
            kind: Type::Text,
            default: Fallback::Absent,
            doc: "A column that names the kind of attack: the decision then tells for each how many are found.",
        },
    ],
    seeded: false,
    own_turn: false,
    make,
};

struct Evaluate {
    family: Option<String>,
    metric: String,
    min_score: f64,
    alpha: f64,
}

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<Fault>> {
    gate_fits(values)?;
    Ok(Box::new(Evaluate {
        family: values.text("family").map(str::to_owned),
        metric: values.text("metric").unwrap_or_default().to_owned(),
        min_score: values.float("min_score").unwrap_or_default(),
        alpha: values.float("alpha").unwrap_or_default(),
    }))
}

/// What resampling begins with: the same rows give the same intervals.
const RESAMPLING: u64 = 42;

struct Judged {
    digest: String,
    bundle: Bundle,
    p: Vec<f64>,
    metrics: Metrics,
    intervals: BTreeMap<String, Interval>,
    score: f64,
}

impl Judged {
    fn json(&self) -> Json {
        let setting: serde_json::Map<String, Json> =
            self.bundle.setting.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({"digest": self.digest, "learner": self.bundle.learner, "setting": setting, "score": self.score, "metrics": self.metrics, "intervals": self.intervals})
    }
}

impl Stage for Evaluate {
    fn run(&self, inputs: &Inputs, outputs: &mut Outputs, context: &Context<'_>) -> Result<(), StageError> {
        let test = Dataset::open(inputs.one("test"))?.whole()?;
        let (challenger, y) = self.judge(inputs.one("model"), &test, "challenger")?;
        context.check()?;
        let champion = match inputs.maybe("champion") {
            Some(input) => Some(self.judge(input, &test, "champion").map_err(|error| match error {
                StageError::Data(why) => {
                    StageError::Data(format!("{why}; to start a new line of champions, name another `ref:`"))
                }
                other => other,
            })?),
            None => None,
        };
        if champion.as_ref().is_some_and(|(_, labels)| *labels != y) {
            return Err(StageError::Data(
                "the champion was trained with other classes for the same labels (`target_map`): they cannot be \
                 compared; to start a new line of champions, name another `ref:`"
                    .to_owned(),
            ));
        }
        let (mut reasons, mut accepted) = (Vec::new(), challenger.score >= self.min_score);
        let (metric, score) = (&self.metric, challenger.score);
        let word = if accepted { "reaches" } else { "does not reach" };
        reasons.push(format!("{metric} {score:.4} {word} the least {}", self.min_score));
        let mut comparison = Json::Null;
        match &champion {
            None => reasons.push("there is no champion yet".to_owned()),
            Some((champion, _)) => {
                let (wins, losses) = duel(&y, &challenger, champion);
                let p = mcnemar(wins, losses);
                let better = score > champion.score && p <= self.alpha;
                accepted &= better;
                let word = if score > champion.score { "higher than" } else { "not higher than" };
                reasons.push(format!("{word} the champion's {:.4}", champion.score));
                reasons.push(format!("right where the champion is wrong in {wins} rows, the other way round in {losses}: McNemar p = {p:.4}, at most {} is needed", self.alpha));
                comparison = json!({"wins": wins, "losses": losses, "mcnemar_p": p});
            }
        }
        let families = match &self.family {
            None => Json::Null,
            Some(column) => {
                let cells = test.texts(column).map_err(|error| StageError::Data(format!("family: {error}")))?;
                let found = families(&y, &cells, &challenger, champion.as_ref().map(|(champion, _)| champion));
                if let Some(worst) = found.iter().min_by(|a, b| a.recall.total_cmp(&b.recall)) {
                    let (family, rows) = (&worst.family, worst.rows);
                    outputs.note(format!(
                        "of {} kinds of attack `{family}` is found least: {:.4} of {rows} rows",
                        found.len(),
                        worst.recall
                    ));
                }
                json!(found)
            }
        };
        let decision = json!({
            "accepted": accepted,
            "families": families,
            "reasons": reasons,
            "metric": self.metric,
            "challenger": challenger.json(),
            "champion": champion.as_ref().map(|(champion, _)| champion.json()),
            "comparison": comparison,
        });
        outputs.bytes("decision", serde_json::to_vec_pretty(&decision).expect("plain data serialises"));
        if accepted {
            outputs.note(format!("accepted: {}", reasons.join("; ")));
            outputs.move_ref("champion", inputs.one("model").digest);
        } else if champion.is_some() {
            outputs.note(format!("the champion stays: {}", reasons.join("; ")));
        } else {
            return Err(StageError::Rejected(format!("the model is not accepted: {}", reasons.join("; "))));
        }
        Ok(())
    }
}

impl Evaluate {
    fn judge(&self, input: &Input, test: &Table, who: &str) -> Result<(Judged, Vec<f64>), StageError> {
        let wrong = |why: String| StageError::Data(format!("the {who} cannot judge these rows: {why}"));
        let bundle = Bundle::decode(&input.bytes()?).map_err(wrong)?;
        let y = bundle.preprocessor.labels(test).map_err(wrong)?;
        let p = bundle.probabilities(test).map_err(wrong)?;
        let metrics = Metrics::at(&y, &p, bundle.validation.threshold);
        let score = metrics.score(&self.metric).unwrap_or(f64::NEG_INFINITY);
        let intervals = intervals(&y, &p, metrics.threshold, RESAMPLING);
        Ok((Judged { digest: input.digest.hex(), bundle, p, metrics, intervals, score }, y))
    }
}

/// How much of a kind of attack is found.
#[derive(Debug, serde::Serialize)]
struct Family {
    family: String,
    rows: usize,
    /// By the challenger at its threshold.
    recall: f64,
    /// By the challenger at the lowest threshold with at most 0.1 % false alarms among all benign rows.
    recall_at_fpr_0_001: f64,
    /// By the champion at its threshold.
    champion_recall: Option<f64>,
}

/// Counts, of every kind of attack, what is found.
fn families(y: &[f64], cells: &[Option<String>], challenger: &Judged, champion: Option<&Judged>) -> Vec<Family> {
    let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for row in (0..y.len()).filter(|row| y[*row] == 1.0) {
        rows.entry(cells[row].as_deref().unwrap_or("")).or_default().push(row);
    }
    let strict = Ranked::new(y, &challenger.p).threshold_within(0.001);
    let one = |(family, rows): (&str, Vec<usize>)| {
        let recall =
            |p: &[f64], from: f64| rows.iter().filter(|row| p[**row] >= from).count() as f64 / rows.len() as f64;
        Family {
            family: family.to_owned(),
            recall: recall(&challenger.p, challenger.metrics.threshold),
            recall_at_fpr_0_001: recall(&challenger.p, strict),
            champion_recall: champion.map(|champion| recall(&champion.p, champion.metrics.threshold)),
            rows: rows.len(),
        }
    };
    rows.into_iter().map(one).collect()
}

/// Rows that only the first gets right, and rows that only the second gets right.
fn duel(y: &[f64], first: &Judged, second: &Judged) -> (u64, u64) {
    let right = |y: f64, p: f64, of: &Judged| (p >= of.metrics.threshold) == (y == 1.0);
    let mut counts = (0, 0);
    for ((y, a), b) in y.iter().zip(&first.p).zip(&second.p) {
        match (right(*y, *a, first), right(*y, *b, second)) {
            (true, false) => counts.0 += 1,
            (false, true) => counts.1 += 1,
            _ => {}
        }
    }
    counts
}
