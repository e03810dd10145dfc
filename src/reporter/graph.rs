//! Stages, their needs and what is to be done about them → a drawing in layers.

use std::fmt::Write as _;

use crate::render::html::{self, escape};

/// A stage in a drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageBox {
    /// Its name.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// What is to be done about it: `reuse`, `run` or `wait`.
    pub state: &'static str,
    /// Why.
    pub why: String,
    /// The numbers of the stages it needs, all smaller than the length of the list.
    pub needs: Vec<usize>,
}

const WIDTH: usize = 170;
const HEIGHT: usize = 46;
const GAP_X: usize = 70;
const GAP_Y: usize = 18;

/// Draws stages in layers: each stands right of all it needs. The needs have no circle.
pub fn svg(boxes: &[StageBox]) -> String {
    let layers = layers(boxes);
    let mut rows: Vec<usize> = Vec::new();
    let mut places = Vec::with_capacity(boxes.len());
    for layer in &layers {
        if rows.len() <= *layer {
            rows.resize(layer + 1, 0);
        }
        places.push((
            10 + layer * (WIDTH + GAP_X),
            10 + rows[*layer] * (HEIGHT + GAP_Y),
        ));
        rows[*layer] += 1;
    }
    let width = 20 + rows.len() * (WIDTH + GAP_X) - GAP_X.min(rows.len() * GAP_X);
    let height = 20 + rows.iter().max().copied().unwrap_or(0) * (HEIGHT + GAP_Y);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\" aria-label=\"the stages and their needs\">\n"
    );
    for (at, stage) in boxes.iter().enumerate() {
        let (x, y) = (places[at].0, places[at].1 + HEIGHT / 2);
        for need in &stage.needs {
            let (from_x, from_y) = (places[*need].0 + WIDTH, places[*need].1 + HEIGHT / 2);
            let middle = (from_x + x) / 2;
            let _ = writeln!(
                svg,
                "<path d=\"M{from_x} {from_y} C{middle} {from_y} {middle} {y} {x} {y}\" fill=\"none\" stroke=\"#999\"/>"
            );
        }
    }
    for (stage, (x, y)) in boxes.iter().zip(&places) {
        let (fill, stroke) = match stage.state {
            "reuse" => ("#d9ead3", "#6a9a5b"),
            "run" => ("#fce5cd", "#b35900"),
            _ => ("#eee", "#999"),
        };
        let shown: String = match stage.id.chars().count() > 22 {
            true => stage.id.chars().take(21).chain(['…']).collect(),
            false => stage.id.clone(),
        };
        let _ = writeln!(
            svg,
            "<g><title>{}: {} – {}</title><rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"5\" \
             fill=\"{fill}\" stroke=\"{stroke}\"/><text x=\"{}\" y=\"{}\" font-weight=\"600\">{}</text>\
             <text x=\"{}\" y=\"{}\" fill=\"#555\" font-size=\"11\">{}, {}</text></g>",
            escape(&stage.id),
            stage.state,
            escape(&stage.why),
            x + 9,
            y + 19,
            escape(&shown),
            x + 9,
            y + 36,
            escape(&stage.kind),
            stage.state,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// The layer of each stage: one more than the highest of those it needs.
fn layers(boxes: &[StageBox]) -> Vec<usize> {
    let mut layers = vec![0; boxes.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for (at, stage) in boxes.iter().enumerate() {
            let layer = stage
                .needs
                .iter()
                .map(|need| layers[*need] + 1)
                .max()
                .unwrap_or(0);
            changed |= layers[at] != layer;
            layers[at] = layer;
        }
    }
    layers
}

/// Shows a drawing as a page of its own.
pub fn html(name: &str, boxes: &[StageBox]) -> String {
    let count = |state: &str| boxes.iter().filter(|stage| stage.state == state).count();
    let body = format!(
        "<h1>{}</h1>\n<p>{} to reuse (green), {} to run (orange), {} wait for these (grey).</p>\n{}",
        escape(name),
        count("reuse"),
        count("run"),
        count("wait"),
        svg(boxes)
    );
    html::page(name, "", &body)
}
