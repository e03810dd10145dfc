//! Rows of text to verdicts of a model. A row that cannot be scored says why, and spoils no other.
//!
//! Cells are read as they are when rows are ingested (`frame::cell`); for a model truth values are
//! 1 and 0. What a row lacks or has too much of is found in three places: where its cells are read,
//! where the preprocessing meets them, and where the model does. Such rows stand as zeros in the
//! matrix that the model is given, and their probability is dropped.

use ndarray::{Array2, ArrayView2, Axis};
use serde::Serialize;

use crate::base::name::in_backticks;
use crate::base::nearest::suggest;
use crate::frame::cell::Cell;
use crate::frame::labels::Classes;
use crate::frame::table::{Table, TableError};
use crate::model::bundle::ModelBundle;
use crate::model::error::ModelError;
use crate::model::scores::Scores;
use crate::prep::preprocessor::RequiredColumn;
use crate::rolling::definition::RollingFeatures;
use crate::scoring::attribution::{TopContributions, top_contributions};
use crate::scoring::read_rows::ReadRows;
use crate::scoring::records::RecordLayout;

/// Why no row could be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The bytes are not a model, or one of a newer format; or it cannot be applied to any row.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The rows do not fit the model.
    #[error(transparent)]
    Data(#[from] TableError),
    /// What came out could not be written.
    #[error("{0}")]
    Output(String),
}

/// What a model says of a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RowScore {
    /// The probability of an attack.
    pub probability: f64,
    /// Whether it reaches the threshold.
    pub alarm: bool,
    /// Whether it does not, but is to be looked at all the same, of a model that leaves rows to
    /// review.
    pub review: Option<bool>,
    /// The number of the class that the row is told to be: where it raises an alarm the likeliest
    /// attack, otherwise the likeliest of the other classes.
    pub class: u16,
    /// The probability of that class, of a model that tells more than two apart.
    pub class_probability: Option<f64>,
}

/// What a model says of a row, or why it can say nothing.
pub type RowVerdict = Result<RowScore, String>;

/// A row: cells by the name of their column.
pub type Record = Vec<(String, Cell)>;

/// A model that scores rows.
#[derive(Debug)]
pub struct Scorer {
    bundle: ModelBundle,
    layout: RecordLayout,
}

impl Scorer {
    /// Reads a stored model.
    ///
    /// # Errors
    /// It is something else, or of a newer format.
    pub fn load(bytes: &[u8]) -> Result<Self, ScoreError> {
        let bundle = ModelBundle::decode(bytes).map_err(ScoreError::Model)?;
        Ok(Self::new(bundle))
    }

    /// Makes a scorer of a model.
    pub fn new(bundle: ModelBundle) -> Self {
        let preprocessor = &bundle.preprocessor;
        let windows = preprocessor.windows.iter();
        let past: Vec<String> = windows.flat_map(RollingFeatures::names).collect();
        let is_past = |name: &str| past.iter().any(|column| column == name);
        let layout = RecordLayout::new(
            preprocessor.inputs(),
            &preprocessor.missing_words(),
            is_past,
        );
        Self { bundle, layout }
    }

    /// Returns the model.
    pub fn bundle(&self) -> &ModelBundle {
        &self.bundle
    }

    /// Returns the classes that rows are told to be of.
    pub fn classes(&self) -> &Classes {
        self.bundle.classes()
    }

    /// Returns the columns that rows need.
    pub fn inputs(&self) -> &[RequiredColumn] {
        self.bundle.preprocessor.inputs()
    }

    /// Returns where the columns that rows need stand in records.
    pub fn layout(&self) -> &RecordLayout {
        &self.layout
    }

    /// Scores the rows of a table. Its columns may be text, of which numbers are read, so that a
    /// cell that is none spoils its row alone.
    ///
    /// # Errors
    /// A column that the model needs is not there.
    pub fn score(&self, rows: &Table) -> Result<Vec<RowVerdict>, ScoreError> {
        Ok(self.score_read(self.read_table(rows)?))
    }

    /// Reads the rows of a table, whose columns may be text.
    ///
    /// # Errors
    /// A column that the model needs is not there.
    pub fn read_table(&self, rows: &Table) -> Result<ReadRows, ScoreError> {
        self.check(rows)?;
        Ok(ReadRows::of_table(self.inputs(), rows)?)
    }

    /// Scores rows that were read for this model.
    pub fn score_read(&self, rows: ReadRows) -> Vec<RowVerdict> {
        let count = rows.len();
        // What speaks against all rows together speaks against each.
        let refused = |error: ModelError| vec![Err(error.to_string()); count];
        self.verdicts(rows).unwrap_or_else(refused)
    }

    /// Scores records: cells by the name of their column, in any order. A column that a record
    /// lacks is missing there, if it was missing in training, too; those that the model does not
    /// need are passed over.
    ///
    /// ```
    /// # use netsec::scoring::scorer::Scorer;
    /// # use netsec::frame::cell::Cell;
    /// fn is_attack(scorer: &Scorer, bytes_out: f64, protocol: &str) -> bool {
    ///     let record = vec![
    ///         ("bytes_out".to_owned(), Cell::Float(bytes_out)),
    ///         ("protocol".to_owned(), Cell::Text(protocol.to_owned())),
    ///     ];
    ///     let verdicts = scorer.score_records(&[record]);
    ///     verdicts[0].as_ref().is_ok_and(|score| score.alarm)
    /// }
    /// ```
    pub fn score_records(&self, records: &[Record]) -> Vec<RowVerdict> {
        let mut reader = self.layout.reader(records.len());
        for record in records {
            let cells = record.iter();
            reader.row(cells.map(|(name, cell)| (self.layout.place(name), cell)));
        }
        self.score_read(reader.finish())
    }

    /// Checks that all columns that are needed are there.
    pub(crate) fn check(&self, rows: &Table) -> Result<(), TableError> {
        let needed = self.inputs().iter().map(|input| &input.name);
        let missing: Vec<&String> = needed.filter(|name| !rows.has(name)).collect();
        let Some(first) = missing.first() else {
            return Ok(());
        };
        let names = rows.names();
        let help = suggest(first, names.iter().map(String::as_str));
        let help = help.map(|help| format!("; {help}")).unwrap_or_default();
        Err(TableError(format!(
            "the model needs columns that are not there: {}{help}",
            in_backticks(missing)
        )))
    }

    /// Returns of every row the columns that its prediction comes from, at most `most`, and the
    /// unit of what they add. A row that cannot be scored is told of as if its features were zero.
    ///
    /// # Errors
    /// The learner's contributions can only be sampled, or the rows do not fit.
    pub fn top_contributions(
        &self,
        rows: ReadRows,
        most: usize,
    ) -> Result<(Vec<TopContributions>, &'static str), ModelError> {
        let (features, _) = self.features(rows)?;
        top_contributions(&self.bundle, &features, most)
    }

    /// Scores rows that were read.
    ///
    /// # Errors
    /// The model cannot be applied to any row.
    pub(crate) fn verdicts(&self, rows: ReadRows) -> Result<Vec<RowVerdict>, ModelError> {
        let step = self.bundle.rows_at_once();
        if rows.len() <= step {
            return self.piece_verdicts(rows);
        }
        let mut verdicts: Vec<RowVerdict> = Vec::with_capacity(rows.len());
        let mut refused = None;
        for from in (0..rows.len()).step_by(step) {
            let piece = rows.slice(from, step);
            let count = piece.len();
            match self.piece_verdicts(piece) {
                Ok(of_piece) => verdicts.extend(of_piece),
                Err(why) => {
                    let told = why.to_string();
                    verdicts.extend((0..count).map(|_| Err(told.clone())));
                    refused.get_or_insert(why);
                }
            }
        }
        // What refuses every row speaks of the table, not of a row.
        match refused {
            Some(why) if verdicts.iter().all(Result::is_err) => Err(why),
            _ => Ok(verdicts),
        }
    }

    /// Scores rows whose features are made at once.
    fn piece_verdicts(&self, rows: ReadRows) -> Result<Vec<RowVerdict>, ModelError> {
        if rows.errors.iter().all(Option::is_some) {
            return Ok(rows.errors.into_iter().flatten().map(Err).collect());
        }
        let (features, mut errors) = self.features(rows)?;
        let scores = self.asked(&features, &mut errors)?;
        let threshold = self.bundle.validation.threshold;
        let review = self.bundle.review.as_ref().map(|review| review.threshold);
        let told = scores.told_classes(threshold);
        let verdict = |(row, error): (usize, Option<String>)| match error {
            Some(why) => Err(why),
            None => {
                let (probability, class) = (scores.attack()[row], told[row]);
                let by_class = scores.by_class();
                Ok(RowScore {
                    probability,
                    alarm: probability >= threshold,
                    review: review.map(|from| probability >= from && probability < threshold),
                    class,
                    class_probability: by_class.map(|p| p[[row, usize::from(class)]]),
                })
            }
        };
        Ok(errors.into_iter().enumerate().map(verdict).collect())
    }

    /// Makes the features of rows, and says what is wrong with single ones; those are zeros.
    pub(crate) fn features(
        &self,
        rows: ReadRows,
    ) -> Result<(Array2<f64>, Vec<Option<String>>), ModelError> {
        let prep = &self.bundle.preprocessor;
        let ReadRows {
            columns,
            mut errors,
        } = rows;
        let columns = prep.required_columns(errors.len(), columns)?;
        let (mut features, faults) = prep.raw_of(columns)?;
        for (row, why) in faults {
            errors[row].get_or_insert(why);
        }
        self.set_aside(&mut features, &mut errors);
        Ok((features, errors))
    }

    /// Names the features that the model cannot take, and makes rows that have one, or are in error
    /// otherwise, zeros.
    fn set_aside(&self, features: &mut Array2<f64>, errors: &mut [Option<String>]) {
        let takes_missing = self.bundle.model.takes_missing();
        let names = self.bundle.preprocessor.features();
        for (mut row, error) in features.rows_mut().into_iter().zip(errors) {
            let is_odd = |cell: &f64| cell.is_infinite() || cell.is_nan() && !takes_missing;
            if let Some(at) = row.iter().position(is_odd) {
                let what = match row[at].is_nan() {
                    true => "is missing",
                    false => "overflows to infinity",
                };
                error.get_or_insert_with(|| format!("the feature `{}` {what}", names[at]));
            }
            if error.is_some() {
                row.fill(0.0);
            }
        }
    }

    /// Asks the model; where it refuses the rows together, one by one. What is told of a row that
    /// it refuses is nothing.
    fn asked(
        &self,
        features: &Array2<f64>,
        errors: &mut [Option<String>],
    ) -> Result<Scores, ModelError> {
        let refused = match self.bundle.scores_of(features.view()) {
            Ok(scores) => return Ok(scores),
            Err(why) => why,
        };
        let one = |row: ArrayView2<'_, f64>| self.bundle.scores_of(row);
        let each: Vec<Result<Scores, ModelError>> =
            features.axis_chunks_iter(Axis(0), 1).map(one).collect();
        let Some(stand_in) = each.iter().find_map(|scores| scores.as_ref().ok()).cloned() else {
            return Err(refused);
        };
        let mut all = Vec::with_capacity(each.len());
        for (scores, error) in each.into_iter().zip(errors) {
            all.push(scores.unwrap_or_else(|why| {
                error.get_or_insert(why.to_string());
                stand_in.clone()
            }));
        }
        Ok(Scores::stacked(&all))
    }
}
