//! Tests of whether two samples, or the counts of two samples, come from one distribution. The
//! Kolmogorov–Smirnov test has a file of its own.

use std::collections::BTreeMap;

use statrs::function::erf::erfc;
use statrs::function::gamma::{gamma_ur, ln_gamma};

/// The result of a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TestResult {
    /// Its statistic.
    pub statistic: f64,
    /// The probability of at least this statistic if both samples come from one distribution.
    pub p: f64,
}

/// Pearson's chi-squared test of homogeneity on the counts of two samples in the same categories,
/// without a correction for continuity (SciPy's `chi2_contingency(correction=False)`). Categories
/// that both lack are left out.
///
/// Returns `None` if a sample is empty or there are fewer than two categories.
pub fn chi_squared(counts: &[(u64, u64)]) -> Option<TestResult> {
    let present: Vec<(f64, f64)> = counts
        .iter()
        .filter(|(a, b)| a + b > 0)
        .map(|(a, b)| (*a as f64, *b as f64))
        .collect();
    let (n1, n2) = present
        .iter()
        .fold((0.0, 0.0), |(n1, n2), (a, b)| (n1 + a, n2 + b));
    if present.len() < 2 || n1 == 0.0 || n2 == 0.0 {
        return None;
    }
    let term = |(a, b): &(f64, f64)| {
        let (first, second) = ((a + b) * n1 / (n1 + n2), (a + b) * n2 / (n1 + n2));
        (a - first).powi(2) / first + (b - second).powi(2) / second
    };
    let statistic = present.iter().map(term).sum();
    Some(TestResult {
        statistic,
        p: chi_squared_tail(statistic, (present.len() - 1) as f64),
    })
}

/// P(X ≥ x) of the chi-squared distribution: the regularised upper incomplete gamma function.
pub fn chi_squared_tail(x: f64, degrees: f64) -> f64 {
    if x <= 0.0 {
        1.0
    } else {
        gamma_ur(degrees / 2.0, x / 2.0)
    }
}

/// Cramér's V of two samples' counts: the root of the statistic over n, as there are two samples;
/// from 0 to 1.
pub fn cramers_v(statistic: f64, n: u64) -> f64 {
    (statistic / n as f64).sqrt().min(1.0)
}

/// The two-sided z test of two proportions with a pooled variance (statsmodels'
/// `proportions_ztest`).
///
/// Returns `None` if a sample is empty or nothing varies.
pub fn two_proportions((hits1, n1): (u64, u64), (hits2, n2): (u64, u64)) -> Option<TestResult> {
    let (h1, h2, m1, m2) = (hits1 as f64, hits2 as f64, n1 as f64, n2 as f64);
    let pooled = (h1 + h2) / (m1 + m2);
    let variance = pooled * (1.0 - pooled) * (1.0 / m1 + 1.0 / m2);
    if n1 == 0 || n2 == 0 || variance <= 0.0 {
        return None;
    }
    let statistic = (h1 / m1 - h2 / m2) / variance.sqrt();
    Some(TestResult {
        statistic,
        p: erfc(statistic.abs() / std::f64::consts::SQRT_2),
    })
}

/// Fisher's exact test of two proportions, two-sided: the probability of all tables with the same
/// margins that are not more likely than this one (SciPy's `fisher_exact`). For what is rare, where
/// the z test does not hold its level.
///
/// Returns `None` if a sample is empty. The statistic is the difference of the proportions.
pub fn fisher((hits1, n1): (u64, u64), (hits2, n2): (u64, u64)) -> Option<TestResult> {
    if n1 == 0 || n2 == 0 {
        return None;
    }
    let (hits, n) = (hits1 + hits2, n1 + n2);
    let choose = |n: u64, k: u64| {
        ln_gamma(n as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0)
    };
    let ln_p = |k: u64| choose(n1, k) + choose(n2, hits - k) - choose(n, hits);
    let here = ln_p(hits1);
    let (low, high) = (hits.saturating_sub(n2), hits.min(n1));
    // Tables whose probability is the same but for rounding count.
    let p: f64 = (low..=high)
        .map(ln_p)
        .filter(|p| *p <= here + 1e-7)
        .map(f64::exp)
        .sum();
    Some(TestResult {
        statistic: hits1 as f64 / n1 as f64 - hits2 as f64 / n2 as f64,
        p: p.min(1.0),
    })
}

/// The largest sample for which the p-value of the Cramér–von Mises test is counted exactly; as
/// SciPy.
pub const CVM_EXACT_UP_TO: usize = 20;

/// The two-sample Cramér–von Mises test of values with their counts, in order (Anderson, 1962; ties
/// by mean ranks, as SciPy's `cramervonmises_2samp`).
///
/// Returns `None` if a sample has fewer than two values.
pub fn cramer_von_mises(first: &[(f64, u64)], second: &[(f64, u64)]) -> Option<TestResult> {
    let total = |sample: &[(f64, u64)]| sample.iter().map(|(_, count)| count).sum::<u64>();
    let (nx, ny) = (total(first), total(second));
    if nx < 2 || ny < 2 {
        return None;
    }
    // U = nx Σ (r_i - i)² + ny Σ (s_j - j)² with mean ranks r and s among both samples.
    let (mut i, mut j, mut before, mut a, mut b) = (0, 0, 0.0, 0.0, 0.0);
    let (mut at_x, mut at_y) = (0.0, 0.0);
    while i < first.len() || j < second.len() {
        let value = match (first.get(i), second.get(j)) {
            (Some((x, _)), Some((y, _))) => x.min(*y),
            (Some((x, _)), None) => *x,
            (_, Some((y, _))) => *y,
            (None, None) => break,
        };
        let take = |sample: &[(f64, u64)], at: &mut usize| {
            let mut count = 0;
            while let Some((_, more)) = sample.get(*at).filter(|(other, _)| *other <= value) {
                count += more;
                *at += 1;
            }
            count as f64
        };
        let (x, y) = (take(first, &mut i), take(second, &mut j));
        let rank = before + (x + y + 1.0) / 2.0;
        a += squares(rank - at_x, x);
        b += squares(rank - at_y, y);
        at_x += x;
        at_y += y;
        before += x + y;
    }
    let (m, n) = (nx as f64, ny as f64);
    let u = m * a + n * b;
    let (k, total) = (m * n, m + n);
    let statistic = u / (k * total) - (4.0 * k - 1.0) / (6.0 * total);
    let p = if nx.max(ny) as usize > CVM_EXACT_UP_TO {
        let mean = (1.0 + 1.0 / total) / 6.0;
        let variance = (total + 1.0) * (4.0 * k * total - 3.0 * (m * m + n * n) - 2.0 * k)
            / (45.0 * total * total * 4.0 * k);
        let normal = 1.0 / 6.0 + (statistic - mean) / (45.0 * variance).sqrt();
        // Below this the limit's tail is one to all digits.
        if normal < 0.003 {
            1.0
        } else {
            (1.0 - cramer_von_mises_limit(normal)).max(0.0)
        }
    } else {
        cramer_von_mises_exact(u, nx, ny)
    };
    Some(TestResult { statistic, p })
}

/// Σ (d - i)² for i = 1 … count.
fn squares(d: f64, count: f64) -> f64 {
    count * d * d - d * count * (count + 1.0) + count * (count + 1.0) * (2.0 * count + 1.0) / 6.0
}

/// P(U ≥ u) by counting the lattice paths that interleave the samples by the sum of the squared
/// distances of the two empirical distribution functions along them (Xiao, Gordon and Yakovlev,
/// Journal of Statistical Software 17, 2006).
fn cramer_von_mises_exact(u: f64, nx: u64, ny: u64) -> f64 {
    let gcd = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let lcm = nx * ny / gcd(nx, ny);
    let (a, b) = ((lcm / nx) as i64, (lcm / ny) as i64);
    let (m, n, l) = (nx as f64, ny as f64, lcm as f64);
    // The sum along the path, in whole numbers: between two of them, as with ties, the lower one
    // counts.
    let seen = (l * l * (m + n) * (6.0 * u - m * n * (4.0 * m * n - 1.0)) / (6.0 * m * m * n * n)
        + 1e-9)
        .floor();
    let mut rows: Vec<BTreeMap<i64, f64>> = Vec::new();
    for i in 0..=nx {
        for j in 0..=ny {
            let step = (a * i as i64 - b * j as i64).pow(2);
            let mut here = BTreeMap::new();
            if i == 0 && j == 0 {
                here.insert(0, 1.0);
            } else {
                let mut take = |from: &BTreeMap<i64, f64>| {
                    for (value, ways) in from {
                        *here.entry(value + step).or_insert(0.0) += ways;
                    }
                };
                if i > 0 {
                    take(&rows[j as usize]);
                }
                if j > 0 {
                    take(&rows[j as usize - 1]);
                }
            }
            match rows.get_mut(j as usize) {
                Some(row) => *row = here,
                None => rows.push(here),
            }
        }
    }
    let last = &rows[ny as usize];
    let all: f64 = last.values().sum();
    last.iter()
        .filter(|(value, _)| **value as f64 >= seen)
        .map(|(_, ways)| ways)
        .sum::<f64>()
        / all
}

/// P(W² < x) in the limit of large samples: the series of Anderson and Darling (1952), with the
/// modified Bessel function of the second kind of order 1/4. Summed until a term is below 1e-7, as
/// SciPy does it, so that p-values agree to all digits.
fn cramer_von_mises_limit(x: f64) -> f64 {
    let mut total = 0.0;
    // The terms fall once y² is well beyond 16 x.
    for k in 0..100_000 {
        let k = f64::from(k);
        let y = 4.0 * k + 1.0;
        let q = y * y / (16.0 * x);
        let u = (ln_gamma(k + 0.5) - ln_gamma(k + 1.0)).exp()
            / (std::f64::consts::PI.powf(1.5) * x.sqrt());
        let term = u * y.sqrt() * scaled_bessel_quarter(q) * (-2.0 * q).exp();
        total += term;
        if term.abs() < 1e-7 {
            break;
        }
    }
    total
}

/// e^q K_{1/4}(q): ∫ exp(-q (cosh t - 1)) cosh(t / 4) dt from zero, by the trapezoidal rule, which
/// converges geometrically for it.
fn scaled_bessel_quarter(q: f64) -> f64 {
    // Beyond `end` the integrand is below 1e-18 of its greatest value.
    let end = ((45.0 / q) + 1.0).acosh() + 1.0;
    let steps = 400;
    let h = end / f64::from(steps);
    let value = |t: f64| (-2.0 * q * (t / 2.0).sinh().powi(2)).exp() * (t / 4.0).cosh();
    let inner: f64 = (1..steps).map(|i| value(f64::from(i) * h)).sum();
    h * (0.5 * (value(0.0) + value(end)) + inner)
}

/// Holm's step-down correction (1979): the i-th smallest of m p-values times m - i, never below an
/// earlier one.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![0.0; p.len()];
    let mut floor: f64 = 0.0;
    for (rank, index) in ascending(p).into_iter().enumerate() {
        floor = floor.max(((p.len() - rank) as f64 * p[index]).min(1.0));
        adjusted[index] = floor;
    }
    adjusted
}

/// Benjamini and Hochberg's step-up correction (1995): the i-th smallest of m p-values times m / i,
/// never above a later one.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![0.0; p.len()];
    let mut ceiling: f64 = 1.0;
    for (rank, index) in ascending(p).into_iter().enumerate().rev() {
        ceiling = ceiling.min(p[index] * p.len() as f64 / (rank + 1) as f64);
        adjusted[index] = ceiling;
    }
    adjusted
}

fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    order
}
