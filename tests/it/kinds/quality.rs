//! The Kolmogorov–Smirnov test against SciPy; schema files.

use netsec::frame::table::Table;
use netsec::quality::ks::{one_sample_tail, two_sample};
use netsec::quality::schema;
use serde_json::Value;

use crate::world::package;

fn oracle(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(package().join("tests/oracle").join(name)).unwrap()).unwrap()
}

/// The sample that `generate.py` makes of the same specification.
fn sample(spec: &Value) -> Vec<f64> {
    let whole = |name: &str| spec[name].as_u64().unwrap();
    let real = |name: &str| spec[name].as_f64().unwrap();
    let levels = whole("levels") as f64;
    let value = |i: u64| {
        let value =
            ((i * whole("a") + whole("b")) % whole("m")) as f64 / whole("m") as f64 * real("scale") + real("shift");
        if levels > 0.0 { (value * levels).floor() } else { value }
    };
    (0..whole("n")).map(value).collect()
}

#[test]
fn ks_equals_scipy_to_1e_9() {
    for case in oracle("ks.json")["cases"].as_array().unwrap() {
        let ks = two_sample(&sample(&case["first"]), &sample(&case["second"])).unwrap();
        let (statistic, p) = (case["statistic"].as_f64().unwrap(), case["p"].as_f64().unwrap());
        assert!((ks.statistic - statistic).abs() < 1e-9, "{}: {ks:?}, SciPy {statistic}", case["name"]);
        assert!((ks.p - p).abs() < 1e-9, "{}: {ks:?}, SciPy {p}", case["name"]);
    }
}

#[test]
fn the_one_sample_tail_equals_scipy_to_1e_9() {
    for tail in oracle("ks.json")["tails"].as_array().unwrap() {
        let (n, d, p) = (tail["n"].as_f64().unwrap(), tail["d"].as_f64().unwrap(), tail["p"].as_f64().unwrap());
        let ours = one_sample_tail(n, d);
        assert!((ours - p).abs() < 1e-9, "n {n}, d {d}: {ours}, SciPy {p}");
    }
}

#[test]
fn every_broken_rule_is_found() {
    let text = "columns:\n  a: { type: int, min: 0 }\n  b: { type: float, allowed: [1, 2] }\n  c: { type: float }\n  d: { type: int, nullable: true }\n";
    let rules = schema::parse("s.yaml", text.as_bytes().to_vec()).unwrap();
    let column = |name: &str, cells: &[f64]| (name.to_owned(), cells.to_vec());
    let table = Table::of_numbers(vec![
        column("d", &[f64::NAN, 1.0, 2.0]),
        column("a", &[1.0, 0.5, -2.0]),
        column("b", &[1.0, 2.0, 3.0]),
        column("e", &[0.0, 0.0, f64::INFINITY]),
    ])
    .unwrap();
    let found: Vec<String> = schema::violations(&rules, &table)
        .unwrap()
        .iter()
        .map(|v| format!("{} {} {} {:?}", v.column, v.rule, v.rows, v.first_row))
        .collect();
    assert_eq!(
        found,
        ["a type 1 Some(2)", "a min 1 Some(3)", "b allowed 1 Some(3)", "c missing 3 None", "e unexpected 3 None"]
    );
}

#[test]
fn text_is_no_number_even_if_it_looks_like_one() {
    let rules =
        schema::parse("s.yaml", b"columns:\n  a: { type: int, min: 0 }\n  b: { type: text }\n".to_vec()).unwrap();
    let rows = b"{\"a\": \"-10\", \"b\": 1}\n".to_vec();
    let table = netsec::source::files::read(rows, netsec::source::files::FileFormat::Ndjson, &[]).unwrap();
    let found: Vec<String> =
        schema::violations(&rules, &table).unwrap().iter().map(|v| format!("{} {}", v.column, v.rule)).collect();
    assert_eq!(found, ["a type", "b type"]);
}

#[test]
fn a_wrong_schema_file_is_told_with_its_places() {
    let text = "columns:\n  a: { type: nit }\n  b: { tpye: int }\n  c: 3\nothers: allow\n";
    let report = schema::parse("s.yaml", text.as_bytes().to_vec()).unwrap_err();
    insta::assert_snapshot!(report.plain(), @"
    s.yaml:2:14: `nit` is not a column type (did you mean `int`?)
    s.yaml:3:3: the column `b` has no `type`
    s.yaml:3:8: there is no key `tpye` here (did you mean `type`?)
    s.yaml:4:6: a whole number stands where a map with `type` is needed
    s.yaml:5:1: there is no key `others` here (there is `columns`, `other_columns`)
    ");
}
