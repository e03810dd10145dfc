//! The tours of the README and of the pages on detectors, on promoting and on serving models,
//! command by command. `NETSEC_UPDATE=1` writes what the commands print now into the pages.

use std::path::PathBuf;
use std::process::Command;

use crate::world::{World, is_updating, package, redact, same_file, shared, skip};

/// The commands of every block marked `console` in a page, each with what stands below it.
fn tour(page: &str) -> Vec<(String, String)> {
    let readme = std::fs::read_to_string(package().join(page)).unwrap();
    let mut steps: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            line if inside && line.starts_with("$ ") => {
                steps.push((line[2..].to_owned(), String::new()))
            }
            line if inside => {
                let step = steps.last_mut().expect("a block begins with a command");
                step.1.push_str(line);
                step.1.push('\n');
            }
            _ => {}
        }
    }
    steps
}

/// Text and whole numbers as they are; what varies between machines and moments, marked.
fn comparable(text: &str, world: &World) -> String {
    let text = redact(text, world.root());
    let word = |word: &str| match is_date(word) {
        true => "DATE".to_owned(),
        false => word.to_owned(),
    };
    let line = |line: &str| {
        line.split_whitespace()
            .map(word)
            .collect::<Vec<_>>()
            .join(" ")
    };
    text.lines()
        .map(line)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Whether a word is a day, such as 2026-02-01.
fn is_date(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let mut bytes = parts.iter().flat_map(|part| part.bytes());
    lengths == [4, 2, 2] && bytes.all(|byte| byte.is_ascii_digit())
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn the_tour_of_the_readme_is_true() {
    walk("README.md");
}

#[test]
fn the_walk_through_a_promotion_is_true() {
    walk("docs/promote.md");
}

#[test]
fn the_walk_through_serving_is_true() {
    match Command::new("curl").arg("--version").output() {
        Ok(_) => walk("docs/serve.md"),
        Err(_) => skip("there is no curl here"),
    }
}

#[test]
fn the_walk_through_detectors_is_true() {
    let tables = ["nsl_kdd_train.csv.gz", "nsl_kdd_test.csv.gz"].map(shared);
    let [Some(train), Some(test)] = tables else {
        return;
    };
    let world = World::shipped();
    let data = world.root().join("data");
    std::fs::create_dir_all(&data).unwrap();
    for table in [train, test] {
        std::os::unix::fs::symlink(&table, data.join(table.file_name().unwrap())).unwrap();
    }
    walk_in(&world, "docs/detectors.md");
}

/// Ends a server that a page started, however far the page came.
struct StartedServer(PathBuf);

impl Drop for StartedServer {
    fn drop(&mut self) {
        if let Ok(id) = std::fs::read_to_string(&self.0) {
            let _ = Command::new("kill").arg(id.trim()).output();
        }
    }
}

fn walk(page: &str) {
    walk_in(&World::shipped(), page);
}

fn walk_in(world: &World, page: &str) {
    let steps = tour(page);
    assert!(steps.len() >= 4, "the tour has {} steps", steps.len());
    let _server = StartedServer(world.root().join("serve.pid"));
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_netsec"));
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        binary.parent().unwrap().display()
    );
    let mut printed = Vec::new();
    for (command, expected) in steps {
        let output = Command::new("sh")
            .args(["-c", &format!("{command} 2>&1")])
            .current_dir(world.root())
            .env("PATH", &path)
            .output()
            .unwrap();
        let found = String::from_utf8(output.stdout).unwrap();
        let (mut found_lines, mut expected) =
            (comparable(&found, world), comparable(&expected, world));
        if command.starts_with("netsec run") {
            // Of stages that run at once, one or the other ends first.
            (found_lines, expected) = (sorted(&found_lines), sorted(&expected));
        }
        let is_current = found_lines == expected;
        if !is_updating() {
            assert_eq!(found_lines, expected, "$ {command}\n{found}");
        }
        printed.push((!is_current).then_some(found));
    }
    update(page, &printed);
}

/// Writes what commands printed into a page, where it is not current.
fn update(page: &str, printed: &[Option<String>]) {
    if printed.iter().all(Option::is_none) {
        return;
    }
    let path = package().join(page);
    let before = std::fs::read_to_string(&path).unwrap();
    let (mut after, mut step) = (String::new(), None);
    let mut inside = false;
    for line in before.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ => {}
        }
        let is_command = inside && line.starts_with("$ ");
        let at = match (is_command, step) {
            (true, None) => 0,
            (true, Some(before)) => before + 1,
            (false, step) => step.unwrap_or(0),
        };
        let news = step
            .or(is_command.then_some(0))
            .and_then(|_| printed[at].as_ref());
        let is_output = inside && !is_command && line != "```console";
        if !(is_output && news.is_some()) {
            after.push_str(line);
            after.push('\n');
        }
        if is_command {
            step = Some(at);
            for line in news.map_or("", String::as_str).lines() {
                after.push_str(line);
                after.push('\n');
            }
        }
    }
    same_file(&path, &after);
}
