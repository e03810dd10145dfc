//! A JSON list as text again: without spaces, the keys of its objects in order. Its items are
//! written as they are read, since a list of millions of them would take thirty times as much
//! memory as its text.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Appends a list, with its brackets.
///
/// # Errors
/// It is not JSON.
pub fn append_list<'de, A: SeqAccess<'de>>(
    text: &mut String,
    mut items: A,
) -> Result<(), A::Error> {
    text.push('[');
    let mut separator = "";
    while items
        .next_element_seed(ListItem {
            text: &mut *text,
            separator,
        })?
        .is_some()
    {
        separator = ",";
    }
    text.push(']');
    Ok(())
}

/// Where an item of a list is written.
struct ListItem<'a> {
    text: &'a mut String,
    /// What stands before it.
    separator: &'static str,
}

impl ListItem<'_> {
    fn append<T: serde::Serialize + ?Sized, E: Error>(self, value: &T) -> Result<(), E> {
        self.text
            .push_str(&serde_json::to_string(value).map_err(E::custom)?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for ListItem<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.text.push_str(self.separator);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ListItem<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.append(&())
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        self.append(&flag)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.append(&number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.append(&number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.append(&number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.append(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        append_list(self.text, items)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut object: BTreeMap<String, String> = BTreeMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            let mut value = String::new();
            entries.next_value_seed(ListItem {
                text: &mut value,
                separator: "",
            })?;
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!(
                    "the key `{key}` stands twice in an object of a list"
                )));
            }
            object.insert(key, value);
        }
        self.text.push('{');
        for (at, (key, value)) in object.iter().enumerate() {
            self.text.push_str(if at > 0 { "," } else { "" });
            self.text
                .push_str(&serde_json::to_string(key).map_err(A::Error::custom)?);
            self.text.push(':');
            self.text.push_str(value);
        }
        self.text.push('}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    struct List(String);

    impl<'de> Deserialize<'de> for List {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let mut text = String::new();
            deserializer.deserialize_any(ListItem {
                text: &mut text,
                separator: "",
            })?;
            Ok(Self(text))
        }
    }

    #[test]
    fn lists_are_written_as_the_library_writes_them() {
        for text in [
            "[]",
            "[ 1 , -2, 18446744073709551615, 1.50, 1e300, -0.0, 123456789012345678901234567890 ]",
            r#"[null, true, false, "a\"\u00e9\n\u0000", "", [], [[]], [[1], [2, [3]]]]"#,
            r#"[{"b": 1, "a": [1, {"d": {}, "c": null}], "\u0000\"": 2}, {}]"#,
        ] {
            let whole: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(
                serde_json::from_str::<List>(text).unwrap().0,
                whole.to_string()
            );
        }
        for text in [
            "[1,]",
            "[1 2]",
            "[",
            "[{]",
            "[nul]",
            r#"[{"b": 1, "b": 1}]"#,
            r#"[[{"a": {"b": 1, "b": 2}}]]"#,
        ] {
            assert!(serde_json::from_str::<List>(text).is_err(), "{text}");
        }
    }
}
