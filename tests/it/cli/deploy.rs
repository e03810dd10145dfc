//! The files of a deployment.

use crate::world::World;

const NAMES: [&str; 10] = [
    "--repository",
    "acme/detector",
    "--account",
    "123456789012",
    "--region",
    "eu-central-1",
    "--model",
    "m",
    "--pipeline",
    "p.yaml",
];

#[test]
fn a_deployment_is_written_whole_and_replaces_nothing_by_itself() {
    let world = World::new();
    let init = |more: &[&str]| world.netsec(&[&["deploy", "init"], &NAMES[..], more].concat());
    let missing = init(&[]);
    insta::assert_snapshot!(missing.stderr, @"error: --pipeline: there is no `p.yaml` here: run this at the root of the repository, with the pipeline that trains the model");
    assert_eq!(missing.code, 2);
    world.write("p.yaml", "stages: {}\n");
    world.write("program", "of another machine");
    let written = init(&["--program", "program"]);
    insta::assert_snapshot!(written.stderr, @"
    wrote .github/workflows/train-and-deploy.yml
    wrote docs/deploy/netsec.cfn.yaml
    wrote docs/deploy/rollout.sh
    wrote docs/deploy/send.sh
    the workflow runs the netsec with the SHA-256 b498feb9435bab02430c64b7939d7ba499e2dce3e7cd6f01e1604ac36179833d, and no other
    next: choose rows that every image has to answer, in docs/deploy/golden.json; then make the stack. docs/deploy.md of netsec has the commands
    ");
    assert_eq!(written.code, 0);
    let read = |path: &str| std::fs::read_to_string(world.root().join(path)).unwrap();
    let workflow = ".github/workflows/train-and-deploy.yml";
    let first = read(workflow);
    assert!(first.contains("WORKSPACE: s3://netsec-m-123456789012-eu-central-1/workspace\n"));
    let again = init(&["--branch", "trunk"]);
    insta::assert_snapshot!(again.stderr, @"error: `.github/workflows/train-and-deploy.yml` is there already: `--force` replaces it");
    assert_eq!((again.code, read(workflow)), (2, first));
    assert_eq!(init(&["--branch", "trunk", "--force"]).code, 0);
    assert!(read("docs/deploy/netsec.cfn.yaml").contains(":ref:refs/heads/trunk\n"));
    let outside = [&NAMES[..9], &["../p.yaml"]].concat();
    let odd = world.netsec(&[&["deploy", "init"], &outside[..]].concat());
    insta::assert_snapshot!(odd.stderr, @"error: --pipeline: `../p.yaml` is not a path below this folder that has only letters, digits, `.`, `_`, `-` and `/`");
    assert_eq!(odd.code, 2);
}
