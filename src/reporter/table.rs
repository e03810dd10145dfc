//! Plans, runs, traces → aligned text, or JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::base::clock::iso;
use crate::base::name::in_backticks;
use crate::base::outcome::StageOutcome;
use crate::event::StageResult;
use crate::lineage::query::{ArtifactImpact, ArtifactMaker, ArtifactTrace};
use crate::lineage::record::{ImportOrigin, RunRecord, RunRetention};
use crate::plan::decide::{RunReason, Verdict};
use crate::plan::explain::{FileChange, IngredientDifference};
use crate::plan::planner::StageDecision;
use crate::plan::up_to_date::UpToDateStage;
use crate::render::columns::columns;

/// A stage of a plan with its decision.
pub struct PlanRow<'a> {
    /// The stage.
    pub id: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// What is to be done about it.
    pub decision: &'a StageDecision,
}

/// Shows a plan: a line a stage, what would happen and why.
pub fn plan(rows: &[PlanRow<'_>]) -> String {
    let mut cells = Vec::new();
    for row in rows {
        let (word, why) = match &row.decision.verdict {
            Verdict::Reuse(record) => ("reuse", format!("made by run {}", record.run)),
            Verdict::Run(why) => ("run", why.short()),
            Verdict::Wait(stages) => {
                let names: Vec<&str> = stages.iter().map(|stage| stage.as_str()).collect();
                ("wait", format!("for {}", names.join(", ")))
            }
        };
        cells.push(vec![
            word.to_owned(),
            row.id.to_owned(),
            row.kind.to_owned(),
            why,
        ]);
    }
    counted_plan(&cells)
}

/// Shows the plan of a run that has nothing to do.
pub fn up_to_date(stages: &[UpToDateStage]) -> String {
    let cells = |stage: &UpToDateStage| {
        let why = format!("made by run {}", stage.made_by);
        vec![
            "reuse".to_owned(),
            stage.id.to_string(),
            stage.kind.clone(),
            why,
        ]
    };
    let cells: Vec<Vec<String>> = stages.iter().map(cells).collect();
    counted_plan(&cells)
}

fn counted_plan(cells: &[Vec<String>]) -> String {
    let count = |word: &str| cells.iter().filter(|row| row[0] == word).count();
    let (reuse, run, wait) = (count("reuse"), count("run"), count("wait"));
    let mut text = columns(cells);
    let later = if wait == 0 {
        String::new()
    } else {
        format!(", {wait} pending")
    };
    let _ = writeln!(text, "{reuse} to reuse, {run} to run{later}");
    text
}

/// Shows a plan as JSON.
pub fn plan_json(rows: &[PlanRow<'_>]) -> Value {
    let stage = |row: &PlanRow<'_>| {
        let key = row.decision.action.as_ref().map(|action| action.key);
        let mut stage = json!({"id": row.id, "kind": row.kind, "key": key});
        match &row.decision.verdict {
            Verdict::Reuse(record) => {
                stage["verdict"] = json!("reuse");
                stage["made_by"] = json!(record.run);
            }
            Verdict::Run(why) => {
                stage["verdict"] = json!("run");
                stage["why"] = json!(why);
            }
            Verdict::Wait(stages) => {
                stage["verdict"] = json!("wait");
                stage["for"] = json!(stages);
            }
        }
        stage
    };
    json!({"stages": rows.iter().map(stage).collect::<Vec<_>>()})
}

/// Explains one decision: every ingredient that differs, old and new, and what `behind` says of it.
pub fn explain(row: &PlanRow<'_>, behind: &dyn Fn(&IngredientDifference) -> Vec<String>) -> String {
    let head = match &row.decision.verdict {
        Verdict::Reuse(record) => {
            format!(
                "`{}` is up to date: made by run {} at {}\n",
                row.id,
                record.run,
                iso(record.started_ms)
            )
        }
        Verdict::Wait(stages) => {
            format!(
                "`{}` waits for {}: its inputs are not known before\n",
                row.id,
                in_backticks(stages)
            )
        }
        Verdict::Run(RunReason::Changed { differences }) => {
            let mut text = format!(
                "`{}` would run: these ingredients differ from the last record\n",
                row.id
            );
            for difference in differences {
                let IngredientDifference {
                    name,
                    before,
                    after,
                } = difference;
                let side = |value: &Option<String>| {
                    value.clone().unwrap_or_else(|| "(not there)".to_owned())
                };
                let _ = writeln!(
                    text,
                    "  {name}\n    - {}\n    + {}",
                    side(before),
                    side(after)
                );
                for line in behind(difference) {
                    let _ = writeln!(text, "    {line}");
                }
            }
            text
        }
        Verdict::Run(why) => format!("`{}` would run: {}\n", row.id, why.short()),
    };
    let key = row
        .decision
        .action
        .as_ref()
        .map_or_else(String::new, |action| format!("  key {}\n", action.key));
    head + &key
}

/// Shows the files in which two directories differ, a line each.
pub fn files(changes: &[FileChange]) -> Vec<String> {
    let line = |change: &FileChange| {
        let FileChange {
            path,
            before,
            after,
        } = change;
        match (before, after) {
            (Some(before), Some(after)) => {
                format!("{path} changed: {} → {}", size(*before), size(*after))
            }
            (_, Some(after)) => format!("{path} is new: {}", size(*after)),
            _ => format!("{path} is gone"),
        }
    };
    let mut lines: Vec<String> = changes.iter().take(FILES).map(line).collect();
    if changes.len() > FILES {
        lines.push(format!("and {} more files", changes.len() - FILES));
    }
    lines
}

/// At most so many files are shown one by one.
const FILES: usize = 20;

/// Shows runs, the latest first.
pub fn runs(runs: &[RunRecord]) -> String {
    let mut cells = vec![
        ["run", "started", "seconds", "outcome", "stages", "pipeline"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for run in runs.iter().rev() {
        cells.push(vec![
            run.run.to_string(),
            iso(run.started_ms),
            format!("{:.2}", run.seconds),
            outcome(run),
            stage_counts(run),
            run.pipeline.clone(),
        ]);
    }
    columns(&cells)
}

fn outcome(run: &RunRecord) -> String {
    let word = run.outcome.map_or("not ended", |outcome| outcome.as_str());
    let imported = if run.imported.is_some() {
        ", imported"
    } else {
        ""
    };
    match run.retention {
        RunRetention::OutputsRemoved => format!("{word}{imported}, outputs removed"),
        RunRetention::Kept | RunRetention::Removed => format!("{word}{imported}"),
    }
}

fn stage_counts(run: &RunRecord) -> String {
    let counts = run
        .counts
        .iter()
        .map(|(outcome, count)| format!("{count} {}", outcome.as_str()));
    counts.collect::<Vec<String>>().join(", ")
}

/// Shows what an artifact was made of, as a tree.
pub fn trace(trace: &ArtifactTrace) -> String {
    let mut text = String::new();
    trace_line(&mut text, trace, "", "");
    text
}

fn trace_line(text: &mut String, trace: &ArtifactTrace, first: &str, rest: &str) {
    let made = match &trace.action {
        Some(action) => {
            let ArtifactMaker {
                stage,
                kind,
                run,
                imported,
                remote,
                ..
            } = action;
            let carried = match remote {
                Some(remote) if remote.worker.is_empty() => {
                    format!(", carried out by {}", remote.server)
                }
                Some(remote) => {
                    format!(", carried out by {} of {}", remote.worker, remote.server)
                }
                None => String::new(),
            };
            let imported = match imported {
                Some(ImportOrigin { signer, cache, .. }) => {
                    let way = match cache {
                        Some(cache) => format!("taken from {cache}"),
                        None => "imported".to_owned(),
                    };
                    match signer {
                        Some(signer) => format!(", {way}, signed by {signer}"),
                        None => format!(", {way}, not signed"),
                    }
                }
                None => String::new(),
            };
            format!("made by {stage} ({kind}) in run {run}{carried}{imported}")
        }
        None => "from outside".to_owned(),
    };
    let again = if trace.repeated { ", see above" } else { "" };
    let _ = writeln!(
        text,
        "{first}{}  {}  {made}{again}",
        trace.name,
        trace.digest.short()
    );
    // The parts of a stage's own work are counted; their names are in the JSON form.
    let is_part = |input: &&ArtifactTrace| {
        input
            .action
            .as_ref()
            .is_some_and(|action| action.part.is_some())
    };
    let parts = trace.inputs.iter().filter(is_part).count();
    let mut lines: Vec<Option<&ArtifactTrace>> = trace
        .inputs
        .iter()
        .filter(|input| !is_part(input))
        .map(Some)
        .collect();
    if parts > 0 {
        lines.push(None);
    }
    branches(text, &lines, rest, |text, line, first, rest| match line {
        Some(input) => trace_line(text, input, first, rest),
        None => {
            let plural = if parts == 1 { "part" } else { "parts" };
            let _ = writeln!(text, "{first}{parts} {plural} of its own");
        }
    });
}

/// Shows what was made of an artifact, as a tree.
pub fn impact(impact: &ArtifactImpact) -> String {
    let mut text = String::new();
    impact_line(&mut text, impact, "", "");
    text
}

fn impact_line(text: &mut String, impact: &ArtifactImpact, first: &str, rest: &str) {
    let again = if impact.repeated { "  see above" } else { "" };
    let _ = writeln!(
        text,
        "{first}{}  {}{again}",
        impact.name,
        impact.digest.short()
    );
    branches(text, &impact.uses, rest, |text, used, first, rest| {
        let ArtifactMaker {
            stage, kind, run, ..
        } = &used.action;
        let _ = writeln!(text, "{first}{stage} ({kind}) in run {run}");
        branches(text, &used.outputs, rest, impact_line);
    });
}

fn branches<T>(
    text: &mut String,
    items: &[T],
    indent: &str,
    line: impl Fn(&mut String, &T, &str, &str),
) {
    for (at, item) in items.iter().enumerate() {
        let last = at + 1 == items.len();
        let first = format!("{indent}{}", if last { "└─ " } else { "├─ " });
        let rest = format!("{indent}{}", if last { "   " } else { "│  " });
        line(text, item, &first, &rest);
    }
}

/// Shows how a run ended as one JSON object.
pub fn summary_json(
    run: &str,
    pipeline: &str,
    outcome: &str,
    seconds: f64,
    stages: &[StageResult],
) -> Value {
    let output = |artifact: &crate::base::artifact::Artifact| json!({"port": artifact.port, "digest": artifact.digest, "size": artifact.size});
    let stage = |result: &StageResult| {
        let mut stage = json!({
            "id": result.id,
            "kind": result.kind,
            "outcome": result.outcome.as_str(),
            "key": result.key,
            "seconds": result.seconds,
            "outputs": result.outputs.iter().map(output).collect::<Vec<_>>(),
        });
        if let Some(error) = &result.error {
            stage["error"] = json!(error);
        }
        if !result.notes.is_empty() {
            stage["notes"] = json!(result.notes);
        }
        stage
    };
    let stages: Vec<Value> = stages.iter().map(stage).collect();
    json!({"run": run, "pipeline": pipeline, "outcome": outcome, "seconds": seconds, "stages": stages})
}

/// Outputs that people read, of each stage the first that it has.
const REPORTS: [&str; 5] = ["decision", "metrics", "page", "leakage", "report"];

/// Says where the reports of a run that made something are.
pub fn reports(stages: &[StageResult]) -> Option<String> {
    let report = |stage: &StageResult| {
        let port = REPORTS
            .iter()
            .find(|port| stage.outputs.iter().any(|output| output.port == **port))?;
        Some(format!("{}.{port}", stage.id))
    };
    let made = stages
        .iter()
        .any(|stage| stage.outcome == StageOutcome::Made);
    let mut names: Vec<String> = stages
        .iter()
        .filter(|stage| stage.outcome.is_success())
        .filter_map(report)
        .collect();
    names.reverse();
    (made && !names.is_empty())
        .then(|| format!("reports, with `netsec cat NAME`: {}", names.join(", ")))
}

/// Returns a size in bytes as people read it.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}
