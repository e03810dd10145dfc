//! Which settings to try next: every combination, draws, or what the trials so far suggest.
//!
//! How TPE suggests: a tenth of the trials so far, those with the best scores, are the good ones.
//! First the learner is drawn, then all of its hyperparameters together: a density is built from a
//! kernel around each of the good ones, another from those of the rest, both with one wide kernel
//! more for what was never tried. Settings are drawn from the first, and the draw at which it is
//! largest beside the second is taken. The more is known, the narrower are the kernels of the good
//! ones. A few trials are suggested at once, each as if those before it were no good (constant
//! liar), and those that were tried already are left out.
//!
//! What comes next depends on the trials so far and the seed alone, so that a search that was
//! stopped goes on where it was, and the same one is the same with any number of threads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::model::hyper::Hyperparameters;
use crate::stats::bca::normal_below;
use crate::stats::draws::{below, unit};

/// Trials that are drawn before any is suggested (Optuna's default).
const STARTUP: usize = 10;
/// How wide kernels around good trials are after the trials that are drawn, of a range of 1, by
/// which power of the number of trials they become narrower, and how narrow at most.
const WIDTH: f64 = 0.16;
const NARROWING: f64 = 0.5;
const NARROWEST: f64 = 0.01;
/// How wide a kernel around another trial is, were it the only one.
const OTHER_WIDTH: f64 = 0.15;
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
            Self::Choice(values) => values
                .iter()
                .position(|known| *known == value)
                .unwrap_or_default() as f64,
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
        let (good, mut others) = (of(&ranked[..good]), of(&ranked[good..]));
        let mut trials: Vec<Trial> = Vec::new();
        for number in 0..40 * count {
            let mut random = self.random(done.len() * 1000 + number);
            // Where all that is promising was tried, others are drawn.
            let trial = match number < 20 * count {
                true => self.promising(&good, &others, &mut random),
                false => self.any(&mut random),
            };
            if !trials.contains(&trial) && !done.iter().any(|(known, _)| *known == trial) {
                // What runs already counts as no good until more is known.
                others.push(trial.clone());
                trials.push(trial);
            }
            if trials.len() == count {
                break;
            }
        }
        trials
    }

    /// Draws near good trials and takes the draw that is densest among the good and thinnest among
    /// the others.
    fn promising(&self, good: &[Trial], others: &[Trial], random: &mut ChaCha8Rng) -> Trial {
        let candidate = self.promising_candidate(good, others, random);
        let space = &self.spaces[candidate];
        let settings = |trials: &[Trial]| -> Vec<Hyperparameters> {
            let mine = trials.iter().filter(|trial| trial.candidate == candidate);
            mine.map(|trial| trial.setting.clone()).collect()
        };
        let (good, others) = (settings(good), settings(others));
        let known = (good.len() + others.len()).max(STARTUP) as f64;
        let narrower = (STARTUP as f64 / known).powf(NARROWING);
        let dense = ParzenDensity::new(space, &good, (WIDTH * narrower).max(NARROWEST));
        // Scott's rule.
        let power = -1.0 / (space.len() as f64 + 4.0);
        let width = OTHER_WIDTH * (others.len().max(1) as f64).powf(power);
        let thin = ParzenDensity::new(space, &others, width);
        let mut kept: Option<(f64, Hyperparameters)> = None;
        for _ in 0..DRAWS {
            let setting = dense.draw(random);
            let ratio = dense.logarithm(&setting) - thin.logarithm(&setting);
            if kept.as_ref().is_none_or(|(most, _)| ratio > *most) {
                kept = Some((ratio, setting));
            }
        }
        let setting = kept.map(|(_, setting)| setting).unwrap_or_default();
        Trial {
            candidate,
            setting,
            share: 1.0,
        }
    }

    /// Draws a candidate, more often one that good trials have and others have not.
    fn promising_candidate(
        &self,
        good: &[Trial],
        others: &[Trial],
        random: &mut ChaCha8Rng,
    ) -> usize {
        let numbers = (0..self.spaces.len()).map(|candidate| candidate as f64);
        let space = [SearchDimension::Choice(numbers.collect())];
        let settings = |trials: &[Trial]| -> Vec<Hyperparameters> {
            trials
                .iter()
                .map(|trial| vec![trial.candidate as f64])
                .collect()
        };
        let (good, others) = (settings(good), settings(others));
        let dense = ParzenDensity::new(&space, &good, 1.0);
        let thin = ParzenDensity::new(&space, &others, 1.0);
        let mut kept = (f64::NEG_INFINITY, 0);
        for _ in 0..DRAWS {
            let setting = dense.draw(random);
            let ratio = dense.logarithm(&setting) - thin.logarithm(&setting);
            if ratio > kept.0 {
                kept = (ratio, setting[0] as usize);
            }
        }
        kept.1
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

/// A density over settings: a kernel around each of some, and a wide one in the middle for what was
/// never tried. Within a kernel numbers are normal, cut off at the ends of their range, and choices
/// mostly its own (Bergstra, Bardenet, Bengio and Kégl, 2011; jointly: Falkner, Klein and Hutter,
/// 2018).
struct ParzenDensity<'a> {
    space: &'a [SearchDimension],
    /// The centres, by the places of their numbers and the values of their choices.
    centres: Vec<Vec<f64>>,
    /// How wide kernels around them are.
    width: f64,
}

impl<'a> ParzenDensity<'a> {
    fn new(space: &'a [SearchDimension], settings: &[Hyperparameters], width: f64) -> Self {
        let centre = |setting: &Hyperparameters| {
            let each = space.iter().zip(setting);
            each.map(|(dimension, value)| dimension.place(*value))
                .collect()
        };
        Self {
            space,
            centres: settings.iter().map(centre).collect(),
            width,
        }
    }

    /// Draws a setting.
    fn draw(&self, random: &mut ChaCha8Rng) -> Hyperparameters {
        let centre = self.centres.get(below(random, self.centres.len() + 1));
        let one = |(at, dimension): (usize, &SearchDimension)| match dimension {
            SearchDimension::Choice(values) => {
                let shares = self.shares(centre.map(|centre| centre[at]), values.len());
                let mut left = unit(random);
                let place = shares.iter().position(|share| {
                    left -= share;
                    left < 0.0
                });
                values[place.unwrap_or(values.len() - 1)]
            }
            _ => {
                let (middle, width) = self.kernel(centre, at);
                dimension.value(normal_within(middle, width, random))
            }
        };
        self.space.iter().enumerate().map(one).collect()
    }

    /// The middle and the width of a kernel along a dimension.
    fn kernel(&self, centre: Option<&Vec<f64>>, at: usize) -> (f64, f64) {
        centre.map_or((0.5, 1.0), |centre| (centre[at], self.width))
    }

    /// How often a kernel's draws are each of some choices.
    fn shares(&self, own: Option<f64>, choices: usize) -> Vec<f64> {
        let (each, kernels) = (choices as f64, self.centres.len() as f64 + 1.0);
        match own {
            None => vec![1.0 / each; choices],
            Some(own) => {
                let other = 1.0 / kernels;
                let share = |choice: usize| match choice == own as usize {
                    true => 1.0 + other,
                    false => other,
                };
                (0..choices)
                    .map(|choice| share(choice) / (1.0 + each * other))
                    .collect()
            }
        }
    }

    /// The logarithm of the density at a setting.
    fn logarithm(&self, setting: &Hyperparameters) -> f64 {
        let places = self.space.iter().zip(setting);
        let places: Vec<f64> = places
            .map(|(dimension, value)| dimension.place(*value))
            .collect();
        let of_kernel = |centre: Option<&Vec<f64>>| -> f64 {
            let one = |(at, dimension): (usize, &SearchDimension)| match dimension {
                SearchDimension::Choice(values) => {
                    self.shares(centre.map(|centre| centre[at]), values.len())[places[at] as usize]
                        .ln()
                }
                _ => {
                    let (middle, width) = self.kernel(centre, at);
                    let inside = share_within(middle, width);
                    -((places[at] - middle) / width).powi(2) / 2.0 - (width * inside).ln()
                }
            };
            self.space.iter().enumerate().map(one).sum()
        };
        let kernels = self.centres.iter().map(|centre| of_kernel(Some(centre)));
        let kernels: Vec<f64> = kernels.chain([of_kernel(None)]).collect();
        let most = kernels.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = kernels.iter().map(|kernel| (kernel - most).exp()).sum();
        most + (sum / kernels.len() as f64).ln()
    }
}

/// Draws from a normal between 0 and 1.
fn normal_within(middle: f64, width: f64, random: &mut ChaCha8Rng) -> f64 {
    for _ in 0..100 {
        // Box and Muller, 1958.
        let normal = (-2.0 * unit(random).max(f64::MIN_POSITIVE).ln()).sqrt()
            * (2.0 * std::f64::consts::PI * unit(random)).cos();
        let place = middle + width * normal;
        if (0.0..1.0).contains(&place) {
            return place;
        }
    }
    middle
}

/// How much of a normal lies between 0 and 1.
fn share_within(middle: f64, width: f64) -> f64 {
    let below = |place: f64| normal_below((place - middle) / width);
    (below(1.0) - below(0.0)).max(f64::MIN_POSITIVE)
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
