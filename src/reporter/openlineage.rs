//! Lineage as OpenLineage events (specification 2-0-2), for catalogues such as Marquez: each action is
//! a run of a job, and began and ended.

use serde::Serialize;

use crate::base::clock::iso_ms;
use crate::base::digest::{Digest, FramedHasher};
use crate::lineage::lineage_graph::LineageGraph;
use crate::lineage::query::ArtifactMaker;

const PRODUCER: &str = concat!("urn:netsec:", env!("CARGO_PKG_VERSION"));
const EVENT: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const PARENT: &str =
    "https://openlineage.io/spec/facets/1-0-1/ParentRunFacet.json#/$defs/ParentRunFacet";
const JOB_TYPE: &str =
    "https://openlineage.io/spec/facets/2-0-3/JobTypeJobFacet.json#/$defs/JobTypeJobFacet";
const VERSION: &str = "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet";

/// The namespace of jobs and artifacts.
const NAMESPACE: &str = "netsec";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RunEvent {
    event_type: &'static str,
    event_time: String,
    run: EventRun,
    job: EventJob,
    inputs: Vec<EventDataset>,
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
struct EventDataset {
    namespace: &'static str,
    name: String,
    facets: DatasetFacets,
}

#[derive(Serialize)]
struct DatasetFacets {
    version: VersionFacet,
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
pub fn openlineage(graph: &LineageGraph) -> String {
    let mut events: Vec<(u64, String)> = Vec::new();
    for action in graph.actions.values() {
        let moments = [
            ("START", action.started_ms),
            ("COMPLETE", action.ended_ms()),
        ];
        for (sort, at_ms) in moments {
            let event = event(graph, action, sort, at_ms);
            let line = serde_json::to_string(&event).expect("plain data serialises");
            events.push((at_ms, line));
        }
    }
    events.sort_by_key(|(at_ms, _)| *at_ms);
    events.into_iter().map(|(_, line)| line + "\n").collect()
}

fn event(
    graph: &LineageGraph,
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
            },
        },
        inputs: graph
            .inputs(&action.key)
            .map(|(digest, name)| dataset(digest, name))
            .collect(),
        outputs: graph
            .outputs(&action.key)
            .map(|(digest, name)| dataset(digest, name))
            .collect(),
        producer: PRODUCER,
        schema_url: EVENT,
    }
}

fn dataset(digest: &Digest, name: &str) -> EventDataset {
    EventDataset {
        namespace: NAMESPACE,
        name: name.to_owned(),
        facets: DatasetFacets {
            version: VersionFacet {
                facet: FacetHead::of(VERSION),
                dataset_version: digest.hex(),
            },
        },
    }
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
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let groups = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    groups.join("-")
}
