//! Limits of a stage that have no say in its result: retries, time, what it takes of the machine.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::stage::param::{Param, ParamFallback, ParamType, Value, Values};

/// What may stand under a stage's `limits`.
pub const STAGE: &[Param] = &[
    Param {
        name: "retries",
        kind: ParamType::Int(0, 1000),
        default: ParamFallback::Yaml("0"),
        doc: "How often the stage is tried again when it fails; not for bad data, a refused model or a fault.",
    },
    Param {
        name: "backoff_seconds",
        kind: ParamType::Float(0.0, 86_400.0),
        default: ParamFallback::Yaml("1.0"),
        doc: "How long to wait before the first retry; each further wait is twice as long, an hour at most.",
    },
    Param {
        name: "timeout_seconds",
        kind: ParamType::Float(0.001, 1e9),
        default: ParamFallback::Absent,
        doc: "After this the stage is ended, with all it started, and has failed.",
    },
    Param {
        name: "cpus",
        kind: ParamType::Int(1, 4096),
        default: ParamFallback::Yaml("1"),
        doc: "How many of the run's `--jobs` it takes.",
    },
    Param {
        name: "memory_mb",
        kind: ParamType::Int(0, 1 << 40),
        default: ParamFallback::Yaml("0"),
        doc: "How much memory it takes, in MB, of what `limits.memory_mb` of the file allows. A program that takes more is ended.",
    },
    Param {
        name: "disk_mb",
        kind: ParamType::Int(0, 1 << 40),
        default: ParamFallback::Yaml("0"),
        doc: "How much a program may write to its folder and its output, in MB; one that writes more is ended. Without it, its \
              output is 1024 MB at most.",
    },
    Param {
        name: "processes",
        kind: ParamType::Int(0, 1 << 22),
        default: ParamFallback::Yaml("0"),
        doc: "How many processes a program may have at once, itself among them; one that has more is ended. Without it, 4096.",
    },
    Param {
        name: "slots",
        kind: ParamType::Map(&ParamType::Int(0, 1 << 30)),
        default: ParamFallback::Yaml("{}"),
        doc: "What it takes of each of the file's `limits.slots`, such as `gpu: 1`.",
    },
];

/// What may stand under a file's `limits`.
pub const FILE: &[Param] = &[
    Param {
        name: "memory_mb",
        kind: ParamType::Int(1, 1 << 40),
        default: ParamFallback::Absent,
        doc: "How much memory stages that run at once may take together, in MB.",
    },
    Param {
        name: "slots",
        kind: ParamType::Map(&ParamType::Int(1, 1 << 30)),
        default: ParamFallback::Yaml("{}"),
        doc: "How much there is of what stages take by name.",
    },
];

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
}

impl Limits {
    /// Makes the limits of checked values.
    pub fn of(values: &Values) -> Self {
        let seconds = |name: &str| {
            values
                .float(name)
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        };
        let some = |name: &str| {
            values
                .int(name)
                .and_then(|most| u64::try_from(most).ok())
                .filter(|most| *most > 0)
        };
        Self {
            retries: values
                .int("retries")
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or_default(),
            backoff: seconds("backoff_seconds").unwrap_or_default(),
            timeout: seconds("timeout_seconds"),
            cpus: values
                .int("cpus")
                .and_then(|count| usize::try_from(count).ok())
                .unwrap_or(1),
            takes: amounts(values),
            disk: some("disk_mb").map(|mb| mb.saturating_mul(MB)),
            processes: some("processes"),
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

/// Returns what is taken, or what there is, by name.
pub fn amounts(values: &Values) -> BTreeMap<String, u64> {
    let amount = |value: &Value| match value {
        Value::Int(number) => u64::try_from(*number).ok().filter(|number| *number > 0),
        _ => None,
    };
    let named = values.map("slots").into_iter().flat_map(|map| &map.0);
    let mut amounts: BTreeMap<String, u64> = named
        .filter_map(|(name, value)| Some((name.clone(), amount(value)?)))
        .collect();
    if let Some(memory) = values.0.get(MEMORY).and_then(amount) {
        amounts.insert(MEMORY.to_owned(), memory);
    }
    amounts
}

#[cfg(test)]
mod tests {
    use super::*;

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
