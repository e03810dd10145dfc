//! Records that are damaged, cut or gone are noticed, and mended from what is whole.

use std::process::Stdio;

use crate::world::{World, digests, outcomes};
use netsec::base::artifact::Artifact;
use netsec::base::digest::Digest;
use netsec::base::name::{RunId, StageId};
use netsec::lineage::journal::{self, Journal, JournalHead};
use netsec::lineage::record::{ActionRecord, InputRecord, LedgerEntry};
use netsec::lineage::tail::{JournalLink, JournalTail};

const PIPELINE: &str = "\
stages:
  a: { kind: command, inputs: { x: ./in.txt }, with: { run: [cat, x] } }
  b: { kind: command, inputs: { x: a.stdout }, with: { run: [sh, -c, 'cat x x'] } }
";

/// A workspace in which three runs each made two actions; the names of the runs.
fn world() -> (World, Vec<RunId>) {
    let world = World::new();
    world.write("p.yaml", PIPELINE);
    let mut runs = Vec::new();
    for text in ["one", "two", "three"] {
        world.write("in.txt", text);
        runs.push(RunId::parse(world.run(&["p.yaml"])["run"].as_str().unwrap()).unwrap());
    }
    (world, runs)
}

fn journal_of(world: &World, run: &RunId) -> std::path::PathBuf {
    journal::path(&world.root().join("cache/runs"), run)
}

fn shorten(path: &std::path::Path, by: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - by).unwrap();
}

fn remove_database(world: &World) {
    std::fs::remove_dir_all(world.root().join("cache/ledger")).unwrap();
}

fn actions(world: &World) -> u64 {
    let stats: serde_json::Value =
        serde_json::from_str(&world.ok(&["cache", "stats", "--json"])).unwrap();
    stats["actions"].as_u64().unwrap()
}

/// The lines of `netsec runs`, as words.
fn runs_of(world: &World) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    world.ok(&["runs"]).lines().skip(1).map(words).collect()
}

#[test]
fn journals_that_are_damaged_cut_or_gone_are_told_and_mended_from_the_database() {
    type Harm = fn(&std::path::Path);
    let harms: [(&str, Harm); 5] = [
        ("a byte changed", |path| {
            let mut bytes = std::fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            netsec::base::disk::overwrite(path, &bytes).unwrap();
        }),
        ("its head is gone", |path| {
            netsec::base::disk::overwrite(path, b"nonsense").unwrap()
        }),
        ("cut in a commit", |path| shorten(path, 3)),
        ("cut at a border", |path| cut_after(path, 1)),
        ("gone", |path| std::fs::remove_file(path).unwrap()),
    ];
    for (what, harm) in harms {
        for which in 0..3 {
            let (world, runs) = world();
            let before = runs_of(&world);
            assert_eq!(
                world.netsec(&["cache", "verify"]).code,
                0,
                "nothing is wrong yet"
            );
            harm(&journal_of(&world, &runs[which]));
            let verified = world.netsec(&["cache", "verify"]);
            let names = verified.stdout.contains(runs[which].as_str());
            assert!(
                verified.code == 1 && names,
                "{what}, {which}: {}{}",
                verified.stdout,
                verified.stderr
            );
            let mended = world.netsec(&["cache", "verify", "--repair"]);
            assert_eq!(
                mended.code, 0,
                "{what}, {which}: {}{}",
                mended.stdout, mended.stderr
            );
            remove_database(&world);
            let again = world.run(&["p.yaml"]);
            assert!(
                outcomes(&again)
                    .iter()
                    .all(|outcome| outcome.ends_with("reused")),
                "{what}, {which}"
            );
            assert_eq!(actions(&world), 6, "{what}, {which}");
            let listed = runs_of(&world);
            assert!(
                before.iter().all(|line| listed.contains(line)),
                "{what}, {which}: {listed:?}{before:?}"
            );
            assert_eq!(
                world.netsec(&["cache", "verify"]).code,
                0,
                "{what}, {which}"
            );
        }
    }
}

/// The journal of a run that was killed when it had made one of its actions, in a workspace of
/// three runs before it.
fn killed() -> (World, RunId) {
    let (world, runs) = world();
    world.write("in.txt", "four");
    world.write("p.yaml", PIPELINE.replace("cat x x", "sleep 600"));
    let mut child = world
        .command(&["run", "p.yaml"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let run = loop {
        match JournalTail::load(&world.root().join("cache")).link {
            Some(JournalLink {
                run, commits: 2, ..
            }) if !runs.contains(&run) => break run,
            _ => std::thread::yield_now(),
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    (world, run)
}

/// Cuts a journal after its head and so many commits.
fn cut_after(path: &std::path::Path, commits: usize) {
    let bytes = std::fs::read(path).unwrap();
    let mut at = b"netsec-journal-2\n".len();
    for _ in 0..=commits {
        at += 40 + u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    }
    shorten(path, (bytes.len() - at) as u64);
}

#[test]
fn the_journal_of_a_killed_run_is_missed_before_anybody_else_looked() {
    type Harm = fn(&std::path::Path);
    let harms: [(&str, Harm); 4] = [
        ("gone", |path| std::fs::remove_file(path).unwrap()),
        ("without commits", |path| cut_after(path, 0)),
        ("with its first commit alone", |path| cut_after(path, 1)),
        ("cut in a commit", |path| shorten(path, 3)),
    ];
    for (what, harm) in harms {
        let (world, run) = killed();
        assert_eq!(
            world.netsec(&["cache", "verify"]).code,
            0,
            "{what}: nothing is wrong yet"
        );
        let copy = std::fs::read(journal_of(&world, &run)).unwrap();
        harm(&journal_of(&world, &run));
        let verified = world.netsec(&["cache", "verify"]);
        assert!(
            verified.code == 1 && verified.stdout.contains(run.as_str()),
            "{what}: {}",
            verified.stdout
        );
        // The next run does not cover it up.
        world.write("p.yaml", PIPELINE);
        world.run(&["p.yaml"]);
        let verified = world.netsec(&["cache", "verify"]);
        assert!(
            verified.code == 1 && verified.stdout.contains(run.as_str()),
            "{what}: {}",
            verified.stdout
        );
        world.write(&format!("cache/runs/{run}.records"), copy);
        // The database went on without it, and takes in what is there again.
        world.ok(&["cache", "verify", "--repair"]);
        assert_eq!(
            world.netsec(&["cache", "verify"]).code,
            0,
            "{what}: it was only that"
        );
    }
}

#[test]
fn a_rebuild_says_how_many_records_ended_where() {
    let (world, runs) = world();
    shorten(&journal_of(&world, &runs[1]), 3);
    remove_database(&world);
    let run = world.netsec(&["run", "p.yaml"]);
    assert!(
        run.stderr.contains("it was built from the"),
        "{}",
        run.stderr
    );
    let told = format!(
        "the journal of run {} ends in the middle of a commit, after",
        runs[1]
    );
    assert!(run.stderr.contains(&told), "{}", run.stderr);
}

#[test]
fn a_journal_with_an_unreadable_head_is_not_fatal() {
    let (world, runs) = world();
    world.write(
        &format!("cache/runs/{}.records", runs[0]),
        "nonsense that is long enough to be read",
    );
    for args in [
        ["runs"].as_slice(),
        &["status", "p.yaml"],
        &["lineage", "b.stdout"],
    ] {
        world.ok(args);
    }
    remove_database(&world);
    let run = world.netsec(&["run", "p.yaml"]);
    assert!(
        run.code == 0 && run.stderr.contains("it does not begin like a journal"),
        "{}",
        run.stderr
    );
}

/// A run may be killed when its journal is there, and nothing whole in it yet: the runs after it do
/// not vouch for that.
#[test]
fn a_journal_that_was_only_begun_is_missed_by_nobody() {
    for begun in [
        "",
        "netsec-jour",
        "netsec-journal-2\n",
        "netsec-journal-2\n\x40\0\0\0\0\0\0\0half of a head",
    ] {
        let (world, runs) = world();
        let killed = RunId::after(Some(&runs[2]), 0, 0).unwrap();
        world.write(&format!("cache/runs/{killed}.records"), begun);
        // The tail file of a run that was killed says that the last journal may go further.
        std::fs::remove_file(world.root().join("cache/latest")).unwrap();
        for _ in 0..2 {
            assert_eq!(world.run(&["p.yaml"])["outcome"], "succeeded");
            let verified = world.netsec(&["cache", "verify"]);
            assert_eq!(
                verified.code, 0,
                "{begun:?}: {}{}",
                verified.stdout, verified.stderr
            );
        }
        remove_database(&world);
        std::fs::remove_file(world.root().join("cache/latest")).unwrap();
        let verified = world.netsec(&["cache", "verify"]);
        assert_eq!(
            verified.code, 0,
            "{begun:?}, without the database: {}{}",
            verified.stdout, verified.stderr
        );
    }
}

#[test]
fn journals_of_the_first_format_are_read() {
    let (world, runs) = world();
    let mut expected = digests(&world.run(&["p.yaml"]));
    for (_, path) in journal::list(&world.root().join("cache/runs")).unwrap() {
        let commits = journal::read(&path).unwrap().commits;
        let mut bytes = b"netsec-journal-1\n".to_vec();
        for body in commits.iter().map(|commit| journal::encode(commit)) {
            bytes.extend((body.len() as u64).to_le_bytes());
            bytes.extend(&netsec::base::digest::Digest::of(&body).as_bytes()[..8]);
            bytes.extend(body);
        }
        std::fs::remove_file(&path).unwrap();
        netsec::base::disk::write_plain(&path, &bytes).unwrap();
    }
    remove_database(&world);
    std::fs::remove_file(world.root().join("cache/latest")).unwrap();
    let again = world.run(&["p.yaml"]);
    assert!(
        outcomes(&again)
            .iter()
            .all(|outcome| outcome.ends_with("reused"))
    );
    expected.sort();
    let mut found = digests(&again);
    found.sort();
    assert_eq!(found, expected);
    assert!(again["run"].as_str().unwrap() > runs[2].as_str());
    assert_eq!(world.netsec(&["cache", "verify"]).code, 0);
}

#[test]
fn a_journal_of_a_later_format_is_refused_by_name() {
    let (world, runs) = world();
    let line = b"netsec-journal-7\n".to_vec();
    let body = b"something else";
    let chain = netsec::base::digest::Digest::of(
        &[
            netsec::base::digest::Digest::of(&line)
                .as_bytes()
                .as_slice(),
            body,
        ]
        .concat(),
    );
    let frame = [
        line.as_slice(),
        &(body.len() as u64).to_le_bytes(),
        chain.as_bytes(),
        body,
    ]
    .concat();
    world.write(&format!("cache/runs/{}.records", runs[2]), frame);
    let run = world.netsec(&["run", "p.yaml"]);
    assert!(
        run.code == 5 && run.stderr.contains("written by a later netsec"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_run_named_by_a_wrong_clock_ends_nothing() {
    let (world, _) = world();
    for odd in ["99991231-235959-00000", "120261122-101403-01234", "x"] {
        world.write(&format!("cache/runs/{odd}.records"), "netsec-journal-1\n");
    }
    std::fs::remove_file(world.root().join("cache/latest")).unwrap();
    assert_eq!(world.run(&["p.yaml"])["outcome"], "succeeded");
    let verified = world.netsec(&["cache", "verify"]);
    assert!(
        verified.code == 1 && verified.stdout.contains("has not the name of a run"),
        "{}",
        verified.stdout
    );
}

/// Every byte of every file below `cache/` is changed, one at a time: `NETSEC_FULL=1` all of them,
/// otherwise some. It is noticed by `cache verify`, or nothing that is told changes, also when the
/// database is gone.
#[test]
#[expect(
    clippy::print_stdout,
    reason = "the figure is for `docs/reliability.md`"
)]
fn a_changed_byte_is_noticed_or_harmless() {
    let (world, _) = world();
    let root = world.root().to_owned();
    let workspace = || netsec::app::workspace::Workspace::open(&root).unwrap();
    let told = || {
        let reading = workspace().reading();
        reading.map(|reading| {
            let ledger = reading.ledger;
            format!(
                "{:?} {:?} {:?}",
                ledger.runs(),
                ledger.actions(),
                ledger.references()
            )
        })
    };
    let expected = told().unwrap();
    let files = netsec::base::disk::walk(&root.join("cache")).unwrap();
    let database: Vec<(std::path::PathBuf, Vec<u8>)> = files
        .iter()
        .filter(|(name, _)| name.starts_with("ledger/"))
        .map(|(_, path)| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    let restore = || {
        let _ = std::fs::remove_dir_all(root.join("cache/ledger"));
        for (path, bytes) in &database {
            netsec::base::disk::write_plain(path, bytes).unwrap();
        }
    };
    let (mut changed, mut noticed, mut wrong) = (0_u64, 0_u64, Vec::new());
    for (name, path) in &files {
        let bytes = std::fs::read(path).unwrap();
        let is_database = name.starts_with("ledger/");
        let few = if is_database { 40 } else { 25 };
        let step = if super::matrix::is_full() {
            1
        } else {
            (bytes.len() / few).max(1)
        };
        for at in (0..bytes.len()).step_by(step) {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644))
                .unwrap();
            netsec::base::disk::overwrite(path, &bad).unwrap();
            changed += 1;
            let verified = workspace().verify(false);
            let is_noticed = verified.as_ref().map_or(true, |verified| {
                !(verified.bad.is_empty()
                    && verified.records.is_empty()
                    && verified.unneeded.is_empty())
            });
            noticed += u64::from(is_noticed);
            let with = told();
            if !is_noticed && with.as_ref().ok() != Some(&expected) {
                wrong.push(format!("{name}, byte {at}: {with:?}"));
            }
            std::fs::remove_dir_all(root.join("cache/ledger")).unwrap();
            // Without the database it does not matter which of its bytes was changed: some are
            // enough.
            let without = if is_database && at % 997 != 0 {
                Ok(expected.clone())
            } else {
                told()
            };
            if !is_noticed && without.as_ref().ok() != Some(&expected) {
                wrong.push(format!(
                    "{name}, byte {at}, without the database: {without:?}"
                ));
            }
            // `verify` sets nothing aside; what was changed is put back.
            if !is_database {
                netsec::base::disk::overwrite(path, &bytes).unwrap();
            }
            restore();
        }
    }
    println!("{changed} changes, {noticed} noticed");
    assert!(
        wrong.is_empty(),
        "{} of {changed} changes, {noticed} noticed: {wrong:#?}",
        wrong.len()
    );
    assert!(noticed > 100, "{noticed} of {changed}");
}

/// A workspace whose records are packed, and how many actions there are.
fn packed_world() -> (World, u64) {
    let world = World::new();
    let stage = |n: usize| {
        format!(
            "  s{n}: {{ kind: command, with: {{ run: [sh, -c, 'echo {n} ${{params.p}}'] }} }}\n"
        )
    };
    let stages: String = (0..80).map(stage).collect();
    world.write("p.yaml", format!("params: {{ p: 0 }}\nstages:\n{stages}"));
    world.run(&["p.yaml"]);
    world.run(&["p.yaml", "--set", "p=1"]);
    assert_eq!(packs(&world).len(), 1, "merged, for both are short");
    (world, 160)
}

fn packs(world: &World) -> Vec<std::path::PathBuf> {
    let mut files = netsec::base::disk::list(&world.root().join("cache/packs")).unwrap();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "pack"));
    files
}

/// Nothing has to run again, and every record is there.
fn assert_all_there(world: &World, actions_before: u64, what: &str) {
    for set in ["p=0", "p=1"] {
        let again = world.run(&["p.yaml", "--set", set]);
        let outcomes = outcomes(&again);
        assert!(
            outcomes.iter().all(|outcome| outcome.ends_with("reused")),
            "{what}: {outcomes:?}"
        );
    }
    assert_eq!(actions(world), actions_before, "{what}");
    let verified = world.netsec(&["cache", "verify", "--records"]);
    assert_eq!(
        verified.code, 0,
        "{what}: {}{}",
        verified.stdout, verified.stderr
    );
}

#[test]
fn packs_that_are_lost_or_cut_are_built_again_from_the_journals() {
    type Harm = fn(&World);
    let harms: [(&str, Harm); 5] = [
        ("the list is gone", |world| {
            std::fs::remove_file(world.root().join("cache/packs/list")).unwrap()
        }),
        ("the list was changed", |world| {
            world.flip(&world.root().join("cache/packs/list"))
        }),
        ("a pack is gone", |world| {
            std::fs::remove_file(&packs(world)[0]).unwrap()
        }),
        ("a pack was cut", |world| shorten(&packs(world)[0], 9)),
        ("all packs are gone", |world| {
            std::fs::remove_dir_all(world.root().join("cache/packs")).unwrap()
        }),
    ];
    for (what, harm) in harms {
        let (world, count) = packed_world();
        let before = runs_of(&world);
        harm(&world);
        assert_eq!(runs_of(&world), before, "{what}: queries read the journals");
        assert_all_there(&world, count, what);
    }
}

#[test]
fn a_pack_that_is_damaged_anywhere_is_told_and_mended() {
    let (world, count) = packed_world();
    let pack = packs(&world).remove(0);
    let sound = std::fs::read(&pack).unwrap();
    let harm = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 8;
        netsec::base::disk::overwrite(&pack, &bytes).unwrap();
    };
    // Records, indexes, and what stands at its end.
    let steps = (0..sound.len()).step_by(sound.len() / 24);
    for at in steps.chain(sound.len().saturating_sub(700)..sound.len() - 690) {
        harm(at);
        let verified = world.netsec(&["cache", "verify", "--records"]);
        assert_eq!(verified.code, 1, "byte {at}: {}", verified.stderr);
        assert!(
            verified.stdout.contains("is damaged"),
            "byte {at}: {}{}",
            verified.stdout,
            verified.stderr
        );
    }
    // The last block holds how far it goes.
    let last_block = {
        let number = |at: usize| u64::from_le_bytes(sound[at..at + 8].try_into().unwrap());
        let footer = sound.len() - 64;
        sound.len() - 64 - (number(footer) + number(footer + 8) + number(footer + 16)) as usize - 5
    };
    for at in [sound.len() / 3, sound.len() - 20, last_block] {
        let (world, _) = packed_world();
        let pack = packs(&world).remove(0);
        let mut bytes = std::fs::read(&pack).unwrap();
        let at = at.min(bytes.len() - 1);
        bytes[at] ^= 8;
        netsec::base::disk::overwrite(&pack, &bytes).unwrap();
        let mended = world.netsec(&["cache", "verify", "--repair"]);
        assert_eq!(
            mended.code, 0,
            "byte {at}: {}{}",
            mended.stdout, mended.stderr
        );
        assert_all_there(&world, count, &format!("mended after byte {at}"));
    }
}

#[test]
fn a_database_that_was_to_be_emptied_says_nothing_old() {
    let (world, count) = packed_world();
    // As it was after the first of two further runs, while packs hold both.
    world.run(&["p.yaml", "--set", "p=2", "--until", "s1"]);
    let ledger = world.root().join("cache/ledger");
    let aside = world.root().join("aside");
    let copied = std::process::Command::new("cp")
        .args(["-r", ledger.to_str().unwrap(), aside.to_str().unwrap()])
        .status();
    assert!(copied.unwrap().success());
    world.run(&["p.yaml", "--set", "p=3"]);
    let before = world.ok(&["lineage", "s5.stdout"]);
    std::fs::remove_dir_all(&ledger).unwrap();
    netsec::base::disk::rename(&aside, &ledger).unwrap();
    assert_all_there(&world, count + 1 + 80, "an old database");
    assert_eq!(
        actions(&world),
        count + 1 + 80,
        "what the packs hold is not counted twice"
    );
    world.run(&["p.yaml", "--set", "p=3"]);
    assert_eq!(world.ok(&["lineage", "s5.stdout"]), before);
}

#[test]
fn closed_journals_are_compressed_and_tell_the_same() {
    let (world, count) = packed_world();
    for (_, path) in journal::list(&world.root().join("cache/runs")).unwrap() {
        let bytes = std::fs::read(&path).unwrap();
        if bytes.starts_with(b"netsec-journal-3\n") {
            let text = journal::read(&path).unwrap();
            assert!(text.commits.len() > 80, "all of it");
            // A byte anywhere is noticed.
            for at in (0..bytes.len()).step_by(211) {
                let mut changed = bytes.clone();
                changed[at] ^= 4;
                netsec::base::disk::overwrite(&path, &changed).unwrap();
                let link = text.link(&RunId::new(1, 0));
                let found = journal::read(&path);
                assert!(
                    found.is_err() || !found.unwrap().reaches(&link),
                    "byte {at}"
                );
            }
            netsec::base::disk::overwrite(&path, &bytes).unwrap();
        }
    }
    remove_database(&world);
    std::fs::remove_dir_all(world.root().join("cache/packs")).unwrap();
    assert_all_there(&world, count, "from the journals");
}

#[test]
fn the_lineage_of_a_long_chain_is_told() {
    const LONG: u64 = 20_000;
    let world = World::new();
    let digest = |n: u64| Digest::of(&n.to_le_bytes());
    let run = RunId::new(1, 1);
    let record = |n: u64| ActionRecord {
        key: digest(LONG + 1 + n),
        pipeline: "p.yaml".to_owned(),
        stage: StageId::parse(&format!("s{n}")).unwrap(),
        part: None,
        kind: "command".to_owned(),
        ingredients: Vec::new(),
        inputs: vec![InputRecord {
            port: "x".to_owned(),
            text: format!("s{}.out", n.wrapping_sub(1)),
            digest: Some(digest(n)),
        }],
        outputs: vec![Artifact {
            port: "out".to_owned(),
            digest: digest(n + 1),
            size: 8,
            directory: false,
        }],
        moves: Vec::new(),
        notes: Vec::new(),
        rejects: false,
        run: run.clone(),
        started_ms: n,
        seconds: 0.0,
        host: "h".to_owned(),
        netsec: "0".to_owned(),
        imported: None,
        remote: None,
    };
    let cache = world.root().join("cache");
    std::fs::create_dir_all(cache.join("runs")).unwrap();
    let (ledger, _) = netsec::lineage::sled::open(&cache).unwrap();
    let ledger = ledger.with_journal(Journal::of(&cache, &run, JournalHead::default()));
    let entries: Vec<LedgerEntry> = (0..LONG)
        .map(|n| LedgerEntry::Action(Box::new(record(n))))
        .collect();
    ledger.commit(&entries).unwrap();
    ledger.flush().unwrap();
    ledger.close_journal();
    drop(ledger);
    for (target, flag) in [(digest(LONG), None), (digest(0), Some("--downstream"))] {
        let hex = target.hex();
        let mut args = vec!["lineage", &hex, "--format", "mermaid"];
        args.extend(flag);
        let told = world.ok(&args);
        assert!(
            told.lines().count() as u64 > 2 * LONG,
            "every stage is there"
        );
    }
}

#[test]
fn what_was_left_among_packs_goes_and_sound_ones_stay() {
    let (world, count) = packed_world();
    let before = packs(&world);
    world.write("cache/packs/.tmpXYZ", "half a pack");
    world.write(
        &format!("cache/packs/{}.pack", Digest::of(b"gone")),
        "replaced",
    );
    // A database that is damaged takes no pack with it.
    world.write("cache/ledger/db", "nonsense");
    world.write("cache/ledger/conf", "nonsense");
    let again = world.netsec(&["run", "p.yaml", "--set", "p=9", "--until", "s1"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(
        again.stderr.contains("the database was moved to"),
        "{}",
        again.stderr
    );
    assert!(
        before.iter().all(|pack| packs(&world).contains(pack)),
        "they are as they were"
    );
    assert!(!world.root().join("cache/packs/.tmpXYZ").exists());
    assert_all_there(&world, count + 1, "without the database");
}

#[test]
fn a_base_that_a_repair_wrote_is_seen_as_one_however_long() {
    let (world, count) = packed_world();
    let journals = journal::list(&world.root().join("cache/runs")).unwrap();
    std::fs::remove_file(&journals[0].1).unwrap();
    assert_eq!(world.netsec(&["cache", "verify", "--repair"]).code, 0);
    let (_, base) = journal::list(&world.root().join("cache/runs"))
        .unwrap()
        .pop()
        .unwrap();
    let text = journal::read(&base).unwrap();
    assert!(text.head.is_base && std::fs::metadata(&base).unwrap().len() > 64 << 10);
    std::fs::remove_dir_all(world.root().join("cache/packs")).unwrap();
    remove_database(&world);
    let lock = world.root().join("cache/lock");
    let held = netsec::base::disk::FileLock::try_take(&lock).unwrap();
    assert_eq!(actions(&world), count, "read from the base, without a lock");
    drop(held);
    assert_all_there(&world, count, "from the base");
}
