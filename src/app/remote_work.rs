//! Work that is done elsewhere: the machines of a run, and on one of them an action that was sent there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::app::supervisors::SupervisorPool;
use crate::app::workspace::{AppError, AppResult};
use crate::base::cancel::Cancel;
use crate::base::clock::SystemClock;
use crate::base::disk::{self, FileLock};
use crate::base::host::host;
use crate::base::outcome::FailureClass;
use crate::engine::act::{ActTerms, act};
use crate::engine::completion::failure;
use crate::engine::remote_workers::{GIVEN, RESULT, RemoteWorkerTerms, RemoteWorkers};
use crate::engine::task::ActionTask;
use crate::far::program_files::ProgramFiles;
use crate::far::remote_runner::RemoteRunner;
use crate::stage::registry::Registry;
use crate::stage::remote::{RemoteDownload, RemoteSettings};
use crate::store::given_store::GivenStore;

/// After this an action that has no limit of its own is ended by the machine that has it: servers refuse
/// what may take much longer.
const ACTION_LIMIT: Duration = Duration::from_secs(3600);

/// The machines of a run.
pub type OtherMachines = RemoteWorkers;

/// Makes machines ready for a run, that are to be of this class.
///
/// # Errors
/// netsec itself cannot be read, which is sent to them.
pub fn remote_workers(
    runner: Arc<dyn RemoteRunner>,
    settings: &RemoteSettings,
    class: String,
) -> AppResult<OtherMachines> {
    let terms = RemoteWorkerTerms {
        class,
        program: ProgramFiles::of(&own_program()?)?,
        environment: BTreeMap::new(),
        properties: settings.properties.clone(),
        jobs: settings.jobs,
        leaves: settings.download == RemoteDownload::Needed,
        alone: !settings.here,
        required: settings.required,
        timeout: ACTION_LIMIT,
    };
    Ok(RemoteWorkers::new(runner, terms))
}

/// The words that start netsec as it was started here: where the loader was sent along, by that.
fn own_command() -> AppResult<Vec<OsString>> {
    let program = own_program()?;
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    if !name.starts_with("ld-") {
        return Ok(vec![program.into_os_string()]);
    }
    let libraries = program.parent().unwrap_or(Path::new("")).as_os_str();
    let words = ["--library-path".into(), libraries.to_owned()];
    let own = std::env::args_os().next();
    Ok(std::iter::once(program.clone().into_os_string())
        .chain(words)
        .chain(own)
        .collect())
}

fn own_program() -> AppResult<PathBuf> {
    std::env::current_exe()
        .map_err(|error| AppError::Usage(format!("where netsec itself is cannot be seen: {error}")))
}

/// Carries out the task in a file, on a machine of this class. What it reads lies in `blobs` beside that
/// file; what it makes goes to the folder `out`, with a result that tells also of failure. Returns how it
/// failed, if it did.
///
/// # Errors
/// It is no task of this version; the disk failed.
pub fn carry_out_task(
    task: &Path,
    out: &Path,
    registry: &Registry,
    class: String,
) -> AppResult<Option<FailureClass>> {
    let folder = task.parent().unwrap_or(Path::new(""));
    let bytes = disk::read(task)?;
    let wrong = |why: String| AppError::Data(format!("`{}`: {why}", task.display()));
    let task = ActionTask::decode(&bytes).map_err(wrong)?;
    let made = out.join(GIVEN);
    disk::create_dirs(&made)?;
    // Beside what is made, so that an output is moved there.
    let temporary = disk::absolute(out)?.join("tmp");
    disk::create_dirs(&temporary)?;
    let lock = FileLock::try_take(&temporary.join("lock"))?;
    let supervisors = match &lock {
        Some(lock) => SupervisorPool::started_by(own_command()?, lock),
        None => SupervisorPool::none(),
    };
    let terms = ActTerms {
        registry,
        store: Arc::new(GivenStore::new(folder.join(GIVEN), made)),
        temporary: &temporary,
        clock: &SystemClock,
        cancel: &Cancel::new(),
        supervisors: &supervisors,
        class,
        host: host(),
    };
    let result = act(&task, &terms);
    drop(supervisors);
    disk::write_atomic(&out.join(RESULT), &result.encode())?;
    disk::remove_dir(&temporary)?;
    Ok(result.result.err().map(|error| failure(&error).class))
}
