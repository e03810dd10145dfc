//! Capacity: what there is of the machine for stages that run at once, and how much of it is taken.

use std::collections::BTreeMap;

/// Amounts by name. What has no entry is without limit.
#[derive(Clone, Debug, Default)]
pub struct Capacity {
    free: BTreeMap<String, u64>,
    whole: BTreeMap<String, u64>,
}

impl Capacity {
    /// Makes a capacity of which nothing is taken.
    pub fn new(whole: BTreeMap<String, u64>) -> Self {
        Self {
            free: whole.clone(),
            whole,
        }
    }

    /// Returns whether all of these amounts are free. One that is larger than the whole counts as
    /// the whole, so that every stage can run at some time.
    pub fn fits(&self, amounts: &BTreeMap<String, u64>) -> bool {
        amounts.iter().all(|(name, amount)| {
            let free = self.free.get(name);
            free.is_none_or(|free| *free >= (*amount).min(self.whole[name]))
        })
    }

    /// Takes amounts that fit.
    pub fn take(&mut self, amounts: &BTreeMap<String, u64>) {
        self.change(amounts, u64::saturating_sub);
    }

    /// Gives amounts back that were taken.
    pub fn give(&mut self, amounts: &BTreeMap<String, u64>) {
        self.change(amounts, u64::saturating_add);
    }

    fn change(&mut self, amounts: &BTreeMap<String, u64>, change: fn(u64, u64) -> u64) {
        for (name, amount) in amounts {
            if let Some(free) = self.free.get_mut(name) {
                *free = change(*free, (*amount).min(self.whole[name]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back_and_the_whole_is_enough_for_anything() {
        let amounts = |gpu: u64| BTreeMap::from([("gpu".to_owned(), gpu), ("other".to_owned(), 9)]);
        let mut capacity = Capacity::new(BTreeMap::from([("gpu".to_owned(), 2)]));
        capacity.take(&amounts(1));
        assert!(capacity.fits(&amounts(1)));
        capacity.take(&amounts(1));
        assert!(!capacity.fits(&amounts(1)));
        capacity.give(&amounts(1));
        assert!(capacity.fits(&amounts(1)));
        capacity.give(&amounts(1));
        assert!(capacity.fits(&amounts(100)));
        capacity.take(&amounts(100));
        assert!(!capacity.fits(&amounts(1)));
    }
}
