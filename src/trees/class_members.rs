//! Rows of several classes by group.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;

use crate::stats::draws::{WeightedUrn, below};
use crate::trees::bin_code::BinCode;
use crate::trees::bins::BinnedRows;

/// Rows of one group and one class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassMember {
    /// Their group.
    pub group: u32,
    /// Their class.
    pub class: u16,
    /// How many they are.
    pub n: u32,
    /// How much one of them counts, in the mean.
    counting: f64,
    /// What they weigh together.
    pub weight: f64,
}

/// The rows that trees of several classes are grown from: by group, then by class.
#[derive(Clone, Debug)]
pub struct ClassMembers {
    /// The rows.
    pub members: Vec<ClassMember>,
    /// What a row of each class weighs.
    weight: Vec<f64>,
}

impl ClassMembers {
    /// Counts rows by group and class; a row that is named twice counts twice. `weight` is that of
    /// a row of each class.
    pub fn of<C: BinCode>(
        bins: &BinnedRows<C>,
        classes: &[u16],
        rows: &[u32],
        weight: Vec<f64>,
    ) -> Self {
        let key = |row: &u32| (bins.group[*row as usize], classes[*row as usize]);
        let mut keys: Vec<(u32, u16)> = rows.iter().map(key).collect();
        keys.sort_unstable();
        let member = |same: &[(u32, u16)]| {
            let ((group, class), n) = (same[0], same.len() as u32);
            ClassMember {
                group,
                class,
                n,
                counting: 1.0,
                weight: f64::from(n) * weight[usize::from(class)],
            }
        };
        let members = keys.chunk_by(|a, b| a == b).map(member).collect();
        Self { members, weight }
    }

    /// Lets rows count differently: as much as `counts` says, row by row; where it is empty, all count
    /// the same. Rows of one group and one class are one to a tree, and count as much as they do
    /// together.
    #[must_use]
    pub fn counting<C: BinCode>(
        mut self,
        bins: &BinnedRows<C>,
        classes: &[u16],
        rows: &[u32],
        counts: &[f64],
    ) -> Self {
        if counts.is_empty() {
            return self;
        }
        let places = self.members.iter().zip(0_usize..);
        let places: BTreeMap<(u32, u16), usize> = places
            .map(|(member, at)| ((member.group, member.class), at))
            .collect();
        let mut sums = vec![0.0; self.members.len()];
        for (row, count) in rows.iter().zip(counts) {
            let key = (bins.group[*row as usize], classes[*row as usize]);
            sums[places[&key]] += count;
        }
        for (member, sum) in self.members.iter_mut().zip(sums) {
            member.weight = sum * self.weight[usize::from(member.class)];
            member.counting = sum / f64::from(member.n);
        }
        self
    }

    /// Returns how many classes there are, with those that have no rows.
    pub fn classes(&self) -> usize {
        self.weight.len()
    }

    /// Returns what a row of each class weighs.
    pub fn row_weights(&self) -> &[f64] {
        &self.weight
    }

    /// Returns what the rows of each class weigh.
    pub fn class_weights(&self) -> Vec<f64> {
        let mut weights = vec![0.0; self.classes()];
        for member in &self.members {
            weights[usize::from(member.class)] += member.weight;
        }
        weights
    }

    /// Returns the classes that have rows, in order.
    pub fn told(&self) -> Vec<u16> {
        let weights = self.class_weights();
        let classes = 0..weights.len() as u16;
        classes
            .filter(|class| weights[usize::from(*class)] > 0.0)
            .collect()
    }

    fn with(&self, member: ClassMember, n: u32) -> Option<ClassMember> {
        let weight = f64::from(n) * self.weight[usize::from(member.class)] * member.counting;
        (n > 0).then_some(ClassMember {
            n,
            weight,
            ..member
        })
    }

    /// Draws as many rows as there are, with replacement: each as often as it counts.
    pub(crate) fn resampled(&self, random: &mut ChaCha8Rng) -> Vec<ClassMember> {
        let mut drawn = vec![0_u32; self.members.len()];
        let rows: u32 = self.members.iter().map(|member| member.n).sum();
        if self.members.iter().all(|member| member.counting == 1.0) {
            let owners = self.members.iter().zip(0_u32..);
            let owners = owners.flat_map(|(member, at)| (0..member.n).map(move |_| at));
            let owners: Vec<u32> = owners.collect();
            for _ in 0..rows {
                drawn[owners[below(random, owners.len())] as usize] += 1;
            }
        } else {
            let each = self.members.iter();
            let urn = WeightedUrn::new(each.map(|member| f64::from(member.n) * member.counting));
            for _ in 0..rows {
                drawn[urn.draw(random)] += 1;
            }
        }
        // How much a row counts is told by how often it was drawn.
        let once = |member: &ClassMember| ClassMember {
            counting: 1.0,
            ..*member
        };
        let members = self.members.iter().zip(drawn);
        members
            .filter_map(|(member, n)| self.with(once(member), n))
            .collect()
    }

    /// Draws a share of the rows without replacement.
    pub(crate) fn sampled(&self, share: f64, random: &mut ChaCha8Rng) -> Vec<ClassMember> {
        let whole: usize = self.members.iter().map(|member| member.n as usize).sum();
        let mut left = whole;
        let mut wanted = ((whole as f64 * share).round() as usize).max(1);
        let mut drawn = Vec::new();
        for member in &self.members {
            let mut taken = 0;
            // Each row in turn is taken with the chance that is left to it (Knuth's algorithm S).
            for _ in 0..member.n {
                let is_taken = below(random, left) < wanted;
                left -= 1;
                wanted -= usize::from(is_taken);
                taken += u32::from(is_taken);
            }
            drawn.extend(self.with(*member, taken));
        }
        drawn
    }
}
