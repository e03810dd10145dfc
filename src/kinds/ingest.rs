//! `ingest`: rows from files or a generator, split into train and test by what is in them.

use crate::frame::codec;
use crate::frame::rows;
use crate::frame::table::Table;
use crate::source::files::{self, FileFormat};
use crate::source::synthetic;
use crate::stage::error::StageError;
use crate::stage::io::{Context, Input, Inputs, Outputs};
use crate::stage::kind::{Kind, Stage};
use crate::stage::param::{Fallback, Fault, Param, Type, Values};
use crate::stage::port::{Format, Need, Port, Ports};

/// Cells that mean a missing value where nothing else is said, as YAML.
pub(crate) const NA: &str = "['', na, NA, 'N/A', nan, NaN, 'null']";

/// The kind.
pub const KIND: Kind = Kind {
    name: "ingest",
    version: 1,
    doc: "Reads rows, drops columns, blanks `na` values, and splits by row content: a row always lands on the same \
          side, and rows with equal features never land on both.",
    inputs: Ports::Fixed(&[Port {
        name: "data",
        format: Format::Any,
        need: Need::Optional,
        doc: "a file, a directory or a glob of files; not needed for `source: synthetic`",
    }]),
    outputs: Ports::Fixed(&[
        Port { name: "raw", format: Format::Table, need: Need::One, doc: "all rows" },
        Port { name: "train", format: Format::Table, need: Need::One, doc: "the rows to learn from" },
        Port { name: "test", format: Format::Table, need: Need::One, doc: "the rows to judge by" },
    ]),
    params: &[
        Param {
            name: "source",
            kind: Type::Choice(&["auto", "csv", "parquet", "ndjson", "synthetic"]),
            default: Fallback::Yaml("auto"),
            doc: "The form of the files; `auto` looks at their first bytes; `synthetic` makes rows by itself.",
        },
        Param {
            name: "target",
            kind: Type::Text,
            default: Fallback::Absent,
            doc: "The column of labels: it has no say in the split, so that equal features with different labels stay together.",
        },
        Param {
            name: "drop",
            kind: Type::List(&Type::Text),
            default: Fallback::Yaml("[]"),
            doc: "Columns to leave out.",
        },
        Param {
            name: "na",
            kind: Type::List(&Type::Text),
            default: Fallback::Yaml(NA),
            doc: "Cells that mean a missing value.",
        },
        Param {
            name: "test_share",
            kind: Type::Float(0.0, 1.0),
            default: Fallback::Yaml("0.2"),
            doc: "The share of distinct rows that go to `test`.",
        },
        Param {
            name: "rows",
            kind: Type::Int(1, 100_000_000),
            default: Fallback::Yaml("2000"),
            doc: "How many rows `synthetic` makes.",
        },
        Param {
            name: "missing",
            kind: Type::Float(0.0, 1.0),
            default: Fallback::Yaml("0.02"),
            doc: "The share of feature cells that `synthetic` leaves out.",
        },
    ],
    seeded: true,
    own_turn: false,
    make,
};

struct Ingest {
    source: Option<FileFormat>,
    synthetic: bool,
    target: Option<String>,
    drop: Vec<String>,
    na: Vec<String>,
    test_share: f64,
    rows: usize,
    missing: f64,
}

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<Fault>> {
    let source = values.text("source").unwrap_or_default();
    Ok(Box::new(Ingest {
        source: match source {
            "csv" => Some(FileFormat::Csv),
            "parquet" => Some(FileFormat::Parquet),
            "ndjson" => Some(FileFormat::Ndjson),
            _ => None,
        },
        synthetic: source == "synthetic",
        target: values.text("target").map(str::to_owned),
        drop: values.texts("drop"),
        na: values.texts("na"),
        test_share: values.float("test_share").unwrap_or_default(),
        rows: values.size("rows"),
        missing: values.float("missing").unwrap_or_default(),
    }))
}

impl Stage for Ingest {
    fn run(&self, inputs: &Inputs, outputs: &mut Outputs, context: &Context<'_>) -> Result<(), StageError> {
        let data = |error: crate::frame::table::TableError| StageError::Data(error.0);
        let table = match inputs.maybe("data") {
            Some(input) if !self.synthetic => self.read(input, context)?,
            None if !self.synthetic => {
                let message = "there is no input `data`: name a file under `inputs`, or set `source: synthetic`";
                return Err(StageError::Data(message.to_owned()));
            }
            _ => synthetic::table(self.rows, self.missing, context.seed).map_err(data)?,
        };
        let table = table.without(&self.drop).map_err(|error| StageError::Data(format!("drop: {error}")))?;
        if let Some(target) = &self.target {
            table.column_type(target).map_err(|error| StageError::Data(format!("target: {error}")))?;
        }
        let except: Vec<&str> = self.target.as_deref().into_iter().collect();
        let digests = rows::digests(&table, &except).map_err(data)?;
        let to_test = rows::in_part(&digests, self.test_share);
        let to_train: Vec<bool> = to_test.iter().map(|test| !test).collect();
        let (train, test) = (table.filter(&to_train).map_err(data)?, table.filter(&to_test).map_err(data)?);
        outputs.note(format!(
            "{} rows × {} columns: {} to train, {} to test",
            table.height(),
            table.names().len(),
            train.height(),
            test.height()
        ));
        for (port, table) in [("raw", &table), ("train", &train), ("test", &test)] {
            outputs.bytes(port, codec::encode(table).map_err(data)?);
        }
        Ok(())
    }
}

impl Ingest {
    fn read(&self, input: &Input, context: &Context<'_>) -> Result<Table, StageError> {
        let mut whole: Option<Table> = None;
        for (done, (name, content)) in input.files.iter().enumerate() {
            context.check()?;
            let file = if name.is_empty() { input.label.clone() } else { format!("{}: {name}", input.label) };
            let wrong = |error: crate::frame::table::TableError| StageError::Data(format!("`{file}`: {error}"));
            let bytes = content.bytes()?;
            let format = self.source.unwrap_or_else(|| FileFormat::detect(&bytes));
            let table = files::read(bytes, format, &self.na).map_err(wrong)?;
            whole = Some(match whole {
                Some(above) => above.below(&table).map_err(wrong)?,
                None => table,
            });
            (context.progress)(done as u64 + 1, input.files.len() as u64, "files");
        }
        whole.ok_or_else(|| StageError::Data(format!("`{}` holds no file", input.label)))
    }
}
