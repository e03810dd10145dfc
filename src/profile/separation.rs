//! Columns that give the label away: by their values, by which cells are missing, or because they
//! name rows, hosts and moments rather than what the traffic did.
//!
//! How: a column is asked how well it tells attacks from benign rows by itself. Its rows are placed
//! in the order of its numbers, and again by the share of attacks among the *other* rows with the
//! same value, so that codes without an order are seen too and a value that stands once tells
//! nothing. A missing cell is a value like any other. The better of the two areas under the ROC
//! curve counts.

use std::collections::BTreeMap;

use crate::profile::columns::{
    ColumnProfile, EXACT, Profile, ValueDistribution, in_buckets, side_by_side,
};
use crate::profile::giveaway::{Giveaway, GiveawayGrade, GiveawayReason};
use crate::profile::nature::{nature, of_testbed};
use crate::stats::auc::auc;

/// With fewer rows of a label, how well a column tells it is chance.
const LEAST_ROWS: u64 = 5;
/// A label is told completely from all others with so many rows and this area.
const COMPLETE_ROWS: u64 = 20;
const COMPLETE: f64 = 0.9995;
/// A column of the testbed is a shortcut from this area on, any other from that.
const SHORTCUT: f64 = 0.8;
const STRONG: f64 = 0.97;
/// Numbers with many different values are put into so many groups of about as many rows: more where
/// every value is known than where points stand for others, which are never the same in two sets.
const GROUPS_OF_VALUES: usize = 256;
const GROUPS_OF_POINTS: usize = 96;
/// A number that this share of the rows of a set has, and so many of them, is a value by itself.
const ATOM_SHARE: f64 = 0.01;
const ATOM_ROWS: f64 = 20.0;

/// The profiles of the rows of every label, without the label itself.
pub type LabelProfiles = BTreeMap<String, Profile>;

/// How well each column tells attacks from benign rows by itself.
#[derive(Debug)]
pub struct ClassTellings<'a> {
    labels: &'a LabelProfiles,
    benign: Profile,
    /// The profile of all rows.
    whole: Profile,
    /// By column; none where a class has no rows.
    by_column: BTreeMap<String, Option<Separation>>,
}

impl<'a> ClassTellings<'a> {
    /// Asks every column; `is_attack` says which labels are attacks.
    pub fn new(labels: &'a LabelProfiles, is_attack: &dyn Fn(&str) -> bool) -> Self {
        let of = |class: bool| {
            let some = labels.iter().filter(|(label, _)| is_attack(label) == class);
            Profile::merged(&some.map(|(_, profile)| profile.clone()).collect::<Vec<_>>())
        };
        let (attack, benign) = (of(true), of(false));
        let whole = Profile::merged(&[attack.clone(), benign.clone()]);
        let one = |column: &ColumnProfile| {
            (
                column.name.clone(),
                Separation::of(&benign, &attack, &column.name),
            )
        };
        let by_column = whole.columns.iter().map(one).collect();
        Self {
            labels,
            benign,
            whole,
            by_column,
        }
    }

    fn of(&self, column: &str) -> Option<Separation> {
        self.by_column.get(column).copied().flatten()
    }

    /// Returns the area under the ROC curve of each column that benign rows have, the best first.
    pub fn areas(&self) -> Vec<(String, f64)> {
        let one = |column: &ColumnProfile| Some((column.name.clone(), self.of(&column.name)?.auc));
        let mut all: Vec<(String, f64)> = self.benign.columns.iter().filter_map(one).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all
    }

    /// Finds the columns that give the label away, the worst first. `rising` are those that rise
    /// with the file, where that is known.
    pub fn giveaways(&self, near_perfect: f64, rising: &[String]) -> Vec<Giveaway> {
        let one = |column: &ColumnProfile| {
            let telling = self.of(&column.name);
            named(column, self.whole.rows, telling, rising)
                .or_else(|| by_value(column, telling, near_perfect))
        };
        let mut found: Vec<Giveaway> = self.whole.columns.iter().filter_map(one).collect();
        if self.labels.len() > 2 {
            let is_known = |name: &str| found.iter().any(|giveaway| giveaway.column == name);
            let names = self.whole.columns.iter().map(|column| column.name.as_str());
            let others: Vec<&str> = names.filter(|name| !is_known(name)).collect();
            found.extend(one_label(&others, self.labels, near_perfect));
        }
        found.sort_by(|a, b| {
            let auc = |giveaway: &Giveaway| giveaway.auc.unwrap_or(1.0);
            a.grade
                .cmp(&b.grade)
                .then(auc(b).total_cmp(&auc(a)))
                .then(a.column.cmp(&b.column))
        });
        found
    }
}

/// A column that gives the label away by what it is.
fn named(
    column: &ColumnProfile,
    rows: u64,
    telling: Option<Separation>,
    rising: &[String],
) -> Option<Giveaway> {
    let reason = nature(column, rows, rising)?;
    let auc = telling.map(|telling| telling.auc);
    Some(Giveaway {
        column: column.name.clone(),
        grade: GiveawayGrade::Leak,
        reason,
        auc,
    })
}

fn by_value(
    column: &ColumnProfile,
    telling: Option<Separation>,
    near_perfect: f64,
) -> Option<Giveaway> {
    let telling = telling.filter(|telling| telling.rows >= LEAST_ROWS)?;
    let (grade, reason) = match () {
        () if telling.by_missing >= near_perfect => (GiveawayGrade::Leak, GiveawayReason::Missing),
        () if telling.auc >= near_perfect => (GiveawayGrade::Leak, GiveawayReason::Values),
        () if telling.auc >= SHORTCUT => {
            let strong = (telling.auc >= STRONG).then_some(GiveawayReason::Strong);
            (
                GiveawayGrade::Shortcut,
                of_testbed(&column.name).or(strong)?,
            )
        }
        () => return None,
    };
    Some(Giveaway {
        column: column.name.clone(),
        grade,
        reason,
        auc: Some(telling.auc),
    })
}

/// Columns that tell one label nearly perfectly from all others. If several do, the attack has
/// marks in the traffic; if one does alone and completely, it may be the label itself.
fn one_label(columns: &[&str], labels: &LabelProfiles, near_perfect: f64) -> Vec<Giveaway> {
    let mut found: BTreeMap<&str, Giveaway> = BTreeMap::new();
    for (label, profile) in labels
        .iter()
        .filter(|(_, profile)| profile.rows >= LEAST_ROWS)
    {
        let told = columns.iter().filter_map(|name| {
            let others = labels
                .iter()
                .filter(|(other, _)| *other != label)
                .map(|(_, profile)| profile.only(name));
            let telling =
                Separation::of(&Profile::merged(&others.collect::<Vec<_>>()), profile, name)?;
            (telling.auc >= near_perfect).then_some((*name, telling))
        });
        let told: Vec<(&str, Separation)> = told.collect();
        for (name, telling) in told
            .iter()
            .filter(|(_, telling)| telling.ordered >= near_perfect)
        {
            let is_complete = telling.rows >= COMPLETE_ROWS && telling.ordered >= COMPLETE;
            let grade = if is_complete && told.len() == 1 {
                GiveawayGrade::Leak
            } else {
                GiveawayGrade::Signature
            };
            let reason = GiveawayReason::OneLabel(label.clone());
            let giveaway = Giveaway {
                column: (*name).to_owned(),
                grade,
                reason,
                auc: Some(telling.ordered),
            };
            let worse = found
                .get(name)
                .is_none_or(|known| (grade, known.auc) < (known.grade, giveaway.auc));
            if worse {
                found.insert(name, giveaway);
            }
        }
    }
    found.into_values().collect()
}

/// How well a column tells two sets of rows apart.
#[derive(Clone, Copy, Debug)]
struct Separation {
    /// By its values, in order or not, and its missing cells.
    auc: f64,
    /// By the order of its numbers, or by its text, alone.
    ordered: f64,
    /// By which cells are missing alone.
    by_missing: f64,
    /// The rows of the smaller set.
    rows: u64,
}

impl Separation {
    fn of(first: &Profile, second: &Profile, name: &str) -> Option<Self> {
        let (first, second) = (
            GiveawayCells {
                column: first.column(name),
                rows: first.rows,
            },
            GiveawayCells {
                column: second.column(name),
                rows: second.rows,
            },
        );
        if first.rows == 0 || second.rows == 0 {
            return None;
        }
        let by_missing = 0.5 + (first.missing_share() - second.missing_share()).abs() / 2.0;
        let by_category = by_category(&first.categories(&second));
        let ordered = match (first.numbers(), second.numbers()) {
            (Some(_), Some(_)) => {
                let placed =
                    |place: f64| auc(&first.placed(place), &second.placed(place)).unwrap_or(0.5);
                [placed(f64::NEG_INFINITY), placed(f64::INFINITY)]
                    .into_iter()
                    .map(|auc| auc.max(1.0 - auc))
                    .fold(0.5, f64::max)
            }
            _ => by_category,
        };
        let rows = first.rows.min(second.rows);
        Some(Self {
            auc: ordered.max(by_category).max(by_missing),
            ordered,
            by_missing,
            rows,
        })
    }
}

/// The cells of a column in a set of rows; a set may not have the column.
struct GiveawayCells<'a> {
    column: Option<&'a ColumnProfile>,
    rows: u64,
}

impl GiveawayCells<'_> {
    /// Cells that are missing or NaN.
    fn missing(&self) -> u64 {
        self.column
            .map_or(self.rows, |column| column.missing + column.nan)
    }

    fn missing_share(&self) -> f64 {
        self.missing() as f64 / self.rows as f64
    }

    fn numbers(&self) -> Option<&[(f64, u64)]> {
        match self.column.map(|column| &column.values) {
            None => Some(&[]),
            Some(ValueDistribution::Counts(values) | ValueDistribution::Points(values)) => {
                Some(values)
            }
            Some(_) => None,
        }
    }

    /// The numbers with their counts, in order, missing cells at a place.
    fn placed(&self, missing: f64) -> Vec<(f64, u64)> {
        let infinite = self.column.map_or((0, 0), |column| column.infinite);
        let mut all: Vec<(f64, u64)> = self.numbers().unwrap_or_default().to_vec();
        all.extend([
            (f64::MIN, infinite.0),
            (f64::MAX, infinite.1),
            (missing, self.missing()),
        ]);
        all.retain(|(_, count)| *count > 0);
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all
    }

    /// How often each value stands in this set and in another: numbers with many values in groups.
    fn categories(&self, other: &Self) -> Vec<(u64, u64)> {
        let mut pairs: Vec<(u64, u64)> = match (self.numbers(), other.numbers()) {
            (Some(mine), Some(theirs)) => {
                let is_points = |cells: &Self| {
                    cells
                        .column
                        .is_some_and(|column| matches!(column.values, ValueDistribution::Points(_)))
                };
                grouped(mine, theirs, is_points(self) || is_points(other))
            }
            _ => self.texts(other),
        };
        let infinite = |cells: &Self| cells.column.map_or((0, 0), |column| column.infinite);
        let ((low, high), (other_low, other_high)) = (infinite(self), infinite(other));
        pairs.extend([
            (low, other_low),
            (high, other_high),
            (self.missing(), other.missing()),
        ]);
        pairs.retain(|(a, b)| a + b > 0);
        pairs
    }

    fn texts(&self, other: &Self) -> Vec<(u64, u64)> {
        let none = ValueDistribution::Texts(Vec::new());
        let values = |cells: &Self| {
            cells
                .column
                .map_or_else(|| none.clone(), |column| as_texts(&column.values))
        };
        match (values(self), values(other)) {
            (ValueDistribution::Texts(mine), ValueDistribution::Texts(theirs)) => {
                side_by_side(&mine, &theirs).into_values().collect()
            }
            (mine, theirs) => {
                let buckets = |values: ValueDistribution| match values {
                    ValueDistribution::Buckets(counts) => counts,
                    values => in_buckets(&values),
                };
                buckets(mine).into_iter().zip(buckets(theirs)).collect()
            }
        }
    }
}

/// Values of a column that is text in one set and numbers in another, as text.
fn as_texts(values: &ValueDistribution) -> ValueDistribution {
    match values {
        ValueDistribution::Counts(counts) | ValueDistribution::Points(counts) => {
            ValueDistribution::Texts(
                counts
                    .iter()
                    .map(|(value, count)| (value.to_string(), *count))
                    .collect(),
            )
        }
        values => values.clone(),
    }
}

/// How often each number stands in two lists that are in order; with many different numbers, or
/// points that stand for others, how often those of each group do.
fn grouped(first: &[(f64, u64)], second: &[(f64, u64)], are_points: bool) -> Vec<(u64, u64)> {
    let mut all: Vec<(f64, u64, u64)> = first
        .iter()
        .map(|(value, count)| (*value, *count, 0))
        .chain(second.iter().map(|(value, count)| (*value, 0, *count)))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        if is_same {
            (kept.1, kept.2) = (kept.1 + next.1, kept.2 + next.2);
        }
        is_same
    });
    if !are_points && all.len() <= EXACT {
        return all.into_iter().map(|(_, a, b)| (a, b)).collect();
    }
    // A value that many rows of a set have is a value by itself, and no point that stands for
    // others.
    let total = |list: &[(f64, u64)]| list.iter().map(|(_, count)| count).sum::<u64>() as f64;
    let (least_first, least_second) = (
        (total(first) * ATOM_SHARE).max(ATOM_ROWS),
        (total(second) * ATOM_SHARE).max(ATOM_ROWS),
    );
    let (atoms, all): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|(_, a, b)| *a as f64 >= least_first || *b as f64 >= least_second);
    let whole: u64 = all.iter().map(|(_, a, b)| a + b).sum();
    let count = if are_points {
        GROUPS_OF_POINTS
    } else {
        GROUPS_OF_VALUES
    };
    let mut groups = vec![(0, 0); count];
    let mut before = 0;
    for (_, a, b) in all {
        let group = &mut groups[(u128::from(before) * count as u128 / u128::from(whole)) as usize];
        (group.0, group.1) = (group.0 + a, group.1 + b);
        before += a + b;
    }
    groups.extend(atoms.into_iter().map(|(_, a, b)| (a, b)));
    groups
}

/// The area under the ROC curve where each row is placed by the share of the second set among the
/// other rows with its value: a value that stands once tells nothing, and one half is the least.
fn by_category(pairs: &[(u64, u64)]) -> f64 {
    let (n1, n2) = pairs
        .iter()
        .fold((0, 0), |(n1, n2), (a, b)| (n1 + a, n2 + b));
    let share = |hits: u64, rows: u64| {
        if rows == 0 {
            n2 as f64 / (n1 + n2) as f64
        } else {
            hits as f64 / rows as f64
        }
    };
    let side = |place: &dyn Fn(u64, u64) -> Option<(f64, u64)>| {
        let mut places: Vec<(f64, u64)> = pairs.iter().filter_map(|(a, b)| place(*a, *b)).collect();
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        places
    };
    let without = side(&|a, b| (a > 0).then(|| (share(b, a + b - 1), a)));
    let with = side(&|a, b| (b > 0).then(|| (share(b - 1, a + b - 1), b)));
    auc(&without, &with).map_or(0.5, |auc| auc.max(0.5))
}

/// Labels of a part that get a profile of their own in the leakage report; rarer ones share one.
pub const LABELS: usize = 64;

/// Rows that a profile keeps as a sample, to tell what a column of text holds.
pub const SAMPLE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::table::Table;

    /// A column's name, and its cell by row and class.
    type Column<'a> = (&'a str, &'a dyn Fn(usize, bool) -> f64);

    fn profiles(columns: &[Column<'_>], rows: usize) -> LabelProfiles {
        let of = |is_attack: bool| {
            let cells = |cell: &dyn Fn(usize, bool) -> f64| {
                (0..rows).map(|row| cell(row, is_attack)).collect()
            };
            let columns = columns
                .iter()
                .map(|(name, cell)| ((*name).to_owned(), cells(*cell)))
                .collect();
            Profile::of(&Table::of_numbers(columns).unwrap()).unwrap()
        };
        [
            ("attack".to_owned(), of(true)),
            ("benign".to_owned(), of(false)),
        ]
        .into()
    }

    fn scattered(row: usize, is_attack: bool) -> f64 {
        ((row * 7919 + if is_attack { 3 } else { 0 }) % 10_007) as f64 / 7.0
    }

    #[test]
    fn numbers_that_say_nothing_are_no_leak_however_many_there_are() {
        for rows in [30, 500, 5_000] {
            let labels = profiles(&[("noise", &scattered)], rows);
            let told = ClassTellings::new(&labels, &|label| label == "attack").areas()[0].1;
            assert!(told < 0.7, "{rows} rows: {told}");
            assert_eq!(
                ClassTellings::new(&labels, &|label| label == "attack").giveaways(0.99, &[]),
                []
            );
        }
    }

    #[test]
    fn codes_without_an_order_and_missing_cells_are_seen() {
        let code =
            |row: usize, is_attack: bool| (row % 5) as f64 * 2.0 + f64::from(u8::from(is_attack));
        let gap = |row: usize, is_attack: bool| {
            if is_attack {
                (row % 7) as f64
            } else {
                f64::NAN
            }
        };
        // Above and below, but never between.
        let ends = |row: usize, is_attack: bool| match (is_attack, row % 2) {
            (true, 0) => 1e6 + scattered(row, true),
            (true, _) => -1e6 - scattered(row, true),
            _ => scattered(row, false),
        };
        let labels = profiles(&[("code", &code), ("gap", &gap), ("ends", &ends)], 3_000);
        let found = ClassTellings::new(&labels, &|label| label == "attack").giveaways(0.99, &[]);
        let told: Vec<(&str, &GiveawayReason)> = found
            .iter()
            .map(|giveaway| (giveaway.column.as_str(), &giveaway.reason))
            .collect();
        assert_eq!(
            told,
            [
                ("code", &GiveawayReason::Values),
                ("ends", &GiveawayReason::Values),
                ("gap", &GiveawayReason::Missing)
            ]
        );
    }

    #[test]
    fn rows_and_moments_are_known_by_what_they_hold() {
        let number = |row: usize, is_attack: bool| (2 * row + usize::from(is_attack)) as f64;
        let moment = |row: usize, _: bool| 1_700_000_000.0 + 0.37 * row as f64;
        let bytes = |row: usize, _: bool| ((row * 7919) % 1_000_003) as f64;
        let labels = profiles(
            &[("number", &number), ("moment", &moment), ("bytes", &bytes)],
            400,
        );
        let found = ClassTellings::new(&labels, &|label| label == "attack").giveaways(0.99, &[]);
        let told: BTreeMap<&str, &GiveawayReason> = found
            .iter()
            .map(|giveaway| (giveaway.column.as_str(), &giveaway.reason))
            .collect();
        assert_eq!(
            told,
            [
                ("moment", &GiveawayReason::Moment),
                ("number", &GiveawayReason::RowNumber)
            ]
            .into()
        );
    }
}
