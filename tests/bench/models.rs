//! Learners and imputation beside scikit-learn and LightGBM, one thread each: `cargo bench --bench
//! models`, or with `-- phishing nsl_kdd synthetic shapes neighbours impute job` for some of it.
//!
//! The peers are run by `tests/bench/models.py`, with the Python that `NETSEC_PYTHON` names or
//! `.venv/bin/python`; the real tables are taken from the folder `NETSEC_DATA` or `../shared/data`.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use measure::{children_seconds, say, write};
use ndarray::{Array2, ArrayView1, Axis, s};
use serde_json::Value;

use netsec::base::cancel::Cancel;
use netsec::base::disk;
use netsec::frame::labels::{Classes, Labels};
use netsec::frame::npy;
use netsec::model::data::TrainingSet;
use netsec::model::fitted::Model;
use netsec::model::learner::FitTask;
use netsec::model::learners::find;
use netsec::model::metrics::Metrics;
use netsec::prep::knn::{DonorWeights, KnnImputer};

#[path = "measure.rs"]
mod measure;

/// The seed project's grids, with its imputation and its gate.
const JOB: &str = "stages:
  train_rows: { kind: ingest, inputs: { data: NAME.train.csv } }
  test_rows: { kind: ingest, inputs: { data: NAME.test.csv } }
  transform: { kind: transform, inputs: { train: train_rows.data, test: test_rows.data }, with: { target: Result, steps: [{ impute: { with: knn } }] } }
  train:
    kind: train
    inputs: { train: transform.train, preprocessor: transform.preprocessor }
    with:
      fold_by: FOLDS
      select: { metric: accuracy, min_score: 0.6, overfit_gap: 0.05 }
      candidates:
        - { learner: random_forest, grid: { trees: [8, 16, 64, 128, 256] } }
        - { learner: decision_tree, grid: { criterion: [gini, entropy, log_loss] } }
        - learner: gradient_boosting
          grid:
            learning_rate: [0.1, 0.01, 0.001]
            subsample: [0.6, 0.7, 0.75, 0.85, 0.9]
            trees: [8, 16, 64, 128, 256]
            max_depth: [3]
            leaves: [8]
            min_leaf: [1]
        - { learner: logistic_regression }
        - { learner: adaboost, grid: { learning_rate: [0.1, 0.01, 0.5, 0.001], trees: [8, 16, 64, 128, 256] } }
  evaluate: { kind: evaluate, inputs: { model: train.model, test: test_rows.data, champion: 'ref:champion/job' }, with: { min_score: 0 } }
";

/// Learners that work when they are asked: the test rows are told, too.
const IS_ASKED: [&str; 2] = ["knn", "naive_bayes"];

/// The processor time of this process so far, in seconds.
fn own_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let spent =
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    spent
        .filter_map(|text| text.split(' ').next()?.parse::<f64>().ok())
        .sum::<f64>()
        / 1e9
}

fn data() -> PathBuf {
    std::env::var_os("NETSEC_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from)
}

fn peer(folder: &Path, name: &str, asked: &[&str]) -> Vec<Value> {
    let python = std::env::var_os("NETSEC_PYTHON").unwrap_or_else(|| ".venv/bin/python".into());
    let mut command = Command::new(python);
    command
        .arg("tests/bench/models.py")
        .arg(folder)
        .arg(name)
        .args(asked);
    for threads in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
        command.env(threads, "1");
    }
    match command.output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect(),
        Ok(output) => {
            say(&format!(
                "no peer: {}",
                String::from_utf8_lossy(&output.stderr)
            ));
            Vec::new()
        }
        Err(error) => {
            say(&format!("no peer: {error}"));
            Vec::new()
        }
    }
}

/// A table of numbers with the class last: -1 becomes 0.
fn phishing() -> Option<(String, Vec<String>)> {
    let text = std::fs::read_to_string(data().join("phishing.csv")).ok()?;
    let mut lines = text.lines().map(str::to_owned);
    Some((lines.next()?, lines.collect()))
}

fn numbers(lines: &[&String]) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = lines
        .iter()
        .map(|line| {
            line.split(',')
                .map(|cell| cell.trim().parse().unwrap_or(f64::NAN))
                .collect()
        })
        .collect();
    let mut table = Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat())
        .expect("rows of one width");
    let last = table.ncols() - 1;
    table
        .column_mut(last)
        .mapv_inplace(|cell| f64::from(u8::from(cell == 1.0)));
    table
}

/// The finisher of splitmix64 over a counter.
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn unit(state: &mut u64) -> f64 {
    (draw(state) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Which rows of a table are for judging: one of five, drawn.
fn held(count: usize) -> Vec<bool> {
    let mut state = 42;
    (0..count).map(|_| unit(&mut state) < 0.2).collect()
}

fn sides_of(whole: &Array2<f64>) -> (Array2<f64>, Array2<f64>) {
    let held = held(whole.nrows());
    let pick = |side: bool| {
        (0..held.len())
            .filter(|row| held[*row] == side)
            .collect::<Vec<_>>()
    };
    (
        whole.select(Axis(0), &pick(false)),
        whole.select(Axis(0), &pick(true)),
    )
}

/// NSL-KDD's own two files, text columns as a column of zeros and ones a category.
fn nsl_kdd() -> Option<(Array2<f64>, Array2<f64>)> {
    let read = |name: &str| -> Option<Vec<Vec<String>>> {
        let mut text = String::new();
        let file = std::fs::File::open(data().join(name)).ok()?;
        flate2::read::GzDecoder::new(file)
            .read_to_string(&mut text)
            .ok()?;
        Some(
            text.lines()
                .skip(1)
                .map(|line| line.split(',').map(str::to_owned).collect())
                .collect(),
        )
    };
    let (train, test) = (read("nsl_kdd_train.csv.gz")?, read("nsl_kdd_test.csv.gz")?);
    let width = 41;
    let is_text: Vec<bool> = (0..width)
        .map(|column| train[0][column].parse::<f64>().is_err())
        .collect();
    let categories = |column: usize| {
        train
            .iter()
            .map(|row| row[column].clone())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let known: Vec<Vec<String>> = (0..width)
        .map(|column| {
            if is_text[column] {
                categories(column).into_iter().collect()
            } else {
                Vec::new()
            }
        })
        .collect();
    let encode = |rows: &[Vec<String>]| {
        let row = |row: &Vec<String>| {
            let mut cells: Vec<f64> = Vec::new();
            for column in 0..width {
                match is_text[column] {
                    true => cells.extend(
                        known[column]
                            .iter()
                            .map(|name| f64::from(u8::from(*name == row[column]))),
                    ),
                    false => cells.push(row[column].parse().unwrap_or(f64::NAN)),
                }
            }
            cells.push(f64::from(u8::from(row[width] != "normal")));
            cells
        };
        let rows: Vec<Vec<f64>> = rows.iter().map(row).collect();
        Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat())
            .expect("rows of one width")
    };
    Some((encode(&train), encode(&test)))
}

/// Rows of so many measured features, the class by some of them together and by chance.
fn synthetic(rows: usize, features: usize) -> Array2<f64> {
    let mut state = 7;
    let mut table = Array2::zeros((rows, features + 1));
    for mut row in table.axis_iter_mut(Axis(0)) {
        for cell in row.iter_mut().take(features) {
            *cell = (0..4).map(|_| unit(&mut state)).sum::<f64>() - 2.0;
        }
        let score = row[0] * row[1] + row[2] * row[3] * 1.5 + (row[4] * 3.0).sin() + row[5]
            - row[6] * row[6]
            + 0.5 * row[7] * row[8]
            + 0.3;
        row[features] = f64::from(u8::from(score + unit(&mut state) - 0.5 > 0.0));
    }
    table
}

/// 15,000 rows of 30 features in 40 groups, which are attacks or not.
fn grouped() -> Array2<f64> {
    let mut state = 11;
    let mut normal = || (0..4).map(|_| unit(&mut state)).sum::<f64>() - 2.0;
    let centres = Array2::from_shape_fn((40, 30), |_| 6.0 * normal());
    let mut table = Array2::zeros((15_000, 31));
    for (number, mut row) in table.axis_iter_mut(Axis(0)).enumerate() {
        let group = number * 7919 % 40;
        for feature in 0..30 {
            row[feature] = centres[[group, feature]] + normal() * normal().abs();
        }
        row[30] = (group % 2) as f64;
    }
    table
}

/// Rows of three columns of categories by number, of which few are frequent and each has an effect
/// of its own, and of ten numbers, one of which counts otherwise in every other category.
fn categories(rows: usize) -> Array2<f64> {
    let mut state = 13;
    let sizes = [131, 60, 40];
    let effects = sizes.map(|size| -> Vec<f64> {
        let effect = |_| (0..4).map(|_| unit(&mut state)).sum::<f64>() * 2.0 - 4.0;
        (0..size).map(effect).collect()
    });
    let mut table = Array2::zeros((rows, 14));
    for mut row in table.axis_iter_mut(Axis(0)) {
        let mut score = -1.0;
        for (column, effects) in effects.iter().enumerate() {
            // A share of 1 in k + 1 of what is left, about.
            let category = ((effects.len() as f64).powf(unit(&mut state)) - 1.0) as usize;
            row[column] = category as f64;
            score += effects[category];
        }
        for column in 3..13 {
            row[column] = (0..4).map(|_| unit(&mut state)).sum::<f64>() - 2.0;
        }
        let sign = 1.0 - 2.0 * (row[0] % 2.0);
        score += row[3] + sign * row[4];
        let chance = 1.0 / (1.0 + (-2.0 * score).exp());
        row[13] = f64::from(u8::from(unit(&mut state) < chance));
    }
    table
}

/// The labels of rows of which 1 is an attack.
fn labels(y: ArrayView1<'_, f64>) -> Labels {
    Labels::of_numbers(Classes::binary(), y.iter().copied()).expect("0 or 1")
}

/// Fits learners to one table, and has the peers do it.
fn compare(folder: &Path, name: &str, train: &Array2<f64>, test: &Array2<f64>, asked: &[&str]) {
    compare_kept(folder, name, (train, test), 0, asked);
}

/// The same, of a table whose first so many columns hold categories by number: LightGBM keeps them,
/// scikit-learn has them one-hot.
fn compare_kept(
    folder: &Path,
    name: &str,
    (train, test): (&Array2<f64>, &Array2<f64>),
    kept: usize,
    asked: &[&str],
) {
    for (side, table) in [("train", train), ("test", test)] {
        let bytes = npy::encode(&table.as_standard_layout().to_owned()).expect("numbers");
        disk::write_plain(&folder.join(format!("{name}.{side}.npy")), &bytes)
            .expect("it can be written");
    }
    let features = train.ncols() - 1;
    let y = train.column(features);
    let held = test.slice(s![.., ..features]);
    let truth = labels(test.column(features));
    let kept_word = format!("categories={kept}");
    let words: Vec<&str> = [kept_word.as_str()].iter().chain(asked).copied().collect();
    let theirs = peer(folder, name, &words);
    for learner in asked {
        let learner = find(learner).expect("a learner");
        let (mut least, mut spent, mut model) = (f64::INFINITY, 0.0, None);
        while spent < 1.0 {
            let x = train.slice(s![.., ..features]).to_owned();
            let before = own_seconds();
            let mut data = TrainingSet::new(x, labels(y), &[]).expect("finite rows");
            if kept > 0 {
                data.categories = (0..features).map(|feature| feature < kept).collect();
            }
            let rows = data.rows();
            let fitted = learner.fit(&FitTask {
                data: &data,
                rows: &rows,
                setting: &learner.usual(),
                seed: 1,
                cancel: &Cancel::new(),
            });
            if let (Ok(model), true) = (&fitted, IS_ASKED.contains(&learner.name)) {
                model.scores(held, &Classes::binary()).expect("finite rows");
            }
            let taken = own_seconds() - before;
            (least, spent, model) = (taken.min(least), spent + taken.max(0.1), fitted.ok());
        }
        let model = model.expect("it can be fitted");
        let auc = Metrics::of(
            &truth,
            &model.scores(held, &Classes::binary()).expect("finite rows"),
        )
        .roc_auc;
        let peer = theirs.iter().find(|line| line["learner"] == learner.name);
        let (cpu, their_auc) = peer.map_or((f64::NAN, f64::NAN), |line| {
            (
                line["cpu"].as_f64().unwrap_or(f64::NAN),
                line["auc"].as_f64().unwrap_or(f64::NAN),
            )
        });
        let mut line = format!(
            "| {name}, {} × {features} | {} | {cpu:.3} s | {least:.3} s | {:.2} × | {their_auc:.4} | {auc:.4} |",
            train.nrows(),
            learner.name,
            cpu / least
        );
        if let (Model::Linear(linear), Some(theirs)) =
            (&model, peer.and_then(|line| line["loss"].as_f64()))
        {
            let scores = model
                .scores(train.slice(s![.., ..features]), &Classes::binary())
                .expect("finite rows");
            let losses = scores
                .attack()
                .iter()
                .zip(y)
                .map(|(p, y)| -(if *y == 1.0 { *p } else { 1.0 - *p }).ln());
            let loss = losses.sum::<f64>()
                + linear
                    .weights
                    .iter()
                    .map(|weight| weight * weight)
                    .sum::<f64>()
                    / 2.0;
            line.push_str(&format!(" loss {loss:.4}, theirs {theirs:.4}"));
        }
        say(&line);
    }
}

fn impute(folder: &Path) {
    say(
        "| imputation, 5 % missing, 3 neighbours | scikit-learn | memory | netsec | memory | ratio |",
    );
    say("|---|--:|--:|--:|--:|--:|");
    let mut tables = vec![
        ("20000x40", continuous(20_000)),
        ("50000x40", continuous(50_000)),
    ];
    if let Some((_, lines)) = phishing() {
        let whole = numbers(&lines.iter().collect::<Vec<_>>());
        tables.insert(
            0,
            (
                "phishing",
                whole.slice(s![.., ..whole.ncols() - 1]).to_owned(),
            ),
        );
    }
    for (name, mut table) in tables {
        let mut state = 5;
        table.mapv_inplace(|cell| {
            if unit(&mut state) < 0.05 {
                f64::NAN
            } else {
                cell
            }
        });
        let bytes = npy::encode(&table).expect("numbers");
        disk::write_plain(&folder.join(format!("{name}.npy")), &bytes).expect("it can be written");
        let theirs = peer(folder, name, &["knn_imputer"]);
        let told = |field: &str| {
            theirs
                .first()
                .and_then(|line| line[field].as_f64())
                .unwrap_or(f64::NAN)
        };
        let ours = alone(&folder.join(format!("{name}.npy")));
        let mine = |field: &str| ours[field].as_f64().unwrap_or(f64::NAN);
        say(&format!(
            "| {name} | {:.2} s | {:.0} MB | {:.2} s | {:.0} MB | {:.1} × | sums {:.6} and {:.6}",
            told("cpu"),
            told("memory"),
            mine("cpu"),
            mine("memory"),
            told("cpu") / mine("cpu"),
            told("sum"),
            mine("sum")
        ));
    }
}

/// Fills a table in a process of its own, so that its memory is that of this alone.
fn alone(path: &Path) -> Value {
    let program = std::env::current_exe().expect("it runs");
    let output = Command::new(program)
        .arg("fill")
        .arg(path)
        .output()
        .expect("it can be started");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn fill(path: &str) {
    let mut table = npy::decode(&std::fs::read(path).expect("it was written")).expect("numbers");
    let before = own_seconds();
    let imputer = KnnImputer::fit(table.view(), 3, DonorWeights::Uniform).expect("no empty column");
    imputer.fill(&mut table);
    let (cpu, memory) = (own_seconds() - before, most_memory());
    say(&serde_json::json!({"cpu": cpu, "memory": memory, "sum": table.sum()}).to_string());
}

fn continuous(rows: usize) -> Array2<f64> {
    let mut state = 3;
    Array2::from_shape_fn((rows, 40), |_| {
        (0..4).map(|_| unit(&mut state)).sum::<f64>() - 2.0
    })
}

/// The most memory of this process so far, in MB.
fn most_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok())
        .unwrap_or(f64::NAN)
        / 1024.0
}

/// The whole job, on a random split and on one in which no row of the test side equals one of the
/// train side.
fn job(folder: &Path) {
    let Some((header, lines)) = phishing() else {
        return say("no phishing.csv: the job is not run");
    };
    let random = held(lines.len());
    let features = |line: &str| {
        line.rsplit_once(',').map_or(0, |(features, _)| {
            u64::from_le_bytes(
                blake3::hash(features.as_bytes()).as_bytes()[..8]
                    .try_into()
                    .expect("eight bytes"),
            )
        })
    };
    let content: Vec<bool> = lines.iter().map(|line| features(line) % 5 == 0).collect();
    say("| the seed project's grids, 3 folds | scikit-learn | best F1 | netsec | F1 | ratio |");
    say("|---|--:|--:|--:|--:|--:|");
    // Each with the folds that go with it: those of the peer, and those that keep equal rows
    // together.
    for (name, held, folds) in [
        ("random", random, "stratified"),
        ("content", content, "content"),
    ] {
        for (side, wanted) in [("train", false), ("test", true)] {
            let rows = lines
                .iter()
                .zip(&held)
                .filter(|(_, held)| **held == wanted)
                .map(|(line, _)| format!("{line}\n"));
            write(
                &folder.join(format!("{name}.{side}.csv")),
                &format!("{header}\n{}", rows.collect::<String>()),
            );
        }
        write(
            &folder.join(format!("{name}.yaml")),
            &JOB.replace("NAME", name).replace("FOLDS", folds),
        );
        let theirs = peer(folder, name, &["job"]);
        let before = children_seconds();
        let run = Command::new(env!("CARGO_BIN_EXE_netsec"))
            .args([
                "run",
                &format!("{name}.yaml"),
                "--threads",
                "1",
                "--jobs",
                "1",
            ])
            .current_dir(folder)
            .output()
            .expect("it can be started");
        let cpu = children_seconds() - before;
        assert!(
            run.status.success(),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
        let decision = Command::new(env!("CARGO_BIN_EXE_netsec"))
            .args(["cat", "evaluate.decision"])
            .current_dir(folder)
            .output()
            .expect("it can be started");
        let decision: Value = serde_json::from_slice(&decision.stdout).unwrap_or_default();
        let told = |field: &str| {
            theirs
                .first()
                .and_then(|line| line[field].as_f64())
                .unwrap_or(f64::NAN)
        };
        say(&format!(
            "| {name} split | {:.1} CPU s | {:.4} | {cpu:.2} CPU s | {:.4} ({}) | {:.1} × |",
            told("cpu"),
            told("f1"),
            decision["challenger"]["metrics"]["f1"]
                .as_f64()
                .unwrap_or(f64::NAN),
            decision["challenger"]["learner"],
            told("cpu") / cpu
        ));
        let _ = disk::remove_dir(&folder.join("cache"));
    }
}

fn main() {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let wants = |name: &str| asked.is_empty() || asked.iter().any(|word| word == name);
    let folder = tempfile::tempdir().expect("there is room");
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build_global()
        .expect("no pool yet");
    if let [word, path] = asked.as_slice()
        && word == "fill"
    {
        return fill(path);
    }
    let trees = ["random_forest", "extra_trees", "gradient_boosting"];
    say("| table | learner | peer | netsec | ratio | AUC, peer | AUC, netsec |");
    say("|---|---|--:|--:|--:|--:|--:|");
    if wants("phishing")
        && let Some((_, lines)) = phishing()
    {
        let (train, test) = sides_of(&numbers(&lines.iter().collect::<Vec<_>>()));
        let learners = [
            "random_forest",
            "extra_trees",
            "gradient_boosting",
            "adaboost",
            "decision_tree",
            "logistic_regression",
        ];
        compare(folder.path(), "phishing", &train, &test, &learners);
    }
    if wants("nsl_kdd")
        && let Some((train, test)) = nsl_kdd()
    {
        compare(folder.path(), "nsl_kdd", &train, &test, &trees);
    }
    if wants("synthetic") {
        let whole = synthetic(240_000, 30);
        let (train, test) = whole.view().split_at(Axis(0), 200_000);
        compare(
            folder.path(),
            "synthetic",
            &train.to_owned(),
            &test.to_owned(),
            &trees,
        );
    }
    if wants("shapes") {
        for (rows, features) in [
            (10_000, 30),
            (20_000, 300),
            (20_000, 1_000),
            (1_000_000, 30),
        ] {
            let whole = synthetic(rows * 5 / 4, features);
            let (train, test) = whole.view().split_at(Axis(0), rows);
            let (train, test) = (train.to_owned(), test.to_owned());
            compare(folder.path(), "continuous", &train, &test, &trees[2..]);
        }
    }
    if wants("categories") {
        for rows in [5_000, 100_000] {
            let whole = categories(rows * 5 / 4);
            let (train, test) = whole.view().split_at(Axis(0), rows);
            let (train, test) = (train.to_owned(), test.to_owned());
            compare_kept(folder.path(), "categories", (&train, &test), 3, &trees);
        }
    }
    if wants("neighbours") {
        let continuous = synthetic(12_500, 30);
        for (name, whole) in [("continuous", continuous), ("groups", grouped())] {
            let (train, test) = sides_of(&whole);
            compare(folder.path(), name, &train, &test, &IS_ASKED);
        }
        if let Some((train, test)) = nsl_kdd() {
            compare(folder.path(), "nsl_kdd", &train, &test, &IS_ASKED);
        }
    }
    if wants("impute") {
        impute(folder.path());
    }
    if wants("job") {
        job(folder.path());
    }
}
