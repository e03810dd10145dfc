//! Which action is next: a state machine without threads, disk or clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::graph::build::Graph;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StageState {
    /// So many of its needs are not done.
    Waiting(usize),
    /// All its needs are done.
    Ready,
    /// It was handed out.
    Running,
    /// It is done.
    Done,
    /// It failed, or something it needs did.
    Out,
}

/// The stages of a run and how far each is.
#[derive(Clone, Debug)]
pub struct Schedule<'a> {
    graph: &'a Graph,
    states: BTreeMap<usize, StageState>,
    /// The urgency of each stage: what is ready is handed out by it, the most urgent first.
    urgency: Vec<u64>,
    ready: BTreeSet<(Reverse<u64>, usize)>,
    running: usize,
}

impl<'a> Schedule<'a> {
    /// Makes the schedule of `stages`; needs outside of it count as done. `urgency` holds a number
    /// for each stage of the graph; of stages equally urgent, the earliest of the file goes first.
    pub fn new(graph: &'a Graph, stages: &BTreeSet<usize>, urgency: Vec<u64>) -> Self {
        let open = |stage: usize| {
            graph
                .needs(stage)
                .into_iter()
                .filter(|need| stages.contains(need))
                .count()
        };
        let state = |stage: usize| match open(stage) {
            0 => StageState::Ready,
            open => StageState::Waiting(open),
        };
        let states: BTreeMap<usize, StageState> =
            stages.iter().map(|&stage| (stage, state(stage))).collect();
        let is_ready = |(_, state): &(&usize, &StageState)| **state == StageState::Ready;
        let ready = states
            .iter()
            .filter(is_ready)
            .map(|(stage, _)| (Reverse(urgency[*stage]), *stage))
            .collect();
        Self {
            graph,
            states,
            urgency,
            ready,
            running: 0,
        }
    }

    /// Returns the stages that can be handed out, the one to be handed out next first.
    pub fn ready(&self) -> impl Iterator<Item = usize> {
        self.ready.iter().map(|(_, stage)| *stage)
    }

    /// Hands out a stage that is ready.
    pub fn take(&mut self, stage: usize) {
        self.ready.remove(&self.place(stage));
        self.states.insert(stage, StageState::Running);
        self.running += 1;
    }

    fn place(&self, stage: usize) -> (Reverse<u64>, usize) {
        (Reverse(self.urgency[stage]), stage)
    }

    /// Notes that a stage that was handed out is done.
    pub fn succeed(&mut self, stage: usize) {
        self.leave(stage, StageState::Done);
        for user in self.graph.users(stage) {
            if let Some(StageState::Waiting(open)) = self.states.get(&user).copied() {
                let state = if open == 1 {
                    StageState::Ready
                } else {
                    StageState::Waiting(open - 1)
                };
                self.states.insert(user, state);
                if state == StageState::Ready {
                    self.ready.insert(self.place(user));
                }
            }
        }
    }

    /// Notes that a stage that was handed out failed; returns what is skipped because of it, in
    /// order.
    pub fn fail(&mut self, stage: usize) -> Vec<usize> {
        self.leave(stage, StageState::Out);
        self.skip_below(stage)
    }

    /// Takes a stage out that was not handed out yet, and all that depends on it, which is returned
    /// in order; `None`, and nothing is changed, if it was handed out or is out.
    pub fn withdraw(&mut self, stage: usize) -> Option<Vec<usize>> {
        if !matches!(
            self.states.get(&stage),
            Some(StageState::Waiting(_) | StageState::Ready)
        ) {
            return None;
        }
        self.ready.remove(&self.place(stage));
        self.states.insert(stage, StageState::Out);
        Some(self.skip_below(stage))
    }

    fn skip_below(&mut self, stage: usize) -> Vec<usize> {
        let mut skipped = BTreeSet::new();
        let mut open = vec![stage];
        while let Some(failed) = open.pop() {
            for user in self.graph.users(failed) {
                if matches!(
                    self.states.get(&user),
                    Some(StageState::Waiting(_) | StageState::Ready)
                ) {
                    self.states.insert(user, StageState::Out);
                    self.ready.remove(&self.place(user));
                    skipped.insert(user);
                    open.push(user);
                }
            }
        }
        skipped.into_iter().collect()
    }

    /// Takes back a stage that was handed out, because `lost`, done before, have to be done again
    /// first. It is ready again when all it needs is done.
    pub fn redo(&mut self, stage: usize, lost: &[usize]) {
        self.leave(stage, StageState::Waiting(0));
        let done = lost
            .iter()
            .filter(|need| self.states.get(need) == Some(&StageState::Done));
        let mut again: Vec<usize> = done.copied().collect();
        for need in &again {
            self.states.insert(*need, StageState::Waiting(0));
        }
        for need in &again {
            let users = self.graph.users(*need).into_iter();
            for user in users.filter(|user| !again.contains(user)) {
                match self.states.get(&user).copied() {
                    Some(StageState::Waiting(open)) => {
                        self.states.insert(user, StageState::Waiting(open + 1));
                    }
                    Some(StageState::Ready) => {
                        self.ready.remove(&self.place(user));
                        self.states.insert(user, StageState::Waiting(1));
                    }
                    _ => {}
                }
            }
        }
        again.push(stage);
        // Of those that are lost one may need another.
        for stage in again {
            let needs = self.graph.needs(stage).into_iter();
            match needs.filter(|need| self.is_open(*need)).count() {
                0 => {
                    self.states.insert(stage, StageState::Ready);
                    self.ready.insert(self.place(stage));
                }
                open => {
                    self.states.insert(stage, StageState::Waiting(open));
                }
            }
        }
    }

    fn is_open(&self, stage: usize) -> bool {
        matches!(
            self.states.get(&stage),
            Some(StageState::Waiting(_) | StageState::Ready | StageState::Running)
        )
    }

    /// Takes every stage out that was not handed out yet; returns them in order.
    pub fn stop(&mut self) -> Vec<usize> {
        let open: Vec<usize> = (self.states.iter())
            .filter(|(_, state)| matches!(state, StageState::Waiting(_) | StageState::Ready))
            .map(|(stage, _)| *stage)
            .collect();
        for stage in &open {
            self.states.insert(*stage, StageState::Out);
        }
        self.ready.clear();
        open
    }

    /// Returns whether nothing is handed out and nothing is left to hand out.
    pub fn is_over(&self) -> bool {
        self.running == 0 && self.ready.is_empty()
    }

    /// Returns how many stages are handed out and not back.
    pub fn running(&self) -> usize {
        self.running
    }

    fn leave(&mut self, stage: usize, state: StageState) {
        debug_assert_eq!(
            self.states.get(&stage),
            Some(&StageState::Running),
            "only what was handed out comes back"
        );
        self.states.insert(stage, state);
        self.running -= 1;
    }
}
