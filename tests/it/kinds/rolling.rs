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
    RollingFeatures::new("ts".to_owned(), 0, 86_400_000, windows)
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

/// What is told of rows that have a time each.
fn told(stream: &mut RollingStream, rows: &Table) -> Table {
    let told = stream.push(rows).unwrap();
    assert_eq!(told.faults, []);
    told.table
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
    let theirs_all = oracle("rolling.json");
    let list = |name: &str| theirs_all[name].as_array().unwrap();
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
        let found = told(&mut RollingStream::new(features.clone()), &rows);
        for (name, feature) in NAMES.iter().zip(features.names()) {
            let theirs = theirs_all[key][*name].as_array().unwrap();
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
        window(WindowReach::Rows(25), &[], "25 rows"),
        window(WindowReach::Milliseconds(60_000), &[], "60s"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_features_of_a_prefix_are_the_prefix_of_the_features(rows in rows(), cut in 0_usize..80) {
        let cut = cut.min(rows.len());
        let whole = told(&mut RollingStream::new(features(windows())), &table(&rows, false));
        let first = told(&mut RollingStream::new(features(windows())), &table(&rows[..cut], false));
        prop_assert_eq!(cells(&first), cells(&whole.slice(0, cut)));
    }

    #[test]
    fn pieces_of_text_with_what_was_stored_between_them_tell_the_same(rows in rows(), cuts in prop::collection::vec(0_usize..30, 0..6)) {
        let whole = told(&mut RollingStream::new(features(windows())), &table(&rows, false));
        let mut stream = RollingStream::new(features(windows()));
        let (mut from, mut pieces) = (0, Vec::new());
        for rows_of_piece in cuts.into_iter().chain([rows.len()]) {
            let to = (from + rows_of_piece).min(rows.len());
            pieces.push(told(&mut stream, &table(&rows[from..to], true)));
            from = to;
            stream = RollingStream::decode(features(windows()), &stream.encode()).unwrap();
        }
        prop_assert_eq!(cells(&Table::stacked(&pieces).unwrap()), cells(&whole));
    }

    #[test]
    fn values_are_counted_as_one_by_one(rows in rows()) {
        let found = told(&mut RollingStream::new(features(windows())), &table(&rows, false));
        let column = |name: &str| found.numbers(&format!("{name} port in 25 rows")).unwrap();
        let (distinct, share, entropy) = (column("distinct"), column("share"), column("entropy"));
        for at in 0..rows.len() {
            let ports: Vec<u8> = rows[(at + 1).saturating_sub(25)..=at].iter().map(|row| row.2).collect();
            let all = ports.len() as f64;
            let share_of = |port: u8| ports.iter().filter(|other| **other == port).count() as f64 / all;
            let shares: Vec<f64> = (0..3).map(share_of).filter(|share| *share > 0.0).collect();
            prop_assert_eq!(distinct[at], shares.len() as f64);
            prop_assert_eq!(share[at], share_of(rows[at].2));
            let bits: f64 = shares.iter().map(|share| -share * share.log2()).sum();
            prop_assert!((entropy[at] - bits).abs() < 1e-12);
        }
    }

    #[test]
    fn a_window_holds_what_lies_within_it(rows in rows()) {
        let found = told(&mut RollingStream::new(features(windows())), &table(&rows, false));
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
fn a_row_whose_time_cannot_be_is_in_no_window() {
    let rows: [Row; 4] = [
        (1_000, 0, 0, None),
        (4_000_000_000_000, 0, 0, None),
        (2_000, 0, 0, None),
        (4_000_000_001_000, 0, 0, None),
    ];
    let told = RollingStream::new(features(windows()))
        .push(&table(&rows, false))
        .unwrap();
    let [(2, why)] = told.faults.as_slice() else {
        panic!("{:?}", told.faults)
    };
    assert!(
        why.starts_with(
            "its time in `ts`, 1970-01-01T00:00:02.000Z, is 46296.3 days behind that of row 2"
        ),
        "{why}"
    );
    let count = told.table.numbers("count per src in 7s").unwrap();
    assert!(count[2].is_nan());
    assert_eq!((count[0], count[1], count[3]), (1.0, 1.0, 2.0));
    for (cell, why) in [
        ("soon", "\"soon\" in `ts` is no time"),
        (
            "1700000000000",
            "1700000000000 in `ts` is after the year 2262",
        ),
    ] {
        let times = Table::of_texts("ts", vec![Some(cell.to_owned())]).unwrap();
        let row = table(&[(0, 0, 0, None)], false);
        let row = times
            .beside(&row.without(&["ts".to_owned()]).unwrap())
            .unwrap();
        let told = RollingStream::new(features(windows())).push(&row).unwrap();
        assert!(told.faults[0].1.starts_with(why), "{:?}", told.faults);
    }
}

#[test]
fn long_whole_numbers_are_told_apart() {
    let hosts = ["9223372036854775807", "9223372036854775806"];
    let column = |name: &str, cells: [&str; 2]| {
        Table::of_texts(name, cells.map(|cell| Some(cell.to_owned())).to_vec()).unwrap()
    };
    let rows = column("ts", ["1", "2"])
        .beside(&column("src", hosts))
        .unwrap();
    let count = RollingWindow {
        measures: vec![
            WindowMeasure::Count,
            WindowMeasure::Distinct("src".to_owned()),
        ],
        ..window(WindowReach::Rows(5), &["src"], "5 rows")
    };
    let all = RollingWindow {
        by: Vec::new(),
        ..count.clone()
    };
    let told = told(&mut RollingStream::new(features(vec![count, all])), &rows);
    assert_eq!(told.numbers("count per src in 5 rows").unwrap(), [1.0, 1.0]);
    assert_eq!(told.numbers("distinct src in 5 rows").unwrap(), [1.0, 2.0]);
}
