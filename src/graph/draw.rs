//! The graph as DOT and Mermaid text.

use std::fmt::Write as _;

use crate::pipeline::check::{InputOrigin, Pipeline};

/// Returns the pipeline as a DOT drawing.
pub fn dot(pipeline: &Pipeline) -> String {
    let mut text = format!(
        "digraph {:?} {{\n  rankdir=LR;\n  node [shape=box];\n",
        pipeline.name
    );
    for stage in &pipeline.stages {
        let _ = writeln!(
            text,
            "  {:?} [label=\"{}\\n{}\"];",
            stage.id.as_str(),
            stage.id,
            stage.kind.name
        );
    }
    for (file, number) in files(pipeline) {
        let _ = writeln!(text, "  file{number} [label={file:?}, shape=note];");
    }
    for edge in edges(pipeline) {
        let from = edge.file.map_or_else(
            || format!("{:?}", edge.from),
            |number| format!("file{number}"),
        );
        let _ = writeln!(text, "  {from} -> {:?} [label={:?}];", edge.to, edge.port);
    }
    text.push_str("}\n");
    text
}

/// Returns the pipeline as a Mermaid drawing.
pub fn mermaid(pipeline: &Pipeline) -> String {
    let mut text = String::from("flowchart LR\n");
    for stage in &pipeline.stages {
        let (node, id) = (node(pipeline, stage.id.as_str()), &stage.id);
        let _ = writeln!(text, "  {node}[\"{id}<br/>{}\"]", stage.kind.name);
    }
    for (file, number) in files(pipeline) {
        let _ = writeln!(
            text,
            "  file{number}[/\"{}\"/]",
            file.replace('"', "#quot;")
        );
    }
    for edge in edges(pipeline) {
        let from = edge.file.map_or_else(
            || node(pipeline, edge.from),
            |number| format!("file{number}"),
        );
        let _ = writeln!(
            text,
            "  {from} -->|{}| {}",
            edge.port,
            node(pipeline, edge.to)
        );
    }
    text
}

/// The name of a stage in a Mermaid drawing, where brackets mean something: an instance goes by its
/// number.
fn node(pipeline: &Pipeline, id: &str) -> String {
    match pipeline
        .stages
        .iter()
        .position(|stage| stage.id.as_str() == id && id.contains('['))
    {
        Some(number) => format!("n{number}"),
        None => format!("s_{id}"),
    }
}

struct DrawnEdge<'a> {
    from: &'a str,
    file: Option<usize>,
    to: &'a str,
    port: &'a str,
}

fn files(pipeline: &Pipeline) -> Vec<(&str, usize)> {
    let mut files: Vec<&str> = Vec::new();
    for input in pipeline.stages.iter().flat_map(|stage| &stage.inputs) {
        if !matches!(input.from, InputOrigin::Stage(..)) && !files.contains(&input.text.as_str()) {
            files.push(&input.text);
        }
    }
    files
        .into_iter()
        .enumerate()
        .map(|(number, file)| (file, number))
        .collect()
}

fn edges(pipeline: &Pipeline) -> Vec<DrawnEdge<'_>> {
    let files = files(pipeline);
    let mut edges = Vec::new();
    for stage in &pipeline.stages {
        for input in &stage.inputs {
            let (from, file, port) = match &input.from {
                InputOrigin::Stage(index, port) => {
                    (pipeline.stages[*index].id.as_str(), None, port.as_str())
                }
                InputOrigin::File(_) | InputOrigin::Ref(..) => {
                    let number = files
                        .iter()
                        .find(|(file, _)| *file == input.text)
                        .map(|(_, number)| *number);
                    (input.text.as_str(), number, input.port.as_str())
                }
            };
            edges.push(DrawnEdge {
                from,
                file,
                to: stage.id.as_str(),
                port,
            });
        }
    }
    edges
}
