//! What is to be computed over the past, as it is declared, stored and deployed.

use serde::{Deserialize, Serialize};

use crate::frame::table::TableError;

/// Version of the stored form. Others are refused.
const FORMAT: u32 = 1;

/// How far a window reaches back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WindowReach {
    /// So many milliseconds: a row that came exactly so long ago is out.
    Milliseconds(i64),
    /// So many rows, the row itself among them.
    Rows(u64),
}

/// What is computed of the rows of a window, the row itself being the last of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WindowMeasure {
    /// How many rows.
    Count,
    /// How many different values a column has; missing cells are none.
    Distinct(String),
    /// The share of the cells that are there that equal the row's own.
    Share(String),
    /// The entropy of a column's values, in bits.
    Entropy(String),
    /// The sum of a column.
    Sum(String),
    /// Its mean.
    Mean(String),
    /// Its standard deviation.
    Deviation(String),
    /// Its least cell.
    Least(String),
    /// Its greatest cell.
    Greatest(String),
    /// The seconds since the row before; missing of the first.
    Gap,
    /// The standard deviation of the seconds between rows over their mean: 0 is a clock, 1 what
    /// comes at random; missing with fewer than three rows, and where all came at once.
    Regularity,
}

/// A window, and what is computed of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollingWindow {
    /// Only rows with the same cells in these columns are in it.
    pub by: Vec<String>,
    /// How far it reaches back.
    pub reach: WindowReach,
    /// How that is written.
    pub written: String,
    /// What is computed.
    pub measures: Vec<WindowMeasure>,
}

/// Features over the past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollingFeatures {
    format: u32,
    /// The column that tells when a row came: times, or numbers since 1970.
    pub time: String,
    /// With so many digits after the seconds numbers are counted: 3 for thousandths.
    pub digits: u32,
    /// A row may be so many milliseconds behind the latest before it.
    pub late_ms: i64,
    /// The windows.
    pub windows: Vec<RollingWindow>,
}

impl WindowMeasure {
    /// Returns the column that it is computed of, if it is of one.
    pub fn column(&self) -> Option<&String> {
        match self {
            Self::Count | Self::Gap | Self::Regularity => None,
            Self::Distinct(column)
            | Self::Share(column)
            | Self::Entropy(column)
            | Self::Sum(column)
            | Self::Mean(column)
            | Self::Deviation(column)
            | Self::Least(column)
            | Self::Greatest(column) => Some(column),
        }
    }

    /// Returns whether it is computed of numbers; others are of values that are equal or not.
    pub fn is_of_numbers(&self) -> bool {
        matches!(
            self,
            Self::Sum(_) | Self::Mean(_) | Self::Deviation(_) | Self::Least(_) | Self::Greatest(_)
        )
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Distinct(_) => "distinct",
            Self::Share(_) => "share",
            Self::Entropy(_) => "entropy",
            Self::Sum(_) => "sum",
            Self::Mean(_) => "mean",
            Self::Deviation(_) => "std",
            Self::Least(_) => "min",
            Self::Greatest(_) => "max",
            Self::Gap => "gap",
            Self::Regularity => "regularity",
        }
    }
}

impl RollingWindow {
    /// Returns the name of the column of a measure, such as `distinct dst_port per src in 10s`.
    fn name(&self, measure: &WindowMeasure) -> String {
        let of = match measure.column() {
            Some(column) => format!(" {column}"),
            None => String::new(),
        };
        let per = match self.by.as_slice() {
            [] => String::new(),
            by => format!(" per {}", by.join(" and ")),
        };
        format!("{}{of}{per} in {}", measure.word(), self.written)
    }
}

impl RollingFeatures {
    /// Makes a definition.
    pub fn new(time: String, digits: u32, late_ms: i64, windows: Vec<RollingWindow>) -> Self {
        Self {
            format: FORMAT,
            time,
            digits,
            late_ms,
            windows,
        }
    }

    /// Returns the names of the columns that are added, in order.
    pub fn names(&self) -> Vec<String> {
        let of_window = |window: &RollingWindow| -> Vec<String> {
            let measures = window.measures.iter();
            measures.map(|measure| window.name(measure)).collect()
        };
        self.windows.iter().flat_map(of_window).collect()
    }

    /// Returns the columns that are needed, each once, the time first.
    pub fn needed(&self) -> Vec<&String> {
        let mut needed = vec![&self.time];
        for window in &self.windows {
            let measured = window.measures.iter().filter_map(WindowMeasure::column);
            needed.extend(window.by.iter().chain(measured));
        }
        let mut seen = std::collections::BTreeSet::new();
        needed.retain(|name| seen.insert(*name));
        needed
    }

    /// Returns the stored form: JSON.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("plain data serialises")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        let features: Self = serde_json::from_slice(bytes)
            .map_err(|error| TableError(format!("these are no windows: {error}")))?;
        match features.format {
            FORMAT => Ok(features),
            other => Err(TableError(format!(
                "windows of format {other}; this netsec reads {FORMAT}"
            ))),
        }
    }
}
