//! Hyperparameters: what may stand for them, and what stands for them.
//!
//! A search draws settings as points: a number each, by position. `hypers!` makes of one declaration
//! the list of a learner's hyperparameters and the struct as which the learner reads a point.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::name::in_backticks;

/// What may stand for a hyperparameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HyperparameterRange {
    /// A number within these bounds.
    Number(f64, f64),
    /// A whole number within these bounds.
    Whole(f64, f64),
    /// One of these words; in a setting it is the number of the word, from zero.
    Words(&'static [&'static str]),
    /// The same, or a number within these bounds, which are above zero; in a setting the number is
    /// negative.
    WordsOrNumber(&'static [&'static str], f64, f64),
}

/// A hyperparameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyperparameter {
    /// Its name.
    pub name: &'static str,
    /// What may stand for it.
    pub range: HyperparameterRange,
    /// The value when it is not given.
    pub default: f64,
    /// What it does.
    pub doc: &'static str,
}

/// A value of a hyperparameter, as people write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HyperparameterValue {
    /// A number.
    Number(f64),
    /// A word.
    Word(String),
}

impl std::fmt::Display for HyperparameterValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Word(word) => f.write_str(word),
        }
    }
}

/// Makes a hyperparameter that gets its name from the field it is declared by.
pub(crate) const fn hyper(
    range: HyperparameterRange,
    default: f64,
    doc: &'static str,
) -> Hyperparameter {
    Hyperparameter {
        name: "",
        range,
        default,
        doc,
    }
}

impl Hyperparameter {
    /// Returns what may stand for it, in words.
    pub fn describe(&self) -> String {
        match self.range {
            HyperparameterRange::Number(least, most) => format!("a number from {least} to {most}"),
            HyperparameterRange::Whole(least, most) => {
                format!("a whole number from {least} to {most}")
            }
            HyperparameterRange::Words(words) => {
                format!("one of {}", in_backticks(words))
            }
            HyperparameterRange::WordsOrNumber(words, least, most) => {
                format!(
                    "one of {}, or a number from {least} to {most}",
                    in_backticks(words)
                )
            }
        }
    }

    /// Reads a value; `None` if it may not stand there.
    pub fn read(&self, told: &HyperparameterValue) -> Option<f64> {
        match (self.range, told) {
            (HyperparameterRange::Number(least, most), HyperparameterValue::Number(number)) => {
                (least..=most).contains(number).then_some(*number)
            }
            (HyperparameterRange::Whole(least, most), HyperparameterValue::Number(number)) => {
                ((least..=most).contains(number) && number.fract() == 0.0).then_some(*number)
            }
            (
                HyperparameterRange::Words(words) | HyperparameterRange::WordsOrNumber(words, ..),
                HyperparameterValue::Word(word),
            ) => words
                .iter()
                .position(|known| known == word)
                .map(|at| at as f64),
            (
                HyperparameterRange::WordsOrNumber(_, least, most),
                HyperparameterValue::Number(number),
            ) => (least..=most).contains(number).then_some(-number),
            _ => None,
        }
    }

    /// Returns a value as people write it.
    pub fn tell(&self, value: f64) -> HyperparameterValue {
        match self.range {
            HyperparameterRange::WordsOrNumber(..) if value < 0.0 => {
                HyperparameterValue::Number(-value)
            }
            HyperparameterRange::Words(words) | HyperparameterRange::WordsOrNumber(words, ..) => {
                HyperparameterValue::Word(
                    words
                        .get(value as usize)
                        .copied()
                        .unwrap_or_default()
                        .to_owned(),
                )
            }
            _ => HyperparameterValue::Number(value),
        }
    }
}

/// Values of hyperparameters, by position in the learner's list.
pub type Hyperparameters = Vec<f64>;

/// A type that a hyperparameter is read as.
pub(crate) trait HyperField {
    /// Reads a value that may stand there.
    fn of(value: f64) -> Self;
}

impl HyperField for f64 {
    fn of(value: f64) -> Self {
        value
    }
}

impl HyperField for usize {
    fn of(value: f64) -> Self {
        value as Self
    }
}

/// Declares a learner's hyperparameters: the fields of a struct, each with what it is.
macro_rules! hypers {
    (
        $(#[$about:meta])*
        struct $name:ident {
            $($field:ident: $kind:ty = $hyper:expr;)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name {
            $(pub(crate) $field: $kind,)*
        }

        impl $name {
            /// The hyperparameters, in the order of a point.
            pub(crate) const LIST: &'static [$crate::model::hyper::Hyperparameter] = &[
                $($crate::model::hyper::Hyperparameter { name: stringify!($field), ..$hyper },)*
            ];

            /// Reads a point.
            pub(crate) fn of(point: &[f64]) -> Self {
                assert_eq!(point.len(), Self::LIST.len(), "a number for each hyperparameter");
                let mut numbers = point.iter().copied();
                Self {
                    $($field: $crate::model::hyper::HyperField::of(
                        numbers.next().expect("they were counted"),
                    ),)*
                }
            }
        }
    };
}

/// Declares the words that may stand for a hyperparameter.
macro_rules! hyper_words {
    (
        $(#[$about:meta])*
        enum $name:ident {
            $($(#[$doc:meta])* $case:ident = $word:literal,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[$doc])* $case,)*
        }

        impl $name {
            const CASES: &'static [Self] = &[$(Self::$case,)*];

            /// The words, in the order of their numbers.
            pub(crate) const RANGE: $crate::model::hyper::HyperparameterRange =
                $crate::model::hyper::HyperparameterRange::Words(&[$($word,)*]);
        }

        impl $crate::model::hyper::HyperField for $name {
            fn of(value: f64) -> Self {
                Self::CASES[value as usize]
            }
        }
    };
}

pub(crate) use {hyper_words, hypers};

/// What the rows of each class weigh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ClassWeight {
    /// As much each.
    None,
    /// As much as those of the other class together.
    Balanced,
    /// An attack as much as so many benign rows.
    Attack(f64),
}

impl HyperField for ClassWeight {
    fn of(value: f64) -> Self {
        match value {
            number if number < 0.0 => Self::Attack(-number),
            0.0 => Self::None,
            _ => Self::Balanced,
        }
    }
}

/// What the rows of each class weigh.
pub(crate) const CLASS_WEIGHT: Hyperparameter = hyper(
    HyperparameterRange::WordsOrNumber(&["none", "balanced"], 1e-6, 1e6),
    0.0,
    "Whether both classes weigh the same, however many rows they have; a number: an attack weighs \
     as much as so many benign rows.",
);
