//! Logistic regression of several classes (multinomial), with an L2 penalty.
//!
//! How: Newton's method, where the step is found by conjugate gradients from products with the
//! Hessian alone, each to an accuracy that grows as the optimum comes near (Nash, 2000; Dembo and
//! Steihaug, 1983). The Hessian of all classes together would be too large to be held; that of each
//! class alone is factored, and directions are divided by it, so that columns that go together or
//! have other units do no harm. A factor serves until the gradients need many products. What is
//! added to the weights of all classes alike changes nothing that is told: directions are kept free
//! of it, as the factors of single classes are not. Rows that the model is sure of hardly bend the
//! loss and are left out of products; loss and gradient are those of all rows.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Zip};
use serde::{Deserialize, Serialize};

use crate::model::error::ModelError;
use crate::model::learner::FitTask;
use crate::model::linear::{LogisticHypers, curvature, not_solved};
use crate::stats::cholesky::CholeskyFactor;
use crate::stats::softmax::{self, softmax};

/// The most steps.
const STEPS: usize = 200;
/// The most products with the Hessian for one step.
const PRODUCTS: usize = 250;
/// After so many products for a step the factors are made anew.
const MANY: usize = 10;
/// Factors of all classes have so many cells at most; beyond it directions are divided by the
/// diagonal.
const CELLS: usize = 1 << 24;
/// A row bends the loss if the sum of p (1 − p) over its classes is above this, however much it
/// counts.
const SURE: f64 = 1e-5;
/// It has converged when the gradient is this share of what it was, or a step lessens the loss by
/// less than the other share of it.
const ENOUGH: f64 = 1e-8;
const GAINED: f64 = 1e-13;

/// For each class a weight a feature, and one for all.
#[derive(Debug, Serialize, Deserialize)]
pub struct SoftmaxLinear {
    /// How many classes there are.
    pub classes: usize,
    /// Those that training had rows of, in order; the probability of others is 0.
    pub told: Vec<u16>,
    /// A row a feature, a column a class that is told.
    pub weights: Array2<f64>,
    /// The weight of a feature that is always 1, of each class that is told.
    pub intercepts: Vec<f64>,
}

/// Rows with a column of ones at the end, and the place of each row's class among those that are
/// told.
struct SoftmaxProblem {
    x: Array2<f64>,
    y: Vec<usize>,
    /// How much each row counts.
    weights: Array1<f64>,
    alpha: f64,
}

impl SoftmaxProblem {
    /// Adds the penalty's part of a gradient or a product: the intercepts are free.
    fn penalised(&self, mut sum: Array2<f64>, w: &Array2<f64>) -> Array2<f64> {
        let features = w.nrows() - 1;
        let mut penalised = sum.slice_mut(ndarray::s![..features, ..]);
        penalised.scaled_add(self.alpha, &w.slice(ndarray::s![..features, ..]));
        sum
    }

    /// The sum of the losses, −ln of the probability of the true class, and half the penalty.
    fn loss(&self, w: &Array2<f64>) -> f64 {
        let raw = self.x.dot(w);
        let of_rows = raw.rows().into_iter().zip(&self.y).zip(&self.weights);
        let of_rows: f64 = of_rows
            .map(|((row, class), weight)| {
                weight * softmax::loss(row.as_slice().expect("a row in order"), *class)
            })
            .sum();
        let features = w.nrows() - 1;
        let squares: f64 = w.iter().take(features * w.ncols()).map(|w| w * w).sum();
        of_rows + self.alpha * squares / 2.0
    }

    /// The probability of each class for each row.
    fn probabilities(&self, w: &Array2<f64>) -> Array2<f64> {
        let mut p = self.x.dot(w);
        for mut row in p.rows_mut() {
            softmax(row.as_slice_mut().expect("a row in order"));
        }
        p
    }

    fn gradient(&self, w: &Array2<f64>, p: &Array2<f64>) -> Array2<f64> {
        let mut apart = p.clone();
        let rows = apart.rows_mut().into_iter().zip(&self.y);
        for ((mut row, class), weight) in rows.zip(&self.weights) {
            row[*class] -= 1.0;
            row *= *weight;
        }
        self.penalised(self.x.t().dot(&apart), w)
    }

    /// The Hessian times a direction.
    fn product(&self, p: &Array2<f64>, v: &Array2<f64>) -> Array2<f64> {
        let mut turned = self.x.dot(v);
        let rows = turned.rows_mut().into_iter().zip(p.rows());
        for ((mut row, p), weight) in rows.zip(&self.weights) {
            let mean = row.dot(&p);
            Zip::from(&mut row)
                .and(&p)
                .for_each(|cell, p| *cell = weight * p * (*cell - mean));
        }
        self.penalised(self.x.t().dot(&turned), v)
    }

    /// How the loss of each row bends with what is told of each class.
    fn bends(&self, p: &Array2<f64>) -> Array2<f64> {
        let mut bends = p.mapv(|p| p * (1.0 - p));
        for (mut row, weight) in bends.rows_mut().into_iter().zip(&self.weights) {
            row *= *weight;
        }
        bends
    }

    /// The diagonal of the Hessian.
    fn diagonal(&self, p: &Array2<f64>) -> Array2<f64> {
        let squared = self.x.mapv(|cell| cell * cell);
        let sums = squared.t().dot(&self.bends(p));
        let penalty = self.alpha.max(1e-12);
        sums.mapv(|sum| sum + penalty)
    }

    /// Returns the rows that bend the loss, with the probabilities that they are told.
    fn unsure(&self, p: &Array2<f64>) -> (Self, Array2<f64>) {
        let spread = |row: &usize| p.row(*row).iter().map(|p| p * (1.0 - p)).sum::<f64>();
        let rows: Vec<usize> = (0..p.nrows()).filter(|row| spread(row) > SURE).collect();
        let unsure = Self {
            x: self.x.select(Axis(0), &rows),
            y: Vec::new(),
            weights: self.weights.select(Axis(0), &rows),
            alpha: self.alpha,
        };
        (unsure, p.select(Axis(0), &rows))
    }

    /// Newton's step, about: as near as `accuracy` times the gradient. `divisor` is what directions
    /// were divided by in the step before.
    fn step(
        &self,
        gradient: &Array2<f64>,
        p: &Array2<f64>,
        accuracy: f64,
        divisor: &mut Option<DirectionDivisor>,
    ) -> Array2<f64> {
        let (unsure, p) = self.unsure(p);
        let divisor = divisor.get_or_insert_with(|| DirectionDivisor::of(&unsure, &p));
        let mut step = Array2::zeros(gradient.dim());
        let mut rest = gradient.clone();
        let mut scaled = divisor.divided(&rest);
        let mut direction = scaled.clone();
        let mut length = dot(&rest, &scaled);
        let enough = accuracy * norm(gradient);
        divisor.products = 0;
        for _ in 0..PRODUCTS {
            divisor.products += 1;
            let product = unsure.product(&p, &direction);
            let curve = dot(&direction, &product);
            if !(curve > 0.0 && curve.is_finite()) {
                break;
            }
            let by = length / curve;
            step.scaled_add(by, &direction);
            rest.scaled_add(-by, &product);
            if norm(&rest) <= enough {
                break;
            }
            scaled = divisor.divided(&rest);
            let next = dot(&rest, &scaled);
            direction = &scaled + &(&direction * (next / length));
            length = next;
        }
        step
    }
}

/// What directions are divided by: for each class the Hessian of its weights alone, or the diagonal
/// of the whole.
struct DirectionDivisor {
    factors: Vec<CholeskyFactor>,
    diagonal: Array2<f64>,
    /// How many products the latest step took.
    products: usize,
}

impl DirectionDivisor {
    fn of(problem: &SoftmaxProblem, p: &Array2<f64>) -> Self {
        let width = problem.x.ncols();
        let bends = problem.bends(p);
        let factor = |bends: ArrayView1<'_, f64>| {
            let mut hessian = curvature(problem.x.view(), bends);
            let most = hessian.diag().iter().copied().fold(0.0, f64::max);
            hessian.diag_mut().mapv_inplace(|cell| cell + 1e-12 * most);
            let mut penalised = hessian.diag_mut();
            let mut penalised = penalised.slice_mut(ndarray::s![..width - 1]);
            penalised += problem.alpha;
            CholeskyFactor::of(hessian)
        };
        let fits = width * width * p.ncols() <= CELLS;
        let factors = match fits {
            true => bends.columns().into_iter().map(factor).collect(),
            false => None,
        };
        Self {
            factors: factors.unwrap_or_default(),
            diagonal: problem.diagonal(p),
            products: 0,
        }
    }

    /// Divides, and takes out what would be added to all classes alike.
    fn divided(&self, direction: &Array2<f64>) -> Array2<f64> {
        let mut divided = direction / &self.diagonal;
        for ((factor, from), mut to) in self
            .factors
            .iter()
            .zip(direction.columns())
            .zip(divided.columns_mut())
        {
            to.assign(&factor.solved(&from.to_owned()));
        }
        for mut row in divided.rows_mut() {
            let mean = row.sum() / row.len() as f64;
            row -= mean;
        }
        divided
    }
}

fn dot(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &Array2<f64>) -> f64 {
    dot(a, a).sqrt()
}

pub(crate) fn fit(task: &FitTask<'_>) -> Result<SoftmaxLinear, ModelError> {
    let features = task.data.select(task.rows);
    let labels = task.data.labels.select(task.rows);
    let told = labels.present();
    let place = |class: &u16| told.partition_point(|known| known < class);
    let mut x = Array2::ones((features.nrows(), features.ncols() + 1));
    x.slice_mut(ndarray::s![.., ..features.ncols()])
        .assign(&features);
    let problem = SoftmaxProblem {
        x,
        y: labels.rows().iter().map(place).collect(),
        weights: Array1::from(task.data.weights_of(task.rows)),
        alpha: LogisticHypers::of(task.setting).alpha,
    };
    let mut w: Array2<f64> = Array2::zeros((problem.x.ncols(), told.len()));
    let mut loss = problem.loss(&w);
    let (mut first, mut divisor) = (None, None);
    for _ in 0..STEPS {
        task.check()?;
        let p = problem.probabilities(&w);
        let gradient = problem.gradient(&w, &p);
        let size = norm(&gradient);
        let at_first = *first.get_or_insert(size);
        if !size.is_finite() || !loss.is_finite() {
            return Err(not_solved());
        }
        if size <= ENOUGH * at_first {
            break;
        }
        let accuracy = (size / at_first).sqrt().min(0.1);
        divisor = divisor.filter(|divisor: &DirectionDivisor| divisor.products <= MANY);
        let step = problem.step(&gradient, &p, accuracy, &mut divisor);
        let slope = dot(&gradient, &step);
        // Halved until the loss falls enough (Armijo, 1966).
        let (mut length, mut next) = (1.0, None);
        while length > 1e-10 && next.is_none() {
            let tried = &w - &(&step * length);
            let there = problem.loss(&tried);
            next = (there <= loss - 1e-4 * length * slope).then_some((tried, there));
            length /= 2.0;
        }
        let Some((tried, there)) = next else { break };
        let gained = loss - there;
        (w, loss) = (tried, there);
        if gained <= GAINED * loss.max(1e-12) {
            break;
        }
    }
    let intercepts: Array1<f64> = w.row(w.nrows() - 1).to_owned();
    if w.iter().any(|weight| !weight.is_finite()) {
        return Err(not_solved());
    }
    Ok(SoftmaxLinear {
        classes: labels.classes().count(),
        told,
        weights: w.slice(ndarray::s![..features.ncols(), ..]).to_owned(),
        intercepts: intercepts.to_vec(),
    })
}

impl SoftmaxLinear {
    /// Returns what is wrong with it, if it was read from a file.
    pub fn fault(&self) -> Option<String> {
        let is_odd = self.told.is_empty()
            || self
                .told
                .iter()
                .any(|class| usize::from(*class) >= self.classes)
            || self.weights.ncols() != self.told.len()
            || self.intercepts.len() != self.told.len();
        is_odd.then(|| "weights of classes that are not there".to_owned())
    }

    pub(crate) fn probabilities(&self, x: ArrayView2<'_, f64>) -> Result<Array2<f64>, ModelError> {
        if x.ncols() != self.weights.nrows() {
            return Err(ModelError::OtherFeatures {
                found: x.ncols(),
                needed: self.weights.nrows(),
            });
        }
        let mut p = Array2::zeros((x.nrows(), self.classes));
        let mut raw = vec![0.0; self.told.len()];
        // Row by row, so that a row is told the same whatever others are asked about with it.
        for (row, mut p) in x.axis_iter(Axis(0)).zip(p.rows_mut()) {
            raw.copy_from_slice(&self.intercepts);
            for (cell, weights) in row.iter().zip(self.weights.rows()) {
                raw.iter_mut()
                    .zip(weights)
                    .for_each(|(sum, weight)| *sum += cell * weight);
            }
            softmax(&mut raw);
            for (class, told) in self.told.iter().zip(&raw) {
                p[usize::from(*class)] = *told;
            }
        }
        Ok(p)
    }
}
