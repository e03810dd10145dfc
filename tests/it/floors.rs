//! The house is a test: who may import whom, which room may use which crate, one opening line a
//! file, and no forgotten test file.

use std::collections::BTreeMap;

use crate::world::package;

/// Who may import whom. A change here is a change to `docs/ARCHITECTURE.md`.
const ROOMS: [(&str, &[&str]); 18] = [
    ("base", &[]),
    ("event", &["base"]),
    ("stage", &["base"]),
    ("store", &["base"]),
    ("lineage", &["base"]),
    ("pipeline", &["base", "stage"]),
    ("graph", &["base", "pipeline"]),
    (
        "plan",
        &["base", "stage", "pipeline", "graph", "store", "lineage"],
    ),
    (
        "engine",
        &[
            "base", "event", "stage", "pipeline", "graph", "plan", "store", "lineage",
        ],
    ),
    ("frame", &["base"]),
    ("source", &["base", "frame"]),
    ("quality", &["base", "frame"]),
    ("prep", &["base", "frame", "quality"]),
    ("model", &["base", "frame", "quality", "prep"]),
    (
        "kinds",
        &[
            "base", "stage", "source", "frame", "quality", "prep", "model",
        ],
    ),
    (
        "app",
        &[
            "base", "event", "stage", "pipeline", "graph", "plan", "engine", "store", "lineage",
        ],
    ),
    ("reporter", &["base", "event", "plan", "lineage"]),
    (
        "cli",
        &[
            "base", "event", "stage", "pipeline", "lineage", "plan", "engine", "app", "reporter",
            "frame", "source", "quality", "kinds",
        ],
    ),
];

/// Which places may use a crate; a crate that is not named may be used anywhere.
const CRATES: [(&str, &[&str]); 32] = [
    ("bson", &["source/"]),
    ("zstd", &["store/packed.rs", "source/unpack.rs"]),
    ("mongodb", &["source/"]),
    ("futures_util", &["source/"]),
    ("csv", &["source/csv.rs", "source/files.rs"]),
    ("flate2", &["source/unpack.rs"]),
    (
        "regex",
        &[
            "quality/schema.rs",
            "quality/schema_words.rs",
            "quality/rules.rs",
            "prep/columns.rs",
        ],
    ),
    ("chrono", &["frame/table.rs"]),
    (
        "rand_chacha",
        &[
            "source/synthetic.rs",
            "quality/domain.rs",
            "model/",
            "kinds/",
        ],
    ),
    ("landlock", &["kinds/sandbox.rs"]),
    ("seccompiler", &["kinds/sandbox.rs"]),
    ("libc", &["kinds/sandbox.rs"]),
    (
        "polars_parquet",
        &["source/parquet.rs", "source/parquet_delta.rs"],
    ),
    (
        "polars_parquet_format",
        &[
            "source/parquet_footer.rs",
            "source/parquet_cells.rs",
            "source/parquet_delta.rs",
        ],
    ),
    ("crc32fast", &["source/parquet_footer.rs"]),
    ("half", &["source/parquet_cells.rs"]),
    ("sled", &["lineage/sled.rs"]),
    ("ring", &["base/signing.rs"]),
    ("polars", &["source/", "frame/", "quality/", "kinds/"]),
    ("prost", &["model/onnx/"]),
    ("smartcore", &["prep/pca.rs"]),
    ("saphyr_parser", &["base/tree.rs"]),
    ("petgraph", &["graph/"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/"]),
    ("tokio", &["source/", "cli/interrupt.rs"]),
    (
        "rustix",
        &[
            "base/below.rs",
            "base/disk.rs",
            "base/processes.rs",
            "kinds/program.rs",
            "kinds/sandbox.rs",
        ],
    ),
    ("miette", &["reporter/problem.rs"]),
    ("indicatif", &["reporter/console.rs"]),
    ("glob", &["plan/files.rs"]),
    ("statrs", &["quality/", "prep/", "model/"]),
    ("ndarray_npy", &["frame/npy.rs"]),
];

/// The most lines of a file without its tests.
const STOP: usize = 650;

fn sources() -> Vec<(String, String)> {
    let root = package().join("src");
    let files = netsec::base::disk::walk(&root).unwrap();
    files
        .into_iter()
        .map(|(name, path)| (name, std::fs::read_to_string(path).unwrap()))
        .collect()
}

/// The code of a file above its inline tests.
fn above_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap()
}

fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Finds what stands after every `prefix::` in code, not in comments.
fn paths_after<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let word_end = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    code.flat_map(|line| {
        line.match_indices(prefix)
            .map(move |(at, _)| &line[at + prefix.len()..])
    })
    .map(|rest| rest.split(word_end).next().unwrap())
    .collect()
}

#[test]
fn every_import_points_down() {
    let table: BTreeMap<&str, &[&str]> = ROOMS.into_iter().collect();
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let from = room(&file);
        if matches!(from, "lib" | "main") {
            continue;
        }
        let Some(allowed) = table.get(from) else {
            wrong.push(format!("{file}: the room `{from}` is not in the table"));
            continue;
        };
        for to in paths_after(above_tests(&text), "crate::") {
            if to != from && !allowed.contains(&to) {
                wrong.push(format!("{file} imports `crate::{to}`"));
            }
        }
        if text.contains("use super::") && !text.contains("mod tests")
            || text.contains("super::super")
        {
            wrong.push(format!("{file} imports through `super`"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_crate_keeps_to_its_rooms() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        for (name, places) in CRATES {
            // A module of ours may have the name of the crate that it wraps.
            let shadowed = text.contains(&format!("use crate::lineage::{name};"));
            let uses = !shadowed
                && text
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .any(|line| {
                        line.match_indices(&format!("{name}::")).any(|(at, _)| {
                            let before = line[..at].chars().next_back();
                            !before
                                .is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
                        })
                    });
            if uses && !places.iter().any(|place| file.starts_with(place)) {
                wrong.push(format!("{file} uses `{name}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_planted_upward_import_is_seen() {
    assert_eq!(
        paths_after(
            "use crate::engine::drive;\n// use crate::cli;\nlet x = crate::app::y();",
            "crate::"
        ),
        ["engine", "app"]
    );
}

#[test]
fn every_file_opens_with_a_line_and_stays_in_its_budget() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        if !text.starts_with("//! ") {
            wrong.push(format!("{file} has no opening line"));
        }
        let lines = above_tests(&text).lines().count();
        if lines > STOP {
            wrong.push(format!("{file} has {lines} lines"));
        }
        if file.ends_with("mod.rs")
            && text.lines().any(|line| {
                !(line.is_empty() || line.starts_with("//!") || line.starts_with("pub mod "))
            })
        {
            wrong.push(format!(
                "{file} holds more than its text and its `mod` lines"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_test_file_is_forgotten() {
    let root = package().join("tests/it");
    let mut forgotten = Vec::new();
    for (name, path) in netsec::base::disk::walk(&root).unwrap() {
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name == "main.rs" || path.extension().is_none_or(|ending| ending != "rs") {
            continue;
        }
        let (module, parent) = match name.rsplit_once('/') {
            None => (stem, "main.rs".to_owned()),
            Some((folder, "mod.rs")) => (folder.to_owned(), "main.rs".to_owned()),
            Some((folder, _)) => (stem, format!("{folder}/mod.rs")),
        };
        let parent = std::fs::read_to_string(root.join(parent)).unwrap();
        if !parent.contains(&format!("mod {module};")) {
            forgotten.push(name);
        }
    }
    assert!(forgotten.is_empty(), "{forgotten:?}");
}
