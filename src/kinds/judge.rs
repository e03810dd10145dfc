//! `evaluate`, carried out: which rows may judge, what both models make of them, and what speaks
//! against the challenger.

use std::collections::BTreeMap;

use crate::base::name::in_backticks;
use crate::frame::table::Table;
use crate::kinds::dataset::Dataset;
use crate::kinds::decision::{
    AttackFamily, ChampionComparison, Decision, FORMAT, JudgedModel, JudgedRows,
};
use crate::model::bundle::ModelBundle;
use crate::model::compare::{
    AlternativeHypothesis, PairedDifference, ScoredRows, delong, mcnemar, paired_bootstrap,
};
use crate::model::intervals::{Interval, intervals, wilson};
use crate::model::metrics::{Metrics, RankedRows};
use crate::prep::seen::RowSeen;
use crate::profile::giveaway::GiveawayGrade;
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::stage::io::{Input, Inputs, Outputs};
use crate::stage::kind::Stage;

/// What resampling begins with: the same rows give the same intervals.
const RESAMPLING: u64 = 42;

/// A test of two models on the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PairedTest {
    McNemar,
    DeLong,
    Bootstrap,
}

/// The stage.
pub(crate) struct EvaluateStage {
    pub(crate) family: Option<String>,
    pub(crate) metric: String,
    pub(crate) min_score: f64,
    pub(crate) at_least: Vec<(String, f64)>,
    pub(crate) max_fpr: Option<f64>,
    pub(crate) min_attacks: usize,
    pub(crate) min_benign: usize,
    pub(crate) keeps_seen: bool,
    pub(crate) alpha: f64,
    pub(crate) test: PairedTest,
    pub(crate) alternative: AlternativeHypothesis,
}

/// A model, and what it makes of the rows.
struct EvaluatedModel {
    digest: String,
    bundle: ModelBundle,
    p: Vec<f64>,
    metrics: Metrics,
    intervals: BTreeMap<String, Interval>,
    score: f64,
}

impl EvaluatedModel {
    fn told(&self) -> JudgedModel {
        JudgedModel {
            digest: self.digest.clone(),
            learner: self.bundle.learner.clone(),
            setting: self.bundle.setting.iter().cloned().collect(),
            score: self.score,
            metrics: self.metrics,
            intervals: self.intervals.clone(),
            without_shortcuts: self.bundle.without_shortcuts.clone(),
        }
    }

    fn rows(&self) -> ScoredRows<'_> {
        ScoredRows {
            p: &self.p,
            threshold: self.metrics.threshold,
        }
    }
}

/// The checks of a challenger, in words, and whether it passes them all.
#[derive(Debug)]
struct GateVerdict {
    accepted: bool,
    reasons: Vec<String>,
}

impl GateVerdict {
    fn check(&mut self, passes: bool, reason: String) {
        self.accepted &= passes;
        self.reasons.push(reason);
    }
}

impl Stage for EvaluateStage {
    fn run(
        &self,
        inputs: &Inputs,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let whole = Dataset::open(inputs.one("test"))?.whole()?;
        let challenger = bundle(inputs.one("model"), "challenger")?;
        let champion = inputs
            .maybe("champion")
            .map(|input| bundle(input, "champion").map_err(start_over))
            .transpose()?;
        // One that was crowned before its leak was known is no measure of others.
        let leaks: Vec<String> = (champion
            .iter()
            .flat_map(|champion| champion.preprocessor.objections()))
        .map(|giveaway| giveaway.column.clone())
        .collect();
        let champion = champion.filter(|_| leaks.is_empty());
        let (test, mut rows) = self.fair_rows(&whole, &challenger, champion.as_ref())?;
        let y = labels(&challenger, &test, "challenger")?;
        rows.attacks = y.iter().filter(|y| **y == 1.0).count();
        rows.benign = y.len() - rows.attacks;
        let mut decision = Decision {
            format: FORMAT,
            accepted: false,
            reasons: Vec::new(),
            metric: self.metric.clone(),
            giveaways: challenger.preprocessor.giveaways.clone(),
            allowed: challenger.preprocessor.allowed.clone(),
            rows,
            challenger: None,
            champion: None,
            comparison: None,
            families: None,
        };
        if let Some(why) = self.too_few(&decision.rows) {
            decision.reasons.push(why.clone());
            write(&decision, outputs);
            return Err(StageError::Rejected(format!(
                "the model cannot be judged: {why}"
            )));
        }
        let challenger = self.judge(inputs.one("model"), challenger, &test, &y, "challenger")?;
        context.check()?;
        let champion = match (inputs.maybe("champion"), champion) {
            (Some(input), Some(bundle)) => {
                let classes = labels(&bundle, &test, "champion").map_err(start_over)?;
                if classes != y {
                    return Err(StageError::Data(
                        "the champion was trained with other classes for the same labels (`target_map`): they cannot be \
                         compared; to start over, use another `ref:`"
                            .to_owned(),
                    ));
                }
                Some(
                    self.judge(input, bundle, &test, &y, "champion")
                        .map_err(start_over)?,
                )
            }
            _ => None,
        };
        let mut verdict = self.own_merits(&challenger, &decision.rows);
        match &champion {
            None if leaks.is_empty() => verdict
                .reasons
                .push("there is no other champion to compare with".to_owned()),
            None => verdict.reasons.push(format!(
                "the champion does not count: it uses {}, which gives the label away",
                in_backticks(&leaks)
            )),
            Some(champion) => {
                decision.comparison = Some(self.compare(&y, &challenger, champion, &mut verdict))
            }
        }
        decision.families = self.families(&y, &test, &challenger, champion.as_ref(), outputs)?;
        (decision.accepted, decision.reasons) = (verdict.accepted, verdict.reasons);
        (decision.challenger, decision.champion) = (
            Some(challenger.told()),
            champion.as_ref().map(EvaluatedModel::told),
        );
        write(&decision, outputs);
        if decision.rows.seen_in_training > 0 {
            outputs.note(decision.rows.tell());
        }
        for giveaway in decision
            .giveaways
            .iter()
            .filter(|giveaway| giveaway.grade == GiveawayGrade::Shortcut)
        {
            outputs.note(giveaway.tell());
        }
        if let Some((columns, metrics)) = &challenger.bundle.without_shortcuts {
            outputs.note(format!(
                "without {} the ROC AUC in cross-validation is {:.4}",
                in_backticks(columns),
                metrics.roc_auc
            ));
        }
        if challenger.metrics.roc_auc > 0.9995 {
            outputs.note(
                "a ROC AUC of 1 is rare on real traffic: columns may give the label away together; `netsec model show` names those \
                 that count most",
            );
        }
        let reasons = decision.reasons.join("; ");
        if decision.accepted {
            outputs.note(format!("accepted: {reasons}"));
            outputs.move_ref("champion", inputs.one("model").digest);
        } else if champion.is_some() {
            outputs.note(format!("the champion stays: {reasons}"));
        } else {
            return Err(StageError::Rejected(format!(
                "the model is not accepted: {reasons}"
            )));
        }
        Ok(())
    }
}

fn write(decision: &Decision, outputs: &mut Outputs) {
    outputs.bytes(
        "decision",
        serde_json::to_vec_pretty(decision).expect("plain data serialises"),
    );
}

fn wrong(who: &str) -> impl Fn(String) -> StageError {
    move |why| {
        StageError::Data(format!(
            "the {who} cannot be applied to the test rows: {why}"
        ))
    }
}

fn start_over(error: StageError) -> StageError {
    match error {
        StageError::Data(why) => {
            StageError::Data(format!("{why}; to start over, use another `ref:`"))
        }
        other => other,
    }
}

fn bundle(input: &Input, who: &str) -> Result<ModelBundle, StageError> {
    ModelBundle::decode(&input.bytes()?).map_err(wrong(who))
}

fn labels(bundle: &ModelBundle, test: &Table, who: &str) -> Result<Vec<f64>, StageError> {
    bundle.preprocessor.labels(test).map_err(wrong(who))
}

impl JudgedRows {
    fn tell(&self) -> String {
        let not_known = match self.not_known {
            0 => String::new(),
            count => format!(", and {count} of which that is not known"),
        };
        format!(
            "{} of {} test rows equal training rows in every column that is used and are left out{not_known}: judged by {} rows",
            self.seen_in_training, self.given, self.judged
        )
    }
}

impl EvaluateStage {
    /// Leaves out rows that a model was fitted to.
    fn fair_rows(
        &self,
        test: &Table,
        challenger: &ModelBundle,
        champion: Option<&ModelBundle>,
    ) -> Result<(Table, JudgedRows), StageError> {
        let mut seen = vec![RowSeen::No; test.height()];
        for (bundle, who) in std::iter::once((challenger, "challenger"))
            .chain(champion.map(|bundle| (bundle, "champion")))
        {
            let by_this = bundle.preprocessor.seen(test).map_err(wrong(who));
            let by_this = if who == "champion" {
                by_this.map_err(start_over)?
            } else {
                by_this?
            };
            for (seen, by_this) in seen.iter_mut().zip(by_this.into_iter().flatten()) {
                *seen = by_this.max(*seen);
            }
        }
        let count = |wanted: RowSeen| seen.iter().filter(|seen| **seen == wanted).count();
        let mut rows = JudgedRows {
            given: test.height(),
            judged: test.height(),
            ..JudgedRows::default()
        };
        if self.keeps_seen || count(RowSeen::Yes) == 0 {
            return Ok((test.clone(), rows));
        }
        (rows.seen_in_training, rows.not_known, rows.judged) = (
            count(RowSeen::Yes),
            count(RowSeen::Unknown),
            count(RowSeen::No),
        );
        let keep: Vec<bool> = seen.iter().map(|seen| *seen == RowSeen::No).collect();
        Ok((
            test.filter(&keep)
                .map_err(|error| StageError::Data(error.0))?,
            rows,
        ))
    }

    /// Says why these rows tell too little, if so.
    fn too_few(&self, rows: &JudgedRows) -> Option<String> {
        let (what, found, least, key) = match () {
            () if rows.attacks < self.min_attacks => {
                ("attack", rows.attacks, self.min_attacks, "min_attacks")
            }
            () if rows.benign < self.min_benign => {
                ("benign row", rows.benign, self.min_benign, "min_benign")
            }
            () => return None,
        };
        let found = match found {
            0 => format!("no {what} is"),
            1 => format!("only 1 {what} is"),
            count => format!("only {count} {what}s are"),
        };
        let least = format!("at least {least} are needed (`{key}`)");
        Some(match rows.seen_in_training {
            0 => format!(
                "{found} among the {} test rows, {least}: set `stratify: true` in `split`, a larger `test_share`, or bring more of \
                 them",
                rows.judged
            ),
            _ => format!(
                "{}; {found} among those, {least}: judge by rows that training did not have",
                rows.tell()
            ),
        })
    }

    fn judge(
        &self,
        input: &Input,
        bundle: ModelBundle,
        test: &Table,
        y: &[f64],
        who: &str,
    ) -> Result<EvaluatedModel, StageError> {
        let p = bundle.probabilities(test).map_err(wrong(who))?;
        let metrics = Metrics::at(y, &p, bundle.validation.threshold);
        let score = metrics.score(&self.metric).unwrap_or(f64::NEG_INFINITY);
        let intervals = intervals(y, &p, metrics.threshold, RESAMPLING);
        Ok(EvaluatedModel {
            digest: input.digest.hex(),
            bundle,
            p,
            metrics,
            intervals,
            score,
        })
    }

    /// Checks what does not depend on a champion.
    fn own_merits(&self, challenger: &EvaluatedModel, rows: &JudgedRows) -> GateVerdict {
        let mut verdict = GateVerdict {
            accepted: true,
            reasons: Vec::new(),
        };
        let (metric, metrics) = (&self.metric, &challenger.metrics);
        let within = |name: &str| {
            let interval = challenger.intervals.get(name);
            interval
                .map(|[low, high]| format!(" (95 % {low:.4} to {high:.4})"))
                .unwrap_or_default()
        };
        let passes = challenger.score >= self.min_score;
        let word = if passes { "reaches" } else { "does not reach" };
        verdict.check(
            passes,
            format!(
                "{metric} {:.4}{} {word} the least {}",
                challenger.score,
                within(metric),
                self.min_score
            ),
        );
        for (name, least) in &self.at_least {
            let found = metrics.score(name).unwrap_or(f64::NEG_INFINITY);
            let word = if found >= *least {
                "reaches"
            } else {
                "does not reach"
            };
            verdict.check(
                found >= *least,
                format!("{name} {found:.4}{} {word} the least {least}", within(name)),
            );
        }
        let counts = metrics.counts;
        if let Some(most) = self.max_fpr {
            let rate = metrics.false_positive_rate;
            let word = if rate <= most {
                "is within"
            } else {
                "is above"
            };
            verdict.check(
                rate <= most,
                format!(
                    "false-positive rate {rate:.4}{} {word} {most}",
                    within("false_positive_rate")
                ),
            );
        }
        verdict.check(
            counts.true_positives > 0,
            format!(
                "finds {} of {} attacks{}, with {} false positives among {} benign rows",
                counts.true_positives,
                rows.attacks,
                within("recall"),
                counts.false_positives,
                rows.benign
            ),
        );
        if counts.true_negatives == 0 {
            verdict.check(false, "it alarms on every row".to_owned());
        }
        let prep = &challenger.bundle.preprocessor;
        for giveaway in prep.objections() {
            verdict.check(
                false,
                format!(
                    "{}, or allow it with a reason (`allow: {{{}: …}}` of `transform`)",
                    giveaway.tell(),
                    giveaway.column
                ),
            );
        }
        let is_leak = |column: &String| {
            prep.giveaways
                .iter()
                .any(|giveaway| giveaway.is_leak() && giveaway.column == *column)
        };
        for (column, reason) in prep.allowed.iter().filter(|(column, _)| is_leak(column)) {
            verdict
                .reasons
                .push(format!("`{column}` is allowed: {reason}"));
        }
        verdict
    }

    fn compare(
        &self,
        y: &[f64],
        challenger: &EvaluatedModel,
        champion: &EvaluatedModel,
        verdict: &mut GateVerdict,
    ) -> ChampionComparison {
        let (wins, losses) = paired_outcomes(y, challenger, champion);
        let difference = challenger.score - champion.score;
        let both = (challenger.rows(), champion.rows());
        let figure = |metrics: &Metrics| metrics.score(&self.metric).unwrap_or_default();
        let bootstrap = || paired_bootstrap(y, both, &figure, self.alternative, RESAMPLING);
        let (test, name, PairedDifference { p, .. }) = match self.test {
            PairedTest::McNemar => {
                let p = mcnemar(wins, losses, self.alternative);
                (
                    "mcnemar",
                    "McNemar's test",
                    PairedDifference { difference, p },
                )
            }
            PairedTest::DeLong => match delong(y, &challenger.p, &champion.p, self.alternative) {
                Some(found) => ("delong", "DeLong's test", found),
                None => ("bootstrap", "a paired bootstrap", bootstrap()),
            },
            PairedTest::Bootstrap => ("bootstrap", "a paired bootstrap", bootstrap()),
        };
        let is_higher = difference > 0.0;
        let word = if is_higher {
            "higher than"
        } else {
            "not higher than"
        };
        verdict.check(
            is_higher,
            format!("{word} the champion's {:.4}", champion.score),
        );
        verdict.check(
            p <= self.alpha,
            format!(
                "p = {p:.4} by {name}, at most {} is needed (it wins {wins} and loses {losses} of the rows where the two differ)",
                self.alpha
            ),
        );
        let alternative = if self.alternative == AlternativeHypothesis::Greater {
            "greater"
        } else {
            "two_sided"
        };
        ChampionComparison {
            test: test.to_owned(),
            alternative: alternative.to_owned(),
            difference,
            p,
            wins,
            losses,
        }
    }

    /// Counts, of every kind of attack, what is found.
    fn families(
        &self,
        y: &[f64],
        test: &Table,
        challenger: &EvaluatedModel,
        champion: Option<&EvaluatedModel>,
        outputs: &mut Outputs,
    ) -> Result<Option<Vec<AttackFamily>>, StageError> {
        let Some(column) = &self.family else {
            return Ok(None);
        };
        let cells = test
            .texts(column)
            .map_err(|error| StageError::Data(format!("family: {error}")))?;
        let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for row in (0..y.len()).filter(|row| y[*row] == 1.0) {
            rows.entry(cells[row].as_deref().unwrap_or(""))
                .or_default()
                .push(row);
        }
        let strict = RankedRows::new(y, &challenger.p).threshold_within(0.001);
        let one = |(family, rows): (&str, Vec<usize>)| {
            let found = |p: &[f64], from: f64| rows.iter().filter(|row| p[**row] >= from).count();
            let recall = |p: &[f64], from: f64| found(p, from) as f64 / rows.len() as f64;
            let hits = found(&challenger.p, challenger.metrics.threshold);
            AttackFamily {
                family: family.to_owned(),
                recall: hits as f64 / rows.len() as f64,
                recall_interval: wilson(hits as u64, rows.len() as u64),
                recall_at_fpr_0_001: recall(&challenger.p, strict),
                champion_recall: champion
                    .map(|champion| recall(&champion.p, champion.metrics.threshold)),
                rows: rows.len(),
            }
        };
        let found: Vec<AttackFamily> = rows.into_iter().map(one).collect();
        if let Some(worst) = found.iter().min_by(|a, b| a.recall.total_cmp(&b.recall)) {
            let ([low, high], recall) = (worst.recall_interval, worst.recall);
            outputs.note(format!(
                "of {} of attack `{}` is found least: {recall:.4} of {} rows (95 % {low:.4} to {high:.4})",
                if found.len() == 1 { "1 kind".to_owned() } else { format!("{} kinds", found.len()) },
                worst.family,
                worst.rows,
            ));
        }
        Ok(Some(found))
    }
}

/// Rows that only the first gets right, and rows that only the second gets right.
fn paired_outcomes(y: &[f64], first: &EvaluatedModel, second: &EvaluatedModel) -> (u64, u64) {
    let right = |y: f64, p: f64, of: &EvaluatedModel| (p >= of.metrics.threshold) == (y == 1.0);
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
