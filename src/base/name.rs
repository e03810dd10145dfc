//! Checked names: StageId, RefName, RunId.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::clock::{civil, ms_of};

const RULE: &str = "a letter, then letters, digits, `_` or `-`, 64 at most";

fn is_word(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
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
    if is_word(text) {
        Ok(())
    } else {
        Err(format!("`{text}` is not a name: {RULE}"))
    }
}

/// Names as they stand in a sentence: each in backticks, with commas between them.
pub fn in_backticks<N: fmt::Display>(names: impl IntoIterator<Item = N>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// The name of a stage within its pipeline: a word, and for one of several instances of a stage
/// what tells it apart, as in `train[rate=0.1,depth=6]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
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
        Self(format!(
            "{}[{}]",
            self.stem(),
            label.chars().map(plain).collect::<String>()
        ))
    }

    /// Reads the name of a stage or of an instance.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = match text.split_once('[') {
            None => is_word(text),
            Some((stem, rest)) => {
                is_word(stem)
                    && rest
                        .strip_suffix(']')
                        .is_some_and(|label| label.chars().all(is_label))
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
#[serde(into = "String", try_from = "String")]
pub struct RefName(String);

impl RefName {
    /// Checks a ref name: words joined by `/`.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.split('/').all(is_word) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "`{text}` is not the name of a ref: words joined by `/`, each {RULE}"
            ))
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

/// The name of a run: its start in UTC and five digits against collisions, as in
/// `20261122-101403-01234`; later runs sort later. Every name is of the same form and length, so
/// that the order of the texts is the order of the runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RunId(String);

/// The first instant that no run is named after, in milliseconds since the Unix epoch: the year
/// 9000. A clock or a file name beyond it is wrong.
const NEVER_MS: u64 = 221_845_392_000_000;
/// How far a run's name is moved on when the clock stands before the latest run.
const STEP_MS: u64 = 60_000;
/// How many runs of one millisecond have names of their own.
const SALTS: u64 = 64;

impl RunId {
    /// Makes the name of a run that starts at `now_ms`; `salt` tells apart runs of the same
    /// millisecond. A clock beyond the year 8999 counts as its end.
    pub fn new(now_ms: u64, salt: u64) -> Self {
        let now_ms = now_ms.min(NEVER_MS - 1);
        let (year, month, day, hour, minute, second) = civil(now_ms);
        let tail = (now_ms % 1000) * SALTS + salt % SALTS;
        Self(format!(
            "{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}-{tail:05}"
        ))
    }

    /// Makes the name of a run that starts at `now_ms` and comes after `latest`, whatever the clock
    /// says; `None` if no later name is left.
    pub fn after(latest: Option<&Self>, now_ms: u64, salt: u64) -> Option<Self> {
        let now = Self::new(now_ms, salt);
        let Some(latest) = latest.filter(|latest| **latest >= now) else {
            return Some(now);
        };
        let next_ms = latest.started_ms() + STEP_MS;
        (next_ms < NEVER_MS).then(|| Self::new(next_ms, salt))
    }

    /// Reads the name of a run.
    pub fn parse(text: &str) -> Option<Self> {
        let name = Self(text.to_owned());
        let is_shaped = text.len() == 21
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 15 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        // A name that says what it is made of again: no thirteenth month, no year that cannot be.
        (is_shaped && Self::new(name.started_ms(), name.tail() % SALTS) == name).then_some(name)
    }

    /// Returns when the run began, as its name tells, in milliseconds since the Unix epoch.
    fn started_ms(&self) -> u64 {
        let number = |from: usize, to: usize| self.0[from..to].parse::<u64>().unwrap_or_default();
        let seconds_ms = ms_of(
            (number(0, 4), number(4, 6), number(6, 8)),
            (number(9, 11), number(11, 13), number(13, 15)),
        );
        seconds_ms + self.tail() / SALTS
    }

    fn tail(&self) -> u64 {
        self.0[16..].parse().unwrap_or_default()
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is stored is read as strictly as what is typed: a name from a file that somebody else made
/// is no path.
macro_rules! stored_as_text {
    ($name:ident, $parse:expr) => {
        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                $parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

fn or_refuse<N>(name: Option<N>, what: &str, text: &str) -> Result<N, String> {
    name.ok_or_else(|| format!("{text:?} is not the name of a {what}"))
}

stored_as_text!(StageId, |text: &str| or_refuse(
    StageId::parse(text),
    "stage",
    text
));
stored_as_text!(RefName, RefName::new);
stored_as_text!(RunId, |text: &str| or_refuse(
    RunId::parse(text),
    "run",
    text
));

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_a_run_is_read_as_one() {
        assert!(RunId::parse("20261122-101403-01234").is_some());
        for odd in [
            "../../x",
            "",
            "-",
            "20261122-101403-1234",
            "120261122-101403-01234",
            "20261322-101403-00000",
            "20260230-101403-00000",
            "99991231-235959-00000",
            "20261122-101403-64000",
            "20261122-101403\x1b0000",
        ] {
            assert!(RunId::parse(odd).is_none(), "{odd}");
            assert!(
                serde_json::from_value::<RunId>(odd.into()).is_err(),
                "{odd}"
            );
        }
        assert!(serde_json::from_str::<StageId>("\"../a\"").is_err());
        assert!(serde_json::from_str::<RefName>("\"a/../b\"").is_err());
    }

    #[test]
    fn a_name_comes_after_the_latest_in_every_year() {
        for ms in (0..NEVER_MS + 10_000_000_000_000).step_by(86_399_999_983) {
            let latest = RunId::new(ms, 7);
            assert_eq!(RunId::parse(latest.as_str()).as_ref(), Some(&latest));
            for now in [0, ms.saturating_sub(1), ms, ms + 1, u64::MAX] {
                match RunId::after(Some(&latest), now, 3) {
                    Some(next) => assert!(next > latest && RunId::parse(next.as_str()).is_some()),
                    None => assert!(ms + STEP_MS >= NEVER_MS),
                }
            }
        }
    }
}
