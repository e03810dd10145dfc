//! Why models cannot be compared.

use std::fmt;

use crate::frame::table::TableError;
use crate::model::error::ModelError;

/// A model before the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContenderRole {
    /// The model that asks to be the champion.
    Challenger,
    /// The model that is.
    Champion,
}

impl fmt::Display for ContenderRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Challenger => "challenger",
            Self::Champion => "champion",
        })
    }
}

/// Why there is no decision. All of it lies in the data or the models.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A model cannot be read, or not be applied to the rows.
    #[error("the {role} cannot be applied to the test rows: {why}{}", start_over(*.role))]
    Inapplicable {
        /// Which one.
        role: ContenderRole,
        /// Why.
        why: ModelError,
    },
    /// The challenger cannot be applied to rows of another network.
    #[error("the challenger cannot be applied to the rows of `elsewhere`: {why}")]
    Elsewhere {
        /// Why.
        why: ModelError,
    },
    /// The models mean different things by an attack.
    #[error(
        "the champion was trained with other classes for the same labels (`target_map`): they cannot be compared; to start \
         over, use another `ref:`"
    )]
    OtherClasses,
    /// A rule looks at a metric of several classes where there are two.
    #[error(
        "`{0}` tells more than two classes apart, and the model tells attacks from benign rows: name another metric"
    )]
    MetricOfClasses(String),
    /// A rule names a class that the model does not know.
    #[error("at_least_by_class: there is no class `{class}`: {help}")]
    NoClass {
        /// The class.
        class: String,
        /// What could be meant.
        help: String,
    },
    /// A column whose values are to be told apart is not there.
    #[error("{rule}: {why}")]
    Slice {
        /// The parameter that names it.
        rule: &'static str,
        /// What is wrong.
        why: TableError,
    },
    /// A column of slices has a value nearly every row.
    #[error(
        "`{column}` has {values} values among the test rows, and at most {most} can be told apart: name a column with \
         few, such as the kind of attack or the protocol"
    )]
    TooManyValues {
        /// The column.
        column: String,
        /// How many it has.
        values: usize,
        /// How many it may have.
        most: usize,
    },
    /// Windows are so short that there are too many.
    #[error(
        "by_time: the rows reach over {windows} windows of {window} by `{column}`, and at most {most} are told apart: set a longer `window`"
    )]
    TooManyWindows {
        /// The column of times.
        column: String,
        /// How long a window is.
        window: String,
        /// How many there are.
        windows: usize,
        /// How many there may be.
        most: usize,
    },
    /// The rows cannot be read.
    #[error(transparent)]
    Rows(#[from] TableError),
}

/// A champion that is in the way can be left behind.
fn start_over(role: ContenderRole) -> &'static str {
    match role {
        ContenderRole::Challenger => "",
        ContenderRole::Champion => "; to start over, use another `ref:`",
    }
}
