//! What it takes to train a model on a schedule and to put it in service on AWS: templates of
//! `docs/deploy/`, with the names of a user's own repository and account in them.
//!
//! How: a name stands in a template as `{{name}}`, without blanks, which tells it from an expression of
//! GitHub (`${{ … }}`) and a parameter of SSM (`{{ digest }}`). The rollout script is inserted into the
//! CloudFormation template whole, with the indentation of the line on which it is named. Every name is
//! checked first, by characters that mean nothing to a shell or to YAML: what is filled in needs no quotes.

/// A name that stands for a file in a template, instead of one of the names.
const SCRIPT: &str = "{{rollout_script}}";
const ROLLOUT: &str = include_str!("../../docs/deploy/rollout.sh");

/// S3 takes no longer names.
const LONGEST_BUCKET: usize = 63;

/// The names that are filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentNames {
    /// The repository on GitHub, as OWNER/NAME.
    pub repository: String,
    /// The branch whose jobs may train.
    pub branch: String,
    /// The account of AWS.
    pub account: String,
    /// The region of AWS.
    pub region: String,
    /// The model: the ref is `champion/NAME`.
    pub model: String,
    /// The pipeline that makes it, as a path of the repository.
    pub pipeline: String,
    /// The SHA-256 of the only program that the workflow runs, in hex.
    pub program: String,
}

/// A file to be written: where, below the root of the repository, and what it holds.
pub type DeploymentFile = (&'static str, String);

/// A name that cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag}: `{given}` is not {wanted}")]
pub struct DeploymentNameError {
    /// The flag by which it was given.
    pub flag: &'static str,
    /// What was given.
    pub given: String,
    /// What it has to be.
    pub wanted: &'static str,
}

/// Returns the files of a deployment.
///
/// # Errors
/// A name is not of the form that GitHub or AWS has for it.
pub fn deployment_files(
    names: &DeploymentNames,
) -> Result<[DeploymentFile; 4], DeploymentNameError> {
    check(names)?;
    let (owner, repository) = owner_and_name(&names.repository);
    let filled = |text: &str| {
        [
            ("{{owner}}", owner),
            ("{{repository}}", repository),
            ("{{branch}}", &names.branch),
            ("{{account}}", &names.account),
            ("{{region}}", &names.region),
            ("{{model}}", &names.model),
            ("{{pipeline}}", &names.pipeline),
            ("{{netsec_sha256}}", &names.program),
        ]
        .iter()
        .fold(text.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        })
    };
    let template = with_script(include_str!("../../docs/deploy/netsec.cfn.yaml"));
    let file = |path, text: &str| (path, filled(text));
    Ok([
        file(
            ".github/workflows/train-and-deploy.yml",
            include_str!("../../docs/deploy/train-and-deploy.yml"),
        ),
        file("docs/deploy/netsec.cfn.yaml", &template),
        file("docs/deploy/rollout.sh", ROLLOUT),
        file(
            "docs/deploy/send.sh",
            include_str!("../../docs/deploy/send.sh"),
        ),
    ])
}

/// Returns the template with the script in it.
fn with_script(template: &str) -> String {
    let mut text = String::new();
    for line in template.lines() {
        match line.trim_start() == SCRIPT {
            true => {
                let indentation = &line[..line.len() - SCRIPT.len()];
                for line in ROLLOUT.lines() {
                    text.push_str(format!("{indentation}{line}").trim_end());
                    text.push('\n');
                }
            }
            false => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

fn owner_and_name(repository: &str) -> (&str, &str) {
    repository.split_once('/').unwrap_or((repository, ""))
}

fn check(names: &DeploymentNames) -> Result<(), DeploymentNameError> {
    let (owner, name) = owner_and_name(&names.repository);
    let is_repository = is_of(owner, "-", 39) && is_of(name, "._-", 100);
    let bucket = format!("netsec-{}-{}-{}", names.model, names.account, names.region);
    let is_digest = names.program.len() == 64 && names.program.bytes().all(is_hex);
    let checks = [
        (
            is_repository,
            "--repository",
            &names.repository,
            "a repository of GitHub, as OWNER/NAME",
        ),
        (
            is_path(&names.branch),
            "--branch",
            &names.branch,
            "a branch whose name has only letters, digits, `.`, `_`, `-` and `/`",
        ),
        (
            names.account.len() == 12 && names.account.bytes().all(|byte| byte.is_ascii_digit()),
            "--account",
            &names.account,
            "an account of AWS: it has 12 digits",
        ),
        (
            is_region(&names.region),
            "--region",
            &names.region,
            "a region of AWS such as eu-central-1; those of China, of governments and of the European Sovereign Cloud have other names for everything, and are not covered",
        ),
        (
            is_model(&names.model) && bucket.len() <= LONGEST_BUCKET,
            "--model",
            &names.model,
            "a name for a repository and a bucket: up to 28 small letters and digits, with single `-` between them",
        ),
        (
            is_path(&names.pipeline),
            "--pipeline",
            &names.pipeline,
            "a path below this folder that has only letters, digits, `.`, `_`, `-` and `/`",
        ),
        (is_digest, "--program", &names.program, "a SHA-256 in hex"),
    ];
    match checks.iter().find(|(is_right, ..)| !is_right) {
        None => Ok(()),
        Some((_, flag, given, wanted)) => Err(DeploymentNameError {
            flag,
            given: (*given).clone(),
            wanted,
        }),
    }
}

fn is_of(text: &str, more: &str, longest: usize) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    !text.is_empty()
        && text.len() <= longest
        && !text.starts_with(['-', '.'])
        && text.chars().all(is_plain)
}

fn is_path(text: &str) -> bool {
    text.split('/').all(|part| is_of(part, "._-", 200))
}

fn is_region(text: &str) -> bool {
    let elsewhere = ["cn-", "us-gov-", "us-iso", "eu-isoe-", "eusc-"];
    let is_elsewhere = elsewhere.iter().any(|start| text.starts_with(start));
    let parts: Vec<&str> = text.split('-').collect();
    let small =
        |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    match parts.as_slice() {
        [words @ .., number] if words.len() >= 2 => {
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            !is_elsewhere && words.iter().all(small) && is_number
        }
        _ => false,
    }
}

fn is_model(text: &str) -> bool {
    let part = |part: &str| {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        !part.is_empty() && part.bytes().all(is_plain)
    };
    text.len() <= 28 && text.split('-').all(part)
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> DeploymentNames {
        DeploymentNames {
            repository: "acme/detector".to_owned(),
            branch: "main".to_owned(),
            account: "123456789012".to_owned(),
            region: "eu-central-1".to_owned(),
            model: "phishing".to_owned(),
            pipeline: "pipelines/phishing.yaml".to_owned(),
            program: "0".repeat(64),
        }
    }

    #[test]
    fn every_name_is_filled_in_and_what_belongs_to_others_stays() {
        let files = deployment_files(&names()).unwrap();
        for (path, text) in &files {
            let left = text.replace("${{", "").replace("{{ digest }}", "");
            assert!(!left.contains("{{"), "{path}");
            assert!(text.ends_with('\n'), "{path}");
        }
        let [(_, workflow), (_, template), (_, script), _] = files;
        assert!(workflow.contains("${{ vars.NETSEC_INSTANCE }}"));
        assert!(template.contains("digest='{{ digest }}'"));
        let indented = |line: &str| format!("{:18}{line}", "").trim_end().to_owned();
        let script: Vec<String> = script.lines().map(indented).collect();
        assert!(template.contains(&script.join("\n")));
    }

    #[test]
    fn what_a_shell_or_yaml_would_read_is_no_name() {
        type Place = fn(&mut DeploymentNames) -> &mut String;
        let odd = [
            "",
            "-x",
            "a b",
            "a'b",
            "a\nb",
            "a$(id)",
            "a;b",
            "a:b",
            "{{model}}",
            "é",
        ];
        let places: [(&str, Place, &[&str]); 7] = [
            (
                "--repository",
                |n| &mut n.repository,
                &["acme", "acme/", "/x", "a/b/c", "a_b/c"],
            ),
            ("--branch", |n| &mut n.branch, &["a//b", "a/../b", "/a"]),
            (
                "--account",
                |n| &mut n.account,
                &["12345678901", "1234567890123", "12345678901x"],
            ),
            (
                "--region",
                |n| &mut n.region,
                &[
                    "eu",
                    "eu-1",
                    "eu-central",
                    "cn-north-1",
                    "us-gov-west-1",
                    "EU-central-1",
                ],
            ),
            (
                "--model",
                |n| &mut n.model,
                &[
                    "Phishing",
                    "a--b",
                    "a-",
                    "a_b",
                    "abcdefghijklmnopqrstuvwxyz012",
                ],
            ),
            (
                "--pipeline",
                |n| &mut n.pipeline,
                &["/etc/passwd", "../x.yaml", "a//b"],
            ),
            ("--program", |n| &mut n.program, &["0"]),
        ];
        for (flag, place, more) in places {
            for given in odd.iter().chain(more) {
                let mut names = names();
                *place(&mut names) = (*given).to_owned();
                let error = deployment_files(&names).unwrap_err();
                assert_eq!((error.flag, error.given.as_str()), (flag, *given));
            }
        }
        let mut longest = names();
        longest.model = "a".repeat(28);
        longest.region = "ap-southeast-1".to_owned();
        assert!(deployment_files(&longest).is_ok());
    }
}
