//! Features over the past: against pandas, and the laws of looking back only.

use netsec::frame::table::Table;
use netsec::rolling::definition::{RollingFeatures, RollingWindow, WindowMeasure, WindowReach};
use netsec::rolling::stream::RollingStream;
use proptest::prelude::*;
use serde_json::Value;

use crate::kinds::oracle;

/// Everything that can be computed, per host.
fn window(reach: WindowReach, by: &[&str], written: &str) -> RollingWindow {
    let (port, bytes) = ("port".to_owned(), "bytes".to_owned());
    RollingWindow {
        by: by.iter().map(|name| (*name).to_owned()).collect(),
        reach,
        written: written.to_owned(),
        measures: vec![
            WindowMeasure::Count,
            WindowMeasure::Distinct(port.clone()),
            WindowMeasure::Share(port.clone()),
            WindowMeasure::Entropy(port),
            WindowMeasure::Sum(bytes.clone()),
            WindowMeasure::Mean(bytes.clone()),
            WindowMeasure::Deviation(bytes.clone()),
            WindowMeasure::Least(bytes.clone()),
            WindowMeasure::Greatest(bytes),
            WindowMeasure::Gap,
            WindowMeasure::Regularity,
        ],
    }
}

const NAMES: [&str; 11] = [
    "count",
    "distinct",
    "share",
    "entropy",
    "sum",
    "mean",
    "std",
    "min",
    "max",
    "gap",
    "regularity",
];

fn features(windows: Vec<RollingWindow>) -> RollingFeatures {
    RollingFeatures::new("ts".to_owned(), 86_400_000, windows)
}

/// A row: when it came, in thousandths of a second, its host, port and bytes.
type Row = (i64, u8, u8, Option<f64>);

fn table(rows: &[Row], as_text: bool) -> Table {
    let numbers = |name: &str, cells: Vec<f64>| match as_text {
        false => Table::of_numbers(vec![(name.to_owned(), cells)]).unwrap(),
        true => {
            let text = |cell: f64| (!cell.is_nan()).then(|| format!("{cell}"));
            Table::of_texts(name, cells.into_iter().map(text).collect()).unwrap()
        }
    };
    let hosts = rows.iter().map(|row| Some(format!("host {}", row.1)));
    let bytes = rows.iter().map(|row| row.3.unwrap_or(f64::NAN)).collect();
    numbers("ts", rows.iter().map(|row| row.0 as f64 / 1000.0).collect())
        .beside(&Table::of_texts("src", hosts.collect()).unwrap())
        .unwrap()
        .beside(&numbers(
            "port",
            rows.iter().map(|row| f64::from(row.2)).collect(),
        ))
        .unwrap()
        .beside(&numbers("bytes", bytes))
        .unwrap()
}

/// The cells of all columns, by their bits.
fn cells(table: &Table) -> Vec<Vec<u64>> {
    let column = |name: &String| {
        let cells = table.numbers(name).unwrap();
        cells.into_iter().map(f64::to_bits).collect()
    };
    table.names().iter().map(column).collect()
}

#[test]
fn they_are_what_pandas_computes() {
    let told = oracle("rolling.json");
    let list = |name: &str| told[name].as_array().unwrap();
    let number = |cell: &Value| cell.as_f64().unwrap_or(f64::NAN);
    let column = |name: &str| list(name).iter().map(number).collect::<Vec<f64>>();
    let hosts = list("src")
        .iter()
        .map(|cell| cell.as_str().map(str::to_owned));
    let numbers = ["ts", "port", "bytes"].map(|name| (name.to_owned(), column(name)));
    let rows = Table::of_numbers(numbers.to_vec())
        .unwrap()
        .beside(&Table::of_texts("src", hosts.collect()).unwrap())
        .unwrap();
    for (key, reach) in [
        ("20s", WindowReach::Milliseconds(20_000)),
        ("7", WindowReach::Rows(7)),
    ] {
        let features = features(vec![window(reach, &["src"], key)]);
        let found = RollingStream::new(features.clone()).push(&rows).unwrap();
        for (name, feature) in NAMES.iter().zip(features.names()) {
            let theirs = told[key][*name].as_array().unwrap();
            let ours = found.numbers(&feature).unwrap();
            for (row, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                let theirs = number(theirs);
                let is_near = (ours - theirs).abs() <= 1e-9 * (1.0 + theirs.abs());
                let is_missing = ours.is_nan() && theirs.is_nan();
                assert!(
                    is_near || is_missing,
                    "{feature}, row {row}: {ours}, {theirs}"
                );
            }
        }
    }
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let bytes = prop_oneof![
        Just(None),
        Just(Some(1e300)),
        Just(Some(f64::INFINITY)),
        (-1e3..1e3_f64).prop_map(Some)
    ];
    // Some are late: the clock does not run back.
    let row = (-3000_i64..5000, 0_u8..4, 0_u8..3, bytes);
    prop::collection::vec(row, 0..80).prop_map(|mut rows| {
        let mut clock = 1_500_000_000_000;
        for row in &mut rows {
            row.0 = (clock + row.0).max(0);
            clock = clock.max(row.0);
        }
        rows
    })
}

fn windows() -> Vec<RollingWindow> {
    vec![
        window(WindowReach::Milliseconds(7000), &["src"], "7s"),
        window(WindowReach::Milliseconds(2000), &[], "2s"),
        window(WindowReach::Rows(5), &["src", "port"], "5 rows"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_features_of_a_prefix_are_the_prefix_of_the_features(rows in rows(), cut in 0_usize..80) {
        let cut = cut.min(rows.len());
        let whole = RollingStream::new(features(windows())).push(&table(&rows, false)).unwrap();
        let first = RollingStream::new(features(windows())).push(&table(&rows[..cut], false)).unwrap();
        prop_assert_eq!(cells(&first), cells(&whole.slice(0, cut)));
    }

    #[test]
    fn pieces_of_text_with_what_was_stored_between_them_tell_the_same(rows in rows(), cuts in prop::collection::vec(0_usize..30, 0..6)) {
        let whole = RollingStream::new(features(windows())).push(&table(&rows, false)).unwrap();
        let mut stream = RollingStream::new(features(windows()));
        let (mut from, mut told) = (0, Vec::new());
        for rows_of_piece in cuts.into_iter().chain([rows.len()]) {
            let to = (from + rows_of_piece).min(rows.len());
            told.push(stream.push(&table(&rows[from..to], true)).unwrap());
            from = to;
            stream = RollingStream::decode(features(windows()), &stream.encode()).unwrap();
        }
        prop_assert_eq!(cells(&Table::stacked(&told).unwrap()), cells(&whole));
    }

    #[test]
    fn a_window_holds_what_lies_within_it(rows in rows()) {
        let found = RollingStream::new(features(windows())).push(&table(&rows, false)).unwrap();
        let count = found.numbers("count per src in 7s").unwrap();
        let sum = found.numbers("sum bytes per src in 7s").unwrap();
        let mut clock = i64::MIN;
        let came: Vec<i64> = rows.iter().map(|row| { clock = clock.max(row.0); clock }).collect();
        for (at, row) in rows.iter().enumerate() {
            let within: Vec<&Row> = (0..=at)
                .filter(|other| rows[*other].1 == row.1 && came[*other] > came[at] - 7000)
                .map(|other| &rows[other])
                .collect();
            prop_assert_eq!(count[at], within.len() as f64);
            let bytes: Vec<f64> = within.iter().filter_map(|row| row.3).filter(|cell| cell.is_finite()).collect();
            let size: f64 = bytes.iter().map(|cell| cell.abs()).sum();
            let theirs: f64 = bytes.iter().sum();
            if bytes.is_empty() {
                prop_assert!(sum[at].is_nan());
                continue;
            }
            prop_assert!((sum[at] - theirs).abs() <= 1e-12 * size, "{} {}", sum[at], theirs);
        }
    }
}

#[test]
fn a_clock_that_leaps_is_told() {
    let rows: [Row; 3] = [
        (1_000, 0, 0, None),
        (4_000_000_000_000, 0, 0, None),
        (2_000, 0, 0, None),
    ];
    let told = RollingStream::new(features(windows())).push(&table(&rows, false));
    let why = told.unwrap_err().0;
    assert!(
        why.starts_with(
            "row 3 has the time 1970-01-01T00:00:02.000Z in `ts`, 46296.3 days behind that of row 2"
        ),
        "{why}"
    );
    let none = Table::of_texts("ts", vec![Some("soon".to_owned())]).unwrap();
    let rows = none
        .beside(
            &table(&[(0, 0, 0, None)], false)
                .without(&["ts".to_owned()])
                .unwrap(),
        )
        .unwrap();
    let why = RollingStream::new(features(windows()))
        .push(&rows)
        .unwrap_err()
        .0;
    assert!(why.starts_with("row 1 has no time in `ts`"), "{why}");
}
