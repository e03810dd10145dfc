//! Kind (name, version, ports, parameters, constructor) and the Stage trait.

use crate::stage::error::StageError;
use crate::stage::io::{Context, Inputs, Outputs};
use crate::stage::param::{Fault, Param, Values};
use crate::stage::port::Ports;

/// A stage ready to run: its parameters are checked and fixed.
pub trait Stage: Send + Sync {
    /// Does the work: reads `inputs`, gives every output.
    ///
    /// # Errors
    /// Why it could not; what was given up to then is kept for the user to look at.
    fn run(&self, inputs: &Inputs, outputs: &mut Outputs, context: &Context<'_>) -> Result<(), StageError>;
}

/// Makes a stage of checked parameters, or tells what is wrong between them.
pub type Make = fn(&Values) -> Result<Box<dyn Stage>, Vec<Fault>>;

/// The declaration of a stage kind: everything the rest of the program knows of it.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
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
    /// Whether the work is done outside of this process, so that the stage says itself when its turn begins and ends: see
    /// `Context::turn`. Every other stage is begun when it is its turn.
    pub own_turn: bool,
    /// Makes the stage.
    pub make: Make,
}
