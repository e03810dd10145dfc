//! What people do every day: name an output, ask a script's questions, take a run off the list.

use serde_json::Value;

use crate::world::World;

const MAKE: &str = "stages:\n  make: { kind: command, with: { run: [sh, -c, 'echo WORD > out'], outputs: { said: out } } }\n";

fn world() -> World {
    let world = World::new();
    for word in ["one", "two"] {
        world.write(&format!("{word}.yaml"), MAKE.replace("WORD", word));
        world.ok(&["run", &format!("{word}.yaml")]);
    }
    world
}

#[test]
fn a_short_name_that_two_pipelines_have_is_an_error_that_names_both() {
    let world = world();
    let ambiguous = world.netsec(&["cat", "make.said"]);
    assert_eq!(ambiguous.code, 2);
    for name in [
        "`make.said` is ambiguous",
        "`one.yaml:make.said` (run ",
        "`two.yaml:make.said` (run ",
    ] {
        assert!(ambiguous.stderr.contains(name), "{}", ambiguous.stderr);
    }
    let runs: Value = serde_json::from_str(&world.ok(&["runs", "--json"])).unwrap();
    let first = runs[1]["run"].as_str().unwrap();
    for args in [
        &["cat", "one.yaml:make.said"][..],
        &["cat", "one:make.said"],
        &["cat", "make.said", "--pipeline", "one"],
        &["cat", "make.said", "--run", first],
    ] {
        assert_eq!(world.ok(args), "one\n", "{args:?}");
    }
    assert!(
        world
            .ok(&["lineage", "two:make.said"])
            .starts_with("make.said")
    );
    let unknown = world.netsec(&["cat", "three:make.said"]);
    assert!(
        unknown.code == 2 && unknown.stderr.contains("no run of `three` has `make.said`"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn a_script_gets_one_object_for_every_end() {
    let world = world();
    world.write("broken.yaml", "stages:\n  make: { kind: comand }\n");
    world.write("failing.yaml", MAKE.replace("echo WORD > out", "exit 3"));
    for (file, outcome, code) in [
        ("one.yaml", "succeeded", 0),
        ("broken.yaml", "refused", 3),
        ("nowhere.yaml", "refused", 2),
        ("failing.yaml", "failed", 1),
    ] {
        let output = world.netsec(&["run", file, "--json"]);
        let told: Value = serde_json::from_str(&output.stdout)
            .unwrap_or_else(|_| panic!("{file}: {}", output.stdout));
        assert_eq!(
            (told["outcome"].as_str(), output.code),
            (Some(outcome), code),
            "{file}: {told:#}"
        );
    }
    let broken: Value =
        serde_json::from_str(&world.netsec(&["run", "broken.yaml", "--json"]).stdout).unwrap();
    assert_eq!(
        broken["problems"][0]["code"], "pipeline::unknown_kind",
        "{broken:#}"
    );
    assert_eq!(broken["problems"][0]["places"][0]["line"], 2);
}

#[test]
fn a_quiet_run_says_nothing_while_all_goes_well() {
    let world = world();
    for args in [
        &["run", "one.yaml", "--quiet"][..],
        &["run", "one.yaml", "-q", "--force"],
    ] {
        let output = world.netsec(args);
        assert_eq!(
            (output.code, output.stdout.as_str(), output.stderr.as_str()),
            (0, "", ""),
            "{args:?}"
        );
    }
    world.write(
        "failing.yaml",
        MAKE.replace("echo WORD > out", "echo no luck >&2; exit 3"),
    );
    let failed = world.netsec(&["run", "failing.yaml", "--quiet"]);
    assert!(
        failed.stderr.contains("failed") && failed.stderr.contains("no luck"),
        "{}",
        failed.stderr
    );
    assert!(!failed.stderr.contains("running"), "{}", failed.stderr);
}

#[test]
fn a_run_is_taken_off_the_list_and_what_gc_removed_is_marked() {
    let world = world();
    let runs = || -> Vec<Value> { serde_json::from_str(&world.ok(&["runs", "--json"])).unwrap() };
    let first = runs()[1]["run"].as_str().unwrap().to_owned();
    world.ok(&["runs", "--remove", &first]);
    assert_eq!(runs().len(), 1);
    assert!(!world.ok(&["runs"]).contains("one.yaml"));
    // Nothing is ambiguous any more, and what only that run needed goes.
    assert_eq!(world.ok(&["cat", "make.said"]), "two\n");
    let again = world.netsec(&["runs", "--remove", &first]);
    assert!(
        again.code == 2 && again.stderr.contains("there is no run"),
        "{}",
        again.stderr
    );
    world.write("two.yaml", MAKE.replace("WORD", "three"));
    world.ok(&["run", "two.yaml"]);
    world.ok(&["cache", "gc", "--keep-runs", "1", "--apply"]);
    let listed = world.ok(&["runs"]);
    assert_eq!(
        listed.matches("succeeded, outputs removed").count(),
        1,
        "{listed}"
    );
    assert_eq!(runs()[1]["retention"], "outputs_removed");
    let older = runs()[1]["run"].as_str().unwrap().to_owned();
    let gone = world.netsec(&["cat", "make.said", "--run", &older]);
    assert!(
        gone.code == 2 && gone.stderr.contains("was removed by `netsec cache gc`"),
        "{}",
        gone.stderr
    );
    assert!(world.netsec(&["cache", "verify"]).code == 0);
    // The list survives the loss of the database.
    std::fs::remove_dir_all(world.root().join("cache/ledger")).unwrap();
    assert_eq!(runs().len(), 2, "{}", world.ok(&["runs"]));
}

#[test]
fn a_program_in_a_folder_of_its_own_is_told_what_to_write() {
    let world = World::new();
    let tools = tempfile::tempdir_in("/var/tmp").unwrap();
    let program = tools.path().join("env/bin/tool");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test writes its files plainly")]
    std::fs::write(&program, "#!/bin/sh\necho ok > out\n").unwrap();
    std::fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let pipeline = |more: &str| {
        format!(
            "stages:\n  make: {{ kind: command, with: {{ run: ['{}'], outputs: {{ said: out }}{more} }} }}\n",
            program.display()
        )
    };
    world.write("p.yaml", pipeline(""));
    let refused = world.netsec(&["run", "p.yaml"]);
    if refused.code == 0 {
        crate::world::skip("this system cannot confine programs");
        return;
    }
    let folder = tools.path().join("env");
    let line = format!("reads: [{}]", folder.display());
    assert!(
        refused.stderr.contains(&line) && refused.stderr.contains("`sandbox: false`"),
        "{}",
        refused.stderr
    );
    world.write("p.yaml", pipeline(&format!(", {line}")));
    world.ok(&["run", "p.yaml"]);
    assert_eq!(world.ok(&["cat", "make.said"]), "ok\n");
}
