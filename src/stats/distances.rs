//! How far two distributions are apart, whatever the sizes of their samples: effect sizes without a
//! p-value.

/// A share that stands for an empty bin, so that logarithms stay finite.
const EMPTY: f64 = 1e-4;

/// The population stability index of two lists of counts in the same bins: Σ (b - a) ln(b / a) over
/// their shares, empty bins counted as a share of 0.0001. 0.1 and 0.25 are the usual marks of a
/// small and a large change.
pub fn psi(counts: &[(f64, f64)]) -> f64 {
    let (n1, n2) = totals(counts);
    let share = |count: f64, n: f64| (count / n).max(EMPTY);
    counts
        .iter()
        .map(|(a, b)| (share(*a, n1), share(*b, n2)))
        .map(|(a, b)| (b - a) * (b / a).ln())
        .sum()
}

/// The Jensen–Shannon distance: the root of the divergence with logarithms to the base 2, from 0 to
/// 1 (SciPy's `jensenshannon(base=2)`).
pub fn jensen_shannon(counts: &[(f64, f64)]) -> f64 {
    let (n1, n2) = totals(counts);
    let part = |p: f64, m: f64| if p > 0.0 { p * (p / m).log2() } else { 0.0 };
    let divergence = |(a, b): &(f64, f64)| {
        let (p, q) = (a / n1, b / n2);
        let m = (p + q) / 2.0;
        part(p, m) + part(q, m)
    };
    (counts.iter().map(divergence).sum::<f64>() / 2.0)
        .max(0.0)
        .sqrt()
}

fn totals(counts: &[(f64, f64)]) -> (f64, f64) {
    let (n1, n2) = counts
        .iter()
        .fold((0.0, 0.0), |(n1, n2), (a, b)| (n1 + a, n2 + b));
    (n1.max(f64::MIN_POSITIVE), n2.max(f64::MIN_POSITIVE))
}

/// The Wasserstein distance of values with their counts, in order: the area between the two
/// distribution functions (SciPy's `wasserstein_distance`). Zero if a sample is empty.
pub fn wasserstein(first: &[(f64, u64)], second: &[(f64, u64)]) -> f64 {
    let total = |sample: &[(f64, u64)]| sample.iter().map(|(_, count)| *count as f64).sum::<f64>();
    let (n1, n2) = (total(first), total(second));
    if n1 == 0.0 || n2 == 0.0 {
        return 0.0;
    }
    let (mut i, mut j, mut a, mut b, mut area) = (0, 0, 0.0, 0.0, 0.0);
    let mut last: Option<f64> = None;
    loop {
        let value = match (first.get(i), second.get(j)) {
            (Some((x, _)), Some((y, _))) => x.min(*y),
            (Some((x, _)), None) => *x,
            (None, Some((y, _))) => *y,
            (None, None) => return area,
        };
        area += last.map_or(0.0, |last| (value - last) * (a / n1 - b / n2).abs());
        last = Some(value);
        while let Some((_, count)) = first.get(i).filter(|(x, _)| *x <= value) {
            a += *count as f64;
            i += 1;
        }
        while let Some((_, count)) = second.get(j).filter(|(y, _)| *y <= value) {
            b += *count as f64;
            j += 1;
        }
    }
}

/// The standard deviation of values with their counts, over n.
pub fn deviation(values: &[(f64, u64)]) -> f64 {
    let n: f64 = values.iter().map(|(_, count)| *count as f64).sum();
    let mean = values
        .iter()
        .map(|(value, count)| value * *count as f64)
        .sum::<f64>()
        / n;
    (values
        .iter()
        .map(|(value, count)| (value - mean).powi(2) * *count as f64)
        .sum::<f64>()
        / n)
        .sqrt()
}

/// Counts two samples in the bins between the quantiles of the first: about so many bins, each open
/// below and closed above. Values that are one bin by themselves stay one.
pub fn in_quantiles(first: &[(f64, u64)], second: &[(f64, u64)], bins: u64) -> Vec<(f64, f64)> {
    let whole: u64 = first.iter().map(|(_, count)| count).sum();
    let mut edges = Vec::new();
    let mut before = 0_u64;
    for (value, count) in first {
        let start = before;
        before += count;
        if before * bins / whole.max(1) > start * bins / whole.max(1) && before < whole {
            edges.push(*value);
        }
    }
    let count = |sample: &[(f64, u64)]| {
        let mut counts = vec![0.0; edges.len() + 1];
        for (value, count) in sample {
            counts[edges.partition_point(|edge| edge < value)] += *count as f64;
        }
        counts
    };
    count(first).into_iter().zip(count(second)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_distributions_are_not_apart() {
        let counts = [(10.0, 100.0), (30.0, 300.0)];
        assert!(psi(&counts).abs() < 1e-12 && jensen_shannon(&counts) < 1e-7);
        let sample = [(1.0, 1), (2.0, 3)];
        assert_eq!(wasserstein(&sample, &[(1.0, 10), (2.0, 30)]), 0.0);
        assert_eq!(wasserstein(&[(0.0, 2)], &[(3.0, 1)]), 3.0);
        assert_eq!(jensen_shannon(&[(1.0, 0.0), (0.0, 1.0)]), 1.0);
    }

    #[test]
    fn quantiles_of_the_reference_are_the_bins() {
        let reference: Vec<(f64, u64)> = (0..100).map(|i| (f64::from(i), 1)).collect();
        let counts = in_quantiles(&reference, &[(-5.0, 7), (99.0, 1), (200.0, 2)], 10);
        assert_eq!(counts.len(), 10);
        assert!(counts.iter().all(|(first, _)| *first == 10.0));
        assert_eq!((counts[0].1, counts[9].1), (7.0, 3.0));
    }
}
