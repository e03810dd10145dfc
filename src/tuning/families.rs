//! The families that attacks belong to.

use crate::model::data::TrainingSet;

/// The family of each row; none of benign rows, and of attacks that belong to none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Families {
    /// The column of the input `rows` that names them; none if they are the classes.
    pub(crate) column: Option<String>,
    /// Their names, in order.
    pub(crate) names: Vec<String>,
    /// Of each row the place of its family among them.
    pub(crate) of: Vec<Option<u16>>,
}

impl Families {
    /// Takes the names of the families of rows; those of benign rows do not count.
    pub(crate) fn new(
        data: &TrainingSet,
        column: Option<String>,
        family_of: &[Option<String>],
    ) -> Self {
        let is_attack = |row: usize| data.labels.is_attack(row);
        let named = family_of.iter().enumerate();
        let named = named.filter_map(|(row, name)| name.as_ref().filter(|_| is_attack(row)));
        let mut names: Vec<String> = named.cloned().collect();
        names.sort_unstable();
        names.dedup();
        let place = |(row, name): (usize, &Option<String>)| {
            let name = name.as_ref().filter(|_| is_attack(row))?;
            names.binary_search(name).ok().map(|place| place as u16)
        };
        let of = family_of.iter().enumerate().map(place).collect();
        Self { column, names, of }
    }
}
