//! The list of what is linked, with licences: made from the lock file's packages. `NETSEC_UPDATE=1
//! cargo test notices` writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use crate::world::{package, same_file, skip};

const HEAD: &str = "\
# Third-party notices

What is linked into netsec on Linux, with the licences its authors give it under; each crate's own files hold the texts and
the names of their holders. Made by `NETSEC_UPDATE=1 cargo test notices`.

| crate | version | licence | from |
|---|---|---|---|
";

#[test]
fn notices_name_every_crate_that_is_linked() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--target",
            "x86_64-unknown-linux-gnu",
        ])
        .args(["--format", "{p}|{l}|{r}"])
        .current_dir(package())
        .output()
        .unwrap();
    if !output.status.success() {
        return skip("`cargo tree` does not answer here");
    }
    let mut crates: BTreeMap<String, String> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let mut parts = line.trim_end_matches(" (*)").split('|');
        let (Some(crate_name), Some(licence), Some(from)) =
            (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let mut words = crate_name.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else {
            continue;
        };
        if name != "netsec" {
            let from = from.trim_end_matches(" (*)");
            let row = format!(
                "| {name} | {} | {} | {from} |",
                version.trim_start_matches('v'),
                licence.replace('/', " OR ")
            );
            crates.insert(format!("{name} {version}"), row);
        }
    }
    assert!(crates.len() > 200, "{}", crates.len());
    let mut page = HEAD.to_owned();
    for row in crates.values() {
        let _ = writeln!(page, "{row}");
    }
    same_file(&package().join("docs/third-party.md"), &page);
}
