//! Folds for cross-validation.
//!
//! How: rows with equal features are dealt out together, by the least digest of what any of them
//! was made of before the preprocessing. So a model is never asked about a row that equals one it
//! was fitted to, and a fold stays what it is when other rows come or go, although these may change
//! what all features are scaled by.

use std::collections::{BTreeMap, HashMap};

use ndarray::ArrayView1;
use serde::Serialize;

use crate::base::digest::FramedHasher;
use crate::model::data::TrainingSet;

/// By what a row finds its fold.
#[derive(Clone, Debug, PartialEq)]
pub enum FoldPlacement {
    /// By its features, so that a model is never asked about a row that equals one it was fitted
    /// to.
    Content,
    /// As by content, and so that every fold has as many rows of each class as can be.
    Stratified,
    /// By the group of each row: rows of one group stay together.
    Group(Vec<String>),
    /// By the time of each row: a model is fitted to what was before the rows that it is asked
    /// about. The first of as many blocks and one is only learned from.
    Time(Vec<f64>),
}

/// By what folds were made, for keys: without the groups and times themselves, which are told by
/// the inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FoldOrigin {
    /// By content.
    Content,
    /// By content, stratified.
    Stratified,
    /// By the groups of this column.
    Group(String),
    /// By the times of this column.
    Time(String),
}

/// All besides inputs that determines which rows a fold has, and which features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoldsKey {
    /// How many folds there are.
    pub count: usize,
    /// By what they were made.
    pub by: FoldOrigin,
    /// The seed.
    pub seed: u64,
    /// A digest of what the rows were made of, by which they are dealt out.
    pub rows: Option<String>,
    /// Columns whose features are told to models as all the same.
    pub without: Vec<String>,
}

/// Which rows belong to which fold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folds {
    /// Of every row its fold; none if it is only learned from.
    of: Vec<Option<usize>>,
    /// How many folds there are.
    pub count: usize,
    /// Whether a model is only fitted to rows of earlier folds.
    ordered: bool,
}

fn head(word: &str, seed: u64, feed: impl FnOnce(&mut FramedHasher)) -> u64 {
    let mut framed = FramedHasher::new(word);
    framed.number(seed);
    feed(&mut framed);
    framed.finish().head()
}

fn cells(row: ArrayView1<'_, f64>) -> impl FnOnce(&mut FramedHasher) {
    move |framed| {
        row.iter().for_each(|cell| {
            framed.float(*cell);
        });
    }
}

impl Folds {
    /// Deals rows out. Their features, or groups, and the seed decide.
    pub fn new(data: &TrainingSet, count: usize, by: &FoldPlacement, seed: u64) -> Self {
        let count = count.max(1);
        let of = match by {
            FoldPlacement::Content => by_content(data, count, seed),
            FoldPlacement::Group(groups) => by_group(groups, count, seed),
            FoldPlacement::Stratified => stratified(data, count, seed),
            FoldPlacement::Time(times) => by_time(times, count),
        };
        Self {
            of,
            count,
            ordered: matches!(by, FoldPlacement::Time(_)),
        }
    }

    /// Returns the rows of a fold.
    pub fn held(&self, fold: usize) -> Vec<u32> {
        self.rows(|of| of == Some(fold))
    }

    /// Returns the rows that a model is fitted to that is asked about those of a fold.
    pub fn fitted(&self, fold: usize) -> Vec<u32> {
        self.rows(|of| {
            if self.ordered {
                of.is_none_or(|of| of < fold)
            } else {
                of != Some(fold)
            }
        })
    }

    fn rows(&self, wanted: impl Fn(Option<usize>) -> bool) -> Vec<u32> {
        self.of
            .iter()
            .zip(0..)
            .filter(|(of, _)| wanted(**of))
            .map(|(_, row)| row)
            .collect()
    }
}

/// Returns a digest of what rows were made of; none where that is not known.
pub fn rows_digest(data: &TrainingSet) -> Option<String> {
    let mut framed = FramedHasher::new("netsec 2026-11 fold rows 1");
    for origin in &data.origins {
        framed.number(*origin);
    }
    (!data.origins.is_empty()).then(|| framed.finish().hex())
}

/// Returns a digest of how much rows count; none where all count the same.
pub fn weights_digest(data: &TrainingSet) -> Option<String> {
    let mut framed = FramedHasher::new("netsec 2026-11 row weights 1");
    for weight in &data.weights {
        framed.number(weight.to_bits());
    }
    (!data.weights.is_empty()).then(|| framed.finish().hex())
}

impl FoldPlacement {
    /// Returns of each row its place among those from which early stopping holds out the last:
    /// whole groups, or the latest rows. None where rows are held out like any other.
    pub fn places_to_hold_out(&self, seed: u64) -> Vec<f64> {
        let place = |group: &String| {
            let head = head("netsec 2026-11 held out 1", seed, |framed| {
                framed.text(group);
            });
            (head >> 11) as f64
        };
        match self {
            Self::Group(groups) => groups.iter().map(place).collect(),
            Self::Time(times) => times.clone(),
            Self::Content | Self::Stratified => Vec::new(),
        }
    }
}

/// Returns of every row its place among all from 0 to 1: those up to a share are that share of the
/// rows. Equal rows stand at the same place.
pub fn places(data: &TrainingSet, seed: u64) -> Vec<f64> {
    let heads = heads(data, "netsec 2026-11 share 2", seed).into_iter();
    let place = |head: u64| (head >> 11) as f64 / (1_u64 << 53) as f64;
    heads.map(place).collect()
}

/// What digests that place rows begin with.
const WORD: &str = "netsec 2026-11 fold 2";

/// A digest of each row: the same for rows with equal features.
fn heads(data: &TrainingSet, word: &str, seed: u64) -> Vec<u64> {
    let features: Vec<u64> = {
        let rows = data.x.rows().into_iter();
        rows.map(|row| head(word, seed, cells(row))).collect()
    };
    if data.origins.is_empty() {
        return features;
    }
    let mut least: HashMap<u64, u64> = HashMap::new();
    for (features, origin) in features.iter().zip(&data.origins) {
        let known = least.entry(*features).or_insert(*origin);
        *known = (*known).min(*origin);
    }
    let of = |features: &u64| {
        head(word, seed, |framed| {
            framed.number(least[features]);
        })
    };
    features.iter().map(of).collect()
}

fn by_content(data: &TrainingSet, count: usize, seed: u64) -> Vec<Option<usize>> {
    let fold = |head: u64| Some((head % count as u64) as usize);
    heads(data, WORD, seed).into_iter().map(fold).collect()
}

/// The largest group first, each to the fold that has the fewest rows; of equal ones the digest
/// decides.
fn by_group(groups: &[String], count: usize, seed: u64) -> Vec<Option<usize>> {
    let digest = |group: &String| {
        head(WORD, seed, |framed| {
            framed.text(group);
        })
    };
    let mut sizes: HashMap<&String, usize> = HashMap::new();
    for group in groups {
        *sizes.entry(group).or_default() += 1;
    }
    let mut order: Vec<(&String, usize)> = sizes.into_iter().collect();
    order.sort_by_key(|(group, size)| (std::cmp::Reverse(*size), digest(group), *group));
    let mut filled = vec![0; count];
    let mut fold_of: HashMap<&String, usize> = HashMap::new();
    for (group, size) in order {
        let emptiest = (0..count).min_by_key(|fold| filled[*fold]);
        let fold = emptiest.unwrap_or_default();
        filled[fold] += size;
        fold_of.insert(group, fold);
    }
    let placed = groups.iter().map(|group| fold_of.get(group).copied());
    placed.collect()
}

/// Rows with equal features go together, and count as attacks if one of them is. The largest first,
/// each to the fold that has the fewest of its class; of equal ones the digest decides.
fn stratified(data: &TrainingSet, count: usize, seed: u64) -> Vec<Option<usize>> {
    let mut equal: BTreeMap<u64, (bool, Vec<usize>)> = BTreeMap::new();
    for (row, head) in heads(data, WORD, seed).into_iter().enumerate() {
        let (is_attack, rows) = equal.entry(head).or_default();
        *is_attack |= data.labels.is_attack(row);
        rows.push(row);
    }
    let mut groups: Vec<(bool, Vec<usize>)> = equal.into_values().collect();
    groups.sort_by_key(|(is_attack, rows)| (*is_attack, std::cmp::Reverse(rows.len())));
    let mut filled = vec![[0; 2]; count];
    let mut of = vec![None; data.labels.len()];
    for (is_attack, rows) in groups {
        let class = usize::from(is_attack);
        let emptiest = (0..count).min_by_key(|fold| filled[*fold][class]);
        let fold = emptiest.unwrap_or_default();
        filled[fold][class] += rows.len();
        rows.into_iter().for_each(|row| of[row] = Some(fold));
    }
    of
}

/// One block of time more than there are folds: the first is only learned from. Rows of one time
/// are not parted: they are where the first of them is.
fn by_time(times: &[f64], count: usize) -> Vec<Option<usize>> {
    let rows = times.len();
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by(|a, b| times[*a].total_cmp(&times[*b]));
    let mut of = vec![None; rows];
    let mut place = 0;
    for tied in order.chunk_by(|a, b| times[*a] == times[*b]) {
        let block = place * (count + 1) / rows.max(1);
        for row in tied {
            of[*row] = block.checked_sub(1);
        }
        place += tied.len();
    }
    of
}
