//! Table → features and labels: every fitted step in one value, as it is stored and deployed.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::frame::table::{ColumnType, Table};
use crate::prep::encode::OneHot;
use crate::prep::knn::KnnImputer;
use crate::prep::scale::StandardScaler;
use crate::prep::target::TargetMap;

/// Version of the stored form. A newer one is refused.
const FORMAT: u32 = 1;

/// What is to be fitted.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The column of labels.
    pub target: String,
    /// Which label means which class.
    pub labels: TargetMap,
    /// Neighbours of the imputer.
    pub neighbours: usize,
    /// Whether to scale.
    pub scale: bool,
    /// The most categories a text column may have.
    pub categories: usize,
}

/// Everything that turns a table into features, fitted on training rows only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessor {
    format: u32,
    target: String,
    labels: TargetMap,
    /// Numeric columns, in order; they come first among the features.
    numeric: Vec<String>,
    /// Text columns with their categories; their features come after.
    text: Vec<(String, OneHot)>,
    imputer: KnnImputer,
    scaler: Option<StandardScaler>,
}

impl Preprocessor {
    /// Fits every step on training rows, and returns their features too.
    ///
    /// # Errors
    /// What does not fit, naming the column.
    pub fn fit(table: &Table, settings: &Settings) -> Result<(Self, Array2<f64>), String> {
        table.column_type(&settings.target).map_err(|error| format!("target: {error}"))?;
        let (mut numeric, mut text) = (Vec::new(), Vec::new());
        for name in table.names().into_iter().filter(|name| *name != settings.target) {
            match table.column_type(&name).map_err(|error| error.to_string())? {
                ColumnType::Int | ColumnType::Float | ColumnType::Bool => numeric.push(name),
                ColumnType::Text => {
                    let cells = table.texts(&name).map_err(|error| error.to_string())?;
                    let codes = OneHot::fit(&cells, settings.categories).map_err(|count| {
                        let most = settings.categories;
                        format!("the text column `{name}` has {count} categories, at most {most} are encoded: drop it in `ingest` or raise `categories`")
                    })?;
                    text.push((name, codes));
                }
                ColumnType::Empty => {
                    return Err(format!("the column `{name}` has no value in the training rows: drop it in `ingest`"));
                }
                ColumnType::Time => {
                    return Err(format!(
                        "the column `{name}` holds times, which are no features: drop it in `transform`"
                    ));
                }
                ColumnType::Other => {
                    return Err(format!("the column `{name}` holds neither numbers nor text: drop it in `ingest`"));
                }
            }
        }
        if numeric.is_empty() && text.is_empty() {
            return Err("there is no feature column".to_owned());
        }
        let mut cells = numbers(table, &numeric)?;
        let imputer = KnnImputer::fit(cells.view(), settings.neighbours)
            .map_err(|index| format!("the column `{}` has no value in the training rows", numeric[index]))?;
        imputer.fill(&mut cells);
        let mut features = with_codes(cells, table, &text)?;
        let scaler = settings.scale.then(|| StandardScaler::fit(features.view()));
        if let Some(scaler) = &scaler {
            scaler.apply(&mut features);
        }
        let (target, labels) = (settings.target.clone(), settings.labels.clone());
        Ok((Self { format: FORMAT, target, labels, numeric, text, imputer, scaler }, features))
    }

    /// Returns the names of the features, in the order of the matrix's columns.
    pub fn features(&self) -> Vec<String> {
        let coded = |(name, codes): &(String, OneHot)| {
            let name = name.clone();
            codes.categories().iter().map(move |category| format!("{name}={category}")).collect::<Vec<_>>()
        };
        self.numeric.iter().cloned().chain(self.text.iter().flat_map(coded)).collect()
    }

    /// Returns the columns it needs: those of numbers, and those of text.
    pub fn columns(&self) -> (Vec<String>, Vec<String>) {
        (self.numeric.clone(), self.text.iter().map(|(name, _)| name.clone()).collect())
    }

    /// Returns the name of the column of labels.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns the features of a table's rows: finite, one row a row.
    ///
    /// # Errors
    /// A column is missing or holds something else than in training.
    pub fn apply(&self, table: &Table) -> Result<Array2<f64>, String> {
        let mut cells = numbers(table, &self.numeric)?;
        self.imputer.fill(&mut cells);
        let mut features = with_codes(cells, table, &self.text)?;
        if let Some(scaler) = &self.scaler {
            scaler.apply(&mut features);
        }
        Ok(features)
    }

    /// Returns the classes of a table's rows: 0 or 1.
    ///
    /// # Errors
    /// The target is missing or a label is unknown.
    pub fn labels(&self, table: &Table) -> Result<Vec<f64>, String> {
        let cells = table.texts(&self.target).map_err(|error| format!("target: {error}"))?;
        self.labels.apply(&cells).map_err(|why| format!("the target `{}`: {why}", self.target))
    }

    /// Returns the stored form: MessagePack, versioned.
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("plain data serialises")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let read: Self = rmp_serde::from_slice(bytes).map_err(|error| format!("not a preprocessor: {error}"))?;
        match read.format {
            FORMAT => Ok(read),
            other => Err(format!("a preprocessor of format {other}; this netsec reads {FORMAT}")),
        }
    }
}

fn numbers(table: &Table, names: &[String]) -> Result<Array2<f64>, String> {
    let mut matrix = Array2::zeros((table.height(), names.len()));
    for (index, name) in names.iter().enumerate() {
        let cells = table.numbers(name).map_err(|error| error.to_string())?;
        if let Some(row) = cells.iter().position(|cell| cell.is_infinite()) {
            return Err(format!("the column `{name}` is infinite in row {}", row + 1));
        }
        matrix.column_mut(index).assign(&ndarray::ArrayView1::from(&cells));
    }
    Ok(matrix)
}

fn with_codes(cells: Array2<f64>, table: &Table, text: &[(String, OneHot)]) -> Result<Array2<f64>, String> {
    let mut columns: Vec<Vec<f64>> = Vec::new();
    for (name, codes) in text {
        columns.extend(codes.apply(&table.texts(name).map_err(|error| error.to_string())?));
    }
    if columns.is_empty() {
        return Ok(cells);
    }
    let mut all = Array2::zeros((cells.nrows(), cells.ncols() + columns.len()));
    all.slice_mut(ndarray::s![.., ..cells.ncols()]).assign(&cells);
    for (index, column) in columns.iter().enumerate() {
        all.column_mut(cells.ncols() + index).assign(&ndarray::ArrayView1::from(column));
    }
    Ok(all)
}
