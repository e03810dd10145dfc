//! The models that the learners fit, as one type; and the list of the learners.

use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::frame::labels::Classes;
use crate::model::data::{TrainingSet, first_missing};
use crate::model::error::{ModelError, catch_panics};
use crate::model::output::ModelOutput;
use crate::model::score_combiner::ScoreCombiner;
use crate::model::scores::Scores;
use crate::model::{bayes, linear, neighbours, novelty_model, one_vs_rest, softmax_linear, svm};
use crate::trees::bin_code::BinCode;
use crate::trees::bins::BinnedRows;
use crate::trees::class_ensemble::ClassEnsemble;
use crate::trees::ensemble::TreeEnsemble;

/// A fitted model, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub enum Model {
    /// A weight a feature, and one for all.
    Linear(linear::LinearModel),
    /// K nearest neighbours.
    Neighbours(neighbours::NearestNeighbours),
    /// Support vectors.
    Svm(svm::SupportVectors),
    /// Naive Bayes.
    Bayes(bayes::NaiveBayes),
    /// Trees.
    Trees(TreeEnsemble),
    /// Trees of several classes.
    ClassTrees(ClassEnsemble),
    /// Weights of the features for each of several classes.
    SoftmaxLinear(softmax_linear::SoftmaxLinear),
    /// Support vectors of each class against the rest.
    OneVsRest(one_vs_rest::OneVsRest),
    /// How far a row is from what training rows are like.
    Novelty(novelty_model::NoveltyModel),
    /// Several of the others.
    Combined(CombinedModel),
}

impl Model {
    /// Returns how many features it asks for.
    pub fn features(&self) -> Option<usize> {
        match self {
            Self::Linear(model) => Some(model.weights.len()),
            Self::Neighbours(model) => Some(model.features()),
            Self::Svm(model) => Some(model.vectors.ncols()),
            Self::Bayes(model) => model.features(),
            Self::Trees(model) => Some(model.features),
            Self::ClassTrees(model) => Some(model.features),
            Self::SoftmaxLinear(model) => Some(model.weights.nrows()),
            Self::OneVsRest(model) => model.features(),
            Self::Novelty(model) => Some(model.detector.features()),
            Self::Combined(model) => model.members.first().and_then(Self::features),
        }
    }

    /// Returns of how many classes it tells the probability; of two it tells that of the attack.
    pub fn classes(&self) -> usize {
        match self {
            Self::Linear(_) | Self::Svm(_) | Self::Trees(_) => 2,
            Self::Neighbours(model) => model.classes,
            Self::Bayes(model) => model.classes.len(),
            Self::ClassTrees(model) => model.classes,
            Self::SoftmaxLinear(model) => model.classes,
            Self::OneVsRest(model) => model.classes,
            Self::Novelty(model) => model.classes(),
            Self::Combined(model) => model.members.first().map_or(0, Self::classes),
        }
    }

    /// Returns whether cells may be missing.
    pub fn takes_missing(&self) -> bool {
        match self {
            Self::Trees(_) | Self::ClassTrees(_) => true,
            Self::Combined(model) => model.members.iter().all(Self::takes_missing),
            _ => false,
        }
    }

    /// Returns what is wrong with it, if it was read from a file.
    pub fn fault(&self) -> Option<String> {
        match self {
            Self::Linear(_) => None,
            Self::Neighbours(model) => model.fault(),
            Self::Svm(model) => model.fault(),
            Self::Bayes(model) => model
                .features()
                .is_none()
                .then(|| "naive Bayes without two classes".to_owned()),
            Self::Trees(model) => model.fault(),
            Self::ClassTrees(model) => model.fault(),
            Self::SoftmaxLinear(model) => model.fault(),
            Self::OneVsRest(model) => model.fault(),
            Self::Novelty(model) => model.fault(),
            Self::Combined(model) => model.fault(),
        }
    }

    /// Returns what the model makes of rows, whose classes are these.
    ///
    /// # Errors
    /// The input is empty or infinite, or a cell is missing that may not; the model failed or
    /// panicked, as it may if the number of columns differs.
    pub fn scores(&self, x: ArrayView2<'_, f64>, classes: &Classes) -> Result<Scores, ModelError> {
        let name = |column: usize| format!("the feature {}", column + 1);
        if let (Some((row, column)), false) = (first_missing(x, &name)?, self.takes_missing()) {
            return Err(ModelError::MissingFeature {
                feature: name(column),
                row: row + 1,
            });
        }
        let told = catch_panics(|| match self {
            Self::Linear(model) => model.probabilities(x).map(ModelOutput::Attack),
            Self::Neighbours(model) => model.told(x),
            Self::Svm(model) => model.probabilities(x).map(ModelOutput::Attack),
            Self::Bayes(model) => model.told(x),
            Self::Trees(model) => model.probabilities(x).map(ModelOutput::Attack),
            Self::ClassTrees(model) => model.probabilities(x).map(ModelOutput::Classes),
            Self::SoftmaxLinear(model) => model.probabilities(x).map(ModelOutput::Classes),
            Self::OneVsRest(model) => model.probabilities(x).map(ModelOutput::Classes),
            Self::Novelty(model) => model.told(x, classes.attacks()),
            Self::Combined(model) => model.told(x, classes),
        })?;
        told.scores(classes)
    }

    /// Returns what the models of these sizes that it holds make of some rows, in ascending order;
    /// a model that holds no others tells the same for every size.
    ///
    /// # Errors
    /// As for all rows.
    pub fn staged(
        &self,
        data: &TrainingSet,
        rows: &[u32],
        sizes: &[usize],
    ) -> Result<Vec<Scores>, ModelError> {
        let classes = data.labels.classes();
        match self {
            Self::Trees(model) => {
                let (asked, told) = match model.is_of_fine_bins() {
                    true => AskedGroups::told(data.fine_bins(), rows, |bins, groups| {
                        model.of_groups(bins, groups, sizes)
                    }),
                    false => AskedGroups::told(data.bins(), rows, |bins, groups| {
                        model.of_groups(bins, groups, sizes)
                    }),
                };
                let of_rows = |p: &Vec<f64>| {
                    let attack = asked.places.iter().map(|place| p[*place]);
                    Scores::of_attack(attack.collect())
                };
                Ok(told.iter().map(of_rows).collect())
            }
            Self::ClassTrees(model) => {
                let (asked, told) = match model.is_of_fine_bins() {
                    true => AskedGroups::told(data.fine_bins(), rows, |bins, groups| {
                        model.of_groups(bins, groups, sizes)
                    }),
                    false => AskedGroups::told(data.bins(), rows, |bins, groups| {
                        model.of_groups(bins, groups, sizes)
                    }),
                };
                let of_rows = |p: &Array2<f64>| {
                    ModelOutput::Classes(p.select(Axis(0), &asked.places)).scores(classes)
                };
                told.iter().map(of_rows).collect()
            }
            Self::Neighbours(model) => {
                let told = model.staged(data.select(rows).view(), sizes);
                told.into_iter().map(|told| told.scores(classes)).collect()
            }
            _ => Ok(vec![
                self.scores(data.select(rows).view(), classes)?;
                sizes.len()
            ]),
        }
    }
}

/// Models that are asked about the same rows, and how what they tell becomes one.
#[derive(Debug, Serialize, Deserialize)]
pub struct CombinedModel {
    /// The models: two or more, none of them combined.
    pub members: Vec<Model>,
    /// How their scores become one.
    pub combiner: ScoreCombiner,
}

impl CombinedModel {
    /// Returns what is wrong with it, if it was read from a file.
    pub fn fault(&self) -> Option<String> {
        let Some(first) = self.members.first() else {
            return Some("models put together that are none".to_owned());
        };
        let is_odd = |member: &Model| {
            matches!(member, Model::Combined(_))
                || member.classes() != first.classes()
                || member.features() != first.features()
        };
        if self.members.iter().any(is_odd) {
            return Some("models put together that do not fit".to_owned());
        }
        let of_members = self.members.iter().find_map(Model::fault);
        of_members.or_else(|| self.combiner.fault(self.members.len()))
    }

    pub(crate) fn told(
        &self,
        x: ArrayView2<'_, f64>,
        classes: &Classes,
    ) -> Result<ModelOutput, ModelError> {
        let members = self.members.iter();
        let scores: Vec<Scores> = members
            .map(|model| model.scores(x, classes))
            .collect::<Result<_, _>>()?;
        let told = self.combiner.combined(&scores);
        Ok(match told.by_class() {
            Some(by_class) => ModelOutput::Classes(by_class.clone()),
            None => ModelOutput::Attack(told.attack().to_vec()),
        })
    }
}

/// Rows that trees are asked about: those of one group once.
struct AskedGroups {
    /// The groups, each once.
    groups: Vec<u32>,
    /// Of each row the place of its group among them.
    places: Vec<usize>,
}

impl AskedGroups {
    /// Finds the groups of rows, and asks about each.
    fn told<C: BinCode, T>(
        bins: &BinnedRows<C>,
        rows: &[u32],
        ask: impl Fn(&BinnedRows<C>, &[u32]) -> T,
    ) -> (Self, T) {
        let asked = Self::of(bins, rows);
        let told = ask(bins, &asked.groups);
        (asked, told)
    }

    fn of<C: BinCode>(bins: &BinnedRows<C>, rows: &[u32]) -> Self {
        let group_of = |row: &u32| bins.group[*row as usize];
        let of: Vec<u32> = rows.iter().map(group_of).collect();
        let mut groups = of.clone();
        groups.sort_unstable();
        groups.dedup();
        let mut place = vec![0_u32; bins.groups];
        groups
            .iter()
            .zip(0..)
            .for_each(|(group, at)| place[*group as usize] = at);
        let places = of.iter().map(|group| place[*group as usize] as usize);
        let places = places.collect();
        Self { groups, places }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_hold_models_without_end_are_no_danger() {
        let mut model = Model::Linear(linear::LinearModel {
            weights: vec![1.0],
            intercept: 0.0,
        });
        for _ in 0..600 {
            model = Model::Combined(CombinedModel {
                members: vec![model],
                combiner: ScoreCombiner::Mean,
            });
        }
        let big = 256 << 20;
        let bytes = std::thread::Builder::new().stack_size(big).spawn(move || {
            let bytes = rmp_serde::to_vec_named(&model).expect("plain data serialises");
            // Its parts are let go of one in the other.
            drop(model);
            bytes
        });
        let bytes = bytes.expect("a thread").join().expect("it ends");
        let read = std::thread::spawn(move || rmp_serde::from_slice::<Model>(&bytes).is_err());
        assert!(read.join().expect("it ends"));
    }
}
