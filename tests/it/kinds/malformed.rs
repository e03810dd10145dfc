//! Ten thousand malformed inputs of each sort a user brings: every one is read or refused with a
//! message, none panics.

use std::collections::BTreeMap;

use proptest::prelude::*;

use netsec::profile::columns::Profile;
use netsec::schema::rules::{failures, rules};
use netsec::schema::{expression, parse};
use netsec::source::documents::{DocumentReading, rows, split};
use netsec::source::files::{Options, read};
use netsec::source::mongodb::parse;

const CSV: &[u8] = b"\xef\xbb\xbfa,b,\"c\"\"d\",e\n1,2.5,\"x,\ny\",true\n-7,1e9,,false\n,NaN,\"\",true\n3,inf,z,\n";
const NDJSON: &[u8] = b"{\"a\": 1, \"b\": {\"c\": [1, {\"d\": null}], \"e\": \"x\"}}\n{\"a\": -2.5e3, \"b\": null}\n{\"f\": \"\\ud83d\\ude00\", \"a\": true}\n";
const SCHEMA: &[u8] = b"columns:\n  a: { type: int, min: -5, max: 7, nullable: true, severity: { min: warn } }\n  b: { type: text, regex: '[a-z]+', at_most: 0.1%, allowed: [x, 'y z'] }\n  c: { type: time, coerce: true, min: 2020-01-01 }\nrows:\n  - { name: n, check: \"a + 2 * b <= c and d in [1, 'x'] or not e is null\" }\ntable:\n  rows: { min: 1 }\n  freshness: { column: c, max_hours: 3 }\nother_columns: allow\n";
const FILTER: &[u8] = b"{\"a\": {\"$gte\": {\"$date\": \"2026-01-01T00:00:00Z\"}}, \"$or\": [{\"b\": {\"$oid\": \"507f1f77bcf86cd799439011\"}}, {\"c\": {\"$numberDecimal\": \"1.5\"}}]}";

/// An edit: where, by how much, and what comes in.
type Edit = (prop::sample::Index, u8, Vec<u8>);

/// A good file with a few edits; bytes that mean something to its readers come in more often than
/// others.
fn edited(good: &[u8], edits: Vec<Edit>) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for (place, gone, new) in edits {
        let at = place.index(bytes.len() + 1);
        let end = (at + usize::from(gone)).min(bytes.len());
        bytes.splice(at..end, new);
    }
    bytes
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let meaningful = prop::sample::select(b"\",\n\r{}[]:;'$%\\\0\xff-0e\t #&*!|>(".to_vec());
    let byte = prop_oneof![3 => meaningful, 1 => any::<u8>()];
    prop::collection::vec(
        (
            any::<prop::sample::Index>(),
            0_u8..6,
            prop::collection::vec(byte, 0..5),
        ),
        1..6,
    )
}

fn documents() -> Vec<u8> {
    let text = r#"{"_id": {"$oid": "507f1f77bcf86cd799439011"}, "a": {"b": [1, 2.5, {"c": null}], "d": {"$date": 5}}, "e": {"$binary": {"base64": "AAEC", "subType": "04"}}, "f": {"$numberDecimal": "1E+400"}}"#;
    let one = netsec::source::documents::SentDocument::try_from(&parse(text).unwrap()).unwrap();
    netsec::source::documents::join(&[one.clone(), one])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn csv(edits in edits()) {
        let bytes = edited(CSV, edits);
        if let Ok(table) = read(bytes, &Options::plain(&[""])) {
            prop_assert!(table.height() > 0);
            prop_assert!(Profile::of(&table).is_ok());
        }
    }

    #[test]
    fn ndjson(edits in edits()) {
        if let Ok(table) = read(edited(NDJSON, edits), &Options::plain(&[])) {
            prop_assert!(table.height() > 0);
        }
    }

    #[test]
    fn bson_documents(edits in edits()) {
        let reading = DocumentReading { na: Vec::new(), types: BTreeMap::new(), keeps_id: true };
        if let Ok(documents) = split(&edited(&documents(), edits)) {
            let _ = rows(&documents, &reading);
        }
    }

    #[test]
    fn schema_files(edits in edits()) {
        let bytes = edited(SCHEMA, edits);
        match parse::parse("s.yaml", bytes) {
            Ok(schema) => {
                let table = read(CSV.to_vec(), &Options::plain(&[""])).unwrap();
                let rules = rules(&schema);
                prop_assert!(failures(&rules, &table).is_ok());
            }
            Err(report) => prop_assert!(!report.plain().is_empty()),
        }
    }

    #[test]
    fn filters_and_conditions(edits in edits()) {
        let bytes = edited(FILTER, edits.clone());
        let text = String::from_utf8_lossy(&bytes);
        let _ = parse(&text);
        let bytes = edited(b"a + 2 * b <= c and d in [1, 'x'] or not length(e) = -1.5e3 is null", edits);
        let text = String::from_utf8_lossy(&bytes);
        if let Err((at, why)) = expression::parse(&text) {
            prop_assert!(at <= text.len() && text.is_char_boundary(at) && !why.is_empty());
        }
    }
}
