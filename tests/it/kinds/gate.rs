//! The gate: its statistics against SciPy and statsmodels, how often it is wrong in simulated
//! worlds, and its rules through a pipeline.

use std::collections::BTreeMap;

use netsec::frame::labels::Labels;
use netsec::gate::improve::rows_needed;
use netsec::gate::paired::{PairedModels, ScoredRows, delong, mcnemar};
use netsec::model::intervals::intervals;
use netsec::model::metrics::{Metrics, RankedRows};
use netsec::model::scores::Scores;
use netsec::stats::binomial::{PairedCounts, clopper_pearson};
use rayon::prelude::*;
use serde_json::Value;

use crate::dice::Dice;
use crate::world::World;

use crate::kinds::oracle;

fn close(ours: f64, theirs: &Value, most: f64, what: &str) {
    let theirs = theirs.as_f64().unwrap();
    assert!(
        (ours - theirs).abs() <= most,
        "{what}: {ours}, theirs {theirs}"
    );
}

fn close_ends(ours: [f64; 2], theirs: &Value, most: f64, what: &str) {
    close(ours[0], &theirs[0], most, what);
    close(ours[1], &theirs[1], most, what);
}

fn cases<'a>(oracle: &'a Value, name: &str) -> &'a [Value] {
    oracle[name].as_array().unwrap()
}

#[test]
fn intervals_of_shares_are_those_of_scipy_and_statsmodels() {
    let oracle = oracle("intervals.json");
    for case in cases(&oracle, "clopper_pearson") {
        let count = |name: &str| case[name].as_u64().unwrap();
        let confidence = case["confidence"].as_f64().unwrap();
        let found = clopper_pearson(count("hits"), count("of"), confidence);
        close_ends(found, &case["interval"], 1e-9, &case.to_string());
    }
    for case in cases(&oracle, "tango") {
        let count = |name: &str| case[name].as_u64().unwrap();
        let counts = PairedCounts {
            first_only: count("first_only"),
            second_only: count("second_only"),
            rows: count("rows"),
        };
        let found = counts.interval(case["confidence"].as_f64().unwrap());
        close_ends(found, &case["interval"], 1e-9, &case.to_string());
    }
}

#[test]
fn paired_tests_are_those_of_scipy_and_statsmodels() {
    let oracle = oracle("paired.json");
    for case in cases(&oracle, "mcnemar") {
        let count = |name: &str| case[name].as_u64().unwrap();
        let p = mcnemar(count("wins"), count("losses"));
        close(p, &case["p"], 1e-9, &format!("McNemar {case}"));
    }
    for case in cases(&oracle, "models") {
        let list = |name: &str| -> Vec<f64> {
            let cells = case[name].as_array().unwrap();
            cells.iter().map(|cell| cell.as_f64().unwrap()).collect()
        };
        let labels = super::labels(&list("y"));
        let first = Scores::of_attack(list("first"));
        let second = Scores::of_attack(list("second"));
        let found = delong(&labels, &first, &second, 0.95);
        if case["delong_var"].as_f64() == Some(0.0) {
            assert_eq!(
                found, None,
                "rows in the same order say nothing of how sure that is"
            );
        } else {
            let found = found.unwrap();
            let areas = case["auc"].as_array().unwrap();
            let difference = areas[0].as_f64().unwrap() - areas[1].as_f64().unwrap();
            close(found.p, &case["delong_p"], 1e-9, "DeLong");
            close(
                found.difference,
                &difference.into(),
                1e-12,
                "difference of AUC",
            );
            close_ends(
                found.interval,
                &case["delong_interval"],
                1e-9,
                "DeLong's interval",
            );
        }
        let rows = |scores| ScoredRows {
            scores,
            threshold: 0.5,
        };
        let pair = PairedModels::new(&labels, rows(&first), rows(&second));
        let of_first = intervals(&RankedRows::new(&labels, &first), 0.5, 42);
        for name in ["pr_auc", "f1"] {
            let what = format!("bootstrap of {name}, n {}", labels.len());
            let theirs = &case["bootstrap"][name];
            let found = pair.compare(name, 0.95).unwrap();
            let p = theirs["p"].as_f64().unwrap();
            // Draws of 1,000 and of 9,999: four standard deviations, and the least p-value that a
            // thousand can give.
            let variance = p / 2.0 * (1.0 - p / 2.0) * (1.0 / 1_000.0 + 1.0 / 9_999.0);
            close(found.p, &theirs["p"], 8.0 * variance.sqrt() + 0.003, &what);
            match theirs["bca"].is_null() {
                // Every draw is the same: SciPy gives none.
                true => assert!(found.interval[0] < 0.0 && found.interval[1] > 0.0, "{what}"),
                false => {
                    let most = by_chance(&theirs["bca"]);
                    close_ends(found.interval, &theirs["bca"], most, &what);
                }
            }
            let theirs = &theirs["bca_of_first"];
            close_ends(of_first[name], theirs, by_chance(theirs), &what);
        }
    }
}

/// How far the ends of an interval from 1,000 draws may lie from those of 9,999: four standard
/// deviations of a quantile of .025 and of the share of draws below the figure, of a figure whose
/// own deviation is a quarter of the interval.
fn by_chance(interval: &Value) -> f64 {
    let width = interval[1].as_f64().unwrap() - interval[0].as_f64().unwrap();
    let deviation = width / 3.92;
    let quantile = (0.025 * 0.975 * 1.1e-3_f64).sqrt() / 0.058;
    let bias = 2.0 * (0.25 * 1.1e-3_f64).sqrt() / 0.399;
    4.0 * deviation * (quantile * quantile + bias * bias).sqrt()
}

/// Two models of rows of which two fifths are attacks: how far each lifts attacks above benign
/// rows, and how much of the noise they share.
#[derive(Clone, Copy)]
struct SimulatedPair {
    lift: [f64; 2],
    shared: f64,
}

impl SimulatedPair {
    fn draw(self, seed: u64, rows: usize) -> (Labels, [Scores; 2]) {
        let mut dice = Dice(seed);
        let mut is_attack = Vec::with_capacity(rows);
        let mut scores = [Vec::with_capacity(rows), Vec::with_capacity(rows)];
        for _ in 0..rows {
            let attack = dice.chance(0.4);
            let common = self.shared.sqrt() * dice.normal();
            is_attack.push(attack);
            for (scores, lift) in scores.iter_mut().zip(self.lift) {
                let own = (1.0 - self.shared).sqrt() * dice.normal();
                let raw = lift * (f64::from(u8::from(attack)) - 0.5) + common + own;
                scores.push(1.0 / (1.0 + (-raw).exp()));
            }
        }
        (Labels::of_attacks(is_attack), scores.map(Scores::of_attack))
    }

    /// The figures of the first model on all rows that there could be, or nearly.
    fn truth(self) -> Metrics {
        let (labels, [first, _]) = self.draw(1, 400_000);
        Metrics::of(&labels, &first)
    }
}

/// Figures of a simulation, for whoever looks with `--nocapture`.
#[expect(
    clippy::print_stdout,
    reason = "figures for the closing of an experiment"
)]
fn tell(figures: &str) {
    println!("{figures}");
}

/// How many worlds are simulated.
fn worlds() -> u64 {
    if std::env::var_os("NETSEC_FULL").is_some() {
        1000
    } else {
        120
    }
}

/// In how many of the worlds the first model is shown to be better.
fn promotions(pair: SimulatedPair, rows: usize, metric: &str) -> u64 {
    let promoted = |seed: u64| {
        let (labels, [first, second]) = pair.draw(1_000 + seed, rows);
        let rows = |scores| ScoredRows {
            scores,
            threshold: 0.5,
        };
        let pair = PairedModels::new(&labels, rows(&first), rows(&second));
        let found = pair.compare(metric, 0.95).unwrap();
        u64::from(found.interval[0] > 0.0)
    };
    (0..worlds()).into_par_iter().map(promoted).sum()
}

#[test]
fn an_equal_model_is_rarely_promoted() {
    let equal = SimulatedPair {
        lift: [3.5, 3.5],
        shared: 0.6,
    };
    let mut found = BTreeMap::new();
    for rows in [400, 2211] {
        for metric in ["f1", "roc_auc", "accuracy", "recall"] {
            found.insert((metric, rows), promotions(equal, rows, metric));
        }
    }
    tell(&format!(
        "equal models promoted in {} worlds: {found:?}",
        worlds()
    ));
    let most = worlds() / 20;
    assert!(
        found.values().all(|promoted| *promoted <= most),
        "{found:?}"
    );
}

#[test]
fn a_model_that_is_a_point_better_is_promoted_with_as_many_rows_as_the_report_says() {
    // F1 of about .977 and .967, the models of a kind: they share most of their errors.
    let better = SimulatedPair {
        lift: [4.05, 3.779],
        shared: 0.9,
    };
    let other = SimulatedPair {
        lift: [better.lift[1], better.lift[0]],
        ..better
    };
    let truth = better.truth().f1 - other.truth().f1;
    assert!((0.009..0.011).contains(&truth), "{truth}");
    // What a report says of an experiment that went as it does on average.
    let (labels, [first, second]) = better.draw(3, 100_000);
    let rows = |scores| ScoredRows {
        scores,
        threshold: 0.5,
    };
    let pair = PairedModels::new(&labels, rows(&first), rows(&second));
    let found = pair.compare("f1", 0.95).unwrap();
    let needed = rows_needed(&found, 0.0, 0.95, 100_000).unwrap();
    let at_phishing = promotions(better, 2211, "f1");
    let at_needed = promotions(better, needed as usize, "f1");
    tell(&format!(
        "{truth:.4} of F1 better, of {} worlds: promoted in {at_phishing} with 2,211 rows, in {at_needed} with the {needed} that are asked for",
        worlds()
    ));
    // Nine in ten, less three standard deviations of what so many worlds can tell.
    let least = 0.9 - 3.0 * (0.09 / worlds() as f64).sqrt();
    assert!(
        at_needed as f64 >= least * worlds() as f64,
        "{at_needed} of {}",
        worlds()
    );
    assert!(needed < 10_000, "{needed}");
}

#[test]
fn intervals_hold_the_true_figure_as_often_as_they_say() {
    let pair = SimulatedPair {
        lift: [2.0, 2.0],
        shared: 0.5,
    };
    let truth = pair.truth();
    let names = [
        "f1", "roc_auc", "pr_auc", "mcc", "accuracy", "recall", "brier", "log_loss",
    ];
    let holds = |seed: u64| -> Vec<u64> {
        let (labels, [first, _]) = pair.draw(50_000 + seed, 500);
        let found = intervals(&RankedRows::new(&labels, &first), 0.5, 42);
        let hit = |name: &&str| {
            let figure = truth.figure(name).unwrap();
            let [low, high] = found[*name];
            u64::from((low..=high).contains(&figure))
        };
        names.iter().map(hit).collect()
    };
    let all: Vec<Vec<u64>> = (0..worlds()).into_par_iter().map(holds).collect();
    for (place, name) in names.iter().enumerate() {
        let hits: u64 = all.iter().map(|world| world[place]).sum();
        let share = hits as f64 / worlds() as f64;
        tell(&format!("{name}: {share:.3} of {} worlds", worlds()));
        // Four standard deviations of what so many worlds can tell of 95 %.
        let most = 4.0 * (0.95 * 0.05 / worlds() as f64).sqrt();
        assert!((share - 0.95).abs() <= most, "{name}: {share}");
    }
}

#[test]
fn the_recall_within_a_budget_is_held_however_few_false_positives_are_allowed() {
    let pair = SimulatedPair {
        lift: [2.0, 2.0],
        shared: 0.5,
    };
    // Of scores of the standard normal distribution, and those of attacks shifted by the lift.
    let truth = pair.truth();
    for (rows, least) in [(500, 0.95), (3_000, 0.95), (20_000, 0.95)] {
        let worlds = worlds() / 4;
        let holds = |seed: u64| -> [u64; 2] {
            let (labels, [first, _]) = pair.draw(90_000 + seed, rows);
            let ranked = RankedRows::new(&labels, &first);
            [(0.001, "recall_at_fpr_0_001"), (0.01, "recall_at_fpr_0_01")].map(|(budget, name)| {
                let figure = truth.figure(name).unwrap();
                let [low, high] = ranked.recall_within(budget, 0.95);
                u64::from((low..=high).contains(&figure))
            })
        };
        let all: Vec<[u64; 2]> = (0..worlds).into_par_iter().map(holds).collect();
        for place in 0..2 {
            let hits: u64 = all.iter().map(|world| world[place]).sum();
            let share = hits as f64 / worlds as f64;
            tell(&format!(
                "recall within a budget, {rows} rows: {share:.3} of {worlds} worlds"
            ));
            let most = 4.0 * (0.95_f64 * 0.05 / worlds as f64).sqrt();
            assert!(share >= least - most, "{rows} rows: {share}");
        }
    }
}

/// Flows of which `family` names the kind of attack, and three features tell some of it.
fn flows(rows: usize) -> String {
    let mut dice = Dice(7);
    let mut text = "a,b,c,proto,family,label\n".to_owned();
    for _ in 0..rows {
        let attack = dice.chance(0.4);
        let lift = if attack { 1.6 } else { 0.0 };
        let family = match (attack, dice.below(20)) {
            (false, _) => "Normal",
            (true, 0) => "Worm",
            (true, 1..8) => "Scan",
            (true, _) => "DoS",
        };
        let proto = ["tcp", "udp"][dice.below(2)];
        let cells: Vec<String> = (0..3)
            .map(|_| format!("{:.3}", lift + dice.normal()))
            .collect();
        let label = u8::from(attack);
        text += &format!("{},{proto},{family},{label}\n", cells.join(","));
    }
    text
}

fn pipeline(train: &str, evaluate: &str) -> String {
    format!(
        "stages:
  ingest: {{ kind: ingest, inputs: {{ data: ./flows.csv }} }}
  split: {{ kind: split, inputs: {{ data: ingest.data }}, with: {{ target: label }} }}
  transform: {{ kind: transform, inputs: {{ train: split.train, test: split.test }}, with: {{ target: label, target_map: {{ 0: 0, 1: 1 }}, drop: [family, proto] }} }}
  train: {{ kind: train, inputs: {{ train: transform.train, preprocessor: transform.preprocessor }}, with: {{ select: {{ min_score: 0 }}, candidates: [{train}] }} }}
  evaluate:
    kind: evaluate
    inputs: {{ model: train.model, test: split.test, champion: 'ref:champion/flows' }}
    with: {{ min_score: 0.5, {evaluate} }}
"
    )
}

const WEAK: &str = "{ learner: decision_tree, grid: { max_depth: [1] } }";
const STRONG: &str = "{ learner: logistic_regression }";

fn decision(world: &World) -> Value {
    serde_json::from_str(&world.ok(&["cat", "evaluate.decision"])).unwrap()
}

fn rule<'a>(decision: &'a Value, name: &str) -> &'a Value {
    let mut rules = decision["rules"].as_array().unwrap().iter();
    rules
        .find(|rule| rule["rule"] == name)
        .unwrap_or_else(|| panic!("{name}: {decision:#}"))
}

#[test]
fn a_rejected_challenger_has_an_exit_code_of_its_own_and_moves_nothing() {
    let world = World::new();
    world.write("flows.csv", flows(3_000));
    world.write("p.yaml", pipeline(STRONG, ""));
    assert_eq!(world.netsec(&["run", "p.yaml"]).code, 0);
    let champion = || -> Vec<Value> {
        let history = world.ok(&["model", "history", "champion/flows", "--json"]);
        let moves: Vec<Value> = serde_json::from_str(&history).unwrap();
        moves.into_iter().map(|step| step["to"].clone()).collect()
    };
    let before = champion();
    world.write("p.yaml", pipeline(WEAK, ""));
    let rejected = world.netsec(&["run", "p.yaml"]);
    assert_eq!(rejected.code, 6, "{}", rejected.stderr);
    assert!(
        rejected.stderr.contains("the champion stays: f1 is"),
        "{}",
        rejected.stderr
    );
    assert_eq!(rule(&decision(&world), "improve")["verdict"], "fails");
    // A decision that is cached says so again.
    assert_eq!(world.netsec(&["run", "p.yaml"]).code, 6);
    assert_eq!(champion(), before);
    // The original's rule is there by its name.
    world.write("p.yaml", pipeline(WEAK, "rule: better"));
    assert_eq!(world.netsec(&["run", "p.yaml"]).code, 6);
    assert_eq!(rule(&decision(&world), "better")["passes"], false);
}

#[test]
fn a_model_that_is_too_slow_is_turned_down_and_decisions_hold_no_time() {
    let world = World::new();
    world.write("flows.csv", flows(600));
    world.write("p.yaml", pipeline(WEAK, "limits: { latency_ms: 0.000001 }"));
    let slow = world.netsec(&["run", "p.yaml"]);
    assert_eq!(slow.code, 6, "{}", slow.stderr);
    assert!(
        slow.stderr.contains("took more than 0.000001 ms"),
        "{}",
        slow.stderr
    );
    world.write("p.yaml", pipeline(WEAK, "limits: { latency_ms: 60000 }"));
    let digests: Vec<Value> = (0..2)
        .map(|_| {
            let run = world.run(&["p.yaml", "--only", "evaluate", "--force"]);
            let notes = run["stages"][0]["notes"].to_string();
            assert!(notes.contains("scoring one row takes"), "{run}");
            run["stages"][0]["outputs"].clone()
        })
        .collect();
    assert_eq!(digests[0], digests[1], "the same bytes each time");
    let found = decision(&world);
    assert_eq!(rule(&found, "limits.latency_ms")["verdict"], "holds");
    assert_eq!(rule(&found, "limits.latency_ms")["found"], Value::Null);
}

#[test]
fn rules_limits_slices_and_traffic_stand_in_the_decision() {
    let world = World::new();
    world.write("flows.csv", flows(3_000));
    let asked = "slices: [family, proto], traffic: 14.4M/day, prevalence: 1e-4, analysts: 200/day,
            limits: { fpr: 0.5, alerts_per_day: 10000000, size_mb: 50 }";
    world.write("p.yaml", pipeline(WEAK, asked));
    let first = world.netsec(&["run", "p.yaml"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(
        first.stderr.contains("in traffic of 14.4M rows a day"),
        "{}",
        first.stderr
    );
    let guarded = format!(
        "{asked}, not_worse: [{{ metric: recall, slice: family, margin: 0.02 }}, {{ metric: false_positive_rate, margin: 0.05 }}]"
    );
    world.write("p.yaml", pipeline(STRONG, &guarded));
    let rejected = world.netsec(&["run", "p.yaml"]);
    assert_eq!(rejected.code, 6, "{}", rejected.stderr);
    let found = decision(&world);
    assert_eq!(rule(&found, "improve")["verdict"], "holds");
    let by_family: Vec<&Value> = found["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|rule| rule["slice"][0] == "family")
        .collect();
    let of = |family: &str| {
        let mut rules = by_family.iter();
        *rules.find(|rule| rule["slice"][1] == family).unwrap()
    };
    assert_eq!(of("DoS")["verdict"], "holds", "{found:#}");
    assert_eq!(of("Worm")["verdict"], "unclear", "{found:#}");
    assert!(
        by_family.iter().all(|rule| rule["slice"][1] != "Normal"),
        "benign rows have no recall"
    );
    let slices = found["slices"].as_array().unwrap();
    let worm = slices
        .iter()
        .find(|slice| slice["value"] == "Worm")
        .unwrap();
    let of = worm["recall"]["of"].as_f64().unwrap();
    assert_eq!(worm["recall"]["least_shown"].as_f64().unwrap(), 4.0 / of);
    assert!(
        found["traffic"]["at_threshold"]["precision"]
            .as_f64()
            .unwrap()
            < 0.01
    );
    let page = world.ok(&["cat", "evaluate.page"]);
    assert!(
        page.contains("<svg") && page.contains("not_worse") && !page.contains("http"),
        "self-contained"
    );
    // Rows too few to tell pass where that is asked for.
    world.write(
        "p.yaml",
        pipeline(
            STRONG,
            &guarded.replace("margin: 0.02", "margin: 0.02, unclear: accept"),
        ),
    );
    let accepted = world.netsec(&["run", "p.yaml"]);
    assert_eq!(accepted.code, 0, "{}", accepted.stderr);
}

#[test]
fn what_does_not_go_together_is_told_before_anything_runs() {
    let world = World::new();
    world.write("flows.csv", flows(60));
    let told = |evaluate: &str| {
        world.write("p.yaml", pipeline(STRONG, evaluate));
        let checked = world.netsec(&["check", "p.yaml"]);
        assert_eq!(checked.code, 3, "{evaluate}: {}", checked.stderr);
        checked.stderr
    };
    assert!(told("traffic: 5/week, prevalence: 0.1").contains("such as `14.4M/day`"));
    assert!(told("traffic: 5/day").contains("`prevalence: 0.0001`"));
    assert!(told("analysts: 5/day").contains("alerts a day need to know the traffic"));
    assert!(
        told("limits: { alerts_per_day: 5 }").contains("alerts a day need to know the traffic")
    );
    assert!(told("not_worse: [{ metric: recal }]").contains("recall"));
    assert!(told("improve: { confidence: 2 }").contains("0.9999"));
    assert!(told("rule: better, improve: { by: 0.1 }").contains("hears nothing of `improve`"));
    assert!(told("slices: [proto, proto]").contains("`proto` is named twice"));
    assert!(told("at_least: { brier: 0.1 }").contains("never above 0"));
}

#[test]
fn a_rule_that_no_rows_speak_of_does_not_pass() {
    let world = World::new();
    world.write("flows.csv", flows(1_500));
    world.write("p.yaml", pipeline(WEAK, ""));
    assert_eq!(world.netsec(&["run", "p.yaml"]).code, 0);
    // Every family is all attacks or all benign: there is no F1 of it.
    let guarded = "improve: { by: -1 }, not_worse: [{ metric: f1, slice: family }]";
    world.write("p.yaml", pipeline(STRONG, guarded));
    assert_eq!(world.netsec(&["run", "p.yaml"]).code, 6);
    let found = rule(&decision(&world), "not_worse").clone();
    assert_eq!(
        (&found["verdict"], &found["passes"]),
        (&"unclear".into(), &false.into())
    );
    assert!(
        found["reason"]
            .as_str()
            .unwrap()
            .contains("the same `family`"),
        "{found}"
    );
    // A column that is not there is told by the rule that names it, whether there is a champion or
    // not.
    for champion in ["ref:champion/flows", "ref:champion/other"] {
        let typo = pipeline(STRONG, "not_worse: [{ metric: recall, slice: familly }]");
        world.write("p.yaml", typo.replace("ref:champion/flows", champion));
        let told = world.netsec(&["run", "p.yaml"]);
        assert_eq!(told.code, 4, "{}", told.stderr);
        assert!(
            told.stderr.contains("not_worse: ") && told.stderr.contains("familly"),
            "{}",
            told.stderr
        );
    }
}

#[test]
fn losses_are_told_as_they_are_compared() {
    let world = World::new();
    world.write("flows.csv", flows(800));
    world.write(
        "p.yaml",
        pipeline(STRONG, "metric: log_loss").replace("min_score: 0.5", "min_score: -0.69"),
    );
    assert_eq!(world.netsec(&["run", "p.yaml"]).code, 0);
    let least = rule(&decision(&world), "min_score").clone();
    let [low, high] = [0, 1].map(|at| least["interval"][at].as_f64().unwrap());
    let found = least["found"].as_f64().unwrap();
    assert!(low < found && found < high && high < 0.0, "{least}");
}
