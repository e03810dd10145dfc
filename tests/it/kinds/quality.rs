//! The Kolmogorov–Smirnov test against SciPy; schema files.

use serde_json::Value;

use crate::kinds::oracle;
use netsec::frame::table::{ColumnType, Table};
use netsec::schema::parse;
use netsec::schema::rules::{coerced, failures, misfits, rules};
use netsec::stats::ks::{one_sample_tail, two_sample};

/// The sample that `generate.py` makes of the same specification.
pub(crate) fn sample(spec: &Value) -> Vec<f64> {
    let whole = |name: &str| spec[name].as_u64().unwrap();
    let real = |name: &str| spec[name].as_f64().unwrap();
    let levels = whole("levels") as f64;
    let value = |i: u64| {
        let value = ((i * whole("a") + whole("b")) % whole("m")) as f64 / whole("m") as f64
            * real("scale")
            + real("shift");
        if levels > 0.0 {
            (value * levels).floor()
        } else {
            value
        }
    };
    (0..whole("n")).map(value).collect()
}

#[test]
fn ks_equals_scipy_to_1e_9() {
    for case in oracle("ks.json")["cases"].as_array().unwrap() {
        let ks = two_sample(&sample(&case["first"]), &sample(&case["second"])).unwrap();
        let (statistic, p) = (
            case["statistic"].as_f64().unwrap(),
            case["p"].as_f64().unwrap(),
        );
        assert!(
            (ks.statistic - statistic).abs() < 1e-9,
            "{}: {ks:?}, SciPy {statistic}",
            case["name"]
        );
        assert!(
            (ks.p - p).abs() < 1e-9,
            "{}: {ks:?}, SciPy {p}",
            case["name"]
        );
    }
}

#[test]
fn the_one_sample_tail_equals_scipy_to_1e_9() {
    for tail in oracle("ks.json")["tails"].as_array().unwrap() {
        let (n, d, p) = (
            tail["n"].as_f64().unwrap(),
            tail["d"].as_f64().unwrap(),
            tail["p"].as_f64().unwrap(),
        );
        let ours = one_sample_tail(n, d);
        assert!((ours - p).abs() < 1e-9, "n {n}, d {d}: {ours}, SciPy {p}");
    }
}

/// What a table breaks of a schema: `column.rule row value`, rows counted from zero.
fn broken(schema: &str, table: &Table) -> Vec<String> {
    let schema = parse::parse("s.yaml", schema.as_bytes().to_vec())
        .unwrap_or_else(|report| panic!("{}", report.plain()));
    let rules = rules(&schema);
    let columns = misfits(&schema, &table.columns().unwrap());
    let rows = failures(&rules, table).unwrap();
    let columns = columns
        .into_iter()
        .map(|misfit| format!("{} {}", misfit.column, misfit.rule));
    columns
        .chain(
            rows.into_iter()
                .map(|f| format!("{} {} {}", rules[f.rule].id(), f.row, f.value)),
        )
        .collect()
}

fn ndjson(text: &str) -> Table {
    netsec::source::files::read(
        text.as_bytes().to_vec(),
        &netsec::source::files::Options::plain(&[]),
    )
    .unwrap()
}

#[test]
fn every_broken_rule_is_found() {
    let schema = "columns:\n  a: { type: int, min: 0 }\n  b: { type: float, allowed: [1, 2] }\n  c: { type: float }\n  d: { type: int, nullable: true }\n";
    let column = |name: &str, cells: &[f64]| (name.to_owned(), cells.to_vec());
    let table = Table::of_numbers(vec![
        column("d", &[f64::NAN, 1.0, 2.0]),
        column("a", &[1.0, 0.5, -2.0]),
        column("b", &[1.0, f64::INFINITY, f64::NAN]),
        column("e", &[0.0, 0.0, f64::INFINITY]),
    ])
    .unwrap();
    assert_eq!(
        broken(schema, &table),
        [
            "c missing",
            "e unexpected",
            "a.type 1 0.5",
            "a.min 2 -2",
            "b.null 2 missing",
            "b.infinite 1 inf",
            "b.allowed 1 inf"
        ]
    );
}

#[test]
fn missing_nan_and_infinite_are_three_things() {
    let text = b"a,b\n1,1\nNaN,2\n-inf,3\n,4\n".to_vec();
    let options = netsec::source::files::Options::plain(&[""]);
    let table = netsec::source::files::read(text, &options).unwrap();
    let rest = "\n  b: { type: int }\n";
    let schema = |rules: &str| format!("columns:\n  a: {{ type: float{rules} }}{rest}");
    assert_eq!(
        broken(&schema(""), &table),
        ["a.null 3 missing", "a.nan 1 NaN", "a.infinite 2 -inf"]
    );
    assert_eq!(
        broken(&schema(", nan: true"), &table),
        ["a.null 3 missing", "a.infinite 2 -inf"]
    );
    assert_eq!(
        broken(&schema(", infinite: true, nullable: true"), &table),
        ["a.nan 1 NaN"]
    );
}

#[test]
fn text_is_a_number_only_where_that_is_asked() {
    let table = ndjson("{\"a\": \"-10\", \"b\": \"x\"}\n{\"a\": \"ten\", \"b\": \"yy\"}\n");
    let rest = "\n  b: { type: text, regex: \"[a-z]\", min_length: 1, max_length: 1 }\n";
    let strict = format!("columns:\n  a: {{ type: int }}{rest}");
    assert_eq!(
        broken(&strict, &table),
        [
            "a.type 0 -10",
            "a.type 1 ten",
            "b.regex 1 yy",
            "b.max_length 1 yy"
        ]
    );
    let lenient = format!("columns:\n  a: {{ type: int, coerce: true, min: 0 }}{rest}");
    assert_eq!(
        broken(&lenient, &table),
        [
            "a.type 1 ten",
            "a.min 0 -10",
            "b.regex 1 yy",
            "b.max_length 1 yy"
        ]
    );
    let schema = parse::parse("s.yaml", lenient.into_bytes()).unwrap();
    assert_eq!(
        coerced(&schema, &table).unwrap().column_type("a").unwrap(),
        ColumnType::Int
    );
}

#[test]
fn times_have_bounds_and_rows_have_conditions() {
    let table = ndjson(
        "{\"t\": \"2026-01-02T00:00:00Z\", \"a\": 1, \"b\": 2}\n{\"t\": \"1999-12-31\", \"a\": 3, \"b\": 2}\n{\"t\": \"2026-01-03\", \"a\": null, \"b\": 2}\n",
    );
    let schema = "columns:\n  t: { type: time, coerce: true, min: 2020-01-01 }\n  a: { type: int, nullable: true }\n  b: { type: int }\n\
                  rows:\n  - { name: ordered, check: \"a <= b\" }\n";
    assert_eq!(
        broken(schema, &table),
        ["t.min 1 1999-12-31", "ordered 1 a=3, b=2"]
    );
}

#[test]
fn a_wrong_schema_file_is_told_with_its_places() {
    let text = "columns:\n  a: { type: nit }\n  b: { tpye: int }\n  c: 3\n  d: { type: text, regex: \"(\", severity: { regxe: warn } }\n  \
                e: { type: int, min: 2, max: 1, at_most: 7 }\n  f: { type: int, coerce: true, severity: warn }\nothers: allow\nrows:\n  \
                - { check: \"a <\" }\n  - { name: x }\ntable:\n  rows: { severity: fail }\n  duplicates: { max: 0.1, severity: quarantine }\n  \
                freshness: { max_hours: 1 }\n";
    let report = parse::parse("s.yaml", text.as_bytes().to_vec()).unwrap_err();
    insta::assert_snapshot!(report.plain(), @"
    s.yaml:2:14: `nit` is not a column type (did you mean `int`?)
    s.yaml:3:3: the column `b` has no `type`
    s.yaml:3:8: there is no key `tpye` here (did you mean `type`?)
    s.yaml:4:6: expected a map with `type`, found a whole number
    s.yaml:5:27: `(` is not a regular expression: unclosed group
    s.yaml:5:44: there is no key `regxe` here (did you mean `regex`?)
    s.yaml:6:6: `min` is above `max`: nothing can stand here
    s.yaml:6:44: expected a share from 0 to 1, or one such as `0.1%`, found a whole number
    s.yaml:7:3: `coerce` would lose cells that do not read as the type while their rows go on: the severity of `type` must be `quarantine` or `fail`
    s.yaml:8:1: there is no key `others` here (there is `columns`, `other_columns`, `rows`, `table`, `quarantine_at_most`)
    s.yaml:10:14: this is not a condition: a value is missing here, at character 4 of `a <`
    s.yaml:11:5: the key `check` is missing
    s.yaml:13:3: `rows` bounds nothing: it needs `max`
    s.yaml:14:15: a condition on the whole table has no rows to set aside: use `warn` or `fail`
    s.yaml:15:3: `freshness` needs a `column`
    ");
}
