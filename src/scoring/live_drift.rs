//! Whether the rows that come still look like those a model was trained on: as `drift` compares them,
//! a window at a time.
//!
//! A window is a test, and a server makes many. The chance of a false alarm is that of all windows of a
//! model together: the k-th of them gets 6 / (π² k²) of it, which sums to the whole. Whole rows are not
//! compared by a model here, since its permutations cannot reach such chances.

use crate::drift::compare::{DriftThresholds, compare};
use crate::drift::report::DriftReport;
use crate::frame::table::{Table, TableError};
use crate::prep::cells::ColumnCells;
use crate::profile::columns::Profile;
use crate::scoring::read_rows::ReadRows;
use crate::scoring::scorer::Scorer;

/// The chance of a false alarm over all windows of a model.
const ALPHA: f64 = 0.05;

/// So many rows are looked at together: to look at each by itself takes many times as long.
const TOGETHER: usize = 1024;

/// The rows of a window so far, and what they are compared with.
pub struct LiveDrift {
    reference: Profile,
    window: usize,
    parts: Vec<Profile>,
    /// Rows that no part tells of yet.
    waiting: ReadRows,
    /// Rows of the window, those that wait among them.
    rows: usize,
    /// How many windows were compared.
    windows: u32,
}

/// What a window looks like beside the training rows.
#[derive(Clone, Debug)]
pub struct DriftWindow {
    /// Which one it is, from one.
    pub number: u32,
    /// The report.
    pub report: DriftReport,
    /// The training rows.
    pub reference: Profile,
    /// The rows of the window.
    pub current: Profile,
}

impl LiveDrift {
    /// Begins to watch the rows of a model.
    ///
    /// # Errors
    /// The model does not know the data that it was trained on.
    pub fn of(scorer: &Scorer, window: usize) -> Result<Self, String> {
        let profile = scorer.bundle().profile.as_deref().ok_or_else(|| {
            "it does not know the data that it was trained on: give its `train` stage a `profile`"
                .to_owned()
        })?;
        let mut reference = Profile::decode(profile)?;
        let needed = scorer.layout();
        let columns = &mut reference.columns;
        columns.retain(|column| needed.place(&column.name).is_some());
        Ok(Self {
            reference,
            window: window.max(1),
            parts: Vec::new(),
            waiting: ReadRows::none(scorer.inputs(), 0),
            rows: 0,
            windows: 0,
        })
    }

    /// Adds rows; returns what the window looks like once it is full.
    ///
    /// # Errors
    /// Never, of rows that were read for this model.
    pub fn add(
        &mut self,
        scorer: &Scorer,
        rows: &ReadRows,
    ) -> Result<Option<DriftWindow>, TableError> {
        // A cell that could not be read is no missing one.
        let rows = rows.without_errors().slice(0, self.window - self.rows);
        if rows.is_empty() {
            return Ok(None);
        }
        self.rows += rows.len();
        self.waiting.append(rows);
        let is_full = self.rows == self.window;
        if is_full || self.waiting.len() >= TOGETHER {
            let none = ReadRows::none(scorer.inputs(), TOGETHER);
            let waiting = std::mem::replace(&mut self.waiting, none);
            self.parts.push(Profile::of(&self.table(scorer, waiting)?)?);
        }
        if !is_full {
            return Ok(None);
        }
        let current = Profile::merged(&self.parts);
        self.parts.clear();
        self.rows = 0;
        self.windows += 1;
        let number = f64::from(self.windows);
        let share = 6.0 / (std::f64::consts::PI * number).powi(2);
        let thresholds = DriftThresholds {
            alpha: ALPHA * share,
            rows: false,
            ..DriftThresholds::default()
        };
        Ok(Some(DriftWindow {
            number: self.windows,
            report: compare(&self.reference, &current, &thresholds),
            reference: self.reference.clone(),
            current,
        }))
    }

    /// Returns rows as a table of the columns that the training rows had.
    fn table(&self, scorer: &Scorer, rows: ReadRows) -> Result<Table, TableError> {
        let mut whole: Option<Table> = None;
        for (input, cells) in scorer.inputs().iter().zip(rows.columns) {
            if self.reference.column(&input.name).is_none() {
                continue;
            }
            let column = match cells {
                ColumnCells::Texts(cells) => Table::of_texts(&input.name, cells),
                ColumnCells::Numbers(cells) => Table::of_numbers(vec![(input.name.clone(), cells)]),
            }?;
            whole = Some(match whole {
                None => column,
                Some(whole) => whole.beside(&column)?,
            });
        }
        whole.ok_or_else(|| TableError("no column of the training rows is needed".to_owned()))
    }
}
