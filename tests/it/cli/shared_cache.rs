//! A cache that workspaces share, from the command line; here a folder.

use serde_json::Value;

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
}
