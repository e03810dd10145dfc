//! Files that flow in.

use std::fs::File;
use std::time::{Duration, SystemTime};

use netsec::app::workspace::{AppError, Wish, Workspace};
use netsec::base::cancel::Cancel;
use netsec::base::digest::Digest;
use netsec::base::outcome::Outcome;

use crate::toy::{run, run_with, try_load};
use crate::world::World;

const FILES: &str = "
stages:
  one: { kind: join, inputs: { x: data/a.txt } }
  all: { kind: join, inputs: { x: 'data/*.txt' } }
  folder: { kind: join, inputs: { x: data/ } }
";

fn touch(world: &World, path: &str) {
    let file = File::options().append(true).open(world.root().join(path)).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
}

#[test]
fn touching_an_input_reruns_nothing() {
    let world = World::new();
    world.write("data/a.txt", "A");
    world.write("data/b.txt", "B");
    assert_eq!(run(&world, FILES).outcomes(), ["one made", "all made", "folder reused"], "the last two are one action");
    touch(&world, "data/a.txt");
    assert!(run(&world, FILES).outcomes().iter().all(|outcome| outcome.ends_with("reused")));
}

#[test]
fn a_changed_file_reruns_what_reads_it() {
    let world = World::new();
    world.write("data/a.txt", "A");
    world.write("data/b.txt", "B");
    run(&world, FILES);
    world.write("data/b.txt", "C");
    assert_eq!(run(&world, FILES).outcomes(), ["one reused", "all made", "folder reused"]);
    world.write("data/c.md", "new");
    assert_eq!(run(&world, FILES).outcomes(), ["one reused", "all reused", "folder made"]);
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
    assert_eq!(run(&world, text).outcome("one"), Outcome::Made);
    let wish = Wish { rehash: true, ..Wish::default() };
    let again = run_with(&world, text, &wish, 1, &Cancel::new()).unwrap();
    assert_eq!(again.outcome("one"), Outcome::Reused);
}

#[test]
fn a_large_file_has_the_digest_of_its_bytes() {
    let world = World::new();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    world.write("big.bin", &bytes);
    let ran = run(&world, "stages:\n  one: { kind: length, inputs: { x: ./big.bin } }\n");
    let ledger = Workspace::open(world.root()).unwrap().reading().unwrap().ledger;
    let record = ledger.action(&ran.summary.stages[0].key.unwrap()).unwrap().unwrap();
    assert_eq!(record.inputs[0].digest, Some(Digest::of(&bytes)));
}

#[test]
fn missing_files_are_told_with_their_places() {
    let world = World::new();
    let refused = run_with(&world, FILES, &Wish::default(), 1, &Cancel::new());
    let Err(AppError::Report(report)) = refused else { panic!("it ran") };
    let plain = report.plain();
    assert!(plain.contains("toy.yaml:3:35: there is no file `data/a.txt`"), "{plain}");
    assert!(plain.contains("no file matches `data/*.txt`"), "{plain}");
    assert_eq!(report.problems.len(), 3);
}

#[test]
fn odd_names_and_loops_of_links_do_no_harm() {
    let world = World::new();
    world.write("data/with space\nand line.txt", "odd");
    let text = "stages:\n  folder: { kind: join, inputs: { x: data } }\n";
    assert_eq!(run(&world, text).outcome("folder"), Outcome::Made);
    std::os::unix::fs::symlink(world.root().join("data"), world.root().join("data/loop")).unwrap();
    let refused = run_with(&world, text, &Wish::default(), 1, &Cancel::new());
    let Err(AppError::Report(report)) = refused else { panic!("it ran") };
    assert!(report.plain().contains("neither a file nor a plain directory"), "{}", report.plain());
}

#[test]
fn secrets_are_used_and_never_kept() {
    let world = World::new();
    let text = "stages:\n  a: { kind: echo, with: { token: 'Bearer ${env.SET}' } }\n";
    let ran = run(&world, text);
    assert_eq!(ran.outcome("a"), Outcome::Made);
    assert_eq!(run(&world, &text.replace("Bearer ", "")).outcome("a"), Outcome::Reused, "a secret is no ingredient");
    world.assert_not_in_cache(b"s3cr3t-value");
    let unset =
        run(&world, &text.replace("SET", "NOT_SET").replace("kind: echo,", "kind: echo, inputs: { y: ./toy.yaml },"));
    assert!(unset.error("a").contains("the environment variable `NOT_SET` is not set"), "{}", unset.error("a"));
}

#[test]
fn a_secret_may_not_stand_in_a_part_of_the_key() {
    let world = World::new();
    let refused = try_load(&world, "stages:\n  a: { kind: echo, with: { text: '${env.SET}' } }\n");
    let Err(AppError::Report(report)) = refused else { panic!("it loaded") };
    assert!(report.plain().contains("`${env.SET}` may not stand here"), "{}", report.plain());
}
