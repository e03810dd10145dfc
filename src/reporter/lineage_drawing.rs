//! Lineage as a drawing: DOT for Graphviz, Mermaid for Markdown. Boxes are actions, rounded ones
//! artifacts.

use std::fmt::Write as _;

use crate::base::digest::Digest;
use crate::lineage::lineage_graph::LineageGraph;
use crate::lineage::query::ArtifactMaker;

/// Draws lineage in Graphviz's language.
pub fn dot(graph: &LineageGraph) -> String {
    let mut text =
        "digraph lineage {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n".to_owned();
    for (digest, name) in &graph.artifacts {
        let label = quoted(&format!("{name}\n{}", digest.short()));
        let _ = writeln!(
            text,
            "  {} [shape=box, style=rounded, label={label}];",
            id('f', digest)
        );
    }
    for (key, action) in &graph.actions {
        let label = quoted(&label(action));
        let _ = writeln!(text, "  {} [shape=box, label={label}];", id('a', key));
    }
    for edge in graph.used.keys() {
        let (artifact, action) = (id('f', &edge.artifact), id('a', &edge.action));
        let _ = writeln!(text, "  {artifact} -> {action};");
    }
    for edge in graph.made.keys() {
        let (artifact, action) = (id('f', &edge.artifact), id('a', &edge.action));
        let _ = writeln!(text, "  {action} -> {artifact};");
    }
    text.push_str("}\n");
    text
}

/// Draws lineage as a Mermaid flowchart.
pub fn mermaid(graph: &LineageGraph) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for (digest, name) in &graph.artifacts {
        let label = escaped(&format!("{name}\n{}", digest.short()));
        let _ = writeln!(text, "  {}([\"{label}\"])", id('f', digest));
    }
    for (key, action) in &graph.actions {
        let _ = writeln!(text, "  {}[\"{}\"]", id('a', key), escaped(&label(action)));
    }
    for edge in graph.used.keys() {
        let (artifact, action) = (id('f', &edge.artifact), id('a', &edge.action));
        let _ = writeln!(text, "  {artifact} --> {action}");
    }
    for edge in graph.made.keys() {
        let (artifact, action) = (id('f', &edge.artifact), id('a', &edge.action));
        let _ = writeln!(text, "  {action} --> {artifact}");
    }
    text
}

/// A node's name in the drawing; the same bytes may be an artifact's and an action's.
fn id(sort: char, digest: &Digest) -> String {
    format!("{sort}{}", digest.short())
}

fn label(action: &ArtifactMaker) -> String {
    let part = match &action.part {
        Some(part) => format!(" {part}"),
        None => String::new(),
    };
    format!("{}{part} ({})\n{}", action.stage, action.kind, action.run)
}

fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('\n', "\\n"))
}

fn escaped(text: &str) -> String {
    let text = text.replace('#', "#35;").replace('"', "#quot;");
    let text = text.replace('<', "#lt;").replace('>', "#gt;");
    text.replace('\n', "<br>")
}
