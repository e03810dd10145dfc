//! Which labels of a target are benign, which are attacks and which say nothing: as told, or as
//! they are called, never guessed in silence.

use std::collections::BTreeMap;

use crate::profile::infer::quote;
use crate::profile::labels::is_called_benign;
use crate::scaffold::error::ScaffoldError;

/// More labels are not those of a target.
const MOST: usize = 200;
/// With fewer rows of a class no model is chosen: a fifth goes to `test`, and `train` asks for 20.
const FEW: u64 = 50;
/// How many labels a message names.
const SHOWN: usize = 8;
/// What labels hold that say no more than that nobody looked.
const UNKNOWN: [&str; 6] = [
    "background",
    "unknown",
    "unlabeled",
    "unlabelled",
    "n/a",
    "not labeled",
];

/// What was said about labels: names, in which `*` stands for anything; the empty name is that of
/// rows without a label.
#[derive(Clone, Debug, Default)]
pub(crate) struct SaidLabels {
    pub(crate) benign: Vec<String>,
    pub(crate) unknown: Vec<String>,
}

/// What the labels of a target mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelMeaning {
    pub(crate) benign: Vec<String>,
    pub(crate) attacks: Vec<String>,
    /// Labels that count as none.
    pub(crate) unknown: Vec<String>,
    /// Whether rows without a label are benign.
    pub(crate) empty_is_benign: bool,
    /// Rows without a label, or with one that counts as none.
    pub(crate) unlabelled: u64,
    pub(crate) attack_rows: u64,
    pub(crate) benign_rows: u64,
    pub(crate) notes: Vec<String>,
}

impl LabelMeaning {
    /// The map of `transform`.
    pub(crate) fn map(&self) -> String {
        let empty = self.empty_is_benign.then(|| "\"\": 0".to_owned());
        let zeros = self
            .benign
            .iter()
            .map(|label| format!("{}: 0", quote(label)));
        let ones = self
            .attacks
            .iter()
            .filter(|_| !self.has_others())
            .map(|label| format!("{}: 1", quote(label)));
        let all: Vec<String> = empty.into_iter().chain(zeros).chain(ones).collect();
        format!("{{{}}}", all.join(", "))
    }

    /// Whether attacks are every label that is not named.
    pub(crate) fn has_others(&self) -> bool {
        self.attacks.len() > 1
    }

    /// Returns whether a label is an attack.
    pub(crate) fn is_attack(&self, label: &str) -> bool {
        self.attacks.iter().any(|attack| attack == label)
    }

    /// Returns the share of attacks among the rows with a label.
    pub(crate) fn attack_share(&self) -> f64 {
        self.attack_rows as f64 / (self.attack_rows + self.benign_rows).max(1) as f64
    }
}

/// Says what the labels of a target mean; `counts` are the labels with their rows, `missing` the
/// rows without one.
///
/// # Errors
/// It is not told which are benign, or a name that was said is none of them: what there is, and
/// what to say.
pub(crate) fn labels(
    target: &str,
    counts: &BTreeMap<String, u64>,
    missing: u64,
    said: &SaidLabels,
) -> Result<LabelMeaning, ScaffoldError> {
    let all: Vec<&String> = counts.keys().collect();
    if all.len() > MOST && said.benign.is_empty() {
        return Err(ScaffoldError::Labels(format!(
            "the target `{target}` has {} labels ({}): {OTHER}",
            all.len(),
            listed(counts, all.iter().copied())
        )));
    }
    for (word, names) in [("benign", &said.benign), ("unknown", &said.unknown)] {
        if let Some(name) = names
            .iter()
            .find(|name| !name.is_empty() && !all.iter().any(|label| matches(name, label)))
        {
            return Err(ScaffoldError::Labels(format!(
                "--{word}: no label of `{target}` is `{name}`; there are {}",
                listed(counts, all.iter().copied())
            )));
        }
    }
    let is_said = |names: &[String], label: &str| {
        names
            .iter()
            .any(|name| !name.is_empty() && matches(name, label))
    };
    let (unknown, known): (Vec<&String>, Vec<&String>) =
        all.iter().partition(|label| is_said(&said.unknown, label));
    let empty_is_benign = said.benign.iter().any(String::is_empty);
    if known.len() + usize::from(empty_is_benign) < 2 {
        let empty = if missing > 0 {
            missing_labels(target, missing)
        } else {
            String::new()
        };
        let only = known.first().map_or("no label".to_owned(), |label| {
            format!("the label `{label}` alone")
        });
        return Err(ScaffoldError::Labels(format!(
            "the target `{target}` has {only}: bring rows of the other class too, or {OTHER}{empty}"
        )));
    }
    let doubtful: Vec<&String> = known
        .iter()
        .copied()
        .filter(|label| {
            !is_said(&said.benign, label)
                && UNKNOWN
                    .iter()
                    .any(|word| label.to_lowercase().contains(word))
        })
        .collect();
    if !doubtful.is_empty() {
        return Err(ScaffoldError::Labels(format!(
            "labels of `{target}` that do not say whether it was an attack: {}. Say which rows are left out (`--unknown NAME`) and \
             which are benign (`--benign NAME`); `*` stands for anything, as in `--unknown '*{}*'`",
            listed(counts, doubtful.iter().copied()),
            UNKNOWN
                .iter()
                .find(|word| doubtful[0].to_lowercase().contains(**word))
                .map_or("", |word| capital(doubtful[0], word)),
        )));
    }
    let benign: Vec<&String> = match said.benign.is_empty() {
        false => known
            .iter()
            .copied()
            .filter(|label| is_said(&said.benign, label))
            .collect(),
        true => presumed(target, counts, &known, missing)?,
    };
    let attacks: Vec<&String> = known
        .iter()
        .copied()
        .filter(|label| !benign.contains(label))
        .collect();
    if attacks.is_empty() {
        return Err(ScaffoldError::Labels(format!(
            "every label of `{target}` is benign: name fewer with `--benign`"
        )));
    }
    if benign.is_empty() && !empty_is_benign {
        return Err(ScaffoldError::Labels(format!(
            "no label of `{target}` is benign: {}",
            say_which(counts, &known)
        )));
    }
    let rows = |labels: &[&String]| labels.iter().map(|label| counts[*label]).sum::<u64>();
    let own = |labels: &[&String]| {
        labels
            .iter()
            .map(|label| (*label).clone())
            .collect::<Vec<String>>()
    };
    let (empty_benign, empty_unlabelled) = if empty_is_benign {
        (missing, 0)
    } else {
        (0, missing)
    };
    let mut found = LabelMeaning {
        attack_rows: rows(&attacks),
        benign_rows: rows(&benign) + empty_benign,
        unlabelled: rows(&unknown) + empty_unlabelled,
        benign: own(&benign),
        attacks: own(&attacks),
        unknown: own(&unknown),
        empty_is_benign,
        notes: Vec::new(),
    };
    found.notes = notes(target, counts, &found, said.benign.is_empty());
    Ok(found)
}

/// Says what labels were taken for; `is_presumed` if nobody said it.
fn notes(
    target: &str,
    counts: &BTreeMap<String, u64>,
    found: &LabelMeaning,
    is_presumed: bool,
) -> Vec<String> {
    let benign = listed(counts, found.benign.iter());
    let benign = match found.empty_is_benign {
        true if found.benign.is_empty() => "those without a label".to_owned(),
        true => format!("those without a label, {benign}"),
        false => benign,
    };
    let benign_rows = found.benign_rows;
    let attack_rows = found.attack_rows;
    let attacks = listed(counts, found.attacks.iter());
    let mut notes = vec![
        format!("the target is `{target}`: {benign_rows} rows are benign (0): {benign}"),
        format!("{attack_rows} rows are attacks (1): {attacks}"),
    ];
    if found.unlabelled > 0 {
        let or_nothing = if found.unknown.is_empty() {
            ""
        } else {
            ", or one that says nothing"
        };
        notes.push(format!(
            "{} rows are left out: they have no label{or_nothing}",
            found.unlabelled
        ));
    }
    if let ([one], [other], true) = (
        found.benign.as_slice(),
        found.attacks.as_slice(),
        is_presumed,
    ) && one == "-1"
    {
        notes.push(format!("if it is the other way round: `--benign {other}`"));
    }
    let rarer = attack_rows.min(benign_rows);
    if rarer < FEW {
        let what = if attack_rows < benign_rows {
            "attacks"
        } else {
            "benign rows"
        };
        notes.push(format!(
            "only {rarer} {what}: a run will say that they are too few; bring more of them"
        ));
    }
    notes
}

const OTHER: &str = "name another column with `--target`";

/// The labels that are benign by what they are called.
fn presumed<'a>(
    target: &str,
    counts: &BTreeMap<String, u64>,
    known: &[&'a String],
    missing: u64,
) -> Result<Vec<&'a String>, ScaffoldError> {
    // `is_benign: 1` is benign.
    let asks_for_benign = ["benign", "legit", "normal"]
        .iter()
        .any(|word| target.to_lowercase().contains(word));
    let called: Vec<&String> = known
        .iter()
        .copied()
        .filter(|label| is_called_benign(label))
        .collect();
    match (called.len(), known) {
        (1, [first, second]) if asks_for_benign && called[0] == *first => Ok(vec![*second]),
        (1, [first, _]) if asks_for_benign => Ok(vec![*first]),
        (0, _) => {
            let empty = if missing > 0 {
                missing_labels(target, missing)
            } else {
                String::new()
            };
            Err(ScaffoldError::Labels(format!(
                "no label of `{target}` is called benign: {}{empty}",
                say_which(counts, known)
            )))
        }
        (count, _) if count == known.len() => Err(ScaffoldError::Labels(format!(
            "every label of `{target}` is called benign: {}",
            say_which(counts, known)
        ))),
        _ => Ok(called),
    }
}

fn say_which(counts: &BTreeMap<String, u64>, known: &[&String]) -> String {
    let hint = known.iter().find(|label| {
        let lower = label.to_lowercase();
        ["normal", "benign", "legit", "allow"]
            .iter()
            .any(|word| lower.contains(word))
    });
    let example = hint.map_or("NAME", |label| label.as_str());
    format!(
        "say which are with `--benign '{example}'` (several times for several; all others are attacks), or {OTHER}; there are {}",
        listed(counts, known.iter().copied())
    )
}

fn missing_labels(target: &str, missing: u64) -> String {
    format!("; {missing} rows have no `{target}` at all: `--benign ''` if that means benign")
}

/// Labels with their rows, the most frequent first.
fn listed<'a>(counts: &BTreeMap<String, u64>, labels: impl Iterator<Item = &'a String>) -> String {
    let mut labels: Vec<&String> = labels.collect();
    labels.sort_by_key(|label| (std::cmp::Reverse(counts[*label]), *label));
    let shown: Vec<String> = labels
        .iter()
        .take(SHOWN)
        .map(|label| format!("`{label}` {}", counts[*label]))
        .collect();
    let more = if labels.len() > SHOWN {
        format!(" and {} more", labels.len() - SHOWN)
    } else {
        String::new()
    };
    format!("{}{more}", shown.join(", "))
}

/// A word of a label as it is written there.
fn capital<'a>(label: &'a str, word: &str) -> &'a str {
    let at = label.to_lowercase().find(word).unwrap_or_default();
    label.get(at..at + word.len()).unwrap_or_default()
}

/// Whether a name, in which `*` stands for anything, describes a label. Blanks around it and the
/// case do not matter.
fn matches(name: &str, label: &str) -> bool {
    let (name, label) = (name.trim().to_lowercase(), label.trim().to_lowercase());
    let (name, label) = (name.as_str(), label.as_str());
    let parts: Vec<&str> = name.split('*').collect();
    let [first, middle @ .., last] = parts.as_slice() else {
        return name == label;
    };
    let Some(mut rest) = label.strip_prefix(first) else {
        return false;
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        assert!(matches("flow=*Background*", "flow=To-Background-UDP") && matches("a", " a "));
        assert!(!matches("a*", "ba") && !matches("a*b", "a") && !matches("a", "ab"));
        assert!(matches("*", "x") && matches("a*a", "aa") && !matches("ab*ba", "aba"));
    }

    #[test]
    fn what_is_not_told_is_asked() {
        let of = |labels: &[(&str, u64)], missing, benign: &[&str], unknown: &[&str]| {
            let counts = labels
                .iter()
                .map(|(label, count)| ((*label).to_owned(), *count))
                .collect();
            let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            labels_of(
                "y",
                &counts,
                missing,
                &SaidLabels {
                    benign: own(benign),
                    unknown: own(unknown),
                },
            )
        };
        let labels_of_two = of(&[("attack", 3), ("normal", 9)], 2, &[], &[]).unwrap();
        assert_eq!(
            (labels_of_two.map().as_str(), labels_of_two.unlabelled),
            ("{normal: 0, attack: 1}", 2)
        );
        assert!(
            of(&[("dos", 3), ("scan", 9)], 7, &[], &[])
                .unwrap_err()
                .to_string()
                .contains("`--benign ''`")
        );
        let empty = of(&[("dos", 3), ("scan", 9)], 7, &[""], &[]).unwrap();
        assert_eq!((empty.map().as_str(), empty.benign_rows), ("{\"\": 0}", 7));
        let ctu = [
            ("flow=Background-UDP", 9),
            ("flow=From-Normal", 4),
            ("flow=From-Botnet", 2),
        ];
        assert!(
            of(&ctu, 0, &[], &[])
                .unwrap_err()
                .to_string()
                .contains("`--unknown '*Background*'`")
        );
        assert!(
            of(&ctu, 0, &[], &["*Background*"])
                .unwrap_err()
                .to_string()
                .contains("`--benign 'flow=From-Normal'`")
        );
        let told = of(&ctu, 0, &["*Normal"], &["*Background*"]).unwrap();
        assert_eq!(
            (told.unlabelled, told.attacks.len(), told.benign_rows),
            (9, 1, 4)
        );
    }

    use super::labels as labels_of;
}
