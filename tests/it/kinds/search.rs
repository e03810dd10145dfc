//! How near searches come to the least value of functions, beside Optuna's TPE.

use std::f64::consts::{E, PI};

use crate::kinds::oracle;
use netsec::tuning::search::SearchDimension::{self, Choice, Log, Number, Whole};
use netsec::tuning::search::{SearchSpace, SearchStrategy, Trial};

type Function = fn(&[f64]) -> f64;

fn sphere(x: &[f64]) -> f64 {
    x.iter().map(|v| v * v).sum()
}

fn rosenbrock(x: &[f64]) -> f64 {
    (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2)
}

fn branin(x: &[f64]) -> f64 {
    let bend = x[1] - 5.1 / (4.0 * PI * PI) * x[0] * x[0] + 5.0 / PI * x[0] - 6.0;
    bend * bend + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x[0].cos() + 10.0 - 0.397_887_357_729_738_16
}

fn mixed(x: &[f64]) -> f64 {
    let choice = x[2] as usize;
    let slope = if choice == 1 { 1.0 } else { 2.0 };
    let far = (x[0].log10() + 1.5).powi(2) + ((x[1] - 37.0) / 30.0).powi(2);
    far + [1.0, 0.0, 0.6, 1.5][choice] + 4.0 * (x[3] - 0.3).powi(2) * slope
}

fn ackley(x: &[f64]) -> f64 {
    let squares = sphere(x) / 4.0;
    let waves = x.iter().map(|v| (2.0 * PI * v).cos()).sum::<f64>() / 4.0;
    -20.0 * (-0.2 * squares.sqrt()).exp() - waves.exp() + 20.0 + E
}

fn styblinski(x: &[f64]) -> f64 {
    let each = x.iter().map(|v| v.powi(4) - 16.0 * v * v + 5.0 * v);
    each.sum::<f64>() / 2.0 + 3.0 * 39.166_165_703_771_42
}

fn levy(x: &[f64]) -> f64 {
    let w: Vec<f64> = x.iter().map(|v| 1.0 + (v - 1.0) / 4.0).collect();
    let last = w[w.len() - 1];
    let each = w[..w.len() - 1].iter();
    let middle = each.map(|v| (v - 1.0).powi(2) * (1.0 + 10.0 * (PI * v + 1.0).sin().powi(2)));
    let end = (last - 1.0).powi(2) * (1.0 + (2.0 * PI * last).sin().powi(2));
    (PI * w[0]).sin().powi(2) + middle.sum::<f64>() + end
}

fn narrow(x: &[f64]) -> f64 {
    let near = (-((x[0] - 0.83).powi(2) + (x[1] - 0.12).powi(2)) / 0.01).exp();
    1.0 - near + 0.3 * (x[0] - 0.83).abs()
}

/// Returns the best value of a search, the least there is being 0.
fn best(function: Function, space: &[SearchDimension], trials: usize, seed: u64) -> f64 {
    let search = SearchSpace {
        spaces: vec![space.to_vec()],
        strategy: SearchStrategy::Tpe(trials),
        seed,
    };
    let mut done: Vec<(Trial, Option<f64>)> = Vec::new();
    loop {
        let next = search.next(&done);
        if next.is_empty() {
            break;
        }
        let told = next.into_iter().map(|trial| {
            let value = function(&trial.setting);
            (trial, Some(-value))
        });
        done.extend(told.collect::<Vec<_>>());
    }
    assert_eq!(done.len(), trials);
    let scores = done.iter().filter_map(|(_, score)| *score);
    -scores.fold(f64::NEG_INFINITY, f64::max)
}

#[test]
fn searches_come_nearer_than_those_of_optuna() {
    let theirs = oracle("search.json");
    let choices = || Choice(vec![0.0, 1.0, 2.0, 3.0]);
    // Those after the first four were not looked at when the search was made.
    let cases: [(&str, Function, Vec<SearchDimension>, f64); 8] = [
        ("sphere", sphere, vec![Number(-5.0, 5.0); 5], 1.0),
        ("rosenbrock", rosenbrock, vec![Number(-2.0, 2.0); 2], 1.0),
        (
            "branin",
            branin,
            vec![Number(-5.0, 10.0), Number(0.0, 15.0)],
            1.0,
        ),
        (
            "mixed",
            mixed,
            vec![
                Log(1e-4, 1.0),
                Whole(1.0, 100.0),
                choices(),
                Number(0.0, 1.0),
            ],
            1.0,
        ),
        ("ackley", ackley, vec![Number(-10.0, 20.0); 4], 1.0),
        ("styblinski", styblinski, vec![Number(-5.0, 5.0); 3], 1.0),
        ("levy", levy, vec![Number(-10.0, 10.0); 6], 1.4),
        ("narrow", narrow, vec![Number(0.0, 1.0); 2], 1.0),
    ];
    for (name, function, space, most) in cases {
        for trials in [30, 60] {
            let found = (0..20).map(|seed| best(function, &space, trials, seed));
            let mut found: Vec<f64> = found.collect();
            found.sort_by(f64::total_cmp);
            let median = f64::midpoint(found[9], found[10]);
            let theirs = theirs[format!("{name} {trials}")].as_f64().unwrap();
            assert!(
                median <= theirs * most,
                "{name}, {trials} trials: {median}, Optuna {theirs}"
            );
        }
    }
}
