//! `ingest`: rows from files, a collection or a generator → a dataset.

use std::collections::BTreeMap;

use crate::base::name::in_backticks;
use crate::base::stored::StoredDocument;
use crate::frame::build::TypeConflict;
use crate::frame::cell::EPOCHS;
use crate::frame::dataset::DatasetIndex;
use crate::frame::table::ColumnType;
use crate::kinds::dataset::DatasetWriter;
use crate::kinds::ingest::collection::{CollectionParams, CollectionSource, pull};
use crate::kinds::ingest::files::gather;
use crate::schema::types::TYPES;
use crate::source::documents::DocumentReading;
use crate::source::encoding::Encoding;
use crate::source::files::{FileFormat, Options};
use crate::source::report::{IngestReport, IngestedColumn};
use crate::source::synthetic;
use crate::stage::context::StageContext;
use crate::stage::declare::{ParamField, choices, params};
use crate::stage::error::StageError;
use crate::stage::io::{Inputs, Outputs};
use crate::stage::kind::{OutsideSource, Stage, StageKind};
use crate::stage::param::{ParamError, ParamType, Value, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};
use crate::stage::remote::RemoteWork;

/// Rows of the generator that make a part.
const ROWS: usize = 1 << 16;

/// The kind.
pub const KIND: StageKind = StageKind {
    name: "ingest",
    version: 7,
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
    params: IngestParams::PARAMS,
    seeded: true,
    runs_elsewhere: false,
    remote: RemoteWork::Never,
    make,
};

params! {
    /// Parameters of `ingest`.
    pub(crate) struct IngestParams {
        /// The form of the files; `auto` looks at their first bytes; `mongodb` reads a collection;
        /// `synthetic` makes rows by itself.
        source: SourceForm = "auto";
        /// The collection, for `source: mongodb`.
        mongodb: Option<CollectionParams>;
        /// What separates the fields of CSV: one character.
        separator: String = "','";
        /// Columns to leave out.
        drop: Vec<String> = "[]";
        /// Cells that mean a missing value.
        na: Vec<String> = "['', na, NA, 'N/A', nan, NaN, 'null']";
        /// Columns that get this type whatever their cells look like; a cell that is not of it is
        /// an error. `epoch_s`, `epoch_ms` and `epoch_us` are numbers of seconds, thousandths and
        /// millionths since 1970: they become times.
        types: BTreeMap<String, ColumnTypeChoice> = "{}";
        /// How text is read. `auto`: as UTF-8, and cells that are not as Windows-1252 (which holds
        /// Latin-1), which is told.
        encoding: Encoding = "auto";
        /// What to do about a column of NDJSON or of a collection whose cells are of types that do
        /// not fit together: `fail`, or keep all of it as `text` and say so.
        conflicts: TypeConflictRule = "fail";
        /// How many rows `synthetic` makes.
        rows: usize = "2000", in ParamType::Int(1, 100_000_000);
        /// The share of feature cells that `synthetic` leaves out.
        missing: f64 = "0.02", in ParamType::Float(0.0, 1.0);
    }
}

/// Where rows come from, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceForm {
    /// Files, of this form if one is named.
    Files(Option<FileFormat>),
    Collection,
    Synthetic,
}

choices!(SourceForm {
    "auto" => SourceForm::Files(None),
    "csv" => SourceForm::Files(Some(FileFormat::Csv)),
    "parquet" => SourceForm::Files(Some(FileFormat::Parquet)),
    "ndjson" => SourceForm::Files(Some(FileFormat::Ndjson)),
    "zeek" => SourceForm::Files(Some(FileFormat::Zeek)),
    "mongodb" => SourceForm::Collection,
    "synthetic" => SourceForm::Synthetic,
});

choices!(Encoding {
    "auto" => Encoding::Auto,
    "utf-8" => Encoding::Utf8,
    "windows-1252" => Encoding::Windows1252,
});

/// What is done about a column whose cells are of types that do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TypeConflictRule {
    Fail,
    Text,
}

choices!(TypeConflictRule {
    "fail" => TypeConflictRule::Fail,
    "text" => TypeConflictRule::Text,
});

/// A type that a column is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnTypeChoice {
    Plain(ColumnType),
    /// Numbers that count from 1970, with so many digits of the parts of a second.
    Epoch(u32),
}

impl ParamField for ColumnTypeChoice {
    const TYPE: ParamType = ParamType::Choice(&[
        "int", "float", "text", "bool", "time", "epoch_s", "epoch_ms", "epoch_us",
    ]);

    fn read(value: Option<&Value>) -> Self {
        let word = String::read(value);
        let epoch = EPOCHS.iter().find(|(known, _)| *known == word);
        let plain = TYPES.iter().find(|(known, _)| *known == word);
        match (epoch, plain) {
            (Some((_, digits)), _) => Self::Epoch(*digits),
            (None, plain) => Self::Plain(plain.map_or(ColumnType::Text, |(_, kind)| *kind)),
        }
    }
}

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
    let params = IngestParams::of(values);
    let options = params.options()?;
    let from = match params.source {
        SourceForm::Files(_) => IngestSource::Files,
        SourceForm::Synthetic => IngestSource::Synthetic {
            rows: params.rows,
            missing: params.missing,
        },
        SourceForm::Collection => {
            let collection = params.mongodb.ok_or_else(|| {
                let help =
                    "write `mongodb: { uri: \"${env.NETSEC_MONGODB_URI}\", database: …, collection: … }`";
                vec![ParamError::new(&["source"], "`source: mongodb` needs `mongodb`", help)]
            })?;
            IngestSource::Collection(Box::new(CollectionSource::new(collection, "mongodb")?))
        }
    };
    if !options.epochs.is_empty() && matches!(from, IngestSource::Collection(_)) {
        return Err(vec![ParamError::new(
            &["types"],
            "`epoch_s`, `epoch_ms` and `epoch_us` are for files",
            "keep moments in a collection as dates",
        )]);
    }
    Ok(Box::new(IngestStage {
        from,
        drop: params.drop,
        options,
        keeps_conflicts: params.conflicts == TypeConflictRule::Text,
    }))
}

impl IngestParams {
    /// Returns how files are read.
    fn options(&self) -> Result<Options, Vec<ParamError>> {
        let separator = match self.separator.as_bytes() {
            [one] if !matches!(one, b'"' | b'\n' | b'\r') => *one,
            _ => {
                return Err(vec![ParamError::new(
                    &["separator"],
                    "the separator of fields is one ASCII character, and no quote or line break",
                    r#"a tab is written "\t", in double quotes"#,
                )]);
            }
        };
        let (mut types, mut epochs) = (BTreeMap::new(), BTreeMap::new());
        for (name, choice) in &self.types {
            match choice {
                ColumnTypeChoice::Plain(kind) => drop(types.insert(name.clone(), *kind)),
                ColumnTypeChoice::Epoch(digits) => drop(epochs.insert(name.clone(), *digits)),
            }
        }
        Ok(Options {
            format: match self.source {
                SourceForm::Files(format) => format,
                SourceForm::Collection | SourceForm::Synthetic => None,
            },
            separator,
            na: self.na.clone(),
            types,
            epochs,
            encoding: self.encoding,
        })
    }
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
        writer.read_with(&self.options.na, &self.options.epochs);
        let mut conflicts = BTreeMap::new();
        match (&self.from, inputs.maybe("data")) {
            (IngestSource::Synthetic { rows, missing }, _) => {
                let whole = synthetic::table(*rows, *missing, context.seed)
                    .and_then(|table| table.canonical());
                let whole = whole?;
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
    use crate::base::syntax::{SyntaxValue, parse_snippet};
    use crate::frame::cell::MISSING;
    use crate::stage::param::ParamFallback;

    #[test]
    fn the_default_is_what_other_readers_take_for_missing() {
        let na = IngestParams::PARAMS.iter().find(|param| param.name == "na");
        let Some(ParamFallback::Yaml(text)) = na.map(|param| param.default) else {
            panic!("`na` has a default");
        };
        let Ok(SyntaxValue::List(items)) = parse_snippet(text) else {
            panic!("{text} is a list");
        };
        let words: Vec<&str> = items.iter().filter_map(|item| item.as_text()).collect();
        assert_eq!(words, MISSING);
    }
}
