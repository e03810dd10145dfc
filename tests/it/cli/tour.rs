//! The tours of the README and of the page on promoting models, command by command.

use std::path::PathBuf;
use std::process::Command;

use crate::world::{World, package, redact, skip};

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
    let steps = tour(page);
    assert!(steps.len() >= 6, "the tour has {} steps", steps.len());
    let world = World::shipped();
    let _server = StartedServer(world.root().join("serve.pid"));
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_netsec"));
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        binary.parent().unwrap().display()
    );
    for (command, expected) in steps {
        let output = Command::new("sh")
            .args(["-c", &format!("{command} 2>&1")])
            .current_dir(world.root())
            .env("PATH", &path)
            .output()
            .unwrap();
        let found = String::from_utf8(output.stdout).unwrap();
        let (mut found_lines, mut expected) =
            (comparable(&found, &world), comparable(&expected, &world));
        if command.starts_with("netsec run") {
            // Of stages that run at once, one or the other ends first.
            (found_lines, expected) = (sorted(&found_lines), sorted(&expected));
        }
        assert_eq!(found_lines, expected, "$ {command}\n{found}");
    }
}
