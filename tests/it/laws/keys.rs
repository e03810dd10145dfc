//! Keys: equal ingredients ⇔ equal keys.

use std::collections::BTreeMap;

use proptest::prelude::*;

use netsec::base::artifact::ContentRef;
use netsec::base::digest::Digest;
use netsec::plan::key::Ingredients;
use netsec::stage::param::{Value, Values};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e9..1e9).prop_map(Value::Float),
        "[a-c]{0,3}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            prop::collection::btree_map("[a-c]{1,2}", inner, 0..3)
                .prop_map(|map| Value::Map(Values(map))),
        ]
    })
}

fn ingredients() -> impl Strategy<Value = Ingredients> {
    let content = (any::<u8>(), any::<bool>(), any::<bool>());
    (
        "[a-c]{1,3}",
        0_u32..3,
        prop::option::of(0_u64..3),
        prop::collection::btree_map("[a-c]{1,2}", value(), 0..3),
        prop::collection::btree_map("[a-c]{1,2}", content, 0..3),
    )
        .prop_map(|(kind, version, seed, with, inputs)| {
            let content = |(byte, directory, there): (u8, bool, bool)| {
                there.then(|| ContentRef {
                    digest: Digest::of(&[byte % 4]),
                    directory,
                })
            };
            let inputs = inputs
                .into_iter()
                .map(|(port, one)| (port, content(one)))
                .collect();
            Ingredients {
                kind,
                version,
                seed,
                with,
                inputs,
                seen: None,
            }
        })
}

/// Everything but the key, as one text.
fn shown(ingredients: &Ingredients) -> String {
    format!("{ingredients:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn different_ingredients_have_different_keys(a in ingredients(), b in ingredients()) {
        prop_assert_eq!(a.key() == b.key(), shown(&a) == shown(&b));
        prop_assert_eq!(a.key(), a.clone().key());
    }

    #[test]
    fn moving_a_character_between_fields_changes_the_key(a in "[a-c]{1,4}", b in "[a-c]{0,4}") {
        let of = |a: &str, b: &str| {
            let with = BTreeMap::from([
                ("x".to_owned(), Value::Text(a.to_owned())),
                ("y".to_owned(), Value::Text(b.to_owned())),
            ]);
            Ingredients { kind: "k".to_owned(), version: 1, seed: None, with, inputs: BTreeMap::new(), seen: None }.key()
        };
        let moved = (&a[..a.len() - 1], format!("{}{b}", &a[a.len() - 1..]));
        prop_assert_ne!(of(&a, &b), of(moved.0, &moved.1));
    }

    #[test]
    fn moving_an_item_between_lists_changes_the_key(items in prop::collection::vec(0_i64..3, 1..5), cut in any::<prop::sample::Index>()) {
        let of = |cut: usize| {
            let list = |items: &[i64]| Value::List(items.iter().map(|item| Value::Int(*item)).collect());
            let with = BTreeMap::from([("x".to_owned(), list(&items[..cut])), ("y".to_owned(), list(&items[cut..]))]);
            Ingredients { kind: "k".to_owned(), version: 1, seed: None, with, inputs: BTreeMap::new(), seen: None }.key()
        };
        let cut = cut.index(items.len());
        prop_assert_ne!(of(cut), of(cut + 1));
    }
}

/// A red test here asks: did you mean to make everybody's cache useless? If so, a new format number
/// and its line of history in `plan/key.rs`.
#[test]
fn golden_keys_stay() {
    let plain = Ingredients {
        kind: "ingest".to_owned(),
        version: 1,
        seed: Some(42),
        with: BTreeMap::new(),
        inputs: BTreeMap::new(),
        seen: None,
    };
    let full = Ingredients {
        with: BTreeMap::from([
            (
                "drop".to_owned(),
                Value::List(vec![Value::Text("id".to_owned())]),
            ),
            ("share".to_owned(), Value::Float(0.2)),
            ("rows".to_owned(), Value::Int(-3)),
            ("flag".to_owned(), Value::Bool(true)),
        ]),
        inputs: BTreeMap::from([
            (
                "data".to_owned(),
                Some(ContentRef {
                    digest: Digest::of(b"rows"),
                    directory: false,
                }),
            ),
            ("champion".to_owned(), None),
        ]),
        ..plain.clone()
    };
    insta::assert_snapshot!(format!("{}\n{}", plain.key(), full.key()), @r"
    23751f5660ef4c8db4a45ccac8af08b1e904ad537b3b704ec58a5e7d5d3fb84c
    706ac6efd66552843f1c33447978147b43fdb26ab5b1c17d301064f6010b0de0
    ");
}
