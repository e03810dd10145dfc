//! A newcomer with a table of their own.

use crate::world::{World, shared};

/// Two clouds of points, a text column, a column of names, and labels in words.
fn table() -> String {
    let mut text = "bytes,duration,protocol,session,label\n".to_owned();
    for i in 0..600_u32 {
        let attack = (i * 7919) % 10 < 4;
        let noise = f64::from((i * 104_729) % 9_973) / 9_973.0;
        let bytes = if attack { 500.0 } else { 300.0 } + 400.0 * noise;
        let duration = if i % 23 == 0 {
            "na".to_owned()
        } else {
            format!("{:.3}", noise + f64::from(u8::from(attack)) * 0.3)
        };
        let protocol = ["tcp", "udp", "icmp"][(i % 3) as usize];
        let label = if attack { "attack" } else { "normal" };
        text.push_str(&format!(
            "{bytes:.1},{duration},{protocol},id-{i},{label}\n"
        ));
    }
    text
}

#[test]
fn an_empty_folder_and_a_csv_lead_to_a_trained_model() {
    let world = World::new();
    world.write("flows.csv", table());
    let init = world.netsec(&["init", "flows.csv", "--target", "label"]);
    assert_eq!(init.code, 0, "{}", init.stderr);
    insta::assert_snapshot!(init.stderr, @"
    wrote pipelines/flows.yaml
    wrote schemas/flows.yaml
    the target is `label`: 360 rows are benign (0): `normal` 360
    240 rows are attacks (1): `attack` 240
    LEAK? `session` names rows, its values hardly repeat: drop it, a model would learn them by heart; it is left out
    next: netsec run pipelines/flows.yaml
    ");
    insta::assert_snapshot!(std::fs::read_to_string(world.root().join("schemas/flows.yaml")).unwrap(), @"
    # What the data must look like. Made by `netsec init`; make it as strict as you know it to be.
    columns:
      bytes: { type: float }
      duration: { type: float, nullable: true }
      protocol: { type: text }
      label: { type: text, allowed: [attack, normal], severity: { allowed: warn } }
      # Left out by `ingest`; whoever takes one in writes it here too:
      # session: { type: text }
    ");
    let summary = world.run(&["pipelines/flows.yaml"]);
    assert_eq!(summary["outcome"], "succeeded", "{summary:#}");
    assert!(
        world
            .ok(&["lineage", "ref:champion/flows"])
            .starts_with("train.model")
    );
    let again = world.netsec(&["init", "flows.csv"]);
    assert_eq!(again.code, 2);
    assert!(
        again
            .stderr
            .contains("`pipelines/flows.yaml` is there already"),
        "{}",
        again.stderr
    );
}

#[test]
fn a_target_that_is_none_is_refused_with_a_hint() {
    let world = World::new();
    world.write("flows.csv", table());
    let wrong = world.netsec(&["init", "flows.csv", "--target", "lable"]);
    assert_eq!(wrong.code, 2);
    insta::assert_snapshot!(wrong.stderr, @"error: --target: there is no column `lable`: did you mean `label`?");
    let many = world.netsec(&["init", "flows.csv", "--target", "session"]);
    insta::assert_snapshot!(many.stderr, @"error: the target `session` has 600 labels (`id-0` 1, `id-1` 1, `id-10` 1, `id-100` 1, `id-101` 1, `id-102` 1, `id-103` 1, `id-104` 1 and 592 more): name another column with `--target`");
}

#[test]
fn a_table_of_many_attacks_gets_one_class_for_all_of_them() {
    let Some(path) = shared("nsl_kdd_train.csv.gz") else {
        return;
    };
    let world = World::new();
    let unpacked = std::process::Command::new("gzip")
        .arg("-dc")
        .arg(path)
        .output()
        .unwrap()
        .stdout;
    let head: Vec<u8> = unpacked
        .split_inclusive(|byte| *byte == b'\n')
        .take(3000)
        .flatten()
        .copied()
        .collect();
    world.write("kdd.csv", head);
    let init = world.netsec(&["init", "kdd.csv", "--target", "attack"]);
    assert_eq!(init.code, 0, "{}", init.stderr);
    assert!(
        init.stderr
            .contains("1570 rows are benign (0): `normal` 1570"),
        "{}",
        init.stderr
    );
    let pipeline = std::fs::read_to_string(world.root().join("pipelines/kdd.yaml")).unwrap();
    assert!(
        pipeline.contains("target_map: {normal: 0}\n      other_labels: 1"),
        "{pipeline}"
    );
    let until = world.netsec(&["run", "pipelines/kdd.yaml", "--until", "transform"]);
    assert_eq!(until.code, 0, "{}", until.stderr);
}

#[test]
fn any_file_name_gives_a_pipeline_that_checks() {
    let world = World::new();
    for file in [
        "2024-01.csv",
        "true.csv",
        "_x_.csv",
        "my data (1).csv",
        "größe.csv",
    ] {
        world.write(file, table());
        let init = world.netsec(&["init", file]);
        assert_eq!(init.code, 0, "{file}: {}", init.stderr);
        let next = init
            .stderr
            .lines()
            .find_map(|line| line.strip_prefix("next: netsec run "))
            .unwrap()
            .to_owned();
        world.ok(&["check", &next]);
    }
    assert_eq!(
        world.netsec(&["init", "true.csv", "--name", "../x"]).code,
        2
    );
}

#[test]
fn what_is_called_benign_is_benign() {
    let world = World::new();
    let labelled = |header: &str, labels: &[&str]| {
        let row = |i: usize| format!("{},{}\n", i * 7919 % 23, labels[i % labels.len()]);
        format!("x,{header}\n{}", (0..40).map(row).collect::<String>())
    };
    let note = |header: &str, labels: &[&str]| {
        world.write("t.csv", labelled(header, labels));
        world
            .netsec(&["init", "t.csv", "--force"])
            .stderr
            .lines()
            .nth(2)
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        note("label", &["BENIGN", "DoS", "benign"])
            .ends_with("27 rows are benign (0): `BENIGN` 14, `benign` 13")
    );
    assert!(note("is_benign", &["0", "1"]).ends_with("20 rows are benign (0): `1` 20"));
    assert!(note("label", &["attack", "normal"]).ends_with("20 rows are benign (0): `normal` 20"));
}
