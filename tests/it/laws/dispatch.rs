//! The decisions of a run against a simulated world: any graph, limits, failures, losses, requests
//! and order of events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use netsec::base::digest::Digest;
use netsec::base::outcome::StageOutcome;
use netsec::engine::dispatch::{DispatchLimits, DispatchTerms, Dispatcher};
use netsec::engine::dispatch_command::{ActionEnd, DispatchCommand, FinishCause, StopReason};
use netsec::graph::build::Graph;
use netsec::graph::order::{downstream, upstream};
use netsec::stage::limits::Limits;
use proptest::prelude::*;

use crate::dice::Dice;

/// A world in which a run goes on.
#[derive(Clone, Debug)]
struct Scene {
    count: usize,
    needs: Vec<(usize, usize)>,
    limits: Vec<Limits>,
    reads_ref: Vec<bool>,
    may_go_away: Vec<bool>,
    /// Stages with the same number here are equal actions.
    keys: Vec<u8>,
    run: DispatchLimits,
    /// How likely it is, in percent, that an action fails, finds a blob lost, is stopped by name;
    /// that the run is cancelled.
    fails: usize,
    loses: usize,
    stops: usize,
    cancels: usize,
    seed: u64,
}

fn scenes() -> impl Strategy<Value = Scene> {
    let graph = (1_usize..16).prop_flat_map(|count| {
        let need = (1..count.max(2)).prop_flat_map(|user| (Just(user), 0..user));
        let most = if count == 1 { 0 } else { 30 };
        (Just(count), prop::collection::vec(need, 0..=most))
    });
    graph.prop_flat_map(|(count, needs)| {
        let limits = (0_u32..3, 0_u64..3, prop::option::of(1_u64..20), 0_u64..4).prop_map(
            |(retries, backoff, timeout, gpu)| Limits {
                retries,
                backoff: Duration::from_millis(backoff * 10),
                timeout: timeout.map(|timeout| Duration::from_millis(timeout * 10)),
                takes: BTreeMap::from([("gpu".to_owned(), gpu)]),
                ..Limits::default()
            },
        );
        let run = (1_usize..4, prop::option::of(1_usize..3), 1_u64..4).prop_map(
            |(jobs, max_failures, gpus)| DispatchLimits {
                jobs,
                // As many as not, nowhere to look.
                lookups: [0, 4, 8, 0][jobs],
                away: [0, 2, 0, 1][jobs],
                max_failures,
                capacity: BTreeMap::from([("gpu".to_owned(), gpus)]),
                ..DispatchLimits::default()
            },
        );
        let chances = (
            0_usize..60,
            prop_oneof![Just(0_usize), Just(20)],
            prop_oneof![Just(0_usize), Just(5)],
            prop_oneof![Just(0_usize), Just(5)],
        );
        (
            Just((count, needs)),
            prop::collection::vec(limits, count),
            prop::collection::vec(any::<(bool, bool)>(), count),
            prop::collection::vec(0_u8..20, count),
            run,
            chances,
            any::<u64>(),
        )
            .prop_map(
                |((count, needs), limits, terms, keys, run, chances, seed)| {
                    let (reads_ref, may_go_away) = terms.into_iter().unzip();
                    let (fails, loses, stops, cancels) = chances;
                    Scene {
                        count,
                        needs,
                        limits,
                        reads_ref,
                        may_go_away,
                        keys,
                        run,
                        fails,
                        loses,
                        stops,
                        cancels,
                        seed,
                    }
                },
            )
    })
}

/// What the world knows of an action that a worker has.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    began_ms: Option<u64>,
    is_told: bool,
    way: Way,
}

/// Where an action is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Way {
    #[default]
    Here,
    LookedUp,
    Away,
}

/// What has happened.
#[derive(Default)]
struct Witness {
    now_ms: u64,
    held: BTreeMap<usize, Held>,
    outcomes: BTreeMap<usize, StageOutcome>,
    causes: BTreeMap<usize, FinishCause>,
    /// Stages whose output is there.
    whole: BTreeSet<usize>,
    finishes: BTreeMap<usize, usize>,
    losses: BTreeMap<usize, usize>,
    failed_attempts: BTreeMap<usize, u32>,
    /// Until when nothing may be tried again.
    due_ms: BTreeMap<usize, u64>,
    failures: usize,
    asked: BTreeSet<usize>,
    /// Stages that were looked up, and not performed since.
    looked_up: BTreeSet<usize>,
    /// Stages that other machines could not carry out.
    returned: BTreeSet<usize>,
    is_cancelled: bool,
}

struct Simulation<'a> {
    scene: &'a Scene,
    graph: &'a Graph,
    dispatcher: Dispatcher<'a>,
    dice: Dice,
    witness: Witness,
}

impl<'a> Simulation<'a> {
    fn new(scene: &'a Scene, graph: &'a Graph) -> Self {
        let wanted = (0..scene.count).collect();
        let terms = (0..scene.count).map(|stage| DispatchTerms {
            limits: &scene.limits[stage],
            reads_ref: scene.reads_ref[stage],
            may_go_away: scene.may_go_away[stage],
        });
        let urgency = vec![0; scene.count];
        let readers = (0..scene.count).filter(|stage| scene.reads_ref[*stage]);
        let limits = DispatchLimits {
            turns: vec![readers.collect()],
            ..scene.run.clone()
        };
        Self {
            scene,
            graph,
            dispatcher: Dispatcher::new(graph, &wanted, urgency, terms.collect(), limits),
            dice: Dice(scene.seed),
            witness: Witness::default(),
        }
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.dice.below(100) < chance
    }

    fn key(&self, stage: usize) -> Digest {
        Digest::of(&[self.scene.keys[stage]])
    }

    /// Plays until the run is over.
    fn play(&mut self) -> Result<(), TestCaseError> {
        let mut steps = 0;
        while !self.dispatcher.is_over() {
            steps += 1;
            prop_assert!(steps < 20_000, "it always ends: {:?}", self.dispatcher);
            self.dispatcher.tick(self.witness.now_ms);
            self.obey()?;
            while let Some(stage) = self.dispatcher.next_ready() {
                self.decide(stage);
                self.obey()?;
            }
            self.check_active()?;
            self.check_overdue()?;
            self.happen()?;
            self.obey()?;
        }
        Ok(())
    }

    fn decide(&mut self, stage: usize) {
        let key = self.key(stage);
        let needs = self.graph.needs(stage);
        let is_lost = |need: &&usize| !self.witness.whole.contains(need);
        let mut lost = needs.iter().filter(is_lost).peekable();
        if lost.peek().is_some() {
            let may_come = |need: &usize| self.witness.outcomes[need].is_success();
            assert!(
                !lost.any(may_come),
                "what it needs is lost and is to be made again first"
            );
            // It could not be made again.
            self.dispatcher.impossible(stage);
            return;
        }
        if self.dispatcher.has_made(&key) && !self.witness.losses.contains_key(&stage)
            || self.percent(5)
        {
            self.dispatcher.reused(stage);
        } else {
            let _ = match self.scene.run.lookups > 0 && self.percent(80) {
                true => self.dispatcher.look_up(stage, key),
                false => self.dispatcher.run(stage, key),
            };
        }
    }

    /// Lets one thing happen.
    fn happen(&mut self) -> Result<(), TestCaseError> {
        if !self.witness.is_cancelled && self.percent(self.scene.cancels) {
            self.witness.is_cancelled = true;
            self.dispatcher.cancel();
        }
        if self.percent(self.scene.stops) {
            let stage = self.dice.below(self.scene.count);
            self.witness.asked.insert(stage);
            self.dispatcher.stop_stages(&[stage]);
        }
        self.obey()?;
        let held: Vec<usize> = self.witness.held.keys().copied().collect();
        if held.is_empty() || self.percent(30) {
            self.witness.now_ms += 10;
            return Ok(());
        }
        let stage = held[self.dice.below(held.len())];
        let now_ms = self.witness.now_ms;
        let is_found = self.percent(40);
        let action = self.witness.held.get_mut(&stage).expect("it is held");
        if action.way == Way::LookedUp {
            self.witness.held.remove(&stage);
            match is_found {
                true => {
                    self.witness.failed_attempts.remove(&stage);
                    self.dispatcher.ended(stage, ActionEnd::Fetched, now_ms);
                }
                false => self.dispatcher.missed(stage, now_ms),
            }
            return Ok(());
        }
        if action.began_ms.is_none() && !action.is_told {
            action.began_ms = Some(now_ms);
            self.dispatcher.began(stage, now_ms);
            return Ok(());
        }
        self.come_back(stage)
    }

    fn come_back(&mut self, stage: usize) -> Result<(), TestCaseError> {
        let held = self.witness.held.remove(&stage).expect("it is held");
        let now_ms = self.witness.now_ms;
        let stop = self.dispatcher.stop_reason(stage);
        let is_timed_out = stop == Some(StopReason::TimedOut);
        let end = if held.way == Way::Away && self.percent(30) {
            self.witness.returned.insert(stage);
            ActionEnd::Returned
        } else if held.is_told || self.witness.is_cancelled {
            ActionEnd::Stopped
        } else if self.percent(self.scene.loses) {
            // Some of what it needs, of which one may need another.
            let mut lost = self.graph.needs(stage);
            lost.retain(|need| self.witness.whole.contains(need) && self.percent(60));
            ActionEnd::Lost(lost)
        } else if self.percent(self.scene.fails) {
            let may_pass = self.percent(80);
            ActionEnd::Failed { may_pass }
        } else {
            self.witness.failed_attempts.remove(&stage);
            ActionEnd::Made
        };
        let is_failure =
            matches!(end, ActionEnd::Failed { .. }) || end != ActionEnd::Made && is_timed_out;
        if is_failure {
            let failed = self.witness.failed_attempts.entry(stage).or_default();
            *failed += 1;
            let wait = self.scene.limits[stage].wait(*failed).as_millis();
            let wait = u64::try_from(wait).expect("a short wait");
            self.witness.due_ms.insert(stage, now_ms + wait);
        }
        if let ActionEnd::Lost(lost) = &end
            && self.dispatcher.may_redo(stage)
        {
            for need in lost {
                self.witness.whole.remove(need);
                *self.witness.losses.entry(*need).or_default() += 1;
            }
        }
        self.dispatcher.ended(stage, end, now_ms);
        Ok(())
    }

    fn obey(&mut self) -> Result<(), TestCaseError> {
        while let Some(command) = self.dispatcher.command() {
            let seen = &mut self.witness;
            match command {
                DispatchCommand::Perform(stage) => self.check_begun(stage, Way::Here)?,
                DispatchCommand::SendAway(stage) => {
                    prop_assert!(self.scene.may_go_away[stage] && !seen.returned.contains(&stage));
                    self.check_begun(stage, Way::Away)?;
                }
                DispatchCommand::LookUp(stage) => {
                    seen.looked_up.insert(stage);
                    self.check_begun(stage, Way::LookedUp)?;
                }
                DispatchCommand::Stop(stage) => {
                    let held = seen.held.get_mut(&stage);
                    prop_assert!(held.is_some(), "only what a worker has is stopped");
                    held.expect("looked at").is_told = true;
                }
                DispatchCommand::SayStopping(stage) => prop_assert!(seen.asked.contains(&stage)),
                DispatchCommand::SayRetry { stage, attempt, .. } => {
                    prop_assert_eq!(attempt, seen.failed_attempts[&stage] + 1);
                    prop_assert!(attempt <= self.scene.limits[stage].retries + 1);
                }
                DispatchCommand::Finish {
                    stage,
                    outcome,
                    cause,
                } => {
                    *seen.finishes.entry(stage).or_default() += 1;
                    seen.outcomes.insert(stage, outcome);
                    seen.causes.insert(stage, cause);
                    if outcome.is_success() {
                        seen.whole.insert(stage);
                    }
                    if outcome == StageOutcome::Failed {
                        seen.failures += 1;
                    }
                }
            }
        }
        Ok(())
    }

    fn check_begun(&mut self, stage: usize, way: Way) -> Result<(), TestCaseError> {
        let seen = &mut self.witness;
        // What it needs may have been lost since it was looked up: the worker finds that.
        let was_there = way != Way::LookedUp && seen.looked_up.remove(&stage);
        prop_assert!(
            !seen.is_cancelled,
            "nothing is begun after the run was cancelled"
        );
        let is_halted = self
            .scene
            .run
            .max_failures
            .is_some_and(|most| seen.failures >= most);
        prop_assert!(!is_halted, "nothing is begun after too many failures");
        let needs = self.graph.needs(stage);
        prop_assert!(
            was_there || needs.iter().all(|need| seen.whole.contains(need)),
            "what {stage} needs is there"
        );
        let held = Held {
            way,
            ..Held::default()
        };
        let due_ms = seen.due_ms.get(&stage).copied().unwrap_or_default();
        prop_assert!(due_ms <= seen.now_ms, "no retry before its time");
        prop_assert!(seen.held.insert(stage, held).is_none(), "one worker has it");
        Ok(())
    }

    /// What workers have at once is within every limit.
    fn check_active(&self) -> Result<(), TestCaseError> {
        let held: Vec<usize> = self.witness.held.keys().copied().collect();
        prop_assert_eq!(held.len(), self.dispatcher.active());
        let count = |way: Way| {
            let values = self.witness.held.values();
            values.filter(|held| held.way == way).count()
        };
        prop_assert!(count(Way::LookedUp) <= self.scene.run.lookups);
        prop_assert!(count(Way::Away) <= self.scene.run.away);
        prop_assert!(count(Way::Here) <= 2 * self.scene.run.jobs);
        let keys: BTreeSet<u8> = held.iter().map(|stage| self.scene.keys[*stage]).collect();
        prop_assert_eq!(keys.len(), held.len(), "equal actions do not run at once");
        let whole = self.scene.run.capacity["gpu"];
        let here = held
            .iter()
            .filter(|stage| self.witness.held[*stage].way == Way::Here);
        let taken = here.map(|stage| self.scene.limits[*stage].takes["gpu"].min(whole));
        prop_assert!(
            taken.sum::<u64>() <= whole,
            "no more is taken than there is"
        );
        Ok(())
    }

    /// Whatever takes longer than it may has been told to stop.
    fn check_overdue(&self) -> Result<(), TestCaseError> {
        for (stage, held) in &self.witness.held {
            let timeout = self.scene.limits[*stage].timeout;
            if let (Some(timeout), Some(began_ms)) = (timeout, held.began_ms) {
                let ran = Duration::from_millis(self.witness.now_ms - began_ms);
                prop_assert!(ran <= timeout || held.is_told);
            }
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), TestCaseError> {
        let seen = &self.witness;
        prop_assert!(seen.held.is_empty() && !self.dispatcher.is_waiting());
        for stage in 0..self.scene.count {
            let finishes = seen.finishes.get(&stage).copied().unwrap_or_default();
            let losses = seen.losses.get(&stage).copied().unwrap_or_default();
            prop_assert!(
                (1..=1 + losses).contains(&finishes),
                "{stage}: {finishes} of {losses}"
            );
            let attempts = seen
                .failed_attempts
                .get(&stage)
                .copied()
                .unwrap_or_default();
            prop_assert!(attempts <= self.scene.limits[stage].retries + 1);
            if let FinishCause::NoOutput(above) = seen.causes[&stage] {
                let graph = self.graph;
                prop_assert!(upstream(graph, &BTreeSet::from([stage])).contains(&above));
                prop_assert!(!seen.outcomes[&above].is_success());
            }
        }
        let is_quiet = !seen.is_cancelled && seen.asked.is_empty() && seen.losses.is_empty();
        if is_quiet && self.scene.run.max_failures.is_none() {
            self.check_quiet_end()?;
        }
        Ok(())
    }

    /// Where nobody intervened, what is below a failure is skipped, and nothing else.
    fn check_quiet_end(&self) -> Result<(), TestCaseError> {
        let with = |outcome: StageOutcome| -> BTreeSet<usize> {
            let outcomes = self.witness.outcomes.iter();
            let meant = outcomes.filter(|(_, other)| **other == outcome);
            meant.map(|(stage, _)| *stage).collect()
        };
        let failed = with(StageOutcome::Failed);
        let below: BTreeSet<usize> = downstream(self.graph, &failed)
            .difference(&failed)
            .copied()
            .collect();
        prop_assert_eq!(with(StageOutcome::Skipped), below);
        prop_assert!(with(StageOutcome::Cancelled).is_empty());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_run_ends_within_its_limits_whatever_happens(scene in scenes()) {
        let graph = Graph::new(scene.count, scene.needs.clone()).unwrap();
        let mut simulation = Simulation::new(&scene, &graph);
        simulation.play()?;
        simulation.check_end()?;
    }

    #[test]
    fn the_same_events_give_the_same_decisions(scene in scenes()) {
        let graph = Graph::new(scene.count, scene.needs.clone()).unwrap();
        let mut once = Simulation::new(&scene, &graph);
        let mut twice = Simulation::new(&scene, &graph);
        once.play()?;
        twice.play()?;
        prop_assert_eq!(once.witness.outcomes, twice.witness.outcomes);
        prop_assert_eq!(once.witness.now_ms, twice.witness.now_ms);
    }
}

#[test]
fn what_was_looked_up_in_vain_is_not_begun_after_too_many_failures() {
    let (graph, limits) = (Graph::new(5, Vec::new()).unwrap(), Limits::default());
    let terms = DispatchTerms {
        limits: &limits,
        reads_ref: false,
        may_go_away: false,
    };
    let run = DispatchLimits {
        jobs: 1,
        lookups: 10,
        max_failures: Some(1),
        ..DispatchLimits::default()
    };
    let wanted = (0..5).collect();
    let mut dispatcher = Dispatcher::new(&graph, &wanted, vec![0; 5], vec![terms; 5], run);
    while let Some(stage) = dispatcher.next_ready() {
        assert!(dispatcher.look_up(stage, Digest::of(&[stage as u8])));
    }
    (0..5).for_each(|stage| dispatcher.missed(stage, 0));
    let mut performed = Vec::new();
    while let Some(command) = dispatcher.command() {
        if let DispatchCommand::Perform(stage) = command {
            performed.push(stage);
        }
    }
    assert_eq!(performed.len(), 2, "there are two places");
    let failed = ActionEnd::Failed { may_pass: false };
    dispatcher.ended(performed[0], failed, 0);
    while let Some(command) = dispatcher.command() {
        assert!(
            !matches!(command, DispatchCommand::Perform(_)),
            "{command:?}"
        );
    }
    assert_eq!(dispatcher.active(), 1, "only the other one is still there");
    dispatcher.ended(performed[1], ActionEnd::Stopped, 0);
    while dispatcher.command().is_some() {}
    assert!(dispatcher.is_over());
}
