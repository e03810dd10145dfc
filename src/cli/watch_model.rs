//! `netsec watch --model`: when a model in service is to be trained anew.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::app::workspace::{AppError, Workspace};
use crate::base::cancel::Cancel;
use crate::base::clock::{Clock, SystemClock};
use crate::base::digest::Digest;
use crate::base::disk;
use crate::base::name::RefName;
use crate::cli::args_watch::ModelWatchArgs;
use crate::cli::load_model::{decoded, named};
use crate::cli::out;
use crate::cli::serve_replay::no_log;
use crate::frame::cell::MISSING;
use crate::kinds::duration::{LENGTHS, seconds};
use crate::scoring::log_follower::LogFollower;
use crate::scoring::prediction_log::PredictionLogError;
use crate::scoring::retraining::{
    AnalystVerdicts, RetrainingReason, RetrainingTerms, RetrainingWatch, read_verdicts,
};
use crate::scoring::scorer::Scorer;
use crate::source::files::{self, Options};

/// How often it is looked whether to stop.
const PAUSE: Duration = Duration::from_millis(100);

/// A run that failed is tried again after so many looks.
const AFTER_FAILURE: u32 = 6;

/// Watches the model that a ref points at.
pub(crate) struct ModelWatch<'a> {
    args: &'a ModelWatchArgs,
    target: RefName,
    terms: RetrainingTerms,
    log: Option<LogFollower>,
    watched: Option<WatchedModel>,
    /// When a reason was last told, in milliseconds since the Unix epoch.
    told_ms: u64,
    /// Entries of before this time were there for an earlier run: they are learned from, and no
    /// reason.
    since_ms: u64,
    /// Whether the run that was begun for a reason failed.
    has_failed: bool,
    /// What was last told of something that cannot be looked at.
    complaint: Option<String>,
}

/// A model, and what is known of how it does.
struct WatchedModel {
    digest: Digest,
    since_ms: u64,
    scorer: Scorer,
    watch: RetrainingWatch,
}

impl<'a> ModelWatch<'a> {
    /// Begins to watch, if that is asked for.
    ///
    /// # Errors
    /// What is asked for does not go together, or is not there.
    pub(crate) fn of(
        workspace: &Workspace,
        pipeline: &str,
        args: &'a ModelWatchArgs,
    ) -> Result<Option<Self>, AppError> {
        let Some(target) = &args.model else {
            return Ok(None);
        };
        let Some(name) = target.strip_prefix("ref:") else {
            let why =
                format!("`{target}` never changes: name a ref, such as `ref:champion/phishing`");
            return Err(AppError::Usage(why));
        };
        let length = |text: &String| {
            let seconds = seconds(text);
            let why = || AppError::Usage(format!("`{text}` is no length of time: {LENGTHS}"));
            seconds
                .map(|seconds| (seconds * 1000.0) as u64)
                .ok_or_else(why)
        };
        let terms = RetrainingTerms {
            alert_rate: args.alert_rate,
            drift_rows: args.drift_rows,
            max_age_ms: args.max_age.as_ref().map(length).transpose()?,
            min_precision: args.min_precision,
        };
        if terms == RetrainingTerms::default() {
            let why = "say when the model is to be trained anew: by `--alert-rate`, `--drift-rows`, `--min-precision` or `--max-age`";
            return Err(AppError::Usage(why.to_owned()));
        }
        let is_there = |folder: &&PathBuf| workspace.root().join(folder).is_dir();
        let log = args.log.as_ref();
        if let Some(folder) = log.filter(|folder| !is_there(folder)) {
            return Err(no_log(folder));
        }
        let runs = workspace.reading()?.ledger.runs()?;
        let of_pipeline = runs.iter().filter(|run| run.pipeline == pipeline);
        Ok(Some(Self {
            args,
            target: RefName::new(name).map_err(AppError::Usage)?,
            terms,
            log: log.map(|folder| LogFollower::new(workspace.root().join(folder))),
            watched: None,
            told_ms: 0,
            since_ms: of_pipeline.map(|run| run.started_ms).max().unwrap_or(0),
            has_failed: false,
            complaint: None,
        }))
    }

    /// Hears how the run ended that was begun.
    pub(crate) fn ended(&mut self, is_done: bool) {
        self.has_failed = self.told_ms > 0 && !is_done;
    }

    /// Waits until there is a reason to train anew, and tells it; false if it was stopped. Where the
    /// run that a reason began has failed, it is begun again after a while.
    ///
    /// # Errors
    /// The log, the verdicts or the model cannot be read.
    pub(crate) fn wait(
        &mut self,
        workspace: &Workspace,
        cancel: &Cancel,
    ) -> Result<bool, AppError> {
        let every = Duration::from_secs(u64::from(self.args.every));
        if std::mem::take(&mut self.has_failed) {
            out::say("the run failed: it is tried again after a while");
            let goes_on = pause(AFTER_FAILURE * every, cancel);
            return Ok(goes_on);
        }
        loop {
            let reasons = self.look(workspace)?;
            for reason in &reasons {
                out::say(&format!("training anew: {reason}"));
            }
            if !reasons.is_empty() {
                self.told_ms = SystemClock.now_ms();
                return Ok(true);
            }
            if !pause(every, cancel) {
                return Ok(false);
            }
        }
    }

    /// Looks once; returns the reasons to train anew.
    fn look(&mut self, workspace: &Workspace) -> Result<Vec<RetrainingReason>, AppError> {
        self.take_model(workspace)?;
        let (mut reasons, since_ms) = (Vec::new(), self.since_ms);
        let mut watched = self.watched.as_mut();
        if let Some(log) = &mut self.log {
            let looked = log.look(&mut |entry| {
                let model = watched.as_mut();
                if let Some(model) = model.filter(|model| model.digest == entry.model) {
                    let told = model.watch.add(entry, &model.scorer);
                    reasons.extend(told.into_iter().filter(|_| entry.at_ms >= since_ms));
                }
            });
            looked.map_err(log_error)?;
        }
        let Some(model) = watched else {
            return Ok(reasons);
        };
        let path = self.args.verdicts.as_ref();
        let found = path.map(|path| verdicts(&workspace.root().join(path)));
        match found.transpose() {
            Ok(verdicts) => reasons.extend(verdicts.and_then(|found| model.watch.judge(&found))),
            // Someone may be writing it.
            Err(why) => complain(&mut self.complaint, why.to_string()),
        }
        let since_ms = model.since_ms.max(self.told_ms);
        let age_ms = SystemClock.now_ms().saturating_sub(since_ms);
        reasons.extend(model.watch.age(age_ms));
        Ok(reasons)
    }

    /// Takes up the model that the ref points at, if it is another one.
    fn take_model(&mut self, workspace: &Workspace) -> Result<(), AppError> {
        let state = workspace.reading()?.ledger.reference(&self.target)?;
        let (Some(content), Some(last)) = (state.current(), state.moves.last()) else {
            self.watched = None;
            let why = format!("`ref:{}` points at nothing yet", self.target.as_str());
            complain(&mut self.complaint, why);
            return Ok(());
        };
        let digest = content.digest;
        if self
            .watched
            .as_ref()
            .is_some_and(|model| model.digest == digest)
        {
            return Ok(());
        }
        let name = format!("ref:{}", self.target.as_str());
        let scorer = Scorer::new(decoded(&name, workspace.fetch_file(&digest)?)?);
        let watch = RetrainingWatch::new(self.terms, &scorer);
        if let Some(why) = watch.unwatched() {
            out::say(&format!(
                "drift of {} is not watched: {why}",
                digest.short()
            ));
        }
        self.watched = Some(WatchedModel {
            digest,
            since_ms: last.at_ms,
            scorer,
            watch,
        });
        Ok(())
    }
}

/// Waits so long; false if it was stopped.
fn pause(length: Duration, cancel: &Cancel) -> bool {
    let until = Instant::now() + length;
    while Instant::now() < until {
        if cancel.is_cancelled() {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
    true
}

/// Says what cannot be looked at, once.
fn complain(last: &mut Option<String>, why: String) {
    if last.as_ref() != Some(&why) {
        out::say(&why);
        *last = Some(why);
    }
}

fn log_error(error: PredictionLogError) -> AppError {
    AppError::Data(error.to_string())
}

/// Reads what analysts found; nothing of a file that is not there yet.
fn verdicts(path: &Path) -> Result<AnalystVerdicts, AppError> {
    if !path.exists() {
        return Ok(AnalystVerdicts::new());
    }
    let name = path.display().to_string();
    let table = files::read(disk::read(path)?, &Options::plain(&MISSING));
    table
        .and_then(|table| read_verdicts(&table))
        .map_err(named(&name))
}
