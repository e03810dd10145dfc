//! Processes that descend from this one: found, and ended.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, kill_process, set_child_subreaper, wait, waitpid,
};

use crate::base::disk;

/// How long to wait between two looks at what is being ended.
const PAUSE: Duration = Duration::from_millis(2);
/// How often it is looked at most: what the system cannot end must not be waited for without end.
const MOST: usize = 2500;

/// What is known of a process.
#[derive(Clone, Copy, Debug)]
struct ObservedProcess {
    parent: i32,
    is_over: bool,
}

/// Makes this process the parent of what its descendants leave behind.
///
/// # Errors
/// What the system said.
pub fn adopt_orphans() -> io::Result<()> {
    // Any number but none.
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Makes it impossible for others of the same user to read this process's memory and environment.
pub fn hide_memory() {
    // A system that cannot do this has other means, or none.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Sees to it that what this process was given open by its caller is closed in what it starts.
pub fn keep_descriptors() {
    for path in disk::list(Path::new("/proc/self/fd")).unwrap_or_default() {
        let number = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.parse::<i32>().ok());
        let Some(number) = number.filter(|number| *number > 2) else {
            continue;
        };
        #[expect(
            unsafe_code,
            reason = "there is no other name for a descriptor that somebody else opened"
        )]
        // SAFETY: it is open, or the call says that it is not; only its flag is set.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = fcntl_setfd(descriptor, FdFlags::CLOEXEC);
    }
}

/// Returns whether this process is root's.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns whether this process descends from another.
pub fn is_below(ancestor: u32) -> bool {
    let all = all();
    let mut here = getppid().map_or(0, Pid::as_raw_pid);
    // No chain of parents is longer than there are processes.
    for _ in 0..=all.len() {
        if here > 0 && u32::try_from(here) == Ok(ancestor) {
            return true;
        }
        here = all.get(&here).map_or(0, |seen| seen.parent);
    }
    false
}

/// All processes; nothing if they cannot be listed, which is not the same as that there are none.
fn all() -> BTreeMap<i32, ObservedProcess> {
    let seen = |folder: &std::path::PathBuf| {
        let pid = folder.file_name()?.to_str()?.parse().ok()?;
        // `pid (name) state parent …`; the name may hold anything.
        let stat = disk::read(&folder.join("stat")).ok()?;
        let rest = &stat[stat.iter().rposition(|byte| *byte == b')')? + 1..];
        let mut words = std::str::from_utf8(rest).ok()?.split_ascii_whitespace();
        let (state, parent) = (words.next()?, words.next()?);
        Some((
            pid,
            ObservedProcess {
                parent: parent.parse().ok()?,
                is_over: matches!(state, "Z" | "X"),
            },
        ))
    };
    disk::list(Path::new("/proc"))
        .unwrap_or_default()
        .iter()
        .filter_map(seen)
        .collect()
}

/// The processes that descend from this one, in no order; with those that are over and not waited
/// for.
fn below(all: &BTreeMap<i32, ObservedProcess>) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (pid, seen) in all {
        children.entry(seen.parent).or_default().push(*pid);
    }
    let (mut found, mut open) = (Vec::new(), vec![getpid().as_raw_pid()]);
    while let Some(parent) = open.pop() {
        let more = children.remove(&parent).unwrap_or_default();
        found.extend(&more);
        open.extend(more);
    }
    found
}

/// Returns the descendants of this process that run.
pub fn descendants() -> Vec<i32> {
    let all = all();
    below(&all)
        .into_iter()
        .filter(|pid| !all[pid].is_over)
        .collect()
}

/// Returns how many bytes of memory processes take together, as far as it can be told.
pub fn memory(pids: &[i32]) -> u64 {
    let kilobytes = |pid: &i32| {
        let text = |file: &str| {
            disk::read(Path::new(&format!("/proc/{pid}/{file}")))
                .ok()
                .and_then(|b| String::from_utf8(b).ok())
        };
        let line = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_end_matches("kB").trim().parse::<u64>().ok()
        };
        // What processes share counts once, where the system tells.
        let shared = text("smaps_rollup").and_then(|text| line(&text, "Pss:"));
        shared
            .or_else(|| text("status").and_then(|text| line(&text, "VmRSS:")))
            .unwrap_or_default()
    };
    pids.iter().map(|pid| kilobytes(pid) * 1024).sum()
}

/// Ends every descendant of this process, and waits for them. Returns how many there were, and
/// whether all are gone.
pub fn end_descendants() -> (usize, bool) {
    // A process without children has no descendants: what they leave behind becomes a child of it.
    if matches!(wait(WaitOptions::NOHANG), Err(Errno::CHILD)) {
        return (0, true);
    }
    end(&|all| below(all))
}

/// Ends the children of this process, and what descends from them, but for some and what descends
/// from those.
pub fn end_orphans(but: &BTreeSet<u32>) {
    let is_kept = |pid: i32| u32::try_from(pid).is_ok_and(|pid| but.contains(&pid));
    end(&|all| {
        let own = getpid().as_raw_pid();
        all.iter()
            .filter(|(pid, seen)| seen.parent == own && !is_kept(**pid))
            .map(|(pid, _)| *pid)
            .collect()
    });
}

/// Kills what `which` finds, again and again: what was killed may have started more, and what it
/// leaves behind becomes a child of this process.
fn end(which: &dyn Fn(&BTreeMap<i32, ObservedProcess>) -> Vec<i32>) -> (usize, bool) {
    let mut ended = BTreeSet::new();
    for _ in 0..MOST {
        let all = all();
        let found = which(&all);
        // This process itself is always among them.
        if found.is_empty() && !all.is_empty() {
            return (ended.len(), true);
        }
        for pid in found {
            let Some(number) = Pid::from_raw(pid) else {
                continue;
            };
            if all[&pid].is_over {
                // Only those that are this process's own can be waited for; the others come to it.
                let _ = waitpid(Some(number), WaitOptions::NOHANG);
            } else {
                ended.insert(pid);
                let _ = kill_process(number, Signal::KILL);
            }
        }
        std::thread::sleep(PAUSE);
    }
    (ended.len(), false)
}
