//! Limits of a stage that have no say in its result: retries, time, what it takes of the machine.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::stage::declare::params;
use crate::stage::param::{ParamType, Values};

params! {
    /// What may stand under a stage's `limits`.
    pub struct StageLimitParams {
        /// How often the stage is tried again when it fails; not for bad data, a refused model or a
        /// fault.
        retries: u32 = "0", in ParamType::Int(0, 1000);
        /// How long to wait before the first retry; each further wait is twice as long, an hour at
        /// most.
        backoff_seconds: f64 = "1.0", in ParamType::Float(0.0, 86_400.0);
        /// After this the stage is ended, with all it started, and has failed.
        timeout_seconds: Option<f64>, in ParamType::Float(0.001, 1e9);
        /// How many of the run's `--jobs` it takes.
        cpus: usize = "1", in ParamType::Int(1, 4096);
        /// How much memory it takes, in MB, of what `limits.memory_mb` of the file allows. A
        /// program that takes more is ended.
        memory_mb: u64 = "0", in ParamType::Int(0, 1 << 40);
        /// How much a program may write to its folder and its output, in MB; one that writes more
        /// is ended. Without it, its output is 1024 MB at most.
        disk_mb: u64 = "0", in ParamType::Int(0, 1 << 40);
        /// How many processes a program may have at once, itself among them; one that has more is
        /// ended. Without it, 4096.
        processes: u64 = "0", in ParamType::Int(0, 1 << 22);
        /// Whether other machines may carry it out where a run has some: by default what takes long and needs
        /// nothing of this one, and of commands only those that say so.
        remote: Option<bool>, in ParamType::Bool;
        /// What it takes of each of the file's `limits.slots`, such as `gpu: 1`.
        slots: BTreeMap<String, i64> = "{}", in ParamType::Map(&ParamType::Int(0, 1 << 30));
    }
}

params! {
    /// What may stand under a file's `limits`.
    pub struct FileLimitParams {
        /// How much memory stages that run at once may take together, in MB.
        memory_mb: Option<u64>, in ParamType::Int(1, 1 << 40);
        /// How much there is of what stages take by name.
        slots: BTreeMap<String, i64> = "{}", in ParamType::Map(&ParamType::Int(1, 1 << 30));
    }
}

/// The name memory goes by among what stages take.
pub const MEMORY: &str = "memory_mb";

/// A megabyte, in bytes.
const MB: u64 = 1 << 20;

/// The longest wait before a retry.
const LONGEST: Duration = Duration::from_secs(3600);

/// The limits of a stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// How often it is tried again.
    pub retries: u32,
    /// The wait before the first retry.
    pub backoff: Duration,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// How many jobs it counts for.
    pub cpus: usize,
    /// What it takes besides, by name.
    pub takes: BTreeMap<String, u64>,
    /// How much a program may write, in bytes.
    pub disk: Option<u64>,
    /// How many processes a program may have at once.
    pub processes: Option<u64>,
    /// Whether other machines may carry it out, if the user says so or no.
    pub remote: Option<bool>,
}

impl Limits {
    /// Makes the limits of checked values.
    pub fn of(values: &Values) -> Self {
        let params = StageLimitParams::of(values);
        let duration = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
        let some = |most: u64| (most > 0).then_some(most);
        Self {
            retries: params.retries,
            backoff: duration(params.backoff_seconds).unwrap_or_default(),
            timeout: params.timeout_seconds.and_then(duration),
            cpus: params.cpus.max(1),
            takes: amounts(&params.slots, params.memory_mb),
            disk: some(params.disk_mb).map(|mb| mb.saturating_mul(MB)),
            processes: some(params.processes),
            remote: params.remote,
        }
    }

    /// Returns how much memory a program may take, in bytes.
    pub fn memory(&self) -> Option<u64> {
        self.takes.get(MEMORY).map(|mb| mb.saturating_mul(MB))
    }

    /// Returns the wait before the next try, given how many have failed.
    pub fn wait(&self, failed: u32) -> Duration {
        self.backoff
            .saturating_mul(1 << failed.saturating_sub(1).min(20))
            .min(LONGEST)
    }
}

/// Returns what there is of what stages take, by name.
pub fn capacity(values: &Values) -> BTreeMap<String, u64> {
    let params = FileLimitParams::of(values);
    amounts(&params.slots, params.memory_mb.unwrap_or_default())
}

/// What is taken, or what there is, by name: nothing is as if it were not named.
fn amounts(slots: &BTreeMap<String, i64>, memory_mb: u64) -> BTreeMap<String, u64> {
    let mut amounts = BTreeMap::new();
    for (name, count) in slots {
        let count = u64::try_from(*count).unwrap_or_default();
        amounts.insert(name.clone(), count);
    }
    if memory_mb > 0 {
        amounts.insert(MEMORY.to_owned(), memory_mb);
    }
    amounts.retain(|_, amount| *amount > 0);
    amounts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_may_be_called_like_memory() {
        let slots = [(MEMORY.to_owned(), 4), ("gpu".to_owned(), 0)].into();
        assert_eq!(amounts(&slots, 0), [(MEMORY.to_owned(), 4)].into());
        assert_eq!(amounts(&slots, 9), [(MEMORY.to_owned(), 9)].into());
    }

    #[test]
    fn waits_double_up_to_an_hour() {
        let limits = Limits {
            backoff: Duration::from_secs(3),
            ..Limits::default()
        };
        let waits: Vec<u64> = [1, 2, 3, 30]
            .iter()
            .map(|failed| limits.wait(*failed).as_secs())
            .collect();
        assert_eq!(waits, [3, 6, 12, 3600]);
    }
}
