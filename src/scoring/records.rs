//! Records to rows: JSON objects, cells by the name of their column, as they come from a log.
//!
//! How: a record is read once, straight into the columns of the model; what the model does not need
//! is passed over without being kept. The rules are those of NDJSON files (`source::ndjson`): what
//! is nested has a name with dots, a list is its JSON text, a key may stand once.
//!
//! A record may lack a column that was missing in training, too. One that never was, or that is a
//! feature over the past, is asked for by name, in each record by itself: so a record gets the same
//! verdict whichever others stand beside it, and a log whose fields were renamed is not scored as
//! if they were empty.

use std::collections::{HashMap, HashSet};
use std::fmt;

use foldhash::fast::RandomState;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::base::name::in_backticks;
use crate::frame::cell::{Cell, is_missing};
use crate::prep::cells::ColumnCells;
use crate::prep::preprocessor::RequiredColumn;
use crate::scoring::read_rows::{ReadRows, number_of};
use crate::source::json_list::append_list;

/// So many columns are named that are not there.
const NAMED: usize = 5;

/// Where the columns of a model stand in records.
#[derive(Debug)]
pub struct RecordLayout {
    inputs: Vec<RequiredColumn>,
    /// The words that stand for missing values.
    na: Vec<String>,
    /// Of every column whether a record may lack it.
    may_lack: Vec<bool>,
    places: HashMap<String, usize, RandomState>,
    /// The objects that hold columns, by their path.
    folders: HashSet<String, RandomState>,
}

impl RecordLayout {
    /// Looks for these columns, where `na` stand for missing values. Those that `is_asked_for`
    /// names a record may not lack, even if they were missing in training.
    pub fn new(
        inputs: &[RequiredColumn],
        na: &[&str],
        is_asked_for: impl Fn(&str) -> bool,
    ) -> Self {
        let may_lack = |input: &RequiredColumn| input.missing > 0 && !is_asked_for(&input.name);
        let names = inputs.iter().map(|input| input.name.as_str());
        let dots = names
            .clone()
            .flat_map(|name| name.match_indices('.').map(move |(at, _)| &name[..at]));
        Self {
            inputs: inputs.to_vec(),
            na: na.iter().map(|word| (*word).to_owned()).collect(),
            may_lack: inputs.iter().map(may_lack).collect(),
            folders: dots.map(str::to_owned).collect(),
            places: names.map(str::to_owned).zip(0..).collect(),
        }
    }

    /// Returns a reader of records, with room for some.
    pub fn reader(&self, room: usize) -> RecordReader<'_> {
        RecordReader {
            layout: self,
            rows: ReadRows::none(&self.inputs, room),
            given: vec![0; self.inputs.len()],
            is_full: false,
        }
    }

    /// Returns the place of a column among those that are needed.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Returns a cell, missing where it is a word for that.
    pub fn cell<'c>(&self, cell: GivenCell<'c>) -> GivenCell<'c> {
        match cell {
            GivenCell::Text(text) if is_missing(text, &self.na) => GivenCell::Missing,
            cell => cell,
        }
    }

    /// Returns the columns that are needed.
    pub fn inputs(&self) -> &[RequiredColumn] {
        &self.inputs
    }
}

/// Reads records, one after the other.
#[derive(Debug)]
pub struct RecordReader<'a> {
    layout: &'a RecordLayout,
    rows: ReadRows,
    /// Of every column the number of the last record, from one, that had it.
    given: Vec<usize>,
    /// Whether there were more records than are allowed.
    is_full: bool,
}

impl RecordReader<'_> {
    /// Reads a record that is written as JSON.
    ///
    /// # Errors
    /// It is no JSON. What is wrong with a record otherwise is an error of its row.
    pub fn json(&mut self, text: &[u8]) -> Result<(), serde_json::Error> {
        let before = self.rows.len();
        let mut json = serde_json::Deserializer::from_slice(text);
        let read = (&mut *self)
            .deserialize(&mut json)
            .and_then(|()| json.end());
        if read.is_err() {
            self.truncate(before);
        }
        read
    }

    /// Takes a row that could not be read as a record, and why.
    pub fn unreadable(&mut self, why: String) {
        self.rows.errors.push(Some(why));
        self.finish_row();
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Reads a record of which the entries come.
    ///
    /// # Errors
    /// They are no JSON.
    pub fn record<'de, A: MapAccess<'de>>(&mut self, mut entries: A) -> Result<(), A::Error> {
        self.begin_row();
        let read = add_entries(self, "", &mut entries);
        // A row that was begun is ended, so that all columns stay as long.
        self.end_row();
        read
    }

    /// Says that there are more records in a list than are allowed.
    pub fn overflow<E: Error>(&mut self) -> E {
        self.is_full = true;
        E::custom("there are too many rows")
    }

    /// Returns whether there were more records in a list than are allowed.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Returns the rows.
    pub fn finish(self) -> ReadRows {
        self.rows
    }

    /// Begins a row.
    fn begin_row(&mut self) {
        self.rows.errors.push(None);
    }

    /// Gives a cell of the row that was begun.
    fn cell(&mut self, at: usize, cell: GivenCell<'_>) {
        let number = self.rows.len();
        let name = &self.layout.inputs[at].name;
        let error = &mut self.rows.errors[number - 1];
        if self.given[at] == number {
            error.get_or_insert_with(|| format!("the key `{name}` stands twice in it"));
            return;
        }
        self.given[at] = number;
        let cell = self.layout.cell(cell);
        match &mut self.rows.columns[at] {
            ColumnCells::Texts(cells) => cells.push(cell.text()),
            ColumnCells::Numbers(cells) => cells.push(cell.number(name).unwrap_or_else(|why| {
                error.get_or_insert(why);
                f64::NAN
            })),
        }
    }

    /// Takes a cell of a table, by the place of its column.
    pub(crate) fn table_cell(&mut self, at: usize, cell: &Cell) {
        match cell {
            Cell::Missing => self.cell(at, GivenCell::Missing),
            Cell::Bool(flag) => self.cell(at, GivenCell::Bool(*flag)),
            Cell::Int(number) => self.cell(at, GivenCell::Int(*number)),
            Cell::Whole(number) => self.cell(at, GivenCell::Whole(*number)),
            Cell::Float(number) => self.cell(at, GivenCell::Float(*number)),
            Cell::Text(text) => self.cell(at, GivenCell::Text(text)),
            Cell::Time(_) => {
                let text = cell.text().unwrap_or_default();
                self.cell(at, GivenCell::Text(&text));
            }
        }
    }

    /// Takes a row of cells, each with the place of its column, if that is needed.
    pub(crate) fn row<'c>(&mut self, cells: impl IntoIterator<Item = (Option<usize>, &'c Cell)>) {
        self.begin_row();
        for (at, cell) in cells {
            if let Some(at) = at {
                self.table_cell(at, cell);
            }
        }
        self.end_row();
    }

    /// Ends a row: what it lacks is missing, or missed.
    fn end_row(&mut self) {
        let number = self.rows.len();
        let (inputs, may_lack) = (&self.layout.inputs, &self.layout.may_lack);
        let is_missed = |at: &usize| self.given[*at] != number && !may_lack[*at];
        if !self.given.contains(&number) {
            let why = "it has none of the columns that the model needs".to_owned();
            self.rows.errors[number - 1].get_or_insert(why);
        } else if (0..inputs.len()).any(|at| is_missed(&at)) {
            let missed = (0..inputs.len()).filter(is_missed);
            let (never, past): (Vec<usize>, Vec<usize>) =
                missed.partition(|at| inputs[*at].missing == 0);
            let (at, because) = match never.is_empty() {
                false => (never, "never missing in training"),
                true => (past, "a feature over the past, which has to come along"),
            };
            let missed: Vec<&String> = at.iter().map(|at| &inputs[*at].name).collect();
            let why = missed_columns(&missed, because);
            self.rows.errors[number - 1].get_or_insert(why);
        }
        self.finish_row();
    }

    /// Makes all columns as long as there are rows.
    fn finish_row(&mut self) {
        let rows = self.rows.len();
        for cells in &mut self.rows.columns {
            match cells {
                ColumnCells::Numbers(cells) => cells.resize(rows, f64::NAN),
                ColumnCells::Texts(cells) => cells.resize(rows, None),
            }
        }
    }

    /// Forgets the rows after the first.
    fn truncate(&mut self, rows: usize) {
        self.rows.errors.truncate(rows);
        for (cells, given) in self.rows.columns.iter_mut().zip(&mut self.given) {
            match cells {
                ColumnCells::Numbers(cells) => cells.truncate(rows),
                ColumnCells::Texts(cells) => cells.truncate(rows),
            }
            if *given > rows {
                *given = 0;
            }
        }
    }
}

/// Says which columns a record has to have.
fn missed_columns(missed: &[&String], because: &str) -> String {
    let shown = in_backticks(missed.iter().take(NAMED).copied().collect::<Vec<_>>());
    let more = match missed.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let verb = if missed.len() == 1 { "is" } else { "are" };
    format!("{shown}{more} {verb} not there, and {because}")
}

/// A cell as it is given: one reading of it, whether it stands in a record or a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GivenCell<'a> {
    /// A missing value.
    Missing,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number that is larger than those.
    Whole(u64),
    /// A number; NaN is missing.
    Float(f64),
    /// Text, which may be a number.
    Text(&'a str),
}

impl GivenCell<'_> {
    /// Returns it as a cell of a column of text, as `Cell::text` writes it.
    pub fn text(self) -> Option<String> {
        match self {
            Self::Missing => None,
            Self::Bool(flag) => Some(flag.to_string()),
            Self::Int(number) => Some(number.to_string()),
            Self::Whole(number) => Some(number.to_string()),
            Self::Float(number) => (!number.is_nan()).then(|| (number + 0.0).to_string()),
            Self::Text(text) => Some(text.to_owned()),
        }
    }

    /// Returns it as a cell of a column of numbers.
    ///
    /// # Errors
    /// It is no number; the words name the column.
    pub fn number(self, name: &str) -> Result<f64, String> {
        match self {
            Self::Missing => Ok(f64::NAN),
            Self::Bool(flag) => Ok(f64::from(u8::from(flag))),
            Self::Int(number) => Ok(number as f64),
            Self::Whole(number) => Ok(number as f64),
            // Adding zero turns -0.0 into 0.0, as the text of a cell does.
            Self::Float(number) => Ok(number + 0.0),
            Self::Text(text) => number_of(name, text),
        }
    }
}

/// One record.
impl<'de> DeserializeSeed<'de> for &mut RecordReader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(RecordVisitor(self))
    }
}

struct RecordVisitor<'r, 'a>(&'r mut RecordReader<'a>);

impl RecordVisitor<'_, '_> {
    fn refuse<E>(self) -> Result<(), E> {
        self.0.unreadable("this is JSON, but no object".to_owned());
        Ok(())
    }
}

impl<'de> Visitor<'de> for RecordVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.refuse()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.refuse()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.refuse()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.refuse()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.refuse()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.refuse()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        self.refuse()
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<(), A::Error> {
        self.0.record(entries)
    }
}

/// Takes what is needed of an object; `path` ends with a dot, or is empty.
fn add_entries<'de, A: MapAccess<'de>>(
    reader: &mut RecordReader<'_>,
    path: &str,
    entries: &mut A,
) -> Result<(), A::Error> {
    let layout = reader.layout;
    while let Some(key) = entries.next_key_seed(KeySeed(path))? {
        let name = key.as_ref();
        let at = layout.place(name);
        let is_folder = !layout.folders.is_empty() && layout.folders.contains(name);
        if at.is_none() && !is_folder {
            entries.next_value::<IgnoredAny>()?;
            continue;
        }
        entries.next_value_seed(CellSeed {
            reader: &mut *reader,
            at,
            folder: is_folder.then_some(name),
        })?;
    }
    Ok(())
}

/// A key, as the path that it stands for.
struct KeySeed<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = std::borrow::Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_> {
    type Value = std::borrow::Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Self::Value, E> {
        match self.0 {
            "" => Ok(key.into()),
            _ => self.visit_str(key),
        }
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(format!("{}{key}", self.0).into())
    }
}

/// The value of a key that is needed, or that holds what is.
struct CellSeed<'r, 'a, 'n> {
    reader: &'r mut RecordReader<'a>,
    at: Option<usize>,
    folder: Option<&'n str>,
}

impl CellSeed<'_, '_, '_> {
    fn give<E>(self, cell: GivenCell<'_>) -> Result<(), E> {
        if let Some(at) = self.at {
            self.reader.cell(at, cell);
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellSeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cell")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.give(GivenCell::Missing)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        self.give(GivenCell::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.give(GivenCell::Int(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.give(GivenCell::Whole(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.give(GivenCell::Float(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.give(GivenCell::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if self.at.is_none() {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let mut text = String::new();
        append_list(&mut text, items)?;
        self.give(GivenCell::Text(&text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Some(folder) = self.folder else {
            while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        add_entries(self.reader, &format!("{folder}."), &mut entries)
    }
}

/// A list of records, of which no more are read than are allowed.
pub struct RecordList<'r, 'a> {
    /// What reads them.
    pub reader: &'r mut RecordReader<'a>,
    /// The most.
    pub most: usize,
}

impl<'de> DeserializeSeed<'de> for RecordList<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RecordList<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(&mut *self.reader)?.is_some() {
            if self.reader.len() > self.most {
                return Err(self.reader.overflow());
            }
        }
        Ok(())
    }
}
