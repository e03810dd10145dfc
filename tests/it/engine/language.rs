//! What one file says in few words: matrix, foreach, templates, conditions, other files, profiles.

use crate::toy::{load, registry, run, run_with, try_load};
use crate::world::World;
use netsec::app::workspace::{AppError, LoadedPipeline, Overrides, Workspace};

fn ids(loaded: &LoadedPipeline) -> Vec<&str> {
    loaded
        .pipeline
        .stages
        .iter()
        .map(|stage| stage.id.as_str())
        .collect()
}

fn text(loaded: &LoadedPipeline, id: &str) -> String {
    let stage = loaded
        .pipeline
        .stages
        .iter()
        .find(|stage| stage.id.as_str() == id);
    stage
        .unwrap_or_else(|| panic!("no {id} in {:?}", ids(loaded)))
        .values
        .text("text")
        .unwrap()
        .to_owned()
}

fn problem(world: &World, text: &str) -> String {
    match try_load(world, text) {
        Err(AppError::Report(report)) => report.plain(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it is right"),
    }
}

fn choose(world: &World, file: &str, choices: &Overrides) -> Result<LoadedPipeline, String> {
    let loaded = Workspace::open(world.root())
        .unwrap()
        .load(file, choices, &registry(), &|_| None);
    loaded.map_err(|error| match error {
        AppError::Report(report) => report.plain(),
        error => error.to_string(),
    })
}

#[test]
fn a_matrix_makes_a_stage_for_each_combination() {
    let world = World::new();
    let file = "\
params: { rates: [0.1, 0.2] }
stages:
  fit:
    kind: echo
    matrix: { rate: '${params.rates}', depth: [3, deep] }
    with: { text: 'rate ${matrix.rate} depth ${matrix.depth}' }
  after:
    kind: join
    matrix: { rate: '${params.rates}' }
    inputs: { x: 'fit[rate=${matrix.rate},depth=3].out' }
  all: { kind: join, inputs: { x: fit.out } }
";
    let loaded = load(&world, file);
    assert_eq!(
        ids(&loaded),
        [
            "fit[rate=0.1,depth=3]",
            "fit[rate=0.1,depth=deep]",
            "fit[rate=0.2,depth=3]",
            "fit[rate=0.2,depth=deep]",
            "after[rate=0.1]",
            "after[rate=0.2]",
            "all"
        ]
    );
    assert_eq!(
        text(&loaded, "fit[rate=0.2,depth=deep]"),
        "rate 0.2 depth deep"
    );
    let ports: Vec<&str> = loaded.pipeline.stages[6]
        .inputs
        .iter()
        .map(|input| input.port.as_str())
        .collect();
    assert_eq!(ports, ["x-1", "x-2", "x-3", "x-4"]);
    assert_eq!(
        loaded.pipeline.stages[6].inputs[2].text,
        "fit[rate=0.2,depth=3].out"
    );
    assert_eq!(loaded.stages("fit").unwrap(), [0, 1, 2, 3]);
    let first = run(&world, file);
    assert!(
        first
            .outcomes()
            .iter()
            .all(|outcome| outcome.ends_with(" made")),
        "{:?}",
        first.outcomes()
    );
    // A value more is a stage more, and what takes all of them.
    let more = file.replace("[0.1, 0.2]", "[0.1, 0.2, 0.3]");
    let made: Vec<String> = run(&world, &more)
        .outcomes()
        .into_iter()
        .filter(|outcome| outcome.ends_with(" made"))
        .collect();
    assert_eq!(
        made,
        [
            "fit[rate=0.3,depth=3] made",
            "fit[rate=0.3,depth=deep] made",
            "after[rate=0.3] made",
            "all made"
        ]
    );
}

#[test]
fn foreach_takes_the_items_of_a_list_or_a_map() {
    let world = World::new();
    let file = "\
stages:
  list: { kind: echo, foreach: [a, 'b c', { x: 1 }, a], with: { text: '${key}' } }
  map:
    kind: echo
    foreach: { north: { port: 80, note: up }, south: { port: 443, note: down } }
    with: { text: '${key} ${item.port} ${item.note}', number: 3 }
";
    let loaded = load(&world, file);
    assert_eq!(
        ids(&loaded),
        [
            "list[a]",
            "list[b_c]",
            "list[2]",
            "list[a~2]",
            "map[north]",
            "map[south]"
        ]
    );
    assert_eq!(text(&loaded, "map[south]"), "south 443 down");
    let wrong = problem(
        &world,
        "stages: { a: { kind: echo, foreach: 3 }, b: { kind: echo, foreach: [1], matrix: { x: [1] } }, c: { kind: echo, matrix: { x: 1 } } }",
    );
    assert!(wrong.contains("expected a list or a map"), "{wrong}");
    assert!(wrong.contains("exclude each other"), "{wrong}");
    assert!(wrong.contains("expected a list of values"), "{wrong}");
}

#[test]
fn a_condition_leaves_stages_out() {
    let world = World::new();
    let file = |size: u32| {
        format!(
            "params: {{ size: {size}, kind: big }}\nstages:\n  a: {{ kind: echo }}\n  b: {{ kind: echo, when: '${{params.size}} > 10 and ${{params.kind}} == big' }}\n  c: {{ kind: echo, matrix: {{ n: [1, 2, 3] }}, when: '${{matrix.n}} != 2' }}\n"
        )
    };
    assert_eq!(
        ids(&load(&world, &file(11))),
        ["a", "b", "c[n=1]", "c[n=3]"]
    );
    assert_eq!(ids(&load(&world, &file(9))), ["a", "c[n=1]", "c[n=3]"]);
    let needs =
        "stages:\n  a: { kind: echo, when: false }\n  b: { kind: join, inputs: { x: a.out } }\n";
    assert!(
        problem(&world, needs).contains("the stage `a` is left out"),
        "{}",
        problem(&world, needs)
    );
    let odd = problem(
        &world,
        "stages:\n  a: { kind: echo, when: 'maybe later' }\n",
    );
    assert!(
        odd.contains("toy.yaml:2:26: `maybe later` is no condition"),
        "{odd}"
    );
}

#[test]
fn a_template_stands_for_what_a_stage_does_not_say() {
    let world = World::new();
    let file = "\
templates:
  say: { kind: echo, with: { text: 'for ${matrix.x}', number: 1 } }
stages:
  a: { template: say, matrix: { x: [1, 2] } }
  b: { template: say, with: { text: own } }
";
    let loaded = load(&world, file);
    assert_eq!(ids(&loaded), ["a[x=1]", "a[x=2]", "b"]);
    assert_eq!(
        (
            text(&loaded, "a[x=2]").as_str(),
            text(&loaded, "b").as_str()
        ),
        ("for 2", "own")
    );
    let wrong = problem(
        &world,
        "templates: { say: { kind: echo } }\nstages: { a: { template: sai } }\n",
    );
    assert!(
        wrong.contains("there is no template `sai`") && wrong.contains("say"),
        "{wrong}"
    );
    let lost = problem(
        &world,
        "templates: { say: { kind: echo, with: { text: '${matrix.x}' } } }\nstages: { a: { template: say } }\n",
    );
    assert!(
        lost.contains("`${matrix.x}` stands for nothing here"),
        "{lost}"
    );
}

#[test]
fn files_take_in_others_and_tell_where_they_are_wrong() {
    let world = World::new();
    world.write("parts/common.yaml", "params: { who: common, n: 1 }\nprofiles: { ci: { seed: 7, params: { who: ci } } }\nstages:\n  shared: { kind: echo, with: { text: 'hi ${params.who} ${params.n}' } }\n");
    world.write("parts/values.toml", "n = 2\n");
    world.write("mine.json", "{\"n\": 3}");
    let file = "include: parts/common.yaml\nparams: { who: me }\nparams_files: [parts/values.toml]\nstages:\n  own: { kind: join, inputs: { x: shared.out } }\n";
    world.write("p.yaml", file);
    let shared = |choices: &Overrides| {
        choose(&world, "p.yaml", choices).map(|loaded| text(&loaded, "shared"))
    };
    assert_eq!(shared(&Overrides::default()).unwrap(), "hi me 2");
    let ci = Overrides {
        profile: Some("ci".to_owned()),
        params: vec!["mine.json".to_owned()],
        ..Overrides::default()
    };
    assert_eq!(shared(&ci).unwrap(), "hi ci 3");
    assert_eq!(choose(&world, "p.yaml", &ci).unwrap().pipeline.seed, 7);
    let set = Overrides {
        sets: vec!["n=4".to_owned()],
        ..ci
    };
    assert_eq!(shared(&set).unwrap(), "hi ci 4");
    let none = Overrides {
        profile: Some("cy".to_owned()),
        ..Overrides::default()
    };
    assert!(
        shared(&none).unwrap_err().contains("`ci`"),
        "{:?}",
        shared(&none)
    );
    world.write("mine.json", "{\"m\": 3}");
    let odd = Overrides {
        params: vec!["mine.json".to_owned()],
        ..Overrides::default()
    };
    assert!(
        shared(&odd)
            .unwrap_err()
            .starts_with("mine.json:1:2: there is no parameter `m`"),
        "{:?}",
        shared(&odd)
    );
    // What is wrong in a file that is taken in is told there.
    world.write(
        "parts/common.yaml",
        "stages:\n  shared: { kind: ecko }\n  own: { kind: echo }\n",
    );
    world.write("parts/values.toml", "n = \n");
    let wrong = shared(&Overrides::default()).unwrap_err();
    assert!(
        wrong.contains("parts/values.toml:1:5: this is not TOML"),
        "{wrong}"
    );
    world.write("parts/values.toml", "");
    let wrong = shared(&Overrides::default()).unwrap_err();
    assert!(
        wrong.contains("parts/common.yaml:2:19: there is no kind `ecko`"),
        "{wrong}"
    );
    assert!(
        wrong.contains("p.yaml:5:3: the stage `own` stands twice"),
        "{wrong}"
    );
    world.write(
        "parts/common.yaml",
        "include: [common.yaml, nowhere.yaml]\nname: x\n",
    );
    let wrong = shared(&Overrides::default()).unwrap_err();
    assert!(
        wrong.contains("parts/common.yaml:1:11: `parts/common.yaml` is included already"),
        "{wrong}"
    );
    assert!(
        wrong.contains("parts/common.yaml:1:24: there is no file `parts/nowhere.yaml`"),
        "{wrong}"
    );
}

#[test]
fn a_stage_of_which_there_are_several_is_named_with_care() {
    let world = World::new();
    let judge = "stages:\n  a: { kind: echo, matrix: { x: [1, 2] } }\n  b: { kind: judge, inputs: { model: 'a.out', champion: 'ref:c/x' } }\n";
    let wrong = problem(&world, judge);
    assert!(
        wrong.contains("there are 2 instances of `a`") && wrong.contains("`a[x=1]`"),
        "{wrong}"
    );
    let wrong = problem(&world, &judge.replace("a.out", "a[x=3].out"));
    assert!(wrong.contains("there is no stage `a[x=3]`"), "{wrong}");
    // Brackets of a glob are not those of an instance.
    world.write("data/a.txt", "A");
    let glob = "stages:\n  j: { kind: join, inputs: { x: 'data/[ab].txt' } }\n";
    assert_eq!(run(&world, glob).outcomes(), ["j made"]);
    let only = netsec::app::workspace::RunRequest {
        only: vec!["a".to_owned()],
        ..Default::default()
    };
    let two = "stages:\n  a: { kind: echo, matrix: { x: [1, 2] } }\n  b: { kind: echo }\n";
    let ran = run_with(&world, two, &only, 1, &netsec::base::cancel::Cancel::new()).unwrap();
    assert_eq!(ran.outcomes(), ["a[x=1] made", "a[x=2] reused"]);
}

#[test]
fn a_folder_of_links_does_not_make_endless_files() {
    let world = World::new();
    world.write("d/p.yaml", "include: [l/p.yaml, m/p.yaml, n/p.yaml]\n");
    for link in ["l", "m", "n"] {
        std::os::unix::fs::symlink(".", world.root().join("d").join(link)).unwrap();
    }
    let wrong = problem(&world, "include: [d/p.yaml]\nstages: {}\n");
    assert_eq!(
        wrong.matches("more than 1000 files are taken in").count(),
        1,
        "{wrong}"
    );
}
