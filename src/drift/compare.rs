//! Do two tables look alike: per column the test that fits what it holds, corrected for how many
//! there are, and always with an effect size, so that neither chance nor trifles raise an alarm.

use std::borrow::Cow;

use crate::base::stored::StoredDocument;
use crate::drift::domain_classifier;
use crate::drift::report::{
    ColumnDrift, DriftEffect, DriftQuestion, DriftReport, DriftTest, DriftTestName,
};
use crate::frame::table::ColumnType;
use crate::profile::columns::{
    ColumnProfile, Profile, ValueDistribution, in_buckets, side_by_side,
};
use crate::profile::units::{DrawnUnit, drawn_by};
use crate::stats::distances::{deviation, in_quantiles, jensen_shannon, psi, wasserstein};
use crate::stats::hypothesis::{
    TestResult, benjamini_hochberg, chi_squared, cramer_von_mises, cramers_v, fisher, holm,
    two_proportions,
};
use crate::stats::ks;

/// Bins for the stability index and the Jensen–Shannon distance of numbers.
const BINS: u64 = 10;
/// A category that is expected less often is put together with others: below it the chi-squared
/// test does not hold its level (Cochran, 1954).
const EXPECTED: f64 = 5.0;
/// The part of alpha that the comparison of whole rows gets; the columns get the rest.
const DOMAIN_SHARE: f64 = 0.2;

/// The test for numbers with many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContinuousTest {
    /// Kolmogorov and Smirnov.
    Ks,
    /// Cramér and von Mises.
    CramerVonMises,
}

/// How p-values are corrected for their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PValueCorrection {
    /// Holm: the chance of any false alarm is at most alpha.
    Holm,
    /// Benjamini and Hochberg: the expected share of false ones among the alarms is at most alpha.
    BenjaminiHochberg,
}

/// When two tables count as drifted apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DriftThresholds {
    /// The chance of a false alarm.
    pub alpha: f64,
    /// The correction.
    pub correction: PValueCorrection,
    /// The test for numbers with many values.
    pub continuous: ContinuousTest,
    /// Numbers with up to so many different values are compared like categories.
    pub few: usize,
    /// The least effect of a distribution that counts: the greatest distance of the distribution
    /// functions, or Cramér's V.
    pub min_effect: f64,
    /// The least difference of shares that counts: of missing cells, of NaN and infinities.
    pub min_share: f64,
    /// The least share of new categories that counts.
    pub min_new: f64,
    /// Whether whole rows are compared too.
    pub rows: bool,
    /// The least area under the ROC curve of that comparison that counts.
    pub min_auc: f64,
    /// The share of columns that may drift.
    pub max_share: f64,
    /// Decides the permutations.
    pub seed: u64,
}

impl Default for DriftThresholds {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            correction: PValueCorrection::Holm,
            continuous: ContinuousTest::Ks,
            few: 20,
            min_effect: 0.045,
            min_share: 0.01,
            min_new: 0.002,
            rows: true,
            min_auc: 0.55,
            max_share: 0.0,
            seed: 0,
        }
    }
}

/// Compares two tables by their profiles.
pub fn compare(reference: &Profile, current: &Profile, settings: &DriftThresholds) -> DriftReport {
    let (rows, drawn_by) = (
        (reference.rows, current.rows),
        drawn_by(
            &reference.units,
            &current.units,
            (reference.rows, current.rows),
        ),
    );
    let (first, second) = match drawn_by {
        DrawnUnit::Row => (Cow::Borrowed(reference), Cow::Borrowed(current)),
        DrawnUnit::DistinctRow | DrawnUnit::Group => (
            Cow::Owned(reference.of_units()),
            Cow::Owned(current.of_units()),
        ),
    };
    let mut columns: Vec<ColumnDrift> = first
        .columns
        .iter()
        .map(|column| compare_column(column, second.column(&column.name), settings))
        .collect();
    let unknown = current
        .columns
        .iter()
        .filter(|column| reference.column(&column.name).is_none());
    columns.extend(
        unknown.map(|column| certain(&column.name, DriftQuestion::Column, DriftEffect::NewColumn)),
    );
    let mut p: Vec<f64> = columns
        .iter()
        .flat_map(|column| &column.asked)
        .map(|asked| asked.p)
        .collect();
    p = match settings.correction {
        PValueCorrection::Holm => holm(&p),
        PValueCorrection::BenjaminiHochberg => benjamini_hochberg(&p),
    };
    let alpha = if settings.rows {
        settings.alpha * (1.0 - DOMAIN_SHARE)
    } else {
        settings.alpha
    };
    for (asked, p) in columns
        .iter_mut()
        .flat_map(|column| &mut column.asked)
        .zip(p)
    {
        asked.p_adjusted = p;
        asked.alarm = p < alpha && asked.effect >= asked.min_effect;
    }
    for column in &mut columns {
        column.drifted = column.asked.iter().any(|asked| asked.alarm);
    }
    let drifted_columns = columns.iter().filter(|column| column.drifted).count();
    let domain = settings
        .rows
        .then(|| {
            domain_classifier::compare(
                reference,
                current,
                drawn_by,
                settings.min_auc,
                settings.seed,
            )
        })
        .flatten();
    let domain_alarm = domain.is_some_and(|domain| {
        domain.p <= settings.alpha * DOMAIN_SHARE && domain.auc >= settings.min_auc
    });
    let share = drifted_columns as f64 / columns.len().max(1) as f64;
    DriftReport {
        format: DriftReport::FORMAT,
        drifted: share > settings.max_share || domain_alarm,
        alpha: settings.alpha,
        reference_rows: rows.0,
        current_rows: rows.1,
        drawn_by,
        compared: (first.rows, second.rows),
        drifted_columns,
        columns,
        domain,
        domain_alarm,
    }
}

/// What needs no test: a column that is gone, new, or of another type.
fn certain(name: &str, about: DriftQuestion, effect_name: DriftEffect) -> ColumnDrift {
    let asked = DriftTest {
        about,
        test: DriftTestName::None,
        statistic: 0.0,
        p: 0.0,
        p_adjusted: 0.0,
        effect_name,
        effect: 1.0,
        min_effect: 0.0,
        alarm: true,
    };
    let (psi, jensen_shannon, wasserstein) = (None, None, None);
    let (column, new_categories) = (name.to_owned(), Vec::new());
    ColumnDrift {
        column,
        asked: vec![asked],
        psi,
        jensen_shannon,
        wasserstein,
        new_categories,
        drifted: true,
    }
}

fn asked(
    about: DriftQuestion,
    test: DriftTestName,
    tested: TestResult,
    effect: (DriftEffect, f64, f64),
) -> DriftTest {
    let TestResult { statistic, p } = tested;
    let (effect_name, effect, min_effect) = effect;
    DriftTest {
        about,
        test,
        statistic,
        p,
        p_adjusted: p,
        effect_name,
        effect,
        min_effect,
        alarm: false,
    }
}

fn compare_column(
    reference: &ColumnProfile,
    current: Option<&ColumnProfile>,
    settings: &DriftThresholds,
) -> ColumnDrift {
    let name = reference.name.as_str();
    let Some(current) = current else {
        return certain(name, DriftQuestion::Column, DriftEffect::MissingColumn);
    };
    let mut column = ColumnDrift {
        column: name.to_owned(),
        asked: Vec::new(),
        psi: None,
        jensen_shannon: None,
        wasserstein: None,
        new_categories: Vec::new(),
        drifted: false,
    };
    let all = |column: &ColumnProfile| {
        column.missing + column.nan + column.infinite.0 + column.infinite.1 + column.count()
    };
    let (n1, n2) = (all(reference), all(current));
    let odd = |column: &ColumnProfile| column.nan + column.infinite.0 + column.infinite.1;
    let shares = [
        (DriftQuestion::Missing, reference.missing, current.missing),
        (DriftQuestion::NotFinite, odd(reference), odd(current)),
    ];
    for (about, hits1, hits2) in shares {
        if let Some((test, tested)) = proportions((hits1, n1), (hits2, n2)) {
            let difference = (hits1 as f64 / n1 as f64 - hits2 as f64 / n2 as f64).abs();
            column.asked.push(asked(
                about,
                test,
                tested,
                (DriftEffect::Difference, difference, settings.min_share),
            ));
        }
    }
    let is_empty = |column: &ColumnProfile| column.count() == 0;
    if is_empty(reference) || is_empty(current) {
        return column;
    }
    match (&reference.values, &current.values) {
        (ValueDistribution::Counts(a), ValueDistribution::Counts(b)) if is_few(a, b, settings) => {
            let text = |values: &[(f64, u64)]| {
                values
                    .iter()
                    .map(|(v, count)| (v.to_string(), *count))
                    .collect::<Vec<_>>()
            };
            // A number that is new is news only where numbers are names: few, and whole.
            let are_names = reference.kind != ColumnType::Time
                && a.iter().all(|(value, _)| value.fract() == 0.0);
            categories(&mut column, &text(a), &text(b), are_names, settings);
            column.wasserstein = Some(scaled(a, b));
        }
        (
            ValueDistribution::Counts(a) | ValueDistribution::Points(a),
            ValueDistribution::Counts(b) | ValueDistribution::Points(b),
        ) => {
            numbers(&mut column, a, b, settings);
        }
        (ValueDistribution::Texts(a), ValueDistribution::Texts(b)) => {
            categories(&mut column, a, b, true, settings)
        }
        (
            ValueDistribution::Buckets(_) | ValueDistribution::Texts(_),
            ValueDistribution::Buckets(_) | ValueDistribution::Texts(_),
        ) => {
            let (a, b) = (buckets(&reference.values), buckets(&current.values));
            let pairs: Vec<(u64, u64)> = a.into_iter().zip(b).collect();
            distribution(&mut column, &pairs, settings);
        }
        _ => return certain(name, DriftQuestion::Type, DriftEffect::OtherType),
    }
    column
}

fn is_few(a: &[(f64, u64)], b: &[(f64, u64)], settings: &DriftThresholds) -> bool {
    let mut values: Vec<f64> = a.iter().chain(b).map(|(value, _)| *value).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.dedup();
    values.len() <= settings.few
}

fn scaled(a: &[(f64, u64)], b: &[(f64, u64)]) -> f64 {
    let spread = deviation(a);
    let distance = wasserstein(a, b);
    if spread > 0.0 {
        distance / spread
    } else {
        distance
    }
}

fn numbers(
    column: &mut ColumnDrift,
    a: &[(f64, u64)],
    b: &[(f64, u64)],
    settings: &DriftThresholds,
) {
    let bins = in_quantiles(a, b, BINS);
    column.psi = Some(psi(&bins));
    column.jensen_shannon = Some(jensen_shannon(&bins));
    column.wasserstein = Some(scaled(a, b));
    let Some(found) = ks::of_counts(a, b) else {
        return;
    };
    let distance = found.statistic;
    let (test, tested) = match settings.continuous {
        ContinuousTest::Ks => (
            DriftTestName::Ks,
            Some(TestResult {
                statistic: distance,
                p: found.p,
            }),
        ),
        ContinuousTest::CramerVonMises => (DriftTestName::CramerVonMises, cramer_von_mises(a, b)),
    };
    if let Some(tested) = tested {
        column.asked.push(asked(
            DriftQuestion::Distribution,
            test,
            tested,
            (DriftEffect::Distance, distance, settings.min_effect),
        ));
    }
}

fn categories(
    column: &mut ColumnDrift,
    a: &[(String, u64)],
    b: &[(String, u64)],
    are_names: bool,
    settings: &DriftThresholds,
) {
    let counts = side_by_side(a, b);
    let pairs: Vec<(u64, u64)> = counts.values().copied().collect();
    distribution(column, &pairs, settings);
    let mut new: Vec<(String, u64)> = counts
        .iter()
        .filter(|(_, (old, _))| *old == 0)
        .map(|(text, (_, count))| ((*text).to_owned(), *count))
        .collect();
    let (n1, n2) = pairs
        .iter()
        .fold((0, 0), |(n1, n2), (a, b)| (n1 + a, n2 + b));
    let hits: u64 = new.iter().map(|(_, count)| count).sum();
    if hits > 0 && are_names {
        // Of rows yet to come, about as many are of a category never met as so far were of one met
        // once (Good, 1953).
        let once = pairs.iter().filter(|(old, _)| *old == 1).count() as u64;
        let beyond = hits as f64 / n2 as f64 - once as f64 / n1.max(1) as f64;
        if let Some((test, tested)) = proportions((once, n1), (hits, n2)).filter(|_| beyond > 0.0) {
            column.asked.push(asked(
                DriftQuestion::NewCategories,
                test,
                tested,
                (DriftEffect::Share, beyond, settings.min_new),
            ));
        }
        new.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        column.new_categories = new;
    }
}

/// Compares counts in the same categories.
fn distribution(column: &mut ColumnDrift, pairs: &[(u64, u64)], settings: &DriftThresholds) {
    let (n1, n2) = pairs
        .iter()
        .fold((0, 0), |(n1, n2), (a, b)| (n1 + a, n2 + b));
    let floats: Vec<(f64, f64)> = pairs.iter().map(|(a, b)| (*a as f64, *b as f64)).collect();
    column.psi = Some(psi(&floats));
    column.jensen_shannon = Some(jensen_shannon(&floats));
    let pooled = pool(pairs, n1, n2);
    let found = match pooled.as_slice() {
        [(a, b), _] => proportions((*a, n1), (*b, n2)),
        _ => chi_squared(&pooled).map(|tested| (DriftTestName::ChiSquared, tested)),
    };
    let statistic = chi_squared(&pooled).map_or(0.0, |tested| tested.statistic);
    if let Some((test, tested)) = found {
        let effect = cramers_v(statistic, n1 + n2);
        column.asked.push(asked(
            DriftQuestion::Distribution,
            test,
            tested,
            (DriftEffect::CramersV, effect, settings.min_effect),
        ));
    }
}

/// Puts categories together that are expected too rarely on a side.
fn pool(pairs: &[(u64, u64)], n1: u64, n2: u64) -> Vec<(u64, u64)> {
    let least = n1.min(n2) as f64 / (n1 + n2).max(1) as f64;
    let (mut kept, mut rest) = (Vec::new(), (0, 0));
    for (a, b) in pairs {
        if (a + b) as f64 * least >= EXPECTED {
            kept.push((*a, *b));
        } else {
            rest = (rest.0 + a, rest.1 + b);
        }
    }
    // What is still too rare together goes to the least of the others.
    match kept.iter_mut().min_by_key(|(a, b)| a + b) {
        Some(smallest) if (rest.0 + rest.1) as f64 * least < EXPECTED => {
            *smallest = (smallest.0 + rest.0, smallest.1 + rest.1);
        }
        _ if rest.0 + rest.1 > 0 => kept.push(rest),
        _ => {}
    }
    kept
}

/// The test of two shares that fits: that of the normal distribution where it holds, otherwise the
/// exact one. `None` if there is nothing to ask.
fn proportions(
    (hits1, n1): (u64, u64),
    (hits2, n2): (u64, u64),
) -> Option<(DriftTestName, TestResult)> {
    let (hits, n) = (hits1 + hits2, n1 + n2);
    if hits == 0 || hits == n || n1 == 0 || n2 == 0 {
        return None;
    }
    let least = n1.min(n2) as f64 * hits.min(n - hits) as f64 / n as f64;
    match least >= EXPECTED {
        true => two_proportions((hits1, n1), (hits2, n2))
            .map(|tested| (DriftTestName::TwoProportions, tested)),
        false => fisher((hits1, n1), (hits2, n2)).map(|tested| (DriftTestName::Fisher, tested)),
    }
}

/// The counts of text by digest, whether it was counted so or one by one.
fn buckets(values: &ValueDistribution) -> Vec<u64> {
    match values {
        ValueDistribution::Buckets(counts) => counts.clone(),
        values => in_buckets(values),
    }
}
