//! The area under the ROC curve of two samples that are counted.

/// The area under the ROC curve of values with their counts, in order: the probability that one of
/// the second is greater than one of the first, ties counted half (Mann and Whitney, 1947). `None`
/// if a sample is empty.
pub fn auc(first: &[(f64, u64)], second: &[(f64, u64)]) -> Option<f64> {
    let total = |sample: &[(f64, u64)]| sample.iter().map(|(_, count)| *count as f64).sum::<f64>();
    let (n1, n2) = (total(first), total(second));
    if n1 == 0.0 || n2 == 0.0 {
        return None;
    }
    let (mut below, mut i, mut sum) = (0.0, 0, 0.0);
    for (value, count) in second {
        while let Some((_, lower)) = first.get(i).filter(|(lower, _)| lower < value) {
            below += *lower as f64;
            i += 1;
        }
        let equal: f64 = first[i..]
            .iter()
            .take_while(|(other, _)| other == value)
            .map(|(_, count)| *count as f64)
            .sum();
        sum += *count as f64 * (below + equal / 2.0);
    }
    Some(sum / (n1 * n2))
}

/// The share of sorted numbers below a number, those equal to it counted half.
pub fn share_below(sorted: &[f64], number: f64) -> f64 {
    let below = sorted.partition_point(|other| *other < number);
    let up_to = sorted.partition_point(|other| *other <= number);
    (below + up_to) as f64 / (2.0 * sorted.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_counts_ties_half() {
        assert_eq!(
            auc(&[(0.0, 1), (1.0, 1)], &[(1.0, 1), (2.0, 1)]),
            Some(0.875)
        );
        assert_eq!(auc(&[], &[(1.0, 1)]), None);
    }
}
