//! `netsec graph`.

use serde_json::{Value, json};

use crate::app::workspace::{AppError, Loaded, Workspace};
use crate::cli::args::{Graph, GraphFormat};
use crate::cli::exit::Exit;
use crate::cli::{out, run};

/// Draws a pipeline.
///
/// # Errors
/// The pipeline is wrong.
pub fn graph(workspace: &Workspace, args: &Graph) -> Result<Exit, AppError> {
    let loaded = run::load(workspace, &args.file, &args.choose)?;
    match args.format {
        GraphFormat::Dot => out::data(loaded.dot().as_bytes())?,
        GraphFormat::Mermaid => out::data(loaded.mermaid().as_bytes())?,
        GraphFormat::Json => out::json(&nodes(&loaded))?,
    }
    Ok(Exit::Done)
}

fn nodes(loaded: &Loaded) -> Value {
    let stages = &loaded.pipeline.stages;
    let node = |(index, stage): (usize, &crate::pipeline::check::StageSpec)| {
        let inputs: serde_json::Map<String, Value> =
            stage.inputs.iter().map(|input| (input.port.clone(), json!(input.text))).collect();
        let needs: Vec<&str> = loaded.graph.needs(index).into_iter().map(|need| stages[need].id.as_str()).collect();
        json!({"id": stage.id, "kind": stage.kind.name, "inputs": inputs, "outputs": stage.outputs, "needs": needs})
    };
    json!({"name": loaded.pipeline.name, "stages": stages.iter().enumerate().map(node).collect::<Vec<_>>()})
}
