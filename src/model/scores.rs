//! What a model makes of rows.

use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};

use crate::frame::labels::Classes;

/// The probability of each row that it is an attack; of a model that tells more than two classes
/// apart, also that of each class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoredScores", into = "StoredScores")]
pub struct Scores {
    attack: Vec<f64>,
    by_class: Option<ClassScores>,
}

/// The probability of each class for each row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ClassScores {
    /// Of each class whether it is an attack.
    attacks: Vec<bool>,
    /// A row a row, a column a class.
    p: Array2<f64>,
}

impl ClassScores {
    fn attack(&self) -> Vec<f64> {
        let attack = |row: ndarray::ArrayView1<'_, f64>| {
            let of_attacks = row.iter().zip(&self.attacks);
            let sum: f64 = of_attacks.filter(|(_, is)| **is).map(|(p, _)| *p).sum();
            // Rounding must not make it more than certain.
            sum.min(1.0)
        };
        self.p.axis_iter(Axis(0)).map(attack).collect()
    }

    /// Shares out `attack` among the attacks of a row, and the rest among its other classes, as
    /// they were shared out before; evenly where they had nothing.
    fn share_out(&mut self, row: usize, before: f64, attack: f64) {
        let attacks = self.attacks.iter().filter(|is| **is).count() as f64;
        let others = self.attacks.len() as f64 - attacks;
        let sides = [
            (1.0 - before, 1.0 - attack, others),
            (before, attack, attacks),
        ];
        for (p, is_attack) in self.p.row_mut(row).iter_mut().zip(&self.attacks) {
            let (before, after, classes) = sides[usize::from(*is_attack)];
            *p = if before > 0.0 {
                *p / before * after
            } else {
                after / classes
            };
        }
    }
}

/// How scores are stored: of two classes the probabilities of attack alone.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredScores {
    Attack(Vec<f64>),
    ByClass(ClassScores),
}

impl From<StoredScores> for Scores {
    fn from(stored: StoredScores) -> Self {
        match stored {
            StoredScores::Attack(attack) => Self::of_attack(attack),
            StoredScores::ByClass(by_class) => Self {
                attack: by_class.attack(),
                by_class: Some(by_class),
            },
        }
    }
}

impl From<Scores> for StoredScores {
    fn from(scores: Scores) -> Self {
        match scores.by_class {
            Some(by_class) => Self::ByClass(by_class),
            None => Self::Attack(scores.attack),
        }
    }
}

impl Scores {
    /// Makes the scores of a model that only tells whether a row is an attack.
    pub fn of_attack(attack: Vec<f64>) -> Self {
        Self {
            attack,
            by_class: None,
        }
    }

    /// Makes the scores of a model that tells classes apart: a row a row, a column a class, each
    /// row of the sum 1. The probability of attack is the sum over the classes that are.
    pub fn of_classes(classes: &Classes, p: Array2<f64>) -> Self {
        let attacks = classes.attacks().to_vec();
        StoredScores::ByClass(ClassScores { attacks, p }).into()
    }

    /// Returns the probability of each row that it is an attack.
    pub fn attack(&self) -> &[f64] {
        &self.attack
    }

    /// Returns the probability of each class for each row, of a model that tells more than two
    /// apart.
    pub fn by_class(&self) -> Option<&Array2<f64>> {
        self.by_class.as_ref().map(|scores| &scores.p)
    }

    /// Returns the number of the class that each row is told to be: of a row whose probability of
    /// attack reaches the threshold the likeliest attack, of another the likeliest of the other
    /// classes; of equal ones the first.
    pub fn told_classes(&self, threshold: f64) -> Vec<u16> {
        let is_alarm = self.attack.iter().map(|p| *p >= threshold);
        let Some(by_class) = &self.by_class else {
            return is_alarm.map(u16::from).collect();
        };
        let rows = by_class.p.rows().into_iter();
        let told = |(row, is_alarm): (ndarray::ArrayView1<'_, f64>, bool)| {
            let mut best: Option<(usize, f64)> = None;
            for (class, (p, is_attack)) in row.iter().zip(&by_class.attacks).enumerate() {
                if *is_attack == is_alarm && best.is_none_or(|(_, most)| *p > most) {
                    best = Some((class, *p));
                }
            }
            best.map_or(0, |(class, _)| class as u16)
        };
        rows.zip(is_alarm).map(told).collect()
    }

    /// Returns how many rows there are.
    pub fn len(&self) -> usize {
        self.attack.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.attack.is_empty()
    }

    /// Returns the scores with the probability of attack corrected; what single classes have of it
    /// and of the rest stays in proportion.
    #[must_use]
    pub fn map_attack(&self, correct: impl Fn(f64) -> f64) -> Self {
        let attack = self.attack.iter().map(|p| correct(*p)).collect();
        self.clone().with_attack(attack)
    }

    /// Returns the same with other probabilities of attack; what single classes have of it and of
    /// the rest stays in proportion.
    #[must_use]
    pub fn with_attack(mut self, attack: Vec<f64>) -> Self {
        if let Some(by_class) = &mut self.by_class {
            for (row, after) in attack.iter().enumerate() {
                by_class.share_out(row, self.attack[row], *after);
            }
        }
        self.attack = attack;
        self
    }

    /// Returns the mean of what several models make of the same rows; there is one.
    pub fn mean(all: &[Self]) -> Self {
        let over = 1.0 / all.len() as f64;
        let by_class: Option<Vec<&ClassScores>> =
            all.iter().map(|scores| scores.by_class.as_ref()).collect();
        if let Some(parts) = by_class {
            let mut p = parts[0].p.clone();
            parts[1..].iter().for_each(|part| p += &part.p);
            let attacks = parts[0].attacks.clone();
            return StoredScores::ByClass(ClassScores {
                attacks,
                p: p * over,
            })
            .into();
        }
        let sum = |row: usize| all.iter().map(|scores| scores.attack[row]).sum::<f64>();
        let attack = (0..all[0].len()).map(|row| (sum(row) * over).min(1.0));
        Self::of_attack(attack.collect())
    }

    /// Puts scores of the same classes one below the other.
    pub fn stacked(all: &[Self]) -> Self {
        let attack = all.iter().flat_map(|scores| &scores.attack).copied();
        let by_class: Option<Vec<&ClassScores>> =
            all.iter().map(|scores| scores.by_class.as_ref()).collect();
        let by_class = by_class.filter(|parts| !parts.is_empty()).map(|parts| {
            let views: Vec<_> = parts.iter().map(|scores| scores.p.view()).collect();
            ClassScores {
                attacks: parts[0].attacks.clone(),
                p: ndarray::concatenate(Axis(0), &views).expect("as many classes in each"),
            }
        });
        Self {
            attack: attack.collect(),
            by_class,
        }
    }

    /// Returns the scores of some rows, in their order.
    pub fn select(&self, rows: &[usize]) -> Self {
        let by_class = self.by_class.as_ref().map(|scores| ClassScores {
            attacks: scores.attacks.clone(),
            p: scores.p.select(Axis(0), rows),
        });
        Self {
            attack: rows.iter().map(|row| self.attack[*row]).collect(),
            by_class,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn classes() -> Classes {
        Classes::new(&[("benign", false), ("dos", true), ("scan", true)])
    }

    #[test]
    fn attack_is_the_sum_over_the_attacks() {
        let scores = Scores::of_classes(&classes(), array![[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]);
        assert_eq!(scores.attack(), [0.5, 0.0]);
        let corrected = scores.map_attack(|p| if p > 0.0 { 0.75 } else { 0.5 });
        assert_eq!(corrected.attack(), [0.75, 0.5]);
        let expected = array![[0.25, 0.375, 0.375], [0.5, 0.25, 0.25]];
        assert_eq!(corrected.by_class(), Some(&expected));
    }

    #[test]
    fn an_alarm_is_told_the_likeliest_attack() {
        let p = array![[0.5, 0.2, 0.3], [0.6, 0.25, 0.15], [0.1, 0.45, 0.45]];
        let scores = Scores::of_classes(&classes(), p);
        assert_eq!(scores.told_classes(0.5), [2, 0, 1]);
        assert_eq!(scores.told_classes(0.4), [2, 1, 1]);
        assert_eq!(Scores::of_attack(vec![0.5, 0.4]).told_classes(0.5), [1, 0]);
    }

    #[test]
    fn rows_are_stacked_and_selected_with_their_classes() {
        let one = Scores::of_classes(&classes(), array![[0.5, 0.5, 0.0]]);
        let two = Scores::of_classes(&classes(), array![[0.0, 0.25, 0.75]]);
        let both = Scores::stacked(&[one.clone(), two.clone()]);
        assert_eq!((both.select(&[1]), both.select(&[0])), (two, one));
        let binary = Scores::of_attack(vec![0.1, 0.2]);
        let stacked = Scores::stacked(&[binary.clone(), binary]);
        assert_eq!(stacked.select(&[3, 0]).attack(), [0.2, 0.1]);
    }

    #[test]
    fn two_classes_are_stored_as_the_probabilities_of_attack() {
        let binary = Scores::of_attack(vec![0.25, 1.0]);
        let bytes = rmp_serde::to_vec(&binary).expect("plain data serialises");
        assert_eq!(bytes, rmp_serde::to_vec(&[0.25, 1.0]).expect("plain data"));
        let several = Scores::of_classes(&classes(), array![[0.5, 0.5, 0.0]]);
        for scores in [binary, several] {
            let bytes = rmp_serde::to_vec(&scores).expect("plain data serialises");
            let read: Scores = rmp_serde::from_slice(&bytes).expect("it was just written");
            assert_eq!(read, scores);
        }
    }
}
