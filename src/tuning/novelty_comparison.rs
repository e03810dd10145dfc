//! The best novelty detector of a search compared with the best model that was trained on attacks.

use crate::model::data::TrainingSet;
use crate::model::novelty_comparison::{ComparedTrial, FoundBeside, NoveltyComparison};
use crate::model::unseen::FoundShares;
use crate::tuning::families::Families;
use crate::tuning::selection::{JudgedResult, JudgedTrial};
use crate::tuning::trials::TrialFit;

/// A trial with what it is called.
struct NamedTrial<'a> {
    name: ComparedTrial,
    judged: &'a JudgedTrial,
    thresholds: [f64; 2],
}

/// Compares the novelty detector that finds most within 1 % false positives with the best other
/// trial; none where no candidate is one, or there are no attacks. Trials are in this order, the
/// best first.
pub(crate) fn compared(
    trials: &[TrialFit],
    judged: &[JudgedResult],
    order: &[usize],
    data: &TrainingSet,
    families: &Families,
) -> Option<NoveltyComparison> {
    let named = |index: &usize| {
        let judged = judged[*index].as_ref().ok()?;
        let labels = data.labels.select(&judged.scored.rows);
        Some(NamedTrial {
            name: ComparedTrial {
                trial: index + 1,
                learner: trials[*index].learner.name.to_owned(),
            },
            judged,
            thresholds: FoundShares::thresholds(&labels, &judged.scores),
        })
    };
    let found = |trial: &NamedTrial<'_>, is_mine: &dyn Fn(usize) -> bool| {
        let rows = trial.judged.scored.rows.iter();
        let is_mine: Vec<bool> = rows.map(|row| is_mine(*row as usize)).collect();
        FoundShares::of(&trial.judged.scores, trial.thresholds, &is_mine)
    };
    let is_attack = |row: usize| data.labels.is_attack(row);
    let is_novelty = |index: &&usize| trials[**index].learner.is_novelty;
    let mut novelty: Option<(f64, NamedTrial<'_>)> = None;
    for trial in order.iter().filter(is_novelty).filter_map(named) {
        let share = found(&trial, &is_attack)?.at_fpr_0_01.share;
        if novelty.as_ref().is_none_or(|(most, _)| share > *most) {
            novelty = Some((share, trial));
        }
    }
    let (_, novelty) = novelty?;
    let mut others = order.iter().filter(|index| !is_novelty(index));
    let supervised = others.find_map(named);
    let beside = |family: &str, is_mine: &dyn Fn(usize) -> bool| {
        Some(FoundBeside {
            family: family.to_owned(),
            novelty: found(&novelty, is_mine)?,
            supervised: supervised.as_ref().and_then(|trial| found(trial, is_mine)),
        })
    };
    let attacks = beside("all attacks", &is_attack)?;
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
