//! Ports and formats: what may flow over an edge.

/// What the bytes behind a port are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortFormat {
    /// A table: a dataset of parts, or one Parquet file.
    Table,
    /// A matrix (`.npy`, little-endian f64, rows first).
    Array,
    /// The names of features and classes and the class of each row (`.npz`, as NumPy reads it).
    Labels,
    /// What a table looks like (MessagePack, versioned).
    Profile,
    /// Features over the past, as they are declared (JSON, versioned).
    Windows,
    /// A fitted preprocessor (MessagePack, versioned).
    Preprocessor,
    /// A model with its preprocessor (MessagePack, versioned).
    Model,
    /// A JSON document.
    Json,
    /// Plain text.
    Text,
    /// Whatever it is: files from outside, outputs of commands.
    Any,
}

impl PortFormat {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Array => "array",
            Self::Labels => "labels",
            Self::Profile => "profile",
            Self::Windows => "windows",
            Self::Preprocessor => "preprocessor",
            Self::Model => "model",
            Self::Json => "json",
            Self::Text => "text",
            Self::Any => "any",
        }
    }

    /// Returns whether an input of this format takes what an output of `other` gives.
    pub fn accepts(self, other: Self) -> bool {
        self == Self::Any || other == Self::Any || self == other
    }
}

/// How often an input may or must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortNeed {
    /// Exactly once.
    One,
    /// Once or not at all.
    Optional,
    /// A named pointer, such as `ref:champion/phishing`; it may point at nothing yet. The text
    /// names the input that challenges what it points at: a challenger that already is what the
    /// pointer points at is compared with what it replaced, so that a decision once made stays the
    /// same. Without a name it is what it points at.
    Ref(&'static str),
}

/// An input or output of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// Its name.
    pub name: &'static str,
    /// What flows.
    pub format: PortFormat,
    /// How often it is given; of outputs always `One`.
    pub need: PortNeed,
    /// What it is for, in a sentence.
    pub doc: &'static str,
}

/// The ports of one side of a kind.
#[derive(Clone, Copy, Debug)]
pub enum Ports {
    /// These.
    Fixed(&'static [Port]),
    /// Any name, any format, each given once.
    Free,
    /// These, and one for each key of the map parameter named first.
    Declared(&'static str, &'static [Port]),
}
