//! A model that may be picked: a trial, or several put together.
//!
//! How: the scores that cross-validation keeps of trials are put together fold by fold, by what is
//! found from the rows of the other folds: of no row its own label is looked at. The model in the
//! end puts its members together by what is found from all rows.

use crate::frame::labels::Labels;
use crate::model::error::ModelError;
use crate::model::fitted::{CombinedModel, Model};
use crate::model::hyper::HyperparameterValue;
use crate::model::learner::FitTask;
use crate::model::score_combiner::ScoreCombiner;
use crate::model::scores::Scores;
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::tuning::trials::{CrossValidation, ScoredTrial, TrialFit, TrialResult};

/// How trials are put together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CombiningRule {
    /// Their mean.
    Voting,
    /// Logistic regression of what they tell.
    Stacking,
    /// The more suspicious of two, of which the second has such a share of the budget.
    Either(f64),
}

impl CombiningRule {
    /// Its name in pipeline files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Voting => "voting",
            Self::Stacking => "stacking",
            Self::Either(_) => "either",
        }
    }

    /// Finds how scores are put together.
    fn combiner(self, labels: &Labels, members: &[Scores]) -> Result<ScoreCombiner, ModelError> {
        match self {
            Self::Voting => Ok(ScoreCombiner::Mean),
            Self::Stacking => ScoreCombiner::stacked(labels, members),
            Self::Either(share) => ScoreCombiner::greatest(labels, members, &[1.0 - share, share]),
        }
    }
}

/// A trial, or several put together.
#[derive(Clone, Debug)]
pub(crate) struct Composition {
    pub(crate) members: Vec<TrialFit>,
    /// Of each its number in the order of the search, from one.
    pub(crate) numbers: Vec<usize>,
    /// How they are put together; none of a trial alone.
    pub(crate) rule: Option<CombiningRule>,
}

impl Composition {
    /// A trial alone.
    pub(crate) fn of_trial(trial: TrialFit, number: usize) -> Self {
        Self {
            members: vec![trial],
            numbers: vec![number],
            rule: None,
        }
    }

    /// Returns the share of the rows that it is carried out on.
    pub(crate) fn share(&self) -> f64 {
        let shares = self.members.iter().map(|trial| trial.share);
        shares.fold(1.0, f64::min)
    }

    /// Returns whether it is a novelty detector.
    pub(crate) fn is_novelty(&self) -> bool {
        self.rule.is_none() && self.members.iter().all(|trial| trial.learner.is_novelty)
    }

    /// Returns the name of its learner, or of how trials are put together.
    pub(crate) fn name(&self) -> &'static str {
        match (self.rule, self.members.first()) {
            (Some(rule), _) => rule.name(),
            (None, Some(trial)) => trial.learner.name,
            (None, None) => "nothing",
        }
    }

    /// Returns its hyperparameters; of several trials what they are.
    pub(crate) fn named(&self) -> Vec<(String, HyperparameterValue)> {
        let Some(rule) = self.rule else {
            return self.members.iter().flat_map(TrialFit::named).collect();
        };
        let member = |(at, trial): (usize, &TrialFit)| {
            let name = format!("member {}", at + 1);
            (name, HyperparameterValue::Word(trial.show()))
        };
        let mut named: Vec<_> = self.members.iter().enumerate().map(member).collect();
        if let CombiningRule::Either(share) = rule {
            named.push((
                "novelty_share".to_owned(),
                HyperparameterValue::Number(share),
            ));
        }
        named
    }

    /// Tells it, without what is as usual.
    pub(crate) fn show(&self) -> String {
        let members: Vec<String> = self.members.iter().map(TrialFit::show).collect();
        match self.rule {
            None => members.concat(),
            Some(rule) => format!("{} of {}", rule.name(), members.join(" and ")),
        }
    }

    /// Carries it out in other ways, and returns what each came to.
    pub(crate) fn carried_out(
        &self,
        ways: &[&dyn Fn(TrialFit) -> TrialFit],
        sweep: &CrossValidation<'_>,
        first: usize,
        context: &StageContext<'_>,
    ) -> Result<Vec<TrialResult>, StageError> {
        let varied = ways
            .iter()
            .flat_map(|way| self.members.iter().cloned().map(way));
        let trials: Vec<TrialFit> = varied.collect();
        let mut outcomes = sweep.carry_out(&trials, first, false, context)?.into_iter();
        let one = |_| {
            let members: Result<Vec<ScoredTrial>, ModelError> = outcomes
                .by_ref()
                .take(self.members.len())
                .collect::<Vec<_>>()
                .into_iter()
                .collect();
            self.put_together(members?, sweep)
        };
        Ok(ways.iter().map(one).collect())
    }

    /// Puts the scores of its members together, each fold's by what the others' rows tell.
    pub(crate) fn put_together(
        &self,
        mut members: Vec<ScoredTrial>,
        sweep: &CrossValidation<'_>,
    ) -> TrialResult {
        let Some(rule) = self.rule else {
            return Ok(members.remove(0));
        };
        let first = &members[0];
        if members.iter().any(|other| other.rows != first.rows) {
            let why = "its members were not asked about the same rows".to_owned();
            return Err(ModelError::NoSolution(why));
        }
        let labels = sweep.data().labels.select(&first.rows);
        let mut folds = first.fold_of.clone();
        folds.sort_unstable();
        folds.dedup();
        let (mut order, mut told) = (Vec::new(), Vec::new());
        for fold in folds {
            let places = |is_mine: bool| -> Vec<usize> {
                let places = 0..first.rows.len();
                places
                    .filter(|at| (first.fold_of[*at] == fold) == is_mine)
                    .collect()
            };
            let of = |places: &[usize]| -> Vec<Scores> {
                members
                    .iter()
                    .map(|member| member.scores.select(places))
                    .collect()
            };
            let (mine, others) = (places(true), places(false));
            let known = others.iter().map(|at| *at as u32).collect::<Vec<_>>();
            let combiner = rule.combiner(&labels.select(&known), &of(&others))?;
            told.push(combiner.combined(&of(&mine)));
            order.extend(mine);
        }
        let mut back = vec![0; order.len()];
        order
            .iter()
            .enumerate()
            .for_each(|(at, place)| back[*place] = at);
        let scores = Scores::stacked(&told).select(&back);
        Ok(sweep.scored(first.rows.clone(), first.fold_of.clone(), scores))
    }

    /// Fits it; `scored` are its members in cross-validation.
    ///
    /// # Errors
    /// A member cannot be fitted, or they cannot be put together.
    pub(crate) fn fit(
        &self,
        task: &FitTask<'_>,
        scored: &[&ScoredTrial],
    ) -> Result<Model, ModelError> {
        let fit = |trial: &TrialFit| {
            trial.learner.fit(&FitTask {
                setting: &trial.setting,
                ..*task
            })
        };
        let mut members: Vec<Model> = self.members.iter().map(fit).collect::<Result<_, _>>()?;
        let (Some(rule), Some(first)) = (self.rule, scored.first()) else {
            return Ok(members.remove(0));
        };
        let labels = task.data.labels.select(&first.rows);
        let scores: Vec<Scores> = scored.iter().map(|member| member.scores.clone()).collect();
        Ok(Model::Combined(CombinedModel {
            members,
            combiner: rule.combiner(&labels, &scores)?,
        }))
    }
}
