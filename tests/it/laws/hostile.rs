//! Whatever stands in a file of the cache, reading it ends with a value or an error: no panic, and
//! no more memory than a few times the file.

use proptest::prelude::*;

use crate::memory::most_held;
use netsec::base::artifact::EntryForm;
use netsec::base::clock::SystemClock;
use netsec::base::digest::Digest;
use netsec::event::Event;
use netsec::lineage::journal;
use netsec::lineage::record::{FORMAT, LedgerEntry};
use netsec::store::digest_cache::DigestCache;
use netsec::store::manifest::{FileEntry, Manifest};

/// A decoder may reserve a mebibyte for a list before it has seen that the list is shorter (serde's
/// own bound); no list stands deeper than in another. A page is for what else it holds meanwhile.
const RESERVE: usize = (2 << 20) + (1 << 12);

type Reader = (&'static str, Vec<u8>, fn(&[u8]));

fn manifest() -> Vec<u8> {
    let entry = |n: u8| FileEntry {
        path: format!("d/{n}"),
        digest: Digest::of(&[n]),
        size: u64::from(n),
        form: EntryForm::Plain,
    };
    Manifest::new((0..20).map(entry).collect()).encode()
}

fn entries() -> Vec<u8> {
    journal::encode(&[
        LedgerEntry::Swept(vec![Digest::of(b"a"), Digest::of(b"b")]),
        LedgerEntry::Swept(Vec::new()),
    ])
}

fn known(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known");
    netsec::base::disk::write_plain(&path, bytes).unwrap();
    drop(DigestCache::load(&path, Box::new(SystemClock)));
}

fn whole_journal(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.records");
    netsec::base::disk::write_plain(&path, bytes).unwrap();
    let _ = journal::read(&path);
}

/// A good file of each sort, and how it is read.
fn readers() -> Vec<Reader> {
    let event =
        b"{\"v\":1,\"seq\":0,\"at_ms\":5,\"event\":{\"warning\":{\"code\":\"a::b\",\"message\":\"m\"}}}".to_vec();
    let mut frames = b"netsec-journal-1\n".to_vec();
    frames.extend((entries().len() as u64).to_le_bytes());
    frames.extend(&Digest::of(&entries()).as_bytes()[..8]);
    frames.extend(entries());
    let memory =
        rmp_serde::to_vec(&(FORMAT, std::collections::BTreeMap::from([("a", 1)]))).unwrap();
    let mut readers: Vec<Reader> = vec![
        ("a manifest", manifest(), |bytes| {
            drop(Manifest::decode(bytes))
        }),
        ("records", entries(), |bytes| drop(journal::decode(bytes))),
        ("a journal", frames, whole_journal),
        ("an event", event, |bytes| {
            drop(serde_json::from_slice::<Event>(bytes))
        }),
        ("known files", memory, known),
    ];
    readers.extend(wing());
    readers
}

#[cfg(not(feature = "kinds"))]
fn wing() -> Vec<Reader> {
    Vec::new()
}

#[cfg(feature = "kinds")]
fn wing() -> Vec<Reader> {
    use netsec::frame::npy;
    let matrix = ndarray::Array2::from_shape_fn((20, 3), |(row, column)| (row * 3 + column) as f64);
    vec![
        ("a matrix", npy::encode(&matrix).unwrap(), |bytes| {
            drop(npy::decode(bytes))
        }),
        (
            "a preprocessor",
            rmp_serde::to_vec(&(1, "x")).unwrap(),
            |bytes| {
                drop(netsec::prep::preprocessor::Preprocessor::decode(bytes));
            },
        ),
        ("a model", rmp_serde::to_vec(&(1, "x")).unwrap(), |bytes| {
            drop(netsec::model::bundle::ModelBundle::decode(bytes))
        }),
    ]
}

fn check(name: &str, bytes: &[u8], read: fn(&[u8])) {
    let held = most_held(|| read(bytes));
    assert!(
        held <= 4 * bytes.len() + RESERVE,
        "{name}: {held} bytes for a file of {}",
        bytes.len()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for (name, _, read) in readers() {
            check(name, &bytes, read);
        }
    }

    #[test]
    fn any_change_of_a_good_file_is_read_or_refused(
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 0..12),
        length in 0_usize..12,
    ) {
        for (name, mut bytes, read) in readers() {
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, with.clone());
            check(name, &bytes, read);
        }
    }
}

#[test]
fn lengths_that_are_lies_cost_nothing() {
    // MessagePack lists, maps and texts that say they hold four thousand million items.
    for head in [0xdd_u8, 0xdf, 0xdb, 0xc6] {
        let bytes = [[0x92, 0x01, head].as_slice(), &[0xff; 4], &[0x01; 16]].concat();
        for (name, _, read) in readers() {
            check(name, &bytes, read);
        }
    }
    let frame = [
        b"netsec-journal-1\n".as_slice(),
        &u64::MAX.to_le_bytes(),
        &[0; 40],
    ]
    .concat();
    check("a journal", &frame, whole_journal);
}

#[cfg(feature = "kinds")]
#[test]
fn a_matrix_that_lies_about_its_shape_costs_nothing() {
    let good = netsec::frame::npy::encode(&ndarray::Array2::zeros((4, 4))).unwrap();
    for shape in [
        "(9999999999999, 9999999)",
        "(4000000000, 4)",
        "(18446744073709551615, 2)",
        "(4, 5)",
        "(3, 4)",
    ] {
        let old = "(4, 4)";
        let mut bytes = good.clone();
        let start = bytes
            .windows(old.len())
            .position(|window| window == old.as_bytes())
            .unwrap();
        let padding = shape.len() - old.len();
        bytes.splice(start..start + old.len(), shape.bytes());
        // The header keeps its length: blanks at its end make up for the longer shape.
        let end = bytes
            .windows(2)
            .position(|window| window == b" \n")
            .unwrap();
        bytes.drain(end - padding..end);
        assert!(netsec::frame::npy::decode(&bytes).is_err(), "{shape}");
        check("a matrix", &bytes, |bytes| {
            drop(netsec::frame::npy::decode(bytes))
        });
    }
}

#[cfg(feature = "kinds")]
mod models {
    use std::sync::OnceLock;

    use netsec::base::cancel::Cancel;
    use netsec::export::{card, mlflow};
    use netsec::frame::table::Table;
    use netsec::model::bundle::ModelBundle;
    use netsec::model::calibrate::Calibrator;
    use netsec::model::data::TrainingSet;
    use netsec::model::learner::FitTask;
    use netsec::model::learners::find;
    use netsec::model::metrics::Metrics;
    use netsec::prep::columns::ColumnPick;
    use netsec::prep::encode::UnknownCategory;
    use netsec::prep::impute::ImputeStrategy;
    use netsec::prep::knn::DonorWeights;
    use netsec::prep::labels::TargetRule;
    use netsec::prep::preprocessor::{Preprocessor, PreprocessorSettings};
    use netsec::prep::scale::ScaleMethod;
    use netsec::prep::step::{PrepStep, StepAction};
    use netsec::scoring::attribution::{RowExplainer, explained};
    use proptest::prelude::*;

    fn table() -> Table {
        let cells = |of: fn(usize) -> f64| (0..24).map(of).collect::<Vec<f64>>();
        let numbers = Table::of_numbers(vec![
            (
                "a".to_owned(),
                cells(|row| {
                    if row % 7 == 3 {
                        f64::NAN
                    } else {
                        (row * 5 % 11) as f64
                    }
                }),
            ),
            ("b".to_owned(), cells(|row| (row * row % 13) as f64 / 2.0)),
            ("y".to_owned(), cells(|row| (row % 2) as f64)),
        ]);
        let words = (0..24)
            .map(|row| (row % 5 != 0).then(|| ["tcp", "udp"][row % 2].to_owned()))
            .collect();
        numbers
            .unwrap()
            .beside(&Table::of_texts("w", words).unwrap())
            .unwrap()
    }

    /// Good models of every learner, with all kinds of steps.
    fn bundles() -> &'static Vec<Vec<u8>> {
        static MADE: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
        MADE.get_or_init(|| {
            let usual = vec![
                StepAction::Impute(ImputeStrategy::Knn(2, DonorWeights::Distance), true),
                StepAction::Quantile(5, true),
            ];
            let other = vec![
                StepAction::Impute(ImputeStrategy::Median, false),
                StepAction::Pca(2),
            ];
            let made = |(name, mut steps): (&str, Vec<StepAction>)| {
                steps.extend([
                    StepAction::OneHot(UnknownCategory::Rare, 1, 9),
                    StepAction::Scale(ScaleMethod::Robust),
                ]);
                let labels = TargetRule::binary(&["0"], &["1"]);
                let steps = steps
                    .into_iter()
                    .map(|action| PrepStep {
                        pick: ColumnPick::default(),
                        action,
                    })
                    .collect();
                let settings = PreprocessorSettings {
                    weight: None,
                    target: "y".to_owned(),
                    labels,
                    steps,
                };
                let (preprocessor, x) = Preprocessor::fit(&table(), &settings).unwrap();
                let labels = preprocessor.labels(&table()).unwrap();
                let data = TrainingSet::new(x, labels.clone(), preprocessor.features()).unwrap();
                let learner = find(name).unwrap();
                let mut setting = learner.usual();
                if let Some(at) = learner.size.filter(|_| name != "knn") {
                    setting[at] = 3.0;
                }
                let task = FitTask {
                    data: &data,
                    rows: &data.rows(),
                    setting: &setting,
                    seed: 1,
                    cancel: &Cancel::new(),
                };
                let model = learner.fit(&task).unwrap();
                let scores = model.scores(data.x.view(), labels.classes()).unwrap();
                let mut bundle = ModelBundle::new(
                    name,
                    learner.named(&setting),
                    Metrics::of(&labels, &scores),
                    preprocessor,
                    model,
                );
                bundle.calibrator = Some(Calibrator::isotonic(&labels, &scores));
                bundle.encode()
            };
            [
                ("logistic_regression", usual.clone()),
                ("knn", other.clone()),
                ("svm", usual.clone()),
                ("naive_bayes", other.clone()),
                ("random_forest", usual),
                ("adaboost", other),
            ]
            .map(made)
            .into()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(192))]

        #[test]
        fn a_model_that_was_changed_is_refused_or_answers(
            which in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            with in prop::collection::vec(any::<u8>(), 1..9),
        ) {
            let mut bytes = bundles()[which.index(bundles().len())].clone();
            let at = at.index(bytes.len());
            let end = (at + with.len()).min(bytes.len());
            bytes.splice(at..end, with);
            if let Ok(bundle) = ModelBundle::decode(&bytes) {
                let _ = bundle.scores(&table());
                let explaining = RowExplainer { by_feature: false, samples: 2, seed: 1 };
                let _ = explained(&bundle, &table(), &table(), &explaining);
                let _ = mlflow::mlflow(&bundle, &card::card("m", &bundle, "", ""));
            }
        }
    }
}

/// What a pipeline file with these lines is refused for.
fn refused(world: &crate::world::World, text: &str) -> String {
    match crate::toy::try_load(world, text) {
        Ok(_) => panic!("it is taken"),
        Err(netsec::app::workspace::AppError::Report(report)) => {
            assert!(report.problems.len() <= 100);
            format!(
                "{} of {}: {}",
                report.problems.len(),
                report.count,
                report.plain()
            )
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn long_conditions_many_problems_and_references_that_multiply_are_bounded() {
    let world = crate::world::World::new();
    let when = |condition: &str| format!("stages:\n  a: {{ kind: echo, when: '{condition}' }}\n");
    let many_nots = |count: usize| when(&format!("{}true", "not ".repeat(count)));
    assert!(crate::toy::try_load(&world, &many_nots(100_000)).is_ok());
    assert!(
        refused(&world, &when(&"not ".repeat(100_000))).len() < 1000,
        "a condition of any length is told shortly"
    );
    let unknown: String = (0..20_000)
        .map(|at| format!("  s{at}: {{ kind: nope{at} }}\n"))
        .collect();
    assert!(refused(&world, &format!("stages:\n{unknown}")).starts_with("100 of 1001: "));
    let value = "${params.a}".repeat(500);
    let stages: String = (0..300)
        .map(|at| format!("  s{at}: {{ kind: echo, with: {{ text: '{value}' }} }}\n"))
        .collect();
    let text = format!(
        "params: {{ a: {} }}\nstages:\n{stages}",
        "x".repeat(100_000)
    );
    let mut said = String::new();
    let held = most_held(|| said = refused(&world, &text));
    assert!(
        said.contains("references are replaced by more than 64 MB"),
        "{}",
        &said[..said.len().min(300)]
    );
    assert!(held < 400 << 20, "{held}");
}

#[test]
fn a_file_of_parameters_that_never_ends_is_refused() {
    let world = crate::world::World::new();
    std::os::unix::fs::symlink("/dev/zero", world.root().join("endless")).unwrap();
    let mut said = String::new();
    let held = most_held(|| {
        said = refused(
            &world,
            "params_files: [endless]\nstages: { a: { kind: echo } }\n",
        )
    });
    assert!(said.contains("it is longer than 67108864 bytes"), "{said}");
    assert!(held < 300 << 20, "{held}");
}
