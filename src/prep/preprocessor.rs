//! Table → features and labels: every fitted step in one value, as it is stored and deployed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::base::nearest::suggest;
use crate::frame::cell::MISSING;
use crate::frame::labels::{Classes, Labels};
use crate::frame::table::{ColumnType, Table, TableError};
use crate::prep::cells::{CellKind, ColumnCells};
use crate::prep::columns::{ColumnNames, Columns, RowFaults};
use crate::prep::error::PrepError;
use crate::prep::labels::{MISSING_LABEL, TargetMap, TargetRule, written_labels};
use crate::prep::seen::{RowSeen, SeenRows};
use crate::prep::step::{FittedStep, PrepStep, StepAction};
use crate::profile::giveaway::Giveaway;
use crate::rolling::definition::RollingFeatures;

/// Version of the stored form. Others are refused.
const FORMAT: u32 = 2;

/// So many values of a column of text are remembered.
const VALUES: usize = 100;

/// What is to be fitted.
#[derive(Clone, Debug)]
pub struct PreprocessorSettings {
    /// The column of labels.
    pub target: String,
    /// Which label means which class.
    pub labels: TargetRule,
    /// The column that tells how much each training row counts, if one does.
    pub weight: Option<String>,
    /// The steps, in order.
    pub steps: Vec<PrepStep>,
}

/// What training had in a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrainedColumn {
    /// Numbers, from the least to the greatest.
    Numbers(f64, f64),
    /// Text: its values, in order; none if they were too many to be remembered.
    Texts(Option<Vec<String>>),
}

/// A column that is needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequiredColumn {
    /// Its name.
    pub name: String,
    /// What training had in it.
    pub seen: TrainedColumn,
    /// In how many training rows it was missing.
    pub missing: usize,
}

impl RequiredColumn {
    /// Returns what its cells are.
    pub fn kind(&self) -> CellKind {
        if matches!(self.seen, TrainedColumn::Numbers(..)) {
            CellKind::Number
        } else {
            CellKind::Text
        }
    }

    fn of(name: String, cells: &ColumnCells) -> Self {
        match cells {
            ColumnCells::Numbers(cells) => {
                let present = cells.iter().filter(|cell| !cell.is_nan());
                let (least, most) = present
                    .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, m), x| {
                        (l.min(*x), m.max(*x))
                    });
                let missing = cells.iter().filter(|cell| cell.is_nan()).count();
                Self {
                    name,
                    seen: TrainedColumn::Numbers(least, most),
                    missing,
                }
            }
            ColumnCells::Texts(cells) => {
                let values: BTreeSet<&String> = cells.iter().flatten().collect();
                let values =
                    (values.len() <= VALUES).then(|| values.into_iter().cloned().collect());
                let missing = cells.iter().filter(|cell| cell.is_none()).count();
                Self {
                    name,
                    seen: TrainedColumn::Texts(values),
                    missing,
                }
            }
        }
    }
}

/// What every version of the stored form begins with.
#[derive(Deserialize)]
struct PreprocessorHead {
    format: u32,
}

/// Everything that turns a table into features, fitted on training rows only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Preprocessor {
    format: u32,
    target: String,
    labels: TargetMap,
    inputs: Vec<RequiredColumn>,
    steps: Vec<FittedStep>,
    features: Vec<String>,
    /// What is known against its columns.
    #[serde(default)]
    pub giveaways: Vec<Giveaway>,
    /// Why columns that give the label away are used all the same.
    #[serde(default)]
    pub allowed: BTreeMap<String, String>,
    /// The features over the past among its columns: they are computed of rows that lack them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<RollingFeatures>,
    /// The words that stood for missing values where the training rows were read; none if they were
    /// the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub na: Option<Vec<String>>,
    /// The training rows; none in files of before they were kept.
    #[serde(default)]
    seen: Option<SeenRows>,
    /// Of each training row a digest of its cells as they came, in the order of the rows: folds are
    /// dealt by them. No part of a model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    training_rows: Vec<u64>,
    /// How much each training row counts; empty where all count the same. No part of a model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    weights: Vec<f64>,
    /// The names of what is needed and of what the steps add, once rows have come.
    #[serde(skip)]
    names: OnceLock<Arc<ColumnNames>>,
}

impl Preprocessor {
    /// Fits every step on training rows, and returns their features too.
    ///
    /// # Errors
    /// What does not fit, naming the column.
    pub fn fit(
        table: &Table,
        settings: &PreprocessorSettings,
    ) -> Result<(Self, Array2<f64>), PrepError> {
        let knows_missing = settings.labels.labels.contains_key(MISSING_LABEL);
        let written = written_labels(table, &settings.target, knows_missing)?;
        let mut columns = Columns::new(table.height());
        let mut inputs = Vec::new();
        let odd = |why: &'static str, name: String| Err(PrepError::NoFeature { name, why });
        for name in table
            .names()
            .into_iter()
            .filter(|name| *name != settings.target && Some(name) != settings.weight.as_ref())
        {
            let kind = match table.column_type(&name)? {
                ColumnType::Int | ColumnType::Float | ColumnType::Bool => CellKind::Number,
                ColumnType::Text => CellKind::Text,
                ColumnType::Empty => return odd("has no value in the training rows", name),
                ColumnType::Time => return odd("holds times, which are no features", name),
                ColumnType::Other => return odd("holds neither numbers nor text", name),
            };
            let cells = cells(table, &name, kind)?;
            inputs.push(RequiredColumn::of(name.clone(), &cells));
            columns.push(|| name, cells)?;
        }
        let digests = columns.row_hashes();
        let seen = Some(SeenRows::new(digests.iter().copied()));
        if inputs.is_empty() {
            return Err(PrepError::NoFeatures);
        }
        let target = settings.target.clone();
        let labels = settings.labels.fit(&target, &written)?;
        let mut fitted = Self {
            format: FORMAT,
            target,
            labels,
            inputs,
            steps: Vec::new(),
            features: Vec::new(),
            giveaways: Vec::new(),
            allowed: BTreeMap::new(),
            windows: None,
            na: None,
            seen,
            training_rows: Vec::new(),
            weights: match &settings.weight {
                Some(column) => weights(table, column)?,
                None => Vec::new(),
            },
            names: OnceLock::new(),
        };
        let labels = fitted.mapped(&written)?;
        for (at, step) in settings.steps.iter().enumerate() {
            if !matches!(step.action, StepAction::Finite(_)) {
                columns.check_finite()?;
            }
            let failed = |error| PrepError::Step {
                step: at + 1,
                source: Box::new(error),
            };
            let step = step.fit(&mut columns, &labels, &digests).map_err(failed)?;
            fitted.steps.push(step);
        }
        fitted.features = columns.names();
        fitted.training_rows = digests;
        if let Some(name) = fitted
            .features
            .iter()
            .find(|name| columns.kind(name) == Some(CellKind::Text))
        {
            return Err(PrepError::StillText(name.clone()));
        }
        if fitted.features.is_empty() {
            return Err(PrepError::NothingLeft);
        }
        let features = fitted.finite(columns.matrix(&fitted.features)?)?;
        Ok((fitted, features))
    }

    /// Returns the names of the features, in the order of the matrix's columns.
    pub fn features(&self) -> &[String] {
        &self.features
    }

    /// Returns the columns that it needs, in order.
    pub fn inputs(&self) -> &[RequiredColumn] {
        &self.inputs
    }

    /// Returns of every feature the column that it was made of; of one made of several columns its
    /// own name.
    pub fn origins(&self) -> Vec<String> {
        let mut known: BTreeMap<String, String> = self
            .inputs
            .iter()
            .map(|input| (input.name.clone(), input.name.clone()))
            .collect();
        for (made, of) in self.steps.iter().flat_map(FittedStep::made) {
            let origin = known.get(&of).cloned().unwrap_or(of);
            known.insert(made, origin);
        }
        self.features
            .iter()
            .map(|name| known.get(name).unwrap_or(name).clone())
            .collect()
    }

    /// Returns of every feature whether it holds the numbers of categories; nothing where none does.
    pub fn categories(&self) -> Vec<bool> {
        let mut kept: BTreeSet<&str> = BTreeSet::new();
        for step in &self.steps {
            match step {
                FittedStep::Category(step) => {
                    kept.extend(step.columns.iter().map(|column| column.name.as_str()));
                }
                FittedStep::Drop(step) => {
                    kept.retain(|name| !step.columns.iter().any(|column| column == name));
                }
                _ => {}
            }
        }
        if kept.is_empty() {
            return Vec::new();
        }
        let each = self.features.iter();
        each.map(|name| kept.contains(name.as_str())).collect()
    }

    /// Returns of each training row a digest of its cells as they came; none of files of before
    /// that was kept, and of preprocessors in models.
    pub fn training_rows(&self) -> &[u64] {
        &self.training_rows
    }

    /// Returns how much each training row counts; none where all count the same, and of
    /// preprocessors in models.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Returns it without what only training needs.
    #[must_use]
    pub fn for_scoring(self) -> Self {
        Self {
            training_rows: Vec::new(),
            weights: Vec::new(),
            ..self
        }
    }

    /// Returns the steps in order.
    pub fn steps(&self) -> &[FittedStep] {
        &self.steps
    }

    /// Returns the name of the column of labels.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns which label means which class.
    pub fn target_map(&self) -> &TargetMap {
        &self.labels
    }

    /// Returns the classes of its labels.
    pub fn classes(&self) -> &Classes {
        self.labels.classes()
    }

    /// Returns about how many columns there are at most while features are made.
    pub fn widest(&self) -> usize {
        let hashed = self.steps.iter().map(|step| match step {
            FittedStep::Hash(step) => step.buckets,
            _ => 0,
        });
        let made = self.features.len().max(hashed.max().unwrap_or(0));
        made + self.inputs.len()
    }

    /// Returns the features of a table's rows: NaN is missing, all else finite; one row a row.
    ///
    /// # Errors
    /// A column is missing or holds something else than in training; a feature is infinite.
    pub fn apply(&self, table: &Table) -> Result<Array2<f64>, PrepError> {
        match self.raw(table)? {
            (features, faults) if faults.is_empty() => self.finite(features),
            (_, faults) => {
                let (row, why) = faults.into_iter().next().expect("there are some");
                let row = row + 1;
                Err(PrepError::Row { row, why })
            }
        }
    }

    /// Returns the features of a table's rows, as they come: what has grown beyond all numbers is
    /// infinite; and what is wrong with single rows.
    ///
    /// # Errors
    /// A column is missing or holds something else than in training.
    pub fn raw(&self, table: &Table) -> Result<(Array2<f64>, RowFaults), PrepError> {
        self.shuffled(table, None)
    }

    /// Returns the same, where the cells of one needed column, by its place, stand in another
    /// order: row by row that of the row named there.
    ///
    /// # Errors
    /// As for the rows as they are.
    pub fn shuffled(
        &self,
        table: &Table,
        other: Option<(usize, &[usize])>,
    ) -> Result<(Array2<f64>, RowFaults), PrepError> {
        let mut columns = Columns::new(table.height());
        for (at, input) in self.inputs.iter().enumerate() {
            let cells = self.input_cells(table, input)?;
            let cells = match (other, cells) {
                (Some((place, order)), ColumnCells::Numbers(cells)) if place == at => {
                    ColumnCells::Numbers(order.iter().map(|row| cells[*row]).collect())
                }
                (Some((place, order)), ColumnCells::Texts(cells)) if place == at => {
                    ColumnCells::Texts(order.iter().map(|row| cells[*row].clone()).collect())
                }
                (_, cells) => cells,
            };
            columns.push(|| input.name.clone(), cells)?;
        }
        self.raw_of(columns)
    }

    /// Returns cells that were read, in the order of the columns that are needed, under their
    /// names.
    ///
    /// # Errors
    /// Two of them have the same name.
    pub fn required_columns(
        &self,
        rows: usize,
        cells: Vec<ColumnCells>,
    ) -> Result<Columns, PrepError> {
        if let Some(names) = self.names.get() {
            return Ok(Columns::known(rows, names, cells));
        }
        let mut columns = Columns::new(rows);
        for (input, cells) in self.inputs.iter().zip(cells) {
            columns.push(|| input.name.clone(), cells)?;
        }
        Ok(columns)
    }

    /// Returns the features of columns that are those it needs, as `raw` does.
    ///
    /// # Errors
    /// A column is missing or holds something else than in training.
    pub fn raw_of(&self, mut columns: Columns) -> Result<(Array2<f64>, RowFaults), PrepError> {
        for step in &self.steps {
            if !matches!(step, FittedStep::Finite(_)) {
                columns.set_infinite_aside();
            }
            step.apply(&mut columns)?;
        }
        let features = columns.matrix(&self.features)?;
        self.names.get_or_init(|| Arc::clone(columns.all_names()));
        Ok((features, columns.faults))
    }

    /// Returns of each row of a table whether the training rows held an equal one, in all columns
    /// that are needed. `None` of preprocessors of before that was kept.
    ///
    /// # Errors
    /// A column is missing or holds something else than in training.
    pub fn seen(&self, table: &Table) -> Result<Option<Vec<RowSeen>>, PrepError> {
        let mut columns = Columns::new(table.height());
        for input in &self.inputs {
            columns.push(|| input.name.clone(), self.input_cells(table, input)?)?;
        }
        Ok(self.seen_of(&columns))
    }

    /// Returns the same of columns that are those it needs.
    pub fn seen_of(&self, columns: &Columns) -> Option<Vec<RowSeen>> {
        let seen = self.seen.as_ref()?;
        let hashes = columns.row_hashes().into_iter();
        Some(hashes.map(|hash| seen.has(hash)).collect())
    }

    /// Returns the words that stand for missing values in rows as they are written.
    pub fn missing_words(&self) -> Vec<&str> {
        match &self.na {
            Some(words) => words.iter().map(String::as_str).collect(),
            None => MISSING.to_vec(),
        }
    }

    /// Returns the features over the past that rows of these columns lack and that are needed, if
    /// there are any.
    pub fn missing_windows(&self, has: impl Fn(&str) -> bool) -> Option<&RollingFeatures> {
        let windows = self.windows.as_ref()?;
        let names = windows.names();
        let mut needed = self
            .inputs
            .iter()
            .filter(|input| names.contains(&input.name));
        needed.any(|input| !has(&input.name)).then_some(windows)
    }

    fn input_cells(&self, table: &Table, input: &RequiredColumn) -> Result<ColumnCells, PrepError> {
        let names = self.windows.iter().flat_map(RollingFeatures::names);
        if !table.has(&input.name) && names.into_iter().any(|name| name == input.name) {
            return Err(TableError(format!(
                "there is no column `{}`, a feature over the past: the stage `window` adds it; of raw rows only `netsec \
                 predict` computes it",
                input.name
            ))
            .into());
        }
        cells(table, &input.name, input.kind())
    }

    /// Returns what is known against its columns and is not allowed by name.
    pub fn objections(&self) -> impl Iterator<Item = &Giveaway> {
        self.giveaways
            .iter()
            .filter(|giveaway| giveaway.is_leak() && !self.allowed.contains_key(&giveaway.column))
    }

    fn finite(&self, features: Array2<f64>) -> Result<Array2<f64>, PrepError> {
        match features.indexed_iter().find(|(_, cell)| cell.is_infinite()) {
            Some(((row, at), _)) => Err(PrepError::Overflow {
                feature: self.features[at].clone(),
                row: row + 1,
            }),
            None => Ok(features),
        }
    }

    /// Returns the labels of a table's rows as they are written.
    ///
    /// # Errors
    /// The target is missing, and rows without a label have no class.
    pub fn written_labels(&self, table: &Table) -> Result<Vec<Option<String>>, PrepError> {
        let knows_missing = self.labels.class(None).is_some();
        written_labels(table, &self.target, knows_missing)
    }

    /// Returns the classes of labels as they are written.
    ///
    /// # Errors
    /// A label is missing or unknown.
    pub fn mapped(&self, written: &[Option<String>]) -> Result<Labels, PrepError> {
        self.labels.apply(&self.target, written)
    }

    /// Returns the classes of a table's rows.
    ///
    /// # Errors
    /// The target is missing or a label is unknown.
    pub fn labels(&self, table: &Table) -> Result<Labels, PrepError> {
        self.mapped(&self.written_labels(table)?)
    }

    /// Returns the stored form: MessagePack, versioned.
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("plain data serialises")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, PrepError> {
        let wrong = |error: rmp_serde::decode::Error| PrepError::NotStored(error.to_string());
        match rmp_serde::from_slice::<PreprocessorHead>(bytes)
            .map_err(wrong)?
            .format
        {
            FORMAT => rmp_serde::from_slice::<Self>(bytes)
                .map_err(wrong)?
                .checked(),
            found => Err(PrepError::OtherFormat {
                found,
                known: FORMAT,
            }),
        }
    }

    /// Returns it, if it can be asked without a panic.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn checked(self) -> Result<Self, PrepError> {
        let of_steps = self.steps.iter().find_map(FittedStep::fault);
        match of_steps.or(self.labels.fault()) {
            Some(fault) => Err(PrepError::NotStored(fault.to_owned())),
            None => Ok(self),
        }
    }
}

/// Reads how much each row counts.
fn weights(table: &Table, column: &str) -> Result<Vec<f64>, PrepError> {
    if !table.has(column) {
        let names = table.names();
        let help = suggest(column, names.iter().map(String::as_str)).unwrap_or_default();
        return Err(TableError(format!("weight: there is no column `{column}`: {help}")).into());
    }
    let weights = table.numbers(column)?;
    let is_odd = |weight: &f64| !weight.is_finite() || *weight < 0.0;
    if let Some(row) = weights.iter().position(is_odd) {
        let shown = match weights[row] {
            cell if cell.is_nan() => "is missing".to_owned(),
            cell => format!("is {cell}"),
        };
        let why = format!(
            "weight: `{column}` {shown} in row {}: a weight is a number from 0 on",
            row + 1
        );
        return Err(TableError(why).into());
    }
    let whole: f64 = weights.iter().sum();
    match () {
        () if whole == 0.0 => {
            Err(TableError(format!("weight: `{column}` is 0 in all rows")).into())
        }
        () if !whole.is_finite() => {
            let why = format!("weight: the cells of `{column}` are too large to be summed");
            Err(TableError(why).into())
        }
        // Rows that all count once are not weighed.
        () if weights.iter().all(|weight| *weight == 1.0) => Ok(Vec::new()),
        () => Ok(weights),
    }
}

fn cells(table: &Table, name: &str, kind: CellKind) -> Result<ColumnCells, PrepError> {
    let cells = match kind {
        CellKind::Text => table.texts(name).map(ColumnCells::Texts),
        CellKind::Number => table.numbers(name).map(ColumnCells::Numbers),
    };
    Ok(cells?)
}
