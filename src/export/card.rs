//! A model for people: a card in Markdown.

use std::fmt::Write as _;

use crate::base::name::in_backticks;
use crate::model::bundle::ModelBundle;
use crate::model::calibrate::Calibrator;
use crate::model::importance::importance;
use crate::prep::preprocessor::{RequiredColumn, TrainedColumn};

/// How many features the card names.
const SHOWN: usize = 15;

/// A cell of a table in Markdown.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
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
    let prep = &bundle.preprocessor;
    let metrics = bundle.validation;
    let classes: Vec<String> = prep
        .classes()
        .classes
        .iter()
        .map(|(label, class)| format!("`{}` is {class}", cell(label)))
        .collect();
    let others = prep
        .classes()
        .others
        .map(|class| format!(", every other label {class}"))
        .unwrap_or_default();
    let mut text = format!(
        "# {}\n\nLearner `{}`: predicts the probability of an attack; threshold {:.4}.\n\n- digest: `{digest}`\n- target: \
         `{}`; {}{others}; 1 is the attack\n- rows that cross-validation judged it by: {}\n",
        cell(name),
        bundle.learner,
        metrics.threshold,
        cell(prep.target()),
        classes.join(", "),
        metrics.rows
    );
    let setting: Vec<String> = bundle
        .setting
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let _ = writeln!(text, "- hyperparameters: {}", setting.join(", "));
    match &bundle.calibrator {
        Some(Calibrator::Platt { .. }) => text.push_str("- probabilities are calibrated (Platt)\n"),
        Some(Calibrator::Isotonic { .. }) => {
            text.push_str("- probabilities are calibrated (isotonic)\n")
        }
        None => {}
    }
    text.push_str("\n## Performance\n\nIn cross-validation, each row told by a model that did not see it:\n\n");
    text.push_str("| figure | value | 95 % interval |\n|---|--:|---|\n");
    let known = [
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
    for name in known {
        let value = metrics.figure(name).unwrap_or(f64::NAN);
        let sure = bundle
            .intervals
            .get(name)
            .map(|[low, high]| format!("{low:.4} to {high:.4}"))
            .unwrap_or_default();
        let _ = writeln!(text, "| {name} | {value:.4} | {sure} |");
    }
    let _ = writeln!(
        text,
        "| false_positive_rate | {:.4} | |",
        metrics.false_positive_rate
    );
    if !prep.giveaways.is_empty() {
        text.push_str(
            "\n## Columns to be wary of\n\n| column | finding | used because |\n|---|---|---|\n",
        );
        for giveaway in &prep.giveaways {
            let reason = prep
                .allowed
                .get(&giveaway.column)
                .map_or("", String::as_str);
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                cell(&giveaway.column),
                cell(&giveaway.tell()),
                cell(reason)
            );
        }
        if let Some((columns, metrics)) = &bundle.without_shortcuts {
            let columns: Vec<String> = columns
                .iter()
                .map(|column| format!("`{}`", cell(column)))
                .collect();
            let _ = writeln!(
                text,
                "\nWithout {} the ROC AUC in cross-validation is {:.4}.",
                columns.join(", "),
                metrics.roc_auc
            );
        }
    }
    let shares = importance(bundle);
    if !shares.is_empty() {
        text.push_str("\n## Feature importance\n\n| feature | share |\n|---|--:|\n");
        for (name, share) in shares.iter().take(SHOWN) {
            let _ = writeln!(text, "| {} | {share:.4} |", cell(name));
        }
    }
    text.push_str(
        "\n## Inputs\n\n| column | type | in training | missing there |\n|---|---|---|--:|\n",
    );
    for input in prep.inputs() {
        let (kind, values) = seen(input);
        let _ = writeln!(
            text,
            "| {} | {kind} | {} | {} |",
            cell(&input.name),
            cell(&values),
            input.missing
        );
    }
    text.push_str("\n## Preprocessing\n\n");
    for (at, step) in prep.steps().iter().enumerate() {
        let _ = writeln!(text, "{}. {}", at + 1, step.tell());
    }
    let _ = writeln!(
        text,
        "\n{} features come out.\n\n## Where it comes from\n\n```text\n{}\n```",
        prep.features().len(),
        lineage.trim_end()
    );
    text
}
