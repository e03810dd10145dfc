//! A cache that workspaces share, from the command line; here a folder.

use serde_json::Value;

use netsec::far::shared_action::SharedAction;

use crate::world::World;

/// Where results are shared.
struct Shared(World);

impl Shared {
    fn new() -> Self {
        Self(World::new())
    }

    fn url(&self) -> String {
        format!("file://{}/cache", self.0.root().display())
    }
}

fn run(world: &World, shared: &Shared, mode: &str, more: &[&str]) -> (Value, String) {
    let url = shared.url();
    let args = [
        "run",
        "pipelines/default.yaml",
        "--json",
        "--remote-cache",
        &url,
    ];
    let output = world.netsec(&[&args[..], &["--remote-mode", mode], more].concat());
    assert_eq!(output.code, 0, "{}", output.stderr);
    (serde_json::from_str(&output.stdout).unwrap(), output.stderr)
}

fn outcomes(summary: &Value) -> Vec<&str> {
    let stages = summary["stages"].as_array().unwrap();
    stages
        .iter()
        .map(|stage| stage["outcome"].as_str().unwrap())
        .collect()
}

fn artifacts(summary: &Value) -> Vec<&Value> {
    let stages = summary["stages"].as_array().unwrap();
    stages.iter().map(|stage| &stage["outputs"]).collect()
}

#[test]
fn a_second_workspace_carries_nothing_out() {
    let (here, there, shared) = (World::shipped(), World::shipped(), Shared::new());
    let public = here.ok(&["keys", "signing", "team.der"]);
    assert_eq!(here.ok(&["keys", "signing", "team.der"]), public);
    let sign = ["--remote-sign", "team.der"];
    let (first, told) = run(&here, &shared, "read-write", &sign);
    assert!(told.contains("published"), "{told}");
    let pipeline = std::fs::read_to_string(there.root().join("pipelines/default.yaml")).unwrap();
    there.write(
        "pipelines/default.yaml",
        format!("trust: [\"{}\"]\n{pipeline}", public.trim()),
    );
    let (second, told) = run(&there, &shared, "read", &[]);
    assert!(
        outcomes(&second).iter().all(|outcome| *outcome == "reused"),
        "{second}\n{told}"
    );
    assert_eq!(artifacts(&second), artifacts(&first));
    assert!(told.contains("shared by"), "{told}");
    let signed = there.ok(&["lineage", "train.model"]);
    assert!(
        signed.contains(&format!("signed by {}", public.trim())),
        "{signed}"
    );
    let audit = [
        "cache",
        "audit",
        "pipelines/default.yaml",
        "--sample",
        "9",
        "--json",
    ];
    let audited: Value = serde_json::from_str(&there.ok(&audit)).unwrap();
    assert_eq!(audited["stages"].as_array().unwrap().len(), 7);
    assert_eq!(audited["same"], true, "{audited}");
}

#[test]
fn an_audit_finds_what_was_not_made_as_it_says() {
    let (here, there, shared) = (World::shipped(), World::shipped(), Shared::new());
    run(&here, &shared, "read-write", &["--until", "validate"]);
    let actions = shared.0.root().join("cache/v1/actions");
    for (_, path) in netsec::base::disk::walk(&actions).unwrap() {
        let (mut action, _) = SharedAction::open(&std::fs::read(&path).unwrap()).unwrap();
        if action.kind == "validate" {
            let other = action.outputs[0].digest;
            let report = action
                .outputs
                .iter_mut()
                .find(|output| output.port == "report");
            report.unwrap().digest = other;
            shared.0.write(
                path.strip_prefix(shared.0.root())
                    .unwrap()
                    .to_str()
                    .unwrap(),
                action.seal(None),
            );
        }
    }
    let (summary, told) = run(&there, &shared, "read", &["--until", "validate"]);
    assert_eq!(outcomes(&summary), ["reused", "reused"], "{told}");
    let audit = ["cache", "audit", "pipelines/default.yaml"];
    // Of the whole pipeline only what is up to date is looked at.
    let found = there.netsec(&audit);
    assert_eq!(found.code, 1, "{}", found.stderr);
    assert!(
        found.stdout.contains("validate  other bytes in report"),
        "{}",
        found.stdout
    );
    assert!(
        found.stdout.contains("ingest  the same, to the bit"),
        "{}",
        found.stdout
    );
}

/// Writes the pipeline with a search over these values of `alpha`.
fn with_alphas(world: &World, alphas: &str) {
    let pipeline = std::fs::read_to_string(world.root().join("pipelines/default.yaml")).unwrap();
    let line = "with: { select: { metric: f1, min_score: 0.9 } }";
    let grid =
        format!("candidates: [{{ learner: logistic_regression, grid: {{ alpha: {alphas} }} }}]");
    let changed = pipeline.replace(line, &line.replace("with: {", &format!("with: {{ {grid},")));
    assert!(changed.contains(&grid));
    world.write("pipelines/default.yaml", changed);
}

/// How the parts of `train` ended in the only run.
fn fits(world: &World) -> (usize, usize) {
    let runs = netsec::base::disk::walk(&world.root().join("cache/runs")).unwrap();
    let log = runs
        .iter()
        .find(|(name, _)| name.ends_with(".jsonl"))
        .unwrap();
    let text = std::fs::read_to_string(&log.1).unwrap();
    let events = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let fits: Vec<Value> = events
        .map(|event| event["event"]["part_finished"].clone())
        .filter(|part| part["stage"] == "train")
        .collect();
    let count = |outcome: &str| {
        fits.iter()
            .filter(|part| part["outcome"] == outcome)
            .count()
    };
    (count("made"), count("reused"))
}

#[test]
fn a_wider_search_takes_over_the_fits_of_another_machine() {
    let (here, there, shared) = (World::shipped(), World::shipped(), Shared::new());
    with_alphas(&here, "[1, 10]");
    run(&here, &shared, "read-write", &[]);
    let (made, reused) = fits(&here);
    assert!(made > 0 && reused == 0, "{made} {reused}");
    with_alphas(&there, "[1, 10, 30]");
    let (summary, told) = run(&there, &shared, "read", &[]);
    // The one more, in each fold.
    let (more, taken) = fits(&there);
    assert_eq!(taken, made, "{told}");
    assert!(more > 0 && more < made, "{more} of {made}");
    let alone = World::shipped();
    with_alphas(&alone, "[1, 10, 30]");
    let (local, _) = run(&alone, &Shared::new(), "off", &[]);
    assert_eq!(artifacts(&summary), artifacts(&local));
}

#[test]
fn a_pipeline_file_alone_has_nothing_published() {
    let (world, shared) = (World::shipped(), Shared::new());
    let pipeline = std::fs::read_to_string(world.root().join("pipelines/default.yaml")).unwrap();
    let remote = format!(
        "remote: {{ cache: \"{}\", mode: read-write }}\n",
        shared.url()
    );
    world.write("pipelines/default.yaml", format!("{remote}{pipeline}"));
    let home = World::new();
    let netsec = |args: &[&str]| {
        let mut command = world.command(args);
        command.env("XDG_CONFIG_HOME", home.root());
        let output = command.output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let published = || shared.0.root().join("cache/v1/actions").exists();
    let run = ["run", "pipelines/default.yaml", "--until", "validate"];
    let told = netsec(&run);
    assert!(
        told.contains("the pipeline file alone does not decide"),
        "{told}"
    );
    assert!(!published());
    netsec(&["cache", "allow", &shared.url()]);
    netsec(&[&run[..], &["--force"]].concat());
    assert!(published());
    netsec(&["cache", "allow", "--remove", &shared.url()]);
    assert!(netsec(&[&run[..], &["--force"]].concat()).contains("alone does not decide"));
}

#[test]
fn a_variable_that_is_empty_says_nothing() {
    let (world, shared) = (World::shipped(), Shared::new());
    let run = |mode: &str| {
        let mut command = world.command(&["run", "pipelines/default.yaml", "--until", "ingest"]);
        command
            .env("NETSEC_REMOTE_CACHE", shared.url())
            .env("NETSEC_REMOTE_MODE", mode)
            .env("NETSEC_SIGNING_KEY", "");
        command.output().unwrap()
    };
    assert_eq!(run("").status.code(), Some(0));
    assert!(
        !shared.0.root().join("cache/v1").exists(),
        "it is read only"
    );
    world.write(
        "pipelines/default.yaml",
        "name: other\nstages:\n  ingest: { kind: ingest, with: { source: synthetic, rows: 50 } }\n",
    );
    let wrong = run("write");
    assert_eq!(wrong.status.code(), Some(2));
    let told = String::from_utf8(wrong.stderr).unwrap();
    assert!(told.contains("none of read, read-write, off"), "{told}");
}
