//! Kind (name, version, ports, parameters, constructor) and the Stage trait.

use std::time::Duration;

use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::stage::io::{Inputs, Outputs};
use crate::stage::param::{Param, ParamError, Values};
use crate::stage::port::Ports;
use crate::stage::remote::RemoteWork;

/// A stage ready to run: its parameters are checked and fixed.
pub trait Stage: Send + Sync {
    /// Does the work: reads `inputs`, gives every output.
    ///
    /// # Errors
    /// Why it could not; what was given up to then is kept for the user to look at.
    fn run(
        &self,
        inputs: &Inputs,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError>;

    /// Returns what the stage depends on besides its inputs and parameters; nothing for most.
    fn outside(&self) -> Option<&dyn OutsideSource> {
        None
    }

    /// Returns whether it needs the secrets among its parameters, set as they are.
    fn needs_secrets(&self) -> bool {
        true
    }
}

/// Something outside that can change by itself, such as a collection of a database.
pub trait OutsideSource: Send + Sync {
    /// Says in what state it is, in a text without secrets: an ingredient of the action. Asked
    /// before each decision, so it has to be quick; two states that a stage tells apart must have
    /// different texts.
    ///
    /// # Errors
    /// It cannot be seen: the stage fails with this.
    fn look(&self) -> Result<String, StageError>;

    /// Waits until it has changed and is calm again, or until `is_over`; returns whether it
    /// changed. Here by looking again and again.
    ///
    /// # Errors
    /// It cannot be seen.
    fn wait(&self, is_over: &dyn Fn() -> bool) -> Result<bool, StageError> {
        let before = self.look()?;
        while !is_over() {
            std::thread::sleep(Duration::from_secs(1));
            if self.look()? != before {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Makes a stage of checked parameters, or tells what is wrong between them.
pub type MakeStage = fn(&Values) -> Result<Box<dyn Stage>, Vec<ParamError>>;

/// The declaration of a stage kind: everything the rest of the program knows of it.
#[derive(Clone, Copy, Debug)]
pub struct StageKind {
    /// Its name in pipeline files.
    pub name: &'static str,
    /// Goes up whenever the same ingredients can give other bytes than before.
    pub version: u32,
    /// What it does, in a sentence.
    pub doc: &'static str,
    /// What flows in.
    pub inputs: Ports,
    /// What flows out.
    pub outputs: Ports,
    /// Its parameters.
    pub params: &'static [Param],
    /// Whether it draws random numbers, so that the pipeline's seed is one of its ingredients.
    pub seeded: bool,
    /// Whether the work is done outside of this process, so that the stage says itself when its
    /// turn begins and ends: see `StageContext::turn`. Every other stage is begun when it is its turn.
    pub runs_elsewhere: bool,
    /// What of its work other machines may carry out.
    pub remote: RemoteWork,
    /// Makes the stage.
    pub make: MakeStage,
}
