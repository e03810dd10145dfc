//! How the stages of a file hang together.

use crate::base::name::StageId;
use crate::base::source::Span;

/// How stages hang together, as far as it is known: also of a file that is wrong elsewhere.
#[derive(Clone, Debug, Default)]
pub struct StageWiring {
    /// The stages in the order of the file, with the places of their names.
    pub stages: Vec<(StageId, Span)>,
    /// Which stage needs which other, with the place that says so.
    pub needs: Vec<(usize, usize, Span)>,
    /// The files that are read, with their places.
    pub files: Vec<(String, Span)>,
}

impl StageWiring {
    /// Takes in what is known of more stages.
    pub fn absorb(&mut self, other: Self) {
        self.stages.extend(other.stages);
        self.needs.extend(other.needs);
        self.files.extend(other.files);
    }
}
