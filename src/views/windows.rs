//! How a metric goes over time, as a part of a page: a plot, and its windows as a table.

use std::fmt::Write as _;

use crate::gate::time_decay::{TestWindow, TimeDecay};
use crate::render::chart::{AxisScale, ChartAxis, ChartDot, ChartLine, chart};
use crate::render::html::escape;
use crate::views::figure::figure_cell;

/// Returns the part.
pub(crate) fn time_section(decay: &TimeDecay) -> String {
    let mut html = format!(
        "<h2>Over time, by windows of {} of <code>{}</code></h2>\n<p>{}</p>\n",
        escape(&decay.window),
        escape(&decay.column),
        escape(&decay.tell())
    );
    html.push_str(&plot(decay));
    let _ = writeln!(
        html,
        "<table><tr><th>from</th><th class=\"n\">rows</th><th class=\"n\">attacks</th><th class=\"n\">{}</th>\
         <th class=\"n\">champion</th></tr>",
        escape(&decay.metric)
    );
    for window in &decay.windows {
        let score = window.score.map_or("too few rows".to_owned(), |score| {
            figure_cell(score, window.interval)
        });
        let champion = window
            .champion
            .map_or("–".to_owned(), |score| format!("{score:.4}"));
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{score}</td><td class=\"n\">{champion}</td></tr>",
            escape(&window.from),
            window.rows,
            window.attacks
        );
    }
    html.push_str("</table>\n");
    html
}

fn plot(decay: &TimeDecay) -> String {
    let place = |window: &TestWindow, score: f64| (window.number as f64, score);
    let dot = |window: &TestWindow| {
        let score = window.score?;
        Some(ChartDot {
            at: place(window, score),
            interval: window.interval,
            words: format!("from {}: {score:.4} of {} rows", window.from, window.rows),
        })
    };
    let points = |of: fn(&TestWindow) -> Option<f64>| -> Vec<(f64, f64)> {
        let scored = decay.windows.iter();
        let scored = scored.filter_map(|window| Some(place(window, of(window)?)));
        scored.collect()
    };
    let mut lines = vec![ChartLine {
        name: "challenger",
        class: "a",
        points: points(|window| window.score),
        dots: decay.windows.iter().filter_map(dot).collect(),
    }];
    let champion = points(|window| window.champion);
    if !champion.is_empty() {
        lines.push(ChartLine {
            name: "champion",
            class: "b",
            points: champion,
            dots: Vec::new(),
        });
    }
    let heights = lines
        .iter()
        .flat_map(|line| &line.points)
        .map(|point| point.1);
    let (low, high) = heights.fold((0.0_f64, 1.0_f64), |(low, high), score| {
        (low.min(score), high.max(score))
    });
    let last = decay
        .windows
        .last()
        .map_or(1, |window| window.number.max(1));
    let x = ChartAxis {
        title: "window",
        scale: AxisScale::Linear(0.0, last as f64),
    };
    let y = ChartAxis {
        title: &decay.metric,
        scale: AxisScale::Linear(low, high),
    };
    chart("By window of time", x, y, &lines)
}
