//! The docs are true: generated pages are current, YAML blocks check, links lead somewhere.

use crate::world::{World, package, same_file};

#[test]
fn the_pipeline_reference_is_current() {
    let world = World::new();
    same_file(
        &package().join("docs/pipeline.md"),
        &world.ok(&["schema", "--format", "markdown"]),
    );
}

fn pages() -> Vec<(String, String)> {
    let mut pages = vec![("README.md".to_owned(), package().join("README.md"))];
    for (name, path) in netsec::base::disk::walk(&package().join("docs")).unwrap() {
        pages.push((format!("docs/{name}"), path));
    }
    pages.retain(|(name, _)| name.ends_with(".md"));
    pages
        .into_iter()
        .map(|(name, path)| (name, std::fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn every_yaml_block_of_the_docs_checks() {
    let mut count = 0;
    for (name, text) in pages() {
        for block in text.split("```yaml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            count += 1;
            if block.starts_with("columns:") {
                let parsed = netsec::schema::parse::parse("block.yaml", block.as_bytes().to_vec());
                assert!(
                    parsed.is_ok(),
                    "{name}:\n{block}\n{}",
                    parsed
                        .err()
                        .map(|report| report.plain())
                        .unwrap_or_default()
                );
                continue;
            }
            let world = World::shipped();
            world.write("block.yaml", block);
            let output = world.netsec(&["graph", "block.yaml"]);
            assert_eq!(output.code, 0, "{name}:\n{block}\n{}", output.stderr);
        }
    }
    assert!(count >= 1, "{count} blocks");
}

#[test]
fn every_relative_link_leads_somewhere() {
    for (name, text) in pages() {
        let folder = package().join(&name).parent().unwrap().to_owned();
        for link in text
            .split("](")
            .skip(1)
            .map(|rest| rest.split([')', '#']).next().unwrap())
        {
            if !link.is_empty() && !link.contains("://") {
                assert!(folder.join(link).exists(), "{name} links to `{link}`");
            }
        }
    }
}

#[cfg(feature = "kinds")]
#[test]
fn the_reference_of_learners_is_current() {
    use std::fmt::Write as _;
    let mut text = "# Learners and their hyperparameters\n\nMade from the declarations of the program; see [models](models.md) for how they \
                    are used.\n"
        .to_owned();
    for learner in netsec::model::learners::LEARNERS {
        let _ = writeln!(text, "\n## {}\n\n{}\n", learner.name, learner.doc);
        text.push_str("| hyperparameter | what may stand there | default | what it does |\n|---|---|---|---|\n");
        for hyper in learner.hypers {
            let default = hyper.tell(hyper.default);
            let _ = writeln!(
                text,
                "| `{}` | {} | `{default}` | {} |",
                hyper.name,
                hyper.describe(),
                hyper.doc
            );
        }
    }
    same_file(&package().join("docs/learners.md"), &text);
}
