//! `validate`: does the data keep its schema, and do train and test look alike.

use serde_json::json;

use crate::frame::codec;
use crate::frame::table::{Table, TableError};
use crate::quality::drift;
use crate::quality::schema::{self, Violation};
use crate::stage::error::StageError;
use crate::stage::io::{Context, Inputs, Outputs};
use crate::stage::kind::{Kind, Stage};
use crate::stage::param::{Fallback, Fault, Param, Type, Values};
use crate::stage::port::{Format, Need, Port, Ports};

/// How many violations the message of a failed stage lists; the report lists all.
const SHOWN: usize = 8;

/// The kind.
pub const KIND: Kind = Kind {
    name: "validate",
    version: 1,
    doc: "Checks tables against a schema file and compares train with test, column by column, with the two-sample \
          Kolmogorov–Smirnov test. What passes flows on unchanged.",
    inputs: Ports::Fixed(&[
        Port {
            name: "schema",
            format: Format::Any,
            need: Need::One,
            doc: "the schema file, such as `schemas/phishing.yaml`",
        },
        Port { name: "train", format: Format::Table, need: Need::One, doc: "the rows to learn from" },
        Port { name: "test", format: Format::Table, need: Need::One, doc: "the rows to judge by" },
    ]),
    outputs: Ports::Fixed(&[
        Port {
            name: "status",
            format: Format::Json,
            need: Need::One,
            doc: "whether the schema holds, and every violation",
        },
        Port { name: "drift", format: Format::Json, need: Need::One, doc: "statistic and p-value of every column" },
        Port { name: "train", format: Format::Table, need: Need::One, doc: "the validated rows to learn from" },
        Port { name: "test", format: Format::Table, need: Need::One, doc: "the validated rows to judge by" },
    ]),
    params: &[
        Param {
            name: "alpha",
            kind: Type::Float(0.0, 1.0),
            default: Fallback::Yaml("0.05"),
            doc: "The chance of a false drift alarm, over all columns together (Holm).",
        },
        Param {
            name: "fail_on_drift",
            kind: Type::Bool,
            default: Fallback::Yaml("false"),
            doc: "Whether drift fails the stage; otherwise it is only reported.",
        },
    ],
    seeded: false,
    own_turn: false,
    make,
};

struct Validate {
    alpha: f64,
    fail_on_drift: bool,
}

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<Fault>> {
    let alpha = values.float("alpha").unwrap_or_default();
    Ok(Box::new(Validate { alpha, fail_on_drift: values.flag("fail_on_drift") }))
}

impl Stage for Validate {
    fn run(&self, inputs: &Inputs, outputs: &mut Outputs, context: &Context<'_>) -> Result<(), StageError> {
        let data = |error: TableError| StageError::Data(error.0);
        let file = inputs.one("schema");
        let rules = schema::parse(&file.label, file.bytes()?).map_err(|report| StageError::Data(report.plain()))?;
        let (mut tables, mut failures, mut report) = (Vec::new(), Vec::new(), serde_json::Map::new());
        for port in ["train", "test"] {
            let bytes = inputs.one(port).bytes()?;
            let table = codec::decode(bytes.clone()).map_err(data)?;
            let violations = schema::violations(&rules, &table).map_err(data)?;
            report.insert(port.to_owned(), json!({"rows": table.height(), "violations": violations}));
            failures.extend(violations.into_iter().map(|violation| (port, violation)));
            outputs.bytes(port, bytes);
            tables.push(table);
            context.check()?;
        }
        let status = json!({"valid": failures.is_empty(), "tables": report});
        outputs.bytes("status", pretty(&status));
        if !failures.is_empty() {
            return Err(StageError::Data(message(&file.label, &failures)));
        }
        self.drift(&tables[0], &tables[1], outputs)
    }
}

impl Validate {
    fn drift(&self, train: &Table, test: &Table, outputs: &mut Outputs) -> Result<(), StageError> {
        let drift = drift::compare(train, test, self.alpha).map_err(|error| StageError::Data(error.0))?;
        outputs.bytes("drift", pretty(&json!(drift)));
        let names: Vec<&str> =
            drift.columns.iter().filter(|column| column.drifted).map(|column| column.column.as_str()).collect();
        let line = match names.as_slice() {
            [] => format!("schema holds; no drift in {} columns", drift.columns.len()),
            names => format!(
                "schema holds; {} of {} columns drifted: {}",
                names.len(),
                drift.columns.len(),
                names.join(", ")
            ),
        };
        if self.fail_on_drift && drift.drifted > 0 {
            return Err(StageError::Data(format!("{line}; look at the `drift` report, or set `fail_on_drift: false`")));
        }
        outputs.note(line);
        Ok(())
    }
}

fn pretty(value: &serde_json::Value) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("plain data serialises")
}

fn message(file: &str, failures: &[(&str, Violation)]) -> String {
    let line = |(port, violation): &(&str, Violation)| {
        let Violation { column, rule, message, rows, .. } = violation;
        format!("  {port}.{column} ({rule}): {message}; {rows} rows")
    };
    let mut lines = vec![format!("the data breaks `{file}` in {} places:", failures.len())];
    lines.extend(failures.iter().take(SHOWN).map(line));
    if failures.len() > SHOWN {
        lines.push(format!("  and {} more in the `status` report", failures.len() - SHOWN));
    }
    lines.push("change the data or the schema".to_owned());
    lines.join("\n")
}
