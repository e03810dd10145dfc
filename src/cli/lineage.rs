//! `netsec lineage`.

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::base::count::counted;
use crate::base::stored::StoredDocument;
use crate::cli::args::{LineageArgs, LineageFormat};
use crate::cli::exit::Exit;
use crate::cli::{collector, out};
use crate::frame::dataset::{DatasetIndex, INDEX};
use crate::lineage::lineage_graph::LineageGraph;
use crate::lineage::query::{self, ArtifactImpact, ArtifactTrace};
use crate::reporter::lineage_drawing::{dot, mermaid};
use crate::reporter::openlineage::{DataAssertion, LineageFacts, TableFacts, openlineage};
use crate::reporter::prov::prov;
use crate::reporter::table;
use crate::schema::report::{RuleVerdict, ValidationReport};

/// What was found in the direction that was asked for.
enum FoundLineage {
    Upstream(Box<ArtifactTrace>),
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
    if let Some(collector) = &args.send {
        let graph = found.graph();
        let events = openlineage(&graph, &facts(workspace, &graph)?);
        let sent = collector::send(&events, collector)?;
        out::say(&format!("{} sent", counted(sent, "event")));
        return Ok(Exit::Done);
    }
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
        LineageFormat::Openlineage => {
            let graph = found.graph();
            let facts = facts(workspace, &graph)?;
            out::data(openlineage(&graph, &facts).as_bytes())?;
        }
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
    Ok(FoundLineage::Upstream(Box::new(trace)))
}

/// What the artifacts of a lineage tell of themselves: the columns and rows of tables, and what came of
/// validations. What is gone from the cache tells nothing.
fn facts(workspace: &Workspace, graph: &LineageGraph) -> Result<LineageFacts, AppError> {
    let mut facts = LineageFacts::default();
    let records = graph.stage_records(&workspace.reading()?.ledger)?;
    for record in &records {
        let own = record
            .ingredients
            .iter()
            .filter(|ingredient| !ingredient.name.starts_with("input."));
        let lines = own.map(|ingredient| format!("{}: {}\n", ingredient.name, ingredient.value));
        facts.code.insert(record.key, lines.collect());
    }
    for digest in graph.artifacts.keys() {
        let index = workspace.fetch_entry(digest, INDEX);
        let index = index.and_then(|bytes| DatasetIndex::decode(&bytes).ok());
        if let Some(index) = index {
            let rows = index.rows();
            let columns = index.columns.into_iter();
            let table = TableFacts {
                columns: columns.map(|(name, kind)| (name, kind.as_str())).collect(),
                rows,
            };
            facts.tables.insert(*digest, table);
        }
    }
    for record in records.iter().filter(|record| record.kind == "validate") {
        let report = record.outputs.iter().find(|output| output.port == "report");
        let report = report.and_then(|output| workspace.fetch_file(&output.digest).ok()?);
        if let Some(report) = report.and_then(|bytes| ValidationReport::decode(&bytes).ok()) {
            facts.assertions.insert(record.key, assertions(&report));
        }
    }
    Ok(facts)
}

fn assertions(report: &ValidationReport) -> Vec<DataAssertion> {
    let of_rows = report.rules.iter().map(|rule| DataAssertion {
        assertion: format!("{}: {}", rule.rule, rule.asks),
        success: rule.verdict == RuleVerdict::Passed,
        column: rule.column.clone(),
    });
    let of_table = report.table.iter().map(|rule| DataAssertion {
        assertion: rule.rule.clone(),
        success: rule.verdict == RuleVerdict::Passed,
        column: None,
    });
    of_rows.chain(of_table).collect()
}
