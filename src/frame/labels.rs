//! Which class every row is of.

use serde::{Deserialize, Serialize};

/// The classes that a detector tells apart, in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classes {
    names: Vec<String>,
    attacks: Vec<bool>,
}

impl Classes {
    /// The two classes of a detector that only tells whether a row is an attack.
    pub const BINARY: [(&'static str, bool); 2] = [("benign", false), ("attack", true)];

    /// Makes classes of their names, each with whether it is an attack.
    pub fn new(named: &[(&str, bool)]) -> Self {
        Self {
            names: named.iter().map(|(name, _)| (*name).to_owned()).collect(),
            attacks: named.iter().map(|(_, is_attack)| *is_attack).collect(),
        }
    }

    /// Returns the two classes of a detector that only tells whether a row is an attack: `benign`,
    /// number 0, and `attack`, number 1.
    pub fn binary() -> Self {
        Self::new(&Self::BINARY)
    }

    /// Returns whether they are a benign class, number 0, and an attack, number 1, whatever their
    /// names: who tells the attack knows both.
    pub fn are_two_sides(&self) -> bool {
        self.attacks == [false, true]
    }

    /// Returns whether they are those two of a detector that only tells whether a row is an attack.
    pub fn is_binary(&self) -> bool {
        *self == Self::binary()
    }

    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// Returns their names, in the order of their numbers.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the names of those that are attacks.
    pub fn attack_names(&self) -> Vec<&String> {
        let attacks = self.names.iter().zip(&self.attacks);
        attacks
            .filter(|(_, is)| **is)
            .map(|(name, _)| name)
            .collect()
    }

    /// Returns of each whether it is an attack.
    pub fn attacks(&self) -> &[bool] {
        &self.attacks
    }
}

/// The class of each row, by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    classes: Classes,
    rows: Vec<u16>,
}

/// A number that is none of a class.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the label in row {row} is {number}, not {}", self.expected())]
pub struct LabelError {
    /// The row, from one.
    pub row: usize,
    /// What stands there.
    pub number: f64,
    /// How many classes there are.
    pub classes: usize,
}

impl LabelError {
    fn expected(&self) -> String {
        match self.classes {
            2 => "0 or 1".to_owned(),
            classes => format!("a whole number from 0 to {}", classes.saturating_sub(1)),
        }
    }
}

impl Labels {
    /// Makes the labels of rows that are attacks or are not.
    pub fn of_attacks(rows: impl IntoIterator<Item = bool>) -> Self {
        Self {
            classes: Classes::binary(),
            rows: rows.into_iter().map(u16::from).collect(),
        }
    }

    /// Makes the labels of rows of these classes; each number is one of them.
    pub(crate) fn of_classes(classes: Classes, rows: Vec<u16>) -> Self {
        Self { classes, rows }
    }

    /// Makes the labels of rows from the numbers of their classes.
    ///
    /// # Errors
    /// The first number that is none of a class.
    pub fn of_numbers(
        classes: Classes,
        numbers: impl IntoIterator<Item = f64>,
    ) -> Result<Self, LabelError> {
        let count = classes.names.len();
        let class = |(row, number): (usize, f64)| {
            let class = number as u16;
            let is_class = f64::from(class) == number && usize::from(class) < count;
            is_class.then_some(class).ok_or(LabelError {
                row: row + 1,
                number,
                classes: count,
            })
        };
        let rows = numbers.into_iter().enumerate().map(class);
        let rows = rows.collect::<Result<_, _>>()?;
        Ok(Self { classes, rows })
    }

    /// Returns the classes there are.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// Returns how many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the class of each row.
    pub fn rows(&self) -> &[u16] {
        &self.rows
    }

    /// Returns the class of a row.
    pub fn class(&self, row: usize) -> u16 {
        self.rows[row]
    }

    /// Returns whether a row is an attack.
    pub fn is_attack(&self, row: usize) -> bool {
        self.classes.attacks[usize::from(self.rows[row])]
    }

    /// Returns how many rows are attacks.
    pub fn attacks(&self) -> usize {
        (0..self.len()).filter(|row| self.is_attack(*row)).count()
    }

    /// Returns how many rows are none.
    pub fn benign(&self) -> usize {
        self.len() - self.attacks()
    }

    /// Returns how many rows are of each class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.count()];
        for class in &self.rows {
            counts[usize::from(*class)] += 1;
        }
        counts
    }

    /// Returns the classes that have rows, in order.
    pub fn present(&self) -> Vec<u16> {
        let counts = self.counts();
        let classes = 0..counts.len() as u16;
        classes
            .filter(|class| counts[usize::from(*class)] > 0)
            .collect()
    }

    /// Tells how many rows are of each class, where there are more than two.
    pub fn tell_classes(&self) -> String {
        if self.classes.count() <= 2 {
            return String::new();
        }
        let named = self.classes.names.iter().zip(self.counts());
        let each: Vec<String> = named.map(|(name, rows)| format!("{name} {rows}")).collect();
        format!(" ({})", each.join(", "))
    }

    /// Returns what a binary learner is fitted to: 1 of an attack, 0 of another row.
    pub fn targets(&self) -> Vec<f64> {
        let target = |row| f64::from(u8::from(self.is_attack(row)));
        (0..self.len()).map(target).collect()
    }

    /// Returns the labels of some rows, in their order.
    pub fn select(&self, rows: &[u32]) -> Self {
        let class = |row: &u32| self.rows[*row as usize];
        Self {
            classes: self.classes.clone(),
            rows: rows.iter().map(class).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_classes_may_be_attacks() {
        let classes = Classes::new(&[("benign", false), ("dos", true), ("scan", true)]);
        let labels = Labels::of_numbers(classes, [0.0, 2.0, 1.0, 0.0]).expect("classes");
        assert_eq!((labels.attacks(), labels.benign()), (2, 2));
        assert_eq!(labels.targets(), [0.0, 1.0, 1.0, 0.0]);
        assert_eq!(labels.select(&[2, 2, 0]).rows(), [1, 1, 0]);
    }

    #[test]
    fn what_is_no_class_is_named_with_its_row() {
        let error = |number| {
            let labels = Labels::of_numbers(Classes::binary(), [1.0, number]);
            labels.expect_err("not a class").to_string()
        };
        assert_eq!(error(2.0), "the label in row 2 is 2, not 0 or 1");
        assert_eq!(error(0.5), "the label in row 2 is 0.5, not 0 or 1");
        assert_eq!(error(-1.0), "the label in row 2 is -1, not 0 or 1");
        assert_eq!(error(f64::NAN), "the label in row 2 is NaN, not 0 or 1");
    }
}
