//! A cell is read by one rule, whoever reads it: ingestion of CSV, NDJSON and Parquet, validation,
//! and scoring.

use std::collections::BTreeMap;

use netsec::frame::cell::{Cell, MISSING, is_missing, read_float, read_number};
use netsec::frame::codec::encode;
use netsec::frame::table::{ColumnType, Table, TableError};
use netsec::schema::{parse, rules};
use netsec::source::files::{Options, read};
use proptest::prelude::*;

/// Cells of all the sorts that files of the field have.
fn cell() -> impl Strategy<Value = String> {
    let fixed = [
        "",
        " ",
        "NaN",
        " na ",
        "null",
        "-",
        "?",
        "0",
        "-0.0",
        "5",
        " 5",
        "5 ",
        "\t5",
        "+5",
        "007",
        "1e3",
        "1e400",
        "-1e400",
        "inf",
        "-Infinity",
        "1.5",
        " 1.50 ",
        ".5",
        "5.",
        "1,5",
        "0x1f",
        "1_000",
        "９",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "0.1234567890123456789",
        "true",
        " True",
        "FALSE",
        "tRuE",
        "yes",
        "2024-02-29",
        " 2024-02-29T12:00:00Z",
        "2024-02-30",
        "tcp",
        "10.0.0.1",
        "\u{a0}5",
        "5%",
    ];
    prop_oneof![
        4 => prop::sample::select(fixed.to_vec()).prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| format!("{number:e}")),
        1 => "[ 0-9eE.+-]{0,12}",
    ]
}

fn cells() -> impl Strategy<Value = Vec<String>> {
    // Columns of few sorts are often of one type.
    let few = prop::collection::vec(cell(), 1..3)
        .prop_flat_map(|sorts| prop::collection::vec(prop::sample::select(sorts), 1..6));
    prop_oneof![few, prop::collection::vec(cell(), 1..6)]
}

fn missing_words() -> Vec<String> {
    MISSING.map(str::to_owned).to_vec()
}

fn csv(cells: &[String]) -> Vec<u8> {
    let mut text = "a,b\n".to_owned();
    for cell in cells {
        text.push_str(&format!("\"{cell}\",x\n"));
    }
    text.into_bytes()
}

fn ndjson(cells: &[String]) -> Vec<u8> {
    let lines = cells
        .iter()
        .map(|cell| serde_json::json!({"a": cell, "b": "x"}).to_string() + "\n");
    lines.collect::<String>().into_bytes()
}

fn texts(cells: &[String]) -> Table {
    let texts = |cells: Vec<Option<String>>, name: &str| Table::of_texts(name, cells).unwrap();
    texts(cells.iter().cloned().map(Some).collect(), "a")
        .beside(&texts(vec![Some("x".to_owned()); cells.len()], "b"))
        .unwrap()
}

fn typed(kind: Option<ColumnType>) -> Options {
    let types: BTreeMap<String, ColumnType> = kind
        .into_iter()
        .map(|kind| ("a".to_owned(), kind))
        .collect();
    Options {
        types,
        ..Options::plain(&MISSING)
    }
}

/// The cells of column `a` as text, which tells all types but floats apart, and those as bits.
fn column(table: Result<Table, TableError>) -> Option<Vec<Option<String>>> {
    let table = table.ok()?;
    if table.column_type("a").unwrap() == ColumnType::Float {
        let show = |number: f64| format!("{:x}", (number + 0.0).to_bits());
        let missing = table.missing("a").unwrap();
        let numbers = table.numbers("a").unwrap().into_iter().zip(missing);
        return Some(
            numbers
                .map(|(number, is_missing)| (!is_missing).then(|| show(number)))
                .collect(),
        );
    }
    Some(table.texts("a").unwrap())
}

const TYPES: [ColumnType; 4] = [
    ColumnType::Int,
    ColumnType::Float,
    ColumnType::Bool,
    ColumnType::Time,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_training_takes_for_a_number_scoring_does(cells in cells()) {
        let table = read(csv(&cells), &typed(None)).unwrap();
        let kind = table.column_type("a").unwrap();
        if matches!(kind, ColumnType::Int | ColumnType::Float | ColumnType::Bool) {
            for (text, trained) in cells.iter().zip(table.numbers("a").unwrap()) {
                if is_missing(text, &missing_words()) {
                    prop_assert!(trained.is_nan());
                    continue;
                }
                let scored = read_number(text);
                // There is no whole number -0: adding zero makes it 0.
                let bits = |number: f64| (number + 0.0).to_bits();
                prop_assert_eq!(scored.map(bits), Some(bits(trained)), "{:?} as {:?}", text, kind);
            }
        }
        // And what makes the column text is not a number there: of a column of numbers, that is.
        if kind == ColumnType::Text {
            let is_number = |text: &String| read_float(text).is_some();
            let present: Vec<&String> = cells.iter().filter(|cell| !is_missing(cell, &missing_words())).collect();
            let all_are_numbers = present.iter().all(|cell| is_number(cell));
            // Identifiers and numbers that would lose digits are kept as text though they could be read.
            let is_name = |text: &&&String| {
                let digits = text.trim().trim_start_matches(['-', '+']);
                digits.len() > 15 || digits.len() > 1 && digits.starts_with('0')
            };
            prop_assert!(!all_are_numbers || present.iter().any(|text| is_name(&text)), "{:?}", cells);
        }
    }

    #[test]
    fn all_forms_read_a_declared_type_alike(cells in cells(), at in 0..TYPES.len()) {
        let kind = TYPES[at];
        let of_csv = column(read(csv(&cells), &typed(Some(kind))));
        let of_ndjson = column(read(ndjson(&cells), &typed(Some(kind))));
        let of_parquet = column(read(encode(&texts(&cells)).unwrap(), &typed(Some(kind))));
        prop_assert_eq!(&of_csv, &of_ndjson, "CSV and NDJSON, {:?}", kind);
        prop_assert_eq!(&of_csv, &of_parquet, "CSV and Parquet, {:?}", kind);
        let present = cells.iter().filter(|cell| !is_missing(cell, &missing_words()));
        let all_read = present.clone().all(|cell| Cell::read(cell, kind).is_some());
        prop_assert_eq!(of_csv.is_some(), all_read);
    }

    #[test]
    fn validation_takes_text_for_what_ingestion_does(cells in cells(), at in 0..TYPES.len()) {
        let kind = TYPES[at];
        let text = format!("columns: {{ a: {{ type: {}, coerce: true, nullable: true, nan: true, infinite: true }}, b: {{ type: text }} }}\n", kind.as_str());
        let text = match kind {
            ColumnType::Float => text,
            _ => text.replace(", nan: true, infinite: true", ""),
        };
        let schema = parse::parse("s.yaml", text.clone().into_bytes());
        let schema = schema.map_err(|report| report.plain()).unwrap();
        let broken: Vec<usize> = rules::failures(&rules::rules(&schema), &texts(&cells))
            .unwrap()
            .into_iter()
            .map(|failure| failure.row)
            .collect();
        for (row, cell) in cells.iter().enumerate() {
            prop_assert_eq!(broken.contains(&row), Cell::read(cell, kind).is_none(), "{:?} as {:?}", cell, kind);
        }
    }
}
