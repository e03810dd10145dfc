//! A workspace in a temporary folder: files written, commands run, output with what varies marked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use netsec::base::clock::SystemClock;
use netsec::store::digest_cache::DigestCache;
use netsec::store::local::LocalStore;

pub(crate) struct World(tempfile::TempDir);

impl World {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    #[cfg(feature = "kinds")]
    pub(crate) fn below(folder: &str) -> Self {
        Self(tempfile::tempdir_in(folder).unwrap())
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    #[expect(clippy::disallowed_methods, reason = "a test writes its files plainly")]
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Replaces one byte of a file in place.
    pub(crate) fn flip(&self, path: &Path) {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .unwrap();
        self.write(
            path.strip_prefix(self.root()).unwrap().to_str().unwrap(),
            bytes,
        );
    }

    /// Checks that these bytes stand in no file of the cache.
    pub(crate) fn assert_not_in_cache(&self, secret: &[u8]) {
        let files = netsec::base::disk::walk(&self.root().join("cache")).unwrap();
        assert!(!files.is_empty(), "there is a cache to search");
        for (_, path) in files {
            let bytes = std::fs::read(&path).unwrap();
            assert!(
                !bytes.windows(secret.len()).any(|window| window == secret),
                "{}",
                path.display()
            );
        }
    }

    /// Every blob in the cache.
    pub(crate) fn blobs(&self) -> Vec<PathBuf> {
        netsec::base::disk::walk(&self.root().join("cache/blobs"))
            .unwrap()
            .into_iter()
            .map(|(_, path)| path)
            .collect()
    }
}

/// Bytes without any order, the same for the same seed.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut noise);
    noise
}

/// The store of a workspace.
pub(crate) fn open_store(world: &World) -> LocalStore {
    let known = DigestCache::load(&world.root().join("cache/known"), Box::new(SystemClock));
    LocalStore::open(&world.root().join("cache"), Arc::new(known))
}

/// The folder of the package.
pub(crate) fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A table kept outside of the project; where it is missing, the test says so and is done.
#[cfg(feature = "kinds")]
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let path = package().join("../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("the table `{name}` is not here"));
    None
}

#[cfg(feature = "kinds")]
#[expect(
    clippy::print_stderr,
    reason = "a skipped test says that it was skipped"
)]
pub(crate) fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// Tells a figure that a test measured and does not judge.
#[cfg(feature = "kinds")]
#[expect(clippy::print_stderr, reason = "a figure is told")]
pub(crate) fn tell(figure: &str) {
    eprintln!("measured: {figure}");
}

/// Whether files are to be written instead of compared.
#[cfg(feature = "kinds")]
#[expect(
    clippy::disallowed_methods,
    reason = "a test harness reads its own switch"
)]
pub(crate) fn is_updating() -> bool {
    std::env::var("NETSEC_UPDATE").is_ok()
}

/// Compares a generated file with what it should be; `NETSEC_UPDATE=1` writes it instead.
#[cfg(feature = "kinds")]
#[expect(
    clippy::disallowed_methods,
    reason = "a test harness writes its own files"
)]
pub(crate) fn same_file(path: &Path, expected: &str) {
    if is_updating() {
        std::fs::write(path, expected).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == expected,
        "{} is not current: NETSEC_UPDATE=1 writes it; expected:\n{expected}",
        path.display()
    );
}

#[cfg(feature = "kinds")]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

#[cfg(feature = "kinds")]
impl World {
    /// A workspace with the shipped pipelines and schemas.
    pub(crate) fn shipped() -> Self {
        let world = Self::new();
        for folder in ["pipelines", "schemas"] {
            for (name, path) in netsec::base::disk::walk(&package().join(folder)).unwrap() {
                world.write(&format!("{folder}/{name}"), std::fs::read(path).unwrap());
            }
        }
        world
    }

    pub(crate) fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_netsec"));
        command
            .args(args)
            .current_dir(self.root())
            .env_remove("RAYON_NUM_THREADS")
            .env("COLUMNS", "100");
        command
    }

    pub(crate) fn netsec(&self, args: &[&str]) -> Output {
        let output = self.command(args).output().unwrap();
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a command that must end well, and returns what it wrote as data.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.netsec(args);
        assert_eq!(
            output.code, 0,
            "netsec {args:?}:\n{}{}",
            output.stdout, output.stderr
        );
        output.stdout
    }

    /// Runs a pipeline and returns its summary.
    pub(crate) fn run(&self, args: &[&str]) -> serde_json::Value {
        let mut all = vec!["run"];
        all.extend(args);
        all.push("--json");
        let output = self.netsec(&all);
        serde_json::from_str(&output.stdout)
            .unwrap_or_else(|_| panic!("netsec {all:?}: {}", output.stderr))
    }
}

/// The outcome of every stage of a summary.
#[cfg(feature = "kinds")]
pub(crate) fn outcomes(summary: &serde_json::Value) -> Vec<String> {
    let stages = summary["stages"].as_array().unwrap();
    stages
        .iter()
        .map(|stage| {
            format!(
                "{} {}",
                stage["id"].as_str().unwrap(),
                stage["outcome"].as_str().unwrap()
            )
        })
        .collect()
}

/// The digests of all outputs of a summary.
#[cfg(feature = "kinds")]
pub(crate) fn digests(summary: &serde_json::Value) -> Vec<String> {
    let stages = summary["stages"].as_array().unwrap();
    let outputs = stages
        .iter()
        .flat_map(|stage| stage["outputs"].as_array().unwrap());
    outputs
        .map(|output| format!("{} {}", output["port"], output["digest"]))
        .collect()
}

/// Marks what differs from run to run: run names, digests, times, the temporary folder.
#[cfg(feature = "kinds")]
pub(crate) fn redact(text: &str, root: &Path) -> String {
    let text = text.replace(root.to_str().unwrap(), "ROOT");
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':');
    let mut redacted = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\0']) {
        if is_word(c) {
            word.push(c);
            continue;
        }
        redacted.push_str(&mark(&word));
        word.clear();
        redacted.push(c);
    }
    redacted.pop();
    redacted
}

#[cfg(feature = "kinds")]
fn mark(word: &str) -> String {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = word.split('-').collect();
    let is_run = matches!(parts.as_slice(), [a, b, c] if digits(a) && digits(b) && digits(c) && a.len() == 8 && b.len() == 6);
    let is_digest = matches!(word.len(), 12 | 64)
        && word
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let is_instant = matches!(word.len(), 20 | 24) && word.ends_with('Z') && word.contains('T');
    let is_seconds = word
        .split_once('.')
        .is_some_and(|(a, b)| digits(a) && digits(b) && b.len() == 2);
    match () {
        () if is_run => "RUN".to_owned(),
        () if is_digest => "DIGEST".to_owned(),
        () if is_instant => "INSTANT".to_owned(),
        () if is_seconds => "TIME".to_owned(),
        () => word.to_owned(),
    }
}
