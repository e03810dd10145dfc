//! Labels as written → classes.
//!
//! How: a pipeline says by a `TargetRule` which class a label is of, by the names of classes.
//! Fitted to the labels of the training rows it is a `TargetMap`, which knows every class by its
//! number: benign ones first, then the attacks by their names, so that the order of the rows does
//! not matter.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::nearest::suggest;
use crate::frame::labels::{Classes, Labels};
use crate::frame::table::Table;
use crate::prep::error::PrepError;

/// The class of labels that training did not have, where each label is a class of its own.
pub const UNSEEN_CLASS: &str = "unseen";

/// What stands for a missing label among those that are named.
pub const MISSING_LABEL: &str = "";

/// More classes than this are told apart by no model here.
pub const MOST_CLASSES: usize = 256;

/// What becomes of labels that are not named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtherLabels {
    /// They are an error.
    Refused,
    /// They are of this class.
    Class(String),
    /// Each is a class of its own, and an attack.
    Each,
}

/// Which label means which class, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRule {
    /// Labels with the name of their class.
    pub labels: BTreeMap<String, String>,
    /// What becomes of all others.
    pub others: OtherLabels,
    /// The classes that are no attacks, in order; those that no label is of do not count.
    pub benign: Vec<String>,
}

impl TargetRule {
    /// Returns the rule of a detector that only tells whether a row is an attack.
    pub fn binary(benign: &[&str], attacks: &[&str]) -> Self {
        let [benign_class, attack_class] = Classes::BINARY.map(|(name, _)| name.to_owned());
        let of = |labels: &[&str], class: &String| -> Vec<(String, String)> {
            let pair = |label: &&str| ((*label).to_owned(), class.clone());
            labels.iter().map(pair).collect()
        };
        let mut labels = of(benign, &benign_class);
        labels.extend(of(attacks, &attack_class));
        Self {
            labels: labels.into_iter().collect(),
            others: OtherLabels::Refused,
            benign: vec![benign_class],
        }
    }

    /// Returns the map of it for the labels of training rows.
    ///
    /// # Errors
    /// There are more classes than can be told apart.
    pub fn fit(&self, target: &str, training: &[Option<String>]) -> Result<TargetMap, PrepError> {
        let mut labels = self.labels.clone();
        let mut names: BTreeSet<&str> = BTreeSet::new();
        match &self.others {
            OtherLabels::Refused => {}
            OtherLabels::Class(class) => {
                names.insert(class);
            }
            OtherLabels::Each => {
                names.insert(UNSEEN_CLASS);
                for label in training.iter().flatten() {
                    if !labels.contains_key(label) {
                        labels.insert(label.clone(), label.clone());
                    }
                }
            }
        }
        names.extend(labels.values().map(String::as_str));
        if names.len() > MOST_CLASSES {
            return Err(PrepError::TooManyClasses {
                target: target.to_owned(),
                found: names.len(),
                most: MOST_CLASSES,
            });
        }
        let benign = self
            .benign
            .iter()
            .filter(|name| names.contains(name.as_str()));
        let benign: Vec<&str> = benign.map(String::as_str).collect();
        let attacks = names.iter().filter(|name| !benign.contains(*name));
        let named = benign.iter().map(|name| (*name, false));
        let named: Vec<(&str, bool)> = named.chain(attacks.map(|name| (*name, true))).collect();
        let number = |name: &str| {
            let place = named.iter().position(|(known, _)| *known == name);
            place.expect("each class is named") as u16
        };
        let others = match &self.others {
            OtherLabels::Refused => None,
            OtherLabels::Class(class) => Some(number(class)),
            OtherLabels::Each => Some(number(UNSEEN_CLASS)),
        };
        let numbered = labels.iter();
        let numbered = numbered.map(|(label, class)| (label.clone(), number(class)));
        Ok(TargetMap {
            labels: numbered.collect(),
            others,
            classes: Classes::new(&named),
        })
    }
}

/// Which label means which class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetMap {
    /// Labels with the number of their class.
    #[serde(rename = "classes")]
    labels: BTreeMap<String, u16>,
    /// The class of every other label; if there is none, another label is an error.
    others: Option<u16>,
    /// The classes. Files of two say nothing of them.
    #[serde(
        rename = "named",
        default = "Classes::binary",
        skip_serializing_if = "Classes::is_binary"
    )]
    classes: Classes,
}

impl TargetMap {
    /// Returns the classes there are.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// Returns labels with the number of their class.
    pub fn labels(&self) -> &BTreeMap<String, u16> {
        &self.labels
    }

    /// Returns the class of every label that is not named, if such labels may be.
    pub fn others(&self) -> Option<u16> {
        self.others
    }

    /// Returns the class of a label. The empty label stands for a missing one.
    pub fn class(&self, label: Option<&str>) -> Option<u16> {
        match label {
            None => self.labels.get(MISSING_LABEL).copied(),
            Some(label) => self.labels.get(label).copied().or(self.others),
        }
    }

    /// Returns whether a label means an attack; `None` if it means nothing.
    pub fn is_attack(&self, label: Option<&str>) -> Option<bool> {
        let class = self.class(label)?;
        Some(self.classes.attacks()[usize::from(class)])
    }

    /// Maps the labels of the column `target`.
    ///
    /// # Errors
    /// The first row whose label is missing or unknown, how many there are, and what to do.
    pub fn apply(&self, target: &str, labels: &[Option<String>]) -> Result<Labels, PrepError> {
        let mut rows = Vec::with_capacity(labels.len());
        for (row, label) in labels.iter().enumerate() {
            let class = self.class(label.as_deref());
            rows.push(class.ok_or_else(|| self.unmapped(target, labels, row))?);
        }
        Ok(Labels::of_classes(self.classes.clone(), rows))
    }

    /// Says that the label of a row means nothing.
    fn unmapped(&self, target: &str, labels: &[Option<String>], row: usize) -> PrepError {
        let alike = labels.iter().filter(|other| **other == labels[row]);
        let (target, count) = (target.to_owned(), alike.count());
        let known = self.labels.keys().map(String::as_str);
        match &labels[row] {
            None => PrepError::NoLabel {
                target,
                count,
                row: row + 1,
            },
            Some(label) => PrepError::UnknownLabel {
                target,
                label: label.clone(),
                count,
                row: row + 1,
                help: suggest(label, known).unwrap_or_default(),
            },
        }
    }

    /// Returns what is wrong with it, if it was read from a file.
    pub fn fault(&self) -> Option<&'static str> {
        let classes = self.classes.names().len();
        let mut numbers = self.labels.values().chain(&self.others);
        let is_odd = self.classes.attacks().len() != classes
            || numbers.any(|number| usize::from(*number) >= classes);
        is_odd.then_some("labels of classes that are not there")
    }
}

/// Returns the labels of a table's rows as they are written. Where missing labels have a class, a
/// table without their column is one of which all are missing.
///
/// # Errors
/// There is no such column.
pub fn written_labels(
    table: &Table,
    target: &str,
    knows_missing: bool,
) -> Result<Vec<Option<String>>, PrepError> {
    if knows_missing && !table.has(target) {
        return Ok(vec![None; table.height()]);
    }
    table.texts(target).map_err(PrepError::Target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families(others: OtherLabels) -> TargetRule {
        let pair = |(label, class): (&str, &str)| (label.to_owned(), class.to_owned());
        TargetRule {
            labels: [("normal", "benign"), ("smurf", "dos"), ("nmap", "probe")]
                .map(pair)
                .into(),
            others,
            benign: vec!["benign".to_owned(), "quiet".to_owned()],
        }
    }

    fn written(labels: &[&str]) -> Vec<Option<String>> {
        labels
            .iter()
            .map(|label| Some((*label).to_owned()))
            .collect()
    }

    #[test]
    fn classes_stand_benign_first_whatever_the_rows() {
        let map = families(OtherLabels::Class("dos".to_owned()))
            .fit("y", &[])
            .unwrap();
        assert_eq!(map.classes().names(), ["benign", "dos", "probe"]);
        assert_eq!(map.classes().attacks(), [false, true, true]);
        let labels = map
            .apply("y", &written(&["nmap", "land", "normal"]))
            .unwrap();
        assert_eq!(labels.rows(), [2, 1, 0]);
    }

    #[test]
    fn a_label_of_its_own_that_training_did_not_have_is_unseen() {
        let training = written(&["worm", "normal", "back", "worm"]);
        let map = families(OtherLabels::Each).fit("y", &training).unwrap();
        let names = ["benign", "back", "dos", "probe", "unseen", "worm"];
        assert_eq!(map.classes().names(), names);
        let labels = map.apply("y", &written(&["worm", "land"])).unwrap();
        assert_eq!(labels.rows(), [5, 4]);
        assert!(labels.is_attack(1));
    }

    #[test]
    fn two_classes_are_stored_as_ever() {
        let rule = TargetRule::binary(&["0"], &["1"]);
        let map = rule.fit("y", &[]).unwrap();
        assert!(map.classes().is_binary());
        let stored = rmp_serde::to_vec_named(&map).unwrap();
        let as_ever: (&str, Option<u8>) = ("classes", None);
        let read: BTreeMap<String, serde::de::IgnoredAny> = rmp_serde::from_slice(&stored).unwrap();
        assert!(read.keys().eq([as_ever.0, "others"]), "{read:?}");
        assert_eq!(rmp_serde::from_slice::<TargetMap>(&stored).unwrap(), map);
    }

    #[test]
    fn too_many_classes_are_refused() {
        let training: Vec<Option<String>> = (0..300).map(|row| Some(row.to_string())).collect();
        let error = families(OtherLabels::Each).fit("y", &training).unwrap_err();
        assert!(error.to_string().contains("304 classes"), "{error}");
    }
}
