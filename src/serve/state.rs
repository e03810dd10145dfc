//! What all requests of a server share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use tokio::sync::Semaphore;

use crate::base::clock::Clock;
use crate::base::digest::Digest;
use crate::serve::api_keys::ApiKeyFile;
use crate::serve::log_writer::LogWriter;
use crate::serve::metrics::{ReloadOutcome, ServeMetrics};
use crate::serve::observer::{Observer, ObserverTasks, Say};
use crate::serve::options::ServeOptions;
use crate::serve::problem::HttpProblem;
use crate::serve::slot::{ModelSlot, Reload, ReloadBy};

/// What all requests of a server share.
pub struct ServeState {
    /// What it was told.
    pub options: ServeOptions,
    /// The models, in the order they were named.
    pub slots: Vec<Arc<ModelSlot>>,
    /// What it counts.
    pub metrics: ServeMetrics,
    /// Tells the time of day.
    pub clock: Box<dyn Clock>,
    /// Says a line to the operator.
    pub say: Say,
    /// As many as requests may be answered at a time.
    pub places: Arc<Semaphore>,
    /// As many as large bodies may be read at a time.
    pub heavy: Arc<Semaphore>,
    /// What happens beside the answers.
    pub observer: Option<Observer>,
    keys: ArcSwapOption<ApiKeyFile>,
    is_draining: AtomicBool,
    /// What the ids of requests begin with.
    ids: String,
    next_id: AtomicU64,
    /// Of every caller what is left of its share of a second, and since when.
    shares: Mutex<HashMap<String, (f64, Instant)>>,
}

impl ServeState {
    /// Puts it together, and reads the keys.
    ///
    /// # Errors
    /// The options leave models open to anybody; the file of keys is not as it should be.
    pub fn new(
        options: ServeOptions,
        slots: Vec<Arc<ModelSlot>>,
        clock: Box<dyn Clock>,
        say: Say,
    ) -> Result<Self, String> {
        options.check()?;
        let tasks = ObserverTasks {
            log: options.log.clone().map(LogWriter::open).transpose()?,
            drift_window: options.drift_window,
            has_shadows: slots.iter().any(|slot| slot.shadow.is_some()),
        };
        let keys = options.keys.as_deref().map(ApiKeyFile::load).transpose()?;
        let now = clock.now_ms().to_le_bytes();
        let process = std::process::id().to_le_bytes();
        let ids = Digest::of_parts(&[&now, &process]).hex()[..12].to_owned();
        let metrics = ServeMetrics::default();
        for slot in slots.iter().flat_map(ModelSlot::with_beside) {
            metrics.model(&slot.name, &slot.current().hex, None);
        }
        metrics.ready.set(1);
        let observer = Observer::start(tasks, metrics.observer.clone(), Arc::clone(&say));
        Ok(Self {
            places: Arc::new(Semaphore::new(options.limits.at_once)),
            heavy: Arc::new(Semaphore::new(options.limits.heavy_at_once)),
            observer,
            options,
            slots,
            metrics,
            clock,
            say,
            keys: ArcSwapOption::from_pointee(keys),
            is_draining: AtomicBool::new(false),
            ids,
            next_id: AtomicU64::new(1),
            shares: Mutex::default(),
        })
    }

    /// Returns the keys, if any are asked for.
    pub fn keys(&self) -> Option<Arc<ApiKeyFile>> {
        self.keys.load_full()
    }

    /// Returns an id for a request.
    pub fn next_id(&self) -> String {
        let number = self.next_id.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.ids)
    }

    /// Returns whether it ends.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Says that it takes no more requests soon.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        self.metrics.ready.set(0);
    }

    /// Returns the model of a name; without one the only model there is.
    ///
    /// # Errors
    /// There is none of that name, or more than one.
    pub fn slot(&self, name: Option<&str>) -> Result<&Arc<ModelSlot>, HttpProblem> {
        match (name, self.slots.as_slice()) {
            (Some(name), slots) => {
                let mut slots = slots.iter();
                let found = slots.find(|slot| slot.name == name);
                found.ok_or_else(|| HttpProblem::no_model(name))
            }
            (None, [slot]) => Ok(slot),
            (None, _) => Err(HttpProblem::malformed(
                "there are several models here: say which with `?model=NAME`",
            )),
        }
    }

    /// Takes a request of a caller's share of this second; otherwise returns after how many seconds
    /// there is one again.
    ///
    /// # Errors
    /// The caller has had its share.
    pub fn take_share(&self, caller: &str, now: Instant) -> Result<(), u32> {
        let Some(per_second) = self.options.limits.per_second else {
            return Ok(());
        };
        let most = f64::from(per_second);
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, since) = shares.entry(caller.to_owned()).or_insert((most, now));
        *left = (*left + now.duration_since(*since).as_secs_f64() * most).min(most);
        *since = now;
        if *left < 1.0 {
            return Err(((1.0 - *left) / most).ceil().max(1.0) as u32);
        }
        *left -= 1.0;
        Ok(())
    }

    /// Looks at every model's source and at the keys; says what changed.
    pub fn reload(&self) {
        self.reload_models(ReloadBy::Request);
        if let Some(path) = &self.options.keys {
            match ApiKeyFile::load(path) {
                Ok(keys) => self.keys.store(Some(Arc::new(keys))),
                Err(why) => (self.say)(&format!("the keys stay as they were: {why}")),
            }
        }
    }

    /// Looks at every model's source; returns what came of it.
    pub fn reload_models(&self, by: ReloadBy) -> Vec<(&ModelSlot, Reload)> {
        let slots = self.slots.iter().flat_map(ModelSlot::with_beside);
        slots
            .map(|slot| (slot.as_ref(), self.reload_slot(slot, by)))
            .collect()
    }

    /// Looks at a model's source.
    fn reload_slot(&self, slot: &ModelSlot, by: ReloadBy) -> Reload {
        let before = slot.current();
        let now_ms = self.clock.now_ms();
        let reload = slot.reload(by, now_ms);
        let name = &slot.name;
        match &reload {
            Reload::Same => {}
            Reload::Swapped(digest) => {
                self.metrics.reload(name, ReloadOutcome::Swapped);
                self.metrics.model(name, &digest.hex(), Some(&before.hex));
                let (old, new) = (before.digest.short(), digest.short());
                (self.say)(&format!("`{name}`: {new} answers now, instead of {old}"));
            }
            Reload::Kept(why) => {
                self.metrics.reload(name, ReloadOutcome::Kept);
                let old = before.digest.short();
                (self.say)(&format!("`{name}`: {old} goes on answering, for {why}"));
            }
        }
        reload
    }
}
