//! A tree of several classes grown node by node, with features drawn at each: for single trees,
//! forests and AdaBoost.
//!
//! How: as trees of two classes are grown (`grow`), but a bin holds what the rows of each class
//! weigh, and the leaves tell the share of each class.

use rand_chacha::ChaCha8Rng;

use crate::stats::draws::{below, settle};
use crate::trees::bin_code::BinCode;
use crate::trees::bins::BinnedRows;
use crate::trees::categories::{FilledSet, sets};
use crate::trees::class_members::ClassMember;
use crate::trees::splits::{LeftSide, NodeSplit, NodeSums, SplitCriterion, TreeRules};
use crate::trees::tree::{DecisionTree, SplitNode};

/// What the rows of a node weigh by class, and how many they are.
#[derive(Clone, Debug, Default)]
struct ClassSums {
    weights: Vec<f64>,
    rows: f64,
}

impl ClassSums {
    fn of(members: &[ClassMember], classes: usize) -> Self {
        let mut sums = Self::none(classes);
        for member in members {
            sums.weights[usize::from(member.class)] += member.weight;
            sums.rows += f64::from(member.n);
        }
        sums
    }

    fn none(classes: usize) -> Self {
        Self {
            weights: vec![0.0; classes],
            rows: 0.0,
        }
    }

    fn clear(&mut self) {
        self.weights.fill(0.0);
        self.rows = 0.0;
    }

    fn add(&mut self, weights: &[f64], rows: f64) {
        for (sum, weight) in self.weights.iter_mut().zip(weights) {
            *sum += weight;
        }
        self.rows += rows;
    }

    fn whole(&self) -> f64 {
        self.weights.iter().sum()
    }

    fn is_pure(&self) -> bool {
        self.weights.iter().filter(|weight| **weight > 0.0).count() < 2
    }
}

/// How good a leaf is whose rows weigh this by class; greater is better. Of squares it is the
/// weight less that times Gini's impurity, of entropy the negative entropy times the weight.
fn score(criterion: SplitCriterion, weights: impl Iterator<Item = f64>) -> f64 {
    let (mut whole, mut sum) = (0.0, 0.0);
    for weight in weights {
        whole += weight;
        sum += match criterion {
            SplitCriterion::Squares => weight * weight,
            SplitCriterion::Entropy if weight > 0.0 => weight * weight.ln(),
            SplitCriterion::Entropy => 0.0,
        };
    }
    match criterion {
        _ if whole <= 0.0 => 0.0,
        SplitCriterion::Squares => sum / whole,
        SplitCriterion::Entropy => sum - whole * whole.ln(),
    }
}

/// The most bins of a feature, with that of what is missing.
const BINS: usize = <u16 as BinCode>::MOST + 1;

/// The bins of one feature at one node: of each what its rows weigh by class, and how many they
/// are.
struct ClassHistogram {
    classes: usize,
    weights: Vec<f64>,
    rows: Vec<f64>,
    /// Which bins have rows, in order.
    filled: Vec<u16>,
}

impl ClassHistogram {
    fn new(classes: usize) -> Self {
        Self {
            classes,
            weights: vec![0.0; BINS * classes],
            rows: vec![0.0; BINS],
            filled: Vec::new(),
        }
    }

    fn fill(&mut self, codes: &[u16], members: &[ClassMember]) {
        for bin in self.filled.drain(..).map(usize::from) {
            self.weights[bin * self.classes..(bin + 1) * self.classes].fill(0.0);
            self.rows[bin] = 0.0;
        }
        for member in members {
            let bin = codes[member.group as usize];
            let at = usize::from(bin);
            if self.rows[at] == 0.0 {
                self.filled.push(bin);
            }
            self.rows[at] += f64::from(member.n);
            self.weights[at * self.classes + usize::from(member.class)] += member.weight;
        }
        self.filled.sort_unstable();
    }

    fn of(&self, bin: u16) -> (&[f64], f64) {
        let at = usize::from(bin);
        let weights = &self.weights[at * self.classes..(at + 1) * self.classes];
        (weights, self.rows[at])
    }
}

/// Room that is used again at every node.
struct SpareRoom {
    features: Vec<usize>,
    histogram: ClassHistogram,
    left: ClassSums,
    with_missing: ClassSums,
}

/// A node that is not split yet.
struct PendingNode {
    node: usize,
    from: usize,
    to: usize,
    depth: usize,
    whole: ClassSums,
    /// So many features, the first in the list, are known to be constant here.
    constant: usize,
}

/// A tree, and leaf by leaf the share of each class: the value of a leaf is its place.
pub struct ClassTree {
    /// The tree.
    pub tree: DecisionTree,
    /// The shares.
    pub shares: Vec<f64>,
}

/// What a tree of several classes is grown by.
pub struct ClassGrower<'a> {
    /// The features.
    pub bins: &'a BinnedRows<u16>,
    /// What it may do.
    pub rules: &'a TreeRules,
    /// How many classes there are.
    pub classes: usize,
}

impl ClassGrower<'_> {
    /// Grows a tree.
    pub fn grow(&self, mut members: Vec<ClassMember>, random: &mut ChaCha8Rng) -> ClassTree {
        let (bins, rules) = (self.bins, self.rules);
        let whole = ClassSums::of(&members, self.classes);
        let mut tree = DecisionTree::root(SplitNode::leaf(0.0, whole.whole()));
        // Of each node its sums, while it is a leaf.
        let mut leaves = vec![whole.weights.clone()];
        let mut open = vec![PendingNode {
            node: 0,
            from: 0,
            to: members.len(),
            depth: 0,
            whole,
            constant: 0,
        }];
        let mut room = SpareRoom {
            features: (0..bins.features()).collect(),
            histogram: ClassHistogram::new(self.classes),
            left: ClassSums::none(self.classes),
            with_missing: ClassSums::none(self.classes),
        };
        let mut spare = Vec::new();
        while let Some(pending) = open.pop() {
            let PendingNode {
                node: at,
                from,
                to,
                depth,
                whole,
                mut constant,
            } = pending;
            let mine = &mut members[from..to];
            let is_small = whole.rows < 2.0 * rules.min_leaf || mine.len() < 2;
            if whole.is_pure() || is_small || depth >= rules.max_depth {
                continue;
            }
            let Some(split) = self.best(mine, &whole, &mut constant, &mut room, random) else {
                continue;
            };
            let codes = &bins.codes[split.feature];
            let missing = bins.cuts[split.feature].missing();
            let next = tree.nodes.len();
            tree.split(at, bins, &split, next);
            let left = tree.part(at, missing, mine, &mut spare, |member| {
                codes[member.group as usize]
            });
            let middle = from + left;
            let sides = [(next, from, middle), (next + 1, middle, to)];
            let sides = sides.map(|(node, from, to)| PendingNode {
                node,
                from,
                to,
                depth: depth + 1,
                whole: ClassSums::of(&members[from..to], self.classes),
                constant,
            });
            for side in &sides {
                tree.nodes.push(SplitNode::leaf(0.0, side.whole.whole()));
                leaves.push(side.whole.weights.clone());
            }
            open.extend(sides.into_iter().rev());
        }
        numbered(tree, &leaves)
    }

    /// Finds the best split among so many features that are drawn, as for two classes.
    fn best(
        &self,
        members: &[ClassMember],
        whole: &ClassSums,
        constant: &mut usize,
        room: &mut SpareRoom,
        random: &mut ChaCha8Rng,
    ) -> Option<NodeSplit> {
        let (bins, rules) = (self.bins, self.rules);
        let here = score(rules.criterion, whole.weights.iter().copied());
        let (mut best, mut tried) = (None, 0);
        let draws = rules.features < room.features.len() || rules.random_cuts;
        if !draws {
            // Of equally good splits that of the first feature is taken.
            room.features[*constant..].sort_unstable();
        }
        for place in *constant..room.features.len() {
            if tried >= rules.features && best.is_some() {
                break;
            }
            if draws {
                settle(random, &mut room.features, place);
            }
            let feature = room.features[place];
            room.histogram.fill(&bins.codes[feature], members);
            if room.histogram.filled.len() < 2 {
                room.features.swap(place, *constant);
                *constant += 1;
                continue;
            }
            tried += 1;
            let mut attempts = ClassAttempts {
                rules,
                feature,
                whole,
                here,
                best,
            };
            if bins.is_category(feature) {
                self.scan_categories(room, random, &mut attempts);
            } else {
                self.scan(room, random, &mut attempts);
            }
            best = attempts.best;
        }
        best
    }

    /// Looks for a better split among the cuts of a feature of numbers.
    fn scan(&self, room: &mut SpareRoom, random: &mut ChaCha8Rng, attempts: &mut ClassAttempts) {
        let rules = self.rules;
        let SpareRoom {
            histogram,
            left,
            with_missing,
            ..
        } = room;
        let missing_bin = self.bins.cuts[attempts.feature].missing();
        let (missing, lost) = histogram.of(missing_bin);
        let present = match histogram.filled.split_last() {
            Some((last, rest)) if *last == missing_bin => rest,
            _ => &histogram.filled,
        };
        let (Some(first), Some(last)) = (present.first(), present.last()) else {
            return;
        };
        let only = (rules.random_cuts && first < last)
            .then(|| first + below(random, usize::from(last - first)) as u16);
        left.clear();
        for (at, bin) in present.iter().enumerate() {
            if let Some(before) = at.checked_sub(1).map(|before| present[before])
                && only.is_none_or(|only| before <= only && only < *bin)
            {
                let cut = LeftSide::UpTo(only.unwrap_or(rules.cut(before, *bin)));
                if lost > 0.0 {
                    with_missing.clone_from(left);
                    with_missing.add(missing, lost);
                    attempts.attempt(with_missing, cut, true);
                }
                attempts.attempt(left, cut, false);
            }
            let (weights, rows) = histogram.of(*bin);
            left.add(weights, rows);
        }
        if lost > 0.0 && only.is_none() {
            // All that is present on one side, what is missing on the other.
            attempts.attempt(left, LeftSide::UpTo(*last), false);
        }
    }

    /// Looks for a better split among the sets of categories of a feature, which are ordered by the
    /// share of each class in turn: of that class against the others none is better.
    fn scan_categories(
        &self,
        room: &mut SpareRoom,
        random: &mut ChaCha8Rng,
        attempts: &mut ClassAttempts,
    ) {
        let SpareRoom {
            histogram, left, ..
        } = room;
        let missing = self.bins.cuts[attempts.feature].missing();
        let count = histogram.filled.len();
        let weights = attempts.whole.weights.iter().enumerate();
        let mut classes: Vec<usize> = weights
            .filter(|(_, weight)| **weight > 0.0)
            .map(|(class, _)| class)
            .collect();
        let mut only = None;
        if self.rules.random_cuts {
            classes = vec![classes[below(random, classes.len())]];
            only = Some(1 + below(random, count - 1));
        } else if classes.len() == 2 {
            // The order of the other is the same, turned around.
            classes.pop();
        }
        for class in classes {
            let share = |bin: u16| {
                let (weights, _) = histogram.of(bin);
                let whole: f64 = weights.iter().sum();
                if whole > 0.0 {
                    weights[class] / whole
                } else {
                    0.0
                }
            };
            let each = histogram.filled.iter();
            let mut order: Vec<(f64, u16)> = each.map(|bin| (share(*bin), *bin)).collect();
            order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut filled = FilledSet::default();
            for step in sets(count, count, only) {
                if step.begins {
                    left.clear();
                    filled = FilledSet::default();
                }
                let (_, bin) = order[step.place];
                let (weights, rows) = histogram.of(bin);
                left.add(weights, rows);
                filled.add(bin, missing);
                if step.is_tried {
                    attempts.attempt(left, LeftSide::Among(filled.set), filled.has_missing);
                }
            }
        }
    }
}

/// What splits of a feature at a node are tried against.
struct ClassAttempts<'a> {
    rules: &'a TreeRules,
    feature: usize,
    whole: &'a ClassSums,
    /// How good a leaf of the node is.
    here: f64,
    best: Option<NodeSplit>,
}

impl ClassAttempts<'_> {
    /// Takes a split if it is better than the best.
    fn attempt(&mut self, left: &ClassSums, side: LeftSide, missing_left: bool) {
        let rules = self.rules;
        if left.rows.min(self.whole.rows - left.rows) < rules.min_leaf {
            return;
        }
        let rest = self.whole.weights.iter().zip(&left.weights);
        let rest = rest.map(|(whole, left)| (whole - left).max(0.0));
        let sides = score(rules.criterion, left.weights.iter().copied());
        let gain = sides + score(rules.criterion, rest) - self.here;
        if gain > self.best.map_or(rules.min_gain, |best| best.gain) {
            self.best = Some(NodeSplit {
                gain,
                feature: self.feature,
                side,
                missing_left,
                left: NodeSums::default(),
                l2: 0.0,
            });
        }
    }
}

/// Numbers the leaves, and puts down the share of each class in them.
fn numbered(mut tree: DecisionTree, sums: &[Vec<f64>]) -> ClassTree {
    let mut shares = Vec::new();
    let mut leaves = 0;
    for (node, weights) in tree.nodes.iter_mut().zip(sums) {
        if !node.is_leaf() {
            continue;
        }
        node.value = f64::from(leaves);
        leaves += 1;
        let whole: f64 = weights.iter().sum();
        let share = |weight: &f64| if whole > 0.0 { weight / whole } else { 0.0 };
        shares.extend(weights.iter().map(share));
    }
    ClassTree { tree, shares }
}
