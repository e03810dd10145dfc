//! Ingredients + ledger + store → Verdict: reuse, run (why), wait (for what).

use serde::Serialize;

use crate::base::artifact::Artifact;
use crate::base::digest::Digest;
use crate::base::name::StageId;
use crate::lineage::error::LedgerError;
use crate::lineage::ledger::Ledger;
use crate::lineage::record::ActionRecord;
use crate::pipeline::check::StageSpec;
use crate::plan::explain::{IngredientDifference, difference};
use crate::plan::key::Ingredients;
use crate::store::blob::{Store, StoreError};
use crate::store::manifest::Manifest;

/// What is to be done about a stage.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// An earlier record serves.
    Reuse(Box<ActionRecord>),
    /// It has to run.
    Run(RunReason),
    /// Its inputs are not known before these stages have run.
    Wait(Vec<StageId>),
}

/// Why a stage has to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum RunReason {
    /// `--force`.
    Forced,
    /// It never ran in this pipeline, nor did the same action in another.
    New,
    /// These ingredients differ from the record that last served it.
    Changed {
        /// The differences.
        differences: Vec<IngredientDifference>,
    },
    /// The record came from elsewhere, nobody that is trusted vouches for it, and it has a say in
    /// where a ref points.
    Imported,
    /// An output of the record is missing or damaged.
    Lost {
        /// What is so.
        message: String,
    },
}

impl RunReason {
    /// Returns the reason in a few words.
    pub fn short(&self) -> String {
        match self {
            Self::Forced => "forced".to_owned(),
            Self::New => "no record of it yet".to_owned(),
            Self::Imported => {
                "its record was imported, and a ref moves only by what ran here or a key in `trust` signed".to_owned()
            }
            Self::Changed { differences } => {
                let names: Vec<&str> = differences.iter().map(|difference| difference.name.as_str()).collect();
                format!("changed: {}", names.join(", "))
            }
            Self::Lost { message } => message.clone(),
        }
    }
}

/// Why a verdict could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Decides about a stage whose inputs are known.
///
/// # Errors
/// Ledger or store failed.
pub fn decide(
    ledger: &Ledger,
    store: &dyn Store,
    (pipeline, stage): (&str, &StageId),
    ingredients: &Ingredients,
    key: &Digest,
) -> Result<Verdict, DecideError> {
    if let Some(record) = ledger.action(key)? {
        return match lost(store, &record.outputs)? {
            None => Ok(Verdict::Reuse(Box::new(record))),
            Some(message) => Ok(Verdict::Run(RunReason::Lost { message })),
        };
    }
    let latest = match ledger.latest(pipeline, stage)? {
        Some(key) => ledger.action(&key)?,
        None => None,
    };
    Ok(Verdict::Run(match latest {
        None => RunReason::New,
        Some(record) => RunReason::Changed {
            differences: difference(&record.ingredients, &ingredients.listed()),
        },
    }))
}

/// Why what is recorded of an action does not serve a stage, though its outputs are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordObjection {
    /// It lacks this output, as one that came from elsewhere may.
    LacksOutput(String),
    /// It has a say in where a ref points, and nobody that is trusted vouches for it.
    NotVouched,
}

/// Returns why what is recorded of an action does not serve a stage: its outputs, whether it asks for
/// moves, and whether it ran here or somebody that is trusted vouches for it.
pub fn objection(
    spec: &StageSpec,
    outputs: &[Artifact],
    has_moves: bool,
    is_vouched: bool,
) -> Option<RecordObjection> {
    let has = |port: &&String| outputs.iter().any(|output| output.port == **port);
    if let Some(port) = spec.outputs.iter().find(|port| !has(port)) {
        return Some(RecordObjection::LacksOutput(port.clone()));
    }
    let decides = spec.has_ref() || has_moves;
    (decides && !is_vouched).then_some(RecordObjection::NotVouched)
}

/// Returns what is missing or damaged of some outputs.
///
/// # Errors
/// The store failed.
pub fn lost(store: &dyn Store, outputs: &[Artifact]) -> Result<Option<String>, StoreError> {
    for output in outputs {
        let mut blobs = vec![output.digest];
        if output.directory {
            match store.get(&output.digest) {
                Ok(bytes) => match Manifest::decode(&bytes) {
                    Ok(manifest) => blobs.extend(manifest.files.iter().map(|file| file.digest)),
                    Err(why) => {
                        return Ok(Some(format!(
                            "the manifest of `{}` cannot be read: {why}",
                            output.port
                        )));
                    }
                },
                Err(error) if error.is_lost() => {
                    return Ok(Some(format!("output `{}`: {error}", output.port)));
                }
                Err(error) => return Err(error),
            }
        }
        for blob in blobs {
            let gone = match store.has(&blob) {
                Ok(true) => continue,
                Ok(false) => StoreError::Missing(blob),
                Err(error) if error.is_lost() => error,
                Err(error) => return Err(error),
            };
            return Ok(Some(format!("output `{}`: {gone}", output.port)));
        }
    }
    Ok(None)
}
