//! Histograms of all features over the rows of a leaf.
//!
//! How: columns stand in tiles, where a row has 64 of them side by side, and are counted eight at a
//! time, whose sums stay in the nearest cache. A column is a pack of features; the histograms of its
//! features are shared out from that of their joint bins. Of few rows each feature is counted by
//! itself, and packs of few features that are asked for are not worth it either. Rows are copied
//! together first, some thousand at a time: many reads of memory are on their way at once then.
//!
//! A histogram is made of shards, one for each thread, which holds the bins of some features and is
//! all that the thread reads and writes of it. What it holds is the same for any number of them.

use std::ops::Range;

use rayon::prelude::*;

use crate::trees::bin_sums::BinSums;
use crate::trees::bins::BinnedRows;
use crate::trees::packs::{BLOCKS, COLUMNS, FeaturePack};

/// Of fewer rows each feature is counted by itself.
const FEW: usize = 256;

/// So many rows are shared out to threads where there are fewer shards.
const MANY: usize = 1 << 14;

/// So many rows are copied together.
const CHUNK: usize = 512;

/// The sums of each bin of a column.
type ColumnSums = [BinSums; 256];

/// Of no rows.
const NONE: ColumnSums = [BinSums { g: 0, hn: 0 }; 256];

/// Where the bins of the features stand in a histogram of all of them: those of present values,
/// then the missing.
pub struct HistogramLayout {
    pub(crate) shards: Vec<HistogramShard>,
    /// Of every feature where its bins begin in its shard.
    offsets: Vec<usize>,
}

/// Some of the features.
pub(crate) struct HistogramShard {
    /// The blocks of their packs: a tile, and its blocks.
    parts: Vec<(usize, Range<usize>)>,
    /// The features, in order.
    pub(crate) features: Vec<usize>,
    /// How many bins they have.
    pub(crate) cells: usize,
}

impl HistogramLayout {
    /// Lays out the bins of features, for as many threads as there are.
    pub fn new(bins: &BinnedRows<u8>) -> Self {
        Self::of_shards(bins, rayon::current_num_threads())
    }

    /// Lays out the bins of features in so many shards, or as many as there are blocks.
    pub(crate) fn of_shards(bins: &BinnedRows<u8>, shards: usize) -> Self {
        let mut layout = Self {
            shards: Vec::new(),
            offsets: vec![0; bins.features()],
        };
        let blocks = bins.packs.len().div_ceil(COLUMNS);
        let shards = shards.clamp(1, blocks.max(1));
        for shard in 0..shards {
            let blocks = shard * blocks / shards..(shard + 1) * blocks / shards;
            let packs = blocks.start * COLUMNS..(blocks.end * COLUMNS).min(bins.packs.len());
            let packs = bins.packs[packs].iter();
            let mut features: Vec<usize> = packs.flat_map(|pack| pack.features.clone()).collect();
            features.sort_unstable();
            let mut cells = 0;
            for &feature in &features {
                layout.offsets[feature] = cells;
                cells += bins.cuts[feature].bins() + 1;
            }
            layout.shards.push(HistogramShard {
                parts: tile_parts(blocks),
                features,
                cells,
            });
        }
        layout
    }

    /// The bins of a feature in its shard.
    pub(crate) fn of(&self, bins: &BinnedRows<u8>, feature: usize) -> Range<usize> {
        self.offsets[feature]..self.offsets[feature] + bins.cuts[feature].bins() + 1
    }

    /// How many bins there are.
    pub(crate) fn cells(&self) -> usize {
        self.shards.iter().map(|shard| shard.cells).sum()
    }
}

/// Blocks by tile.
fn tile_parts(mut blocks: Range<usize>) -> Vec<(usize, Range<usize>)> {
    let mut parts = Vec::new();
    while !blocks.is_empty() {
        let tile = blocks.start / BLOCKS;
        let first = tile * BLOCKS;
        let end = blocks.end.min(first + BLOCKS);
        parts.push((tile, blocks.start - first..end - first));
        blocks.start = end;
    }
    parts
}

/// What histograms are made of: the rows as bins, and whether each feature is asked for.
#[derive(Clone, Copy)]
pub(crate) struct HistogramSource<'a> {
    pub(crate) bins: &'a BinnedRows<u8>,
    pub(crate) layout: &'a HistogramLayout,
    pub(crate) asked: &'a [bool],
}

/// The rows of a leaf: their groups, the sums of every group, and theirs.
#[derive(Clone, Copy)]
pub(crate) struct LeafRows<'a> {
    pub(crate) groups: &'a [u32],
    pub(crate) sums: &'a [BinSums],
    pub(crate) whole: BinSums,
}

impl HistogramSource<'_> {
    /// Fills a shard of the histogram of rows. Cells of features that are not asked for are left as
    /// they are.
    pub(crate) fn fill(&self, shard: &HistogramShard, cells: &mut [BinSums], rows: LeafRows<'_>) {
        for (tile, blocks) in &shard.parts {
            let packs = &self.bins.packs[tile * BLOCKS * COLUMNS..];
            let packs = &packs[..packs.len().min(BLOCKS * COLUMNS)];
            let mut tile = WantedTile {
                rows: &self.bins.tiles[*tile],
                width: packs.len().div_ceil(COLUMNS),
                blocks: Vec::new(),
            };
            for block in blocks.clone() {
                let mut wanted = WantedBlock {
                    place: block,
                    packs: Vec::new(),
                };
                for (place, pack) in packs.iter().enumerate().skip(block * COLUMNS).take(COLUMNS) {
                    match self.is_worth_it(pack, rows.groups.len()) {
                        true => wanted.packs.push((place % COLUMNS, pack)),
                        false => self.fill_alone(pack, cells, rows),
                    }
                }
                tile.blocks.push(wanted);
            }
            tile.blocks.retain(|block| !block.packs.is_empty());
            let sums = match self.layout.shards.len() < rayon::current_num_threads() {
                true => tile.counted_by_all(rows),
                false => tile.counted(rows.groups, rows.sums),
            };
            let packs = tile.blocks.iter().flat_map(|block| &block.packs);
            for ((_, pack), joint) in packs.zip(&sums) {
                self.share_out(pack, joint, cells, rows.whole);
            }
        }
    }

    /// Whether a pack is counted and shared out, rather than each of its features by itself: where
    /// the passes over the rows that it saves are more than its joint bins to share out.
    fn is_worth_it(&self, pack: &FeaturePack<u8>, rows: usize) -> bool {
        let asked = pack.features.iter().filter(|feature| self.asked[**feature]);
        match (asked.count(), pack.features.len()) {
            (0, _) => false,
            (1, _) => rows >= FEW,
            (asked, _) => rows * (asked - 1) >= pack.joint + pack.shared,
        }
    }

    /// Counts the features of a pack, each by itself.
    fn fill_alone(&self, pack: &FeaturePack<u8>, cells: &mut [BinSums], rows: LeafRows<'_>) {
        for &feature in pack.features.iter().filter(|feature| self.asked[**feature]) {
            let cells = &mut cells[self.layout.of(self.bins, feature)];
            let codes = &self.bins.codes[feature];
            cells.fill(BinSums::default());
            for group in rows.groups {
                let group = *group as usize;
                cells[usize::from(codes[group])].add(rows.sums[group]);
            }
        }
    }

    /// Fills the histograms of a pack's features from that of its joint bins.
    fn share_out(
        &self,
        pack: &FeaturePack<u8>,
        joint: &ColumnSums,
        cells: &mut [BinSums],
        whole: BinSums,
    ) {
        for (place, &feature) in pack.features.iter().enumerate() {
            if !self.asked[feature] {
                continue;
            }
            let cells = &mut cells[self.layout.of(self.bins, feature)];
            let Some(share) = pack.shares.get(place) else {
                cells.copy_from_slice(&joint[..cells.len()]);
                continue;
            };
            cells.fill(BinSums::default());
            let mut usual = whole;
            for (at, bin) in &share.others {
                let sums = joint[usize::from(*at)];
                cells[usize::from(*bin)].add(sums);
                usual = usual.less(sums);
            }
            cells[usize::from(share.usual)] = usual;
        }
    }
}

/// What is wanted of a tile.
struct WantedTile<'a> {
    rows: &'a [[u8; COLUMNS]],
    width: usize,
    blocks: Vec<WantedBlock<'a>>,
}

/// What is wanted of a block.
struct WantedBlock<'a> {
    /// Its place in its tile.
    place: usize,
    /// The packs, each with its place in the block.
    packs: Vec<(usize, &'a FeaturePack<u8>)>,
}

impl WantedTile<'_> {
    /// Counts the columns, one after the other; each thread some of the rows.
    fn counted_by_all(&self, rows: LeafRows<'_>) -> Vec<ColumnSums> {
        let part = rows.groups.len().div_ceil(rayon::current_num_threads());
        let parts = rows.groups.par_chunks(part.max(MANY));
        let parts = parts.map(|groups| self.counted(groups, rows.sums));
        let sum = |mut sums: Vec<ColumnSums>, more: Vec<ColumnSums>| {
            let cells = sums.iter_mut().flatten().zip(more.iter().flatten());
            cells.for_each(|(sums, more)| sums.add(*more));
            sums
        };
        parts.reduce_with(sum).unwrap_or_default()
    }

    /// Counts the columns, one after the other.
    fn counted(&self, groups: &[u32], by_group: &[BinSums]) -> Vec<ColumnSums> {
        let columns = self.blocks.iter().map(|block| block.packs.len()).sum();
        let mut sums = vec![NONE; columns];
        let mut own = [BinSums::default(); CHUNK];
        let mut codes = vec![[[0; COLUMNS]; CHUNK]; self.blocks.len()];
        for groups in groups.chunks(CHUNK) {
            for (at, group) in groups.iter().enumerate() {
                let group = *group as usize;
                own[at % CHUNK] = by_group[group];
                let row = &self.rows[group * self.width..];
                for (block, codes) in self.blocks.iter().zip(&mut codes) {
                    codes[at % CHUNK] = row[block.place];
                }
            }
            let mut rest = sums.as_mut_slice();
            let own = &own[..groups.len()];
            for (block, codes) in self.blocks.iter().zip(&codes) {
                let (mine, after) = rest.split_at_mut(block.packs.len());
                block.add(mine, codes, own);
                rest = after;
            }
        }
        sums
    }
}

impl WantedBlock<'_> {
    /// Adds rows to the sums of columns.
    fn add(&self, sums: &mut [ColumnSums], codes: &[[u8; COLUMNS]], own: &[BinSums]) {
        match self.packs.len() {
            0 => {}
            1 => self.add_to::<1>(sums, codes, own),
            2 => self.add_to::<2>(sums, codes, own),
            3 => self.add_to::<3>(sums, codes, own),
            4 => self.add_to::<4>(sums, codes, own),
            5 => self.add_to::<5>(sums, codes, own),
            6 => self.add_to::<6>(sums, codes, own),
            7 => self.add_to::<7>(sums, codes, own),
            _ => self.add_to::<COLUMNS>(sums, codes, own),
        }
    }

    fn add_to<const N: usize>(
        &self,
        sums: &mut [ColumnSums],
        codes: &[[u8; COLUMNS]],
        own: &[BinSums],
    ) {
        let places: [usize; N] = std::array::from_fn(|at| self.packs[at].0);
        let sums: &mut [ColumnSums; N] = sums.try_into().expect("one each");
        for (codes, own) in codes.iter().zip(own) {
            for (sums, place) in sums.iter_mut().zip(places) {
                // No bound to be checked.
                sums[usize::from(codes[place % COLUMNS])].add(*own);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::trees::bin_sums::{SumScale, WeightedGroup};

    /// A table with columns of one category or another, of few values and of many, some missing.
    fn table(rows: usize, columns: usize, seed: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(row, column)| {
            let drawn = (row + 1) * (seed + 7) * 2_654_435_761 % 1_000_003;
            match column % 8 {
                0 => drawn as f64,
                1 => (drawn % 17) as f64,
                2 if drawn.is_multiple_of(5) => f64::NAN,
                2 => (drawn % 3) as f64,
                of => f64::from(u8::from((drawn / 7) % 11 == of + column / 8)),
            }
        })
    }

    /// The histogram of a feature, counted row by row.
    fn counted(bins: &BinnedRows<u8>, feature: usize, rows: LeafRows<'_>) -> Vec<BinSums> {
        let mut cells = vec![BinSums::default(); bins.cuts[feature].bins() + 1];
        for group in rows.groups {
            let bin = bins.codes[feature][*group as usize];
            cells[usize::from(bin)].add(rows.sums[*group as usize]);
        }
        cells
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn every_shard_holds_what_is_counted_row_by_row(
            rows in prop::sample::select(vec![1, 40, 300, 2_500, 40_000]),
            columns in prop::sample::select(vec![1, 9, 70]),
            seed in 0_usize..1000,
            shards in 1_usize..5,
            step in 1_usize..4,
            every in 1_usize..3,
        ) {
            let bins = BinnedRows::<u8>::new(table(rows, columns, seed).view(), &[]);
            let group = |group: usize| WeightedGroup {
                n: 1 + (group % 3) as u32,
                g: (group as f64 * 0.37).sin(),
                h: 0.1 + (group % 7) as f64,
            };
            let groups: Vec<WeightedGroup> = (0..bins.groups).map(group).collect();
            let scale = SumScale::of(&groups);
            let sums: Vec<BinSums> = groups.iter().map(|group| scale.scaled(group)).collect();
            let mine: Vec<u32> = (0..bins.groups as u32).step_by(step).collect();
            let mut whole = BinSums::default();
            mine.iter().for_each(|group| whole.add(sums[*group as usize]));
            let rows = LeafRows { groups: &mine, sums: &sums, whole };
            let asked: Vec<bool> = (0..columns).map(|feature| feature % every == 0).collect();
            let layout = HistogramLayout::of_shards(&bins, shards);
            let source = HistogramSource { bins: &bins, layout: &layout, asked: &asked };
            let mut seen = 0;
            for shard in &layout.shards {
                // What was there before does not matter.
                let mut cells = vec![whole; shard.cells];
                source.fill(shard, &mut cells, rows);
                for &feature in shard.features.iter().filter(|feature| asked[**feature]) {
                    let own = &cells[layout.of(&bins, feature)];
                    prop_assert_eq!(own, counted(&bins, feature, rows), "feature {}", feature);
                    seen += 1;
                }
            }
            prop_assert_eq!(seen, asked.iter().filter(|is| **is).count());
        }
    }
}
