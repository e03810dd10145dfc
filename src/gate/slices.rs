//! How models do on parts of the rows: on each kind of attack, protocol, site.

use std::collections::BTreeMap;

use crate::base::count::counted;
use crate::frame::labels::Labels;
use crate::frame::table::Table;
use crate::gate::decision::{SliceRate, TestSlice};
use crate::gate::error::GateError;
use crate::gate::evaluated::EvaluatedModel;
use crate::gate::paired::{PairedModels, ScoredRows};
use crate::model::intervals::Interval;
use crate::model::metrics::RankedRows;
use crate::model::scores::Scores;
use crate::stats::binomial::{PairedCounts, clopper_pearson};

/// The false-positive rate at which attacks are counted besides the threshold.
const STRICT: f64 = 0.001;

/// How often the interval of a figure holds the true one.
const CONFIDENCE: f64 = 0.95;

/// A column with more values is no way to tell rows apart.
const MOST_VALUES: usize = 500;

/// Some of the test rows: which, with their labels and what the models make of them.
pub struct RowsOfSlice {
    /// The value that they share.
    pub value: String,
    labels: Labels,
    challenger: Scores,
    champion: Option<Scores>,
}

/// Returns the rows of each value of a column, in the order of the values.
///
/// # Errors
/// There is no such column, or it has too many values.
pub fn rows_by_value(
    column: &str,
    labels: &Labels,
    test: &Table,
    challenger: &EvaluatedModel,
    champion: Option<&EvaluatedModel>,
) -> Result<Vec<RowsOfSlice>, GateError> {
    let cells = test.texts(column)?;
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, cell) in cells.iter().enumerate() {
        let value = cell.as_deref().unwrap_or("");
        places.entry(value).or_default().push(row);
    }
    if places.len() > MOST_VALUES {
        return Err(GateError::TooManyValues {
            column: column.to_owned(),
            values: places.len(),
            most: MOST_VALUES,
        });
    }
    let slice = |(value, rows): (&str, Vec<usize>)| {
        RowsOfSlice::of(value, &rows, labels, challenger, champion)
    };
    Ok(places.into_iter().map(slice).collect())
}

/// Returns the rows of each class that has some, in the order of their numbers.
pub fn rows_by_class(
    labels: &Labels,
    challenger: &EvaluatedModel,
    champion: Option<&EvaluatedModel>,
) -> Vec<RowsOfSlice> {
    let mut places: Vec<Vec<usize>> = vec![Vec::new(); labels.classes().count()];
    for (row, class) in labels.rows().iter().enumerate() {
        places[usize::from(*class)].push(row);
    }
    let named = labels.classes().names().iter().zip(places);
    let seen = named.filter(|(_, rows)| !rows.is_empty());
    seen.map(|(name, rows)| RowsOfSlice::of(name, &rows, labels, challenger, champion))
        .collect()
}

impl RowsOfSlice {
    fn of(
        value: &str,
        rows: &[usize],
        labels: &Labels,
        challenger: &EvaluatedModel,
        champion: Option<&EvaluatedModel>,
    ) -> Self {
        let numbers: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
        Self {
            value: value.to_owned(),
            labels: labels.select(&numbers),
            challenger: challenger.scores.select(rows),
            champion: champion.map(|model| model.scores.select(rows)),
        }
    }

    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// Pairs both models on these rows; `None` without a champion.
    pub fn paired(
        &self,
        challenger: &EvaluatedModel,
        champion: Option<&EvaluatedModel>,
    ) -> Option<PairedModels<'_>> {
        let first = ScoredRows {
            scores: &self.challenger,
            threshold: challenger.metrics.threshold,
        };
        let second = ScoredRows {
            scores: self.champion.as_ref()?,
            threshold: champion?.metrics.threshold,
        };
        Some(PairedModels::new(&self.labels, first, second))
    }
}

/// Counts, for each value of a column, what raises an alarm.
///
/// # Errors
/// As `rows_by_value`.
pub fn slices(
    column: &str,
    labels: &Labels,
    test: &Table,
    challenger: &EvaluatedModel,
    champion: Option<&EvaluatedModel>,
) -> Result<Vec<TestSlice>, GateError> {
    let strict = RankedRows::new(labels, &challenger.scores).threshold_within(STRICT);
    let rows = rows_by_value(column, labels, test, challenger, champion)?;
    let slice = |rows: RowsOfSlice| TestSlice {
        column: column.to_owned(),
        rows: rows.count(),
        recall: rate(&rows, true, challenger, champion),
        false_positive_rate: rate(&rows, false, challenger, champion),
        recall_at_fpr_0_001: share_from(&rows.labels, &rows.challenger, true, strict),
        value: rows.value,
    };
    Ok(rows.into_iter().map(slice).collect())
}

/// The share of attacks, or of benign rows, that raise an alarm; none where there is no such row.
fn rate(
    rows: &RowsOfSlice,
    of_attacks: bool,
    challenger: &EvaluatedModel,
    champion: Option<&EvaluatedModel>,
) -> Option<SliceRate> {
    let threshold = challenger.metrics.threshold;
    let (alarms, of) = alarms_from(&rows.labels, &rows.challenger, of_attacks, threshold);
    if of == 0 {
        return None;
    }
    let paired = rows.paired(challenger, champion);
    let outcomes = paired.map(|pair| pair.outcomes(|row| rows.labels.is_attack(row) == of_attacks));
    let theirs = rows.champion.as_ref().zip(champion);
    Some(SliceRate {
        alarms,
        of,
        share: alarms as f64 / of as f64,
        interval: clopper_pearson(alarms, of, CONFIDENCE),
        champion: theirs.and_then(|(scores, model)| {
            share_from(&rows.labels, scores, of_attacks, model.metrics.threshold)
        }),
        difference: outcomes.map(|outcomes| difference_of_alarms(outcomes, of_attacks)),
        least_shown: PairedCounts::least_loss(of, CONFIDENCE),
    })
}

/// The interval of the difference of alarms; of benign rows it is right to raise none.
fn difference_of_alarms(outcomes: PairedCounts, of_attacks: bool) -> Interval {
    let [low, high] = outcomes.interval(CONFIDENCE);
    if of_attacks {
        [low, high]
    } else {
        [-high, -low]
    }
}

fn alarms_from(labels: &Labels, scores: &Scores, of_attacks: bool, threshold: f64) -> (u64, u64) {
    let mut alarms = 0;
    let mut of = 0;
    for row in (0..labels.len()).filter(|row| labels.is_attack(*row) == of_attacks) {
        of += 1;
        alarms += u64::from(scores.attack()[row] >= threshold);
    }
    (alarms, of)
}

fn share_from(labels: &Labels, scores: &Scores, of_attacks: bool, threshold: f64) -> Option<f64> {
    let (alarms, of) = alarms_from(labels, scores, of_attacks, threshold);
    (of > 0).then(|| alarms as f64 / of as f64)
}

/// A value of a column as it is told.
pub(crate) fn shown_value(value: &str) -> String {
    match value {
        "" => "empty".to_owned(),
        value => format!("`{value}`"),
    }
}

/// Says which value of a column has the least recall.
pub fn least_found(slices: &[TestSlice]) -> Option<String> {
    let found: Vec<(&TestSlice, &SliceRate)> = slices
        .iter()
        .filter_map(|slice| Some((slice, slice.recall.as_ref()?)))
        .collect();
    let (slice, recall) = found
        .iter()
        .min_by(|a, b| a.1.share.total_cmp(&b.1.share))?;
    let values = counted(found.len(), "value");
    let [low, high] = recall.interval;
    let attacks = counted(recall.of as usize, "attack");
    Some(format!(
        "of {values} of `{}` with attacks, {} is found least: {:.4} of {attacks} (95 % {low:.4} to {high:.4})",
        slice.column,
        shown_value(&slice.value),
        recall.share,
    ))
}
