//! `netsec diff`.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

use crate::app::run_difference::{OutputDifference, RunDifference, StageDifference};
use crate::app::workspace::{AppError, Workspace};
use crate::base::count::counted;
use crate::base::digest::Digest;
use crate::base::name::in_backticks;
use crate::base::stored::StoredDocument;
use crate::cli::args::DiffArgs;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::frame::diff::{compare, datasets};
use crate::gate::decision::Decision;
use crate::model::metrics::{CHOICES, Metrics};
use crate::render::columns::{columns, plain};
use crate::tuning::leaderboard::Leaderboard;

/// Outputs of which a stage that began it is told, and lines of each.
const SHOWN_OUTPUTS: usize = 3;
const SHOWN_LINES: usize = 6;

/// The figures that people are told of; all are in the JSON form.
const SHOWN_FIGURES: [&str; 6] = [
    "f1",
    "precision",
    "recall",
    "roc_auc",
    "pr_auc",
    "recall_at_fpr_0_001",
];

/// A figure of a model in two runs.
#[derive(Debug, Serialize)]
struct FigureDifference {
    /// The output that tells it.
    output: String,
    metric: &'static str,
    before: f64,
    after: f64,
}

impl FigureDifference {
    fn row(&self) -> Vec<String> {
        vec![
            self.output.clone(),
            self.metric.to_owned(),
            format!("{:.4} → {:.4}", self.before, self.after),
            format!("{:+.4}", self.after - self.before),
        ]
    }
}

/// Says why two runs differ.
///
/// # Errors
/// There is no such run; ledger or disk failed.
pub fn diff(workspace: &Workspace, args: &DiffArgs) -> Result<Exit, AppError> {
    let found = workspace.run_difference(&args.before, &args.after)?;
    let figures = figures(workspace, &found);
    if args.json {
        let mut told = json!(found);
        told["figures"] = json!(figures);
        out::json(&told)?;
    } else {
        out::data(in_words(workspace, &found, &figures).as_bytes())?;
    }
    Ok(Exit::Done)
}

fn in_words(workspace: &Workspace, found: &RunDifference, figures: &[FigureDifference]) -> String {
    let mut text = format!(
        "{} → {}\n{} alike, {} differ\n",
        found.before,
        found.after,
        counted(found.alike, "stage"),
        found.stages.len()
    );
    for unknown in &found.unknown {
        let _ = writeln!(
            text,
            "{} cannot be compared: {} in the first run, {} in the second",
            unknown.stage,
            unknown.before.as_str(),
            unknown.after.as_str()
        );
    }
    if !found.removed.is_empty() {
        let _ = writeln!(text, "only in the first: {}", in_backticks(&found.removed));
    }
    if !found.added.is_empty() {
        let _ = writeln!(text, "only in the second: {}", in_backticks(&found.added));
    }
    let (causes, follows): (Vec<_>, Vec<_>) = found
        .stages
        .iter()
        .partition(|stage| !stage.causes.is_empty());
    for stage in causes {
        text.push_str(&cause(workspace, stage));
    }
    for stage in follows {
        let _ = writeln!(
            text,
            "{} follows from {}",
            stage.stage,
            in_backticks(&stage.follows)
        );
    }
    let rows: Vec<Vec<String>> = figures
        .iter()
        .filter(|figure| SHOWN_FIGURES.contains(&figure.metric))
        .map(FigureDifference::row)
        .collect();
    plain(&text) + &columns(&rows)
}

/// A stage at which runs begin to differ: by which ingredients, and what that changed in what it made.
fn cause(workspace: &Workspace, stage: &StageDifference) -> String {
    let mut text = format!("{} ({}) was changed:\n", stage.stage, stage.kind);
    for cause in &stage.causes {
        let differs = &cause.ingredient;
        let side = |value: &Option<String>| match value {
            Some(value) if Digest::parse(value).is_some() => value[..12].to_owned(),
            Some(value) => value.clone(),
            None => "nothing".to_owned(),
        };
        let sort = cause.sort.as_str();
        let (before, after) = (side(&differs.before), side(&differs.after));
        let _ = writeln!(text, "    {sort} {}: {before} → {after}", differs.name);
    }
    if !stage.follows.is_empty() {
        let _ = writeln!(
            text,
            "    it also follows from {}",
            in_backticks(&stage.follows)
        );
    }
    for output in stage.outputs.iter().take(SHOWN_OUTPUTS) {
        let lines = behind(workspace, output);
        for line in lines.iter().take(SHOWN_LINES) {
            let _ = writeln!(text, "    {}.{}: {line}", stage.stage, output.port);
        }
    }
    text
}

/// What differs between two outputs, in rows and columns where they are tables; nothing where that
/// cannot be told or one of them is gone.
fn behind(workspace: &Workspace, output: &OutputDifference) -> Vec<String> {
    let sides = workspace
        .fetch(&output.before)
        .ok()
        .zip(workspace.fetch(&output.after).ok());
    let Some((before, after)) = sides else {
        return Vec::new();
    };
    match (before.as_slice(), after.as_slice()) {
        ([(old, before)], [(new, after)]) if old.is_empty() && new.is_empty() => {
            match before.starts_with(b"PAR1") {
                true => compare(before, after),
                false => Vec::new(),
            }
        }
        _ => datasets(&before, &after).unwrap_or_default(),
    }
}

/// The figures of models that differ: of decisions and of leaderboards.
fn figures(workspace: &Workspace, found: &RunDifference) -> Vec<FigureDifference> {
    let mut all = Vec::new();
    for stage in &found.stages {
        for output in &stage.outputs {
            let sides = metrics(workspace, &output.before).zip(metrics(workspace, &output.after));
            let Some((before, after)) = sides else {
                continue;
            };
            let name = format!("{}.{}", stage.stage, output.port);
            let differing = CHOICES.iter().filter_map(|metric| {
                let (before, after) = (before.figure(metric)?, after.figure(metric)?);
                (before != after).then(|| FigureDifference {
                    output: name.clone(),
                    metric,
                    before,
                    after,
                })
            });
            all.extend(differing);
        }
    }
    all
}

/// The figures of the model that a decision or a leaderboard is about.
fn metrics(workspace: &Workspace, digest: &Digest) -> Option<Metrics> {
    let bytes = workspace.fetch_file(digest).ok()??;
    if let Ok(decision) = Decision::decode(&bytes) {
        return decision.challenger.map(|model| model.metrics);
    }
    let board = Leaderboard::decode(&bytes).ok()?;
    board.trials.first().and_then(|trial| trial.metrics)
}
