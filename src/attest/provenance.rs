//! What a model was made of, as SLSA provenance (version 1): the stage with its parameters, and every
//! artifact and file that flowed into it, by digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attest::keys::sha256_hex;
use crate::attest::statement::{InTotoStatement, STATEMENT_TYPE, StatementSubject};
use crate::base::clock::iso;
use crate::base::digest::Digest;

/// What is said.
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// How the rest is to be read.
const BUILD_TYPE: &str = "urn:netsec:stage:v1";
const BUILDER: &str = "urn:netsec:run";

/// A statement of what a model was made of.
pub type ProvenanceStatement = InTotoStatement<SlsaProvenance>;

/// SLSA provenance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlsaProvenance {
    /// What was asked for, and of what.
    pub build_definition: BuildDefinition,
    /// Who did it, and when.
    pub run_details: BuildRun,
}

/// What was asked for, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildDefinition {
    /// How the rest is to be read.
    pub build_type: String,
    /// What the user asked for.
    pub external_parameters: StageParameters,
    /// All that flowed in.
    pub resolved_dependencies: Vec<ResolvedDependency>,
}

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageParameters {
    /// The pipeline file, as it was named.
    pub pipeline: String,
    /// The stage.
    pub stage: String,
    /// Its kind.
    pub kind: String,
    /// Of a promotion: which ref was to point at the model, by whose word and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<PromotionClaim>,
    /// How the model came here, if it was made elsewhere: `unsigned`, or the key that its statement was
    /// signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<String>,
    /// Of every stage that the model was made by, the ingredients of its cache key, inputs aside.
    pub stages: BTreeMap<String, BTreeMap<String, String>>,
}

/// A promotion, as it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionClaim {
    /// The ref.
    pub name: String,
    /// Who decided it.
    pub who: String,
    /// Why.
    pub why: String,
}

/// Something that flowed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedDependency {
    /// The output of a stage, or a file as the pipeline names it.
    pub name: String,
    /// Its digests, by algorithm.
    pub digest: BTreeMap<String, String>,
    /// What else is known.
    pub annotations: DependencyNotes,
}

/// What else is known of something that flowed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DependencyNotes {
    /// Whether it came from outside: no stage made it.
    pub is_source: bool,
}

/// Who did it, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRun {
    /// Who.
    pub builder: BuildTool,
    /// When.
    pub metadata: BuildMoments,
    /// What was written beside the model: its card.
    #[serde(default)]
    pub byproducts: Vec<StatementSubject>,
}

/// Who.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildTool {
    /// A name.
    pub id: String,
    /// Versions by program.
    pub version: BTreeMap<String, String>,
}

/// When.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildMoments {
    /// The run.
    pub invocation_id: String,
    /// When the stage began.
    pub started_on: String,
    /// When it ended.
    pub finished_on: String,
}

/// What is known of how a model was made.
#[derive(Clone, Debug)]
pub struct ModelOrigin {
    /// What the user asked for.
    pub parameters: StageParameters,
    /// The run.
    pub run: String,
    /// When the stage began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: u64,
    /// The version of netsec.
    pub netsec: String,
    /// The model's card.
    pub card: String,
    /// All that flowed in: name, digest, and whether it came from outside.
    pub dependencies: Vec<(String, Digest, bool)>,
}

impl ProvenanceStatement {
    /// Returns whether it is what it should be: a statement of what a model was made of.
    pub fn is_provenance(&self) -> bool {
        self.statement_type == STATEMENT_TYPE
            && self.predicate_type == PROVENANCE
            && self.predicate.build_definition.build_type == BUILD_TYPE
    }
}

/// Says what a model was made of.
pub fn provenance(name: &str, model: &[u8], origin: ModelOrigin) -> ProvenanceStatement {
    let dependency = |(name, digest, is_source): (String, Digest, bool)| ResolvedDependency {
        name,
        digest: [("blake3".to_owned(), digest.hex())].into(),
        annotations: DependencyNotes { is_source },
    };
    let predicate = SlsaProvenance {
        build_definition: BuildDefinition {
            build_type: BUILD_TYPE.to_owned(),
            external_parameters: origin.parameters,
            resolved_dependencies: origin.dependencies.into_iter().map(dependency).collect(),
        },
        run_details: BuildRun {
            builder: BuildTool {
                id: BUILDER.to_owned(),
                version: [("netsec".to_owned(), origin.netsec)].into(),
            },
            metadata: BuildMoments {
                invocation_id: origin.run,
                started_on: iso(origin.started_ms),
                finished_on: iso(origin.ended_ms),
            },
            byproducts: vec![card_subject(&origin.card)],
        },
    };
    InTotoStatement::of(subject(name, model), PROVENANCE, predicate)
}

/// A card as a statement names it.
pub fn card_subject(card: &str) -> StatementSubject {
    StatementSubject {
        name: "card.md".to_owned(),
        digest: [("sha256".to_owned(), sha256_hex(card.as_bytes()))].into(),
    }
}

/// A model as a statement names it.
pub fn subject(name: &str, model: &[u8]) -> StatementSubject {
    StatementSubject {
        name: name.to_owned(),
        digest: [
            ("blake3".to_owned(), Digest::of(model).hex()),
            ("sha256".to_owned(), sha256_hex(model)),
        ]
        .into(),
    }
}
