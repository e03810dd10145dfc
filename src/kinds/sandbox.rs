//! What a program may read and write: its folder, the system's own folders, and nothing else (Landlock, Linux 5.13).

use std::path::Path;
use std::sync::OnceLock;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError,
};

/// Folders of the system: programs, libraries, settings. What a stage's result depends on besides its key is here.
const SYSTEM: [&str; 14] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/nix", "/snap", "/proc", "/sys", "/run",
    "/var/lib",
];
/// What may be written besides the stage's folder.
const DEVICES: &str = "/dev";

/// The system's folders that are there, opened once.
static SYSTEM_FOLDERS: OnceLock<Vec<PathFd>> = OnceLock::new();

fn system_folders() -> Vec<PathFd> {
    SYSTEM.iter().filter_map(|path| PathFd::new(path).ok()).collect()
}

/// Confines the calling thread, and every program it starts, for good. Folders that are not there are left out; where
/// the system cannot confine, nothing happens.
///
/// # Errors
/// The system refused.
pub fn confine(folder: &Path, reads: &[String]) -> Result<(), RulesetError> {
    let abi = ABI::V3;
    let (all, read) = (AccessFs::from_all(abi), AccessFs::from_read(abi));
    let mut rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?.create()?;
    for folder in SYSTEM_FOLDERS.get_or_init(system_folders) {
        rules = rules.add_rule(PathBeneath::new(folder, read))?;
    }
    let readable = reads.iter().map(|path| (Path::new(path), read));
    for (path, access) in readable.chain([(Path::new(DEVICES), all), (folder, all)]) {
        if let Ok(opened) = PathFd::new(path) {
            // Of a file only what concerns files can be allowed.
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(abi) };
            rules = rules.add_rule(PathBeneath::new(opened, access))?;
        }
    }
    rules.restrict_self().map(|_| ())
}
