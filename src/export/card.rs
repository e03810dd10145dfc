//! A model for people: a card in Markdown.

use std::fmt::Write as _;

use crate::base::name::in_backticks;
use crate::model::bundle::ModelBundle;
use crate::model::calibrate::Calibrator;
use crate::model::class_report::{ClassReport, ShareOfRows};
use crate::model::importance::importance;
use crate::model::metrics::Metrics;
use crate::model::unseen::UnseenFamily;
use crate::prep::preprocessor::{RequiredColumn, TrainedColumn};

/// How many features the card names.
const SHOWN: usize = 15;

/// A cell of a table in Markdown.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(char::is_control, " ")
}

/// A number with as many digits as people want to read.
fn short(number: f64) -> String {
    match number.abs() {
        0.0 | 1e-3..1e9 => format!("{number:.4}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
        _ => format!("{number:.3e}"),
    }
}

fn seen(input: &RequiredColumn) -> (&'static str, String) {
    match &input.seen {
        TrainedColumn::Numbers(least, most) => {
            ("number", format!("{} to {}", short(*least), short(*most)))
        }
        TrainedColumn::Texts(Some(values)) => ("text", in_backticks(values)),
        TrainedColumn::Texts(None) => ("text", "many values".to_owned()),
    }
}

/// Returns what is known of a model, as Markdown: what it is, how good, what it needs, where it
/// comes from.
pub fn card(name: &str, bundle: &ModelBundle, digest: &str, lineage: &str) -> String {
    let mut text = heading(name, bundle, digest);
    text.push_str(&performance(bundle));
    text.push_str(&wary(bundle));
    let shares = importance(bundle);
    if !shares.is_empty() {
        text.push_str("\n## Feature importance\n\n| feature | share |\n|---|--:|\n");
        for (name, share) in shares.iter().take(SHOWN) {
            let _ = writeln!(text, "| {} | {share:.4} |", cell(name));
        }
    }
    if let Some(report) = &bundle.by_class {
        text.push_str(&classes(report));
    }
    text.push_str(&unseen(&bundle.unseen_families));
    if let Some(beside) = &bundle.novelty {
        let _ = writeln!(
            text,
            "\n## Novelty\n\nIn cross-validation, {}.",
            beside.tell()
        );
    }
    text.push_str(&inputs(bundle));
    let prep = &bundle.preprocessor;
    text.push_str("\n## Preprocessing\n\n");
    for (at, step) in prep.steps().iter().enumerate() {
        let _ = writeln!(text, "{}. {}", at + 1, step.tell());
    }
    let features = prep.features().len();
    let _ = writeln!(text, "\n{features} features come out.");
    let lineage = lineage.trim_end();
    let _ = writeln!(text, "\n## Where it comes from\n\n```text\n{lineage}\n```");
    text
}

/// The classes and how well they are found in cross-validation.
fn classes(report: &ClassReport) -> String {
    let mut text = "\n## Classes\n\nIn cross-validation, at the threshold; a row that raises an alarm is told to be the likeliest \
         attack. 95 % intervals in brackets.\n\n| class | rows | raise an alarm | recall | precision |\n|---|--:|--:|--:|--:|\n"
        .to_owned();
    let share = |share: Option<ShareOfRows>| match share {
        Some(share) => {
            let [low, high] = share.interval;
            format!("{:.4} ({low:.4} to {high:.4})", share.share)
        }
        None => "–".to_owned(),
    };
    for class in &report.classes {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            cell(&class.class),
            class.rows,
            share(class.alarms),
            share(class.recall),
            share(class.precision)
        );
    }
    text
}

/// What would be found of families of attacks that were never seen.
fn unseen(families: &[UnseenFamily]) -> String {
    if families.is_empty() {
        return String::new();
    }
    let mut text = "\n## Families that were never seen\n\nIn cross-validation, by models that were fitted without the family:\n\n"
        .to_owned();
    for family in families {
        let _ = writeln!(text, "- {}", family.tell());
    }
    text
}

fn heading(name: &str, bundle: &ModelBundle, digest: &str) -> String {
    let prep = &bundle.preprocessor;
    let map = prep.target_map();
    let is_binary = map.classes().is_binary();
    let class = |number: u16| match is_binary {
        true => number.to_string(),
        false => format!("`{}`", cell(&map.classes().names()[usize::from(number)])),
    };
    let label =
        |(label, number): (&String, &u16)| format!("`{}` is {}", cell(label), class(*number));
    let classes: Vec<String> = map.labels().iter().map(label).collect();
    let others = map
        .others()
        .map(|number| format!(", every other label {}", class(number)));
    let attacks = match is_binary {
        true => "1 is the attack".to_owned(),
        false => format!("attacks are {}", in_backticks(map.classes().attack_names())),
    };
    let mut text = format!(
        "# {}\n\nLearner `{}`: predicts the probability of an attack; threshold {:.4}.\n\n- digest: `{digest}`\n- target: \
         `{}`; {}{}; {attacks}\n- rows that cross-validation judged it by: {}\n",
        cell(name),
        bundle.learner,
        bundle.validation.threshold,
        cell(prep.target()),
        classes.join(", "),
        others.unwrap_or_default(),
        bundle.validation.rows
    );
    let setting = bundle.setting.iter();
    let setting: Vec<String> = setting
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let _ = writeln!(text, "- hyperparameters: {}", setting.join(", "));
    text.push_str(match &bundle.calibrator {
        Some(Calibrator::Platt { .. }) => "- probabilities are calibrated (Platt)\n",
        Some(Calibrator::Isotonic { .. }) => "- probabilities are calibrated (isotonic)\n",
        None => "",
    });
    text
}

/// The figures that a card shows.
const FIGURES: [&str; 11] = [
    "f1",
    "precision",
    "recall",
    "roc_auc",
    "pr_auc",
    "partial_auc_fpr_0_01",
    "recall_at_fpr_0_001",
    "recall_at_fpr_0_01",
    "mcc",
    "log_loss",
    "brier",
];

fn performance(bundle: &ModelBundle) -> String {
    let metrics = bundle.validation;
    let mut text =
        "\n## Performance\n\nIn cross-validation, each row told by a model that did not see it:\n\n".to_owned();
    text.push_str("| figure | value | 95 % interval |\n|---|--:|---|\n");
    let attacks = metrics.counts.attacks();
    let known = FIGURES.into_iter().filter(|_| attacks > 0);
    for name in known {
        let value = metrics.figure(name).unwrap_or(f64::NAN);
        let interval = bundle.intervals.get(name);
        let interval = interval.map(|[low, high]| format!("{low:.4} to {high:.4}"));
        let interval = interval.unwrap_or_default();
        let _ = writeln!(text, "| {name} | {value:.4} | {interval} |");
    }
    let rate = metrics.false_positive_rate;
    let _ = writeln!(text, "| false_positive_rate | {rate:.4} | |");
    if attacks == 0 {
        let _ = writeln!(text, "\n{}", Metrics::WITHOUT_ATTACKS);
    }
    text
}

/// What is known against columns; nothing if nothing is.
fn wary(bundle: &ModelBundle) -> String {
    let prep = &bundle.preprocessor;
    if prep.giveaways.is_empty() {
        return String::new();
    }
    let mut text =
        "\n## Columns to be wary of\n\n| column | finding | used because |\n|---|---|---|\n"
            .to_owned();
    for giveaway in &prep.giveaways {
        let column = cell(&giveaway.column);
        let finding = cell(&giveaway.tell());
        let reason = prep.allowed.get(&giveaway.column);
        let reason = cell(reason.map_or("", String::as_str));
        let _ = writeln!(text, "| {column} | {finding} | {reason} |");
    }
    if let Some((columns, metrics)) = &bundle.without_shortcuts {
        let columns: Vec<String> = columns
            .iter()
            .map(|name| format!("`{}`", cell(name)))
            .collect();
        let _ = writeln!(
            text,
            "\nWithout {} the ROC AUC in cross-validation is {:.4}.",
            columns.join(", "),
            metrics.roc_auc
        );
    }
    text
}

fn inputs(bundle: &ModelBundle) -> String {
    let mut text =
        "\n## Inputs\n\n| column | type | in training | missing there |\n|---|---|---|--:|\n"
            .to_owned();
    for input in bundle.preprocessor.inputs() {
        let (kind, values) = seen(input);
        let (name, values) = (cell(&input.name), cell(&values));
        let missing = input.missing;
        let _ = writeln!(text, "| {name} | {kind} | {values} | {missing} |");
    }
    text
}
