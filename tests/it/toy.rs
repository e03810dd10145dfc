//! Stage kinds for tests of the engine, and a harness that runs them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::world::World;
use netsec::app::workspace::{
    AppError, LoadedPipeline, Overrides, RunOptions, RunRequest, Workspace,
};
use netsec::base::cancel::Cancel;
use netsec::base::digest::Digest;
use netsec::base::outcome::StageOutcome;
use netsec::engine::remote_workers::RemoteWorkers;
use netsec::engine::run_setup::RunSummary;
use netsec::event::{Event, Sink};
use netsec::far::remote_cache::RemoteCache;
use netsec::far::shared_cache::{SharedCache, SharingTerms};
use netsec::stage::context::StageContext;
use netsec::stage::error::StageError;
use netsec::stage::io::{InputFile, Inputs, Outputs};
use netsec::stage::kind::{Stage, StageKind};
use netsec::stage::param::{Param, ParamError, ParamFallback, ParamType, Values};
use netsec::stage::port::{Port, PortFormat, PortNeed, Ports};
use netsec::stage::registry::Registry;
use netsec::stage::remote::RemoteWork;
use netsec::stage::sub_action::SubAction;

const OUT: Ports = Ports::Fixed(&[Port {
    name: "out",
    format: PortFormat::Any,
    need: PortNeed::One,
    doc: "the result",
}]);
const NONE: Ports = Ports::Fixed(&[]);
const TEXT: Param = Param {
    name: "text",
    kind: ParamType::Text,
    default: ParamFallback::Yaml("x"),
    doc: "What to say.",
};
const HOW: Param = Param {
    name: "how",
    kind: ParamType::Choice(&["data", "failed", "rejected", "panic"]),
    default: ParamFallback::Yaml("failed"),
    doc: "How to fail.",
};
const PATH: Param = Param {
    name: "path",
    kind: ParamType::Text,
    default: ParamFallback::Required,
    doc: "What to edit.",
};
const TOKEN: Param = Param {
    name: "token",
    kind: ParamType::Secret,
    default: ParamFallback::Absent,
    doc: "A secret.",
};
const NUMBER: Param = Param {
    name: "number",
    kind: ParamType::Int(0, 9),
    default: ParamFallback::Yaml("0"),
    doc: "A number.",
};

type Body = fn(&Values, &Inputs, &mut Outputs, &StageContext<'_>) -> Result<(), StageError>;

struct Toy(Values, Body);

impl Stage for Toy {
    fn run(
        &self,
        inputs: &Inputs,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        (self.1)(&self.0, inputs, outputs, context)
    }
}

fn joined(inputs: &Inputs) -> Result<Vec<u8>, StageError> {
    let mut all = Vec::new();
    for (port, input) in inputs.all() {
        for InputFile { name, content, .. } in &input.files {
            all.extend_from_slice(format!("{port}/{name}=").as_bytes());
            all.extend(content.bytes()?);
            all.push(b';');
        }
    }
    Ok(all)
}

macro_rules! kind {
    ($name:literal, $inputs:expr, $outputs:expr, $params:expr, $body:expr) => {{
        fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
            Ok(Box::new(Toy(values.clone(), $body)))
        }
        StageKind {
            name: $name,
            version: 1,
            doc: "A toy.",
            inputs: $inputs,
            outputs: $outputs,
            params: $params,
            seeded: false,
            runs_elsewhere: false,
            remote: RemoteWork::Whole,
            make,
        }
    }};
}

/// Adds up, in two rounds of parts: the second goes on from what the first made. Parts with the same
/// remainder share work.
fn sums(
    values: &Values,
    inputs: &Inputs,
    outputs: &mut Outputs,
    context: &StageContext<'_>,
) -> Result<(), StageError> {
    let count = values.int("number").unwrap();
    // Parts may be alike.
    let number = |at: i64| match values.text("text") {
        Some("alike") => at % 3,
        _ => at,
    };
    let start = joined(inputs)?;
    let part = |round: i64, at: i64, seed: &[u8]| {
        let mut part = SubAction::new("sum", format!("round-{round}-{at}"))
            .costly()
            .together(format!("{}", at % 3))
            .with("number", number(at))
            .with("from", Digest::of(seed));
        part.inputs = vec!["x"];
        part
    };
    let body = |round: i64, seed: &[u8]| {
        let parts: Vec<SubAction> = (0..count).map(|at| part(round, at, seed)).collect();
        context.memo.recall_all(&parts)?;
        context.memo(&parts, &|at, context| {
            context.check()?;
            Ok([
                seed,
                inputs.one("x").bytes()?.as_slice(),
                format!("<{}>", number(at as i64)).as_bytes(),
            ]
            .concat())
        })
    };
    let first = body(1, &start)?.concat();
    let listed = context.memo.put(&first)?;
    let second = body(2, Digest::of(&first).hex().as_bytes())?.concat();
    outputs.note(format!("{count} parts, twice"));
    outputs.listed(
        "out",
        vec![
            ("first".to_owned(), listed),
            ("second".to_owned(), context.memo.put(&second)?),
        ],
    );
    Ok(())
}

/// `echo` says its text; `join` joins its inputs; `length` says only how long they are; `fail`
/// fails; `edit` edits a file while it runs; `wait` waits until it is stopped; `two` has two
/// outputs; `leave` leaves something and fails; `folder` makes a directory.
pub(crate) fn registry() -> Registry {
    let mut seeded = kind!("seeded", NONE, OUT, &[], |_, _, outputs, context| {
        outputs.bytes("out", context.seed.to_string().into_bytes());
        Ok(())
    });
    seeded.seeded = true;
    Registry::new(vec![
        kind!(
            "echo",
            Ports::Free,
            OUT,
            &[TEXT, NUMBER, TOKEN],
            |values, _, outputs, _| {
                outputs.bytes("out", values.text("text").unwrap().as_bytes().to_vec());
                Ok(())
            }
        ),
        kind!(
            "join",
            Ports::Free,
            OUT,
            &[TEXT],
            |_, inputs, outputs, _| {
                outputs.bytes("out", joined(inputs)?);
                Ok(())
            }
        ),
        kind!("length", Ports::Free, OUT, &[], |_, inputs, outputs, _| {
            outputs.bytes("out", joined(inputs)?.len().to_string().into_bytes());
            Ok(())
        }),
        kind!(
            "fail",
            Ports::Free,
            OUT,
            &[HOW],
            |values, _, _, _| match values.text("how").unwrap() {
                "data" => Err(StageError::Data("bad data".to_owned())),
                "rejected" => Err(StageError::Rejected("not good enough".to_owned())),
                "panic" => panic!("a toy panicked"),
                _ => Err(StageError::Failed("it failed".to_owned())),
            }
        ),
        kind!(
            "edit",
            Ports::Free,
            OUT,
            &[PATH],
            |values, inputs, outputs, _| {
                let all = joined(inputs)?;
                let path = PathBuf::from(values.text("path").unwrap());
                netsec::base::disk::write_plain(&path, b"edited meanwhile").unwrap();
                outputs.bytes("out", all);
                Ok(())
            }
        ),
        kind!("wait", Ports::Free, OUT, &[], |_, _, _, context| {
            while !context.cancel.is_cancelled() {
                std::thread::yield_now();
            }
            context.check()
        }),
        kind!(
            "two",
            NONE,
            Ports::Fixed(&[
                Port {
                    name: "a",
                    format: PortFormat::Table,
                    need: PortNeed::One,
                    doc: "first"
                },
                Port {
                    name: "b",
                    format: PortFormat::Json,
                    need: PortNeed::One,
                    doc: "second"
                },
            ]),
            &[],
            |_, _, outputs, _| {
                outputs.bytes("a", b"a".to_vec());
                outputs.bytes("b", b"b".to_vec());
                Ok(())
            }
        ),
        kind!(
            "parts",
            Ports::Free,
            OUT,
            &[NUMBER, PATH],
            |values, _, outputs, context| {
                // As many parts as the number says; each adds a line to the file when it runs, and
                // one called `5` fails.
                let count = values.int("number").unwrap();
                let path = PathBuf::from(values.text("path").unwrap());
                let part = |number: i64| {
                    SubAction::new("part", format!("part-{number}")).with("number", number)
                };
                let parts: Vec<SubAction> = (0..count).map(part).collect();
                let lock = Mutex::new(());
                let made = context.memo(&parts, &|at, _| {
                    if at == 5 && !path.with_extension("mended").exists() {
                        return Err(StageError::Failed("part five".to_owned()));
                    }
                    let _held = lock.lock().unwrap();
                    let before = std::fs::read_to_string(&path).unwrap_or_default();
                    netsec::base::disk::write_plain(&path, format!("{before}{at}\n").as_bytes())
                        .unwrap();
                    Ok(format!("<{at}>").into_bytes())
                })?;
                outputs.bytes("out", made.concat());
                Ok(())
            }
        ),
        StageKind {
            remote: RemoteWork::Parts,
            ..kind!("sums", Ports::Free, OUT, &[NUMBER, TEXT], sums)
        },
        kind!("flaky", NONE, OUT, &[PATH], |values, _, outputs, _| {
            // It fails until the file holds three lines, and adds one each time.
            let path = PathBuf::from(values.text("path").unwrap());
            let before = std::fs::read_to_string(&path).unwrap_or_default();
            netsec::base::disk::write_plain(&path, format!("{before}try\n").as_bytes()).unwrap();
            if before.lines().count() < 3 {
                return Err(StageError::Failed(format!(
                    "after {}",
                    before.lines().count()
                )));
            }
            outputs.bytes("out", b"at last".to_vec());
            Ok(())
        }),
        kind!(
            "count",
            Ports::Free,
            OUT,
            &[PATH],
            |values, _, outputs, _| {
                // How many of its like run at once: each adds a file while it runs.
                let folder = PathBuf::from(values.text("path").unwrap());
                let own = folder.join(format!("{:?}", std::thread::current().id()));
                netsec::base::disk::write_plain(&own, b"").unwrap();
                let most = netsec::base::disk::list(&folder).unwrap().len();
                for _ in 0..2000 {
                    std::thread::yield_now();
                }
                let most = most.max(netsec::base::disk::list(&folder).unwrap().len());
                netsec::base::disk::remove_dir(&own).unwrap();
                outputs.bytes("out", most.to_string().into_bytes());
                Ok(())
            }
        ),
        kind!("leave", NONE, OUT, &[], |_, _, outputs, _| {
            outputs.bytes("out", b"last words".to_vec());
            Err(StageError::Failed("after last words".to_owned()))
        }),
        kind!("forget", NONE, OUT, &[], |_, _, _, _| Ok(())),
        kind!(
            "folder",
            Ports::Free,
            OUT,
            &[TEXT],
            |values, _, outputs, context| {
                let folder = context.scratch.join("made");
                let text = values.text("text").unwrap();
                netsec::base::disk::write_plain(&folder.join("a/b.txt"), text.as_bytes()).unwrap();
                netsec::base::disk::write_plain(&folder.join("c.txt"), b"same").unwrap();
                outputs.path("out", folder);
                Ok(())
            }
        ),
        kind!(
            "judge",
            Ports::Fixed(&[
                Port {
                    name: "model",
                    format: PortFormat::Any,
                    need: PortNeed::One,
                    doc: "the challenger"
                },
                Port {
                    name: "champion",
                    format: PortFormat::Any,
                    need: PortNeed::Ref("model"),
                    doc: "the champion"
                },
            ]),
            OUT,
            &[],
            |_, inputs, outputs, _| {
                let challenger = inputs.one("model").bytes()?;
                let champion = inputs
                    .maybe("champion")
                    .map(|input| input.bytes())
                    .transpose()?;
                let better = champion
                    .as_ref()
                    .is_none_or(|champion| challenger > *champion);
                outputs.bytes("out", format!("{better}").into_bytes());
                if better {
                    outputs.move_ref("champion", inputs.one("model"));
                }
                Ok(())
            }
        ),
        seeded,
    ])
}

/// Keeps every event.
#[derive(Clone, Default)]
pub(crate) struct Heard(pub(crate) Arc<Mutex<Vec<Event>>>);

impl Sink for Heard {
    fn take(&mut self, event: &Event) -> Result<(), String> {
        self.0.lock().unwrap().push(event.clone());
        Ok(())
    }
}

pub(crate) fn load(world: &World, text: &str) -> LoadedPipeline {
    try_load(world, text).unwrap_or_else(|error| match error {
        AppError::Report(report) => panic!("{}", report.plain()),
        error => panic!("{error}"),
    })
}

pub(crate) fn try_load(world: &World, text: &str) -> Result<LoadedPipeline, AppError> {
    try_load_of(world, text, &registry())
}

fn try_load_of(world: &World, text: &str, registry: &Registry) -> Result<LoadedPipeline, AppError> {
    world.write("toy.yaml", text);
    let env = |name: &str| (name == "SET").then(|| "s3cr3t-value".to_owned());
    Workspace::open(world.root())?.load("toy.yaml", &Overrides::default(), registry, &env)
}

pub(crate) struct Ran {
    pub(crate) summary: RunSummary,
    pub(crate) events: Vec<Event>,
}

impl Ran {
    /// `id outcome` of every stage.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        self.summary
            .stages
            .iter()
            .map(|stage| format!("{} {}", stage.id, stage.outcome.as_str()))
            .collect()
    }

    pub(crate) fn outcome(&self, id: &str) -> StageOutcome {
        self.summary
            .stages
            .iter()
            .find(|stage| stage.id.as_str() == id)
            .unwrap()
            .outcome
    }

    pub(crate) fn error(&self, id: &str) -> String {
        let stage = self
            .summary
            .stages
            .iter()
            .find(|stage| stage.id.as_str() == id)
            .unwrap();
        stage.error.as_ref().unwrap().message.clone()
    }

    /// Whether every stage ended so.
    pub(crate) fn is_all(&self, outcome: StageOutcome) -> bool {
        self.summary
            .stages
            .iter()
            .all(|stage| stage.outcome == outcome)
    }

    /// Digests by `stage.port`.
    pub(crate) fn digests(&self) -> BTreeMap<String, String> {
        let outputs = |stage: &netsec::event::StageResult| {
            let id = stage.id.clone();
            stage
                .outputs
                .clone()
                .into_iter()
                .map(move |output| (format!("{id}.{}", output.port), output.digest.hex()))
        };
        self.summary.stages.iter().flat_map(outputs).collect()
    }
}

pub(crate) fn run(world: &World, text: &str) -> Ran {
    run_with(world, text, &RunRequest::default(), 4, &Cancel::new()).unwrap()
}

pub(crate) fn run_with(
    world: &World,
    text: &str,
    wish: &RunRequest,
    jobs: usize,
    cancel: &Cancel,
) -> Result<Ran, AppError> {
    carry_out(world, text, wish, (jobs, None), (None, None), cancel)
}

/// A cache that is read and written, for machines of the class `toy`.
pub(crate) fn sharing(remote: impl RemoteCache + 'static) -> SharedCache {
    let terms = SharingTerms {
        class: "toy".to_owned(),
        publishes: true,
        trust: Vec::new(),
        key: None,
        required: false,
    };
    SharedCache::new(Box::new(remote), terms)
}

/// Runs a pipeline with a cache that others share.
pub(crate) fn run_shared(world: &World, text: &str, shared: &SharedCache) -> Ran {
    run_shared_by(world, text, shared, 4)
}

pub(crate) fn run_shared_by(world: &World, text: &str, shared: &SharedCache, jobs: usize) -> Ran {
    let (wish, cancel) = (RunRequest::default(), Cancel::new());
    carry_out(
        world,
        text,
        &wish,
        (jobs, None),
        (Some(shared), None),
        &cancel,
    )
    .unwrap()
}

pub(crate) fn run_terms(
    world: &World,
    text: &str,
    jobs: usize,
    most: Option<usize>,
) -> Result<Ran, AppError> {
    carry_out(
        world,
        text,
        &RunRequest::default(),
        (jobs, most),
        (None, None),
        &Cancel::new(),
    )
}

/// Runs a pipeline of other kinds, with other machines if there are any.
#[cfg(feature = "kinds")]
pub(crate) fn run_of(
    world: &World,
    text: &str,
    registry: &Registry,
    workers: Option<&RemoteWorkers>,
) -> Ran {
    let loaded = match try_load_of(world, text, registry) {
        Ok(loaded) => loaded,
        Err(AppError::Report(report)) => panic!("{}", report.plain()),
        Err(error) => panic!("{error}"),
    };
    let (wish, cancel) = (RunRequest::default(), Cancel::new());
    carry_out_loaded(world, &loaded, &wish, (2, None), (None, workers), &cancel).unwrap()
}

/// Runs a pipeline with other machines.
pub(crate) fn run_away(world: &World, text: &str, workers: &RemoteWorkers) -> Ran {
    run_away_with(world, text, workers, &Cancel::new())
}

pub(crate) fn run_away_with(
    world: &World,
    text: &str,
    workers: &RemoteWorkers,
    cancel: &Cancel,
) -> Ran {
    let elsewhere = (None, Some(workers));
    let wish = RunRequest::default();
    carry_out(world, text, &wish, (2, None), elsewhere, cancel).unwrap()
}

fn carry_out(
    world: &World,
    text: &str,
    wish: &RunRequest,
    (jobs, max_failures): (usize, Option<usize>),
    elsewhere: (Option<&SharedCache>, Option<&RemoteWorkers>),
    cancel: &Cancel,
) -> Result<Ran, AppError> {
    let loaded = load(world, text);
    carry_out_loaded(
        world,
        &loaded,
        wish,
        (jobs, max_failures),
        elsewhere,
        cancel,
    )
}

fn carry_out_loaded(
    world: &World,
    loaded: &LoadedPipeline,
    wish: &RunRequest,
    (jobs, max_failures): (usize, Option<usize>),
    (shared, workers): (Option<&SharedCache>, Option<&RemoteWorkers>),
    cancel: &Cancel,
) -> Result<Ran, AppError> {
    let heard = Heard::default();
    let sinks = heard.clone();
    let terms = RunOptions {
        jobs,
        max_failures,
        program: None,
        wait: false,
        shared,
        workers,
        cancel,
        waiting: &|_| {},
        sinks: &|_| Ok(vec![Box::new(sinks.clone())]),
    };
    let summary = Workspace::open(world.root())?.run(loaded, wish, &terms)?;
    let events = heard.0.lock().unwrap().clone();
    Ok(Ran { summary, events })
}
