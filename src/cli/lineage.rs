//! `netsec lineage`.

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::cli::args::{LineageArgs, LineageFormat};
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::lineage::lineage_graph::LineageGraph;
use crate::lineage::query::{self, ArtifactImpact, ArtifactTrace};
use crate::reporter::lineage_drawing::{dot, mermaid};
use crate::reporter::openlineage::openlineage;
use crate::reporter::prov::prov;
use crate::reporter::table;

/// What was found in the direction that was asked for.
enum FoundLineage {
    Upstream(ArtifactTrace),
    Downstream(ArtifactImpact),
}

impl FoundLineage {
    fn graph(&self) -> LineageGraph {
        match self {
            Self::Upstream(trace) => LineageGraph::of_trace(trace),
            Self::Downstream(impact) => LineageGraph::of_impact(impact),
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Self::Upstream(trace) => json!(trace),
            Self::Downstream(impact) => json!(impact),
        }
    }

    fn tree(&self) -> String {
        match self {
            Self::Upstream(trace) => table::trace(trace),
            Self::Downstream(impact) => table::impact(impact),
        }
    }
}

/// Says what an artifact was made of, or what was made of it.
///
/// # Errors
/// The target means nothing; the ledger failed.
pub fn lineage(workspace: &Workspace, args: &LineageArgs) -> Result<Exit, AppError> {
    // The ledger is given back before anything is printed, so that no run waits for a pager.
    let found = found(workspace, args)?;
    let format = if args.json {
        LineageFormat::Json
    } else {
        args.format
    };
    match format {
        LineageFormat::Tree => out::data(found.tree().as_bytes())?,
        LineageFormat::Json => out::json(&found.json())?,
        LineageFormat::Dot => out::data(dot(&found.graph()).as_bytes())?,
        LineageFormat::Mermaid => out::data(mermaid(&found.graph()).as_bytes())?,
        LineageFormat::Prov => out::json(&prov(&found.graph()))?,
        LineageFormat::Openlineage => out::data(openlineage(&found.graph()).as_bytes())?,
    }
    Ok(Exit::Done)
}

fn found(workspace: &Workspace, args: &LineageArgs) -> Result<FoundLineage, AppError> {
    let ledger = workspace.reading()?.ledger;
    let found = workspace.find(&ledger, &args.whose.name(&args.target))?;
    if args.downstream {
        let impact = query::impact(&ledger, found.digest, &found.name)?;
        return Ok(FoundLineage::Downstream(impact));
    }
    let run = found.run.as_ref();
    let trace = query::trace(&ledger, found.digest, &found.name, run)?;
    Ok(FoundLineage::Upstream(trace))
}
