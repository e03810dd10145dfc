//! The class of this machine.

use std::sync::OnceLock;

use crate::far::machine_class::machine_class;
use crate::stats::arithmetic::arithmetic_answers;

/// Returns the class of this machine; what its arithmetic gives is tried once.
pub fn own_class() -> &'static str {
    static CLASS: OnceLock<String> = OnceLock::new();
    CLASS.get_or_init(|| machine_class(&arithmetic_answers()))
}
