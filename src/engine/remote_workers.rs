//! Other machines that carry actions out for a run.
//!
//! How: an action becomes a task, and what it reads is sent along; what comes back is believed only as
//! far as it is the result of that task, from a machine of this one's class, and its blobs are those of
//! their names. Whatever else goes wrong has the action carried out here; after a few failures in a row
//! the machines are left alone for the rest of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::engine::task::{ActionTask, TaskResult};
use crate::far::breaker::CircuitBreaker;
use crate::far::bring::bring_outputs;
use crate::far::program_files::ProgramFiles;
use crate::far::remote_cache::{RemoteError, RemoteResult, WantedBlob};
use crate::far::remote_runner::{
    BlobSource, GivenFile, KeptBlob, RemoteJob, RemoteRun, RemoteRunError, RemoteRunner,
    RemoteState,
};
use crate::far::runner_fetcher::RunnerFetcher;
use crate::far::send_chunks::in_chunks;
use crate::lineage::record::RemoteOrigin;
use crate::store::away::AwayBlob;
use crate::store::blob::Store;
use crate::store::tiered::BlobFetcher;

/// How often who waits for a machine looks whether it is still wanted.
const POLL: Duration = Duration::from_millis(50);

/// Files of so many bytes or more may stay where they were made.
const LEFT: u64 = 1 << 20;

/// The path of the task.
pub const TASK: &str = "task";
/// The folder of what is sent along.
pub const GIVEN: &str = "blobs";
/// The folder of what is made, and below it the result and the folder of blobs.
pub const OUT: &str = "out";
/// The result in that folder.
pub const RESULT: &str = "result";

/// How a run uses other machines.
pub struct RemoteWorkerTerms {
    /// The class of machine whose results are taken.
    pub class: String,
    /// This program, and how it is started there.
    pub program: ProgramFiles,
    /// The variables of its environment there.
    pub environment: BTreeMap<String, String>,
    /// What a machine has to be.
    pub properties: BTreeMap<String, String>,
    /// How many actions they may have at once.
    pub jobs: usize,
    /// Whether large files that they make stay where they are until they are read here.
    pub leaves: bool,
    /// Whether parts that they can make are not made here, too.
    pub alone: bool,
    /// Whether what they cannot carry out fails, and is not carried out here.
    pub required: bool,
    /// After this an action that has no limit of its own is ended.
    pub timeout: Duration,
}

/// Other machines, as a run uses them.
pub struct RemoteWorkers {
    runner: Arc<dyn RemoteRunner>,
    terms: RemoteWorkerTerms,
    /// How many actions they have.
    running: Mutex<usize>,
    freed: Condvar,
    breaker: CircuitBreaker,
}

/// Leave to have one action carried out; given back when it is dropped.
pub struct WorkerPermit<'a>(&'a RemoteWorkers);

impl Drop for WorkerPermit<'_> {
    fn drop(&mut self) {
        let mut running = self
            .0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *running -= 1;
        drop(running);
        self.0.freed.notify_one();
    }
}

/// A task that another machine carried out, and whose blobs are here.
#[derive(Clone, Debug)]
pub struct CarriedOut {
    /// What came of it.
    pub result: TaskResult,
    /// Who carried it out.
    pub origin: RemoteOrigin,
}

/// Why a task has no result from another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteEnd {
    /// It was told to stop.
    Cancelled,
    /// It took longer than it may.
    TimedOut,
    /// It is to be carried out here.
    Here,
    /// It has failed, since it is not to be carried out here.
    Failed(String),
}

impl RemoteWorkers {
    /// Makes them.
    pub fn new(runner: Arc<dyn RemoteRunner>, terms: RemoteWorkerTerms) -> Self {
        Self {
            runner,
            terms,
            running: Mutex::new(0),
            freed: Condvar::new(),
            breaker: CircuitBreaker::default(),
        }
    }

    /// Returns where they are.
    pub fn address(&self) -> &str {
        self.runner.address()
    }

    /// Returns what brings what they left.
    pub fn fetcher(&self) -> Arc<dyn BlobFetcher> {
        Arc::new(RunnerFetcher(Arc::clone(&self.runner)))
    }

    /// Returns how many actions they may have at once.
    pub fn jobs(&self) -> usize {
        self.terms.jobs
    }

    /// Returns whether parts that they can make are not made here, too.
    pub fn are_alone(&self) -> bool {
        self.terms.alone
    }

    /// Waits until they may have one action more, or until `is_over`.
    pub fn permit(&self, is_over: &dyn Fn() -> bool) -> Option<WorkerPermit<'_>> {
        let lock = || self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = lock();
        while *running >= self.terms.jobs {
            if is_over() {
                return None;
            }
            let waited = self.freed.wait_timeout(running, POLL);
            running = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if is_over() {
            return None;
        }
        *running += 1;
        Some(WorkerPermit(self))
    }

    /// Returns whether they are left alone.
    pub fn is_left_alone(&self) -> bool {
        self.breaker.is_open()
    }

    /// Returns whether they are asked any more.
    pub fn take_actions(&self) -> bool {
        self.terms.required || !self.is_left_alone()
    }

    /// Returns what is to be told since this was asked last.
    pub fn take_news(&self) -> Vec<String> {
        self.breaker.take_news()
    }

    /// Has a task carried out, with what it reads, and brings what it made. `timeout` is the stage's own
    /// limit.
    ///
    /// # Errors
    /// Why there is no result; what is to be told of that waits in the news.
    pub fn carry_out(
        &self,
        task: &ActionTask,
        given: &BTreeMap<Digest, BlobSource>,
        timeout: Option<Duration>,
        store: &dyn Store,
        told: &dyn Fn(RemoteState),
        cancel: &Cancel,
    ) -> Result<CarriedOut, RemoteEnd> {
        if self.is_left_alone() {
            return Err(self.end("they are left alone since they failed before"));
        }
        let mut job = self.job(task, &in_chunks(given, store), timeout);
        let mut run = self.heard(self.runner.run(&job, store, told, cancel))?;
        if run.is_cached && run.exit_code != 0 {
            // Some servers keep what failed.
            job.is_fresh = true;
            run = self.heard(self.runner.run(&job, store, told, cancel))?;
        }
        let result = self.checked(task, &run).map_err(|why| self.failed(&why))?;
        let fetch = |blobs: &[WantedBlob], store: &dyn Store| self.runner.bring(blobs, store);
        let parts = result.made.iter().flat_map(|part| &part.outputs);
        let outputs: Vec<_> = result.outputs.iter().chain(parts).cloned().collect();
        if let Err(error) = bring_outputs(&outputs, store, &fetch, &|blob| self.leave(blob, store))
        {
            return Err(self.failed(&error.to_string()));
        }
        self.breaker.succeeded();
        let origin = RemoteOrigin {
            server: self.address().to_owned(),
            worker: run.worker,
            cached: run.is_cached,
            queued: run.queued,
        };
        Ok(CarriedOut { result, origin })
    }

    /// Leaves a large file where it is, if the run does so and the store can; takes note of where.
    fn leave(&self, blob: &WantedBlob, store: &dyn Store) -> RemoteResult<bool> {
        if !self.terms.leaves || blob.most < LEFT {
            return Ok(false);
        }
        let leave = |digest: Digest, size: u64, kept: KeptBlob| {
            store.leave(AwayBlob {
                digest,
                size,
                server: self.address().to_owned(),
                name: kept.name,
            })
        };
        match self.runner.kept(&blob.digest) {
            None => return Ok(false),
            Some(kept) if kept.size == blob.most => {
                return Ok(leave(blob.digest, blob.most, kept));
            }
            Some(_) => {}
        }
        let list = self.runner.kept_chunks(&blob.digest)?;
        if list.length() != blob.most {
            return Ok(false);
        }
        for chunk in &list.chunks {
            if store.has(&chunk.digest).unwrap_or(false) {
                continue;
            }
            let size = u64::from(chunk.size);
            let kept = self.runner.kept(&chunk.digest);
            let is_left = kept.is_some_and(|kept| leave(chunk.digest, size, kept));
            if !is_left {
                return Ok(false);
            }
        }
        store.leave_chunks(&blob.digest, &list)?;
        Ok(true)
    }

    fn job(
        &self,
        task: &ActionTask,
        given: &BTreeMap<Digest, BlobSource>,
        timeout: Option<Duration>,
    ) -> RemoteJob {
        let mut files = self.terms.program.files.clone();
        files.push(GivenFile {
            path: TASK.to_owned(),
            source: BlobSource::Bytes(task.encode().into()),
            is_executable: false,
        });
        for (digest, source) in given {
            files.push(GivenFile {
                path: format!("{GIVEN}/{}", digest.hex()),
                source: source.clone(),
                is_executable: false,
            });
        }
        let mut arguments = self.terms.program.command.clone();
        arguments.extend(["act", TASK, OUT].map(str::to_owned));
        RemoteJob {
            arguments,
            environment: self.terms.environment.clone(),
            files,
            result: format!("{OUT}/{RESULT}"),
            blobs: format!("{OUT}/{GIVEN}"),
            timeout: timeout.unwrap_or(self.terms.timeout),
            properties: self.terms.properties.clone(),
            is_fresh: false,
        }
    }

    /// Reads a result, and says what is wrong with one that does not serve.
    fn checked(&self, task: &ActionTask, run: &RemoteRun) -> Result<TaskResult, String> {
        let Some(bytes) = &run.result else {
            return Err(format!(
                "netsec gave no result there, with exit code {}: {}",
                run.exit_code, run.log
            ));
        };
        let mut result = TaskResult::decode(bytes)?;
        if result.key != task.key {
            return Err("it gave the result of another action".to_owned());
        }
        if result.class != self.terms.class {
            self.leave_alone(&format!(
                "its machine `{}` is of class `{}` and this one of `{}`: the same action could give other bytes there",
                result.host, result.class, self.terms.class
            ));
            return Err("a machine of another class".to_owned());
        }
        let is_whole = match &task.parts {
            Some(parts) => {
                // Nothing else was asked for.
                result.made.retain(|part| parts.chosen.contains(&part.key));
                let made: BTreeSet<Digest> = result.made.iter().map(|part| part.key).collect();
                made == parts.chosen
            }
            None => {
                let parts = format!("{}/", task.kind);
                result.made.retain(|part| part.kind.starts_with(&parts));
                let made: BTreeSet<&String> =
                    result.outputs.iter().map(|made| &made.port).collect();
                task.outputs.iter().all(|port| made.contains(port))
            }
        };
        match result.result.is_err() || is_whole {
            true => Ok(result),
            false => Err("it did not give all that was asked for".to_owned()),
        }
    }

    fn heard(&self, ran: Result<RemoteRun, RemoteRunError>) -> Result<RemoteRun, RemoteEnd> {
        ran.map_err(|error| match error {
            RemoteRunError::Cancelled => RemoteEnd::Cancelled,
            RemoteRunError::TimedOut => RemoteEnd::TimedOut,
            RemoteRunError::Server(RemoteError::Denied(why)) => {
                self.leave_alone(&why);
                self.end(&why)
            }
            RemoteRunError::NotTaken(_) | RemoteRunError::Server(_) => {
                self.failed(&error.to_string())
            }
        })
    }

    /// Takes note that what came back is of no use; returns what becomes of it.
    pub fn fail(&self, why: &str) -> RemoteEnd {
        self.failed(why)
    }

    fn failed(&self, why: &str) -> RemoteEnd {
        if self.breaker.failed() {
            self.leave_alone(why);
        } else if !self.is_left_alone() && !self.terms.required {
            self.breaker.tell(format!(
                "`{}` did not carry an action out, which is carried out here: {why}",
                self.address()
            ));
        }
        self.end(why)
    }

    /// What becomes of an action that they did not carry out.
    fn end(&self, why: &str) -> RemoteEnd {
        match self.terms.required {
            true => RemoteEnd::Failed(format!(
                "the machines of `{}` did not carry it out, and the pipeline says `remote: {{ required: true }}`: {why}",
                self.address()
            )),
            false => RemoteEnd::Here,
        }
    }

    fn leave_alone(&self, why: &str) {
        if self.breaker.open() && !self.terms.required {
            self.breaker.tell(format!(
                "the machines of `{}` are left alone for the rest of this run, and all is carried out here: {why}",
                self.address()
            ));
        }
    }
}
