//! Ways out of the sandbox, each tried. The page `docs/sandbox.md` is written by `NETSEC_UPDATE=1
//! cargo test escapes`.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Command, Stdio};

use crate::world::{World, digests, outcomes, package, same_file, skip};

/// What a probe tries: its name in `escapes.py`, what it is, and whether it is kept in.
const PROBES: [(&str, &str, bool); 47] = [
    ("read_outside", "read a file outside of its folder", true),
    ("read_pipeline", "read the pipeline file", true),
    ("list_workspace", "list the workspace", true),
    ("read_cache", "read a blob of the cache", true),
    ("write_outside", "write a file outside of its folder", true),
    ("write_workspace", "write into the workspace", true),
    ("write_tmp", "write to `/tmp`", true),
    ("truncate_outside", "cut a file outside", true),
    (
        "rename_in",
        "move a file from outside into its folder",
        true,
    ),
    (
        "link_in",
        "give a file from outside a name in its folder (hard link)",
        true,
    ),
    ("unlink_outside", "remove a file outside", true),
    ("symlink_read", "read a file outside by a link", true),
    (
        "open_by_handle",
        "open a file by its number instead of its name",
        true,
    ),
    ("read_disk", "read the disk under the file system", true),
    ("make_device", "make a device of its own (mknod)", true),
    ("mount", "mount something", true),
    ("chroot", "change its root", true),
    (
        "user_namespace",
        "gain rights in a user namespace, and mount there",
        true,
    ),
    (
        "setuid",
        "gain rights by a program that has them (setuid)",
        true,
    ),
    ("capabilities", "have any of root's capabilities", true),
    ("write_proc_sys", "change the system's settings", true),
    (
        "environment_of_run",
        "read the environment of the run",
        true,
    ),
    ("memory_of_run", "read the memory of the run", true),
    (
        "root_of_run",
        "go by `/proc` through the root folder of the run",
        true,
    ),
    (
        "folder_of_run",
        "go by `/proc` through the working folder of the run",
        true,
    ),
    (
        "files_of_supervisor",
        "open what its supervisor has open",
        true,
    ),
    ("memory_of_supervisor", "read its supervisor's memory", true),
    ("trace_run", "trace the run (ptrace)", true),
    ("signal_run", "send a signal to the run", true),
    ("signal_supervisor", "send a signal to its supervisor", true),
    (
        "limits_of_supervisor",
        "change its supervisor's limits (prlimit)",
        true,
    ),
    (
        "keyring",
        "use the keys that the kernel keeps for the user",
        true,
    ),
    (
        "vsock",
        "open a socket to the machine that this one runs on",
        true,
    ),
    (
        "signal_other",
        "send a signal to a process of the same user",
        true,
    ),
    ("connect", "connect by TCP", true),
    ("listen", "listen for TCP", true),
    ("send_udp", "send a datagram (UDP)", true),
    (
        "abstract_socket",
        "connect to a socket without a file",
        true,
    ),
    ("raw_socket", "open a raw socket", true),
    ("shared_memory", "see what others have in `/dev/shm`", true),
    (
        "ipc",
        "see what others have in System V shared memory",
        true,
    ),
    ("terminal", "open the terminal", true),
    (
        "secret_in_environment",
        "see a variable of netsec's environment",
        true,
    ),
    (
        "path_socket",
        "connect to a socket that has a file, such as that of a service",
        false,
    ),
    (
        "list_processes",
        "see which processes there are, and their command lines",
        false,
    ),
    (
        "touch_outside",
        "change the times and the mode of a file of the same user outside",
        false,
    ),
    ("clock", "read the clock, and the machine's name", false),
];

const PAGE: &str = "\
# What a confined program is kept from

A program of a `command` stage is confined unless `sandbox: false` is set: it may open its own folder with its inputs, the
system's own files for reading (`/usr`, `/etc`, `/opt`, `/var/lib`, … but not the workspace, should it lie there), what
`reads` names, and devices that hold nothing or compute. `network: true` gives it the network. Everything that it started
is ended before its outputs are looked at, and they are taken without following links out of its folder.

Four means keep it there, each as far as the system has it: Landlock (Linux 5.13 for files, 6.7 for TCP, 6.12 for signals
and sockets without a file), namespaces for mounts, network and shared memory (where the user or the container may make
them; without them `/dev/shm` cannot be opened at all, and UDP is not kept in), a filter of system calls (seccomp) and the loss
of all capabilities. Where there
is no Landlock the stage says that it was not confined, and runs again where it can be.

Each of these was tried by a test (`tests/it/cli/escapes.rs`), on Linux 6.18 as root and as another user:

";

/// What stands below the table.
const LIMITS: &str = "
What it takes of the machine is kept to `limits` of the stage: `memory_mb` (each process by the system, all together by
looks every 50 ms), `disk_mb` (each file by the system, all together by looks), `processes` (looks), `timeout_seconds`.
Without them its output is 1024 MB at most, and it has 4096 processes at most.

Not kept in either: it may look at the sizes and times of files (stat) and be told of changes in folders (inotify), set extended
attributes of files of the same user, and change the priority and the cores of processes of the same user. `memory_mb` does not
count memory that no process holds (System V, `memfd`) until it ends with the stage, nor `disk_mb` files without a name.

What no check can find: a secret that a program writes in another form (compressed, encoded, cut in two) into an output or a
name of one; what it tells a service by a socket that has a file. A program with `sandbox: false` may do all that netsec may:
it is ended with all it started all the same, unless it ends netsec and its supervisor first.
";

/// The same probes as another user, if this is root.
fn as_user(world: &World, args: &[&str]) -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let program = world.root().join("netsec");
    let done = std::process::Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_netsec"))
        .arg(&program)
        .status();
    assert!(done.unwrap().success());
    let owned = Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(world.root())
        .status();
    if !owned.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program)
        .args(args)
        .current_dir(world.root());
    Some(command)
}

fn pipeline(places: &str) -> String {
    let mut text = "stages:\n".to_owned();
    for (name, _, _) in PROBES {
        text.push_str(&format!(
            "  {name}: {{ kind: command, inputs: {{ probe: ./escapes.py }}, with: {{ run: [/usr/bin/python3, ./probe, {name}, {places}] }} }}\n"
        ));
    }
    text
}

#[test]
fn escapes_are_kept_in_or_named() {
    if !std::path::Path::new("/usr/bin/python3").exists() {
        return skip("python3 is not in /usr/bin");
    }
    for other_user in [false, true] {
        let (world, outside) = (World::new(), tempfile::tempdir().unwrap());
        let (world, outside_root) = (world, outside.path().to_str().unwrap().to_owned());
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(outside.path(), open).unwrap();
        world.write("escapes.py", include_str!("escapes.py"));
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        let name = format!("netsec-test-{}-{other_user}", std::process::id());
        let _abstract =
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let socket = outside.path().join("socket");
        let _by_path = UnixListener::bind(&socket).unwrap();
        std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        let shared = format!("/dev/shm/{name}");
        world.write("secret", "hidden");
        std::fs::copy(world.root().join("secret"), outside.path().join("secret")).unwrap();
        std::fs::copy(world.root().join("secret"), &shared).unwrap();
        for path in [outside.path().join("secret"), shared.clone().into()] {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666))
                .unwrap();
        }
        if other_user {
            let owned = Command::new("chown")
                .arg("65534")
                .arg(outside.path().join("secret"))
                .status();
            assert!(owned.is_ok());
        }
        let mut victim = Command::new("sleep").arg("600").spawn().unwrap();
        let places = [
            outside_root.clone(),
            world.root().to_str().unwrap().to_owned(),
            tcp.local_addr().unwrap().port().to_string(),
            udp.local_addr().unwrap().port().to_string(),
            name,
            victim.id().to_string(),
            shared.clone(),
        ]
        .map(|place| format!("'{place}'"))
        .join(", ");
        world.write("p.yaml", pipeline(&places));
        let args = ["run", "p.yaml", "--json"];
        let command = if other_user {
            as_user(&world, &args)
        } else {
            Some(world.command(&args))
        };
        let Some(mut command) = command else {
            victim.kill().unwrap();
            victim.wait().unwrap();
            std::fs::remove_file(&shared).unwrap();
            continue;
        };
        let output = command
            .env("NETSEC_TEST_SECRET", "hunter2hunter2")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let is_alive = victim.try_wait().unwrap().is_none();
        victim.kill().unwrap();
        victim.wait().unwrap();
        std::fs::remove_file(&shared).unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let summary: serde_json::Value = serde_json::from_str(&told)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        assert!(
            outcomes(&summary).iter().all(|one| one.ends_with(" made")),
            "{told}"
        );
        if told.contains("the program was not confined") {
            return skip("this system cannot confine programs");
        }
        let mut wrong = Vec::new();
        for (name, what, is_kept) in PROBES {
            let said = world.ok(&["cat", &format!("{name}.stdout")]);
            if said.starts_with("kept") != is_kept {
                wrong.push(format!("{what} ({name}, other user: {other_user}): {said}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(is_alive && outside.path().join("secret").exists());
        assert_eq!(
            std::fs::read_to_string(outside.path().join("secret")).unwrap(),
            "hidden"
        );
        assert!(udp.recv(&mut [0; 8]).is_err(), "nothing came");
        assert!(tcp.set_nonblocking(true).is_ok() && tcp.accept().is_err());
        world.assert_not_in_cache(b"hunter2hunter2");
    }
    let row = |(_, what, is_kept): (&str, &str, bool)| {
        format!(
            "| {what} | {} |\n",
            if is_kept {
                "refused"
            } else {
                "**not kept in**"
            }
        )
    };
    let table: String = PROBES.into_iter().map(row).collect();
    same_file(
        &package().join("docs/sandbox.md"),
        &format!("{PAGE}| a program tries to | |\n|---|---|\n{table}{LIMITS}"),
    );
}

/// Runs one stage and returns how it ended, and what was said of it.
fn end_of(world: &World, stage: &str) -> (String, String) {
    world.write("p.yaml", format!("stages:\n  a: {stage}\n"));
    let summary = world.run(&["p.yaml"]);
    let stage = &summary["stages"][0];
    let error = stage["error"]["message"].as_str().unwrap_or_default();
    let notes = stage["notes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|note| note.as_str());
    (
        stage["outcome"]
            .as_str()
            .unwrap_or_else(|| panic!("{summary}"))
            .to_owned(),
        format!("{error}{}", notes.collect::<Vec<_>>().join("\n")),
    )
}

#[test]
fn a_workspace_in_shared_memory_is_not_hidden_from_its_programs() {
    const SHARED: &str = "/dev/shm";
    if !std::path::Path::new(SHARED).is_dir() {
        return skip("there is no /dev/shm");
    }
    let (world, other) = (World::below(SHARED), World::below(SHARED));
    other.write("secret", "hidden");
    let script = format!("echo here > o; cat {}/secret", other.root().display());
    let (outcome, said) = end_of(
        &world,
        &format!(
            "{{ kind: command, with: {{ run: [sh, -c, \"{script} || true\"], outputs: {{ o: o }} }} }}"
        ),
    );
    assert_eq!(outcome, "made", "{said}");
    assert_eq!(world.ok(&["cat", "a.o"]), "here\n");
    if !said.contains("the program was not confined") {
        assert_eq!(
            world.ok(&["cat", "a.stdout"]),
            "",
            "what others have there stays theirs"
        );
    }
}

#[test]
fn outputs_that_lead_out_are_refused_whoever_swaps_them() {
    let world = World::new();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    world.write("secret", "not for programs");
    std::fs::copy(world.root().join("secret"), &secret).unwrap();
    let secret = secret.display();
    let command = |script: &str, output: &str| {
        format!(
            "{{ kind: command, with: {{ run: [bash, -c, '{script}'], outputs: {{ o: {output} }} }} }}"
        )
    };
    for (script, output) in [
        (format!("ln -s {secret} o"), "o"),
        (format!("mkdir o; ln -s {secret} o/x"), "o"),
        (format!("ln -s {} d", outside.path().display()), "d/secret"),
        (
            format!("mkdir o; ln -s {} o/d", outside.path().display()),
            "o",
        ),
        ("ln -s /etc o".to_owned(), "o"),
        ("ln -s /proc/self/environ o".to_owned(), "o"),
        ("mkfifo o".to_owned(), "o"),
    ] {
        let (outcome, said) = end_of(&world, &command(&script, output));
        assert_eq!(outcome, "failed", "{script}: {said}");
    }
    // A child that lives on and exchanges the output for a link while the first ones are kept.
    for way in ["setsid", "nohup", "env -i setsid"] {
        let script = format!(
            "for i in 1 2 3 4; do mkdir -p o; head -c 3000000 /dev/urandom > o/$i; done; echo ok > o/9; \
             {way} bash -c \"while :; do ln -sfn {secret} o/9; rm -f o/9; echo ok > o/9; done\" >/dev/null 2>&1 & sleep 0.2"
        );
        let _ = end_of(&world, &command(&script, "o"));
        world.assert_not_in_cache(b"not for programs");
    }
}

#[test]
fn what_a_program_started_ends_with_it() {
    let world = World::new();
    let own = format!("OWN={}", world.root().display());
    for (script, left) in [
        ("setsid sleep 605 >/dev/null 2>&1 &", 1),
        ("(setsid sleep 605 >/dev/null 2>&1 &) & sleep 0.1", 1),
        (
            "for i in 1 2 3 4 5; do setsid sleep 605 >/dev/null 2>&1 & done",
            5,
        ),
        (
            "trap \"\" TERM HUP INT; setsid sh -c \"trap \\\"\\\" TERM; sleep 605\" >/dev/null 2>&1 & sleep 0.1",
            2,
        ),
        (
            "env -i OWN=$OWN setsid sleep 605 >/dev/null 2>&1 & sleep 0.1",
            1,
        ),
    ] {
        let script = script.replace('\'', "''");
        let stage = format!(
            "{{ kind: command, with: {{ run: [sh, -c, '{script}'], env: {{ OWN: '{}' }} }} }}",
            world.root().display()
        );
        let (outcome, said) = end_of(&world, &stage);
        assert_eq!(outcome, "made", "{script}: {said}");
        assert!(
            said.contains(&format!("left {left} process")),
            "{script}: {said}"
        );
        assert_eq!(super::crash::carriers(&own), 0, "{script}");
    }
    // What it goes on writing is not in what is kept.
    let late = "{ kind: command, with: { run: [sh, -c, 'echo early > o; setsid sh -c \"sleep 1; echo late\" >> o 2>/dev/null &'], outputs: { o: o } } }";
    assert_eq!(end_of(&world, late).0, "made");
    assert_eq!(world.ok(&["cat", "a.o"]), "early\n");
    assert_eq!(world.netsec(&["cache", "verify"]).code, 0);
}

#[test]
fn what_a_program_takes_is_bounded() {
    if !std::path::Path::new("/usr/bin/python3").exists() {
        return skip("python3 is not in /usr/bin");
    }
    let world = World::new();
    let python = |script: &str, limits: &str| {
        // YAML reads JSON's texts.
        let script = serde_json::to_string(script).unwrap();
        format!(
            "{{ kind: command, with: {{ run: [/usr/bin/python3, -c, {script}] }}, limits: {{ {limits} }} }}"
        )
    };
    for (script, limits, says) in [
        (
            "b = bytearray(300 << 20); b[::4096] = b[::4096]",
            "memory_mb: 100",
            "MemoryError",
        ),
        (
            "import os, time\nfor i in range(4):\n  if os.fork() == 0:\n    b = bytearray(60 << 20)\n    b[::4096] = bytes(len(b[::4096]))\n    time.sleep(30)\ntime.sleep(30)",
            "memory_mb: 100",
            "of memory, and may take 100",
        ),
        (
            "open(\"x\", \"wb\").write(bytes(30 << 20))",
            "disk_mb: 20",
            "File too large|and may write 20",
        ),
        (
            "import time\nfor i in range(5): open(str(i), \"wb\").write(bytes(9 << 20))\ntime.sleep(9)",
            "disk_mb: 20",
            "and may write 20",
        ),
        (
            "open(\"x\", \"wb\").truncate(15 << 20); open(\"y\", \"wb\").truncate(15 << 20)",
            "disk_mb: 20",
            "and may write 20",
        ),
        (
            "print(\"x\" * (30 << 20))",
            "disk_mb: 20",
            "and may write 20",
        ),
        (
            "import os, time\nfor i in range(20):\n  if os.fork() == 0: time.sleep(30)\ntime.sleep(30)",
            "processes: 10",
            "and may have 10",
        ),
        (
            "import os, time\nfor i in range(8): os.fork()\ntime.sleep(30)",
            "processes: 50",
            "and may have 50",
        ),
    ] {
        let (outcome, said) = end_of(&world, &python(script, limits));
        // Whichever comes first: the system's refusal, or the look at what it has written.
        let is_said = says.split('|').any(|says| said.contains(says));
        assert!(
            outcome == "failed" && is_said,
            "{script}: {outcome}: {said}"
        );
    }
    // Hashing what is left does not outlive the time it may take.
    let sparse = "{ kind: command, with: { run: [truncate, -s, 300G, o], outputs: { o: o } }, limits: { timeout_seconds: 1 } }";
    let (outcome, said) = end_of(&world, sparse);
    assert!(
        outcome == "failed" && said.contains("timed out after 1 s"),
        "{said}"
    );
}

#[test]
fn a_workspace_below_a_folder_of_the_system_is_not_open_to_its_programs() {
    let Ok(root) = tempfile::tempdir_in("/opt") else {
        return skip("/opt cannot be written");
    };
    let write = |name: &str, text: &str| {
        netsec::base::disk::write_plain(&root.path().join(name), text.as_bytes()).unwrap()
    };
    write("data.txt", "rows");
    write(
        "p.yaml",
        &format!(
            "stages:\n  a: {{ kind: command, with: {{ run: [sh, -c, 'cat {}/data.txt; ls /opt; test -r /usr/bin/env && echo usable'] }} }}\n",
            root.path().display()
        ),
    );
    let netsec = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_netsec"))
            .args(args)
            .current_dir(root.path())
            .output()
            .unwrap()
    };
    let ran = String::from_utf8(netsec(&["run", "p.yaml"]).stderr).unwrap();
    if ran.contains("the program was not confined") {
        return skip("this system cannot confine programs");
    }
    let said = String::from_utf8(netsec(&["cat", "a.stdout"]).stdout).unwrap();
    assert_eq!(said, "usable\n");
}

#[test]
fn names_of_netsecs_own_variables_are_refused() {
    let world = World::new();
    world.write(
        "p.yaml",
        "stages: { a: { kind: command, with: { run: [env], env: { NETSEC_RUN: x } } } }\n",
    );
    let refused = world.netsec(&["check", "p.yaml"]);
    assert!(
        refused.code == 3 && refused.stderr.contains("`NETSEC_RUN` is reserved"),
        "{}",
        refused.stderr
    );
}

#[test]
fn netsec_within_a_stage_of_the_same_workspace_does_not_wait_for_itself() {
    let world = World::new();
    world.write(
        "inner.yaml",
        "stages: { a: { kind: command, with: { run: [echo, hi] } } }\n",
    );
    let program = env!("CARGO_BIN_EXE_netsec");
    let root = world.root().display();
    let stage = format!(
        "{{ kind: command, with: {{ run: [{program}, -C, '{root}', run, inner.yaml], sandbox: false, timeout_seconds: 60 }} }}"
    );
    let (outcome, said) = end_of(&world, &stage);
    assert!(
        outcome == "failed" && said.contains("would wait for itself"),
        "{said}"
    );
    assert!(digests(&world.run(&["inner.yaml"])).len() == 2);
}

#[test]
fn a_secret_in_the_name_of_a_file_is_found_as_in_its_bytes() {
    let world = World::new();
    for script in [
        "mkdir o; echo x > o/$TOKEN",
        "mkdir -p o/$TOKEN; echo x > o/$TOKEN/y",
        "mkdir o; echo $TOKEN > o/x",
    ] {
        world.write(
            "p.yaml",
            format!("stages: {{ a: {{ kind: command, with: {{ run: [sh, -c, '{script}'], outputs: {{ o: ./o }}, secrets: {{ TOKEN: '${{env.TEST_TOKEN}}' }} }} }} }}\n"),
        );
        let mut command = world.command(&["run", "p.yaml"]);
        let output = command
            .env("TEST_TOKEN", "t0ken-that-is-secret")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && said.contains("holds a secret"),
            "{script}: {said}"
        );
        assert!(!said.contains("t0ken-that-is-secret"));
        world.assert_not_in_cache(b"t0ken-that-is-secret");
        let names = netsec::base::disk::walk(&world.root().join("cache")).unwrap();
        assert!(names.iter().all(|(name, _)| !name.contains("t0ken")));
    }
}

#[test]
fn a_refused_pipeline_leaves_no_cache() {
    let world = World::new();
    world.write(
        "p.yaml",
        "stages: { a: { kind: command, with: { run: [echo] } } }\n",
    );
    assert_eq!(world.netsec(&["run", "p.yaml", "--only", "nope"]).code, 2);
    world.write(
        "q.yaml",
        "stages: { a: { kind: command, inputs: { x: ./gone }, with: { run: [echo] } } }\n",
    );
    assert_eq!(world.netsec(&["run", "q.yaml"]).code, 3);
    assert!(!world.root().join("cache").exists());
}

#[test]
fn the_last_good_results_stay_however_often_runs_fail_after() {
    let world = World::new();
    let pipeline = |last: &str| {
        format!(
            "stages:\n  a: {{ kind: command, with: {{ run: [echo, good] }} }}\n  b: {{ kind: command, inputs: {{ x: a.stdout }}, with: {{ run: [sh, -c, '{last}'] }} }}\n"
        )
    };
    world.write("p.yaml", pipeline("cat x"));
    world.run(&["p.yaml"]);
    for failure in 0..8 {
        world.write("p.yaml", pipeline(&format!("exit {}", failure + 1)));
        world.run(&["p.yaml"]);
    }
    world.ok(&["cache", "gc", "--apply"]);
    world.write("p.yaml", pipeline("cat x"));
    assert_eq!(outcomes(&world.run(&["p.yaml"])), ["a reused", "b reused"]);
}

#[test]
fn lineage_does_not_take_a_stage_for_the_maker_of_a_file() {
    let world = World::new();
    world.write("in.txt", "same\n");
    let pipeline = |name: &str| {
        format!(
            "stages:\n  other: {{ kind: command, with: {{ run: [echo, same] }} }}\n  {name}: {{ kind: command, inputs: {{ x: ./in.txt }}, with: {{ run: [cat, x, x] }} }}\n"
        )
    };
    world.write("p.yaml", pipeline("a"));
    world.run(&["p.yaml"]);
    let told = world.ok(&["lineage", "a.stdout"]);
    assert!(
        told.contains("./in.txt") && told.contains("from outside") && !told.contains("other"),
        "{told}"
    );
    // A stage that was renamed goes by its new name.
    world.write("p.yaml", pipeline("renamed"));
    assert_eq!(
        outcomes(&world.run(&["p.yaml"])),
        ["other reused", "renamed reused"]
    );
    let told = world.ok(&["lineage", "renamed.stdout"]);
    assert!(
        told.starts_with("renamed.stdout") && told.contains("made by renamed"),
        "{told}"
    );
}

#[test]
fn what_the_caller_has_open_is_not_open_to_programs() {
    let world = World::new();
    world.write("secret", "not for programs");
    world
        .write("p.yaml", "stages: { a: { kind: command, with: { run: [sh, -c, 'cat <&9; echo more >&8; true'] } } }\n");
    let script = format!(
        "exec {} run p.yaml 9<secret 8>>log",
        env!("CARGO_BIN_EXE_netsec")
    );
    let ran = Command::new("sh")
        .args(["-c", &script])
        .current_dir(world.root())
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    assert_eq!(world.ok(&["cat", "a.stdout"]), "");
    assert_eq!(
        std::fs::read_to_string(world.root().join("log")).unwrap(),
        ""
    );
}
