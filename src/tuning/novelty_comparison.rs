//! The best novelty detector of a search compared with the best model that was trained on attacks.

use crate::model::data::TrainingSet;
use crate::model::novelty_comparison::{ComparedTrial, FoundBeside, NoveltyComparison};
use crate::model::unseen::FoundShares;
use crate::tuning::composition::Composition;
use crate::tuning::families::Families;
use crate::tuning::selection::{JudgedResult, JudgedTrial};

/// A trial with what it is called.
struct NamedTrial<'a> {
    name: ComparedTrial,
    judged: &'a JudgedTrial,
    thresholds: [f64; 2],
}

impl<'a> NamedTrial<'a> {
    /// Names a trial, if it could be fitted.
    fn of(
        index: usize,
        trials: &[Composition],
        judged: &'a [JudgedResult],
        data: &TrainingSet,
    ) -> Option<Self> {
        let judged = judged[index].as_ref().ok()?;
        let labels = data.labels.select(&judged.scored.rows);
        Some(Self {
            name: ComparedTrial {
                trial: index + 1,
                learner: trials[index].name().to_owned(),
            },
            judged,
            thresholds: FoundShares::thresholds(&labels, &judged.scores),
        })
    }

    /// Returns what it finds of some rows.
    fn found(&self, is_mine: &dyn Fn(usize) -> bool) -> Option<FoundShares> {
        let rows = self.judged.scored.rows.iter();
        let is_mine: Vec<bool> = rows.map(|row| is_mine(*row as usize)).collect();
        FoundShares::of(&self.judged.scores, self.thresholds, &is_mine)
    }
}

/// Returns the novelty detector that finds most of the attacks within 1 % false positives; of equal
/// ones, and where there are no attacks, the first in this order.
pub(crate) fn best_novelty(
    trials: &[Composition],
    judged: &[JudgedResult],
    order: &[usize],
    data: &TrainingSet,
) -> Option<usize> {
    let mut best: Option<(f64, usize)> = None;
    for index in order.iter().copied().filter(|at| trials[*at].is_novelty()) {
        let Some(trial) = NamedTrial::of(index, trials, judged, data) else {
            continue;
        };
        let found = trial.found(&|row| data.labels.is_attack(row));
        let share = found.map_or(0.0, |found| found.at_fpr_0_01.share);
        if best.is_none_or(|(most, _)| share > most) {
            best = Some((share, index));
        }
    }
    best.map(|(_, index)| index)
}

/// Compares the best novelty detector with the best trial of another learner; none where no
/// candidate is one, or there are no attacks. Trials are in this order, the best first.
pub(crate) fn compared(
    trials: &[Composition],
    judged: &[JudgedResult],
    order: &[usize],
    data: &TrainingSet,
    families: &Families,
) -> Option<NoveltyComparison> {
    let named = |index: usize| NamedTrial::of(index, trials, judged, data);
    let novelty = named(best_novelty(trials, judged, order, data)?)?;
    let is_other = |index: &&usize| trials[**index].rule.is_none() && !trials[**index].is_novelty();
    let supervised = order
        .iter()
        .filter(is_other)
        .find_map(|index| named(*index));
    let beside = |family: &str, is_mine: &dyn Fn(usize) -> bool| {
        Some(FoundBeside {
            family: family.to_owned(),
            novelty: novelty.found(is_mine)?,
            supervised: supervised.as_ref().and_then(|trial| trial.found(is_mine)),
        })
    };
    let attacks = beside("all attacks", &|row| data.labels.is_attack(row))?;
    let classes = data.labels.classes();
    let families: Vec<FoundBeside> = if families.names.is_empty() {
        let named = classes.names().iter().zip(classes.attacks()).enumerate();
        let attacks = named.filter(|(_, (_, is_attack))| **is_attack);
        let of_class = |(class, (name, _)): (usize, (&String, &bool))| {
            beside(name, &|row| usize::from(data.labels.class(row)) == class)
        };
        attacks.filter_map(of_class).collect()
    } else {
        let named = families.names.iter().enumerate();
        let of_family = |(place, name): (usize, &String)| {
            beside(name, &|row| families.of[row] == Some(place as u16))
        };
        named.filter_map(of_family).collect()
    };
    Some(NoveltyComparison {
        novelty: novelty.name,
        supervised: supervised.map(|trial| trial.name),
        attacks,
        families: if families.len() > 1 {
            families
        } else {
            Vec::new()
        },
    })
}
