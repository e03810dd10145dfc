//! Files that flow in.

use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::toy::{run, run_with, try_load};
use crate::world::World;
use netsec::app::workspace::{AppError, RunRequest, Workspace};
use netsec::base::cancel::Cancel;
use netsec::base::digest::Digest;
use netsec::base::hashing::hash;
use netsec::base::outcome::StageOutcome;

const FILES: &str = "
stages:
  one: { kind: join, inputs: { x: data/a.txt } }
  all: { kind: join, inputs: { x: 'data/*.txt' } }
  folder: { kind: join, inputs: { x: data/ } }
";

fn touch(world: &World, path: &str) {
    let file = File::options()
        .append(true)
        .open(world.root().join(path))
        .unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1))
        .unwrap();
}

#[test]
fn touching_an_input_reruns_nothing() {
    let world = World::new();
    world.write("data/a.txt", "A");
    world.write("data/b.txt", "B");
    assert_eq!(
        run(&world, FILES).outcomes(),
        ["one made", "all made", "folder reused"],
        "the last two are one action"
    );
    touch(&world, "data/a.txt");
    assert!(
        run(&world, FILES)
            .outcomes()
            .iter()
            .all(|outcome| outcome.ends_with("reused"))
    );
}

#[test]
fn a_changed_file_reruns_what_reads_it() {
    let world = World::new();
    world.write("data/a.txt", "A");
    world.write("data/b.txt", "B");
    run(&world, FILES);
    world.write("data/b.txt", "C");
    assert_eq!(
        run(&world, FILES).outcomes(),
        ["one reused", "all made", "folder reused"]
    );
    world.write("data/c.md", "new");
    assert_eq!(
        run(&world, FILES).outcomes(),
        ["one reused", "all reused", "folder made"]
    );
}

#[test]
fn a_change_that_hides_behind_old_times_is_seen() {
    let world = World::new();
    world.write("data/a.txt", "A");
    touch(&world, "data/a.txt");
    let text = "stages:\n  one: { kind: join, inputs: { x: data/a.txt } }\n";
    run(&world, text);
    // The same size and the same time of change: only the entry's own time tells.
    world.write("data/a.txt", "B");
    touch(&world, "data/a.txt");
    assert_eq!(run(&world, text).outcome("one"), StageOutcome::Made);
    let wish = RunRequest {
        rehash: true,
        ..RunRequest::default()
    };
    let again = run_with(&world, text, &wish, 1, &Cancel::new()).unwrap();
    assert_eq!(again.outcome("one"), StageOutcome::Reused);
}

#[test]
fn a_large_file_has_the_digest_of_its_bytes() {
    let world = World::new();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    world.write("big.bin", &bytes);
    let ran = run(
        &world,
        "stages:\n  one: { kind: length, inputs: { x: ./big.bin } }\n",
    );
    let ledger = Workspace::open(world.root())
        .unwrap()
        .reading()
        .unwrap()
        .ledger;
    let record = ledger
        .action(&ran.summary.stages[0].key.unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(record.inputs[0].digest, Some(Digest::of(&bytes)));
}

#[test]
fn a_file_is_hashed_as_a_whole_however_long_it_is() {
    let world = World::new();
    let path = world.root().join("x.bin");
    let piece = 1 << 18;
    for length in [
        0,
        1,
        1024,
        1025,
        piece - 1,
        piece,
        piece + 1,
        2 * piece,
        3 * piece + 17,
        8 * piece + 1024,
    ] {
        let bytes: Vec<u8> = (0..length).map(|at| (at * 31 % 253) as u8).collect();
        world.write("x.bin", &bytes);
        assert_eq!(
            hash(&path, length as u64, &Cancel::new()).unwrap(),
            Digest::of(&bytes),
            "{length} bytes"
        );
    }
    let cut = hash(&path, 9 * piece as u64, &Cancel::new()).unwrap_err();
    assert!(
        cut.to_string()
            .contains("it became shorter while it was read"),
        "{cut}"
    );
}

#[test]
fn a_file_that_is_cut_and_filled_while_it_is_hashed_is_never_taken_for_another() {
    let world = World::new();
    let text = "stages:\n  a: { kind: length, inputs: { x: ./x.bin } }\n";
    let contents = [vec![1_u8; 6 << 20], vec![2_u8; 3 << 20]];
    world.write("x.bin", &contents[0]);
    let over = Cancel::new();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for content in contents.iter().cycle().take_while(|_| !over.is_cancelled()) {
                world.write("x.bin", content);
            }
        });
        for _ in 0..10 {
            // It runs, or is refused with a message; what is recorded is true.
            if let Ok(ran) = run_with(&world, text, &RunRequest::default(), 1, &Cancel::new())
                && ran.outcome("a") == StageOutcome::Failed
            {
                let error = ran.error("a");
                assert!(
                    error.contains("changed while the stage ran") || error.contains("shorter"),
                    "{error}"
                );
            }
        }
        over.cancel();
    });
    let ledger = Workspace::open(world.root())
        .unwrap()
        .reading()
        .unwrap()
        .ledger;
    let workspace = Workspace::open(world.root()).unwrap();
    for record in ledger.actions().unwrap() {
        let made = String::from_utf8(
            workspace.fetch(&record.outputs[0].digest).unwrap()[0]
                .1
                .clone(),
        )
        .unwrap();
        let length = made.parse::<usize>().unwrap() - "x/=;".len();
        // Half written is a state of the file as well; a mixture of the two is none.
        let states = contents
            .iter()
            .filter_map(|content| content.get(..length))
            .map(|state| Some(Digest::of(state)));
        assert!(
            states
                .into_iter()
                .any(|state| state == record.inputs[0].digest),
            "{length} bytes"
        );
    }
}

#[test]
fn missing_files_are_told_with_their_places() {
    let world = World::new();
    let refused = run_with(&world, FILES, &RunRequest::default(), 1, &Cancel::new());
    let Err(AppError::Report(report)) = refused else {
        panic!("it ran")
    };
    let plain = report.plain();
    assert!(
        plain.contains("toy.yaml:3:35: there is no file `data/a.txt`"),
        "{plain}"
    );
    assert!(plain.contains("no file matches `data/*.txt`"), "{plain}");
    assert_eq!(report.problems.len(), 3);
}

#[test]
fn odd_names_and_loops_of_links_do_no_harm() {
    let world = World::new();
    world.write("data/with space\nand line.txt", "odd");
    let text = "stages:\n  folder: { kind: join, inputs: { x: data } }\n";
    assert_eq!(run(&world, text).outcome("folder"), StageOutcome::Made);
    std::os::unix::fs::symlink(world.root().join("data"), world.root().join("data/loop")).unwrap();
    let refused = run_with(&world, text, &RunRequest::default(), 1, &Cancel::new());
    let Err(AppError::Report(report)) = refused else {
        panic!("it ran")
    };
    assert!(
        report
            .plain()
            .contains("neither a file nor a plain directory"),
        "{}",
        report.plain()
    );
}

#[test]
fn secrets_are_used_and_never_kept() {
    let world = World::new();
    let text = "stages:\n  a: { kind: echo, with: { token: 'Bearer ${env.SET}' } }\n";
    let ran = run(&world, text);
    assert_eq!(ran.outcome("a"), StageOutcome::Made);
    assert_eq!(
        run(&world, &text.replace("Bearer ", "")).outcome("a"),
        StageOutcome::Reused,
        "a secret is no ingredient"
    );
    world.assert_not_in_cache(b"s3cr3t-value");
    let unset = run(
        &world,
        &text
            .replace("SET", "NOT_SET")
            .replace("kind: echo,", "kind: echo, inputs: { y: ./toy.yaml },"),
    );
    assert!(
        unset
            .error("a")
            .contains("the environment variable `NOT_SET` is not set"),
        "{}",
        unset.error("a")
    );
}

#[test]
fn a_secret_may_not_stand_in_a_part_of_the_key() {
    let world = World::new();
    let refused = try_load(
        &world,
        "stages:\n  a: { kind: echo, with: { text: '${env.SET}' } }\n",
    );
    let Err(AppError::Report(report)) = refused else {
        panic!("it loaded")
    };
    assert!(
        report.plain().contains("`${env.SET}` may not stand here"),
        "{}",
        report.plain()
    );
}
