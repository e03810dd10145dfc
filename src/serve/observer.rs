//! What happens beside the answers: predictions are logged, a challenger is asked, and rows are compared
//! with those of training. None of it holds up an answer: it is done on a thread of its own, and what
//! that cannot keep up with is counted, not waited for.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::scoring::live_drift::{DriftWindow, LiveDrift};
use crate::scoring::prediction_log::PredictionEntry;
use crate::scoring::read_rows::ReadRows;
use crate::scoring::scorer::RowVerdict;
use crate::serve::log_writer::LogWriter;
use crate::serve::metrics::ObserverMetrics;
use crate::serve::served_model::ServedModel;
use crate::serve::shadow::{ShadowAgreement, ShadowReport};
use crate::serve::slot::ModelSlot;

/// Says a line to the operator.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// So many requests wait at most to be looked at.
const WAITING: usize = 1024;

/// So many bytes of requests wait at most to be looked at.
const WAITING_BYTES: usize = 128 << 20;

/// After the disk has failed, so long nothing is logged.
const LOG_PAUSE: Duration = Duration::from_secs(30);

/// After so long without a request what was logged is handed to the system.
const CALM: Duration = Duration::from_millis(200);

/// Asks a challenger the same as the champion; returns it and what it told, if it could read the rows.
pub type Challenge = Box<dyn FnOnce() -> (Arc<ServedModel>, Option<Vec<RowVerdict>>) + Send>;

/// A request that was answered.
pub struct ObservedCall {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Its id.
    pub request: String,
    /// Under which name it asked.
    pub slot: Arc<ModelSlot>,
    /// The model that answered it.
    pub model: Arc<ServedModel>,
    /// Its rows as the model read them.
    pub rows: ReadRows,
    /// What was told.
    pub verdicts: Vec<RowVerdict>,
    /// Whether a canary answered it: then it tells nothing of the model that it stands beside.
    pub is_canary: bool,
    /// The bytes of its body.
    pub size: usize,
    /// What asks a challenger, if there is one.
    pub challenge: Option<Challenge>,
}

impl ObservedCall {
    /// Returns about how many bytes it takes.
    fn weight(&self) -> usize {
        let cells = self.rows.len() * (self.rows.columns().len() + 2);
        4 * self.size + 16 * cells + 1024
    }
}

/// What is known besides, by the name under which a model answers.
#[derive(Default)]
pub struct ObserverFindings {
    /// How far a challenger agrees.
    pub shadows: BTreeMap<String, ShadowAgreement>,
    /// The last window of rows beside those of training.
    pub windows: BTreeMap<String, DriftWindow>,
}

/// What is done beside the answers.
#[derive(Default)]
pub struct ObserverTasks {
    /// Writes what is asked and told.
    pub log: Option<LogWriter>,
    /// How many rows are compared with those of training at a time.
    pub drift_window: Option<usize>,
    /// Whether a challenger is asked.
    pub has_shadows: bool,
}

impl ObserverTasks {
    /// Returns whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.log.is_none() && self.drift_window.is_none() && !self.has_shadows
    }
}

/// A thread that looks at requests that were answered.
pub struct Observer {
    sender: Mutex<Option<SyncSender<ObservedCall>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// What it found.
    pub findings: Arc<Mutex<ObserverFindings>>,
    metrics: ObserverMetrics,
    waiting: Arc<AtomicUsize>,
}

/// The state of the thread.
struct ObserverThread {
    tasks: ObserverTasks,
    /// Until when nothing is logged, since the disk failed.
    log_pause: Option<Instant>,
    drifts: BTreeMap<String, (String, Result<LiveDrift, String>)>,
    findings: Arc<Mutex<ObserverFindings>>,
    metrics: ObserverMetrics,
    say: Say,
    waiting: Arc<AtomicUsize>,
}

impl Observer {
    /// Begins to look, if there is anything to do.
    pub fn start(tasks: ObserverTasks, metrics: ObserverMetrics, say: Say) -> Option<Self> {
        if tasks.is_empty() {
            return None;
        }
        let (sender, receiver) = sync_channel(WAITING);
        let waiting = Arc::new(AtomicUsize::new(0));
        metrics.is_logging.set(i64::from(tasks.log.is_some()));
        let findings = Arc::new(Mutex::new(ObserverFindings::default()));
        let work = ObserverThread {
            tasks,
            log_pause: None,
            drifts: BTreeMap::new(),
            findings: Arc::clone(&findings),
            metrics: metrics.clone(),
            say,
            waiting: Arc::clone(&waiting),
        };
        let thread = std::thread::spawn(move || work.run(&receiver));
        Some(Self {
            sender: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
            findings,
            metrics,
            waiting,
        })
    }

    /// Hands over a request that was answered; one too many is counted and let go.
    pub fn observe(&self, observed: ObservedCall) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = sender.as_ref() else {
            return;
        };
        let weight = observed.weight();
        let before = self.waiting.fetch_add(weight, Ordering::Relaxed);
        let is_too_much = before > 0 && before + weight > WAITING_BYTES;
        if is_too_much || sender.try_send(observed).is_err() {
            self.waiting.fetch_sub(weight, Ordering::Relaxed);
            self.metrics.lost.inc();
        }
    }

    /// Waits until everything that was handed over is looked at, and the log is closed.
    pub fn finish(&self) {
        let sender = self
            .sender
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(sender);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl ObserverThread {
    fn run(mut self, receiver: &Receiver<ObservedCall>) {
        loop {
            match receiver.recv_timeout(CALM) {
                Ok(observed) => {
                    let weight = observed.weight();
                    self.look_at(observed);
                    self.waiting.fetch_sub(weight, Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let (Some(log), None) = (&mut self.tasks.log, self.log_pause)
                        && let Err(error) = log.flush()
                    {
                        self.pause_logging(&error.to_string());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(log) = &mut self.tasks.log
            && let Err(error) = log.close()
        {
            (self.say)(&format!("the log of predictions is not closed: {error}"));
        }
        for (name, report) in reports(&self.findings) {
            (self.say)(&format!("`{name}`: {}", report.line()));
        }
    }

    fn look_at(&mut self, mut observed: ObservedCall) {
        let challenge = observed.challenge.take();
        let window = self.tasks.drift_window.filter(|_| !observed.is_canary);
        // What goes wrong with one request is no reason to log no other.
        let looked = catch_unwind(AssertUnwindSafe(|| {
            if let Some(challenge) = challenge {
                self.ask_challenger(&observed, challenge);
            }
            if let Some(window) = window {
                self.watch_drift(&observed, window);
            }
        }));
        if looked.is_err() {
            (self.say)(&format!(
                "the request {} could not be compared with a challenger or with training: this is a mistake in netsec",
                observed.request
            ));
        }
        self.log(observed);
    }

    fn ask_challenger(&mut self, observed: &ObservedCall, challenge: Challenge) {
        let name = &observed.slot.name;
        let (challenger, told) = challenge();
        let (champion, challenger) = (&observed.model.hex, &challenger.hex);
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        let agreement = findings.shadows.entry(name.clone()).or_default();
        if (&agreement.champion, &agreement.challenger) != (champion, challenger) {
            if let Some(report) = agreement.report() {
                (self.say)(&format!("`{name}`: {}", report.line()));
            }
            *agreement = ShadowAgreement::between(champion, challenger);
        }
        match told {
            Some(told) => agreement.count(&observed.verdicts, &told),
            None => agreement.unread += 1,
        }
        self.metrics.shadow(name, agreement);
    }

    fn watch_drift(&mut self, observed: &ObservedCall, window: usize) {
        let (name, model) = (&observed.slot.name, &observed.model);
        let is_new = self
            .drifts
            .get(name)
            .is_none_or(|(digest, _)| *digest != model.hex);
        if is_new {
            let drift = LiveDrift::of(&model.scorer, window);
            if let Err(why) = &drift {
                let short = model.digest.short();
                (self.say)(&format!(
                    "drift of `{name}` is not watched: of {short}, {why}"
                ));
            }
            self.drifts.insert(name.clone(), (model.hex.clone(), drift));
        }
        let Some((_, Ok(drift))) = self.drifts.get_mut(name) else {
            return;
        };
        match drift.add(&model.scorer, &observed.rows) {
            Ok(None) => {}
            Ok(Some(found)) => {
                if found.report.drifted {
                    (self.say)(&format!("`{name}`: {}", found.report.line()));
                }
                self.metrics.window(name, &found);
                let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
                findings.windows.insert(name.clone(), found);
            }
            Err(why) => {
                (self.say)(&format!("drift of `{name}` is not watched any more: {why}"));
                if let Some((_, drift)) = self.drifts.get_mut(name) {
                    *drift = Err(why.to_string());
                }
            }
        }
    }

    fn log(&mut self, observed: ObservedCall) {
        let Some(log) = &mut self.tasks.log else {
            return;
        };
        if self.log_pause.is_some_and(|until| Instant::now() < until) {
            self.metrics.lost.inc();
            return;
        }
        let ObservedCall {
            at_ms,
            request,
            slot,
            model,
            rows,
            verdicts,
            ..
        } = observed;
        let asked = (at_ms, request.as_str(), slot.name.as_str(), model.digest);
        let scorer = &model.scorer;
        let entry = PredictionEntry::new(asked, scorer, rows, &verdicts, log.leaves_out());
        match log.append(&entry) {
            Ok(()) => {
                self.metrics.logged.inc_by(verdicts.len() as u64);
                if self.log_pause.take().is_some() {
                    (self.say)("predictions are logged again");
                    self.metrics.is_logging.set(1);
                }
            }
            Err(error) => {
                self.metrics.lost.inc();
                self.pause_logging(&error.to_string());
            }
        }
    }

    /// A log that cannot be written is told once, and tried again from time to time; answers go on.
    fn pause_logging(&mut self, why: &str) {
        if self.log_pause.is_none() {
            let seconds = LOG_PAUSE.as_secs();
            (self.say)(&format!(
                "predictions are not logged, and it is tried again every {seconds} s: {why}"
            ));
            self.metrics.is_logging.set(0);
        }
        self.log_pause = Some(Instant::now() + LOG_PAUSE);
    }
}

/// Returns how far challengers agree, by the name under which a model answers.
pub fn reports(findings: &Mutex<ObserverFindings>) -> BTreeMap<String, ShadowReport> {
    let findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
    let shadows = findings.shadows.iter();
    shadows
        .filter_map(|(name, agreement)| Some((name.clone(), agreement.report()?)))
        .collect()
}
