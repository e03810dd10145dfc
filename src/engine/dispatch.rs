//! What is handed out, tried again, held back, stopped and skipped: the decisions of a run, without
//! threads, disk or clock.
//!
//! How: the driver tells what happened (`began`, `ended`, `cancel`, `stop_stages`, `tick`) and asks
//! for the stage that may begin, `next_ready`. It looks whether that stage is up to date, answers with
//! `run`, `look_up`, `reused` or `impossible`, and carries out the commands that piled up, in their
//! order. Every stage is in one place: waiting in the schedule, active (a worker has it, or it was
//! looked up elsewhere in vain and waits for one), held back because an equal action is under way,
//! waiting for its retry, or finished.
//!
//! Looking a stage up takes no place among those that are performed, since it is waiting and not
//! work: many more are looked up at once than can run. So does a stage that another machine carries
//! out, which takes nothing of this one: as many as there may be are sent away, and only what is left
//! is performed here. One that comes back undone stays here.
//!
//! The invariants: each wanted stage is finished once, or once more after its output was lost; no two
//! active stages have the same key; what is taken of the capacity is what active stages take.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::base::digest::Digest;
use crate::base::outcome::StageOutcome;
use crate::engine::capacity::Capacity;
use crate::engine::dispatch_command::{ActionEnd, DispatchCommand, FinishCause, StopReason};
use crate::engine::schedule::Schedule;
use crate::graph::build::Graph;
use crate::stage::limits::Limits;

/// How often a stage is sent back because a blob it needs was lost.
const MAX_REDOS: u32 = 3;

/// What the dispatcher knows of a stage beforehand.
#[derive(Clone, Copy, Debug)]
pub struct DispatchTerms<'a> {
    /// Retries, time and what it takes of the machine.
    pub limits: &'a Limits,
    /// Whether it reads a ref. What depends on one is decided as late as can be.
    pub reads_ref: bool,
    /// Whether another machine may carry it out.
    pub may_go_away: bool,
}

/// What a run is dispatched within.
#[derive(Clone, Debug, Default)]
pub struct DispatchLimits {
    /// How many stages may run at once.
    pub jobs: usize,
    /// How many stages may be looked up elsewhere at once; none if there is nowhere to look.
    pub lookups: usize,
    /// How many stages other machines may have at once; none if there are none.
    pub away: usize,
    /// After so many failures nothing more is begun.
    pub max_failures: Option<usize>,
    /// What there is of what stages take, by name.
    pub capacity: BTreeMap<String, u64>,
    /// Stages that read the same ref, for each ref in the order in which they meet what it points
    /// at: one begins when those before it are over, so that where the ref points in the end does
    /// not depend on how many run at once. None comes before one that it needs.
    pub turns: Vec<Vec<usize>>,
}

/// Where an active stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ActivePlace {
    /// It is being looked up.
    Looking,
    /// It was not found, and a worker is to have it when there is a place.
    Missed,
    /// A worker has it.
    Working,
    /// Another machine has it.
    Away,
}

/// A stage that a worker has, or is to have.
#[derive(Clone, Copy, Debug)]
struct ActiveStage {
    key: Digest,
    place: ActivePlace,
    /// When its work proper began.
    began_ms: Option<u64>,
    stop: Option<StopReason>,
}

/// A stage that failed and waits until it is tried again.
#[derive(Clone, Copy, Debug)]
struct PendingRetry {
    stage: usize,
    key: Digest,
    due_ms: u64,
}

/// The decisions of a run.
#[derive(Clone, Debug)]
pub struct Dispatcher<'a> {
    terms: Vec<DispatchTerms<'a>>,
    jobs: usize,
    lookups: usize,
    away: usize,
    /// Stages that were taken up to be sent away: they take nothing of this machine.
    leaving: HashSet<usize>,
    /// Stages that came back undone.
    staying: HashSet<usize>,
    max_failures: Option<usize>,
    schedule: Schedule<'a>,
    capacity: Capacity,
    turns: Vec<Vec<usize>>,
    /// Stages that are finished.
    over: HashSet<usize>,
    active: BTreeMap<usize, ActiveStage>,
    /// Active stages that were looked up in vain, in their order.
    missed: VecDeque<usize>,
    retries: Vec<PendingRetry>,
    /// Stages that wait because an equal action is under way, with its key.
    coalesced: Vec<(usize, Digest)>,
    /// The keys of the actions this run has recorded.
    made: HashSet<Digest>,
    /// How often a stage has failed.
    failed_attempts: HashMap<usize, u32>,
    /// How often a stage was sent back.
    redos: HashMap<usize, u32>,
    /// How many stages have failed for good.
    failures: usize,
    is_cancelled: bool,
    commands: VecDeque<DispatchCommand>,
}

impl<'a> Dispatcher<'a> {
    /// Makes the dispatcher of the `wanted` stages of a graph. `urgency` and `terms` hold an entry
    /// for each stage of the graph.
    pub fn new(
        graph: &'a Graph,
        wanted: &BTreeSet<usize>,
        urgency: Vec<u64>,
        terms: Vec<DispatchTerms<'a>>,
        limits: DispatchLimits,
    ) -> Self {
        Self {
            terms,
            jobs: limits.jobs.max(1),
            lookups: limits.lookups,
            away: limits.away,
            leaving: HashSet::new(),
            staying: HashSet::new(),
            max_failures: limits.max_failures,
            schedule: Schedule::new(graph, wanted, urgency),
            capacity: Capacity::new(limits.capacity),
            turns: limits.turns,
            over: HashSet::new(),
            active: BTreeMap::new(),
            missed: VecDeque::new(),
            retries: Vec::new(),
            coalesced: Vec::new(),
            made: HashSet::new(),
            failed_attempts: HashMap::new(),
            redos: HashMap::new(),
            failures: 0,
            is_cancelled: false,
            commands: VecDeque::new(),
        }
    }

    /// Returns whether every stage is finished.
    pub fn is_over(&self) -> bool {
        self.schedule.is_over() && self.commands.is_empty()
    }

    /// Returns whether workers, retries or equal actions are waited for.
    pub fn is_waiting(&self) -> bool {
        self.schedule.running() > 0
    }

    /// Returns how many stages workers have.
    pub fn active(&self) -> usize {
        self.active.len() - self.missed.len()
    }

    /// Returns how many active stages are in such a place.
    fn count(&self, place: ActivePlace) -> usize {
        let is_there = |active: &&ActiveStage| active.place == place;
        self.active.values().filter(is_there).count()
    }

    /// Returns whether this run has recorded an action with this key.
    pub fn has_made(&self, key: &Digest) -> bool {
        self.made.contains(key)
    }

    /// Returns whether outputs were lost since the run began, so that what was planned is out of
    /// date.
    pub fn has_redone(&self) -> bool {
        !self.redos.is_empty()
    }

    /// Returns why an active stage was told to stop, if it alone was.
    pub fn stop_reason(&self, stage: usize) -> Option<StopReason> {
        self.active.get(&stage).and_then(|active| active.stop)
    }

    /// Returns the next command.
    pub fn command(&mut self) -> Option<DispatchCommand> {
        self.commands.pop_front()
    }

    /// Returns the next stage that may begin; it has to be answered with `run`, `look_up`, `reused` or
    /// `impossible`.
    pub fn next_ready(&mut self) -> Option<usize> {
        let looking = self.count(ActivePlace::Looking);
        if self.lookups > 0 && looking >= self.lookups {
            return None;
        }
        let here = self.count(ActivePlace::Missed) + self.count(ActivePlace::Working);
        let has_way = self.leaving.len() < self.away;
        let most = |terms: &DispatchTerms<'_>| {
            if terms.reads_ref {
                self.jobs
            } else {
                self.places()
            }
        };
        let mut ready = self.schedule.ready();
        let stage = ready.find(|stage| {
            let terms = &self.terms[*stage];
            let has_place = here < most(terms) && self.capacity.fits(&terms.limits.takes);
            (has_place || has_way && self.may_leave(*stage))
                && (!terms.reads_ref || self.has_turn(*stage))
        })?;
        drop(ready);
        if has_way && self.may_leave(stage) {
            self.leaving.insert(stage);
        } else {
            self.capacity.take(&self.terms[stage].limits.takes);
        }
        self.schedule.take(stage);
        Some(stage)
    }

    /// Returns whether another machine may carry a stage out.
    fn may_leave(&self, stage: usize) -> bool {
        self.terms[stage].may_go_away && !self.staying.contains(&stage)
    }

    /// Gives back what a stage took when it was taken up; returns whether it was to be sent away.
    fn release(&mut self, stage: usize) -> bool {
        let was_leaving = self.leaving.remove(&stage);
        if !was_leaving {
            self.capacity.give(&self.terms[stage].limits.takes);
        }
        was_leaving
    }

    /// How many stages workers may have: while some run, others prepare and keep.
    fn places(&self) -> usize {
        2 * self.jobs
    }

    /// Returns whether all that read a ref of this stage before it are over.
    fn has_turn(&self, stage: usize) -> bool {
        self.turns.iter().all(|turns| {
            let mut before = turns.iter().take_while(|other| **other != stage);
            !turns.contains(&stage) || before.all(|other| self.over.contains(other))
        })
    }

    /// The stage has to run. If an action with its key is under way it is held back, and asked about
    /// again once that is over. Returns whether it goes to a worker.
    pub fn run(&mut self, stage: usize, key: Digest) -> bool {
        let place = self.place(stage);
        self.begin(stage, key, place)
    }

    /// The stage has to run unless it is found elsewhere: the same as `run`, but it is looked up first.
    pub fn look_up(&mut self, stage: usize, key: Digest) -> bool {
        self.begin(stage, key, ActivePlace::Looking)
    }

    /// Where a stage is carried out that was taken up.
    fn place(&self, stage: usize) -> ActivePlace {
        match self.leaving.contains(&stage) {
            true => ActivePlace::Away,
            false => ActivePlace::Working,
        }
    }

    fn begin(&mut self, stage: usize, key: Digest, place: ActivePlace) -> bool {
        if self.is_under_way(&key) {
            self.release(stage);
            self.coalesced.push((stage, key));
            return false;
        }
        let active = ActiveStage {
            key,
            place,
            began_ms: None,
            stop: None,
        };
        self.active.insert(stage, active);
        self.commands.push_back(match place {
            ActivePlace::Looking => DispatchCommand::LookUp(stage),
            ActivePlace::Away => DispatchCommand::SendAway(stage),
            ActivePlace::Missed | ActivePlace::Working => DispatchCommand::Perform(stage),
        });
        true
    }

    /// A stage that was looked up was not found: it goes to a worker as soon as there is a place.
    pub fn missed(&mut self, stage: usize, now_ms: u64) {
        let active = self.active.get_mut(&stage);
        let active = active.expect("only what is looked up is missed");
        if self.is_cancelled || active.stop.is_some() {
            self.ended(stage, ActionEnd::Stopped, now_ms);
            return;
        }
        if self.leaving.contains(&stage) {
            active.place = ActivePlace::Away;
            self.commands.push_back(DispatchCommand::SendAway(stage));
            return;
        }
        active.place = ActivePlace::Missed;
        self.missed.push_back(stage);
        self.fill_places();
    }

    /// Gives places that are free to stages that were looked up in vain.
    fn fill_places(&mut self) {
        let mut free = self
            .places()
            .saturating_sub(self.count(ActivePlace::Working));
        while free > 0
            && let Some(stage) = self.missed.pop_front()
        {
            free -= 1;
            let active = self.active.get_mut(&stage);
            active.expect("what was missed is active").place = ActivePlace::Working;
            self.commands.push_back(DispatchCommand::Perform(stage));
        }
    }

    /// Ends all stages that were looked up in vain and that no worker has yet.
    fn drop_all_missed(&mut self, reason: Option<StopReason>) {
        // All at once, or the place of one that ends would be given to the next.
        for stage in std::mem::take(&mut self.missed) {
            self.drop_missed(stage, reason);
        }
    }

    /// Ends a stage that no worker has yet.
    fn drop_missed(&mut self, stage: usize, reason: Option<StopReason>) {
        self.missed.retain(|other| *other != stage);
        if let Some(active) = self.active.get_mut(&stage) {
            active.stop = reason;
        }
        self.ended(stage, ActionEnd::Stopped, 0);
    }

    /// The stage is up to date.
    pub fn reused(&mut self, stage: usize) {
        self.release(stage);
        self.succeed(stage, StageOutcome::Reused);
    }

    /// What the stage needs was made, was lost, and could not be made again.
    pub fn impossible(&mut self, stage: usize) {
        self.release(stage);
        self.give_up(stage, StageOutcome::Skipped);
    }

    /// The work proper of an active stage began.
    pub fn began(&mut self, stage: usize, now_ms: u64) {
        if let Some(active) = self.active.get_mut(&stage) {
            active.began_ms = Some(now_ms);
        }
    }

    /// An active stage came back.
    pub fn ended(&mut self, stage: usize, end: ActionEnd, now_ms: u64) {
        let active = self.active.remove(&stage);
        let active = active.expect("only what a worker has comes back");
        self.release(stage);
        match end {
            ActionEnd::Returned => self.returned(stage, active, now_ms),
            ActionEnd::Made => {
                self.made.insert(active.key);
                // Should its output be lost, it begins anew.
                self.failed_attempts.remove(&stage);
                self.succeed(stage, StageOutcome::Made);
            }
            ActionEnd::Fetched => {
                self.made.insert(active.key);
                self.failed_attempts.remove(&stage);
                self.succeed(stage, StageOutcome::Reused);
            }
            ActionEnd::Lost(lost) if self.may_redo(stage) => self.redo(stage, &lost),
            ActionEnd::Lost(_) => self.give_up(stage, StageOutcome::Failed),
            ActionEnd::Stopped => self.stopped(stage, active, now_ms),
            ActionEnd::Failed { may_pass } => self.failed(stage, active, may_pass, now_ms),
        }
        self.fill_places();
    }

    /// Takes up a stage again that no other machine could carry out.
    fn returned(&mut self, stage: usize, mut active: ActiveStage, now_ms: u64) {
        self.staying.insert(stage);
        if active.stop.is_none() && self.has_too_many_failures() {
            active.stop = Some(StopReason::TooManyFailures);
        }
        match active.stop.is_some() || self.is_cancelled {
            true => self.stopped(stage, active, now_ms),
            false => self.schedule.redo(stage, &[]),
        }
    }

    /// Ends a stage that was told to stop.
    fn stopped(&mut self, stage: usize, active: ActiveStage, now_ms: u64) {
        match active.stop {
            Some(StopReason::TimedOut) => self.failed(stage, active, true, now_ms),
            Some(StopReason::TooManyFailures) => self.give_up(stage, StageOutcome::Skipped),
            Some(StopReason::Asked) | None => self.give_up(stage, StageOutcome::Cancelled),
        }
    }

    /// Begins nothing more. What is active hears of it through the run's own cancel token.
    pub fn cancel(&mut self) {
        self.is_cancelled = true;
        self.wake_coalesced();
        self.drop_all_missed(None);
        for stage in self.schedule.stop() {
            self.finish(stage, StageOutcome::Cancelled, FinishCause::Own);
        }
        for retry in std::mem::take(&mut self.retries) {
            self.give_up(retry.stage, StageOutcome::Cancelled);
        }
    }

    /// Stops those of these stages that are not over; what depends on them is not begun.
    pub fn stop_stages(&mut self, stages: &[usize]) {
        self.wake_coalesced();
        for &stage in stages {
            if self.missed.contains(&stage) {
                self.drop_missed(stage, Some(StopReason::Asked));
            } else if let Some(active) = self.active.get_mut(&stage) {
                active.stop = Some(StopReason::Asked);
                self.commands.push_back(DispatchCommand::Stop(stage));
            } else if let Some(at) = self.retries.iter().position(|retry| retry.stage == stage) {
                self.retries.remove(at);
                self.give_up(stage, StageOutcome::Cancelled);
            } else if let Some(below) = self.schedule.withdraw(stage) {
                self.finish(stage, StageOutcome::Cancelled, FinishCause::Own);
                self.skip(stage, below, StageOutcome::Cancelled);
            } else {
                continue;
            }
            self.commands.push_back(DispatchCommand::SayStopping(stage));
        }
    }

    /// Time has passed: what takes too long is told to stop, and what waited long enough, for its
    /// retry or for an equal action, may begin.
    pub fn tick(&mut self, now_ms: u64) {
        self.stop_overdue(now_ms);
        self.free_due_retries(now_ms);
        self.free_coalesced();
    }

    fn stop_overdue(&mut self, now_ms: u64) {
        for (&stage, active) in &mut self.active {
            let (Some(timeout), Some(began_ms)) =
                (self.terms[stage].limits.timeout, active.began_ms)
            else {
                continue;
            };
            let ran = Duration::from_millis(now_ms.saturating_sub(began_ms));
            if ran > timeout && active.stop.is_none() {
                active.stop = Some(StopReason::TimedOut);
                self.commands.push_back(DispatchCommand::Stop(stage));
            }
        }
    }

    /// Puts stages whose wait is over back among those that are ready: they are decided about again,
    /// for what they read may have changed since.
    fn free_due_retries(&mut self, now_ms: u64) {
        for retry in std::mem::take(&mut self.retries) {
            if retry.due_ms <= now_ms {
                self.schedule.redo(retry.stage, &[]);
            } else {
                self.retries.push(retry);
            }
        }
    }

    fn succeed(&mut self, stage: usize, outcome: StageOutcome) {
        self.schedule.succeed(stage);
        self.finish(stage, outcome, FinishCause::Own);
    }

    fn failed(&mut self, stage: usize, active: ActiveStage, may_pass: bool, now_ms: u64) {
        let limits = self.terms[stage].limits;
        let failed = self.failed_attempts.entry(stage).or_default();
        *failed += 1;
        let failed = *failed;
        let was_asked = active.stop == Some(StopReason::Asked);
        let is_stopping = self.is_cancelled || self.has_too_many_failures() || was_asked;
        if !may_pass || is_stopping || failed > limits.retries {
            self.give_up(stage, StageOutcome::Failed);
            return;
        }
        let wait = limits.wait(failed);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.retries.push(PendingRetry {
            stage,
            key: active.key,
            due_ms: now_ms.saturating_add(wait_ms),
        });
        let attempt = failed + 1;
        self.commands.push_back(DispatchCommand::SayRetry {
            stage,
            attempt,
            wait,
        });
    }

    /// Returns whether an active stage that found a blob lost may be sent back.
    pub fn may_redo(&self, stage: usize) -> bool {
        let redos = self.redos.get(&stage).copied().unwrap_or_default();
        redos < MAX_REDOS && !self.is_cancelled && !self.has_too_many_failures()
    }

    fn redo(&mut self, stage: usize, lost: &[usize]) {
        *self.redos.entry(stage).or_default() += 1;
        for need in lost {
            self.redos.entry(*need).or_default();
            self.over.remove(need);
        }
        self.schedule.redo(stage, lost);
    }

    /// Returns whether a stage with this key runs, or is to be tried again.
    fn is_under_way(&self, key: &Digest) -> bool {
        let is_active = self.active.values().any(|active| active.key == *key);
        is_active || self.retries.iter().any(|retry| retry.key == *key)
    }

    /// Lets those go on that waited for an equal action that is over.
    fn free_coalesced(&mut self) {
        let mut held = std::mem::take(&mut self.coalesced);
        held.retain(|(stage, key)| {
            let is_held = self.is_under_way(key);
            if !is_held {
                self.schedule.redo(*stage, &[]);
            }
            is_held
        });
        self.coalesced = held;
    }

    /// Puts all that wait for an equal action back among those that are ready.
    fn wake_coalesced(&mut self) {
        for (stage, _) in std::mem::take(&mut self.coalesced) {
            self.schedule.redo(stage, &[]);
        }
    }

    /// Ends a stage that did not give what it should, and all that depends on it.
    fn give_up(&mut self, stage: usize, outcome: StageOutcome) {
        self.finish(stage, outcome, FinishCause::Own);
        let below = self.schedule.fail(stage);
        self.skip(stage, below, outcome);
        if outcome == StageOutcome::Failed {
            self.failures += 1;
            if self.has_too_many_failures() {
                self.halt();
            }
        }
    }

    /// Ends what depends on a stage that ended like this.
    fn skip(&mut self, stage: usize, below: Vec<usize>, outcome: StageOutcome) {
        let outcome = if outcome == StageOutcome::Cancelled {
            StageOutcome::Cancelled
        } else {
            StageOutcome::Skipped
        };
        for skipped in below {
            self.finish(skipped, outcome, FinishCause::NoOutput(stage));
        }
    }

    fn has_too_many_failures(&self) -> bool {
        self.max_failures.is_some_and(|most| self.failures >= most)
    }

    /// Lets what runs go on and begins nothing more.
    fn halt(&mut self) {
        let cause = FinishCause::TooManyFailures(self.failures);
        self.wake_coalesced();
        for stage in self.schedule.stop() {
            if self.failed_attempts.contains_key(&stage) {
                // It was to be tried again.
                self.failures += 1;
                self.finish(stage, StageOutcome::Failed, FinishCause::Own);
            } else {
                self.finish(stage, StageOutcome::Skipped, cause);
            }
        }
        self.drop_all_missed(Some(StopReason::TooManyFailures));
        for (&stage, active) in &mut self.active {
            if active.began_ms.is_none() {
                active.stop = Some(StopReason::TooManyFailures);
                self.commands.push_back(DispatchCommand::Stop(stage));
            }
        }
        for retry in std::mem::take(&mut self.retries) {
            self.give_up(retry.stage, StageOutcome::Failed);
        }
    }

    fn finish(&mut self, stage: usize, outcome: StageOutcome, cause: FinishCause) {
        self.over.insert(stage);
        self.commands.push_back(DispatchCommand::Finish {
            stage,
            outcome,
            cause,
        });
    }
}
