//! A detector's figures class by class.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::frame::labels::Labels;
use crate::model::class_metrics::ClassConfusion;
use crate::model::intervals::{Interval, wilson};
use crate::model::metrics::RankedRows;
use crate::model::scores::Scores;
use crate::prep::labels::UNSEEN_CLASS;

/// In how many groups calibration is told.
const BINS: usize = 10;

/// The figures of every class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassReport {
    /// The classes, in the order of their numbers.
    pub classes: Vec<ClassFigures>,
    /// How many rows of each class are told to be of each: a list a class.
    pub confusion: Vec<Vec<u64>>,
}

/// The figures of one class. A row is told to be of an attack where it raises an alarm, and of
/// another class where it does not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassFigures {
    /// The class.
    pub class: String,
    /// Whether it is an attack.
    pub is_attack: bool,
    /// Its rows.
    pub rows: u64,
    /// Rows that are told to be of it.
    pub told: u64,
    /// Its rows that are told to be of it.
    pub right: u64,
    /// The share of its rows that are told to be of it; none where it has no rows.
    pub recall: Option<ShareOfRows>,
    /// The share of the rows told to be of it that are; none where no row is told to be.
    pub precision: Option<ShareOfRows>,
    /// The harmonic mean of both.
    pub f1: f64,
    /// The share of its rows that raise an alarm, as whatever attack; none where it has no rows.
    pub alarms: Option<ShareOfRows>,
    /// That share at the lowest threshold at which at most 0.1 % of the benign rows raise an alarm.
    pub alarms_at_fpr_0_001: Option<ShareOfRows>,
    /// The same with at most 1 %.
    pub alarms_at_fpr_0_01: Option<ShareOfRows>,
    /// How far its probability is from how often it is right, on average over rows: by tenths of
    /// the probability, as the expected calibration error of Naeini, Cooper and Hauskrecht (2015).
    pub calibration_error: f64,
}

/// A share of rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShareOfRows {
    /// Those that count.
    pub hits: u64,
    /// Of how many.
    pub of: u64,
    /// The share.
    pub share: f64,
    /// Between which values it lies with 95 % confidence (Wilson).
    pub interval: Interval,
}

impl ShareOfRows {
    /// Counts the rows that count among some; none where there are none.
    pub(crate) fn counted(rows: impl Iterator<Item = bool>) -> Option<Self> {
        let (mut hits, mut of) = (0, 0);
        for counts in rows {
            of += 1;
            hits += u64::from(counts);
        }
        Self::new(hits, of)
    }

    /// Says how many of them raise an alarm, if those count that do.
    fn tell_alarms(&self) -> String {
        let [low, high] = self.interval;
        format!(
            "{} of {} rows raise an alarm ({:.4}, 95 % {low:.4} to {high:.4})",
            self.hits, self.of, self.share
        )
    }

    /// Counts rows; none where there are none.
    pub(crate) fn new(hits: u64, of: u64) -> Option<Self> {
        (of > 0).then(|| Self {
            hits,
            of,
            share: hits as f64 / of as f64,
            interval: wilson(hits, of),
        })
    }
}

impl ClassFigures {
    /// The names of its figures.
    pub const NAMES: [&'static str; 6] = [
        "recall",
        "precision",
        "f1",
        "alarms",
        "alarms_at_fpr_0_001",
        "alarms_at_fpr_0_01",
    ];

    /// Returns a figure by its name, with its interval if it is a share of rows; none where it has
    /// no rows to be told by.
    pub fn figure(&self, name: &str) -> Option<(f64, Option<Interval>)> {
        let share = match name {
            "recall" => self.recall,
            "precision" => self.precision,
            "alarms" => self.alarms,
            "alarms_at_fpr_0_001" => self.alarms_at_fpr_0_001,
            "alarms_at_fpr_0_01" => self.alarms_at_fpr_0_01,
            "f1" if self.rows > 0 => return Some((self.f1, None)),
            _ => None,
        };
        share.map(|share| (share.share, Some(share.interval)))
    }

    /// Says of the attack that is found least how much of it raises an alarm.
    pub fn tell_least(&self) -> String {
        let class = &self.class;
        let Some(found) = &self.alarms else {
            return format!("there is no row of `{class}`");
        };
        let told = found.tell_alarms();
        format!("the attack found least is `{class}`: {told}")
    }
}

impl ClassReport {
    /// Computes the figures at a threshold; none of a model that tells two classes apart.
    pub fn of(labels: &Labels, scores: &Scores, threshold: f64) -> Option<Self> {
        let by_class = scores.by_class()?;
        let classes = labels.classes();
        let mut confusion = ClassConfusion::new(classes.count());
        for (truth, told) in labels.rows().iter().zip(scores.told_classes(threshold)) {
            confusion.add(*truth, told, 1.0);
        }
        let ranked = RankedRows::new(labels, scores);
        let strict = [0.001, 0.01].map(|budget| ranked.threshold_within(budget));
        let alarms = |class: usize, threshold: f64| {
            let rows = labels.rows().iter().zip(scores.attack());
            let mine = rows.filter(|(truth, _)| usize::from(**truth) == class);
            ShareOfRows::counted(mine.map(|(_, p)| *p >= threshold))
        };
        let figures = |class: usize| {
            let [are, told, right] = confusion.of_class(class).map(|count| count as u64);
            let p = by_class.column(class);
            let is_class = |row: usize| usize::from(labels.class(row)) == class;
            ClassFigures {
                class: classes.names()[class].clone(),
                is_attack: classes.attacks()[class],
                rows: are,
                told,
                right,
                recall: ShareOfRows::new(right, are),
                precision: ShareOfRows::new(right, told),
                f1: 2.0 * right as f64 / ((are + told) as f64).max(1.0),
                alarms: alarms(class, threshold),
                alarms_at_fpr_0_001: alarms(class, strict[0]),
                alarms_at_fpr_0_01: alarms(class, strict[1]),
                calibration_error: calibration_error(p.iter().copied(), is_class),
            }
        };
        let all = 0..classes.count();
        let told_of = |truth: usize| {
            let told = all.clone().map(|told| confusion.count(truth, told) as u64);
            told.collect()
        };
        Some(Self {
            classes: all.clone().map(figures).collect(),
            confusion: all.clone().map(told_of).collect(),
        })
    }

    /// Says how much is found of attacks of types that training did not have, if there are some.
    pub fn tell_never_seen(&self) -> Option<String> {
        let mut classes = self.classes.iter();
        let unseen = classes.find(|class| class.class == UNSEEN_CLASS)?;
        let told = unseen.alarms?.tell_alarms();
        Some(format!(
            "of attacks of types that training did not have, {told}"
        ))
    }

    /// Returns the attack of which the smallest share of rows raises an alarm; none where no attack
    /// has rows.
    pub fn least_found(&self) -> Option<&ClassFigures> {
        let attacks = self.classes.iter().filter(|class| class.is_attack);
        let share = |class: &&ClassFigures| class.alarms.map_or(f64::INFINITY, |found| found.share);
        attacks
            .filter(|class| class.alarms.is_some())
            .min_by(|a, b| share(a).total_cmp(&share(b)))
    }
}

fn calibration_error(p: impl Iterator<Item = f64>, is_class: impl Fn(usize) -> bool) -> f64 {
    let mut bins = [(0.0, 0.0); BINS];
    let mut rows = 0_usize;
    for (row, p) in p.enumerate() {
        let (told, are) = &mut bins[((p * BINS as f64) as usize).min(BINS - 1)];
        *told += p;
        *are += f64::from(u8::from(is_class(row)));
        rows += 1;
    }
    let apart: f64 = bins.iter().map(|(told, are)| (told - are).abs()).sum();
    apart / rows.max(1) as f64
}
