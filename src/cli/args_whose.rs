//! Whose `stage.port` a command means, where several pipelines or runs have one.

use clap::Args;

/// The pipeline or run whose `stage.port` is meant.
#[derive(Args, Clone, Debug, Default)]
pub struct TargetScope {
    /// The pipeline whose `stage.port` is meant, as a file or by its name; also written
    /// `PIPELINE:stage.port`
    #[arg(long, value_name = "PIPELINE")]
    pub pipeline: Option<String>,
    /// The run whose `stage.port` is meant; also written `RUN:stage.port`
    #[arg(long, value_name = "RUN", conflicts_with = "pipeline")]
    pub run: Option<String>,
}

impl TargetScope {
    /// Returns the target with the pipeline or run before it.
    pub fn name(&self, target: &str) -> String {
        match self.run.as_ref().or(self.pipeline.as_ref()) {
            Some(of) => format!("{of}:{target}"),
            None => target.to_owned(),
        }
    }
}
