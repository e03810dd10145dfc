//! Lineage as a graph: artifacts, the actions that made or used them, and what flowed from where to
//! where. A trace or an impact is a tree in which what is shared stands once and is named again; a
//! graph holds each once, for other programs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::base::digest::Digest;
use crate::lineage::error::LedgerError;
use crate::lineage::ledger::Ledger;
use crate::lineage::query::{ArtifactImpact, ArtifactMaker, ArtifactTrace};
use crate::lineage::record::ActionRecord;

/// Artifacts, actions and what flowed between them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LineageGraph {
    /// Artifacts and files, with a name that they go by.
    pub artifacts: BTreeMap<Digest, String>,
    /// What came from outside: of files with the same bytes each.
    pub sources: BTreeSet<(Digest, String)>,
    /// Actions by key.
    pub actions: BTreeMap<Digest, ArtifactMaker>,
    /// Which artifact flowed into which action, and what it is called there: bytes that a stage passes
    /// on go by one name as its input and by another as its output.
    pub used: BTreeMap<LineageEdge, String>,
    /// Which artifact came out of which action, and what it is called there.
    pub made: BTreeMap<LineageEdge, String>,
}

/// An artifact and an action that used or made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LineageEdge {
    /// The key of the action.
    pub action: Digest,
    /// The artifact.
    pub artifact: Digest,
}

impl LineageGraph {
    /// Returns the graph of what an artifact was made of.
    pub fn of_trace(trace: &ArtifactTrace) -> Self {
        let mut graph = Self::default();
        graph.add_trace(trace);
        graph
    }

    /// Returns the graph of what was made of an artifact.
    pub fn of_impact(impact: &ArtifactImpact) -> Self {
        let mut graph = Self::default();
        graph.add_impact(impact);
        graph
    }

    /// Adds what another graph holds.
    pub fn absorb(&mut self, other: Self) {
        self.artifacts.extend(other.artifacts);
        self.sources.extend(other.sources);
        self.actions.extend(other.actions);
        self.used.extend(other.used);
        self.made.extend(other.made);
    }

    /// Returns the artifacts that actions made.
    pub fn made_artifacts(&self) -> BTreeSet<Digest> {
        self.made.keys().map(|edge| edge.artifact).collect()
    }

    /// Returns the records of the stages, parts of their work aside, in the order of their keys.
    ///
    /// # Errors
    /// The ledger failed.
    pub fn stage_records(&self, ledger: &Ledger) -> Result<Vec<ActionRecord>, LedgerError> {
        let mut records = Vec::new();
        for (key, _) in self
            .actions
            .iter()
            .filter(|(_, action)| action.part.is_none())
        {
            records.extend(ledger.action(key)?);
        }
        Ok(records)
    }

    /// Returns the artifacts that flowed into an action, with their names there.
    pub fn inputs(&self, action: &Digest) -> impl Iterator<Item = (&Digest, &str)> {
        artifacts_of(&self.used, action)
    }

    /// Returns the artifacts that came out of an action, with their names there.
    pub fn outputs(&self, action: &Digest) -> impl Iterator<Item = (&Digest, &str)> {
        artifacts_of(&self.made, action)
    }

    fn add_trace(&mut self, trace: &ArtifactTrace) {
        self.name(trace.digest, &trace.name);
        let Some(action) = &trace.action else {
            self.sources.insert((trace.digest, trace.name.clone()));
            return;
        };
        let made = LineageEdge {
            artifact: trace.digest,
            action: action.key,
        };
        self.made.insert(made, trace.name.clone());
        self.actions.insert(action.key, action.clone());
        for input in &trace.inputs {
            let used = LineageEdge {
                artifact: input.digest,
                action: action.key,
            };
            self.used.insert(used, input.name.clone());
            self.add_trace(input);
        }
    }

    fn add_impact(&mut self, impact: &ArtifactImpact) {
        self.name(impact.digest, &impact.name);
        for used in &impact.uses {
            let action = used.action.key;
            let edge = LineageEdge {
                artifact: impact.digest,
                action,
            };
            self.used.insert(edge, impact.name.clone());
            self.actions.insert(action, used.action.clone());
            for output in &used.outputs {
                let made = LineageEdge {
                    artifact: output.digest,
                    action,
                };
                self.made.insert(made, output.name.clone());
                self.add_impact(output);
            }
        }
    }

    /// The first name that is told stays.
    fn name(&mut self, digest: Digest, name: &str) {
        let names = self.artifacts.entry(digest);
        names.or_insert_with(|| name.to_owned());
    }
}

fn artifacts_of<'a>(
    edges: &'a BTreeMap<LineageEdge, String>,
    action: &Digest,
) -> impl Iterator<Item = (&'a Digest, &'a str)> {
    let first = LineageEdge {
        action: *action,
        artifact: Digest::from_bytes([0; 32]),
    };
    let last = LineageEdge {
        action: *action,
        artifact: Digest::from_bytes([255; 32]),
    };
    edges
        .range(first..=last)
        .map(|(edge, name)| (&edge.artifact, name.as_str()))
}
