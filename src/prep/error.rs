//! Why a table cannot be made features.

use crate::frame::table::TableError;
use crate::prep::cells::CellKind;

/// Why a table cannot be made features. All of it lies in the rows, or in the steps that are to be
/// carried out on them.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PrepError {
    /// There is no such column.
    #[error("there is no column `{name}`: {help}")]
    NoColumn {
        /// The column.
        name: String,
        /// What could be meant.
        help: String,
    },
    /// A step would make a column that there is.
    #[error(
        "there would be two columns `{0}`: rename one, or let one step take all columns at once"
    )]
    DuplicateColumn(String),
    /// A column holds something else than is needed.
    #[error("the column `{name}` holds {found} where {} needed", needed(*.found))]
    WrongCells {
        /// The column.
        name: String,
        /// What it holds.
        found: CellKind,
    },
    /// A step was given a column that it cannot do anything with.
    #[error("the column `{name}` holds {found}, which this step has no use for")]
    UselessColumn {
        /// The column.
        name: String,
        /// What it holds.
        found: CellKind,
    },
    /// A step would compute with categories.
    #[error(
        "the column `{0}` holds categories, which this step cannot compute with: put it before the step `category`, or name \
         other columns"
    )]
    Category(String),
    /// No column is described.
    #[error("no column that this step has use for matches `{0}`")]
    NoMatch(String),
    /// No column is of the type that was asked for.
    #[error("the step has no use for columns of this `type`, or there is none")]
    NoneOfType,
    /// A column cannot be a feature.
    #[error("the column `{name}` {why}: name it in `drop` of `transform`")]
    NoFeature {
        /// The column.
        name: String,
        /// What is odd about it.
        why: &'static str,
    },
    /// There is nothing to learn from.
    #[error("there is no feature column")]
    NoFeatures,
    /// The steps left nothing.
    #[error("no column is left after all steps")]
    NothingLeft,
    /// The steps left text.
    #[error(
        "the column `{0}` is still text after all steps: add `onehot`, `category`, `ordinal`, `target` or `hash`"
    )]
    StillText(String),
    /// A column has infinite cells where all have to be finite.
    #[error(
        "the column `{name}` is infinite in row {row}{}: begin `steps` with `finite: {{}}`, which makes such cells missing \
         (`with: clip` and `with: quantile` put the largest finite value there)",
        and_others(*.others)
    )]
    InfiniteCell {
        /// The column.
        name: String,
        /// The row, from one.
        row: usize,
        /// How many other columns have some.
        others: usize,
    },
    /// The labels are of more classes than can be told apart.
    #[error(
        "the labels in `{target}` are of {found} classes, and at most {most} can be told apart: give the kinds of one \
         family the same class in `target_map`"
    )]
    TooManyClasses {
        /// The column of labels.
        target: String,
        /// How many classes.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// The range of a column is beyond all numbers.
    #[error(
        "the column `{0}` spans more than a number can be: put a step `clip` or `quantile` before `scale`"
    )]
    TooWide(String),
    /// A feature grew beyond all numbers.
    #[error("the feature `{feature}` overflows to infinity in row {row}")]
    Overflow {
        /// The feature.
        feature: String,
        /// The row, from one.
        row: usize,
    },
    /// A column has no value to fit a step to.
    #[error("the column `{0}` has no value in the training rows: drop it")]
    EmptyColumn(String),
    /// Bounds exclude each other.
    #[error(
        "the column `{name}` would be kept from {least} to {most}: there is nothing between them"
    )]
    NoBounds {
        /// The column.
        name: String,
        /// The lower bound.
        least: f64,
        /// The upper bound.
        most: f64,
    },
    /// A cell has no logarithm.
    #[error(
        "the column `{name}` is {cell} in row {row}: only numbers above -1 have a logarithm of 1 + x"
    )]
    NoLogarithm {
        /// The column.
        name: String,
        /// The cell.
        cell: f64,
        /// The row, from one.
        row: usize,
    },
    /// There are more categories than may become columns.
    #[error(
        "the text column `{name}` has {count} categories, at most {most} become columns: drop it, raise `max` or \
         `min_count` of `onehot`, or use `target` or `hash`"
    )]
    ManyCategories {
        /// The column.
        name: String,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A cell is not finite where components are to be found.
    #[error("the column `{name}` {what} in row {row}: fill or clip it before `pca`")]
    NoComponent {
        /// The column.
        name: String,
        /// What is wrong with the cell.
        what: &'static str,
        /// The row, from one.
        row: usize,
    },
    /// There are too few rows for components.
    #[error("{rows} rows of {columns} columns have no principal components: more rows are needed")]
    FewRows {
        /// How many rows there are.
        rows: usize,
        /// How many columns.
        columns: usize,
    },
    /// The decomposition failed.
    #[error("no principal components were found")]
    NoComponents,
    /// A step failed.
    #[error("step {step}: {source}")]
    Step {
        /// Which one, from one.
        step: usize,
        /// Why.
        source: Box<Self>,
    },
    /// A row cannot be used.
    #[error("row {row}: {why}")]
    Row {
        /// The row, from one.
        row: usize,
        /// Why.
        why: String,
    },
    /// The target cannot be read.
    #[error("target: {0}")]
    Target(TableError),
    /// Rows have no label.
    #[error(
        "the target `{target}`: {count} rows of this part have no label, the first is row {row}: `unlabelled: drop` of \
         `split` leaves such rows out; if an empty label means benign, write `target_map: {{\"\": 0, …}}`"
    )]
    NoLabel {
        /// The column of labels.
        target: String,
        /// How many rows.
        count: usize,
        /// The first of them, from one.
        row: usize,
    },
    /// Rows have a label that means nothing.
    #[error(
        "the target `{target}`: {count} rows of this part have the label `{label}`, which `target_map` does not know, the \
         first is row {row}: {help}; `other_labels: 1` counts every label that is not named as an attack"
    )]
    UnknownLabel {
        /// The column of labels.
        target: String,
        /// The label.
        label: String,
        /// How many rows.
        count: usize,
        /// The first of them, from one.
        row: usize,
        /// What could be meant.
        help: String,
    },
    /// A column cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Bytes are no stored preprocessor.
    #[error("not a preprocessor: {0}")]
    NotStored(String),
    /// It was stored by another version.
    #[error("a preprocessor of format {found}; this netsec reads {known}: train the model again")]
    OtherFormat {
        /// Its format.
        found: u32,
        /// The one that is read.
        known: u32,
    },
}

/// What is needed where something else was found.
fn needed(found: CellKind) -> &'static str {
    match found {
        CellKind::Number => "text is",
        CellKind::Text => "numbers are",
    }
}

fn and_others(others: usize) -> String {
    match others {
        0 => String::new(),
        others => format!(", and so are {others} more columns"),
    }
}

impl PrepError {
    /// The same, of rows that stand after so many others.
    pub fn after(self, rows: usize) -> Self {
        let mut error = self;
        if let Self::Row { row, .. }
        | Self::InfiniteCell { row, .. }
        | Self::Overflow { row, .. }
        | Self::NoLogarithm { row, .. }
        | Self::NoComponent { row, .. } = &mut error
        {
            *row += rows;
        }
        error
    }
}
