//! The two models before the gate, on the rows that judge them.

use crate::frame::labels::Labels;
use crate::frame::table::Table;
use crate::gate::evaluated::EvaluatedModel;
use crate::gate::rules::GateRules;

/// Challenger and champion on the same rows, and the rules that they are held to.
pub struct Contenders<'a> {
    pub(crate) rules: &'a GateRules,
    pub(crate) test: &'a Table,
    pub(crate) labels: &'a Labels,
    pub(crate) challenger: &'a EvaluatedModel,
    pub(crate) champion: Option<&'a EvaluatedModel>,
}
