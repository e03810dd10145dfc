//! `POST /invocations`: what a scoring server of MLflow answers, in all forms that it takes rows in, so
//! that who asked such a server can ask this one.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::frame::cell::Cell;
use crate::frame::table::TableError;
use crate::scoring::read_rows::ReadRows;
use crate::scoring::records::{RecordLayout, RecordList, RecordReader};
use crate::scoring::rows::as_written;
use crate::scoring::scorer::ScoreError;
use crate::serve::call::{ScoringCall, ScoringReply};
use crate::serve::problem::HttpProblem;
use crate::source::files;
use crate::source::json_list::append_list;

/// Rows to be scored, in one of the forms of MLflow.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum InvocationsRequest {
    /// A table, columns and rows apart, as pandas writes it with `orient="split"`.
    DataframeSplit {
        /// The table.
        dataframe_split: SplitTable,
    },
    /// Records, as pandas writes them with `orient="records"`.
    DataframeRecords {
        /// The records.
        #[schema(value_type = Vec<Object>)]
        dataframe_records: Vec<serde_json::Value>,
    },
    /// Records, or rows of cells in the order of the model's columns.
    Instances {
        /// The rows.
        #[schema(value_type = Vec<Object>)]
        instances: Vec<serde_json::Value>,
    },
    /// Columns by name, each with a cell a row; or rows of cells in the order of the model's columns.
    Inputs {
        /// The columns.
        #[schema(value_type = Object)]
        inputs: serde_json::Value,
    },
}

/// A table, columns and rows apart.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SplitTable {
    /// The names of the columns.
    columns: Vec<String>,
    /// The names of the rows; they are passed over.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    #[expect(dead_code, reason = "it is passed over")]
    index: Option<IgnoredAny>,
    /// The rows, a cell a column.
    #[schema(value_type = Vec<Vec<Object>>)]
    data: Vec<Vec<JsonCell>>,
}

/// What came of the rows.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvocationsResponse {
    /// A prediction a row, in their order.
    predictions: Vec<Prediction>,
}

/// A prediction, as the exported MLflow model tells it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Prediction {
    /// The probability of an attack.
    #[schema(minimum = 0, maximum = 1)]
    probability: f64,
    /// 1 if it reaches the threshold, otherwise 0.
    alarm: u8,
}

/// The type of a table of text.
pub const CSV: &str = "text/csv";

/// Answers a body.
///
/// # Errors
/// It is malformed, does not fit the model, or a row cannot be scored.
pub fn answer(call: &ScoringCall, body: &[u8]) -> Result<ScoringReply, HttpProblem> {
    let kind = call.header(&axum::http::header::CONTENT_TYPE);
    let rows = match kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with(CSV)) {
        true => csv_rows(call, body)?,
        false => json_rows(call, body)?,
    };
    if rows.len() > call.state.options.limits.rows {
        return Err(HttpProblem::too_many_rows(call.state.options.limits.rows));
    }
    let mut predictions = Vec::with_capacity(rows.len());
    for (row, verdict) in (1..).zip(call.verdicts(rows)?) {
        let score = verdict.map_err(|why| HttpProblem::unfit(format!("row {row}: {why}")))?;
        predictions.push(Prediction {
            probability: score.probability,
            alarm: u8::from(score.alarm),
        });
    }
    Ok(ScoringReply::json(&InvocationsResponse { predictions }))
}

fn csv_rows(call: &ScoringCall, body: &[u8]) -> Result<ReadRows, HttpProblem> {
    let scorer = &call.model.scorer;
    let options = as_written(scorer.bundle(), b',');
    let table = files::read(body.to_vec(), &options);
    let table = table.map_err(|TableError(why)| HttpProblem::malformed(why))?;
    scorer.read_table(&table).map_err(|error| match error {
        ScoreError::Data(TableError(why)) => HttpProblem::unfit(why),
        _ => HttpProblem::fault(),
    })
}

fn json_rows(call: &ScoringCall, body: &[u8]) -> Result<ReadRows, HttpProblem> {
    let most = call.state.options.limits.rows;
    let mut reader = call.model.scorer.layout().reader(1);
    let mut json = serde_json::Deserializer::from_slice(body);
    let form = FormVisitor {
        reader: &mut reader,
        most,
    };
    let read = json.deserialize_map(form);
    let read = read.and_then(|table| json.end().map(|()| table));
    let table = read.map_err(|error| match reader.is_full() {
        true => HttpProblem::too_many_rows(most),
        false => HttpProblem::malformed(format!("the body is not a request: {error}")),
    })?;
    match table {
        None => Ok(reader.finish()),
        Some(table) => table.rows(call.model.scorer.layout()),
    }
}

/// A table that is not read as records.
enum PlainTable {
    /// Rows of cells under names.
    Named(SplitTable),
    /// Rows of cells in the order of the model's columns.
    Ordered(Vec<Vec<JsonCell>>),
    /// Cells by column.
    Columns(Vec<(String, Vec<JsonCell>)>),
}

impl PlainTable {
    fn rows(self, layout: &RecordLayout) -> Result<ReadRows, HttpProblem> {
        let mut reader = layout.reader(0);
        let mut add = |names: &[Option<usize>], rows: &[Vec<JsonCell>]| {
            for (row, cells) in (1..).zip(rows) {
                if cells.len() != names.len() {
                    let (there, asked) = (cells.len(), names.len());
                    let detail = format!("row {row} has {there} cells, there are {asked} columns");
                    return Err(HttpProblem::unfit(detail));
                }
                let cells = cells.iter().map(|cell| &cell.0);
                reader.row(names.iter().copied().zip(cells));
            }
            Ok(())
        };
        match self {
            Self::Named(table) => {
                let places: Vec<_> = table
                    .columns
                    .iter()
                    .map(|name| layout.place(name))
                    .collect();
                add(&places, &table.data)?;
            }
            Self::Ordered(rows) => {
                let places: Vec<_> = (0..layout.inputs().len()).map(Some).collect();
                add(&places, &rows)?;
            }
            Self::Columns(columns) => {
                let count = columns.first().map_or(0, |(_, cells)| cells.len());
                if let Some((name, _)) = columns.iter().find(|(_, cells)| cells.len() != count) {
                    let shown: String = name.chars().take(60).collect();
                    let detail =
                        format!("the column `{shown}` has more or fewer cells than others");
                    return Err(HttpProblem::unfit(detail));
                }
                for row in 0..count {
                    let cells = columns.iter();
                    reader.row(cells.map(|(name, cells)| (layout.place(name), &cells[row].0)));
                }
            }
        }
        Ok(reader.finish())
    }
}

/// The forms of MLflow. Records are read straight into the reader; what is not is returned.
struct FormVisitor<'r, 'a> {
    reader: &'r mut RecordReader<'a>,
    most: usize,
}

const FORMS: &str =
    "an object with one of `dataframe_split`, `dataframe_records`, `instances`, `inputs`";

impl<'de> Visitor<'de> for FormVisitor<'_, '_> {
    type Value = Option<PlainTable>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMS)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut found: Option<Option<PlainTable>> = None;
        while let Some(key) = entries.next_key::<String>()? {
            let is_form = matches!(
                key.as_str(),
                "dataframe_split" | "dataframe_records" | "instances" | "inputs"
            );
            if is_form && found.is_some() {
                return Err(A::Error::custom(format!("it is not {FORMS}")));
            }
            match key.as_str() {
                "dataframe_split" => {
                    found = Some(Some(PlainTable::Named(entries.next_value()?)));
                }
                "dataframe_records" => {
                    entries.next_value_seed(RecordList {
                        reader: &mut *self.reader,
                        most: self.most,
                    })?;
                    found = Some(None);
                }
                "instances" | "inputs" => {
                    found = Some(entries.next_value_seed(LooseRows {
                        reader: &mut *self.reader,
                        most: self.most,
                    })?);
                }
                // The parameters of a prediction, and names of signatures: there are none here.
                "params" | "signature_name" => {
                    entries.next_value::<IgnoredAny>()?;
                }
                _ => return Err(A::Error::custom(format!("it is not {FORMS}"))),
            }
        }
        found.ok_or_else(|| A::Error::custom(format!("it is not {FORMS}")))
    }
}

/// `instances` and `inputs`: records, rows of cells, or columns.
struct LooseRows<'r, 'a> {
    reader: &'r mut RecordReader<'a>,
    most: usize,
}

impl<'de> DeserializeSeed<'de> for LooseRows<'_, '_> {
    type Value = Option<PlainTable>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for LooseRows<'_, '_> {
    type Value = Option<PlainTable>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("records, rows of cells, or columns")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = items.next_element_seed(LooseRow(&mut *self.reader))? {
            rows.extend(row);
            if rows.len().max(self.reader.len()) > self.most {
                return Err(self.reader.overflow());
            }
        }
        match (rows.is_empty(), self.reader.is_empty()) {
            (_, true) => Ok(Some(PlainTable::Ordered(rows))),
            (true, false) => Ok(None),
            (false, false) => Err(A::Error::custom("some rows are records, others lists")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut columns = Vec::new();
        while let Some(name) = entries.next_key::<String>()? {
            let OneOrMore(cells) = entries.next_value()?;
            columns.push((name, cells));
        }
        Ok(Some(PlainTable::Columns(columns)))
    }
}

/// A row: a record, which is taken by the reader, or a list of cells.
struct LooseRow<'r, 'a>(&'r mut RecordReader<'a>);

impl<'de> DeserializeSeed<'de> for LooseRow<'_, '_> {
    type Value = Option<Vec<JsonCell>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for LooseRow<'_, '_> {
    type Value = Option<Vec<JsonCell>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record or a list of cells")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut cells = Vec::new();
        while let Some(cell) = items.next_element()? {
            cells.push(cell);
        }
        Ok(Some(cells))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        self.0.record(entries)?;
        Ok(None)
    }
}

/// The cells of a column; of one row also without brackets.
struct OneOrMore(Vec<JsonCell>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMoreVisitor;

        impl<'de> Visitor<'de> for OneOrMoreVisitor {
            type Value = OneOrMore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of cells")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMore, A::Error> {
                let mut cells = Vec::new();
                // A cell may stand in brackets of its own, as a column of a matrix does.
                while let Some(OneOrMore(mut some)) = items.next_element()? {
                    match some.len() {
                        1 => cells.append(&mut some),
                        _ => return Err(A::Error::custom("a cell is a list")),
                    }
                }
                Ok(OneOrMore(cells))
            }

            fn visit_unit<E: Error>(self) -> Result<OneOrMore, E> {
                Ok(OneOrMore(vec![JsonCell(Cell::Missing)]))
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<OneOrMore, E> {
                Ok(OneOrMore(vec![JsonCell(Cell::Bool(flag))]))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<OneOrMore, E> {
                Ok(OneOrMore(vec![JsonCell(Cell::Int(number))]))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<OneOrMore, E> {
                Ok(OneOrMore(vec![JsonCell(whole(number))]))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<OneOrMore, E> {
                Ok(OneOrMore(vec![JsonCell(Cell::Float(number))]))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore(vec![JsonCell(Cell::Text(text.to_owned()))]))
            }
        }

        deserializer.deserialize_any(OneOrMoreVisitor)
    }
}

/// A cell in JSON; a list is its text.
#[derive(Debug)]
struct JsonCell(Cell);

fn whole(number: u64) -> Cell {
    i64::try_from(number).map_or(Cell::Whole(number), Cell::Int)
}

impl<'de> Deserialize<'de> for JsonCell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct JsonCellVisitor;

        impl<'de> Visitor<'de> for JsonCellVisitor {
            type Value = JsonCell;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a cell")
            }

            fn visit_unit<E: Error>(self) -> Result<JsonCell, E> {
                Ok(JsonCell(Cell::Missing))
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<JsonCell, E> {
                Ok(JsonCell(Cell::Bool(flag)))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<JsonCell, E> {
                Ok(JsonCell(Cell::Int(number)))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<JsonCell, E> {
                Ok(JsonCell(whole(number)))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<JsonCell, E> {
                Ok(JsonCell(Cell::Float(number)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<JsonCell, E> {
                Ok(JsonCell(Cell::Text(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<JsonCell, A::Error> {
                let mut text = String::new();
                append_list(&mut text, items)?;
                Ok(JsonCell(Cell::Text(text)))
            }
        }

        deserializer.deserialize_any(JsonCellVisitor)
    }
}
