//! Checked names: StageId, RefName, RunId.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::clock::civil;

const RULE: &str = "a letter, then letters, digits, `_` or `-`, 64 at most";

fn is_word(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// What may stand in the label of an instance.
fn is_label(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-+.,=~".contains(c)
}

/// Splits `stage.port`, where the stage may be an instance; `None` if it is no such thing.
pub fn stage_and_port(text: &str) -> Option<(StageId, &str)> {
    let (stage, port) = match text.find("].") {
        Some(at) => (&text[..=at], &text[at + 2..]),
        None => text.split_once('.')?,
    };
    Some((StageId::parse(stage).filter(|_| is_word(port))?, port))
}

/// Returns what is wrong with `text` as a port or parameter name, if anything.
pub fn check_word(text: &str) -> Result<(), String> {
    if is_word(text) { Ok(()) } else { Err(format!("`{text}` is not a name: {RULE}")) }
}

/// Names as they stand in a sentence: each in backticks, with commas between them.
pub fn in_backticks<N: fmt::Display>(names: impl IntoIterator<Item = N>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// The name of a stage within its pipeline: a word, and for one of several instances of a stage what tells it apart, as
/// in `train[rate=0.1,depth=6]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageId(String);

impl StageId {
    /// Checks the name of a stage as a user writes it: a word.
    pub fn new(text: &str) -> Result<Self, String> {
        check_word(text).map(|()| Self(text.to_owned()))
    }

    /// Returns the name of one instance of this stage. What is not plain in the label becomes `_`.
    #[must_use]
    pub fn instance(&self, label: &str) -> Self {
        let plain = |c: char| if is_label(c) { c } else { '_' };
        Self(format!("{}[{}]", self.stem(), label.chars().map(plain).collect::<String>()))
    }

    /// Reads the name of a stage or of an instance.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = match text.split_once('[') {
            None => is_word(text),
            Some((stem, rest)) => {
                is_word(stem) && rest.strip_suffix(']').is_some_and(|label| label.chars().all(is_label))
            }
        };
        is_name.then(|| Self(text.to_owned()))
    }

    /// Returns the name that all instances of the stage share.
    pub fn stem(&self) -> &str {
        self.0.split('[').next().unwrap_or_default()
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of a pointer to an artifact, such as `champion/phishing`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RefName(String);

impl RefName {
    /// Checks a ref name: words joined by `/`.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.split('/').all(is_word) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{text}` is not the name of a ref: words joined by `/`, each {RULE}"))
        }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of a run: its start in UTC and four digits against collisions; later runs sort later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// Makes the name of a run that starts at `now_ms`; `salt` tells apart runs of the same millisecond.
    pub fn new(now_ms: u64, salt: u64) -> Self {
        let (year, month, day, hour, minute, second) = civil(now_ms);
        let tail = (now_ms % 1000) * 64 + salt % 64;
        Self(format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}-{tail:05}"))
    }

    /// Reads the name of a run.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        plain.then(|| Self(text.to_owned()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
