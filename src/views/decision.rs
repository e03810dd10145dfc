//! A decision as a page: what was decided and why, the rules that do not hold first; then both
//! models side by side, in figures with their intervals and in plots.

use std::fmt::Write as _;

use crate::gate::curves::{CalibrationBin, ThresholdPoint};
use crate::gate::decision::{Decision, JudgedModel, JudgedRule, RuleOutcome, SliceRate, TestSlice};
use crate::gate::elsewhere::{BESIDE, ElsewhereFigures};
use crate::gate::traffic::{TrafficFigures, TrafficOutlook, amount};
use crate::model::metrics::CHOICES;
use crate::render::chart::{self, AxisScale, ChartAxis, ChartDot, ChartLine, chart};
use crate::render::html;
use crate::render::html::escape;
use crate::views::classes::class_tables;
use crate::views::figure::figure_cell;
use crate::views::unseen::{novelty_table, unseen_table};
use crate::views::windows::time_section;

/// The lowest false-positive rate that plots show.
const LEAST_RATE: f64 = 1e-4;

/// What this page needs beyond the common style.
const STYLE: &str = ".key{display:inline-block;width:1.6em;border-top:3px solid #0969da;vertical-align:middle;margin-right:.4em}\
.key.b{border-top:3px dashed #bc4c00}.holds td:first-child{color:#1a7f37}.fails td:first-child{color:#cf222e;font-weight:600}\
.unclear td:first-child{color:#9a6700;font-weight:600}.rules td:nth-child(2){white-space:nowrap}.small{color:#57606a}";

/// Returns the page.
pub fn page(decision: &Decision) -> String {
    let verdict = if decision.accepted {
        "accepted"
    } else {
        "rejected"
    };
    let class = if decision.accepted {
        "valid"
    } else {
        "refused"
    };
    let mut body =
        format!("<h1>Challenger against champion: <span class=\"{class}\">{verdict}</span></h1>\n");
    body.push_str(&head(decision));
    body.push_str(&rules(&decision.rules));
    if !decision.notes.is_empty() {
        body.push_str("<h2>Notes</h2>\n<ul>\n");
        for note in &decision.notes {
            let _ = writeln!(body, "<li>{}</li>", escape(note));
        }
        body.push_str("</ul>\n");
    }
    if let Some(challenger) = &decision.challenger {
        let champion = decision.champion.as_ref();
        body.push_str(&figures(challenger, champion));
        body.push_str(&confusion(challenger, champion));
        if let Some(report) = &challenger.by_class {
            body.push_str(&class_tables(report));
        }
        if let Some(review) = &challenger.review {
            let _ = writeln!(
                body,
                "<p>Below the threshold, {}.</p>",
                escape(&review.tell())
            );
        }
        body.push_str(&unseen_table(&challenger.unseen_families));
        if let Some(beside) = &challenger.novelty {
            body.push_str(&novelty_table(beside));
        }
        body.push_str(&plots(challenger, champion, decision.traffic.as_ref()));
    }
    if let Some(found) = &decision.elsewhere {
        body.push_str(&elsewhere_table(found));
    }
    if let Some(decay) = &decision.by_time {
        body.push_str(&time_section(decay));
    }
    if let Some(traffic) = &decision.traffic {
        body.push_str(&traffic_table(traffic));
    }
    for slices in decision.slices.chunk_by(|a, b| a.column == b.column) {
        body.push_str(&slice_table(slices));
    }
    let style = format!("{STYLE}{}", chart::STYLE);
    html::page(&format!("Decision: {verdict}"), &style, &body)
}

/// How the challenger does on rows of another network, beside the test rows.
fn elsewhere_table(found: &ElsewhereFigures) -> String {
    let mut html = format!(
        "<h2>On another network</h2>\n<p>{}</p>\n<table><tr><th>figure</th><th class=\"n\">elsewhere</th><th class=\"n\">here</th></tr>\n",
        escape(&found.tell())
    );
    for name in BESIDE {
        let there = found.metrics.figure(name).unwrap_or(f64::NAN);
        let there = figure_cell(there, found.intervals.get(name).copied());
        let here = found.here.figure(name).unwrap_or(f64::NAN);
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td class=\"n\">{there}</td><td class=\"n\">{here:.4}</td></tr>",
            name.replace('_', " ")
        );
    }
    html.push_str("</table>\n");
    html
}

fn head(decision: &Decision) -> String {
    let rows = &decision.rows;
    let mut html = format!(
        "<dl><dt>judged by</dt><dd>{} rows: {} attacks, {} benign",
        rows.judged, rows.attacks, rows.benign
    );
    if rows.seen_in_training > 0 {
        let _ = write!(
            html,
            "; {} of {} test rows were left out because a model was fitted to equal ones",
            rows.seen_in_training, rows.given
        );
    }
    html.push_str("</dd>");
    let models = [
        ("challenger", "a", &decision.challenger),
        ("champion", "b", &decision.champion),
    ];
    for (role, class, model) in models {
        let told = match model {
            Some(model) => format!(
                "{} <code>{}</code>",
                escape(&model.learner),
                escape(model.digest.get(..12).unwrap_or(&model.digest))
            ),
            None if decision.challenger.is_none() => "not judged".to_owned(),
            None => "none".to_owned(),
        };
        let _ = write!(
            html,
            "<dt><span class=\"key {class}\"></span>{role}</dt><dd>{told}</dd>"
        );
    }
    html.push_str("</dl>\n");
    html
}

/// The rules, those that do not hold first, then those that are unclear.
fn rules(rules: &[JudgedRule]) -> String {
    if rules.is_empty() {
        return String::new();
    }
    let mut sorted: Vec<&JudgedRule> = rules.iter().collect();
    sorted.sort_by_key(|rule| (rule.passes, rule.verdict == RuleOutcome::Holds));
    let mut html =
        "<h2>Rules</h2>\n<table class=\"rules\"><tr><th>verdict</th><th>rule</th><th>why</th></tr>\n".to_owned();
    for rule in sorted {
        let (class, word) = match rule.verdict {
            RuleOutcome::Holds => ("holds", "holds"),
            RuleOutcome::Fails => ("fails", "does not hold"),
            RuleOutcome::Unclear if rule.passes => ("unclear", "unclear: let through"),
            RuleOutcome::Unclear => ("unclear", "unclear"),
        };
        let _ = writeln!(
            html,
            "<tr class=\"{class}\"><td>{word}</td><td><code>{}</code></td><td>{}</td></tr>",
            escape(&rule.rule),
            escape(&rule.reason)
        );
    }
    html.push_str("</table>\n");
    html
}

/// Both models' figures, with their intervals.
fn figures(challenger: &JudgedModel, champion: Option<&JudgedModel>) -> String {
    let mut html = "<h2>Figures</h2>\n<p class=\"small\">At each model's threshold, with 95 % intervals.</p>\n\
         <table><tr><th>figure</th><th class=\"n\">challenger</th><th class=\"n\">champion</th></tr>\n"
        .to_owned();
    let names = CHOICES.iter().copied().chain(["false_positive_rate"]);
    let is_told = |name: &&str| challenger.metrics.figure(name).is_some();
    for name in names.filter(is_told) {
        let cell = |model: &JudgedModel| figure(model, name);
        let _ = writeln!(
            html,
            "<tr><td><code>{name}</code></td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            cell(challenger),
            champion.map_or("–".to_owned(), cell)
        );
    }
    let threshold = |model: &JudgedModel| format!("{:.4}", model.metrics.threshold);
    let _ = writeln!(
        html,
        "<tr><td>threshold</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n</table>",
        threshold(challenger),
        champion.map_or("–".to_owned(), threshold)
    );
    html
}

fn figure(model: &JudgedModel, name: &str) -> String {
    let Some(figure) = model.metrics.figure(name) else {
        return "–".to_owned();
    };
    figure_cell(figure, model.intervals.get(name).copied())
}

fn confusion(challenger: &JudgedModel, champion: Option<&JudgedModel>) -> String {
    let mut html = "<h2>Confusion</h2>\n<table><tr><th>model</th><th class=\"n\">attacks found</th>\
         <th class=\"n\">attacks missed</th><th class=\"n\">false positives</th><th class=\"n\">benign rows left alone</th></tr>\n"
        .to_owned();
    for (role, model) in [("challenger", Some(challenger)), ("champion", champion)] {
        let Some(model) = model else {
            continue;
        };
        let counts = model.metrics.counts;
        let _ = writeln!(
            html,
            "<tr><td>{role}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            counts.true_positives,
            counts.false_negatives,
            counts.false_positives,
            counts.true_negatives
        );
    }
    html.push_str("</table>\n");
    html
}

/// A model with its look in plots.
struct DrawnModel<'a> {
    role: &'static str,
    class: &'static str,
    model: &'a JudgedModel,
}

impl DrawnModel<'_> {
    /// A line through what each threshold gives, with a dot at the model's own.
    fn line(&self, place: &dyn Fn(&ThresholdPoint) -> (f64, f64)) -> ChartLine<'_> {
        let counts = self.model.metrics.counts;
        let own = ThresholdPoint {
            threshold: self.model.metrics.threshold,
            true_positives: counts.true_positives,
            false_positives: counts.false_positives,
        };
        ChartLine {
            name: self.role,
            class: self.class,
            points: self.model.curve.iter().map(place).collect(),
            dots: vec![ChartDot {
                at: place(&own),
                interval: None,
                words: format!("{} at its threshold {:.4}", self.role, own.threshold),
            }],
        }
    }

    fn calibration(&self) -> ChartLine<'_> {
        let bins = &self.model.calibration;
        let at = |bin: &CalibrationBin| (bin.mean_probability, bin.share_of_attacks);
        let dot = |bin: &CalibrationBin| ChartDot {
            at: at(bin),
            interval: Some(bin.interval),
            words: format!(
                "{}: {} rows, probability {:.3}, attacks {:.3}",
                self.role, bin.rows, bin.mean_probability, bin.share_of_attacks
            ),
        };
        ChartLine {
            name: self.role,
            class: self.class,
            points: bins.iter().map(at).collect(),
            dots: bins.iter().map(dot).collect(),
        }
    }
}

/// Both models on the same rows, as they are drawn.
struct ModelPlots<'a> {
    models: Vec<DrawnModel<'a>>,
    attacks: f64,
    benign: f64,
}

/// The axes of shares and of rates that are small where it matters.
const SHARE: AxisScale = AxisScale::Linear(0.0, 1.0);
const RATE: AxisScale = AxisScale::Decades(LEAST_RATE, 1.0);

fn axis(title: &str, scale: AxisScale) -> ChartAxis<'_> {
    ChartAxis { title, scale }
}

impl<'a> ModelPlots<'a> {
    fn new(challenger: &'a JudgedModel, champion: Option<&'a JudgedModel>) -> Self {
        let drawn = |role, class, model| DrawnModel { role, class, model };
        let champion = champion.map(|model| drawn("champion", "b", model));
        let counts = challenger.metrics.counts;
        Self {
            models: champion
                .into_iter()
                .chain([drawn("challenger", "a", challenger)])
                .collect(),
            attacks: counts.attacks().max(1) as f64,
            benign: counts.benign().max(1) as f64,
        }
    }

    fn recall(&self, point: &ThresholdPoint) -> f64 {
        point.true_positives as f64 / self.attacks
    }

    fn rate(&self, point: &ThresholdPoint) -> f64 {
        point.false_positives as f64 / self.benign
    }

    /// A line of each model, through what each of its thresholds gives.
    fn lines(&self, place: &dyn Fn(&ThresholdPoint) -> (f64, f64)) -> Vec<ChartLine<'_>> {
        self.models.iter().map(|model| model.line(place)).collect()
    }

    fn roc(&self) -> String {
        let lines = self.lines(&|point| (self.rate(point), self.recall(point)));
        let (x, y) = (axis("false-positive rate", RATE), axis("recall", SHARE));
        chart("ROC: recall by false-positive rate", x, y, &lines)
    }

    fn precision_recall(&self) -> String {
        let precision = |point: &ThresholdPoint| {
            let alarms = point.true_positives + point.false_positives;
            point.true_positives as f64 / alarms.max(1) as f64
        };
        let lines = self.lines(&|point| (self.recall(point), precision(point)));
        let (x, y) = (axis("recall", SHARE), axis("precision", SHARE));
        chart("Precision by recall, on the test rows", x, y, &lines)
    }

    fn calibration(&self) -> String {
        let mut lines = vec![ChartLine {
            name: "well calibrated",
            class: "c",
            points: vec![(0.0, 0.0), (1.0, 1.0)],
            dots: Vec::new(),
        }];
        lines.extend(self.models.iter().map(DrawnModel::calibration));
        let (x, y) = (axis("probability", SHARE), axis("share of attacks", SHARE));
        chart("Calibration: share of attacks by probability", x, y, &lines)
    }

    /// Alarms by threshold, as a share of benign rows.
    fn rates(&self) -> String {
        let lines = self.lines(&|point| (point.threshold, self.rate(point)));
        let (x, y) = (axis("threshold", SHARE), axis("false-positive rate", RATE));
        chart("False-positive rate by threshold", x, y, &lines)
    }

    /// Alerts by threshold, a day in the expected traffic.
    fn alerts(&self, traffic: &TrafficOutlook) -> String {
        let alerts = |point: &ThresholdPoint| traffic.alerts(self.recall(point), self.rate(point));
        let mut lines = self.lines(&|point| (point.threshold, alerts(point)));
        if let Some(budget) = traffic.analysts_per_day {
            lines.push(ChartLine {
                name: "what analysts can look at",
                class: "c",
                points: vec![(0.0, budget), (1.0, budget)],
                dots: Vec::new(),
            });
        }
        let most = 10_f64.powf(traffic.rows_per_day.log10().ceil());
        let least = (most * 1e-6).max(1.0).min(most / 10.0);
        let (x, y) = (
            axis("threshold", SHARE),
            axis("alerts a day", AxisScale::Decades(least, most)),
        );
        chart("Alerts a day by threshold", x, y, &lines)
    }
}

fn plots(
    challenger: &JudgedModel,
    champion: Option<&JudgedModel>,
    traffic: Option<&TrafficOutlook>,
) -> String {
    let plots = ModelPlots::new(challenger, champion);
    let alarms = match traffic {
        Some(traffic) => plots.alerts(traffic),
        None => plots.rates(),
    };
    let drawn = [
        plots.roc(),
        plots.precision_recall(),
        plots.calibration(),
        alarms,
    ];
    format!(
        "<h2>Plots</h2>\n<p class=\"small\">The dots are the models at their thresholds. Rates below 0.0001 are drawn at 0.0001.</p>\n{}",
        drawn.concat()
    )
}

fn traffic_table(traffic: &TrafficOutlook) -> String {
    let mut html = format!(
        "<h2>Traffic</h2>\n<p class=\"small\">{} rows a day, a share of {} of them attacks; 95 % intervals.</p>\n<table><tr><th></th>\
         <th class=\"n\">threshold</th><th class=\"n\">recall</th><th class=\"n\">alerts a day</th><th class=\"n\">precision</th></tr>\n",
        traffic.rows_per_day, traffic.prevalence
    );
    html.push_str(&traffic_row(
        "at the model's threshold",
        &traffic.at_threshold,
    ));
    if let Some(budget) = traffic.analysts_per_day {
        let what = format!("within {} alerts a day", amount(budget));
        match &traffic.within_budget {
            Some(figures) => html.push_str(&traffic_row(&what, figures)),
            None => {
                let _ = writeln!(
                    html,
                    "<tr class=\"failed\"><td>{what}</td><td colspan=\"4\">no threshold keeps to it</td></tr>"
                );
            }
        }
    }
    html.push_str("</table>\n");
    if let Some(needed) = traffic.benign_rows_needed {
        let _ = writeln!(
            html,
            "<p>To be sure of that budget takes at least {} benign test rows.</p>",
            amount(needed as f64)
        );
    }
    html
}

fn traffic_row(what: &str, figures: &TrafficFigures) -> String {
    let [low, high] = figures.alerts_interval;
    let [precise_low, precise_high] = figures.precision_interval;
    let precision = match figures.precision {
        Some(precision) => format!("{precision:.4}"),
        None => "–".to_owned(),
    };
    format!(
        "<tr><td>{what}</td><td class=\"n\">{:.4}</td><td class=\"n\">{:.4}</td><td class=\"n\">{} \
         <span class=\"small\">{} to {}</span></td><td class=\"n\">{precision} \
         <span class=\"small\">{precise_low:.4} to {precise_high:.4}</span></td></tr>\n",
        figures.threshold,
        figures.recall,
        amount(figures.alerts_per_day),
        amount(low),
        amount(high)
    )
}

fn slice_table(slices: &[TestSlice]) -> String {
    let column = slices.first().map_or("", |slice| slice.column.as_str());
    let mut html = format!(
        "<h2>By <code>{}</code></h2>\n<p class=\"small\">Rates have exact (Clopper–Pearson) 95 % intervals, differences score intervals (Tango). The last column is the least change for the worse \
         that so many rows could have shown.</p>\n<table><tr><th>value</th><th>of</th><th class=\"n\">rows</th>\
         <th class=\"n\">alarms</th><th class=\"n\">champion</th><th class=\"n\">difference</th><th class=\"n\">could show</th></tr>\n",
        escape(column)
    );
    for slice in slices {
        let rates = [
            ("attacks", &slice.recall),
            ("benign rows", &slice.false_positive_rate),
        ];
        for (what, rate) in rates {
            if let Some(rate) = rate {
                html.push_str(&slice_row(&slice.value, what, rate));
            }
        }
    }
    html.push_str("</table>\n");
    html
}

fn slice_row(value: &str, what: &str, rate: &SliceRate) -> String {
    let value = if value.is_empty() { "(empty)" } else { value };
    let [low, high] = rate.interval;
    let champion = rate
        .champion
        .map_or("–".to_owned(), |share| format!("{share:.4}"));
    let difference = rate.difference.map_or("–".to_owned(), |[low, high]| {
        format!("{low:+.4} to {high:+.4}")
    });
    format!(
        "<tr><td>{}</td><td>{what}</td><td class=\"n\">{}</td><td class=\"n\">{:.4} <span class=\"small\">{low:.4} to \
         {high:.4}</span></td><td class=\"n\">{champion}</td><td class=\"n\">{difference}</td><td class=\"n\">{:.4}</td></tr>\n",
        escape(value),
        rate.of,
        rate.share,
        rate.least_shown
    )
}
