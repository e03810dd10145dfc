//! Lineage as OpenLineage events (specification 2-0-2), for catalogues such as Marquez: each action is
//! a run of a job, and began and ended.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::clock::iso_ms;
use crate::base::digest::{Digest, FramedHasher, hex};
use crate::lineage::lineage_graph::LineageGraph;
use crate::lineage::query::ArtifactMaker;

const PRODUCER: &str = concat!("urn:netsec:", env!("CARGO_PKG_VERSION"));
const EVENT: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const PARENT: &str =
    "https://openlineage.io/spec/facets/1-0-1/ParentRunFacet.json#/$defs/ParentRunFacet";
const JOB_TYPE: &str =
    "https://openlineage.io/spec/facets/2-0-3/JobTypeJobFacet.json#/$defs/JobTypeJobFacet";
const VERSION: &str = "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet";

const SCHEMA: &str =
    "https://openlineage.io/spec/facets/1-2-0/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet";
const COLUMN_LINEAGE: &str = "https://openlineage.io/spec/facets/1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet";
const QUALITY: &str = "https://openlineage.io/spec/facets/1-0-3/DataQualityMetricsInputDatasetFacet.json#/$defs/DataQualityMetricsInputDatasetFacet";
const ASSERTIONS: &str = "https://openlineage.io/spec/facets/1-1-0/DataQualityAssertionsDatasetFacet.json#/$defs/DataQualityAssertionsDatasetFacet";

const SOURCE_CODE: &str =
    "https://openlineage.io/spec/facets/1-0-1/SourceCodeJobFacet.json#/$defs/SourceCodeJobFacet";

/// What is known of artifacts and actions besides lineage, for facets.
#[derive(Debug, Default)]
pub struct LineageFacts {
    /// What stages were asked to do, by the key of the action.
    pub code: BTreeMap<Digest, String>,
    /// The tables among the artifacts.
    pub tables: BTreeMap<Digest, TableFacts>,
    /// What actions that validate a table found, by key.
    pub assertions: BTreeMap<Digest, Vec<DataAssertion>>,
}

/// What is known of a table.
#[derive(Debug)]
pub struct TableFacts {
    /// Its columns, with their types.
    pub columns: Vec<(String, &'static str)>,
    /// How many rows it has.
    pub rows: u64,
}

/// A rule that a table was held to.
#[derive(Clone, Debug, Serialize)]
pub struct DataAssertion {
    /// The rule.
    pub assertion: String,
    /// Whether it held.
    pub success: bool,
    /// The column; none for a condition on the whole table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

/// The namespace of jobs and artifacts.
const NAMESPACE: &str = "netsec";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RunEvent {
    event_type: &'static str,
    event_time: String,
    run: EventRun,
    job: EventJob,
    inputs: Vec<EventInput>,
    outputs: Vec<EventDataset>,
    producer: &'static str,
    #[serde(rename = "schemaURL")]
    schema_url: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventRun {
    run_id: String,
    facets: RunFacets,
}

#[derive(Serialize)]
struct RunFacets {
    parent: ParentFacet,
}

#[derive(Serialize)]
struct ParentFacet {
    #[serde(flatten)]
    facet: FacetHead,
    run: ParentRun,
    job: ParentJob,
}

#[derive(Serialize)]
struct ParentRun {
    #[serde(rename = "runId")]
    run_id: String,
}

#[derive(Serialize)]
struct ParentJob {
    namespace: &'static str,
    name: String,
}

#[derive(Serialize)]
struct EventJob {
    namespace: &'static str,
    name: String,
    facets: JobFacets,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobFacets {
    job_type: JobTypeFacet,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_code: Option<SourceCodeFacet>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SourceCodeFacet {
    #[serde(flatten)]
    facet: FacetHead,
    language: &'static str,
    source_code: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobTypeFacet {
    #[serde(flatten)]
    facet: FacetHead,
    processing_type: &'static str,
    integration: &'static str,
    job_type: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventInput {
    #[serde(flatten)]
    dataset: EventDataset,
    input_facets: InputFacets,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct InputFacets {
    #[serde(skip_serializing_if = "Option::is_none")]
    data_quality_metrics: Option<QualityFacet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_quality_assertions: Option<AssertionsFacet>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QualityFacet {
    #[serde(flatten)]
    facet: FacetHead,
    row_count: u64,
    /// Distributions are in profiles, not here.
    column_metrics: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct AssertionsFacet {
    #[serde(flatten)]
    facet: FacetHead,
    assertions: Vec<DataAssertion>,
}

#[derive(Serialize)]
struct EventDataset {
    namespace: &'static str,
    name: String,
    facets: DatasetFacets,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DatasetFacets {
    version: VersionFacet,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<SchemaFacet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column_lineage: Option<ColumnLineageFacet>,
}

#[derive(Serialize)]
struct SchemaFacet {
    #[serde(flatten)]
    facet: FacetHead,
    fields: Vec<SchemaField>,
}

#[derive(Serialize)]
struct SchemaField {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct ColumnLineageFacet {
    #[serde(flatten)]
    facet: FacetHead,
    fields: BTreeMap<String, ColumnOrigins>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ColumnOrigins {
    input_fields: Vec<ColumnOrigin>,
}

#[derive(Serialize)]
struct ColumnOrigin {
    namespace: &'static str,
    name: String,
    field: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionFacet {
    #[serde(flatten)]
    facet: FacetHead,
    dataset_version: String,
}

/// What every facet begins with.
#[derive(Serialize)]
struct FacetHead {
    #[serde(rename = "_producer")]
    producer: &'static str,
    #[serde(rename = "_schemaURL")]
    schema_url: &'static str,
}

impl FacetHead {
    fn of(schema_url: &'static str) -> Self {
        Self {
            producer: PRODUCER,
            schema_url,
        }
    }
}

/// Returns the events of lineage, a line of JSON each, in the order in which they happened.
///
/// # Panics
/// Never: plain data serialises.
pub fn openlineage(graph: &LineageGraph, facts: &LineageFacts) -> String {
    let mut events: Vec<(u64, String)> = Vec::new();
    for action in graph.actions.values() {
        let moments = [
            ("START", action.started_ms),
            ("COMPLETE", action.ended_ms()),
        ];
        for (sort, at_ms) in moments {
            let event = event(graph, facts, action, sort, at_ms);
            let line = serde_json::to_string(&event).expect("plain data serialises");
            events.push((at_ms, line));
        }
    }
    events.sort_by_key(|(at_ms, _)| *at_ms);
    events.into_iter().map(|(_, line)| line + "\n").collect()
}

fn event(
    graph: &LineageGraph,
    facts: &LineageFacts,
    action: &ArtifactMaker,
    event_type: &'static str,
    at_ms: u64,
) -> RunEvent {
    let part = match &action.part {
        Some(part) => format!(".{part}"),
        None => String::new(),
    };
    RunEvent {
        event_type,
        event_time: iso_ms(at_ms),
        run: EventRun {
            run_id: uuid(&action.key),
            facets: RunFacets {
                parent: ParentFacet {
                    facet: FacetHead::of(PARENT),
                    run: ParentRun {
                        run_id: uuid(&run_digest(&action.run)),
                    },
                    job: ParentJob {
                        namespace: NAMESPACE,
                        name: action.pipeline.clone(),
                    },
                },
            },
        },
        job: EventJob {
            namespace: NAMESPACE,
            name: format!("{}:{}{part}", action.pipeline, action.stage),
            facets: JobFacets {
                job_type: JobTypeFacet {
                    facet: FacetHead::of(JOB_TYPE),
                    processing_type: "BATCH",
                    integration: "NETSEC",
                    job_type: action.kind.to_uppercase(),
                },
                source_code: facts.code.get(&action.key).map(|code| SourceCodeFacet {
                    facet: FacetHead::of(SOURCE_CODE),
                    language: "netsec",
                    source_code: code.clone(),
                }),
            },
        },
        inputs: graph
            .inputs(&action.key)
            .map(|(digest, name)| input(facts, action, digest, name))
            .collect(),
        outputs: graph
            .outputs(&action.key)
            .map(|(digest, name)| output(graph, facts, action, (digest, name)))
            .collect(),
        producer: PRODUCER,
        schema_url: EVENT,
    }
}

fn dataset(facts: &LineageFacts, digest: &Digest, name: &str) -> EventDataset {
    let schema = facts.tables.get(digest).map(|table| SchemaFacet {
        facet: FacetHead::of(SCHEMA),
        fields: table
            .columns
            .iter()
            .map(|(name, kind)| SchemaField {
                name: name.clone(),
                kind,
            })
            .collect(),
    });
    EventDataset {
        namespace: NAMESPACE,
        name: name.to_owned(),
        facets: DatasetFacets {
            version: VersionFacet {
                facet: FacetHead::of(VERSION),
                dataset_version: digest.hex(),
            },
            schema,
            column_lineage: None,
        },
    }
}

/// What flowed into an action; of a table how many rows it has and, if the action held it to rules,
/// which held.
fn input(facts: &LineageFacts, action: &ArtifactMaker, digest: &Digest, name: &str) -> EventInput {
    let table = facts.tables.get(digest);
    let asserted = facts
        .assertions
        .get(&action.key)
        .filter(|_| table.is_some());
    EventInput {
        dataset: dataset(facts, digest, name),
        input_facets: InputFacets {
            data_quality_metrics: table.map(|table| QualityFacet {
                facet: FacetHead::of(QUALITY),
                row_count: table.rows,
                column_metrics: BTreeMap::new(),
            }),
            data_quality_assertions: asserted.map(|assertions| AssertionsFacet {
                facet: FacetHead::of(ASSERTIONS),
                assertions: assertions.clone(),
            }),
        },
    }
}

/// What came out of an action; of a table, from which columns of which inputs each column came: those
/// of the same name, since no kind of stage that gives tables renames a column.
fn output(
    graph: &LineageGraph,
    facts: &LineageFacts,
    action: &ArtifactMaker,
    (digest, name): (&Digest, &str),
) -> EventDataset {
    let mut fields = BTreeMap::new();
    for (column, _) in facts
        .tables
        .get(digest)
        .iter()
        .flat_map(|table| &table.columns)
    {
        let mut input_fields = Vec::new();
        for (input, name) in graph
            .inputs(&action.key)
            .filter(|(input, _)| *input != digest)
        {
            let table = facts.tables.get(input);
            if table.is_some_and(|table| table.columns.iter().any(|(other, _)| other == column)) {
                input_fields.push(ColumnOrigin {
                    namespace: NAMESPACE,
                    name: name.to_owned(),
                    field: column.clone(),
                });
            }
        }
        if !input_fields.is_empty() {
            fields.insert(column.clone(), ColumnOrigins { input_fields });
        }
    }
    let mut dataset = dataset(facts, digest, name);
    if !fields.is_empty() {
        dataset.facets.column_lineage = Some(ColumnLineageFacet {
            facet: FacetHead::of(COLUMN_LINEAGE),
            fields,
        });
    }
    dataset
}

fn run_digest(run: &str) -> Digest {
    let mut framed = FramedHasher::new("netsec 2026-11 openlineage run");
    framed.text(run);
    framed.finish()
}

/// The beginning of a digest as a UUID of a form of one's own (version 8, RFC 9562): the same thing
/// has the same one wherever it is told of.
fn uuid(digest: &Digest) -> String {
    let mut bytes: [u8; 16] = digest.as_bytes()[..16].try_into().expect("sixteen bytes");
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    let groups = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    groups.join("-")
}
