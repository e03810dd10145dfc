//! `ingest`: rows from files, a collection or a generator → a dataset.

use std::collections::BTreeMap;

use crate::base::name::in_backticks;
use crate::base::stored::StoredDocument;
use crate::frame::build::TypeConflict;
use crate::frame::cell::EPOCHS;
use crate::frame::dataset::DatasetIndex;
use crate::frame::table::{ColumnType, TableError};
use crate::kinds::dataset::DatasetWriter;
use crate::kinds::ingest::collection::{CollectionSource, PARAMS, pull};
use crate::kinds::ingest::files::gather;
use crate::schema::types::TYPES;
use crate::source::documents::DocumentReading;
use crate::source::encoding::Encoding;
use crate::source::files::{FileFormat, Options};
use crate::source::report::{IngestReport, IngestedColumn};
use crate::source::synthetic;
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::stage::io::{Inputs, Outputs};
use crate::stage::kind::{OutsideSource, Stage, StageKind};
use crate::stage::param::{Param, ParamError, ParamFallback, ParamStep, ParamType, Value, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};

/// Rows of the generator that make a part.
const ROWS: usize = 1 << 16;

/// Cells that mean a missing value where nothing else is said, as YAML.
const NA: &str = "['', na, NA, 'N/A', nan, NaN, 'null']";

/// The kind.
pub const KIND: StageKind = StageKind {
    name: "ingest",
    version: 6,
    doc: "Reads rows, drops columns and blanks `na` values, and keeps them as a dataset of parts: what was read before \
          and is unchanged is not read again.",
    inputs: Ports::Fixed(&[Port {
        name: "data",
        format: PortFormat::Any,
        need: PortNeed::Optional,
        doc: "a file, a directory or a glob of files, also compressed (`.gz`, `.zst`); not needed for `source: mongodb` and `synthetic`",
    }]),
    outputs: Ports::Fixed(&[
        Port {
            name: "data",
            format: PortFormat::Table,
            need: PortNeed::One,
            doc: "all rows",
        },
        Port {
            name: "report",
            format: PortFormat::Json,
            need: PortNeed::One,
            doc: "rows, columns and their types, and cells that do not fit together",
        },
    ]),
    params: &[
        Param {
            name: "source",
            kind: ParamType::Choice(&[
                "auto",
                "csv",
                "parquet",
                "ndjson",
                "zeek",
                "mongodb",
                "synthetic",
            ]),
            default: ParamFallback::Yaml("auto"),
            doc: "The form of the files; `auto` looks at their first bytes; `mongodb` reads a collection; `synthetic` \
                  makes rows by itself.",
        },
        Param {
            name: "mongodb",
            kind: ParamType::Record(PARAMS),
            default: ParamFallback::Absent,
            doc: "The collection, for `source: mongodb`.",
        },
        Param {
            name: "separator",
            kind: ParamType::Text,
            default: ParamFallback::Yaml("','"),
            doc: "What separates the fields of CSV: one character.",
        },
        Param {
            name: "drop",
            kind: ParamType::List(&ParamType::Text),
            default: ParamFallback::Yaml("[]"),
            doc: "Columns to leave out.",
        },
        Param {
            name: "na",
            kind: ParamType::List(&ParamType::Text),
            default: ParamFallback::Yaml(NA),
            doc: "Cells that mean a missing value.",
        },
        Param {
            name: "types",
            kind: ParamType::Map(&ParamType::Choice(&[
                "int", "float", "text", "bool", "time", "epoch_s", "epoch_ms", "epoch_us",
            ])),
            default: ParamFallback::Yaml("{}"),
            doc: "Columns that get this type whatever their cells look like; a cell that is not of it is an error. `epoch_s`, \
                  `epoch_ms` and `epoch_us` are numbers of seconds, thousandths and millionths since 1970: they become times.",
        },
        Param {
            name: "encoding",
            kind: ParamType::Choice(&["auto", "utf-8", "windows-1252"]),
            default: ParamFallback::Yaml("auto"),
            doc: "How text is read. `auto`: as UTF-8, and cells that are not as Windows-1252 (which holds Latin-1), which is told.",
        },
        Param {
            name: "conflicts",
            kind: ParamType::Choice(&["fail", "text"]),
            default: ParamFallback::Yaml("fail"),
            doc: "What to do about a column of NDJSON or of a collection whose cells are of types that do not fit together: \
                  `fail`, or keep all of it as `text` and say so.",
        },
        Param {
            name: "rows",
            kind: ParamType::Int(1, 100_000_000),
            default: ParamFallback::Yaml("2000"),
            doc: "How many rows `synthetic` makes.",
        },
        Param {
            name: "missing",
            kind: ParamType::Float(0.0, 1.0),
            default: ParamFallback::Yaml("0.02"),
            doc: "The share of feature cells that `synthetic` leaves out.",
        },
    ],
    seeded: true,
    own_turn: false,
    make,
};

struct IngestStage {
    from: IngestSource,
    drop: Vec<String>,
    options: Options,
    keeps_conflicts: bool,
}

enum IngestSource {
    Files,
    Collection(Box<CollectionSource>),
    Synthetic { rows: usize, missing: f64 },
}

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    let source = values.text("source").unwrap_or_default();
    let format = match source {
        "csv" => Some(FileFormat::Csv),
        "parquet" => Some(FileFormat::Parquet),
        "ndjson" => Some(FileFormat::Ndjson),
        "zeek" => Some(FileFormat::Zeek),
        _ => None,
    };
    let separator = match values.text("separator").unwrap_or_default().as_bytes() {
        [one] if !matches!(one, b'"' | b'\n' | b'\r') => *one,
        _ => {
            return Err(vec![ParamError {
                path: vec![ParamStep::key("separator")],
                message:
                    "the separator of fields is one ASCII character, and no quote or line break"
                        .to_owned(),
                help: Some(r#"a tab is written "\t", in double quotes"#.to_owned()),
            }]);
        }
    };
    let from = match source {
        "synthetic" => IngestSource::Synthetic {
            rows: values.size("rows"),
            missing: values.float("missing").unwrap_or_default(),
        },
        "mongodb" => match values.map("mongodb") {
            Some(values) => {
                IngestSource::Collection(Box::new(CollectionSource::new(values, "mongodb")?))
            }
            None => {
                return Err(vec![ParamError {
                    path: vec![ParamStep::key("source")],
                    message: "`source: mongodb` needs `mongodb`".to_owned(),
                    help: Some(
                        "write `mongodb: { uri: \"${env.NETSEC_MONGODB_URI}\", database: …, collection: … }`"
                            .to_owned(),
                    ),
                }]);
            }
        },
        _ => IngestSource::Files,
    };
    let (drop, na) = (values.texts("drop"), values.texts("na"));
    let (epochs, types) = types(values);
    let encoding = match values.text("encoding") {
        Some("utf-8") => Encoding::Utf8,
        Some("windows-1252") => Encoding::Windows1252,
        _ => Encoding::Auto,
    };
    if !epochs.is_empty() && matches!(from, IngestSource::Collection(_)) {
        return Err(vec![ParamError {
            path: vec![ParamStep::key("types")],
            message: "`epoch_s`, `epoch_ms` and `epoch_us` are for files".to_owned(),
            help: Some("keep moments in a collection as dates".to_owned()),
        }]);
    }
    let keeps_conflicts = values.text("conflicts") == Some("text");
    Ok(Box::new(IngestStage {
        from,
        drop,
        options: Options {
            format,
            separator,
            na,
            types,
            epochs,
            encoding,
        },
        keeps_conflicts,
    }))
}

/// Columns of numbers that count from 1970, with the digits of the parts of a second; and columns
/// with their types.
fn types(values: &Values) -> (BTreeMap<String, u32>, BTreeMap<String, ColumnType>) {
    let (mut epochs, mut types) = (BTreeMap::new(), BTreeMap::new());
    for (name, value) in values.map("types").into_iter().flat_map(|types| &types.0) {
        let Value::Text(word) = value else { continue };
        if let Some((_, digits)) = EPOCHS.iter().find(|(known, _)| known == word) {
            epochs.insert(name.clone(), *digits);
        } else if let Some((_, kind)) = TYPES.iter().find(|(known, _)| known == word) {
            types.insert(name.clone(), *kind);
        }
    }
    (epochs, types)
}

impl Stage for IngestStage {
    fn outside(&self) -> Option<&dyn OutsideSource> {
        match &self.from {
            IngestSource::Collection(source) => Some(source.as_ref()),
            IngestSource::Files | IngestSource::Synthetic { .. } => None,
        }
    }

    fn needs_secrets(&self) -> bool {
        matches!(self.from, IngestSource::Collection(_))
    }

    fn run(
        &self,
        inputs: &Inputs,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        if let IngestSource::Collection(source) = &self.from {
            let Options { na, types, .. } = self.options.clone();
            let reading = DocumentReading {
                na,
                types,
                keeps_id: false,
            };
            let (index, conflicts) = pull(
                source,
                reading,
                &self.drop,
                (&mut *outputs, "data"),
                context,
            )?;
            self.settle(&conflicts, outputs)?;
            return report(&index, &conflicts, outputs);
        }
        let mut writer = DatasetWriter::default();
        let mut conflicts = BTreeMap::new();
        match (&self.from, inputs.maybe("data")) {
            (IngestSource::Synthetic { rows, missing }, _) => {
                let data = |error: TableError| StageError::Data(error.0);
                let whole = synthetic::table(*rows, *missing, context.seed)
                    .and_then(|table| table.canonical());
                let whole = whole.map_err(data)?;
                let whole = whole
                    .without(&self.drop)
                    .map_err(|error| StageError::Data(format!("drop: {error}")))?;
                for from in (0..whole.height()).step_by(ROWS) {
                    writer.put(&whole.slice(from, ROWS), context)?;
                }
            }
            (IngestSource::Files | IngestSource::Collection(_), Some(input)) => {
                let gathered = gather(input, &self.options, &self.drop, &mut writer, context)?;
                for (file, columns) in gathered.torn {
                    outputs.note(format!(
                        "read as text, because not all cells of the column are numbers: {} in `{file}` (`types` says otherwise)",
                        in_backticks(columns)
                    ));
                }
                gathered
                    .notes
                    .into_iter()
                    .for_each(|note| outputs.note(note));
                conflicts = gathered.conflicts;
            }
            (IngestSource::Files | IngestSource::Collection(_), None) => {
                let message = "there is no input `data`: name a file under `inputs`, or set `source: synthetic`";
                return Err(StageError::Data(message.to_owned()));
            }
        }
        self.settle(&conflicts, outputs)?;
        let index = writer.finish(outputs, "data", context)?;
        report(&index, &conflicts, outputs)
    }
}

impl IngestStage {
    /// Tells which cells do not fit together, or refuses them.
    fn settle(
        &self,
        conflicts: &BTreeMap<String, TypeConflict>,
        outputs: &mut Outputs,
    ) -> Result<(), StageError> {
        let told: Vec<String> = conflicts.values().map(TypeConflict::tell).collect();
        if told.is_empty() {
            return Ok(());
        }
        if self.keeps_conflicts {
            told.iter()
                .for_each(|line| outputs.note(format!("kept as text: {line}")));
            return Ok(());
        }
        Err(StageError::Data(format!(
            "cells of a column are of types that do not fit together:\n  {}\nset `types: {{column: type}}` to read them as \
             one, or `conflicts: text` to keep such columns as text",
            told.join("\n  ")
        )))
    }
}

fn report(
    index: &DatasetIndex,
    conflicts: &BTreeMap<String, TypeConflict>,
    outputs: &mut Outputs,
) -> Result<(), StageError> {
    if index.rows() == 0 {
        return Err(StageError::Data(
            "there are no rows: only a header, or nothing at all".to_owned(),
        ));
    }
    let parts = if index.parts.len() == 1 {
        "part"
    } else {
        "parts"
    };
    outputs.note(format!(
        "{} rows × {} columns in {} {parts}",
        index.rows(),
        index.columns.len(),
        index.parts.len()
    ));
    let columns = index.columns.iter().map(|(name, kind)| IngestedColumn {
        name: name.clone(),
        kind: *kind,
    });
    let report = IngestReport {
        format: IngestReport::FORMAT,
        rows: index.rows(),
        parts: index.parts.len(),
        columns: columns.collect(),
        conflicts: conflicts.values().cloned().collect(),
    };
    outputs.bytes("report", report.encode());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::tree::{SyntaxValue, parse_snippet};
    use crate::frame::cell::MISSING;

    #[test]
    fn the_default_is_what_other_readers_take_for_missing() {
        let Ok(SyntaxValue::List(items)) = parse_snippet(NA) else {
            panic!("{NA} is a list");
        };
        let words: Vec<&str> = items.iter().filter_map(|item| item.as_text()).collect();
        assert_eq!(words, MISSING);
    }
}
