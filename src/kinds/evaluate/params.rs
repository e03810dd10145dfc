//! Parameters of `evaluate`, and the rules of the gate that they make.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::nearest::suggest;
use crate::gate::rules::{
    ClassFloors, ExpectedTraffic, GateLimits, GateRules, ImproveRule, NotWorseRule, WindowRule,
};
use crate::kinds::duration::{LENGTHS, seconds};
use crate::kinds::evaluate::rate::{DailyRate, WrittenRate};
use crate::kinds::metric_floors::{check_reachable, floors};
use crate::model::class_report::ClassFigures;
use crate::model::metrics::CHOICES;
use crate::model::unseen::UnseenFamily;
use crate::stage::declare::{choices, params};
use crate::stage::param::{ParamError, ParamStep, ParamType};

/// The metrics in which a challenger must not be worse: those that models are chosen by, and the
/// false-positive rate.
const GUARDED: [&str; CHOICES.len() + 1] = {
    let mut names = ["false_positive_rate"; CHOICES.len() + 1];
    let mut at = 0;
    while at < CHOICES.len() {
        names[at] = CHOICES[at];
        at += 1;
    }
    names
};

/// How sure a gate may be asked to be.
const CONFIDENCE: ParamType = ParamType::Float(0.5, 0.9999);

params! {
    /// Parameters of `evaluate`.
    pub(crate) struct EvaluateParams {
        /// What the models are compared by; `log_loss`, `brier` and `class_log_loss` count negated,
        /// so that greater is better. `macro_f1` and what follows it tell more than two classes
        /// apart.
        metric: String = "f1", in ParamType::Choice(&CHOICES);
        /// A challenger below this is not accepted. If there is no champion either, the stage fails
        /// (exit code 6).
        min_score: f64 = "0.9", in ParamType::Float(-1e9, 1.0);
        /// Other metrics and what they have to reach, such as `{recall_at_fpr_0_01: 0.5}`: half of
        /// the attacks at 1 % false positives.
        at_least: BTreeMap<String, f64> = "{}", in ParamType::Map(&ParamType::Float(-1e9, 1.0));
        /// Metrics and what they have to reach on the rows of the input `elsewhere`, such as
        /// `{recall: 0.5}`, at the model's own threshold.
        at_least_elsewhere: BTreeMap<String, f64> = "{}", in ParamType::Map(&ParamType::Float(-1e9, 1.0));
        /// What single classes have to reach, where there are more than two, such as `{u2r:
        /// {alarms: 0.5}}`. `alarms`: the share of its rows that raise an alarm, as whatever
        /// attack, also `alarms_at_fpr_0_001` and `alarms_at_fpr_0_01`; `recall`, `precision` and
        /// `f1` of what is told to be of it.
        at_least_by_class: BTreeMap<String, BTreeMap<String, f64>> = "{}", in
                ParamType::Map(&ParamType::Map(&ParamType::Float(0.0, 1.0)));
        /// What share of each family of attacks has to raise an alarm when it was never trained on,
        /// as `leave_out` of `train` finds it: `at_fpr_0_01`, within 1 % false positives, and
        /// `at_fpr_0_001`.
        unseen: BTreeMap<String, f64> = "{}", in ParamType::Map(&ParamType::Float(0.0, 1.0));
        /// `improve`: the challenger has to be shown to be better than the champion, as the
        /// parameter `improve` says. `better`: its score has to be higher, by however little; an
        /// equally good model replaces the champion every other time.
        rule: GateRule = "improve";
        /// In what, by how much and how surely the challenger has to be better.
        improve: ImproveParams = "{}";
        /// What the challenger must not be worse in, on all rows or on those of every value of a
        /// column.
        not_worse: Vec<NotWorseParams> = "[]";
        /// What the challenger must not exceed, whether there is a champion or not.
        limits: LimitParams = "{}";
        /// Columns such as the kind of attack, the protocol or the site: the decision then tells of
        /// every value how many attacks are found and how many benign rows raise an alarm, with
        /// exact intervals.
        slices: Vec<String> = "[]";
        /// Windows of time in which the models are judged one by one: how the metric goes over
        /// time.
        by_time: Option<ByTimeParams>;
        /// The rows a day that the detector is to watch, such as `14.4M/day`: the decision then
        /// tells alerts a day and the precision there. Needs `prevalence`.
        traffic: Option<WrittenRate>;
        /// The share of that traffic that are attacks.
        prevalence: Option<f64>, in ParamType::Float(0.0, 1.0);
        /// How many alerts can be looked at, such as `200/day`: the decision then tells the
        /// threshold that keeps to it. Needs `traffic`.
        analysts: Option<WrittenRate>;
        /// With fewer attacks among the rows nothing is judged: the stage fails, and says what to
        /// do.
        min_attacks: usize = "10", in ParamType::Int(1, 1_000_000_000);
        /// The same of benign rows.
        min_benign: usize = "10", in ParamType::Int(1, 1_000_000_000);
        /// What becomes of test rows that equal a row that one of the models was fitted to, in all
        /// columns that it uses: they are left out, or kept although they flatter the model.
        seen_rows: SeenTestRows = "leave_out";
    }
}

params! {
    /// In what a challenger has to be better.
    pub(crate) struct ImproveParams {
        /// The metric; that of the stage if it is left out.
        metric: Option<String>, in ParamType::Choice(&CHOICES);
        /// By how much: the whole interval of the difference has to lie above it.
        by: f64 = "0", in ParamType::Float(-1.0, 1.0);
        /// How often such an interval holds the true difference. With `by: 0` an equally good model
        /// passes in about half of the other cases: 2.5 % at 0.95.
        confidence: f64 = "0.95", in CONFIDENCE;
    }
}

params! {
    /// In what a challenger must not be worse.
    pub(crate) struct NotWorseParams {
        /// The metric.
        metric: String = required, in ParamType::Choice(&GUARDED);
        /// A column for each of whose values it has to hold.
        slice: Option<String>;
        /// Whether it has to hold for each class of the model.
        each_class: bool = "false";
        /// How much worse still passes: the interval of the difference has to lie above it.
        margin: f64 = "0", in ParamType::Float(0.0, 1.0);
        /// How often such an interval holds the true difference.
        confidence: f64 = "0.95", in CONFIDENCE;
        /// What becomes of a challenger where the rows are too few to tell.
        unclear: UnclearRows = "reject";
    }
}

params! {
    /// Windows of time.
    pub(crate) struct ByTimeParams {
        /// The column of times of the test rows.
        column: String = required;
        /// How long a window is, such as `1d`, `12h` or `30min`.
        window: String = "1d";
        /// The metric; that of the stage if it is left out.
        metric: Option<String>, in ParamType::Choice(&CHOICES);
        /// What it has to reach in each window that has enough rows of both kinds.
        at_least: Option<f64>, in ParamType::Float(-1e9, 1.0);
    }
}

params! {
    /// What a challenger must not exceed.
    pub(crate) struct LimitParams {
        /// The false-positive rate at the model's threshold.
        fpr: Option<f64>, in ParamType::Float(0.0, 1.0);
        /// Alerts a day; needs `traffic`.
        alerts_per_day: Option<f64>, in ParamType::Float(0.0, 1e15);
        /// The size of the model in megabytes (10⁶ bytes).
        size_mb: Option<f64>, in ParamType::Float(0.0, 1e9);
        /// The time that scoring one row takes where the decision is made, in milliseconds (99th
        /// percentile).
        latency_ms: Option<f64>, in ParamType::Float(0.0, 1e9);
    }
}

choices!(GateRule {
    "improve" => GateRule::Improve,
    "better" => GateRule::Better,
});

choices!(UnclearRows {
    "reject" => UnclearRows::Reject,
    "accept" => UnclearRows::Accept,
});

choices!(SeenTestRows {
    "leave_out" => SeenTestRows::LeaveOut,
    "keep" => SeenTestRows::Keep,
});

/// Against what a challenger is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GateRule {
    Improve,
    Better,
}

/// What becomes of a challenger where the rows are too few to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnclearRows {
    Reject,
    Accept,
}

/// What becomes of test rows that equal training rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeenTestRows {
    LeaveOut,
    Keep,
}

impl EvaluateParams {
    /// Returns the rules of the gate.
    ///
    /// # Errors
    /// What does not go together.
    pub(crate) fn rules(self) -> Result<GateRules, Vec<ParamError>> {
        check_reachable(&self.metric, self.min_score)?;
        let at_least = floors("at_least", self.at_least.clone())?;
        let at_least_elsewhere = floors("at_least_elsewhere", self.at_least_elsewhere.clone())?;
        let at_least_by_class = by_class(&self.at_least_by_class)?;
        let unseen = unseen(&self.unseen)?;
        self.check_rule()?;
        self.check_slices()?;
        self.check_not_worse()?;
        let traffic = self.expected_traffic()?;
        let by_time = self.windows()?;
        let improve = match self.rule {
            GateRule::Better => ImproveRule::AnyHigher,
            GateRule::Improve => ImproveRule::Proven {
                metric: self.improve.metric.unwrap_or_else(|| self.metric.clone()),
                by: self.improve.by,
                confidence: self.improve.confidence,
            },
        };
        Ok(GateRules {
            metric: self.metric,
            min_score: self.min_score,
            at_least,
            at_least_elsewhere,
            at_least_by_class,
            unseen,
            improve,
            not_worse: self.not_worse.into_iter().map(not_worse).collect(),
            limits: GateLimits {
                fpr: self.limits.fpr,
                alerts_per_day: self.limits.alerts_per_day,
                size_mb: self.limits.size_mb,
                latency_ms: self.limits.latency_ms,
            },
            by_time,
            slices: self.slices,
            traffic,
            min_attacks: self.min_attacks,
            min_benign: self.min_benign,
            keeps_seen: self.seen_rows == SeenTestRows::Keep,
        })
    }

    /// What `improve` says is heard only where that is the rule.
    fn check_rule(&self) -> Result<(), Vec<ParamError>> {
        let default = ImproveParams {
            metric: None,
            by: 0.0,
            confidence: 0.95,
        };
        let improve = &self.improve;
        let is_said = improve.metric.is_some()
            || improve.by != default.by
            || improve.confidence != default.confidence;
        if self.rule == GateRule::Improve || !is_said {
            return Ok(());
        }
        let message = "`rule: better` asks for any higher score, and hears nothing of `improve`";
        Err(vec![ParamError::new(
            &["rule"],
            message,
            "leave one of the two out",
        )])
    }

    fn check_not_worse(&self) -> Result<(), Vec<ParamError>> {
        let both = |rule: &NotWorseParams| rule.slice.is_some() && rule.each_class;
        let Some(at) = self.not_worse.iter().position(both) else {
            return Ok(());
        };
        let message = "a rule holds for each value of a column or for each class, not for both";
        Err(vec![ParamError {
            path: vec![ParamStep::key("not_worse"), ParamStep::Index(at)],
            message: message.to_owned(),
            help: Some("write two rules".to_owned()),
        }])
    }

    /// Returns the windows of time by which models are judged.
    fn windows(&self) -> Result<Option<WindowRule>, Vec<ParamError>> {
        let Some(asked) = &self.by_time else {
            return Ok(None);
        };
        let wrong =
            |message: String| vec![ParamError::new(&["by_time", "window"], message, LENGTHS)];
        let seconds = seconds(&asked.window)
            .ok_or_else(|| wrong(format!("`{}` is no length of time", asked.window)))?;
        let metric = asked.metric.as_ref().unwrap_or(&self.metric);
        if let Some(least) = asked.at_least {
            check_reachable(metric, least)?;
        }
        Ok(Some(WindowRule {
            column: asked.column.clone(),
            window: asked.window.clone(),
            seconds,
            metric: metric.clone(),
            at_least: asked.at_least,
        }))
    }

    fn check_slices(&self) -> Result<(), Vec<ParamError>> {
        let mut seen = BTreeSet::new();
        let twice = self.slices.iter().find(|column| !seen.insert(*column));
        match twice {
            Some(column) => {
                let message = format!("`{column}` is named twice");
                Err(vec![ParamError::new(
                    &["slices"],
                    message,
                    "name each column once",
                )])
            }
            None => Ok(()),
        }
    }

    fn expected_traffic(&self) -> Result<Option<ExpectedTraffic>, Vec<ParamError>> {
        let rate = |name: &'static str, written: &Option<WrittenRate>| match written {
            None => Ok(None),
            Some(Ok(DailyRate(rate))) => Ok(Some(*rate)),
            Some(Err(why)) => Err(vec![ParamError {
                path: vec![ParamStep::key(name)],
                message: why.clone(),
                help: None,
            }]),
        };
        let rows = rate("traffic", &self.traffic)?;
        let analysts = rate("analysts", &self.analysts)?;
        let needs_traffic = |keys: &[&str]| {
            let message = "alerts a day need to know the traffic";
            let help = "say `traffic: 14.4M/day` and `prevalence: 0.0001`, with your own figures";
            Err(vec![ParamError::new(keys, message, help)])
        };
        match (rows, self.prevalence) {
            (Some(rows_per_day), Some(prevalence)) => Ok(Some(ExpectedTraffic {
                rows_per_day,
                prevalence,
                analysts_per_day: analysts,
            })),
            (Some(_), None) => {
                let message = "alerts depend on how many rows of the traffic are attacks";
                let help = "say `prevalence: 0.0001`, with your own figure";
                Err(vec![ParamError::new(&["traffic"], message, help)])
            }
            (None, Some(_)) => needs_traffic(&["prevalence"]),
            (None, None) if analysts.is_some() => needs_traffic(&["analysts"]),
            (None, None) if self.limits.alerts_per_day.is_some() => {
                needs_traffic(&["limits", "alerts_per_day"])
            }
            (None, None) => Ok(None),
        }
    }
}

/// Returns what has to be found of families that were never seen.
fn unseen(asked: &BTreeMap<String, f64>) -> Result<Vec<(String, f64)>, Vec<ParamError>> {
    let shares = UnseenFamily::SHARES;
    match asked.keys().find(|name| !shares.contains(&name.as_str())) {
        Some(name) => {
            let message = format!("there is no share `{name}`");
            let help = suggest(name, shares).unwrap_or_default();
            Err(vec![ParamError::new(&["unseen", name], message, &help)])
        }
        None => Ok(asked
            .iter()
            .map(|(name, least)| (name.clone(), *least))
            .collect()),
    }
}

/// Returns what classes have to reach, of figures that there are.
fn by_class(
    asked: &BTreeMap<String, BTreeMap<String, f64>>,
) -> Result<Vec<ClassFloors>, Vec<ParamError>> {
    let mut all = Vec::new();
    for (class, figures) in asked {
        for name in figures.keys() {
            if !ClassFigures::NAMES.contains(&name.as_str()) {
                let message = format!("there is no figure `{name}` of a class");
                let help = suggest(name, ClassFigures::NAMES).unwrap_or_default();
                let path = ["at_least_by_class", class.as_str(), name.as_str()];
                return Err(vec![ParamError::new(&path, message, &help)]);
            }
        }
        let figures = figures.iter().map(|(name, least)| (name.clone(), *least));
        all.push(ClassFloors {
            class: class.clone(),
            figures: figures.collect(),
        });
    }
    Ok(all)
}

fn not_worse(params: NotWorseParams) -> NotWorseRule {
    NotWorseRule {
        metric: params.metric,
        slice: params.slice,
        each_class: params.each_class,
        margin: params.margin,
        confidence: params.confidence,
        passes_unclear: params.unclear == UnclearRows::Accept,
    }
}
