//! The driver's side of a shared cache and of other machines: a stage that was looked up, one that is to
//! be published, the end of publishing, and a stage that comes back undone.

use std::sync::mpsc::Receiver;

use crate::engine::dispatch_command::ActionEnd;
use crate::engine::drive::Driver;
use crate::engine::message::{PublishedTotals, SharedAnswer, WorkerMessage};
use crate::engine::remote_workers::RemoteWorkers;
use crate::engine::shared_results::is_sharable;
use crate::event::EventKind;
use crate::far::shared_action::SharedAction;
use crate::lineage::record::ActionRecord;
use crate::plan::decide::DecideError;

impl Driver<'_, '_> {
    /// Takes what was found in the shared cache, or sends the stage to be performed here.
    pub(crate) fn looked_up(
        &mut self,
        stage: usize,
        answer: SharedAnswer,
    ) -> Result<(), DecideError> {
        for line in &answer.warnings {
            self.emitter.warn("cache::shared", line);
        }
        if let Some(found) = answer.found {
            return self.back(stage, *found);
        }
        self.dispatcher.missed(stage, self.setup.clock.now_ms());
        Ok(())
    }

    /// Takes back a stage that no other machine could carry out.
    pub(crate) fn returned(&mut self, stage: usize) {
        self.tell_workers_news();
        self.running.remove(&stage);
        let now_ms = self.setup.clock.now_ms();
        self.dispatcher.ended(stage, ActionEnd::Returned, now_ms);
    }

    /// Tells what is to be told of other machines.
    pub(crate) fn tell_workers_news(&mut self) {
        let news = self.setup.workers.map(RemoteWorkers::take_news);
        for line in news.iter().flatten() {
            self.emitter.warn("remote::left", line);
        }
    }

    /// Has what a stage made published, if it may be.
    pub(crate) fn share(&mut self, stage: usize, record: &ActionRecord) {
        let Some(shared) = self.setup.shared.filter(|shared| shared.publishes()) else {
            return;
        };
        let spec = self.spec(stage);
        if !is_sharable(spec) {
            return;
        }
        let ports: Vec<&str> = spec
            .inputs
            .iter()
            .map(|input| input.port.as_str())
            .collect();
        self.publish(SharedAction::of(record, shared.class(), &ports));
    }

    /// Has something published.
    pub(crate) fn publish(&self, action: SharedAction) {
        if let Some(to_publisher) = &self.to_publisher {
            // A publisher that has gone has said why.
            let _ = to_publisher.send(action);
        }
    }

    /// Waits until what this run made is in the shared cache.
    pub(crate) fn wait_for_publisher(
        &mut self,
        messages: &Receiver<WorkerMessage>,
    ) -> Result<(), DecideError> {
        let Some(shared) = self.setup.shared else {
            return Ok(());
        };
        self.to_publisher = None;
        while self.published.is_none() {
            let message = messages.recv().expect("the publisher says when it is over");
            self.hear(message)?;
        }
        if let Some(PublishedTotals { results, bytes }) = self.published
            && results > 0
        {
            self.emitter.tell(EventKind::Published {
                results,
                bytes,
                cache: shared.address().to_owned(),
            });
        }
        Ok(())
    }
}
