//! Every file in `tests/broken` against the report beside it, and the files too odd to keep.

use crate::world::{World, package, same_file};

#[test]
fn every_broken_pipeline_gives_its_report() {
    let folder = package().join("tests/broken");
    let mut count = 0;
    for (name, path) in netsec::base::disk::walk(&folder).unwrap() {
        let Some(stem) = name.strip_suffix(".yaml") else {
            continue;
        };
        let world = World::new();
        world.write(&name, std::fs::read(&path).unwrap());
        let output = world.netsec(&["check", &name]);
        assert_eq!(output.code, 3, "{name}: {}", output.stderr);
        same_file(&folder.join(format!("{stem}.txt")), &output.stderr);
        count += 1;
    }
    assert!(count >= 20, "{count} broken pipelines");
}

#[test]
fn files_too_odd_to_keep_are_refused_too() {
    let world = World::new();
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        bomb.push_str(&format!(
            "a{i}: &a{i} [{}]\n",
            vec![format!("*a{}", i - 1); 9].join(", ")
        ));
    }
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("an alias bomb", bomb.into_bytes(), "yaml::alias_bomb"),
        (
            "brackets",
            "[".repeat(10 << 20).into_bytes(),
            "yaml::syntax",
        ),
        (
            "dashes",
            "- ".repeat(5 << 20).into_bytes(),
            "yaml::too_deep",
        ),
        (
            "not UTF-8",
            b"stages:\n  a: \xff\xfe\n".to_vec(),
            "yaml::not_utf8",
        ),
        ("nothing", Vec::new(), "yaml::empty"),
        ("zeros", vec![0; 1000], "yaml::"),
    ];
    for (name, bytes, code) in cases {
        world.write("odd.yaml", bytes);
        let output = world.netsec(&["check", "odd.yaml"]);
        assert_eq!(output.code, 3, "{name}: {}", output.stderr);
        assert!(
            output.stderr.contains(code),
            "{name}: {}",
            &output.stderr[..output.stderr.len().min(2000)]
        );
        assert!(
            output.stderr.len() < 10_000,
            "{name}: the report has {} bytes",
            output.stderr.len()
        );
    }
}
