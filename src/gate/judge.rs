//! Challenger against champion: what speaks for and against the challenger, and the decision.
//!
//! Both are judged by the same rows, which neither was fitted to. First the challenger has to hold
//! by itself (`own_merits`), then against the champion (`compare`); every check is a reason in
//! words, and one that fails decides.

use crate::base::name::in_backticks;
use crate::base::stored::StoredDocument;
use crate::frame::labels::Labels;
use crate::frame::table::Table;
use crate::gate::decision::{ChampionComparison, Decision, JudgedRows};
use crate::gate::error::{ContenderRole, GateError};
use crate::gate::evaluated::{ContenderModel, EvaluatedModel, RESAMPLING};
use crate::gate::families::families;
use crate::gate::paired::{delong, mcnemar, paired_bootstrap};
use crate::gate::rows::{fair_rows, too_few};
use crate::gate::rules::{GateRules, PairedTest};
use crate::model::metrics::Metrics;

/// Decides about a challenger. Where there are too few rows to judge by, the decision has no
/// figures.
///
/// # Errors
/// A model cannot be applied to the rows, or the two cannot be compared.
pub fn decide(
    rules: &GateRules,
    test: &Table,
    challenger: ContenderModel,
    champion: Option<ContenderModel>,
) -> Result<Decision, GateError> {
    // One that was crowned before its leak was known is no measure of others.
    let leaks = champion.as_ref().map(leaks).unwrap_or_default();
    let champion = champion.filter(|_| leaks.is_empty());
    let mut models = vec![(ContenderRole::Challenger, &challenger.bundle)];
    models.extend(
        champion
            .iter()
            .map(|model| (ContenderRole::Champion, &model.bundle)),
    );
    let (test, mut rows) = fair_rows(rules, test, &models)?;
    let labels = challenger.labels(&test)?;
    rows.attacks = labels.attacks();
    rows.benign = labels.benign();
    let mut decision = undecided(rules, &challenger, rows);
    if let Some(why) = too_few(rules, &decision.rows) {
        decision.reasons.push(why);
        return Ok(decision);
    }
    let challenger = challenger.evaluate(&test, &labels, &rules.metric)?;
    let champion = champion
        .map(|champion| evaluate_champion(champion, &test, &labels, &rules.metric))
        .transpose()?;
    let mut verdict = own_merits(rules, &challenger, &decision.rows);
    match &champion {
        Some(champion) => {
            let comparison = compare(rules, &labels, &challenger, champion, &mut verdict);
            decision.comparison = Some(comparison);
        }
        None if leaks.is_empty() => {
            verdict.note("there is no other champion to compare with".to_owned());
        }
        None => verdict.note(format!(
            "the champion does not count: it uses {}, which gives the label away",
            in_backticks(&leaks)
        )),
    }
    if let Some(column) = &rules.family {
        let found = families(column, &labels, &test, &challenger, champion.as_ref())?;
        decision.families = Some(found);
    }
    decision.accepted = verdict.accepted;
    decision.reasons = verdict.reasons;
    decision.challenger = Some(challenger.judged());
    decision.champion = champion.as_ref().map(EvaluatedModel::judged);
    Ok(decision)
}

fn undecided(rules: &GateRules, challenger: &ContenderModel, rows: JudgedRows) -> Decision {
    let preprocessor = &challenger.bundle.preprocessor;
    Decision {
        format: Decision::FORMAT,
        accepted: false,
        reasons: Vec::new(),
        metric: rules.metric.clone(),
        giveaways: preprocessor.giveaways.clone(),
        allowed: preprocessor.allowed.clone(),
        rows,
        challenger: None,
        champion: None,
        comparison: None,
        families: None,
    }
}

fn leaks(model: &ContenderModel) -> Vec<String> {
    let objections = model.bundle.preprocessor.objections();
    objections.map(|giveaway| giveaway.column.clone()).collect()
}

fn evaluate_champion(
    champion: ContenderModel,
    test: &Table,
    labels: &Labels,
    metric: &str,
) -> Result<EvaluatedModel, GateError> {
    if champion.labels(test)? != *labels {
        return Err(GateError::OtherClasses);
    }
    champion.evaluate(test, labels, metric)
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

    fn note(&mut self, reason: String) {
        self.reasons.push(reason);
    }
}

/// Checks what does not depend on a champion.
fn own_merits(rules: &GateRules, challenger: &EvaluatedModel, rows: &JudgedRows) -> GateVerdict {
    let mut verdict = GateVerdict {
        accepted: true,
        reasons: Vec::new(),
    };
    reaches(
        &mut verdict,
        challenger,
        &rules.metric,
        challenger.score,
        rules.min_score,
    );
    for (name, least) in &rules.at_least {
        let found = challenger.metrics.score(name);
        let found = found.unwrap_or(f64::NEG_INFINITY);
        reaches(&mut verdict, challenger, name, found, *least);
    }
    if let Some(most) = rules.max_fpr {
        let rate = challenger.metrics.false_positive_rate;
        let is_within = rate <= most;
        let word = if is_within { "is within" } else { "is above" };
        let interval = challenger.within("false_positive_rate");
        verdict.check(
            is_within,
            format!("false-positive rate {rate:.4}{interval} {word} {most}"),
        );
    }
    let counts = challenger.metrics.counts;
    verdict.check(
        counts.true_positives > 0,
        format!(
            "finds {} of {} attacks{}, with {} false positives among {} benign rows",
            counts.true_positives,
            rows.attacks,
            challenger.within("recall"),
            counts.false_positives,
            rows.benign
        ),
    );
    if counts.true_negatives == 0 {
        verdict.check(false, "it alarms on every row".to_owned());
    }
    giveaways(&mut verdict, challenger);
    verdict
}

fn reaches(
    verdict: &mut GateVerdict,
    challenger: &EvaluatedModel,
    name: &str,
    found: f64,
    least: f64,
) {
    let passes = found >= least;
    let word = if passes { "reaches" } else { "does not reach" };
    let interval = challenger.within(name);
    verdict.check(
        passes,
        format!("{name} {found:.4}{interval} {word} the least {least}"),
    );
}

/// Refuses a challenger that uses a column that gives the label away, unless it is allowed.
fn giveaways(verdict: &mut GateVerdict, challenger: &EvaluatedModel) {
    let preprocessor = &challenger.model.bundle.preprocessor;
    for giveaway in preprocessor.objections() {
        let column = &giveaway.column;
        let told = giveaway.tell();
        verdict.check(
            false,
            format!("{told}, or allow it with a reason (`allow: {{{column}: …}}` of `transform`)"),
        );
    }
    let leaks = preprocessor.giveaways.iter();
    let leaks: Vec<&String> = leaks
        .filter(|giveaway| giveaway.is_leak())
        .map(|giveaway| &giveaway.column)
        .collect();
    for (column, reason) in &preprocessor.allowed {
        if leaks.contains(&column) {
            verdict.note(format!("`{column}` is allowed: {reason}"));
        }
    }
}

/// Checks that the challenger is better than the champion, beyond chance.
fn compare(
    rules: &GateRules,
    labels: &Labels,
    challenger: &EvaluatedModel,
    champion: &EvaluatedModel,
    verdict: &mut GateVerdict,
) -> ChampionComparison {
    let (wins, losses) = paired_outcomes(labels, challenger, champion);
    let difference = challenger.score - champion.score;
    let (test, p) = paired_test(rules, labels, challenger, champion, (wins, losses));
    let is_higher = difference > 0.0;
    let word = match is_higher {
        true => "higher than",
        false => "not higher than",
    };
    verdict.check(
        is_higher,
        format!("{word} the champion's {:.4}", champion.score),
    );
    verdict.check(
        p <= rules.alpha,
        format!(
            "p = {p:.4} by {}, at most {} is needed (it wins {wins} and loses {losses} of the rows where the two differ)",
            in_words(test),
            rules.alpha
        ),
    );
    ChampionComparison {
        test,
        alternative: rules.alternative,
        difference,
        p,
        wins,
        losses,
    }
}

/// Returns the paired test and its p-value; where DeLong's has too few rows, a bootstrap does.
fn paired_test(
    rules: &GateRules,
    labels: &Labels,
    challenger: &EvaluatedModel,
    champion: &EvaluatedModel,
    (wins, losses): (u64, u64),
) -> (PairedTest, f64) {
    let alternative = rules.alternative;
    match rules.test {
        PairedTest::McNemar => {
            return (PairedTest::McNemar, mcnemar(wins, losses, alternative));
        }
        PairedTest::DeLong => {
            if let Some(found) = delong(labels, &challenger.scores, &champion.scores, alternative) {
                return (PairedTest::DeLong, found.p);
            }
        }
        PairedTest::Bootstrap => {}
    }
    let both = (challenger.rows(), champion.rows());
    let figure = |metrics: &Metrics| metrics.score(&rules.metric).unwrap_or_default();
    let found = paired_bootstrap(labels, both, &figure, alternative, RESAMPLING);
    (PairedTest::Bootstrap, found.p)
}

fn in_words(test: PairedTest) -> &'static str {
    match test {
        PairedTest::McNemar => "McNemar's test",
        PairedTest::DeLong => "DeLong's test",
        PairedTest::Bootstrap => "a paired bootstrap",
    }
}

/// Rows that only the first gets right, and rows that only the second gets right.
fn paired_outcomes(labels: &Labels, first: &EvaluatedModel, second: &EvaluatedModel) -> (u64, u64) {
    let (mut wins, mut losses) = (0, 0);
    for row in 0..labels.len() {
        let is_attack = labels.is_attack(row);
        match (
            first.alarms(row) == is_attack,
            second.alarms(row) == is_attack,
        ) {
            (true, false) => wins += 1,
            (false, true) => losses += 1,
            _ => {}
        }
    }
    (wins, losses)
}
