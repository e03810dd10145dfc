//! The two-sample Kolmogorov–Smirnov test.

use statrs::function::gamma::ln_gamma;

/// The largest sample for which the p-value is counted exactly; above it, the limit for large
/// samples is used. The same border as SciPy's `ks_2samp` with `method="auto"`.
pub const EXACT_UP_TO: u64 = 10_000;

/// The result of a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KsResult {
    /// The greatest distance of the two empirical distribution functions, from 0 to 1.
    pub statistic: f64,
    /// The probability of at least this distance if both samples come from one continuous
    /// distribution.
    pub p: f64,
}

/// Compares two samples, two-sided. NaN cells must be taken out before.
///
/// Returns `None` if a sample is empty. With ties the p-value is an upper bound, as everywhere in
/// the field.
pub fn two_sample(first: &[f64], second: &[f64]) -> Option<KsResult> {
    let counted = |sample: &[f64]| {
        let mut sample = sample.to_vec();
        sample.sort_unstable_by(f64::total_cmp);
        sample.into_iter().map(|cell| (cell, 1)).collect::<Vec<_>>()
    };
    of_counts(&counted(first), &counted(second))
}

/// Compares two samples of values with their counts, in order; as `two_sample`.
pub fn of_counts(first: &[(f64, u64)], second: &[(f64, u64)]) -> Option<KsResult> {
    let total = |sample: &[(f64, u64)]| sample.iter().map(|(_, count)| count).sum::<u64>();
    let (n1, n2) = (total(first), total(second));
    if n1 == 0 || n2 == 0 {
        return None;
    }
    let steps = greatest_distance((first, n1), (second, n2));
    let statistic = steps as f64 / (n1 as f64 * n2 as f64);
    let p = if n1.max(n2) <= EXACT_UP_TO {
        exact_tail(n1, n2, u64::try_from(steps).unwrap_or(u64::MAX))
    } else {
        let (n1, n2) = (n1 as f64, n2 as f64);
        one_sample_tail((n1 * n2 / (n1 + n2)).round_ties_even(), statistic)
    };
    Some(KsResult { statistic, p })
}

/// The greatest distance, in units of 1 / (n1 · n2): whole numbers have no rounding.
fn greatest_distance((a, n1): (&[(f64, u64)], u64), (b, n2): (&[(f64, u64)], u64)) -> u128 {
    let (mut i, mut j, mut greatest) = (0, 0, 0);
    let (mut below_a, mut below_b) = (0_u64, 0_u64);
    while i < a.len() && j < b.len() {
        let value = if a[i].0 <= b[j].0 { a[i].0 } else { b[j].0 };
        while let Some((_, count)) = a.get(i).filter(|(cell, _)| *cell <= value) {
            below_a += count;
            i += 1;
        }
        while let Some((_, count)) = b.get(j).filter(|(cell, _)| *cell <= value) {
            below_b += count;
            j += 1;
        }
        let distance =
            (u128::from(below_a) * u128::from(n2)).abs_diff(u128::from(below_b) * u128::from(n1));
        greatest = greatest.max(distance);
    }
    greatest
}

/// P(distance ≥ steps / (n1 · n2)) by counting lattice paths (Hodges, 1958): of all ways to
/// interleave the two samples, the share whose path from (0, 0) to (n1, n2) reaches the border. The
/// share is carried along the grid, q(i, j) = i/(i+j) · q(i-1, j) + j/(i+j) · q(i, j-1), with q = 1
/// on and beyond the border, so that small tails are sums of small numbers and lose nothing.
fn exact_tail(n1: u64, n2: u64, steps: u64) -> f64 {
    if steps == 0 {
        return 1.0;
    }
    let (long, short) = (n1.max(n2), n1.min(n2));
    let mut row = vec![1.0; short as usize + 1];
    let inside = |i: u64| {
        // |i · short - j · long| < steps
        let low = (i * short + 1).saturating_sub(steps).div_ceil(long);
        let high = ((i * short + steps - 1) / long).min(short);
        (low, high)
    };
    for i in 0..=long {
        let (low, high) = inside(i);
        // Left of the band everything is beyond the border; so is, at first, what the band newly
        // takes in.
        if low > 0 {
            row[low as usize - 1] = 1.0;
        }
        let reached_before = if i == 0 { None } else { Some(inside(i - 1).1) };
        for j in low..=high {
            let above = match reached_before {
                Some(high) if j <= high => row[j as usize],
                Some(_) => 1.0,
                None => 0.0,
            };
            let left = if j == 0 { 0.0 } else { row[j as usize - 1] };
            let total = (i + j) as f64;
            row[j as usize] = if i + j == 0 {
                0.0
            } else {
                i as f64 / total * above + j as f64 / total * left
            };
        }
    }
    if inside(long).1 < short {
        1.0
    } else {
        row[short as usize].clamp(0.0, 1.0)
    }
}

/// P(D ≥ d) of the one-sample statistic for `n` observations, after Simard and L'Ecuyer, "Computing
/// the two-sided Kolmogorov–Smirnov distribution", Journal of Statistical Software 39 (2011), with
/// the same regions as SciPy.
pub fn one_sample_tail(n: f64, d: f64) -> f64 {
    let t = n * d;
    if d >= 1.0 {
        return 0.0;
    }
    if t <= 0.5 {
        return 1.0;
    }
    if t <= 1.0 {
        // Ruben and Gambino: n! (2d - 1/n)^n.
        return (1.0 - (ln_gamma(n + 1.0) + n * (2.0 * d - 1.0 / n).ln()).exp()).clamp(0.0, 1.0);
    }
    let both_sides = || (2.0 * one_sided_tail(n, d)).clamp(0.0, 1.0);
    if t >= n - 1.0 || d >= 0.5 {
        return both_sides();
    }
    let nd2 = t * d;
    let tail = if n <= 140.0 {
        if nd2 > 4.0 {
            both_sides()
        } else {
            1.0 - by_matrix(n, d)
        }
    } else if nd2 >= 370.0 {
        0.0
    } else if nd2 >= 2.2 {
        both_sides()
    } else if n <= 100_000.0 && n * d.powf(1.5) <= 1.4 {
        1.0 - by_matrix(n, d)
    } else {
        1.0 - pelz_good(n, d)
    };
    tail.clamp(0.0, 1.0)
}

/// P(D⁺ ≥ d), exact (Birnbaum and Tingey, 1951): d Σⱼ C(n, j) pⱼ^(j-1) (1 - pⱼ)^(n-j) with pⱼ = d +
/// j/n, where each term is a binomial probability over pⱼ.
fn one_sided_tail(n: f64, d: f64) -> f64 {
    let last = (n * (1.0 - d)).floor() as u64;
    let term = |j: u64| {
        let p = d + j as f64 / n;
        binomial(n, j as f64, p) / p
    };
    d * (0..=last).map(term).sum::<f64>()
}

/// The probability of `k` successes in `n` trials, without the cancellation of logarithms of large
/// factorials (Loader, "Fast and accurate computation of binomial probabilities", 2000).
fn binomial(n: f64, k: f64, p: f64) -> f64 {
    let q = 1.0 - p;
    if q <= 0.0 {
        return if k == n { 1.0 } else { 0.0 };
    }
    if k == 0.0 {
        return (n * (-p).ln_1p()).exp();
    }
    if k == n {
        return (n * p.ln()).exp();
    }
    let rest = stirling_rest(n) - stirling_rest(k) - stirling_rest(n - k);
    let exponent = rest - deviance(k, n * p) - deviance(n - k, n * q);
    (n / (std::f64::consts::TAU * k * (n - k))).sqrt() * exponent.exp()
}

/// ln n! minus Stirling's formula for it.
fn stirling_rest(n: f64) -> f64 {
    if n <= 15.0 {
        return ln_gamma(n + 1.0) - (n + 0.5) * n.ln() + n - 0.5 * std::f64::consts::TAU.ln();
    }
    let n2 = n * n;
    (1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / n2) / n2) / n2) / n2)
        / n
}

/// x ln(x / m) + m - x, by a series where x and m are close.
fn deviance(x: f64, m: f64) -> f64 {
    if (x - m).abs() >= 0.1 * (x + m) {
        return x * (x / m).ln() + m - x;
    }
    let v = (x - m) / (x + m);
    let mut sum = (x - m) * v;
    let mut power = 2.0 * x * v;
    for i in 1.. {
        power *= v * v;
        let next = sum + power / f64::from(2 * i + 1);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

/// P(D < d), exact (Marsaglia, Tsang and Wang, "Evaluating Kolmogorov's distribution", Journal of
/// Statistical Software 8, 2003): an entry of the n-th power of a matrix, with the exponent of ten
/// kept apart.
fn by_matrix(n: f64, d: f64) -> f64 {
    let k = (n * d).floor() as usize + 1;
    let m = 2 * k - 1;
    let h = k as f64 - n * d;
    let mut matrix = vec![vec![0.0; m]; m];
    for (i, row) in matrix.iter_mut().enumerate() {
        for (j, cell) in row.iter_mut().enumerate() {
            *cell = if i + 1 >= j { 1.0 } else { 0.0 };
        }
    }
    for (i, row) in matrix.iter_mut().enumerate() {
        row[0] -= h.powi(i as i32 + 1);
    }
    for (i, cell) in matrix[m - 1].iter_mut().enumerate() {
        *cell -= h.powi((m - i) as i32);
    }
    if 2.0 * h - 1.0 > 0.0 {
        matrix[m - 1][0] += (2.0 * h - 1.0).powi(m as i32);
    }
    for (i, row) in matrix.iter_mut().enumerate() {
        for (j, cell) in row.iter_mut().enumerate() {
            // Divided step by step by (i - j + 1)!.
            (1..=(i + 1).saturating_sub(j)).for_each(|g| *cell /= g as f64);
        }
    }
    let (power, mut exponent) = matrix_power(&matrix, n as u64);
    let mut s = power[k - 1][k - 1];
    for i in 1..=(n as u64) {
        s = s * i as f64 / n;
        if s < 1e-140 {
            s *= 1e140;
            exponent -= 140;
        }
    }
    s * 10_f64.powi(exponent)
}

fn matrix_power(base: &[Vec<f64>], n: u64) -> (Vec<Vec<f64>>, i32) {
    if n == 1 {
        return (base.to_vec(), 0);
    }
    let (half, exponent) = matrix_power(base, n / 2);
    let (mut power, mut exponent) = (product(&half, &half), 2 * exponent);
    if n % 2 == 1 {
        power = product(&power, base);
    }
    let middle = power.len() / 2;
    if power[middle][middle] > 1e140 {
        power.iter_mut().flatten().for_each(|cell| *cell *= 1e-140);
        exponent += 140;
    }
    (power, exponent)
}

fn product(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut c = vec![vec![0.0; b.len()]; a.len()];
    for (row, out) in a.iter().zip(&mut c) {
        for (factor, line) in row.iter().zip(b) {
            for (cell, value) in out.iter_mut().zip(line) {
                *cell += factor * value;
            }
        }
    }
    c
}

/// P(D < d) by the asymptotic expansion of Pelz and Good (1976) up to n^(-3/2), as given by Simard
/// and L'Ecuyer.
fn pelz_good(n: f64, d: f64) -> f64 {
    let z = n.sqrt() * d;
    let (z2, z3, z4, z6) = (z * z, z.powi(3), z.powi(4), z.powi(6));
    let pi2 = std::f64::consts::PI.powi(2);
    let half_root = (std::f64::consts::PI / 2.0).sqrt();
    let terms = (6.0 * z).ceil() as i64 + 6;
    let (mut k0, mut k1, mut k2, mut k3) = (0.0, 0.0, 0.0, 0.0);
    let (mut k2b, mut k3b) = (0.0, 0.0);
    for k in -terms..=terms {
        let half = k as f64 + 0.5;
        let h2 = pi2 * half * half;
        let weight = (-h2 / (2.0 * z2)).exp();
        k0 += weight;
        k1 += (h2 - z2) * weight;
        k2 += (6.0 * z6 + 2.0 * z4 + (2.0 * z4 - 5.0 * z2) * h2 + (1.0 - 2.0 * z2) * h2 * h2)
            * weight;
        k3 += (-30.0 * z6 - 90.0 * z4 * z4
            + h2 * (135.0 * z4 - 96.0 * z6)
            + h2 * h2 * (-60.0 * z2 + 212.0 * z4)
            + h2.powi(3) * (5.0 - 30.0 * z2))
            * weight;
        let w2 = pi2 * (k * k) as f64;
        let weight = (-w2 / (2.0 * z2)).exp();
        k2b += w2 * weight;
        k3b += (3.0 * w2 * z2 - w2 * w2) * weight;
    }
    let k0 = half_root * k0 / z;
    let k1 = half_root * k1 / (6.0 * z4);
    let k2 = half_root * (k2 / (72.0 * z6 * z) - k2b / (36.0 * z3));
    let k3 = half_root * (k3 / (6480.0 * z6 * z4) + k3b / (216.0 * z6));
    k0 + k1 / n.sqrt() + k2 / n + k3 / (n * n.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_samples_have_no_distance() {
        assert_eq!(
            two_sample(&[1.0, 2.0, 3.0], &[3.0, 1.0, 2.0]),
            Some(KsResult {
                statistic: 0.0,
                p: 1.0
            })
        );
        assert_eq!(two_sample(&[], &[1.0]), None);
    }

    #[test]
    fn tiny_samples_are_counted_by_hand() {
        // Of the 6 interleavings of two and two, 2 reach the full distance.
        let apart = two_sample(&[1.0, 2.0], &[3.0, 4.0]).unwrap();
        assert_eq!(apart.statistic, 1.0);
        assert!((apart.p - 2.0 / 6.0).abs() < 1e-15);
    }
}
