//! Which settings to try next: every combination, draws, or what the trials so far suggest.
//!
//! How TPE suggests: a tenth of the trials so far, those with the best scores, are the good ones.
//! First the learner is drawn, then each of its hyperparameters by itself, all in the same way: a
//! density is built from a kernel around each value of the good ones, another from those of the
//! rest, both with one wide kernel more for what was never tried. Values are drawn from the first,
//! and the draw at which it is largest beside the second is taken. A few trials are suggested at
//! once from what is known, and those that were tried already are left out.
//!
//! What comes next depends on the trials so far and the seed alone, so that a search that was
//! stopped goes on where it was, and the same one is the same with any number of threads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::model::hyper::Hyperparameters;
use crate::stats::draws::{below, unit};

/// Trials that are drawn before any is suggested (Optuna's default).
const STARTUP: usize = 10;
/// Draws among which the most promising is taken (Optuna's default).
const DRAWS: usize = 24;
/// Trials that are suggested at once: so many run side by side whatever the machine.
const BATCH: usize = 4;

/// What may stand for one hyperparameter in a search.
#[derive(Clone, Debug, PartialEq)]
pub enum SearchDimension {
    /// One of these.
    Choice(Vec<f64>),
    /// A whole number, both bounds included.
    Whole(f64, f64),
    /// A number.
    Number(f64, f64),
    /// A number whose logarithm is drawn.
    Log(f64, f64),
}

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SearchStrategy {
    /// Every combination.
    Grid,
    /// So many draws.
    Random(usize),
    /// So many trials, each after the first drawn where good ones are dense and others are not
    /// (TPE; Bergstra, Bardenet, Bengio and Kégl, 2011).
    Tpe(usize),
    /// So many trials on a small share of the rows, the best of them on a share that is larger by
    /// this factor, and so on (successive halving; Jamieson and Talwalkar, 2016).
    Halving(usize, usize),
}

/// A trial: the number of a candidate, its setting, and the share of the rows that it is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The candidate.
    pub candidate: usize,
    /// Values of its hyperparameters.
    pub setting: Hyperparameters,
    /// The share of the rows.
    pub share: f64,
}

/// The space of every candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchSpace {
    /// Of every candidate a dimension for each hyperparameter.
    pub spaces: Vec<Vec<SearchDimension>>,
    /// How to search.
    pub strategy: SearchStrategy,
    /// What draws begin with.
    pub seed: u64,
}

impl SearchDimension {
    fn draw(&self, random: &mut ChaCha8Rng) -> f64 {
        match self {
            Self::Choice(values) => values[below(random, values.len())],
            _ => self.value(unit(random)),
        }
    }

    /// The value at a place from 0 to 1.
    fn value(&self, place: f64) -> f64 {
        match self {
            Self::Choice(values) => {
                values[((place * values.len() as f64) as usize).min(values.len() - 1)]
            }
            Self::Whole(low, high) => (low + (place * (high - low + 1.0)).floor()).min(*high),
            Self::Number(low, high) => low + place * (high - low),
            Self::Log(low, high) => (low.ln() + place * (high.ln() - low.ln()))
                .exp()
                .clamp(*low, *high),
        }
    }

    /// The place of a value from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        match self {
            Self::Choice(_) => 0.0,
            Self::Whole(low, high) => (value - low + 0.5) / (high - low + 1.0),
            Self::Number(low, high) if high > low => (value - low) / (high - low),
            Self::Log(low, high) if high > low => (value.ln() - low.ln()) / (high.ln() - low.ln()),
            Self::Number(..) | Self::Log(..) => 0.5,
        }
    }
}

/// Of trials so far, those with their scores; a trial that failed has none.
pub type FinishedTrials = [(Trial, Option<f64>)];

impl SearchSpace {
    /// Returns the trials to carry out next, given all so far; none at the end.
    pub fn next(&self, done: &FinishedTrials) -> Vec<Trial> {
        match self.strategy {
            SearchStrategy::Grid if done.is_empty() => self.combinations(),
            SearchStrategy::Random(count) if done.is_empty() => self.drawn(0, count),
            SearchStrategy::Grid | SearchStrategy::Random(_) => Vec::new(),
            SearchStrategy::Tpe(count) if done.is_empty() => self.drawn(0, count.min(STARTUP)),
            SearchStrategy::Tpe(count) => {
                self.suggested(done, count.saturating_sub(done.len()).min(BATCH))
            }
            SearchStrategy::Halving(count, factor) => self.halved(done, count, factor),
        }
    }

    fn random(&self, number: usize) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(number as u64);
        random
    }

    /// Every combination of the choices, the last hyperparameter changing fastest.
    fn combinations(&self) -> Vec<Trial> {
        let of = |(candidate, space): (usize, &Vec<SearchDimension>)| {
            let mut settings: Vec<Hyperparameters> = vec![Vec::new()];
            for dimension in space {
                let values = match dimension {
                    SearchDimension::Choice(values) => values.clone(),
                    other => vec![other.value(0.5)],
                };
                settings = settings
                    .iter()
                    .flat_map(|setting| {
                        values
                            .iter()
                            .map(|value| setting.iter().copied().chain([*value]).collect())
                    })
                    .collect();
            }
            settings
                .into_iter()
                .map(move |setting| Trial {
                    candidate,
                    setting,
                    share: 1.0,
                })
                .collect::<Vec<_>>()
        };
        self.spaces.iter().enumerate().flat_map(of).collect()
    }

    fn any(&self, random: &mut ChaCha8Rng) -> Trial {
        let candidate = below(random, self.spaces.len());
        let setting = self.spaces[candidate]
            .iter()
            .map(|dimension| dimension.draw(random))
            .collect();
        Trial {
            candidate,
            setting,
            share: 1.0,
        }
    }

    /// Draws trials; where all has been drawn before, there are fewer.
    fn drawn(&self, from: usize, count: usize) -> Vec<Trial> {
        let mut trials: Vec<Trial> = Vec::new();
        for number in from..from + 20 * count {
            let trial = self.any(&mut self.random(number));
            if !trials.contains(&trial) {
                trials.push(trial);
            }
            if trials.len() == count {
                break;
            }
        }
        trials
    }

    fn suggested(&self, done: &FinishedTrials, count: usize) -> Vec<Trial> {
        let mut ranked: Vec<&(Trial, Option<f64>)> = done.iter().collect();
        ranked.sort_by(|a, b| {
            b.1.unwrap_or(f64::NEG_INFINITY)
                .total_cmp(&a.1.unwrap_or(f64::NEG_INFINITY))
        });
        let good = (done.len().div_ceil(10)).min(25);
        let of = |trials: &[&(Trial, Option<f64>)]| {
            trials
                .iter()
                .map(|(trial, _)| trial.clone())
                .collect::<Vec<_>>()
        };
        let (good, others) = (of(&ranked[..good]), of(&ranked[good..]));
        let mut trials: Vec<Trial> = Vec::new();
        for number in 0..40 * count {
            let mut random = self.random(done.len() * 1000 + number);
            // Where all that is promising was tried, others are drawn.
            let trial = match number < 20 * count {
                true => self.promising(&good, &others, &mut random),
                false => self.any(&mut random),
            };
            if !trials.contains(&trial) && !done.iter().any(|(known, _)| *known == trial) {
                trials.push(trial);
            }
            if trials.len() == count {
                break;
            }
        }
        trials
    }

    /// Draws near good trials and takes, of every hyperparameter, the draw that is densest among
    /// the good and thinnest among the others.
    fn promising(&self, good: &[Trial], others: &[Trial], random: &mut ChaCha8Rng) -> Trial {
        let numbers = |trials: &[Trial]| {
            trials
                .iter()
                .map(|trial| trial.candidate as f64)
                .collect::<Vec<_>>()
        };
        let candidates = SearchDimension::Choice(
            (0..self.spaces.len())
                .map(|candidate| candidate as f64)
                .collect(),
        );
        let candidate = best(&candidates, &numbers(good), &numbers(others), random) as usize;
        let cells = |trials: &[Trial], at: usize| -> Vec<f64> {
            trials
                .iter()
                .filter(|trial| trial.candidate == candidate)
                .map(|trial| trial.setting[at])
                .collect()
        };
        let one = |(at, dimension): (usize, &SearchDimension)| {
            best(dimension, &cells(good, at), &cells(others, at), random)
        };
        let setting = self.spaces[candidate].iter().enumerate().map(one).collect();
        Trial {
            candidate,
            setting,
            share: 1.0,
        }
    }

    /// The trials that halving begins with: all, where they are few enough.
    fn begun(&self, count: usize) -> Vec<Trial> {
        let is_listed = self
            .spaces
            .iter()
            .flatten()
            .all(|dimension| matches!(dimension, SearchDimension::Choice(_)));
        let all = if is_listed {
            self.combinations()
        } else {
            Vec::new()
        };
        if is_listed && all.len() <= count {
            all
        } else {
            self.drawn(0, count)
        }
    }

    fn halved(&self, done: &FinishedTrials, count: usize, factor: usize) -> Vec<Trial> {
        let begun = match done
            .iter()
            .map(|(trial, _)| trial.share)
            .min_by(f64::total_cmp)
        {
            Some(least) => done
                .iter()
                .filter(|(trial, _)| trial.share == least)
                .map(|(trial, _)| trial.clone())
                .collect(),
            None => self.begun(count),
        };
        // Rungs of so many trials that the last has fewer than the factor.
        let mut sizes = vec![begun.len()];
        while sizes.last().is_some_and(|size| *size >= factor) {
            sizes.push(sizes[sizes.len() - 1] / factor);
        }
        let share = |rung: usize| (factor as f64).powi(rung as i32 - (sizes.len() as i32 - 1));
        if done.is_empty() {
            return begun
                .into_iter()
                .map(|trial| Trial {
                    share: share(0),
                    ..trial
                })
                .collect();
        }
        let rung = (0..sizes.len())
            .find(|rung| !done.iter().any(|(trial, _)| trial.share == share(*rung)));
        let Some(rung) = rung else { return Vec::new() };
        let mut last: Vec<&(Trial, Option<f64>)> = done
            .iter()
            .filter(|(trial, score)| trial.share == share(rung - 1) && score.is_some())
            .collect();
        last.sort_by(|a, b| {
            b.1.unwrap_or(f64::NEG_INFINITY)
                .total_cmp(&a.1.unwrap_or(f64::NEG_INFINITY))
        });
        let kept = last.into_iter().take(sizes[rung].max(1));
        kept.map(|(trial, _)| Trial {
            share: share(rung),
            ..trial.clone()
        })
        .collect()
    }
}

/// Of draws from the density of good values the one where that is largest beside the density of the
/// others.
fn best(dimension: &SearchDimension, good: &[f64], others: &[f64], random: &mut ChaCha8Rng) -> f64 {
    if let SearchDimension::Choice(values) = dimension {
        let weight = |seen: &[f64], value: f64| {
            let count = seen.iter().filter(|known| **known == value).count() as f64;
            (count + 1.0) / (seen.len() + values.len()) as f64
        };
        let mut kept = (f64::NEG_INFINITY, values[0]);
        for _ in 0..DRAWS {
            // Good values as often as they stand there, and each once more.
            let at = below(random, good.len() + values.len());
            let value = if at < good.len() {
                good[at]
            } else {
                values[at - good.len()]
            };
            let ratio = weight(good, value).ln() - weight(others, value).ln();
            if ratio > kept.0 {
                kept = (ratio, value);
            }
        }
        return kept.1;
    }
    let places = |values: &[f64]| {
        let mut places: Vec<f64> = values.iter().map(|value| dimension.place(*value)).collect();
        places.sort_by(f64::total_cmp);
        ParzenDensity(places)
    };
    let (good, others) = (places(good), places(others));
    let mut kept = (f64::NEG_INFINITY, 0.5);
    for _ in 0..DRAWS {
        let place = good.draw(random);
        let ratio = good.density(place).ln() - others.density(place).ln();
        if ratio > kept.0 {
            kept = (ratio, place);
        }
    }
    dimension.value(kept.1.min(1.0 - 1e-12))
}

/// A density over places from 0 to 1: one normal around each place, as wide as the way to its
/// neighbours, and a wide one in the middle.
struct ParzenDensity(Vec<f64>);

impl ParzenDensity {
    fn kernels(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let places = &self.0;
        let least = 1.0 / (places.len() as f64 + 1.0).min(100.0);
        let one = move |at: usize| {
            let before = if at == 0 { 0.0 } else { places[at - 1] };
            let after = places.get(at + 1).copied().unwrap_or(1.0);
            (
                places[at],
                (places[at] - before)
                    .max(after - places[at])
                    .clamp(least, 1.0),
            )
        };
        (0..places.len()).map(one).chain([(0.5, 1.0)])
    }

    fn draw(&self, random: &mut ChaCha8Rng) -> f64 {
        let at = below(random, self.0.len() + 1);
        let (middle, width) = self.kernels().nth(at).unwrap_or((0.5, 1.0));
        for _ in 0..100 {
            // Box and Muller, 1958.
            let normal = (-2.0 * unit(random).max(f64::MIN_POSITIVE).ln()).sqrt()
                * (2.0 * std::f64::consts::PI * unit(random)).cos();
            let place = middle + width * normal;
            if (0.0..=1.0).contains(&place) {
                return place;
            }
        }
        middle
    }

    fn density(&self, place: f64) -> f64 {
        let bell =
            |(middle, width): (f64, f64)| (-((place - middle) / width).powi(2) / 2.0).exp() / width;
        self.kernels().map(bell).sum::<f64>() / (self.0.len() as f64 + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(strategy: SearchStrategy) -> SearchSpace {
        let spaces = vec![
            vec![
                SearchDimension::Number(-1.0, 1.0),
                SearchDimension::Choice(vec![0.0, 1.0]),
            ],
            vec![
                SearchDimension::Log(0.001, 1.0),
                SearchDimension::Whole(1.0, 8.0),
            ],
        ];
        SearchSpace {
            spaces,
            strategy,
            seed: 7,
        }
    }

    /// Best at candidate 0, near 0.6, choice 1.
    fn score(trial: &Trial) -> f64 {
        match trial.candidate {
            0 => 1.0 - (trial.setting[0] - 0.6).abs() + trial.setting[1] / 10.0,
            _ => 0.2,
        }
    }

    fn carried_out(search: &SearchSpace) -> Vec<(Trial, Option<f64>)> {
        let mut done = Vec::new();
        loop {
            let next = search.next(&done);
            if next.is_empty() {
                return done;
            }
            done.extend(
                next.into_iter()
                    .map(|trial| (trial.clone(), Some(score(&trial)))),
            );
        }
    }

    #[test]
    fn a_grid_is_every_combination() {
        let spaces = vec![vec![
            SearchDimension::Choice(vec![1.0, 2.0]),
            SearchDimension::Choice(vec![3.0, 4.0, 5.0]),
        ]];
        let done = carried_out(&SearchSpace {
            spaces,
            strategy: SearchStrategy::Grid,
            seed: 1,
        });
        assert_eq!(done.len(), 6);
        assert_eq!(done[1].0.setting, [1.0, 4.0]);
    }

    #[test]
    fn suggestions_come_near_the_best() {
        let best = |strategy| {
            carried_out(&search(strategy))
                .iter()
                .map(|(trial, _)| score(trial))
                .fold(0.0, f64::max)
        };
        let done = carried_out(&search(SearchStrategy::Tpe(60)));
        assert_eq!(done.len(), 60);
        let late = done[40..]
            .iter()
            .filter(|(trial, _)| trial.candidate == 0)
            .count();
        assert!(
            late > 12,
            "{late} of the last 20 are of the better candidate"
        );
        assert!(
            best(SearchStrategy::Tpe(60)) > 1.07,
            "{}",
            best(SearchStrategy::Tpe(60))
        );
    }

    #[test]
    fn halving_gives_more_rows_to_fewer_trials() {
        let done = carried_out(&search(SearchStrategy::Halving(27, 3)));
        let rung = |share: f64| {
            done.iter()
                .filter(|(trial, _)| (trial.share - share).abs() < 1e-9)
                .count()
        };
        assert_eq!(
            (
                rung(1.0 / 27.0),
                rung(1.0 / 9.0),
                rung(1.0 / 3.0),
                rung(1.0)
            ),
            (27, 9, 3, 1)
        );
    }
}
