//! Kinds by name.

use crate::stage::kind::StageKind;

/// The kinds a pipeline may name.
#[derive(Clone, Debug, Default)]
pub struct Registry(Vec<StageKind>);

impl Registry {
    /// Makes a registry of these kinds, in the order in which they are to be shown.
    pub fn new(kinds: Vec<StageKind>) -> Self {
        Self(kinds)
    }

    /// Finds a kind by its name.
    pub fn find(&self, name: &str) -> Option<&StageKind> {
        self.0.iter().find(|kind| kind.name == name)
    }

    /// Returns all kinds.
    pub fn kinds(&self) -> &[StageKind] {
        &self.0
    }
}
