//! A search on three workers behind a real queue: BuildGrid, as `tests/interop/reapi_grid.py` starts it. One
//! worker is killed, the server is killed and started again, and a run is stopped and gone on with.
//!
//! The workers carry out this test program, whose kind `naps` stands for fits that take a while:
//! `NETSEC_BUILDGRID` names a Python with BuildGrid, `NETSEC_CASD` buildbox-casd.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use netsec::app::remote_work::carry_out_task;
use netsec::app::workspace::{Overrides, RunOptions, RunRequest, Workspace};
use netsec::base::cancel::Cancel;
use netsec::base::outcome::{RunOutcome, StageOutcome};
use netsec::engine::remote_workers::{RemoteWorkerTerms, RemoteWorkers};
use netsec::engine::run_setup::RunSummary;
use netsec::event::{Event, EventKind, Sink};
use netsec::far::program_files::ProgramFiles;
use netsec::reapi::address::ReapiAddress;
use netsec::reapi::runner::ReapiRunner;
use netsec::stage::context::StageContext;
use netsec::stage::error::StageError;
use netsec::stage::io::{Inputs, Outputs};
use netsec::stage::kind::{Stage, StageKind};
use netsec::stage::param::{Param, ParamFallback, ParamType, Values};
use netsec::stage::port::{Port, PortFormat, PortNeed, Ports};
use netsec::stage::registry::Registry;
use netsec::stage::remote::RemoteWork;
use netsec::stage::sub_action::SubAction;

use crate::world::{World, package, skip, tell};

/// Parts that take a while, and of which each says its number.
struct Naps(Values);

impl Stage for Naps {
    fn run(
        &self,
        _: &Inputs,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let nap = Duration::from_millis(self.0.int("milliseconds").unwrap() as u64);
        let part = |at: i64| {
            SubAction::new("nap", format!("nap-{at}"))
                .costly()
                .with("number", at)
                .with("of", self.0.int("of").unwrap())
        };
        let parts: Vec<SubAction> = (0..self.0.int("count").unwrap()).map(part).collect();
        let made = context.memo(&parts, &|at, _| {
            std::thread::sleep(nap);
            Ok(format!("<{at}>").into_bytes())
        })?;
        outputs.bytes("out", made.concat());
        Ok(())
    }
}

const fn number(name: &'static str) -> Param {
    Param {
        name,
        kind: ParamType::Int(0, 1 << 40),
        default: ParamFallback::Yaml("0"),
        doc: "A number.",
    }
}

fn registry() -> Registry {
    Registry::new(vec![StageKind {
        name: "naps",
        version: 1,
        doc: "A toy.",
        inputs: Ports::Fixed(&[]),
        outputs: Ports::Fixed(&[Port {
            name: "out",
            format: PortFormat::Any,
            need: PortNeed::One,
            doc: "the result",
        }]),
        params: &const { [number("count"), number("milliseconds"), number("of")] },
        seeded: false,
        runs_elsewhere: false,
        remote: RemoteWork::Parts,
        make: |values| Ok(Box::new(Naps(values.clone()))),
    }])
}

/// The variable that makes this program a worker.
const ACTS: &str = "NETSEC_TEST_ACTS";

#[expect(
    clippy::disallowed_methods,
    reason = "a test finds its servers by the environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[test]
fn a_worker_carries_out_a_task() {
    if variable(ACTS).is_none() {
        return;
    }
    let (task, out) = (Path::new("task"), Path::new("out"));
    let failed = carry_out_task(task, out, &registry(), "toy".to_owned());
    assert_eq!(failed.unwrap(), None);
}

/// A server with a queue, and workers.
struct Grid {
    process: Child,
    /// Nothing once it is to end.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    port: u16,
    _folder: World,
}

impl Grid {
    fn start() -> Option<Self> {
        let (Some(python), Some(casd)) = (variable("NETSEC_BUILDGRID"), variable("NETSEC_CASD"))
        else {
            skip("NETSEC_BUILDGRID and NETSEC_CASD do not name BuildGrid and buildbox-casd");
            return None;
        };
        let folder = World::new();
        // The database runs as another user.
        Command::new("chmod")
            .arg("755")
            .arg(folder.root())
            .status()
            .unwrap();
        let mut process = Command::new(python)
            .arg(package().join("tests/interop/reapi_grid.py"))
            .arg(Path::new(&casd).parent().unwrap())
            .arg(folder.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let Some(port) = line.trim().strip_prefix("ready ") else {
            let ended = process.wait().unwrap();
            skip(&format!("BuildGrid cannot be started here ({ended})"));
            return None;
        };
        let port = port.parse().unwrap();
        Some(Self {
            orders: process.stdin.take(),
            process,
            answers,
            port,
            _folder: folder,
        })
    }

    /// Has something done to the server or a worker, and waits until it is.
    fn order(&mut self, order: &str) {
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "done", "{order}");
    }

    fn workers(&self) -> RemoteWorkers {
        let url = format!("grpc://127.0.0.1:{}/netsec", self.port);
        let address = ReapiAddress::read(&url, &|_| None, true).unwrap();
        let runner = ReapiRunner::new(address, Duration::from_secs(120)).unwrap();
        let mut program = ProgramFiles::of(&std::env::current_exe().unwrap()).unwrap();
        let entry = "far::grid::a_worker_carries_out_a_task";
        program
            .command
            .extend(["--exact", entry].map(str::to_owned));
        let terms = RemoteWorkerTerms {
            class: "toy".to_owned(),
            program,
            environment: BTreeMap::from([(ACTS.to_owned(), "1".to_owned())]),
            properties: BTreeMap::from([("OSFamily".to_owned(), "linux".to_owned())]),
            jobs: 3,
            leaves: false,
            alone: true,
            required: false,
            timeout: Duration::from_secs(600),
        };
        RemoteWorkers::new(Arc::new(runner), terms)
    }
}

impl Drop for Grid {
    fn drop(&mut self) {
        // It ends with all that it started when its input does.
        self.orders = None;
        let _ = self.process.wait();
    }
}

/// Does something when so many parts are made.
struct After<'a> {
    count: usize,
    made: Arc<Mutex<usize>>,
    act: Option<Box<dyn FnOnce() + Send + 'a>>,
}

impl Sink for After<'_> {
    fn take(&mut self, event: &Event) -> Result<(), String> {
        if let EventKind::PartFinished { .. } = &event.kind {
            let mut made = self.made.lock().unwrap();
            *made += 1;
            if *made == self.count
                && let Some(act) = self.act.take()
            {
                act();
            }
        }
        Ok(())
    }
}

/// What came of a run: its summary, and how many parts were made in it.
fn run(
    world: &World,
    pipeline: &str,
    workers: Option<&RemoteWorkers>,
    cancel: &Cancel,
    after: (usize, Box<dyn FnOnce() + Send + 'static>),
) -> (RunSummary, usize) {
    world.write("naps.yaml", pipeline);
    let workspace = Workspace::open(world.root()).unwrap();
    let loaded = workspace.load("naps.yaml", &Overrides::default(), &registry(), &|_| None);
    let made = Arc::new(Mutex::new(0));
    let after = Mutex::new(Some(after));
    let counted = Arc::clone(&made);
    let terms = RunOptions {
        jobs: 2,
        max_failures: None,
        program: None,
        wait: false,
        shared: None,
        workers,
        cancel,
        waiting: &|_| {},
        sinks: &|_| {
            let Some((count, act)) = after.lock().unwrap().take() else {
                return Ok(Vec::new());
            };
            let made = Arc::clone(&counted);
            let act = Some(act);
            Ok(vec![Box::new(After { count, made, act }) as Box<dyn Sink>])
        },
    };
    let wish = RunRequest::default();
    let summary = workspace.run(&loaded.ok().unwrap(), &wish, &terms).unwrap();
    let made = *made.lock().unwrap();
    (summary, made)
}

fn pipeline(count: usize, milliseconds: u64, of: u64) -> String {
    format!(
        "stages:\n  a: {{ kind: naps, with: {{ count: {count}, milliseconds: {milliseconds}, of: {of} }} }}\n"
    )
}

fn nothing() -> (usize, Box<dyn FnOnce() + Send>) {
    (usize::MAX, Box::new(|| {}))
}

#[test]
fn a_search_on_three_workers_outlives_a_worker_the_server_and_a_stop() {
    let Some(grid) = Grid::start() else {
        return;
    };
    let go_on = Cancel::new();
    let here = World::new();
    let (local, _) = run(&here, &pipeline(60, 0, 0), None, &go_on, nothing());
    let expected = local.stages[0].outputs[0].digest;
    let workers = grid.workers();
    // What the workers are given is sent before the clock is started.
    run(
        &World::new(),
        &pipeline(3, 0, 1),
        Some(&workers),
        &go_on,
        nothing(),
    );
    let began = Instant::now();
    let (calm, made) = run(
        &World::new(),
        &pipeline(60, 1000, 2),
        Some(&workers),
        &go_on,
        nothing(),
    );
    let took = began.elapsed().as_secs_f64();
    assert_eq!((calm.stages[0].outputs[0].digest, made), (expected, 60));
    assert_eq!(calm.stages[0].part_workers.len(), 3, "{:?}", calm.stages);
    tell(&format!(
        "60 fits of 1 s on three workers took {took:.1} s: {:.0} % of what they could do",
        2000.0 / took
    ));

    let grid = Arc::new(Mutex::new(grid));
    let order = |orders: &'static [&'static str]| -> Box<dyn FnOnce() + Send> {
        let grid = Arc::clone(&grid);
        Box::new(move || {
            for order in orders {
                grid.lock().unwrap().order(order);
            }
        })
    };
    let killed = (10, order(&["kill-worker 0"]));
    let (summary, made) = run(
        &World::new(),
        &pipeline(60, 500, 3),
        Some(&workers),
        &go_on,
        killed,
    );
    assert_eq!((summary.stages[0].outputs[0].digest, made), (expected, 60));
    grid.lock().unwrap().order("start-worker 0");

    let restarted = (10, order(&["kill-server", "start-server"]));
    let (summary, made) = run(
        &World::new(),
        &pipeline(60, 500, 4),
        Some(&workers),
        &go_on,
        restarted,
    );
    assert_eq!((summary.stages[0].outputs[0].digest, made), (expected, 60));

    let world = World::new();
    let stop = Cancel::new();
    let raised = stop.clone();
    let stopped = (
        10,
        Box::new(move || raised.cancel()) as Box<dyn FnOnce() + Send>,
    );
    let (summary, before) = run(
        &world,
        &pipeline(60, 500, 5),
        Some(&workers),
        &stop,
        stopped,
    );
    assert_eq!(summary.outcome, RunOutcome::Cancelled);
    assert!((10..60).contains(&before), "{before}");
    let (summary, after) = run(
        &world,
        &pipeline(60, 500, 5),
        Some(&workers),
        &go_on,
        nothing(),
    );
    assert_eq!(summary.stages[0].outcome, StageOutcome::Made);
    assert_eq!(summary.stages[0].outputs[0].digest, expected);
    assert_eq!(
        before + after,
        60,
        "nothing that was finished is done twice"
    );
}
