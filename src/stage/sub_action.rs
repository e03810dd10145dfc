//! Sub-actions: smaller actions of a stage's own, kept and reused like stages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::artifact::Artifact;
use crate::base::digest::Digest;
use crate::stage::param::Value;

/// A part of a stage's work that is worth keeping by itself, such as a trial of a sweep. What it
/// makes may depend on what is listed here, the stage's kind and its seed, and on nothing else.
#[derive(Clone, Debug)]
pub struct SubAction {
    /// What kind of work it is, among those of its stage: part of its key.
    pub kind: &'static str,
    /// What it is called within its stage: letters, digits and `_-+.,=`. No part of its key.
    pub name: String,
    /// All that determines its result besides inputs.
    pub with: BTreeMap<String, Value>,
    /// The stage's input ports whose contents it uses.
    pub inputs: Vec<&'static str>,
    /// Whether it takes so much longer than a question to another machine that it is worth asking there.
    pub is_costly: bool,
    /// What it shares work with, so that one machine makes them: those that say the same.
    pub together: Option<String>,
    /// All blobs that it reads, where that is less than its inputs hold.
    pub reads: Option<Vec<Digest>>,
}

impl SubAction {
    /// Makes a sub-action that nothing determines yet.
    pub fn new(kind: &'static str, name: String) -> Self {
        Self {
            kind,
            name,
            with: BTreeMap::new(),
            inputs: Vec::new(),
            is_costly: false,
            together: None,
            reads: None,
        }
    }

    /// Makes it one that is worth asking other machines for.
    #[must_use]
    pub fn costly(self) -> Self {
        Self {
            is_costly: true,
            ..self
        }
    }

    /// Says what it shares work with.
    #[must_use]
    pub fn together(self, name: String) -> Self {
        Self {
            together: Some(name),
            ..self
        }
    }

    /// Says all that it reads.
    #[must_use]
    pub fn reads(self, blobs: Vec<Digest>) -> Self {
        Self {
            reads: Some(blobs),
            ..self
        }
    }

    /// Adds something that determines the result.
    #[must_use]
    pub fn with(self, name: &str, value: impl Serialize) -> Self {
        self.with_value(name, Value::of(value))
    }

    /// The same, of what is a value already.
    #[must_use]
    pub fn with_value(mut self, name: &str, value: Value) -> Self {
        self.with.insert(name.to_owned(), value);
        self
    }
}

/// Bytes that are in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// Their digest.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
}

impl BlobRef {
    /// Names the bytes of an artifact that is no directory.
    pub fn of(made: &Artifact) -> Self {
        Self {
            digest: made.digest,
            size: made.size,
        }
    }
}
