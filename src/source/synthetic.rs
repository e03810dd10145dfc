//! A seeded generator of labelled rows that look like features of URLs: the embedded default.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::frame::table::{Table, TableError};

/// The name of the target column: 1 for phishing, -1 for legitimate.
pub const TARGET: &str = "result";

/// One feature: its name, the mean for either class, the common spread, and how it is rounded.
struct SyntheticFeature {
    name: &'static str,
    legitimate: f64,
    phishing: f64,
    spread: f64,
    form: SyntheticForm,
}

enum SyntheticForm {
    /// A count: rounded, not negative.
    Count,
    /// A share from 0 to 1.
    Share,
    /// -1, 0 or 1, as hand-made phishing features are.
    Ternary,
}

const FEATURES: [SyntheticFeature; 12] = [
    SyntheticFeature {
        name: "url_length",
        legitimate: 42.0,
        phishing: 71.0,
        spread: 27.0,
        form: SyntheticForm::Count,
    },
    SyntheticFeature {
        name: "host_length",
        legitimate: 15.0,
        phishing: 24.0,
        spread: 10.0,
        form: SyntheticForm::Count,
    },
    SyntheticFeature {
        name: "dots",
        legitimate: 2.1,
        phishing: 3.4,
        spread: 1.4,
        form: SyntheticForm::Count,
    },
    SyntheticFeature {
        name: "hyphens",
        legitimate: 0.4,
        phishing: 1.9,
        spread: 1.5,
        form: SyntheticForm::Count,
    },
    SyntheticFeature {
        name: "digit_share",
        legitimate: 0.04,
        phishing: 0.15,
        spread: 0.1,
        form: SyntheticForm::Share,
    },
    SyntheticFeature {
        name: "path_depth",
        legitimate: 2.0,
        phishing: 3.0,
        spread: 1.8,
        form: SyntheticForm::Count,
    },
    SyntheticFeature {
        name: "external_links",
        legitimate: 0.25,
        phishing: 0.55,
        spread: 0.28,
        form: SyntheticForm::Share,
    },
    SyntheticFeature {
        name: "domain_age_days",
        legitimate: 2400.0,
        phishing: 500.0,
        spread: 1300.0,
        form: SyntheticForm::Count,
    },
    SyntheticFeature {
        name: "has_ip_address",
        legitimate: 0.8,
        phishing: -0.2,
        spread: 0.9,
        form: SyntheticForm::Ternary,
    },
    SyntheticFeature {
        name: "ssl_state",
        legitimate: 0.9,
        phishing: -0.6,
        spread: 1.0,
        form: SyntheticForm::Ternary,
    },
    SyntheticFeature {
        name: "anchor_urls",
        legitimate: 0.5,
        phishing: -0.5,
        spread: 1.0,
        form: SyntheticForm::Ternary,
    },
    SyntheticFeature {
        name: "redirects",
        legitimate: 0.3,
        phishing: 0.7,
        spread: 1.1,
        form: SyntheticForm::Count,
    },
];

/// Makes a table of `rows` rows, a `missing` share of whose feature cells are missing.
///
/// # Errors
/// Does not happen: the columns have the same length and different names.
pub fn table(rows: usize, missing: f64, seed: u64) -> Result<Table, TableError> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut columns: Vec<(String, Vec<f64>)> = FEATURES
        .iter()
        .map(|feature| (feature.name.to_owned(), Vec::with_capacity(rows)))
        .collect();
    let mut target = Vec::with_capacity(rows);
    for _ in 0..rows {
        let phishing = uniform(&mut random) < 0.45;
        for (feature, (_, cells)) in FEATURES.iter().zip(&mut columns) {
            let value = feature.draw(phishing, &mut random);
            let gone = uniform(&mut random) < missing;
            cells.push(if gone { f64::NAN } else { value });
        }
        target.push(if phishing { 1.0 } else { -1.0 });
    }
    columns.push((TARGET.to_owned(), target));
    Table::of_numbers(columns)
}

impl SyntheticFeature {
    fn draw(&self, phishing: bool, random: &mut ChaCha8Rng) -> f64 {
        let mean = if phishing {
            self.phishing
        } else {
            self.legitimate
        };
        let value = mean + self.spread * normal(random);
        match self.form {
            SyntheticForm::Count => value.round().max(0.0),
            SyntheticForm::Share => (value.clamp(0.0, 1.0) * 1000.0).round() / 1000.0,
            SyntheticForm::Ternary => value.round().clamp(-1.0, 1.0) + 0.0,
        }
    }
}

/// A number in [0, 1) from the upper 53 bits of a draw.
fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A standard normal number (Box and Muller, 1958); the logarithm's argument is in (0, 1].
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let (a, b) = (1.0 - uniform(random), uniform(random));
    (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}
