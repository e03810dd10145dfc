//! The house is a test: who may import whom, which room may use which crate, one opening line a
//! file, and no forgotten test file.

use std::collections::BTreeMap;

use crate::world::package;

/// Who may import whom. A change here is a change to `docs/ARCHITECTURE.md`.
const ROOMS: [(&str, &[&str]); 39] = [
    ("base", &[]),
    ("event", &["base"]),
    ("render", &[]),
    ("stage", &["base"]),
    ("store", &["base"]),
    ("lineage", &["base"]),
    ("pipeline", &["base", "stage"]),
    ("graph", &["base", "pipeline"]),
    (
        "plan",
        &["base", "stage", "pipeline", "graph", "store", "lineage"],
    ),
    ("far", &["base", "store", "lineage"]),
    (
        "engine",
        &[
            "base", "event", "stage", "pipeline", "graph", "plan", "store", "lineage", "far",
        ],
    ),
    ("stats", &[]),
    ("trees", &["stats"]),
    ("novelty", &["stats", "trees"]),
    ("frame", &["base"]),
    ("rolling", &["frame"]),
    ("source", &["base", "frame"]),
    ("schema", &["base", "frame"]),
    ("profile", &["base", "stats", "frame"]),
    ("drift", &["base", "stats", "frame", "profile"]),
    ("prep", &["base", "stats", "frame", "rolling", "profile"]),
    (
        "model",
        &["base", "frame", "stats", "trees", "novelty", "prep"],
    ),
    (
        "tuning",
        &[
            "base", "stage", "stats", "frame", "profile", "prep", "model",
        ],
    ),
    (
        "gate",
        &["base", "stats", "frame", "profile", "prep", "model"],
    ),
    (
        "scoring",
        &[
            "base", "stats", "frame", "rolling", "source", "profile", "drift", "prep", "model",
        ],
    ),
    (
        "export",
        &["base", "frame", "trees", "novelty", "prep", "model"],
    ),
    ("attest", &["base"]),
    ("image", &["base"]),
    ("scaffold", &["base", "frame", "source", "profile"]),
    (
        "views",
        &[
            "base", "render", "stats", "schema", "profile", "drift", "model", "tuning", "gate",
        ],
    ),
    (
        "kinds",
        &[
            "base", "stage", "frame", "rolling", "source", "schema", "profile", "drift", "prep",
            "model", "tuning", "gate", "image", "views",
        ],
    ),
    (
        "app",
        &[
            "base", "event", "stage", "pipeline", "graph", "plan", "engine", "store", "lineage",
            "far",
        ],
    ),
    ("embed", &["base", "engine", "app", "scoring", "kinds"]),
    ("reporter", &["base", "event", "plan", "lineage", "render"]),
    ("bucket", &["base", "store", "far"]),
    ("reapi", &["base", "store", "far"]),
    (
        "sync",
        &["base", "store", "lineage", "far", "bucket", "app"],
    ),
    (
        "serve",
        &[
            "base", "frame", "stats", "source", "profile", "drift", "prep", "model", "scoring",
            "views",
        ],
    ),
    (
        "cli",
        &[
            "base", "event", "render", "stage", "lineage", "pipeline", "plan", "frame", "source",
            "schema", "profile", "drift", "model", "tuning", "gate", "scoring", "export", "attest",
            "image", "scaffold", "views", "kinds", "app", "reporter", "far", "bucket", "reapi",
            "serve", "sync", "stats",
        ],
    ),
];

/// Which places may use a crate; a crate that is not named may be used anywhere.
const CRATES: [(&str, &[&str]); 52] = [
    ("bson", &["source/"]),
    (
        "zstd",
        &[
            "store/packed.rs",
            "source/unpack.rs",
            "lineage/journal.rs",
            "lineage/record_pack.rs",
            "scoring/prediction_log.rs",
        ],
    ),
    ("fastcdc", &["store/chunked.rs"]),
    ("mongodb", &["source/"]),
    ("futures_util", &["source/", "bucket/", "reapi/", "serve/"]),
    ("csv", &["source/csv.rs", "source/files.rs"]),
    ("flate2", &["source/unpack.rs", "image/layer.rs"]),
    (
        "regex",
        &[
            "schema/types.rs",
            "schema/reader.rs",
            "schema/rules.rs",
            "prep/columns.rs",
        ],
    ),
    ("chrono", &["frame/table.rs"]),
    (
        "rand_chacha",
        &[
            "source/synthetic.rs",
            "stats/draws.rs",
            "trees/",
            "drift/domain_classifier.rs",
            "model/",
            "tuning/search.rs",
            "gate/paired.rs",
            "scoring/attribution.rs",
        ],
    ),
    ("landlock", &["kinds/command/sandbox.rs"]),
    ("seccompiler", &["kinds/command/sandbox.rs"]),
    ("libc", &["kinds/command/sandbox.rs"]),
    (
        "polars_parquet",
        &["source/parquet.rs", "source/parquet_delta.rs"],
    ),
    (
        "polars_parquet_format",
        &[
            "source/parquet_bytes.rs",
            "source/parquet_footer.rs",
            "source/parquet_parts.rs",
            "source/parquet_cells.rs",
            "source/parquet_delta.rs",
        ],
    ),
    ("crc32fast", &["frame/npz.rs", "source/parquet_footer.rs"]),
    ("half", &["source/parquet_cells.rs"]),
    ("sled", &["lineage/sled.rs"]),
    ("ring", &["base/signing.rs"]),
    ("ureq", &["cli/collector.rs", "image/registry.rs"]),
    ("axum", &["serve/"]),
    ("hyper_util", &["serve/connections.rs"]),
    ("tokio_rustls", &["serve/"]),
    ("foldhash", &["prep/columns.rs", "scoring/records.rs"]),
    ("tar", &["image/layer.rs"]),
    ("object_store", &["bucket/"]),
    ("url", &["bucket/address.rs"]),
    ("socket2", &["serve/connections.rs"]),
    ("utoipa", &["serve/"]),
    ("prometheus_client", &["serve/metrics.rs", "serve/guard.rs"]),
    ("rustls", &["bucket/objects.rs", "serve/tls.rs"]),
    ("subtle", &["serve/api_keys.rs"]),
    ("arc_swap", &["serve/"]),
    ("p256", &["attest/keys.rs"]),
    (
        "sha2",
        &["attest/keys.rs", "image/layer.rs", "reapi/link.rs"],
    ),
    ("base64", &["attest/", "image/registry.rs"]),
    ("polars", &["source/", "frame/", "scoring/"]),
    ("prost", &["export/onnx/", "reapi/"]),
    ("tonic", &["reapi/"]),
    ("bazel_remote_apis", &["reapi/"]),
    ("smartcore", &["prep/pca.rs", "novelty/directions.rs"]),
    ("saphyr_parser", &["base/syntax.rs"]),
    ("petgraph", &["graph/"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/"]),
    (
        "tokio",
        &["source/", "bucket/", "reapi/", "serve/", "cli/interrupt.rs"],
    ),
    (
        "rustix",
        &[
            "base/directory.rs",
            "base/disk.rs",
            "base/processes.rs",
            "kinds/command/program.rs",
            "kinds/command/sandbox.rs",
        ],
    ),
    ("miette", &["reporter/problem.rs"]),
    ("indicatif", &["reporter/console.rs"]),
    ("glob", &["plan/files.rs"]),
    ("statrs", &["stats/", "prep/quantile.rs", "gate/paired.rs"]),
    ("ndarray_npy", &["frame/npy.rs", "frame/npz.rs"]),
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

/// Returns the paths that begin here, braces taken apart: of `a::{b, c::d}` both `a::b` and
/// `a::c::d`.
fn paths(text: &str) -> Vec<String> {
    let text = text.trim_start();
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let Some(rest) = rest.strip_prefix("::") else {
        return vec![word.to_owned()];
    };
    let below = match rest.strip_prefix('{') {
        None => paths(rest),
        Some(list) => items(list).into_iter().flat_map(paths).collect(),
    };
    below
        .into_iter()
        .map(|path| format!("{word}::{path}"))
        .collect()
}

/// Returns the items of a list that begins here, up to its closing brace.
fn items(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                items.push(&list[start..at]);
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

/// Returns the files that import each other in a circle, a list each.
fn circles(files: &[(String, String)]) -> Vec<Vec<String>> {
    let module = |file: &str| file.trim_end_matches(".rs").replace('/', "::");
    let modules: Vec<String> = files.iter().map(|(file, _)| module(file)).collect();
    let find = |path: &str| {
        let mut path = path;
        loop {
            if let Some(at) = modules.iter().position(|module| module == path) {
                return Some(at);
            }
            path = path.rsplit_once("::")?.0;
        }
    };
    let mut imports = petgraph::graph::DiGraph::<usize, ()>::new();
    let nodes: Vec<_> = (0..files.len()).map(|at| imports.add_node(at)).collect();
    for ((_, text), node) in files.iter().zip(&nodes) {
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let code: Vec<&str> = above_tests(text).lines().filter(is_code).collect();
        let code = code.join("\n");
        for (at, prefix) in code.match_indices("crate::") {
            for path in paths(&code[at + prefix.len()..]) {
                if let Some(to) = find(&path).filter(|to| nodes[*to] != *node) {
                    imports.add_edge(*node, nodes[to], ());
                }
            }
        }
    }
    let mut circles = petgraph::algo::tarjan_scc(&imports);
    circles.retain(|circle| circle.len() > 1);
    let names = |circle: Vec<petgraph::graph::NodeIndex>| {
        let mut names: Vec<String> = circle
            .into_iter()
            .map(|node| files[imports[node]].0.clone())
            .collect();
        names.sort();
        names
    };
    circles.into_iter().map(names).collect()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    assert_eq!(circles(&sources()), Vec::<Vec<String>>::new());
}

#[test]
fn a_planted_circle_is_seen() {
    let files = [
        ("a/b.rs", "use crate::c::{d::{E, F}, x};\n"),
        ("c/d.rs", "use crate::g::H;\n"),
        ("g.rs", "// why\nfn f() -> crate::a::b::B {}\n"),
        ("c/x.rs", "fn x() {}\n#[cfg(test)]\nuse crate::a::b::B;\n"),
    ];
    let files = files.map(|(file, text)| (file.to_owned(), text.to_owned()));
    assert_eq!(circles(&files), [["a/b.rs", "c/d.rs", "g.rs"]]);
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
