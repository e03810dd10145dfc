//! Drift: every statistic against SciPy and statsmodels, false alarms and power on real tables.

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde_json::Value;

use crate::dice::Dice;
use crate::kinds::quality::sample;
use crate::kinds::{numbers, oracle};
use crate::world::{shared, skip};
use netsec::drift::compare::{DriftThresholds, compare};
use netsec::drift::report::DriftReport;
use netsec::frame::rows::{self, digests};
use netsec::frame::table::{ColumnType, Table};
use netsec::profile::columns::Profile;
use netsec::profile::leakage::head;
use netsec::source::files::{Options, read};
use netsec::stats::adwin::AdaptiveWindow;
use netsec::stats::auc::auc;
use netsec::stats::distances::{deviation, jensen_shannon, psi, wasserstein};
use netsec::stats::hypothesis::{
    benjamini_hochberg, chi_squared, chi_squared_tail, cramer_von_mises, cramers_v, fisher, holm,
    two_proportions,
};

fn close(ours: f64, theirs: &Value, what: &str) {
    let theirs = theirs.as_f64().unwrap();
    assert!(
        (ours - theirs).abs() < 1e-9 * theirs.abs().max(1.0),
        "{what}: {ours}, outside {theirs}"
    );
}

fn counted(spec: &Value) -> Vec<(f64, u64)> {
    let mut values = sample(spec);
    values.sort_by(f64::total_cmp);
    let mut counts: Vec<(f64, u64)> = Vec::new();
    for value in values {
        match counts.last_mut() {
            Some((last, count)) if *last == value => *count += 1,
            _ => counts.push((value, 1)),
        }
    }
    counts
}

#[test]
fn tests_and_distances_equal_scipy_and_statsmodels_to_1e_9() {
    let oracle = oracle("drift.json");
    let list = |name: &str| oracle[name].as_array().unwrap().clone();
    let whole = |value: &Value| value.as_u64().unwrap();
    for case in list("chi") {
        let side = |name: &str| {
            case[name]
                .as_array()
                .unwrap()
                .iter()
                .map(whole)
                .collect::<Vec<_>>()
        };
        let pairs: Vec<(u64, u64)> = side("first").into_iter().zip(side("second")).collect();
        let floats: Vec<(f64, f64)> = pairs.iter().map(|(a, b)| (*a as f64, *b as f64)).collect();
        let tested = chi_squared(&pairs).unwrap();
        let name = format!("{pairs:?}");
        close(tested.statistic, &case["statistic"], &name);
        close(tested.p, &case["p"], &name);
        close(jensen_shannon(&floats), &case["jensen_shannon"], &name);
        close(psi(&floats), &case["psi"], &name);
        close(
            cramers_v(tested.statistic, pairs.iter().map(|(a, b)| a + b).sum()),
            &case["cramers_v"],
            &name,
        );
    }
    for tail in list("tails") {
        let (x, degrees) = (
            tail["x"].as_f64().unwrap(),
            tail["degrees"].as_f64().unwrap(),
        );
        close(
            chi_squared_tail(x, degrees),
            &tail["p"],
            &format!("chi-squared {x} {degrees}"),
        );
    }
    for case in list("shares") {
        let side = |name: &str| (whole(&case[name][0]), whole(&case[name][1]));
        let (first, second) = (side("first"), side("second"));
        let name = format!("{first:?} {second:?}");
        let tested = two_proportions(first, second).unwrap();
        close(tested.statistic, &case["z"], &name);
        close(tested.p, &case["p"], &name);
        close(fisher(first, second).unwrap().p, &case["fisher"], &name);
    }
    for case in list("numbers") {
        let (first, second) = (counted(&case["first"]), counted(&case["second"]));
        let tested = cramer_von_mises(&first, &second).unwrap();
        let name = format!("{} {}", case["first"], case["second"]);
        close(tested.statistic, &case["statistic"], &name);
        close(tested.p, &case["p"], &name);
        close(wasserstein(&first, &second), &case["wasserstein"], &name);
        close(deviation(&first), &case["deviation"], &name);
        close(auc(&first, &second).unwrap(), &case["auc"], &name);
    }
    let p: Vec<f64> = list("p").iter().map(|p| p.as_f64().unwrap()).collect();
    for (ours, theirs) in holm(&p).into_iter().zip(list("holm")) {
        close(ours, &theirs, "Holm");
    }
    for (ours, theirs) in benjamini_hochberg(&p)
        .into_iter()
        .zip(list("benjamini_hochberg"))
    {
        close(ours, &theirs, "Benjamini and Hochberg");
    }
}

/// Columns of numbers, by name.
type Columns = Vec<(String, Vec<f64>)>;

fn phishing() -> Option<Columns> {
    let bytes = std::fs::read(shared("phishing.csv")?).unwrap();
    let table = read(bytes, &Options::plain(&[])).unwrap();
    Some(
        table
            .names()
            .into_iter()
            .map(|name| (name.clone(), table.numbers(&name).unwrap()))
            .collect(),
    )
}

fn pick(columns: &Columns, rows: &[usize]) -> Columns {
    columns
        .iter()
        .map(|(name, cells)| (name.clone(), rows.iter().map(|row| cells[*row]).collect()))
        .collect()
}

/// Four fifths of the rows and the rest, at random.
fn halves(columns: &Columns, dice: &mut Dice) -> (Columns, Columns) {
    let order = dice.shuffled(columns[0].1.len());
    let border = order.len() * 4 / 5;
    (
        pick(columns, &order[..border]),
        pick(columns, &order[border..]),
    )
}

fn drift(reference: Columns, current: Columns, seed: u64, rows: bool) -> DriftReport {
    let profile = |columns: Columns| Profile::of(&Table::of_numbers(columns).unwrap()).unwrap();
    let (reference, current) = (profile(reference), profile(current));
    compare(
        &reference,
        &current,
        &DriftThresholds {
            seed,
            rows,
            ..DriftThresholds::default()
        },
    )
}

#[test]
fn of_500_resamplings_without_drift_at_most_6_percent_raise_an_alarm() {
    let Some(columns) = phishing() else { return };
    let alarms = (0..500_u64)
        .into_par_iter()
        .filter(|seed| {
            let (reference, current) = halves(&columns, &mut Dice(*seed));
            drift(reference, current, *seed, true).drifted
        })
        .count();
    assert!(alarms <= 30, "{alarms} of 500");
}

/// Of so many random splits with a planted shift, the share that raises an alarm about the column.
fn power(columns: &Columns, name: &str, plant: impl Fn(&mut Vec<f64>, &mut Dice) + Sync) -> f64 {
    let rounds = 20;
    let found = (0..rounds)
        .into_par_iter()
        .filter(|seed| {
            let mut dice = Dice(1_000 + seed);
            let (reference, mut current) = halves(columns, &mut dice);
            let (_, cells) = current
                .iter_mut()
                .find(|(column, _)| column == name)
                .unwrap();
            plant(cells, &mut dice);
            let drift = drift(reference, current, *seed, false);
            drift
                .columns
                .iter()
                .any(|column| column.column == name && column.drifted)
        })
        .count();
    found as f64 / rounds as f64
}

#[test]
fn planted_shifts_are_found() {
    let Some(columns) = phishing() else { return };
    let ternary: Vec<&String> = columns
        .iter()
        .filter(|(_, cells)| {
            [-1.0, 0.0, 1.0]
                .iter()
                .all(|level| cells.iter().filter(|cell| *cell == level).count() > 1_000)
        })
        .map(|(name, _)| name)
        .collect();
    assert!(ternary.len() >= 5, "{ternary:?}");
    for name in ternary {
        // One row in ten leaves the middle for an end.
        let middle = power(&columns, name, |cells, dice| {
            let share =
                0.1 * cells.len() as f64 / cells.iter().filter(|cell| **cell == 0.0).count() as f64;
            for cell in cells.iter_mut().filter(|cell| **cell == 0.0) {
                if dice.chance(share) {
                    *cell = if dice.chance(0.5) { 1.0 } else { -1.0 };
                }
            }
        });
        assert!(
            middle >= 0.95,
            "{name}: the middle category moved: {middle}"
        );
        let share = power(&columns, name, |cells, dice| {
            let others =
                cells.iter().filter(|cell| **cell != -1.0).count() as f64 / cells.len() as f64;
            for cell in cells.iter_mut().filter(|cell| **cell != -1.0) {
                if dice.chance(0.08 / others) {
                    *cell = -1.0;
                }
            }
        });
        assert!(share >= 0.95, "{name}: eight points more of -1: {share}");
    }
    let missing = power(&columns, "port", |cells, dice| {
        cells
            .iter_mut()
            .for_each(|cell| *cell = if dice.chance(0.05) { f64::NAN } else { *cell });
    });
    assert!(missing >= 0.95, "5 % missing: {missing}");
    let new = power(&columns, "Iframe", |cells, dice| {
        cells
            .iter_mut()
            .for_each(|cell| *cell = if dice.chance(0.01) { 2.0 } else { *cell });
    });
    assert!(new >= 0.95, "a new category in 1 %: {new}");
    // A tenth of the middle category itself, in the column where it is most common.
    let tenth = power(&columns, "Links_pointing_to_page", |cells, dice| {
        for cell in cells.iter_mut().filter(|cell| **cell == 0.0) {
            if dice.chance(0.1) {
                *cell = if dice.chance(0.5) { 1.0 } else { -1.0 };
            }
        }
    });
    assert!(tenth >= 0.95, "a tenth of the middle category: {tenth}");
}

#[test]
fn scaled_bytes_are_found() {
    let Some(path) = shared("nsl_kdd_train.csv.gz") else {
        return;
    };
    let table = read(std::fs::read(path).unwrap(), &Options::plain(&[])).unwrap();
    let columns: Columns = ["src_bytes", "dst_bytes", "count", "duration"]
        .map(|name| (name.to_owned(), table.numbers(name).unwrap()))
        .into();
    // 1.3 in log space: ln(1 + x) times 1.3.
    let scaled = power(&columns, "src_bytes", |cells, _| {
        cells
            .iter_mut()
            .for_each(|cell| *cell = (cell.ln_1p() * 1.3).exp_m1().round());
    });
    assert!(scaled >= 0.95, "{scaled}");
}

#[test]
fn what_only_whole_rows_show_is_seen() {
    // Two columns that go together in one table and against each other in the other, each like
    // before by itself.
    let mut dice = Dice(7);
    let a: Vec<f64> = (0..2_000).map(|_| dice.below(1_000) as f64).collect();
    let noise: Vec<f64> = (0..2_000).map(|_| dice.below(300) as f64).collect();
    let together: Vec<f64> = a.iter().zip(&noise).map(|(a, noise)| a + noise).collect();
    let against: Vec<f64> = a
        .iter()
        .zip(&noise)
        .map(|(a, noise)| 1_299.0 - a - noise)
        .collect();
    let columns = |b: &[f64], rows: std::ops::Range<usize>| {
        vec![
            ("a".to_owned(), a[rows.clone()].to_vec()),
            ("b".to_owned(), b[rows].to_vec()),
        ]
    };
    let same = drift(
        columns(&together, 0..1_000),
        columns(&together, 1_000..2_000),
        1,
        true,
    );
    assert!(!same.drifted, "{same:?}");
    let other = drift(
        columns(&together, 0..1_000),
        columns(&against, 1_000..2_000),
        1,
        true,
    );
    let domain = other.domain.unwrap();
    assert!(
        other.domain_alarm && domain.auc > 0.9 && domain.p <= 0.01,
        "{domain:?}"
    );
}

/// Tables without drift, of every shape that has misled a test before, each with the columns that
/// name its groups.
fn driftless(shape: &str, dice: &mut Dice) -> (Table, Vec<String>) {
    let rows = 3_000;
    let columns = match shape {
        "3 columns" => 3,
        "200 columns" => 200,
        _ => 12,
    };
    let cell = |dice: &mut Dice, column: usize| match column % 4 {
        0 => (dice.unit() * 1e6).floor() / 1e3,
        1 => dice.below(6) as f64,
        2 => f64::from(u8::from(dice.chance(0.1))),
        // Heavy tails: the logarithm is far from bounded.
        _ => (-dice.unit().max(1e-12).ln() * if shape == "heavy tails" { 9.0 } else { 2.0 })
            .exp()
            .floor(),
    };
    let copied = match shape {
        "20 % copies" => 0.2,
        "50 % copies" => 0.5,
        _ => 0.0,
    };
    let mut cells: Vec<Vec<f64>> = vec![Vec::new(); columns];
    let mut host = Vec::new();
    let hosts: Vec<Vec<f64>> = (0..150)
        .map(|_| (0..columns).map(|column| cell(dice, column)).collect())
        .collect();
    for row in 0..rows {
        // Some rows are copied far more often than others.
        let of =
            (row > 10 && dice.chance(copied)).then(|| (dice.below(row) * dice.below(row)) / row);
        let own = dice.below(hosts.len());
        for column in 0..columns {
            let fresh = match shape {
                "groups of hosts" if dice.chance(0.7) => hosts[own][column],
                "a rare class" if column == 2 => f64::from(u8::from(dice.chance(0.003))),
                _ => cell(dice, column),
            };
            let next = of.map_or(fresh, |of| cells[column][of]);
            cells[column].push(next);
        }
        host.push(own as f64);
    }
    let mut named: Columns = cells
        .into_iter()
        .enumerate()
        .map(|(at, cells)| (format!("c{at}"), cells))
        .collect();
    let is_grouped = shape == "groups of hosts";
    if is_grouped {
        named.push(("host".to_owned(), host));
    }
    (
        Table::of_numbers(named).unwrap(),
        if is_grouped {
            vec!["host".to_owned()]
        } else {
            Vec::new()
        },
    )
}

/// Splits by content, or by group where there are any, of tables that are made anew each time.
#[test]
fn splits_of_tables_of_every_shape_raise_no_more_alarms_than_they_may() {
    let is_full = std::env::var_os("NETSEC_FULL").is_some();
    // Of 60 splits at most 8: more than that has a chance of .3 % at the 5 % that are allowed.
    let (splits, most) = if is_full { (500, 30) } else { (60, 8) };
    let shapes = [
        "no copies",
        "20 % copies",
        "50 % copies",
        "groups of hosts",
        "a rare class",
        "heavy tails",
        "3 columns",
        "200 columns",
    ];
    let mut told = Vec::new();
    for shape in shapes {
        let drifted = |seed: &u64| {
            let mut dice = Dice(*seed << 20);
            let (table, group) = driftless(shape, &mut dice);
            let decides = if group.is_empty() {
                table.clone()
            } else {
                table
                    .shaped(&[("host".to_owned(), ColumnType::Float)])
                    .unwrap()
            };
            let salt = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let is_test: Vec<bool> = digests(&decides, &[])
                .unwrap()
                .iter()
                .map(|digest| {
                    rows::place((head(digest) ^ salt).wrapping_mul(0xbf58_476d_1ce4_e5b9)) < 0.2
                })
                .collect();
            let is_train: Vec<bool> = is_test.iter().map(|is_test| !is_test).collect();
            let profile =
                |keep: &[bool]| Profile::of_groups(&table.filter(keep).unwrap(), &group).unwrap();
            compare(
                &profile(&is_train),
                &profile(&is_test),
                &DriftThresholds {
                    seed: *seed,
                    ..DriftThresholds::default()
                },
            )
            .drifted
        };
        let splits = if shape == "200 columns" && !is_full {
            splits / 3
        } else {
            splits
        };
        let alarms = (0..splits).into_par_iter().filter(drifted).count();
        told.push(format!("{shape}: {alarms} of {splits}"));
        assert!(alarms <= most, "{told:?}");
    }
    if is_full {
        skip(&format!("nothing; {}", told.join(", ")));
    }
}

#[test]
fn changes_of_a_rate_are_seen_where_river_sees_them() {
    let oracle = oracle("adwin.json");
    for (name, told) in oracle["streams"].as_object().unwrap() {
        let begun = || AdaptiveWindow::new(told["delta"].as_f64().unwrap());
        let (mut window, mut is_over) = (begun(), false);
        let (mut changes, mut widths) = (Vec::new(), Vec::new());
        for (at, alarm) in told["alarms"].as_str().unwrap().bytes().enumerate() {
            // River begins anew after each change.
            if std::mem::take(&mut is_over) {
                window = begun();
            }
            if let Some(change) = window.push(f64::from(alarm - b'0')) {
                is_over = true;
                changes.push(at as f64);
                widths.push(change.count as f64);
            }
        }
        assert_eq!(changes, numbers(&told["changes"]), "{name}");
        assert_eq!(widths, numbers(&told["widths"]), "{name}");
        let estimate = told["estimate"].as_f64().unwrap();
        assert!((window.mean() - estimate).abs() < 1e-12, "{name}");
    }
}
