//! Other machines that are this one: a folder that holds what a job was given and nothing else, and `act`
//! in it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use netsec::app::supervisors::SupervisorPool;
use netsec::base::cancel::Cancel;
use netsec::base::clock::SystemClock;
use netsec::base::digest::Digest;
use netsec::base::disk;
use netsec::engine::act::{ActTerms, act};
use netsec::engine::remote_workers::{GIVEN, RemoteWorkerTerms, RemoteWorkers, TASK};
use netsec::engine::task::ActionTask;
use netsec::far::program_files::ProgramFiles;
use netsec::far::remote_cache::{RemoteError, RemoteResult, WantedBlob};
use netsec::far::remote_runner::{
    BlobSource, KeptBlob, RemoteJob, RemoteRun, RemoteRunError, RemoteRunner, RemoteState,
};
use netsec::stage::registry::Registry;
use netsec::store::away::AwayBlob;
use netsec::store::blob::Store;
use netsec::store::given_store::GivenStore;

use crate::world::World;

/// What happens on those machines.
#[derive(Clone)]
pub(crate) struct Loopback {
    registry: fn() -> Registry,
    /// What jobs left.
    blobs: Arc<Mutex<BTreeMap<Digest, Vec<u8>>>>,
    /// How many jobs there were.
    pub(crate) jobs: Arc<AtomicUsize>,
    /// How many bytes of blobs they were given.
    pub(crate) given: Arc<AtomicU64>,
    /// Tasks, as they came.
    pub(crate) tasks: Arc<Mutex<Vec<ActionTask>>>,
    /// The class of the machines.
    pub(crate) class: &'static str,
    /// Whether what they cannot carry out fails.
    pub(crate) required: bool,
    /// Whether large files stay there.
    pub(crate) leaves: bool,
    /// How often a file was brought that had stayed there.
    pub(crate) brought: Arc<AtomicUsize>,
    /// Whether nothing more is answered of files that stayed there.
    pub(crate) is_silent: Arc<AtomicBool>,
    /// How likely a job goes wrong, in percent, and by which chance.
    faults: u64,
    dice: Arc<AtomicU64>,
}

impl Loopback {
    pub(crate) fn new(registry: fn() -> Registry) -> Self {
        Self {
            registry,
            blobs: Arc::default(),
            jobs: Arc::default(),
            given: Arc::default(),
            tasks: Arc::default(),
            class: "toy",
            required: false,
            leaves: false,
            brought: Arc::default(),
            is_silent: Arc::default(),
            faults: 0,
            dice: Arc::default(),
        }
    }

    pub(crate) fn faulty(mut self, faults: u64, seed: u64) -> Self {
        self.faults = faults;
        self.dice = Arc::new(AtomicU64::new(seed));
        self
    }

    /// The machines, so many.
    pub(crate) fn workers(&self, jobs: usize) -> RemoteWorkers {
        self.workers_with(jobs, false)
    }

    /// The machines, so many; `alone`, what they can make is not made here, too.
    pub(crate) fn workers_with(&self, jobs: usize, alone: bool) -> RemoteWorkers {
        let terms = RemoteWorkerTerms {
            class: "toy".to_owned(),
            program: ProgramFiles {
                files: Vec::new(),
                command: Vec::new(),
            },
            environment: BTreeMap::new(),
            properties: BTreeMap::new(),
            jobs,
            leaves: self.leaves,
            alone,
            required: self.required,
            timeout: Duration::from_secs(60),
        };
        RemoteWorkers::new(Arc::new(self.clone()), terms)
    }

    /// Forgets all that jobs left.
    pub(crate) fn forget(&self) {
        self.blobs.lock().unwrap().clear();
    }

    /// What stayed there is not sent there.
    fn read(&self, digest: &Digest, store: &dyn Store) -> RemoteResult<Vec<u8>> {
        let kept = self.blobs.lock().unwrap().get(digest).cloned();
        match (store.away(digest), kept) {
            (Some(_), Some(kept)) => Ok(kept),
            _ => Ok(store.get(digest)?),
        }
    }

    fn draw(&self) -> u64 {
        let drawn = self.dice.fetch_add(1, Ordering::SeqCst);
        Digest::of(&drawn.to_le_bytes()).head()
    }
}

impl RemoteRunner for Loopback {
    fn address(&self) -> &str {
        "loopback"
    }

    fn run(
        &self,
        job: &RemoteJob,
        store: &dyn Store,
        told: &dyn Fn(RemoteState),
        cancel: &Cancel,
    ) -> Result<RemoteRun, RemoteRunError> {
        self.jobs.fetch_add(1, Ordering::SeqCst);
        let drawn = self.draw();
        let fault = (drawn % 100 < self.faults).then_some(drawn / 100 % 8);
        match fault {
            Some(0) => return Err(RemoteError::Failed("the line is cut".to_owned()).into()),
            Some(1) => return Err(RemoteRunError::NotTaken(Duration::from_secs(1))),
            _ => {}
        }
        let world = World::new();
        let (given, made) = (world.root().join(GIVEN), world.root().join("made"));
        disk::create_dirs(&given).unwrap();
        disk::create_dirs(&made).unwrap();
        let temporary = world.root().join("tmp");
        disk::create_dirs(&temporary).unwrap();
        let mut task = Vec::new();
        for file in &job.files {
            let bytes = match &file.source {
                BlobSource::Bytes(bytes) => bytes.to_vec(),
                BlobSource::Stored(digest) => self.read(digest, store)?,
                BlobSource::File(path, _) => disk::read(path).unwrap(),
            };
            if file.path == TASK {
                task = bytes;
            } else {
                self.given.fetch_add(bytes.len() as u64, Ordering::SeqCst);
                disk::write_plain(&world.root().join(&file.path), &bytes).unwrap();
            }
        }
        told(RemoteState::Queued);
        told(RemoteState::Running);
        let task = ActionTask::decode(&task).unwrap();
        self.tasks.lock().unwrap().push(task.clone());
        let made: Arc<dyn Store> = Arc::new(GivenStore::new(given, made));
        let terms = ActTerms {
            registry: &(self.registry)(),
            store: Arc::clone(&made),
            temporary: &temporary,
            clock: &SystemClock,
            cancel,
            supervisors: &SupervisorPool::none(),
            class: self.class.to_owned(),
            host: "loopback".to_owned(),
        };
        let mut result = act(&task, &terms);
        told(RemoteState::Bringing);
        let mut blobs = self.blobs.lock().unwrap();
        for (digest, _) in made.list().unwrap() {
            let mut bytes = made.get(&digest).unwrap();
            match fault {
                // One that is damaged on its way, or lost.
                Some(2) => bytes.push(0),
                Some(3) => continue,
                _ => {}
            }
            blobs.insert(digest, bytes);
        }
        match fault {
            Some(4) => result.key = Digest::of(b"of another action"),
            Some(6) => {
                result.outputs.clear();
                result.made.clear();
            }
            Some(7) => {
                // What nobody asked for.
                let mut more = result.made.clone();
                for record in &mut more {
                    record.key = Digest::of(record.key.as_bytes());
                    record.kind = "echo/more".to_owned();
                    record.part = None;
                }
                result.made.extend(more);
            }
            _ => {}
        }
        Ok(RemoteRun {
            // One that died left nothing.
            result: (fault != Some(5)).then(|| result.encode()),
            worker: "w1".to_owned(),
            ..RemoteRun::default()
        })
    }

    fn bring(&self, wanted: &[WantedBlob], store: &dyn Store) -> RemoteResult<()> {
        for blob in wanted {
            let blobs = self.blobs.lock().unwrap();
            let bytes = blobs.get(&blob.digest).cloned();
            let bytes = bytes.ok_or(RemoteError::Gone(blob.digest))?;
            if Digest::of(&bytes) != blob.digest {
                return Err(RemoteError::Changed("other bytes".to_owned()));
            }
            store.put(&bytes)?;
        }
        Ok(())
    }

    fn kept(&self, digest: &Digest) -> Option<KeptBlob> {
        let blobs = self.blobs.lock().unwrap();
        blobs.get(digest).map(|bytes| KeptBlob {
            name: digest.hex(),
            size: bytes.len() as u64,
        })
    }

    fn bring_kept(&self, blob: &AwayBlob, store: &dyn Store) -> RemoteResult<()> {
        if self.is_silent.load(Ordering::SeqCst) {
            return Err(RemoteError::Failed("no answer".to_owned()));
        }
        self.brought.fetch_add(1, Ordering::SeqCst);
        let wanted = WantedBlob {
            digest: blob.digest,
            most: blob.size,
        };
        self.bring(&[wanted], store)
    }
}
