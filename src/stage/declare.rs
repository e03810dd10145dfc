//! Parameters declared once: a struct whose fields are the parameters.
//!
//! `params!` makes of one declaration the table of `Param`s, from which values are checked, keys,
//! schema and reference are made, and the struct that a stage reads. The documentation of a field is
//! that of its parameter. After a field's type stand what is so when it is left out (`= "0.05"`, as
//! YAML, or `= required`; an optional one has no value then) and, where the type alone does not say
//! it, what may stand there (`in ParamType::Float(0.0, 1.0)`). A parameter whose name is a word of
//! Rust has another field (`kind as "type"`).
//!
//! Values are checked before they are read. One that was refused reads as a stand-in (nothing, zero,
//! the first word), so that what is wrong between the others is told in the same breath; with any
//! problem no stage is made.

use std::collections::BTreeMap;

use crate::base::secret::Secret;
use crate::stage::param::{ParamType, Value, Values};

/// A type that a parameter is read as.
pub trait ParamField: Sized {
    /// What may stand there, where nothing else is said.
    const TYPE: ParamType;

    /// Reads a checked value; none if the parameter is left out and has no default, or was refused.
    fn read(value: Option<&Value>) -> Self;
}

impl ParamField for bool {
    const TYPE: ParamType = ParamType::Bool;

    fn read(value: Option<&Value>) -> Self {
        matches!(value, Some(Value::Bool(true)))
    }
}

impl ParamField for f64 {
    const TYPE: ParamType = ParamType::Float(f64::MIN, f64::MAX);

    fn read(value: Option<&Value>) -> Self {
        value.and_then(Value::number).unwrap_or_default()
    }
}

impl ParamField for i64 {
    const TYPE: ParamType = ParamType::Int(i64::MIN, i64::MAX);

    fn read(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Int(number)) => *number,
            _ => 0,
        }
    }
}

impl ParamField for usize {
    const TYPE: ParamType = ParamType::Int(0, i64::MAX);

    fn read(value: Option<&Value>) -> Self {
        usize::try_from(i64::read(value)).unwrap_or_default()
    }
}

impl ParamField for u32 {
    const TYPE: ParamType = ParamType::Int(0, u32::MAX as i64);

    fn read(value: Option<&Value>) -> Self {
        u32::try_from(i64::read(value)).unwrap_or_default()
    }
}

impl ParamField for u64 {
    const TYPE: ParamType = ParamType::Int(0, i64::MAX);

    fn read(value: Option<&Value>) -> Self {
        u64::try_from(i64::read(value)).unwrap_or_default()
    }
}

impl ParamField for String {
    const TYPE: ParamType = ParamType::Text;

    fn read(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        }
    }
}

/// A truth value, a number or text, as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenScalar(pub String);

impl ParamField for WrittenScalar {
    const TYPE: ParamType = ParamType::Scalar;

    fn read(value: Option<&Value>) -> Self {
        Self(match value {
            Some(Value::Text(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        })
    }
}

impl ParamField for Result<Secret, String> {
    const TYPE: ParamType = ParamType::Secret;

    fn read(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Secret(secret)) => secret.clone(),
            _ => Err(String::new()),
        }
    }
}

impl<T: ParamField> ParamField for Option<T> {
    const TYPE: ParamType = T::TYPE;

    fn read(value: Option<&Value>) -> Self {
        let value = value.filter(|value| !matches!(value, Value::Wrong))?;
        Some(T::read(Some(value)))
    }
}

impl<T: ParamField + 'static> ParamField for Vec<T> {
    const TYPE: ParamType = ParamType::List(&T::TYPE);

    fn read(value: Option<&Value>) -> Self {
        match value {
            Some(Value::List(items)) => items.iter().map(|item| T::read(Some(item))).collect(),
            _ => Vec::new(),
        }
    }
}

impl<T: ParamField + 'static> ParamField for BTreeMap<String, T> {
    const TYPE: ParamType = ParamType::Map(&T::TYPE);

    fn read(value: Option<&Value>) -> Self {
        let Some(Value::Map(Values(map))) = value else {
            return Self::new();
        };
        let read = |(name, value): (&String, &Value)| (name.clone(), T::read(Some(value)));
        map.iter().map(read).collect()
    }
}

/// Declares parameters: see the room's file.
macro_rules! params {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident $(as $word:literal)?: $type:ty $(= $default:tt)? $(, in $kind:expr)?;
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        $vis struct $name {
            $(
                $(#[doc = $doc])+
                $vis $field: $type,
            )*
        }

        impl $name {
            /// The declarations.
            $vis const PARAMS: &'static [$crate::stage::param::Param] = &[
                $(
                    $crate::stage::param::Param {
                        name: $crate::stage::declare::name!($field $(, $word)?),
                        kind: $crate::stage::declare::kind!($type $(, $kind)?),
                        default: $crate::stage::declare::fallback!($($default)?),
                        doc: concat!($($doc),+).trim_ascii_start(),
                    },
                )*
            ];

            /// Reads checked values.
            $vis fn of(values: &$crate::stage::param::Values) -> Self {
                Self {
                    $(
                        $field: <$type as $crate::stage::declare::ParamField>::read(
                            values.get($crate::stage::declare::name!($field $(, $word)?)),
                        ),
                    )*
                }
            }
        }

        impl $crate::stage::declare::ParamField for $name {
            const TYPE: $crate::stage::param::ParamType = $crate::stage::param::ParamType::Record(Self::PARAMS);

            fn read(value: Option<&$crate::stage::param::Value>) -> Self {
                let refused = $crate::stage::param::Values::default();
                let values = match value {
                    Some($crate::stage::param::Value::Map(values)) => values,
                    _ => &refused,
                };
                Self::of(values)
            }
        }
    };
}

/// The name of a parameter: that of its field, or another where that is a word of Rust.
macro_rules! name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident, $word:literal) => {
        $word
    };
}

/// What may stand for a parameter.
macro_rules! kind {
    ($type:ty) => {
        <$type as $crate::stage::declare::ParamField>::TYPE
    };
    ($type:ty, $kind:expr) => {
        $kind
    };
}

/// What is so when a parameter is left out.
macro_rules! fallback {
    () => {
        $crate::stage::param::ParamFallback::Absent
    };
    (required) => {
        $crate::stage::param::ParamFallback::Required
    };
    ($yaml:literal) => {
        $crate::stage::param::ParamFallback::Yaml($yaml)
    };
}

/// Lets an enum be a parameter: its variants by the words for them. The first stands in for what was
/// refused.
#[cfg(feature = "kinds")]
macro_rules! choices {
    ($name:ty { $first:literal => $stand_in:expr $(, $word:literal => $variant:expr)* $(,)? }) => {
        impl $crate::stage::declare::ParamField for $name {
            const TYPE: $crate::stage::param::ParamType =
                $crate::stage::param::ParamType::Choice(&[$first $(, $word)*]);

            fn read(value: Option<&$crate::stage::param::Value>) -> Self {
                match value {
                    $(Some($crate::stage::param::Value::Text(word)) if word == $word => $variant,)*
                    _ => $stand_in,
                }
            }
        }
    };
}

#[cfg(feature = "kinds")]
pub(crate) use choices;
pub(crate) use {fallback, kind, name, params};

#[cfg(all(test, feature = "kinds"))]
mod tests {
    use super::*;
    use crate::stage::param::ParamFallback;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Colour {
        Red,
        Green,
    }

    choices!(Colour { "red" => Colour::Red, "green" => Colour::Green });

    params! {
        /// One.
        struct Inner {
            /// How many.
            count: usize = required;
        }
    }

    params! {
        /// All sorts.
        struct Sorts {
            /// A share of
            /// something.
            share: f64 = "0.5", in ParamType::Float(0.0, 1.0);
            /// A name.
            name: Option<String>;
            /// A colour.
            colour: Colour = "red";
            /// More.
            inner: Vec<Inner> = "[]";
        }
    }

    #[test]
    fn a_declaration_is_a_table_and_a_struct() {
        let params = Sorts::PARAMS;
        let names: Vec<&str> = params.iter().map(|param| param.name).collect();
        assert_eq!(names, ["share", "name", "colour", "inner"]);
        assert_eq!(params[0].doc, "A share of something.");
        assert_eq!(params[0].default, ParamFallback::Yaml("0.5"));
        assert_eq!(params[1].default, ParamFallback::Absent);
        assert!(matches!(
            params[2].kind,
            ParamType::Choice(["red", "green"])
        ));
        assert!(matches!(
            params[3].kind,
            ParamType::List(ParamType::Record(fields)) if fields[0].default == ParamFallback::Required
        ));
        let inner = Value::Map(Values([("count".to_owned(), Value::Int(3))].into()));
        let values = Values(
            [
                ("share".to_owned(), Value::Int(1)),
                ("colour".to_owned(), Value::Text("green".to_owned())),
                ("inner".to_owned(), Value::List(vec![inner])),
            ]
            .into(),
        );
        let read = Sorts::of(&values);
        assert_eq!(
            (read.share, read.name, read.colour),
            (1.0, None, Colour::Green)
        );
        assert_eq!(read.inner[0].count, 3);
    }
}
