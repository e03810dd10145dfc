//! Events → lines and bars for people.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::base::name::StageId;
use crate::base::outcome::StageOutcome;
use crate::event::{Event, EventKind, Sink, StageResult};
use crate::reporter::table;

/// Writes one line an event to `out`; progress is left out.
pub struct LineReporter<W>(pub W);

impl<W: Write + Send> Sink for LineReporter<W> {
    fn take(&mut self, event: &Event) -> Result<(), String> {
        let text = lines(&event.kind);
        self.0
            .write_all(text.as_bytes())
            .and_then(|()| self.0.flush())
            .map_err(|error| error.to_string())
    }
}

/// Writes warnings and what failed to `out`, and nothing else.
pub struct FailureReporter<W>(pub W);

impl<W: Write + Send> Sink for FailureReporter<W> {
    fn take(&mut self, event: &Event) -> Result<(), String> {
        let is_told = match &event.kind {
            EventKind::Warning { .. } => true,
            EventKind::StageFinished(result) => result.outcome == StageOutcome::Failed,
            _ => false,
        };
        if !is_told {
            return Ok(());
        }
        let text = lines(&event.kind);
        self.0
            .write_all(text.as_bytes())
            .and_then(|()| self.0.flush())
            .map_err(|error| error.to_string())
    }
}

/// Draws a bar for each running stage on the terminal, and lines above them.
pub struct BarReporter {
    all: MultiProgress,
    running: HashMap<StageId, ProgressBar>,
}

impl Default for BarReporter {
    fn default() -> Self {
        Self {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            running: HashMap::new(),
        }
    }
}

impl Sink for BarReporter {
    fn take(&mut self, event: &Event) -> Result<(), String> {
        match &event.kind {
            EventKind::StageStarted { stage, kind, .. } => {
                let bar = self
                    .all
                    .add(ProgressBar::new_spinner().with_style(style(false)));
                bar.set_prefix(stage.to_string());
                bar.set_message(kind.clone());
                bar.enable_steady_tick(Duration::from_millis(120));
                self.running.insert(stage.clone(), bar);
            }
            EventKind::StageProgress {
                stage,
                done,
                total,
                note,
            } => {
                if let Some(bar) = self.running.get(stage) {
                    if *total > 0 && bar.length() != Some(*total) {
                        bar.set_length(*total);
                        bar.set_style(style(true));
                    }
                    bar.set_position(*done);
                    bar.set_message(note.clone());
                }
                return Ok(());
            }
            EventKind::StageFinished(result) => {
                if let Some(bar) = self.running.remove(&result.id) {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
        for line in lines(&event.kind).lines() {
            self.all.println(line).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn style(with_length: bool) -> ProgressStyle {
    let template = if with_length {
        "  {spinner} {prefix:<14} {bar:24} {pos}/{len} {wide_msg} {elapsed}"
    } else {
        "  {spinner} {prefix:<14} {wide_msg} {elapsed}"
    };
    ProgressStyle::with_template(template)
        .expect("the template is right")
        .progress_chars("━╸─")
}

/// Returns what people are told of an event; empty if nothing. What stands in data may be meant to
/// steer the terminal: its control characters become a mark.
fn lines(kind: &EventKind) -> String {
    told(kind)
        .chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

fn told(kind: &EventKind) -> String {
    match kind {
        EventKind::RunStarted {
            run,
            pipeline,
            stages,
            ..
        } => {
            let plural = if stages.len() == 1 { "stage" } else { "stages" };
            format!("run {run} of {pipeline}: {} {plural}\n", stages.len())
        }
        EventKind::Unchanged { since, .. } => format!("  unchanged since run {since}\n"),
        EventKind::StageStarted { stage, why, .. } => {
            format!("  {:<9} {stage:<14} {why}\n", "running")
        }
        EventKind::StageProgress { .. } | EventKind::PartFinished { .. } => String::new(),
        EventKind::StageFinished(result) => finished(result),
        EventKind::Warning { message, .. } => format!("warning: {message}\n"),
        EventKind::RefMoved { name, to } => format!("  {name} now points at {}\n", to.short()),
        EventKind::Published {
            results,
            bytes,
            cache,
        } => {
            let plural = if *results == 1 { "result" } else { "results" };
            let size = table::size(*bytes);
            format!("  published {results} {plural} ({size} of blobs) in {cache}\n")
        }
        EventKind::RunFinished {
            outcome,
            seconds,
            counts,
            ..
        } => {
            let counts: Vec<String> = counts
                .iter()
                .map(|(outcome, count)| format!("{count} {}", outcome.as_str()))
                .collect();
            format!(
                "{} in {seconds:.2} s: {}\n",
                outcome.as_str(),
                counts.join(", ")
            )
        }
    }
}

/// Which other machines had a share in it.
fn machines(result: &StageResult) -> String {
    let parts: usize = result.part_workers.values().sum();
    match (&result.worker, result.part_workers.len()) {
        (Some(worker), _) => format!(" on {worker}"),
        (None, 0) => String::new(),
        (None, machines) => format!(
            ", {} on {}",
            counted(parts, "part"),
            counted(machines, "other machine")
        ),
    }
}

fn counted(count: usize, word: &str) -> String {
    match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    }
}

fn finished(result: &StageResult) -> String {
    let time = match result.outcome {
        StageOutcome::Made | StageOutcome::Failed => {
            format!("in {:.2} s{}", result.seconds, machines(result))
        }
        _ => match &result.shared_by {
            Some(host) => format!("shared by {host}"),
            None => String::new(),
        },
    };
    let mut text = format!("  {:<9} {:<14} {time}", result.outcome.as_str(), result.id)
        .trim_end()
        .to_owned();
    text.push('\n');
    let notes = match result.outcome {
        // What was turned down is told again, since the exit code tells it, too.
        StageOutcome::Reused if result.rejects => &result.notes[result.notes.len().max(1) - 1..],
        StageOutcome::Reused => &[],
        _ => result.notes.as_slice(),
    };
    for note in notes {
        text.push_str(&format!("            {note}\n"));
    }
    if let Some(error) = &result.error {
        for line in error.message.lines() {
            text.push_str(&format!("            {line}\n"));
        }
        for output in result
            .outputs
            .iter()
            .filter(|_| result.outcome == StageOutcome::Failed)
        {
            text.push_str(&format!(
                "            it left `{}`: netsec cat {}\n",
                output.port,
                output.digest.short()
            ));
        }
    }
    text
}
