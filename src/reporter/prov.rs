//! Lineage as W3C PROV-JSON: artifacts are entities, actions are activities. An entity is the bytes,
//! wherever they come from: two actions that gave the same ones generated the same entity.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::clock::iso_ms;
use crate::lineage::lineage_graph::LineageGraph;

/// The names of netsec's things in a document: a digest stands for its bytes wherever they are.
const NAMESPACE: &str = "urn:netsec:";

/// A document of PROV-JSON (W3C member submission of 2013-04-24).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProvDocument {
    prefix: BTreeMap<&'static str, &'static str>,
    entity: BTreeMap<String, BTreeMap<&'static str, String>>,
    activity: BTreeMap<String, BTreeMap<&'static str, String>>,
    used: BTreeMap<String, BTreeMap<&'static str, String>>,
    was_generated_by: BTreeMap<String, BTreeMap<&'static str, String>>,
}

/// Returns lineage as PROV-JSON.
///
/// # Panics
/// Never: plain data serialises.
pub fn prov(graph: &LineageGraph) -> serde_json::Value {
    let entity = |digest: &dyn std::fmt::Display| format!("netsec:artifact-{digest}");
    let activity = |key: &dyn std::fmt::Display| format!("netsec:action-{key}");
    let mut document = ProvDocument {
        prefix: [
            ("netsec", NAMESPACE),
            ("prov", "http://www.w3.org/ns/prov#"),
        ]
        .into(),
        entity: BTreeMap::new(),
        activity: BTreeMap::new(),
        used: BTreeMap::new(),
        was_generated_by: BTreeMap::new(),
    };
    for (digest, name) in &graph.artifacts {
        let told = [
            ("prov:label", name.clone()),
            ("netsec:blake3", digest.to_string()),
        ];
        document.entity.insert(entity(digest), told.into());
    }
    for (key, action) in &graph.actions {
        let mut told: BTreeMap<&'static str, String> = [
            ("prov:label", action.stage.clone()),
            ("prov:startTime", iso_ms(action.started_ms)),
            ("prov:endTime", iso_ms(action.ended_ms())),
            ("netsec:kind", action.kind.clone()),
            ("netsec:run", action.run.clone()),
            ("netsec:pipeline", action.pipeline.clone()),
        ]
        .into();
        if let Some(part) = &action.part {
            told.insert("netsec:part", part.clone());
        }
        document.activity.insert(activity(key), told);
    }
    for (number, edge) in graph.used.keys().enumerate() {
        let told = [
            ("prov:activity", activity(&edge.action)),
            ("prov:entity", entity(&edge.artifact)),
        ];
        document.used.insert(format!("_:used{number}"), told.into());
    }
    for (number, edge) in graph.made.keys().enumerate() {
        let told = [
            ("prov:activity", activity(&edge.action)),
            ("prov:entity", entity(&edge.artifact)),
        ];
        let name = format!("_:made{number}");
        document.was_generated_by.insert(name, told.into());
    }
    serde_json::to_value(document).expect("plain data serialises")
}
