//! A run's events → a Gantt chart of its stages on their workers, the critical path marked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use crate::base::outcome::StageOutcome;
use crate::event::{Event, EventKind};
use crate::render::html::{self, escape};

/// A stage that ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimelineBar {
    /// The stage.
    pub id: String,
    /// The worker it ran on, from zero: the lowest that was free.
    pub lane: usize,
    /// The other machine that carried it out, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// When it began, in milliseconds after the run.
    pub start_ms: u64,
    /// When it ended.
    pub end_ms: u64,
    /// How it ended.
    pub outcome: StageOutcome,
    /// Whether the run would have been shorter had it been.
    pub critical: bool,
}

/// What ran when.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunTimeline {
    /// The run.
    pub run: String,
    /// The pipeline file.
    pub pipeline: String,
    /// The stages that ran, in the order in which they began.
    pub bars: Vec<TimelineBar>,
    /// How many stages were reused.
    pub reused: usize,
    /// How long the run took, in milliseconds.
    pub length_ms: u64,
}

/// Puts a run's events in order.
pub fn timeline(events: &[Event]) -> RunTimeline {
    let start = events.first().map_or(0, |event| event.at_ms);
    let mut timeline = RunTimeline {
        length_ms: events.last().map_or(0, |event| event.at_ms - start),
        ..RunTimeline::default()
    };
    let mut needed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut running: BTreeMap<String, (u64, usize)> = BTreeMap::new();
    for event in events {
        let at = event.at_ms.saturating_sub(start);
        match &event.kind {
            EventKind::RunStarted { run, pipeline, .. } => {
                (timeline.run, timeline.pipeline) = (run.to_string(), pipeline.clone());
            }
            EventKind::Unchanged { stages, .. } => timeline.reused += stages,
            EventKind::StageStarted { stage, needs, .. } => {
                needed.insert(
                    stage.to_string(),
                    needs.iter().map(ToString::to_string).collect(),
                );
                let taken: BTreeSet<usize> = running.values().map(|(_, lane)| *lane).collect();
                let lane = (0..)
                    .find(|lane| !taken.contains(lane))
                    .expect("there is always a free number");
                running.insert(stage.to_string(), (at, lane));
            }
            EventKind::StageFinished(result) => match running.remove(result.id.as_str()) {
                Some((start_ms, lane)) => timeline.bars.push(TimelineBar {
                    id: result.id.to_string(),
                    lane,
                    machine: result.worker.clone(),
                    start_ms,
                    end_ms: at,
                    outcome: result.outcome,
                    critical: false,
                }),
                None if result.outcome == StageOutcome::Reused => timeline.reused += 1,
                None => {}
            },
            _ => {}
        }
    }
    timeline
        .bars
        .sort_by(|a, b| (a.start_ms, a.lane, &a.id).cmp(&(b.start_ms, b.lane, &b.id)));
    mark(&mut timeline.bars, &needed);
    timeline
}

/// Marks the stages from the last that ended back over whatever each waited for longest.
fn mark(bars: &mut [TimelineBar], needed: &BTreeMap<String, BTreeSet<String>>) {
    let last = (0..bars.len()).max_by_key(|at| (bars[*at].end_ms, std::cmp::Reverse(*at)));
    let mut open = last;
    while let Some(at) = open {
        bars[at].critical = true;
        let needs = needed.get(&bars[at].id);
        let is_needed = |other: &usize| needs.is_some_and(|needs| needs.contains(&bars[*other].id));
        let before = (0..bars.len()).filter(|other| !bars[*other].critical && is_needed(other));
        open = before.max_by_key(|other| bars[*other].end_ms);
    }
}

const WIDTH: f64 = 960.0;
const ROW: usize = 26;
const TOP: usize = 34;

/// Draws a timeline as SVG.
pub fn svg(timeline: &RunTimeline) -> String {
    let lanes = timeline
        .bars
        .iter()
        .map(|bar| bar.lane + 1)
        .max()
        .unwrap_or(1);
    let length = timeline.length_ms.max(1) as f64;
    let x = |ms: u64| ms as f64 / length * WIDTH;
    let height = TOP + lanes * ROW + 10;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{height}\" viewBox=\"-10 0 {w} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"what ran when\">\n",
        w = WIDTH + 20.0
    );
    for tick in 0..=4 {
        let ms = timeline.length_ms * tick / 4;
        let at = x(ms);
        let anchor = ["start", "middle", "middle", "middle", "end"][tick as usize];
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"20\" y2=\"{height}\" stroke=\"#ddd\"/>\
             <text x=\"{at:.1}\" y=\"14\" text-anchor=\"{anchor}\" fill=\"#555\">{:.2} s</text>",
            ms as f64 / 1000.0
        );
    }
    for bar in &timeline.bars {
        let (left, width) = (x(bar.start_ms), (x(bar.end_ms) - x(bar.start_ms)).max(1.0));
        let top = TOP + bar.lane * ROW;
        let fill = match bar.outcome {
            StageOutcome::Made | StageOutcome::Reused => "#9cc3e6",
            StageOutcome::Failed => "#e8a09a",
            StageOutcome::Skipped | StageOutcome::Cancelled => "#ddd",
        };
        let (stroke, thick) = if bar.critical {
            ("#b35900", 2)
        } else {
            ("#4a7ba6", 1)
        };
        let seconds = (bar.end_ms - bar.start_ms) as f64 / 1000.0;
        let id = escape(&bar.id);
        let critical = if bar.critical {
            ", on the critical path"
        } else {
            ""
        };
        let _ = write!(
            svg,
            "<g><title>{id}: {} in {seconds:.2} s{critical}</title><rect x=\"{left:.1}\" y=\"{top}\" width=\"{width:.1}\" \
             height=\"20\" rx=\"3\" fill=\"{fill}\" stroke=\"{stroke}\" stroke-width=\"{thick}\"/>",
            bar.outcome.as_str()
        );
        // A name is written where it fits.
        if width > 7.0 * bar.id.chars().count() as f64 + 8.0 {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" fill=\"#222\">{id}</text>",
                left + 5.0,
                top + 14
            );
        }
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

/// Shows a timeline as a page of its own: the chart, and the same as a table.
pub fn html(timeline: &RunTimeline) -> String {
    let mut body = format!(
        "<h1>Run {}</h1>\n<p>{}: {} stages ran in {:.2} s, {} were reused. A thick brown border marks the critical \
         path: the run ends earlier only if one of these does.</p>\n{}",
        escape(&timeline.run),
        escape(&timeline.pipeline),
        timeline.bars.len(),
        timeline.length_ms as f64 / 1000.0,
        timeline.reused,
        svg(timeline)
    );
    body.push_str("<table><tr><th>stage</th><th>worker</th><th>began</th><th>took</th><th>ended</th><th></th></tr>\n");
    for bar in &timeline.bars {
        let _ = writeln!(
            body,
            "<tr><td>{}</td><td>{}</td><td>{:.2} s</td><td>{:.2} s</td><td>{}</td><td>{}</td></tr>",
            escape(&bar.id),
            bar.machine
                .as_deref()
                .map_or_else(|| (bar.lane + 1).to_string(), escape),
            bar.start_ms as f64 / 1000.0,
            (bar.end_ms - bar.start_ms) as f64 / 1000.0,
            bar.outcome.as_str(),
            if bar.critical { "critical" } else { "" }
        );
    }
    body.push_str("</table>\n");
    html::page(&format!("Run {}", timeline.run), "", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_waited_for_what_ended_last_of_what_was_needed() {
        let bar = |id: &str, start_ms, end_ms| TimelineBar {
            id: id.to_owned(),
            machine: None,
            lane: 0,
            start_ms,
            end_ms,
            outcome: StageOutcome::Made,
            critical: false,
        };
        let mut bars = vec![
            bar("slow", 0, 200),
            bar("quick", 0, 10),
            bar("both", 200, 220),
            bar("apart", 10, 215),
            bar("end", 220, 230),
        ];
        let needs = |of: &[&str]| of.iter().map(|id| (*id).to_owned()).collect();
        let needed = BTreeMap::from([
            ("both".to_owned(), needs(&["slow", "quick"])),
            ("end".to_owned(), needs(&["both"])),
        ]);
        mark(&mut bars, &needed);
        let marked = bars.iter().filter(|bar| bar.critical);
        let marked: Vec<&str> = marked.map(|bar| bar.id.as_str()).collect();
        assert_eq!(marked, ["slow", "both", "end"]);
    }
}
