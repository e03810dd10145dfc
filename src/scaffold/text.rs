//! A starter pipeline as text, with the reasons for what it leaves out.

use std::fmt::Write as _;

use crate::profile::infer::quote;
use crate::scaffold::labels::LabelMeaning;
use crate::scaffold::request::{InitRequest, JudgedColumn};

/// Below this share of attacks, or above one less it, models are compared by the average precision.
const IMBALANCED: f64 = 0.2;
/// With fewer attacks or benign rows than this both are dealt out evenly.
const RARE: u64 = 1000;

/// What a pipeline is made of.
pub(crate) struct PipelineProposal<'a> {
    pub(crate) request: &'a InitRequest,
    pub(crate) target: &'a str,
    pub(crate) labels: &'a LabelMeaning,
    pub(crate) columns: &'a [JudgedColumn],
    /// The columns of the table to learn from, and of that to judge by.
    pub(crate) names: [Vec<String>; 2],
    /// Columns of text with many categories.
    pub(crate) many: Vec<String>,
    /// All columns of text that are left.
    pub(crate) texts: Vec<String>,
    /// What separates fields, if it is no comma.
    pub(crate) separator: Option<u8>,
}

/// Writes the pipeline.
pub(crate) fn pipeline(proposal: &PipelineProposal<'_>) -> String {
    let PipelineProposal {
        request,
        target,
        labels,
        ..
    } = proposal;
    let name = &request.name;
    let mut text = format!(
        "# From `{name}` to an accepted model. Made by `netsec init`; `netsec schema --format markdown` explains every key.\n\
         name: {}\nparams:\n  data: {}\n",
        quote(name),
        way(&request.data)
    );
    if let Some((path, _)) = &request.test {
        let _ = writeln!(text, "  test: {}", way(path));
    }
    text.push_str("stages:\n");
    let sides: &[(&str, &str)] = if request.test.is_some() {
        &[("", "data"), ("_test", "test")]
    } else {
        &[("", "data")]
    };
    for (side, (suffix, param)) in sides.iter().enumerate() {
        let _ = writeln!(
            text,
            "  ingest{suffix}:\n    kind: ingest\n    inputs: {{ data: \"${{params.{param}}}\" }}\n    with:"
        );
        if let Some(separator) = proposal.separator {
            let _ = writeln!(
                text,
                "      separator: {}",
                serde_json::json!(char::from(separator).to_string())
            );
        }
        text.push_str(&dropped(proposal, &proposal.names[side]));
        let _ = writeln!(
            text,
            "  validate{suffix}:\n    kind: validate\n    inputs: {{ schema: schemas/{name}.yaml, data: ingest{suffix}.data }}"
        );
    }
    text.push_str(&split(proposal));
    text.push_str(
        "  drift:                   # an alarm is told; `fail: true` stops the run\n    kind: drift\n    inputs: { current: split.test, \
         reference: split.train }\n",
    );
    let target = quote(target);
    let _ = writeln!(
        text,
        "  transform:\n    kind: transform\n    inputs: {{ train: split.train, test: split.test }}\n    with:\n      target: {target}\n      \
         target_map: {}",
        labels.map()
    );
    if labels.has_others() {
        text.push_str("      other_labels: 1      # every label that is not named is an attack\n");
    }
    text.push_str(&steps(proposal));
    text.push_str(&judging(proposal));
    text
}

fn way(path: &str) -> String {
    quote(&if path.contains('/') {
        path.to_owned()
    } else {
        format!("./{path}")
    })
}

/// The columns that are left out, each with the reason.
fn dropped(proposal: &PipelineProposal<'_>, names: &[String]) -> String {
    let mut text = String::new();
    let (out, told): (Vec<&JudgedColumn>, Vec<&JudgedColumn>) = proposal
        .columns
        .iter()
        .filter(|column| names.contains(&column.name))
        .partition(|column| column.is_dropped);
    if out.is_empty() {
        text.push_str("      drop: []\n");
    } else {
        text.push_str(
            "      drop:                # take a column out of this list to use it, and `allow` it in `transform`\n",
        );
        for column in &out {
            let _ = writeln!(
                text,
                "        - {}  # {}",
                quote(&column.name),
                plain(&column.why)
            );
        }
    }
    for column in told {
        let _ = writeln!(text, "      # {}", plain(&column.why));
    }
    let epochs: Vec<String> = (proposal.columns.iter())
        .filter_map(|column| Some(format!("{}: {}", quote(&column.name), column.epoch?)))
        .collect();
    if !epochs.is_empty() {
        let _ = writeln!(
            text,
            "      # To split by time, take the column out of `drop` here and into the schema, name it in `drop` of `transform`, and\n      \
             # `ignore` of `drift`, set `by: time`, `time` and `test_from` in `split`, and write here: types: {{ {} }}",
            epochs.join(", ")
        );
    }
    text
}

/// Text as it can stand in a comment.
fn plain(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn split(proposal: &PipelineProposal<'_>) -> String {
    let PipelineProposal {
        request,
        target,
        labels,
        ..
    } = proposal;
    let test = if request.test.is_some() {
        ", test: validate_test.data"
    } else {
        ""
    };
    let mut text = format!(
        "  split:\n    kind: split\n    inputs: {{ data: validate.data{test} }}\n    with:\n"
    );
    if request.test.is_some() {
        text.push_str("      by: given            # the second table is for judging, as it came\n");
    }
    let _ = writeln!(text, "      target: {}", quote(target));
    if !labels.benign.is_empty() {
        let benign: Vec<String> = labels.benign.iter().map(|label| quote(label)).collect();
        let _ = writeln!(text, "      benign: [{}]", benign.join(", "));
    }
    if labels.unlabelled > 0 {
        text.push_str("      unlabelled: drop\n");
    }
    if !labels.unknown.is_empty() {
        let unknown: Vec<String> = labels.unknown.iter().map(|label| quote(label)).collect();
        let _ = writeln!(text, "      unknown: [{}]", unknown.join(", "));
    }
    if request.test.is_none() && labels.attack_rows.min(labels.benign_rows) < RARE {
        text.push_str("      stratify: true       # each side gets its share of every label\n");
    }
    text
}

fn steps(proposal: &PipelineProposal<'_>) -> String {
    let mut text = "      steps:\n        - finite: {}         # infinite cells are missing ones\n        - impute: { with: knn }\n".to_owned();
    let list = |names: &[String]| {
        names
            .iter()
            .map(|name| quote(name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let few: Vec<String> = proposal
        .texts
        .iter()
        .filter(|name| !proposal.many.contains(name))
        .cloned()
        .collect();
    if !proposal.many.is_empty() {
        let _ = writeln!(
            text,
            "        - columns: [{}]\n          target: {{}}",
            list(&proposal.many)
        );
    }
    if !few.is_empty() {
        text.push_str("        - onehot: {}\n");
    }
    text.push_str("        - scale: {}\n");
    text
}

/// How models are chosen and judged.
fn judging(proposal: &PipelineProposal<'_>) -> String {
    let share = proposal.labels.attack_share();
    let (metric, least) = match (IMBALANCED..=1.0 - IMBALANCED).contains(&share) {
        true => ("roc_auc", 0.7),
        // Chance is the share of attacks.
        false => (
            "pr_auc",
            share + (1.0 - share) * if share < 0.05 { 0.1 } else { 0.3 },
        ),
    };
    let least = (least * 100.0).round() / 100.0;
    let slices = match proposal.labels.has_others() {
        true => format!("      slices: [{}]\n", quote(proposal.target)),
        false => String::new(),
    };
    format!(
        "  train:
    kind: train
    inputs: {{ train: transform.train, preprocessor: transform.preprocessor, profile: drift.reference }}
    with:
      threshold_fpr: 0.01  # alarms on at most 1 % of benign rows in cross-validation
      select: {{ metric: {metric}, min_score: {least} }}
  evaluate:
    kind: evaluate
    inputs: {{ model: train.model, test: split.test, champion: \"ref:champion/{}\" }}
    with:
      metric: {metric}
      min_score: {least}
      at_least: {{ recall_at_fpr_0_01: 0.1 }}   # of the attacks, at 1 % false positives
      min_attacks: 10
{slices}",
        proposal.request.name
    )
}
