//! The forms of JSON in which MLflow's clients send rows: records, and tables whose columns and rows stand
//! apart.
//!
//! Records are read straight into the rows of the model. The other forms may name their columns after the
//! cells, so their cells are kept until all is read, but no more rows than are allowed, and no column
//! that is not needed.

use std::fmt;

use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use utoipa::openapi::schema::{AnyOfBuilder, Array, Object, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::frame::cell::Cell;
use crate::prep::cells::CellKind;
use crate::scoring::read_rows::ReadRows;
use crate::scoring::records::{RecordLayout, RecordList, RecordReader};
use crate::serve::call::ScoringCall;
use crate::serve::problem::HttpProblem;
use crate::source::json_list::append_list;

/// Rows to be scored, in one of the forms of MLflow.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum InvocationsRequest {
    /// A table, columns and rows apart.
    DataframeSplit(DataframeSplitForm),
    /// Records.
    DataframeRecords(DataframeRecordsForm),
    /// Rows.
    Instances(InstancesForm),
    /// Columns, or rows.
    Inputs(InputsForm),
}

/// A table as pandas writes it with `orient="split"`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "this is what the API document shows")]
pub struct DataframeSplitForm {
    /// The table.
    dataframe_split: SplitTable,
    /// Passed over.
    #[schema(value_type = Option<AnythingSchema>, required = false)]
    params: Option<IgnoredAny>,
}

/// Records as pandas writes them with `orient="records"`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "this is what the API document shows")]
pub struct DataframeRecordsForm {
    /// The records.
    #[schema(value_type = Vec<AnythingSchema>)]
    dataframe_records: Vec<IgnoredAny>,
    /// Passed over.
    #[schema(value_type = Option<AnythingSchema>, required = false)]
    params: Option<IgnoredAny>,
}

/// Records, or rows of cells in the order of the model's columns.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "this is what the API document shows")]
pub struct InstancesForm {
    /// The rows.
    #[schema(value_type = RowsSchema)]
    instances: IgnoredAny,
    /// Passed over.
    #[schema(value_type = Option<AnythingSchema>, required = false)]
    params: Option<IgnoredAny>,
    /// Passed over.
    signature_name: Option<String>,
}

/// Columns by name, each with a cell a row; or records, or rows of cells.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "this is what the API document shows")]
pub struct InputsForm {
    /// The columns, or the rows.
    #[schema(value_type = ColumnsOrRowsSchema)]
    inputs: IgnoredAny,
    /// Passed over.
    #[schema(value_type = Option<AnythingSchema>, required = false)]
    params: Option<IgnoredAny>,
}

/// A cell in JSON: a list is its text.
pub struct CellSchema;

impl PartialSchema for CellSchema {
    fn schema() -> RefOr<Schema> {
        let types = [
            Type::Number,
            Type::String,
            Type::Boolean,
            Type::Null,
            Type::Array,
        ];
        RefOr::T(Schema::Object(Object::with_type(SchemaType::from_iter(
            types,
        ))))
    }
}

impl ToSchema for CellSchema {}

/// Anything: what is no record is a row that cannot be scored, and what is passed over may be anything.
pub struct AnythingSchema;

impl PartialSchema for AnythingSchema {
    fn schema() -> RefOr<Schema> {
        RefOr::T(Schema::Object(Object::with_type(SchemaType::AnyValue)))
    }
}

impl ToSchema for AnythingSchema {}

/// Rows: records, or lists of cells. An empty list is both.
pub struct RowsSchema;

impl PartialSchema for RowsSchema {
    fn schema() -> RefOr<Schema> {
        let record = Object::with_type(Type::Object);
        let rows = AnyOfBuilder::new().item(Array::new(record));
        let rows = rows.item(Array::new(Array::new(CellSchema::schema())));
        RefOr::T(Schema::AnyOf(rows.build()))
    }
}

impl ToSchema for RowsSchema {}

/// Columns by name, or rows.
pub struct ColumnsOrRowsSchema;

impl PartialSchema for ColumnsOrRowsSchema {
    fn schema() -> RefOr<Schema> {
        // A column that is not needed may hold anything.
        let columns = ObjectBuilder::new().additional_properties(Some(AnythingSchema::schema()));
        let either = AnyOfBuilder::new().item(columns).item(RowsSchema::schema());
        RefOr::T(Schema::AnyOf(either.build()))
    }
}

impl ToSchema for ColumnsOrRowsSchema {}

/// A table, columns and rows apart.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "this is what the API document shows")]
pub struct SplitTable {
    /// The names of the columns.
    columns: Vec<String>,
    /// The names of the rows; they are passed over.
    #[schema(value_type = Option<AnythingSchema>, required = false)]
    index: Option<IgnoredAny>,
    /// The rows, a cell a column.
    #[schema(value_type = Vec<Vec<CellSchema>>)]
    data: Vec<IgnoredAny>,
}

/// Reads a body in one of the forms.
///
/// # Errors
/// It is malformed, has too many rows, or its rows are of other lengths than its columns.
pub fn read_form(call: &ScoringCall, body: &[u8]) -> Result<ReadRows, HttpProblem> {
    let layout = call.model.scorer.layout();
    let mut reader = layout.reader(1);
    let mut json = serde_json::Deserializer::from_slice(body);
    let form = FormVisitor(RowLimit {
        reader: &mut reader,
        layout,
        most: call.state.options.limits.rows,
    });
    let read = json.deserialize_map(form);
    let read = read.and_then(|table| json.end().map(|()| table));
    let table = read.map_err(|error| call.unread(reader.is_full(), &error))?;
    match table {
        None => Ok(reader.finish()),
        Some(table) => table.rows(layout),
    }
}

/// A table that is not read as records.
enum PlainTable {
    /// Rows of cells under names.
    Named(Vec<String>, Vec<Vec<JsonCell>>),
    /// Rows of cells in the order of the model's columns.
    Ordered(Vec<Vec<JsonCell>>),
    /// Cells by the place of a column that is needed, and how many rows there are.
    Columns(Vec<(usize, Vec<JsonCell>)>, usize),
    /// Columns of which the model needs none.
    Unneeded,
}

impl PlainTable {
    fn rows(self, layout: &RecordLayout) -> Result<ReadRows, HttpProblem> {
        let mut reader = layout.reader(0);
        let mut add = |places: &[Option<usize>], rows: &[Vec<JsonCell>]| {
            for (row, cells) in (1..).zip(rows) {
                if cells.len() != places.len() {
                    let (there, asked) = (cells.len(), places.len());
                    let detail = format!("row {row} has {there} cells, there are {asked} columns");
                    return Err(HttpProblem::unfit(detail));
                }
                let cells = cells.iter().map(|cell| &cell.cell);
                reader.row(places.iter().copied().zip(cells));
            }
            Ok(())
        };
        match self {
            Self::Named(names, rows) => {
                let places: Vec<_> = names.iter().map(|name| layout.place(name)).collect();
                add(&places, &rows)?;
            }
            Self::Ordered(rows) => {
                let places: Vec<_> = (0..layout.inputs().len()).map(Some).collect();
                add(&places, &rows)?;
            }
            Self::Unneeded => {
                let why = "there is none of the columns that the model needs";
                return Err(HttpProblem::unfit(why));
            }
            Self::Columns(columns, count) => {
                for row in 0..count {
                    let cells = columns.iter();
                    reader.row(cells.map(|(at, cells)| (Some(*at), &cells[row].cell)));
                }
            }
        }
        Ok(reader.finish())
    }
}

/// Where rows go, and how many there may be.
struct RowLimit<'r, 'a> {
    reader: &'r mut RecordReader<'a>,
    layout: &'a RecordLayout,
    most: usize,
}

impl<'a> RowLimit<'_, 'a> {
    fn again(&mut self) -> RowLimit<'_, 'a> {
        RowLimit {
            reader: &mut *self.reader,
            layout: self.layout,
            most: self.most,
        }
    }
}

/// The forms. Records are read straight into the reader; what is not is returned.
struct FormVisitor<'r, 'a>(RowLimit<'r, 'a>);

const FORMS: &str =
    "an object with one of `dataframe_split`, `dataframe_records`, `instances`, `inputs`";

impl<'de> Visitor<'de> for FormVisitor<'_, '_> {
    type Value = Option<PlainTable>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMS)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Self::Value, A::Error> {
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
                    let table = entries.next_value_seed(SplitSeed(self.0.again()))?;
                    found = Some(Some(table));
                }
                "dataframe_records" => {
                    entries.next_value_seed(RecordList {
                        most: self.0.most,
                        reader: &mut *self.0.reader,
                    })?;
                    found = Some(None);
                }
                "instances" | "inputs" => {
                    found = Some(entries.next_value_seed(LooseRows {
                        limit: self.0.again(),
                        may_be_columns: key == "inputs",
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

/// `dataframe_split`.
struct SplitSeed<'r, 'a>(RowLimit<'r, 'a>);

impl<'de> DeserializeSeed<'de> for SplitSeed<'_, '_> {
    type Value = PlainTable;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<PlainTable, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for SplitSeed<'_, '_> {
    type Value = PlainTable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `columns` and `data`")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<PlainTable, A::Error> {
        let (mut names, mut rows) = (None, None);
        while let Some(key) = entries.next_key::<String>()? {
            match key.as_str() {
                "columns" if names.is_none() => names = Some(entries.next_value()?),
                "data" if rows.is_none() => {
                    rows = Some(entries.next_value_seed(CellRows(self.0.again()))?);
                }
                "index" => {
                    entries.next_value::<IgnoredAny>()?;
                }
                _ => {
                    return Err(A::Error::custom(
                        "it is not one object with `columns` and `data`",
                    ));
                }
            }
        }
        match (names, rows) {
            (Some(names), Some(rows)) => Ok(PlainTable::Named(names, rows)),
            _ => Err(A::Error::custom("it has not both `columns` and `data`")),
        }
    }
}

/// Rows of cells.
struct CellRows<'r, 'a>(RowLimit<'r, 'a>);

impl<'de> DeserializeSeed<'de> for CellRows<'_, '_> {
    type Value = Vec<Vec<JsonCell>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for CellRows<'_, '_> {
    type Value = Vec<Vec<JsonCell>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let RowLimit { reader, most, .. } = self.0;
        let mut rows = Vec::new();
        while let Some(row) = items.next_element()? {
            rows.push(row);
            if rows.len() > most {
                return Err(reader.overflow());
            }
        }
        Ok(rows)
    }
}

/// `instances` and `inputs`: records, rows of cells, or columns.
struct LooseRows<'r, 'a> {
    limit: RowLimit<'r, 'a>,
    may_be_columns: bool,
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
        let RowLimit { reader, most, .. } = self.limit;
        let mut rows = Vec::new();
        while let Some(row) = items.next_element_seed(LooseRow(&mut *reader))? {
            rows.extend(row);
            if rows.len().max(reader.len()) > most {
                return Err(reader.overflow());
            }
        }
        match (rows.is_empty(), reader.is_empty()) {
            (_, true) => Ok(Some(PlainTable::Ordered(rows))),
            (true, false) => Ok(None),
            (false, false) => Err(A::Error::custom("some rows are records, others lists")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Self::Value, A::Error> {
        if !self.may_be_columns {
            return Err(A::Error::custom("`instances` is a list"));
        }
        let mut columns: Vec<(usize, Vec<JsonCell>)> = Vec::new();
        let (mut count, mut others) = (None, 0);
        while let Some(name) = entries.next_key::<String>()? {
            let Some(at) = self.limit.layout.place(&name) else {
                entries.next_value::<IgnoredAny>()?;
                others += 1;
                continue;
            };
            let is_text = self.limit.layout.inputs()[at].kind() == CellKind::Text;
            let cells: Vec<JsonCell> = entries.next_value_seed(ColumnSeed {
                limit: self.limit.again(),
                is_text,
            })?;
            if columns.iter().any(|(other, _)| *other == at) {
                return Err(A::Error::custom(format!(
                    "the column `{name}` stands twice in it"
                )));
            }
            if *count.get_or_insert(cells.len()) != cells.len() {
                let why = format!("the column `{name}` has more or fewer cells than others");
                return Err(A::Error::custom(why));
            }
            columns.push((at, cells));
        }
        // How many rows there are is not known of columns that are passed over.
        if columns.is_empty() && others > 0 {
            return Ok(Some(PlainTable::Unneeded));
        }
        Ok(Some(PlainTable::Columns(
            columns,
            count.unwrap_or_default(),
        )))
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

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items)).map(Some)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        self.0.record(entries)?;
        Ok(None)
    }
}

/// The cells of a column; one cell may stand without brackets. A number may stand in brackets of its own,
/// as in a column of a matrix; in a column of text a list is its text, as everywhere else.
struct ColumnSeed<'r, 'a> {
    limit: RowLimit<'r, 'a>,
    is_text: bool,
}

impl<'de> DeserializeSeed<'de> for ColumnSeed<'_, '_> {
    type Value = Vec<JsonCell>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ColumnSeed<'_, '_> {
    type Value = Vec<JsonCell>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of cells")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut cells = Vec::new();
        loop {
            let cell = match self.is_text {
                true => items.next_element()?,
                false => items.next_element()?.map(|BracketedCell(cell)| cell),
            };
            let Some(cell) = cell else {
                return Ok(cells);
            };
            cells.push(cell);
            if cells.len() > self.limit.most {
                return Err(self.limit.reader.overflow());
            }
        }
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        CellVisitor.visit_unit().map(|cell| vec![cell])
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
        CellVisitor.visit_bool(flag).map(|cell| vec![cell])
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        CellVisitor.visit_i64(number).map(|cell| vec![cell])
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        CellVisitor.visit_u64(number).map(|cell| vec![cell])
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        CellVisitor.visit_f64(number).map(|cell| vec![cell])
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        CellVisitor.visit_str(text).map(|cell| vec![cell])
    }
}

/// A cell, or one in brackets.
struct BracketedCell(JsonCell);

impl<'de> Deserialize<'de> for BracketedCell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let cell = JsonCell::deserialize(deserializer)?;
        // A list of one cell is that cell; one of more is its text.
        if let (true, Cell::Text(text)) = (cell.is_list, &cell.cell)
            && let Ok([inner]) = serde_json::from_str::<[JsonCell; 1]>(text)
        {
            return Ok(Self(inner));
        }
        Ok(Self(cell))
    }
}

/// A cell in JSON; a list is its text.
#[derive(Debug)]
struct JsonCell {
    cell: Cell,
    is_list: bool,
}

impl JsonCell {
    fn of(cell: Cell) -> Self {
        Self {
            cell,
            is_list: false,
        }
    }
}

impl<'de> Deserialize<'de> for JsonCell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = JsonCell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cell")
    }

    fn visit_unit<E: Error>(self) -> Result<JsonCell, E> {
        Ok(JsonCell::of(Cell::Missing))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<JsonCell, E> {
        Ok(JsonCell::of(Cell::Bool(flag)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<JsonCell, E> {
        Ok(JsonCell::of(Cell::Int(number)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<JsonCell, E> {
        let cell = i64::try_from(number).map_or(Cell::Whole(number), Cell::Int);
        Ok(JsonCell::of(cell))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<JsonCell, E> {
        Ok(JsonCell::of(Cell::Float(number)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<JsonCell, E> {
        Ok(JsonCell::of(Cell::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<JsonCell, A::Error> {
        let mut text = String::new();
        append_list(&mut text, items)?;
        Ok(JsonCell {
            cell: Cell::Text(text),
            is_list: true,
        })
    }
}
