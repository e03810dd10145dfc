//! `netsec guard`: beside a run, ends what the run started if the run itself is killed. Not for people.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::base::disk;
use crate::cli::exit::Exit;
use crate::stage::io::MARK;

/// How often in a row nothing may be found before the guard is done: a program may be between its fork and its exec,
/// where it does not carry the mark yet.
const CLEAN: usize = 3;
const PAUSE: Duration = Duration::from_millis(20);
/// How often it looks at most: a process that cannot be killed must not keep it for ever.
const MOST: usize = 500;

/// Waits until the run says that it is through, or is gone; then ends every process that carries its mark. The standard
/// output is the workspace's lock: while the guard lives, no other run can begin.
pub fn guard(mark: &str) -> Exit {
    let mut said = Vec::new();
    let heard = std::io::stdin().lock().read_to_end(&mut said);
    if heard.is_ok() && !said.is_empty() {
        return Exit::Done;
    }
    let mut clean = 0;
    for _ in 0..MOST {
        clean = if end_marked(mark) { 0 } else { clean + 1 };
        if clean >= CLEAN {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    Exit::Done
}

/// Kills every process that carries the mark; returns whether there was one.
fn end_marked(mark: &str) -> bool {
    let wanted = format!("{MARK}={mark}").into_bytes();
    let mut found = false;
    for folder in disk::list(Path::new("/proc")).unwrap_or_default() {
        let number = folder.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { continue };
        // Of other users' processes nothing can be read, and none of them is ours.
        let environment = disk::read(&folder.join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable == wanted) {
            found = true;
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    found
}
