//! A line through points.

use statrs::function::beta::beta_reg;

/// A line through points at the places 0, 1, 2 and so on, by least squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FittedLine {
    /// Its height at 0.
    pub start: f64,
    /// By how much it rises from place to place.
    pub slope: f64,
    /// Between which values the slope lies, as often as was asked (Student, 1908); none of two
    /// points.
    pub interval: Option<[f64; 2]>,
}

impl FittedLine {
    /// Fits a line; none through fewer than two places.
    pub fn of(points: &[(f64, f64)], confidence: f64) -> Option<Self> {
        let n = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        if points.len() < 2 || spread <= 0.0 {
            return None;
        }
        let both: f64 = points
            .iter()
            .map(|point| (point.0 - x) * (point.1 - y))
            .sum();
        let slope = both / spread;
        let start = y - slope * x;
        let off = |point: &(f64, f64)| (point.1 - start - slope * point.0).powi(2);
        let squares: f64 = points.iter().map(off).sum();
        let interval = (points.len() > 2).then(|| {
            let error = (squares / (n - 2.0) / spread).sqrt();
            let half = student_width(confidence, n - 2.0) * error;
            [slope - half, slope + half]
        });
        Some(Self {
            start,
            slope,
            interval,
        })
    }
}

/// Returns how far on either side of 0 Student's distribution of so many degrees of freedom holds
/// this share: 2.23 for .95 and 10.
fn student_width(confidence: f64, degrees: f64) -> f64 {
    // What lies beyond t on both sides.
    let beyond = |t: f64| beta_reg(degrees / 2.0, 0.5, degrees / (degrees + t * t));
    let (mut low, mut high) = (0.0, 1.0);
    while beyond(high) > 1.0 - confidence {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = low + (high - low) / 2.0;
        match beyond(middle) > 1.0 - confidence {
            true => low = middle,
            false => high = middle,
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_tables() {
        for (degrees, width) in [(1.0, 12.706), (2.0, 4.303), (10.0, 2.228), (100.0, 1.984)] {
            let found = student_width(0.95, degrees);
            assert!((found - width).abs() < 1e-3, "{found} {width}");
        }
    }

    #[test]
    fn a_line_goes_through_its_points() {
        let points: Vec<(f64, f64)> = (0..5)
            .map(|x| (f64::from(x), 3.0 - 0.5 * f64::from(x)))
            .collect();
        let line = FittedLine::of(&points, 0.95).unwrap();
        assert!((line.start - 3.0).abs() < 1e-12 && (line.slope + 0.5).abs() < 1e-12);
        let [low, high] = line.interval.unwrap();
        assert!((low - high).abs() < 1e-9);
        assert_eq!(FittedLine::of(&points[..1], 0.95), None);
        // scipy.stats.linregress, and its error times t.ppf(0.975, 2).
        let points = [(0.0, 1.0), (1.0, 3.0), (2.0, 2.0), (3.0, 5.0)];
        let line = FittedLine::of(&points, 0.95).unwrap();
        let [low, high] = line.interval.unwrap();
        let expected = [
            (line.slope, 1.1),
            (low, -1.135_723_940_575_297),
            (high, 3.335_723_940_575_297),
        ];
        assert!(
            expected.iter().all(|(found, is)| (found - is).abs() < 1e-9),
            "{line:?}"
        );
    }
}
