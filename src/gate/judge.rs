//! Challenger against champion: what speaks for and against the challenger, and the decision.
//!
//! Both are judged by the same rows, which neither was fitted to. First the challenger has to hold
//! by itself (`own_merits`), then within its limits, then against the champion (`against`). Every
//! check is a rule with its figures and its verdict; the challenger is accepted if it passes all.

use crate::base::count::counted;
use crate::base::name::in_backticks;
use crate::base::nearest::suggest;
use crate::base::stored::StoredDocument;
use crate::frame::labels::{Classes, Labels};
use crate::frame::table::Table;
use crate::gate::contenders::Contenders;
use crate::gate::decision::{ChampionComparison, Decision, JudgedRows, JudgedRule, RuleOutcome};
use crate::gate::error::{ContenderRole, GateError};
use crate::gate::evaluated::{ContenderModel, EvaluatedModel};
use crate::gate::improve;
use crate::gate::latency::RowLatency;
use crate::gate::not_worse;
use crate::gate::other_network;
use crate::gate::paired::{PairedModels, mcnemar};
use crate::gate::rows::{fair_rows, too_few};
use crate::gate::rules::{ClassFloors, GateRules, ImproveRule};
use crate::gate::slices::slices;
use crate::gate::traffic::amount;
use crate::gate::unseen;
use crate::gate::windows::{self, time_decay};
use crate::model::class_metrics::ClassMetrics;
use crate::model::intervals::{Interval, tell_interval};

/// How often intervals that are told hold the true value, where no rule asks for another.
const CONFIDENCE: f64 = 0.95;

/// Decides about a challenger, by test rows and, if there are, rows of another network. Where there
/// are too few rows to judge by, the decision has no figures.
///
/// # Errors
/// A model cannot be applied to the rows, or the two cannot be compared; a column of slices cannot
/// be read.
pub fn decide(
    rules: &GateRules,
    test: &Table,
    elsewhere: Option<&Table>,
    challenger: ContenderModel,
    champion: Option<ContenderModel>,
) -> Result<Decision, GateError> {
    // One that was crowned before its leak was known is no measure of others.
    let leaks = champion.as_ref().map(leaks).unwrap_or_default();
    let champion = champion.filter(|_| leaks.is_empty());
    let mut models = vec![(ContenderRole::Challenger, &challenger.bundle)];
    let other = champion.iter();
    models.extend(other.map(|model| (ContenderRole::Champion, &model.bundle)));
    check_slices(rules, test)?;
    check_metrics(rules, challenger.bundle.classes())?;
    check_named_classes(rules, challenger.bundle.classes())?;
    let (test, mut rows) = fair_rows(rules, test, &models)?;
    let labels = challenger.labels(&test)?;
    rows.attacks = labels.attacks();
    rows.benign = labels.benign();
    let mut decision = undecided(rules, &challenger, rows);
    if let Some(why) = too_few(rules, &decision.rows) {
        decision.notes.push(why);
        return Ok(decision);
    }
    let challenger = challenger.evaluate(&test, &labels, &rules.metric)?;
    let champion = champion
        .map(|champion| evaluate_champion(champion, &test, &labels, &rules.metric))
        .transpose()?;
    let judged = Contenders {
        rules,
        test: &test,
        labels: &labels,
        challenger: &challenger,
        champion: champion.as_ref(),
    };
    judged.own_merits(&mut decision);
    judged.limits(&mut decision)?;
    judged.against(&mut decision)?;
    if champion.is_none() {
        decision.notes.push(no_champion(&leaks));
    }
    if let Some(elsewhere) = elsewhere {
        let found = other_network::on_other_network(rules, elsewhere, &challenger)?;
        decision.rules.extend(other_network::judge(&found, rules));
        decision.elsewhere = Some(found);
    }
    if let Some(rule) = &rules.by_time {
        let least = (rules.min_attacks, rules.min_benign);
        let decay = time_decay(rule, least, &test, &labels, &challenger, champion.as_ref())?;
        let judged = rule.at_least.map(|least| windows::judge(&decay, least));
        decision.rules.extend(judged);
        decision.by_time = Some(decay);
    }
    for column in &rules.slices {
        let found = slices(column, &labels, &test, &challenger, champion.as_ref())?;
        decision.slices.extend(found);
    }
    decision.accepted = decision.rules.iter().all(|rule| rule.passes);
    decision.challenger = Some(challenger.judged(&labels));
    decision.champion = champion.as_ref().map(|model| model.judged(&labels));
    Ok(decision)
}

/// Columns that are named wrongly are told whether there is a champion or not.
fn check_slices(rules: &GateRules, test: &Table) -> Result<(), GateError> {
    let guarded = rules
        .not_worse
        .iter()
        .filter_map(|rule| rule.slice.as_ref());
    let guarded = guarded.map(|column| ("not_worse", column));
    let told = rules.slices.iter().map(|column| ("slices", column));
    for (rule, column) in told.chain(guarded) {
        let kind = test.column_type(column);
        kind.map_err(|why| GateError::Slice { rule, why })?;
    }
    Ok(())
}

/// Metrics of several classes are told of models that tell several apart.
fn check_metrics(rules: &GateRules, classes: &Classes) -> Result<(), GateError> {
    if !classes.are_two_sides() {
        return Ok(());
    }
    let mut named = vec![&rules.metric];
    let floors = rules.at_least.iter().chain(&rules.at_least_elsewhere);
    named.extend(floors.map(|(metric, _)| metric));
    named.extend(rules.by_time.iter().map(|rule| &rule.metric));
    named.extend(rules.not_worse.iter().map(|rule| &rule.metric));
    if let ImproveRule::Proven { metric, .. } = &rules.improve {
        named.push(metric);
    }
    let is_of_classes = |metric: &&&String| ClassMetrics::NAMES.contains(&metric.as_str());
    match named.iter().find(is_of_classes) {
        Some(metric) => Err(GateError::MetricOfClasses((*metric).clone())),
        None => Ok(()),
    }
}

/// Classes that rules name are classes of the model.
fn check_named_classes(rules: &GateRules, classes: &Classes) -> Result<(), GateError> {
    let names = classes.names();
    let mut named = rules.at_least_by_class.iter().map(|floors| &floors.class);
    match named.find(|class| !names.contains(class)) {
        Some(class) => Err(GateError::NoClass {
            class: class.clone(),
            help: suggest(class, names.iter().map(String::as_str)).unwrap_or_default(),
        }),
        None => Ok(()),
    }
}

fn undecided(rules: &GateRules, challenger: &ContenderModel, rows: JudgedRows) -> Decision {
    let preprocessor = &challenger.bundle.preprocessor;
    Decision {
        format: Decision::FORMAT,
        accepted: false,
        rules: Vec::new(),
        notes: Vec::new(),
        metric: rules.metric.clone(),
        giveaways: preprocessor.giveaways.clone(),
        allowed: preprocessor.allowed.clone(),
        rows,
        challenger: None,
        champion: None,
        comparison: None,
        slices: Vec::new(),
        elsewhere: None,
        by_time: None,
        traffic: None,
        latency: None,
    }
}

fn leaks(model: &ContenderModel) -> Vec<String> {
    let objections = model.bundle.preprocessor.objections();
    objections.map(|giveaway| giveaway.column.clone()).collect()
}

fn no_champion(leaks: &[String]) -> String {
    if leaks.is_empty() {
        return "there is no other champion to compare with".to_owned();
    }
    format!(
        "the champion does not count: it uses {}, which gives the label away",
        in_backticks(leaks)
    )
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

impl Contenders<'_> {
    /// Checks what depends neither on a champion nor on traffic.
    fn own_merits(&self, decision: &mut Decision) {
        let (rules, challenger) = (self.rules, self.challenger);
        let score = challenger.score;
        let least = self.reaches("min_score", &rules.metric, score, rules.min_score);
        decision.rules.push(least);
        for (name, least) in &rules.at_least {
            let found = challenger.metrics.score(name);
            let found = found.unwrap_or(f64::NEG_INFINITY);
            decision
                .rules
                .push(self.reaches("at_least", name, found, *least));
        }
        self.reaches_by_class(decision);
        let families = &challenger.model.bundle.unseen_families;
        decision
            .rules
            .extend(unseen::judge(families, &rules.unseen));
        decision.rules.push(self.detects(&decision.rows));
        self.giveaways(decision);
    }

    fn reaches(&self, rule: &str, metric: &str, found: f64, least: f64) -> JudgedRule {
        let interval = self.challenger.score_interval(metric);
        JudgedRule::reaches((rule, ""), metric, found, interval, least)
    }

    /// Checks the figures that single classes have to reach. A class without rows to judge it by
    /// does not reach them.
    fn reaches_by_class(&self, decision: &mut Decision) {
        let report = self.challenger.by_class.as_ref();
        for ClassFloors { class, figures } in &self.rules.at_least_by_class {
            let judged = report
                .iter()
                .flat_map(|report| &report.classes)
                .find(|known| known.class == *class);
            for (name, least) in figures {
                let found = judged.and_then(|judged| judged.figure(name));
                decision
                    .rules
                    .push(class_reaches(class, name, found, *least));
            }
        }
    }

    /// A detector has to find something, and to be silent about something.
    fn detects(&self, rows: &JudgedRows) -> JudgedRule {
        let counts = self.challenger.metrics.counts;
        let alarms_on_all = counts.true_negatives == 0;
        let all = if alarms_on_all {
            ": it alarms on every benign row"
        } else {
            ""
        };
        let reason = format!(
            "finds {} of {} attacks{}, with {} among {} benign rows{all}",
            counts.true_positives,
            rows.attacks,
            self.challenger.within("recall"),
            counted(counts.false_positives as usize, "false positive"),
            rows.benign
        );
        JudgedRule::checked(
            "detects",
            counts.true_positives > 0 && !alarms_on_all,
            reason,
        )
    }

    /// Refuses a challenger that uses a column that gives the label away, unless it is allowed.
    fn giveaways(&self, decision: &mut Decision) {
        let preprocessor = &self.challenger.model.bundle.preprocessor;
        if preprocessor.objections().next().is_none() {
            let reason = "no column that it uses gives the label away".to_owned();
            decision
                .rules
                .push(JudgedRule::checked("no_leak", true, reason));
        }
        for giveaway in preprocessor.objections() {
            let column = &giveaway.column;
            let told = giveaway.tell();
            let reason = format!(
                "{told}, or allow it with a reason (`allow: {{{column}: …}}` of `transform`)"
            );
            decision
                .rules
                .push(JudgedRule::checked("no_leak", false, reason));
        }
        let leaks = preprocessor.giveaways.iter();
        let leaks: Vec<&String> = leaks
            .filter(|giveaway| giveaway.is_leak())
            .map(|giveaway| &giveaway.column)
            .collect();
        for (column, reason) in &preprocessor.allowed {
            if leaks.contains(&column) {
                let note = format!("`{column}` is allowed: {reason}");
                decision.notes.push(note);
            }
        }
    }

    /// Checks what must not be exceeded.
    fn limits(&self, decision: &mut Decision) -> Result<(), GateError> {
        let limits = &self.rules.limits;
        let metrics = &self.challenger.metrics;
        if let Some(most) = limits.fpr {
            let found = metrics.false_positive_rate;
            let name = "false_positive_rate";
            let interval = self.challenger.intervals.get(name).copied();
            let what = format!(
                "false-positive rate {found:.4}{}",
                self.challenger.within(name)
            );
            decision
                .rules
                .push(within("limits.fpr", what, found, interval, most));
        }
        if let Some(most) = limits.size_mb {
            let found = self.challenger.model.bytes as f64 / 1e6;
            let what = format!("size {found:.3} MB");
            decision
                .rules
                .push(within("limits.size_mb", what, found, None, most));
        }
        if let Some(most) = limits.latency_ms {
            let latency = self.challenger.model.latency(self.test)?;
            decision.rules.push(fast_enough(&latency, most));
            decision.latency = Some(latency);
        }
        let Some(traffic) = &self.rules.traffic else {
            return Ok(());
        };
        let outlook = traffic.outlook(self.labels, &self.challenger.scores, metrics.threshold);
        if let Some(most) = limits.alerts_per_day {
            let figures = &outlook.at_threshold;
            let [low, high] = figures.alerts_interval;
            let found = figures.alerts_per_day;
            let what = format!(
                "{} alerts a day (95 % {} to {})",
                amount(found),
                amount(low),
                amount(high)
            );
            let interval = Some(figures.alerts_interval);
            decision
                .rules
                .push(within("limits.alerts_per_day", what, found, interval, most));
        }
        decision.traffic = Some(outlook);
        Ok(())
    }

    /// Checks that the challenger is better than the champion, and nowhere worse.
    fn against(&self, decision: &mut Decision) -> Result<(), GateError> {
        let Some(champion) = self.champion else {
            return Ok(());
        };
        let (first, second) = (self.challenger.rows(), champion.rows());
        let pair = PairedModels::new(self.labels, first, second);
        let rule = match &self.rules.improve {
            ImproveRule::AnyHigher => {
                improve::any_higher(&self.rules.metric, self.challenger, champion)
            }
            ImproveRule::Proven {
                metric,
                by,
                confidence,
            } => improve::proven(&pair, metric, *by, *confidence),
        };
        decision.rules.push(rule);
        for rule in &self.rules.not_worse {
            let judged = not_worse::judge(self, &pair, champion, rule)?;
            decision.rules.extend(judged);
        }
        let outcomes = pair.outcomes(|_| true);
        decision.comparison = Some(ChampionComparison {
            difference: pair.compare(&self.rules.metric, CONFIDENCE).ok(),
            wins: outcomes.first_only,
            losses: outcomes.second_only,
            mcnemar_p: mcnemar(outcomes.first_only, outcomes.second_only),
            roc_auc: pair.compare("roc_auc", CONFIDENCE).ok(),
        });
        Ok(())
    }
}

/// A figure that must not exceed a limit.
/// The time itself is not told here: it is never the same twice.
fn fast_enough(latency: &RowLatency, most: f64) -> JudgedRule {
    let passes = latency.p99_ms <= most;
    let word = if passes { "at most" } else { "more than" };
    let reason = format!(
        "scoring one row took {word} {most} ms where this was decided (99th percentile of {} rows)",
        latency.rows
    );
    JudgedRule {
        needed: Some(most),
        ..JudgedRule::checked("limits.latency_ms", passes, reason)
    }
}

/// Whether a figure of a class reaches what is needed.
fn class_reaches(
    class: &str,
    name: &str,
    found: Option<(f64, Option<Interval>)>,
    least: f64,
) -> JudgedRule {
    let slice = Some(("class".to_owned(), class.to_owned()));
    let Some((found, interval)) = found else {
        let reason = format!("there are no rows to tell {name} of `{class}` by");
        return JudgedRule {
            metric: Some(name.to_owned()),
            slice,
            needed: Some(least),
            verdict: RuleOutcome::Unclear,
            ..JudgedRule::checked("at_least_by_class", false, reason)
        };
    };
    let passes = found >= least;
    let word = if passes { "reaches" } else { "does not reach" };
    let told = tell_interval(interval);
    JudgedRule {
        metric: Some(name.to_owned()),
        slice,
        found: Some(found),
        interval,
        needed: Some(least),
        ..JudgedRule::checked(
            "at_least_by_class",
            passes,
            format!("{name} of `{class}` {found:.4}{told} {word} the least {least}"),
        )
    }
}

fn within(
    rule: &str,
    what: String,
    found: f64,
    interval: Option<[f64; 2]>,
    most: f64,
) -> JudgedRule {
    let passes = found <= most;
    let word = if passes { "is within" } else { "is above" };
    JudgedRule {
        found: Some(found),
        interval,
        needed: Some(most),
        ..JudgedRule::checked(rule, passes, format!("{what} {word} {most}"))
    }
}
