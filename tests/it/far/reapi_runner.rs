//! Programs and whole pipelines that the machines of a server of the Remote Execution API carry out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use netsec::base::cancel::Cancel;
use netsec::far::program_files::ProgramFiles;
use netsec::far::remote_runner::{
    BlobSource, GivenFile, RemoteJob, RemoteRun, RemoteRunError, RemoteRunner, RemoteState,
};
use netsec::reapi::address::ReapiAddress;
use netsec::reapi::runner::ReapiRunner;
use netsec::store::blob::Store;
use netsec::store::memory::MemoryStore;

use crate::far::casd::Casd;
use crate::far::fault_proxy::FaultProxy;
use crate::world::{World, digests, noise, outcomes, skip};

/// A server that carries actions out, if there is one.
fn server() -> Option<Casd> {
    let casd = Casd::start()?;
    let is_there = |folder: &str| Path::new(folder).join("bwrap").exists();
    if !["/usr/bin", "/bin", "/usr/local/bin"]
        .into_iter()
        .any(is_there)
    {
        skip("bubblewrap is not installed");
        return None;
    }
    Some(casd)
}

fn runner(port: u16) -> ReapiRunner {
    let url = format!("grpc://127.0.0.1:{port}");
    let address = ReapiAddress::read(&url, &|_| None, true).unwrap();
    ReapiRunner::new(address, Duration::from_secs(60)).unwrap()
}

/// A program of the system with arguments, and one file.
fn job(program: &str, arguments: &[&str]) -> RemoteJob {
    let ProgramFiles { mut files, command } = ProgramFiles::of(Path::new(program)).unwrap();
    files.push(GivenFile {
        path: "in/file".to_owned(),
        source: BlobSource::Bytes(b"what it is given".as_slice().into()),
        is_executable: false,
    });
    let arguments = arguments.iter().map(|&word| word.to_owned());
    RemoteJob {
        arguments: command.into_iter().chain(arguments).collect(),
        environment: BTreeMap::new(),
        files,
        result: "out/result".to_owned(),
        blobs: "out/blobs".to_owned(),
        timeout: Duration::from_secs(60),
        properties: BTreeMap::new(),
        is_fresh: false,
    }
}

fn run(runner: &ReapiRunner, job: &RemoteJob) -> Result<RemoteRun, RemoteRunError> {
    runner.run(job, &MemoryStore::default(), &|_| {}, &Cancel::new())
}

#[test]
fn a_program_sees_what_it_is_given_and_leaves_what_it_makes() {
    let Some(casd) = server() else {
        return;
    };
    let runner = runner(casd.port);
    // The folder of outputs is there; what is copied into it comes back.
    let ran = run(&runner, &job("/bin/dd", &["if=in/file", "of=out/result"])).unwrap();
    assert_eq!(ran.exit_code, 0, "{ran:?}");
    assert_eq!(ran.result.as_deref(), Some(&b"what it is given"[..]));
    assert!(!ran.is_cached);
    let again = run(&runner, &job("/bin/dd", &["if=in/file", "of=out/result"])).unwrap();
    assert!(again.is_cached);
    assert_eq!(again.result, ran.result);
    let fresh = RemoteJob {
        is_fresh: true,
        ..job("/bin/dd", &["if=in/file", "of=out/result"])
    };
    assert!(!run(&runner, &fresh).unwrap().is_cached);
}

#[test]
fn a_program_that_fails_says_why() {
    let Some(casd) = server() else {
        return;
    };
    let ran = run(
        &runner(casd.port),
        &job("/bin/dd", &["if=nothing", "of=out/result"]),
    )
    .unwrap();
    assert_ne!(ran.exit_code, 0);
    assert_eq!(ran.result, None);
    assert!(ran.log.contains("nothing"), "{ran:?}");
}

#[test]
fn a_program_is_ended_when_its_time_is_over_or_nobody_wants_it() {
    let Some(casd) = server() else {
        return;
    };
    let runner = runner(casd.port);
    let brief = RemoteJob {
        timeout: Duration::from_secs(1),
        ..job("/bin/sleep", &["600"])
    };
    assert_eq!(run(&runner, &brief), Err(RemoteRunError::TimedOut));
    let cancel = Cancel::new();
    let told = |state: RemoteState| {
        if state == RemoteState::Queued {
            cancel.cancel();
        }
    };
    let long = job("/bin/sleep", &["601"]);
    let ended = runner.run(&long, &MemoryStore::default(), &told, &cancel);
    assert_eq!(ended, Err(RemoteRunError::Cancelled));
}

#[test]
fn what_the_server_dropped_is_sent_again_and_a_server_that_is_gone_has_failed() {
    let Some(mut casd) = server() else {
        return;
    };
    let runner = runner(casd.port);
    run(&runner, &job("/bin/dd", &["if=in/file", "of=out/result"])).unwrap();
    casd.stop();
    casd.forget();
    let brief = Cancel::new();
    casd.again();
    let told = Mutex::new(Vec::new());
    let tell = |state: RemoteState| told.lock().unwrap().push(state);
    let job = job("/bin/dd", &["if=in/file", "of=out/result"]);
    let ran = runner.run(&job, &MemoryStore::default(), &tell, &brief);
    assert_eq!(ran.unwrap().exit_code, 0);
    assert!(told.lock().unwrap().contains(&RemoteState::Bringing));
    casd.stop();
    let gone = run(&runner, &job);
    assert!(matches!(gone, Err(RemoteRunError::Server(_))), "{gone:?}");
}

#[test]
fn a_file_that_was_changed_since_it_was_hashed_is_not_sent_under_its_name() {
    let Some(casd) = server() else {
        return;
    };
    let world = World::new();
    world.write("file", b"first");
    let mut job = job("/bin/dd", &["if=in/file", "of=out/result"]);
    let path: PathBuf = world.root().join("file");
    let digest = netsec::base::digest::Digest::of(b"first");
    job.files.last_mut().unwrap().source = BlobSource::File(path, digest);
    let runner = runner(casd.port);
    let ran = run(&runner, &job).unwrap();
    assert_eq!(ran.result.as_deref(), Some(&b"first"[..]));
    // A server that never saw it is told its name, and refuses other bytes.
    let Some(other) = server() else {
        return;
    };
    world.write("file", b"other");
    let store = MemoryStore::default();
    store.put(b"first").unwrap();
    let runner = self::runner(other.port);
    let sent = run(&runner, &job);
    let is_other = |run: &RemoteRun| run.result.as_deref() == Some(&b"other"[..]);
    assert!(sent.is_err() || sent.is_ok_and(|run| is_other(&run)));
}

#[test]
fn a_program_that_is_an_input_runs_where_nothing_else_is() {
    let Some(casd) = server() else {
        return;
    };
    let Ok(busybox) = std::fs::read("/bin/busybox") else {
        return skip("busybox-static is not installed");
    };
    let (here, there) = (World::new(), World::new());
    for world in [&here, &there] {
        world.write("busybox", &busybox);
        world.write(
            "p.yaml",
            "stages:
  a: { kind: command, inputs: { busybox: busybox }, with: { run: [./busybox, sh, -c, 'echo hi; ./busybox wc -c < busybox'] }, limits: { remote: true } }
  b: { kind: command, inputs: { busybox: busybox, x: a.stdout }, with: { run: [./busybox, cat, x], sandbox: false } }
  c: { kind: command, inputs: { busybox: busybox, x: a.stdout }, with: { run: [./busybox, 'false'] }, limits: { remote: true } }
",
        );
    }
    let url = format!("grpc://127.0.0.1:{}", casd.port);
    let local = here.run(&["p.yaml"]);
    let away = there.run(&["p.yaml", "--remote-execute", &url]);
    assert_eq!(outcomes(&away), ["a made", "b made", "c failed"]);
    assert_eq!(digests(&away), digests(&local));
    assert_eq!(away["stages"][2]["error"], local["stages"][2]["error"]);
    let told = |name: &str| there.ok(&["lineage", name]).contains(&url);
    assert!(told("a.stdout"));
    let second = there.ok(&["lineage", "b.stdout"]);
    assert!(!second.lines().next().unwrap().contains(&url), "{second}");
}

/// How many bytes the cache holds here.
fn held(world: &World) -> u64 {
    let stats: serde_json::Value =
        serde_json::from_str(&world.ok(&["cache", "stats", "--json"])).unwrap();
    stats["bytes"].as_u64().unwrap()
}

#[test]
fn what_is_large_stays_on_the_server_until_it_is_read() {
    let Some(mut casd) = server() else {
        return;
    };
    let Ok(busybox) = std::fs::read("/bin/busybox") else {
        return skip("busybox-static is not installed");
    };
    let (here, there) = (World::new(), World::new());
    // One that goes as chunks, and one that goes as it is.
    let (large, middle) = (noise(1, 40 << 20), noise(2, 3 << 20));
    let text = |last: &str| {
        format!(
            "stages:
  a: {{ kind: command, inputs: {{ busybox: busybox, x: large }}, with: {{ run: [./busybox, cat, x] }}, limits: {{ remote: true }} }}
  b: {{ kind: command, inputs: {{ busybox: busybox, x: middle }}, with: {{ run: [./busybox, cat, x] }}, limits: {{ remote: true }} }}
  c: {{ kind: command, inputs: {{ busybox: busybox, x: a.stdout, y: b.stdout }}, with: {{ run: [./busybox, wc, -c, x, y] }}, limits: {{ remote: true }} }}
{last}"
        )
    };
    for world in [&here, &there] {
        world.write("busybox", &busybox);
        world.write("large", &large);
        world.write("middle", &middle);
        world.write("p.yaml", text(""));
    }
    let url = format!("grpc://127.0.0.1:{}", casd.port);
    let flags = [
        "p.yaml",
        "--remote-execute",
        &url,
        "--remote-download",
        "needed",
    ];
    let local = here.run(&["p.yaml"]);
    let away = there.run(&flags);
    assert_eq!(digests(&away), digests(&local));
    assert!(held(&there) < 100_000, "{}", held(&there));
    let again = there.run(&flags);
    assert!(outcomes(&again).iter().all(|line| line.ends_with("reused")));
    there.ok(&["cache", "verify"]);
    // A stage of this machine reads both.
    let last = "  d: { kind: command, inputs: { busybox: busybox, x: a.stdout, y: b.stdout }, with: { run: [./busybox, md5sum, x, y], sandbox: false } }\n";
    for world in [&here, &there] {
        world.write("p.yaml", text(last));
    }
    let refused = there.netsec(&["cat", "a.stdout"]);
    assert!(
        refused.stderr.contains("netsec cache fetch"),
        "{}",
        refused.stderr
    );
    let local = here.run(&["p.yaml"]);
    assert_eq!(digests(&there.run(&flags)), digests(&local));
    assert!(held(&there) > 43 << 20);
    // What is asked for is brought, also in another workspace of the same server.
    let third = World::new();
    for (name, bytes) in [
        ("busybox", &busybox),
        ("large", &large),
        ("middle", &middle),
    ] {
        third.write(name, bytes);
    }
    third.write("p.yaml", text(last));
    third.run(&[
        "p.yaml",
        "--until",
        "c",
        "--remote-execute",
        &url,
        "--remote-download",
        "needed",
    ]);
    assert!(held(&third) < 100_000);
    third.ok(&["cache", "fetch", "a.stdout"]);
    assert!(held(&third) > 40 << 20);
    third.ok(&["cache", "verify"]);
    // The server is gone, and what it kept: what is needed of that is made here.
    casd.stop();
    let alone = third.run(&["p.yaml"]);
    assert_eq!(digests(&alone), digests(&local));
}

#[test]
fn connections_to_the_machines_that_go_wrong_change_nothing() {
    let Some(casd) = server() else {
        return;
    };
    let pipeline = ["pipelines/default.yaml", "--set", "rows=300"];
    let local = digests(&World::shipped().run(&pipeline));
    let proxy = FaultProxy::before(casd.port, 5);
    let url = format!("grpc://127.0.0.1:{}", proxy.port());
    let mut round = 0;
    while proxy.happened() < 30 {
        proxy.set_faults([0, 30, 60, 90][round % 4]);
        round += 1;
        let world = World::shipped();
        let flags = ["run", "--json", "--remote-execute", &url];
        let mut command = world.command(&[&flags[..], &pipeline[..]].concat());
        let output = command
            .env("NETSEC_REMOTE_TIMEOUT", "0.5")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "round {round}: {told}");
        let away: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(digests(&away), local, "round {round}: {told}");
    }
}

#[test]
fn a_pipeline_gives_the_same_on_the_machines_of_a_server() {
    let Some(casd) = server() else {
        return;
    };
    let url = format!("grpc://127.0.0.1:{}", casd.port);
    let (here, there) = (World::shipped(), World::shipped());
    let local = here.run(&["pipelines/default.yaml"]);
    let flags = ["pipelines/default.yaml", "--remote-execute", &url];
    let away = there.run(&flags);
    assert_eq!(digests(&away), digests(&local));
    let lineage = there.ok(&["lineage", "transform.train"]);
    let told = format!("carried out by {url}");
    assert!(
        lineage.contains(&told) || lineage.contains(&format!("of {url}")),
        "{lineage}"
    );
    let again = there.run(&flags);
    assert!(outcomes(&again).iter().all(|line| line.ends_with("reused")));
}
