//! Values as they are stored: what they are by themselves, without a word about their types.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::stage::param::{Value, Values};

/// Of public values only: a secret is refused.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => items.serialize(serializer),
            Self::Map(Values(map)) => map.serialize(serializer),
            Self::Secret(_) | Self::Wrong => Err(S::Error::custom("a secret is not stored")),
        }
    }
}

/// From a form that tells whole numbers from others, such as MessagePack.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a parameter")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Value, E> {
        let number = i64::try_from(number);
        number
            .map(Value::Int)
            .map_err(|_| E::custom("a number beyond 64 bits"))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((name, value)) = entries.next_entry()? {
            map.insert(name, value);
        }
        Ok(Value::Map(Values(map)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::FramedHasher;
    use crate::base::secret::Secret;

    fn fed(value: &Value) -> String {
        let mut framed = FramedHasher::new("test");
        value.feed(&mut framed);
        framed.finish().hex()
    }

    #[test]
    fn a_value_comes_back_as_what_it_was() {
        let inner = [("b".to_owned(), Value::Float(2.0))].into();
        for value in [
            Value::Bool(true),
            Value::Int(-5),
            Value::Int(i64::MAX),
            Value::Int(i64::MIN),
            Value::Float(5.0),
            Value::Float(f64::NAN),
            Value::Float(f64::NEG_INFINITY),
            Value::Text(String::new()),
            Value::List(vec![Value::Int(1), Value::Float(1.0)]),
            Value::Map(Values(inner)),
            Value::Map(Values::default()),
            Value::List(Vec::new()),
        ] {
            let bytes = rmp_serde::to_vec_named(&value).unwrap();
            let read: Value = rmp_serde::from_slice(&bytes).unwrap();
            assert_eq!(fed(&read), fed(&value), "{value:?}");
        }
    }

    #[test]
    fn a_secret_is_not_stored() {
        let secret = Value::Secret(Ok(Secret::new("word".to_owned())));
        let within = Value::List(vec![secret]);
        assert!(rmp_serde::to_vec_named(&within).is_err());
    }
}
