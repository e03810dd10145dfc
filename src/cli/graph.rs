//! `netsec graph`.

use serde_json::{Value, json};

use crate::app::workspace::{AppError, LoadedPipeline, RunRequest, Workspace};
use crate::cli::args::{GraphArgs, GraphFormat};
use crate::cli::exit::Exit;
use crate::cli::{load, out};
use crate::plan::decide::Verdict;
use crate::reporter::graph;

/// Draws a pipeline.
///
/// # Errors
/// The pipeline is wrong.
pub fn graph(workspace: &Workspace, args: &GraphArgs) -> Result<Exit, AppError> {
    let loaded = load::load(workspace, &args.file, &args.choose)?;
    match args.format {
        GraphFormat::Dot => out::data(loaded.dot().as_bytes())?,
        GraphFormat::Mermaid => out::data(loaded.mermaid().as_bytes())?,
        GraphFormat::Html => out::data(html(workspace, &loaded)?.as_bytes())?,
        GraphFormat::Json => out::json(&nodes(&loaded))?,
    }
    Ok(Exit::Done)
}

fn html(workspace: &Workspace, loaded: &LoadedPipeline) -> Result<String, AppError> {
    let plan = workspace.plan(loaded, &RunRequest::default())?;
    let stage = |(number, stage): (usize, &crate::pipeline::check::StageSpec)| {
        let (state, why) = match &plan.decisions[&number].verdict {
            Verdict::Reuse(record) => ("reuse", format!("made by run {}", record.run)),
            Verdict::Run(why) => ("run", why.short()),
            Verdict::Wait(stages) => {
                let names: Vec<&str> = stages.iter().map(|stage| stage.as_str()).collect();
                ("wait", format!("for {}", names.join(", ")))
            }
        };
        let (id, kind) = (stage.id.to_string(), stage.kind.name.to_owned());
        graph::StageBox {
            id,
            kind,
            state,
            why,
            needs: loaded.graph.needs(number),
        }
    };
    let boxes: Vec<graph::StageBox> = loaded
        .pipeline
        .stages
        .iter()
        .enumerate()
        .map(stage)
        .collect();
    Ok(graph::html(&loaded.pipeline.name, &boxes))
}

fn nodes(loaded: &LoadedPipeline) -> Value {
    let stages = &loaded.pipeline.stages;
    let node = |(index, stage): (usize, &crate::pipeline::check::StageSpec)| {
        let inputs: serde_json::Map<String, Value> = stage
            .inputs
            .iter()
            .map(|input| (input.port.clone(), json!(input.text)))
            .collect();
        let needs: Vec<&str> = loaded
            .graph
            .needs(index)
            .into_iter()
            .map(|need| stages[need].id.as_str())
            .collect();
        json!({"id": stage.id, "kind": stage.kind.name, "inputs": inputs, "outputs": stage.outputs, "needs": needs})
    };
    json!({"name": loaded.pipeline.name, "stages": stages.iter().enumerate().map(node).collect::<Vec<_>>()})
}
