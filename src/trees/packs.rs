//! Features that are counted together.
//!
//! How: features of few bins, most of all those of one category or another, have far fewer
//! combinations of bins in the data than there could be. A pack has a joint bin for each that there
//! is; a histogram of the pack is one of each of its features.

use crate::trees::bin_code::BinCode;

/// So many columns are a block.
pub const COLUMNS: usize = 8;

/// So many blocks are a tile: what a group has of them stands side by side.
pub const BLOCKS: usize = 8;

/// Of finer bins only features of so few are packed, with that of what is missing.
pub const FEW: usize = 16;

/// Packs of fewer finer features are not worth it: of those that are drawn few are constant.
const WORTH: usize = 8;

/// How many packs are open for one more feature at a time.
const OPEN: usize = 8;

/// Several features in one column: as many joint bins as there are combinations in the data.
#[derive(Clone, Debug)]
pub struct FeaturePack<C> {
    /// The features.
    pub features: Vec<usize>,
    /// How many joint bins there are.
    pub joint: usize,
    /// Of every group its joint bin.
    pub codes: Vec<C>,
    /// Of every feature, by joint bin, its own bin.
    pub bins: Vec<Vec<C>>,
    /// Of every feature, how its histogram comes from that of the pack; of one alone, nothing.
    pub shares: Vec<PackShare<C>>,
    /// How many sums are shared out.
    pub shared: usize,
    /// Of every joint bin, the features that have another bin there than usual.
    pub unusual: Vec<Vec<usize>>,
}

/// How the histogram of a feature comes from that of its pack: most joint bins are of one bin of
/// the feature, which holds what the others leave.
#[derive(Clone, Debug)]
pub struct PackShare<C> {
    /// That bin.
    pub usual: C,
    /// The joint bins of its other bins, each with that.
    pub others: Vec<(C, C)>,
}

impl<C: BinCode> PackShare<C> {
    fn of(own: &[C]) -> Self {
        let mut counts = vec![0_usize; C::MOST + 1];
        own.iter().for_each(|bin| counts[bin.place()] += 1);
        let most = |bin: &usize| (counts[*bin], std::cmp::Reverse(*bin));
        let usual = (0..counts.len()).max_by_key(most).unwrap_or(0);
        let usual = C::of(usual as u16);
        let others = (0..)
            .map(C::of)
            .zip(own.iter().copied())
            .filter(|(_, bin)| *bin != usual)
            .collect();
        Self { usual, others }
    }
}

/// Packs of features, and the tiles of their columns.
pub type PackedColumns<C> = (Vec<FeaturePack<C>>, Vec<Vec<[C; COLUMNS]>>);

/// How features with such bins are packed.
pub trait PackedCode: BinCode {
    /// Returns the most joint bins of a pack that has so many and gets another feature.
    fn most_joint(joint: usize) -> usize;

    /// Packs the columns of features, which have so many bins of present values, and lays the packs
    /// out in tiles, where that is done.
    fn packed(columns: &[Vec<Self>], bins: &[usize]) -> PackedColumns<Self>;
}

impl PackedCode for u8 {
    fn most_joint(_: usize) -> usize {
        Self::MOST + 1
    }

    fn packed(columns: &[Vec<Self>], _: &[usize]) -> PackedColumns<Self> {
        let each: Vec<(usize, &Vec<Self>)> = columns.iter().enumerate().collect();
        let mut packs = packed(&each);
        let tiles = packs.chunks(BLOCKS * COLUMNS).map(tile).collect();
        // They stand in the tiles.
        packs.iter_mut().for_each(|pack| pack.codes = Vec::new());
        (packs, tiles)
    }
}

impl PackedCode for u16 {
    fn most_joint(joint: usize) -> usize {
        // Those of independent features are multiplied, of one category or another added.
        (joint + 2).min(Self::MOST + 1)
    }

    fn packed(columns: &[Vec<Self>], bins: &[usize]) -> PackedColumns<Self> {
        let each = columns.iter().enumerate();
        let few: Vec<(usize, &Vec<Self>)> = each.filter(|(at, _)| bins[*at] < FEW).collect();
        let mut packs = packed(&few);
        packs.retain(|pack| pack.features.len() >= WORTH);
        (packs, Vec::new())
    }
}

/// The columns of packs, group by group; zeros fill the last block up.
fn tile(packs: &[FeaturePack<u8>]) -> Vec<[u8; COLUMNS]> {
    let width = packs.len().div_ceil(COLUMNS);
    let mut rows = vec![[0; COLUMNS]; packs[0].codes.len() * width];
    for (group, row) in rows.chunks_exact_mut(width).enumerate() {
        for (code, pack) in row.as_flattened_mut().iter_mut().zip(packs) {
            *code = pack.codes[group];
        }
    }
    rows
}

/// Packs features, each into the first open pack with room for it.
fn packed<C: PackedCode>(codes: &[(usize, &Vec<C>)]) -> Vec<FeaturePack<C>> {
    let joint = C::MOST + 1;
    let (mut full, mut open): (Vec<FeaturePack<C>>, Vec<FeaturePack<C>>) = (Vec::new(), Vec::new());
    let mut table = vec![NONE; joint * joint];
    for &(feature, mine) in codes {
        let place = open
            .iter_mut()
            .find_map(|pack| joined(pack, mine, &mut table).map(|joint| (pack, joint)));
        match place {
            Some((pack, (codes, sources))) => {
                let of = |own: &Vec<C>| {
                    let each = sources.iter();
                    each.map(|(joint, _)| own[joint.place()]).collect()
                };
                pack.bins = pack.bins.iter().map(of).collect();
                pack.bins
                    .push(sources.iter().map(|(_, bin)| *bin).collect());
                pack.features.push(feature);
                pack.joint = sources.len();
                pack.codes = codes;
            }
            None => {
                let last = mine.iter().map(|code| code.place()).max();
                open.push(FeaturePack {
                    features: vec![feature],
                    joint: last.map_or(0, |last| last + 1),
                    codes: mine.clone(),
                    bins: vec![(0..joint as u16).map(C::of).collect()],
                    shares: Vec::new(),
                    shared: 0,
                    unusual: Vec::new(),
                });
                if open.len() > OPEN {
                    full.push(open.remove(0));
                }
            }
        }
    }
    full.append(&mut open);
    for pack in full.iter_mut().filter(|pack| pack.features.len() > 1) {
        pack.shares = pack.bins.iter().map(|own| PackShare::of(own)).collect();
        pack.shared = pack.shares.iter().map(|share| share.others.len()).sum();
        pack.unusual = vec![Vec::new(); pack.joint];
        for (feature, share) in pack.features.iter().zip(&pack.shares) {
            for (joint, _) in &share.others {
                pack.unusual[joint.place()].push(*feature);
            }
        }
    }
    full
}

/// Of every group its joint bin, and what each of those is made of.
type JointBins<C> = (Vec<C>, Vec<(C, C)>);

/// No joint bin.
const NONE: u16 = u16::MAX;

/// Joins a feature to a pack: the joint bin of every group, and what each is made of. `None` if
/// there are too many. The table is left as it was.
fn joined<C: PackedCode>(
    pack: &FeaturePack<C>,
    mine: &[C],
    table: &mut [u16],
) -> Option<JointBins<C>> {
    let mut sources = Vec::new();
    let codes = join(pack, mine, C::most_joint(pack.joint), table, &mut sources);
    for (own, other) in &sources {
        table[own.place() * (C::MOST + 1) + other.place()] = NONE;
    }
    codes.map(|codes| (codes, sources))
}

fn join<C: BinCode>(
    pack: &FeaturePack<C>,
    mine: &[C],
    most: usize,
    table: &mut [u16],
    sources: &mut Vec<(C, C)>,
) -> Option<Vec<C>> {
    let mut codes = Vec::with_capacity(mine.len());
    for pair in pack.codes.iter().copied().zip(mine.iter().copied()) {
        let place = &mut table[pair.0.place() * (C::MOST + 1) + pair.1.place()];
        if *place == NONE {
            if sources.len() == most {
                return None;
            }
            *place = sources.len() as u16;
            sources.push(pair);
        }
        codes.push(C::of(*place));
    }
    Some(codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packs_hold_every_feature<C: PackedCode + std::fmt::Debug>() {
        let code =
            |row: usize, column: usize| C::of(((row * 31 + column * 7) % (2 + column)) as u16);
        let column = |column| (0..500).map(|row| code(row, column)).collect();
        let codes: Vec<Vec<C>> = (0..9).map(column).collect();
        let each: Vec<(usize, &Vec<C>)> = codes.iter().enumerate().collect();
        let packs = packed(&each);
        let mut seen = 0;
        for pack in &packs {
            for (feature, own) in pack.features.iter().zip(&pack.bins) {
                let of = |joint: &C| own[joint.place()];
                assert_eq!(
                    pack.codes.iter().map(of).collect::<Vec<C>>(),
                    codes[*feature]
                );
                seen += 1;
            }
        }
        assert!(seen == 9 && packs.len() < 9, "{} packs", packs.len());
    }

    #[test]
    fn packs_hold_every_feature_as_it_is() {
        packs_hold_every_feature::<u8>();
        packs_hold_every_feature::<u16>();
    }
}
