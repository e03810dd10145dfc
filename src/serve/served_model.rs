//! A model that answers: read, verified, and asked once before anybody else asks it.

use ndarray::Array2;
use serde_json::json;

use crate::base::digest::Digest;
use crate::model::bundle::ModelBundle;
use crate::prep::cells::CellKind;
use crate::prep::preprocessor::{RequiredColumn, TrainedColumn};
use crate::scoring::scorer::Scorer;

/// The fewest digits of a digest that name a model.
const SHORTEST: usize = 8;

/// A model that answers.
#[derive(Debug)]
pub struct ServedModel {
    /// The digest of its bytes.
    pub digest: Digest,
    /// The same, as it is written.
    pub hex: String,
    /// What scores rows.
    pub scorer: Scorer,
    /// When it was loaded, in milliseconds since the Unix epoch.
    pub loaded_at_ms: u64,
}

impl ServedModel {
    /// Reads a model and asks it about a row, so that one that cannot answer is never served.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn load(digest: Digest, bytes: &[u8], now_ms: u64) -> Result<Self, String> {
        if Digest::of(bytes) != digest {
            return Err("its bytes are not those of its digest".to_owned());
        }
        let bundle = ModelBundle::decode(bytes).map_err(|error| error.to_string())?;
        let model = Self {
            digest,
            hex: digest.hex(),
            scorer: Scorer::new(bundle),
            loaded_at_ms: now_ms,
        };
        model.warm()?;
        Ok(model)
    }

    /// Asks the model about a row of zeros, which has to have a probability, and about a record,
    /// which brings what is read on the way into memory.
    fn warm(&self) -> Result<(), String> {
        let bundle = self.scorer.bundle();
        let zeros = Array2::zeros((1, bundle.preprocessor.features().len()));
        bundle
            .scores_of(zeros.view())
            .map_err(|error| error.to_string())?;
        let mut reader = self.scorer.layout().reader(1);
        // Whether training cells make a row that can be scored is another question.
        if reader.json(self.example().as_bytes()).is_ok() {
            self.scorer.score_read(reader.finish());
        }
        Ok(())
    }

    /// Returns a record that it reads, of cells that training had, as JSON.
    pub fn example(&self) -> String {
        let cell = |input: &RequiredColumn| match &input.seen {
            TrainedColumn::Numbers(least, _) if least.is_finite() => json!(least),
            TrainedColumn::Numbers(..) => json!(0),
            TrainedColumn::Texts(values) => json!(values.iter().flatten().next()),
        };
        let inputs = self.scorer.inputs().iter();
        let record: serde_json::Map<String, serde_json::Value> = inputs
            .map(|input| (input.name.clone(), cell(input)))
            .collect();
        serde_json::Value::from(record).to_string()
    }

    /// Returns whether a version names it: the beginning of its digest, long enough to name nothing
    /// else.
    pub fn is_version(&self, version: &str) -> bool {
        version.len() >= SHORTEST && self.hex.starts_with(version)
    }

    /// Returns whether all columns that it needs are numbers.
    pub fn is_numeric(&self) -> bool {
        let mut inputs = self.scorer.inputs().iter();
        inputs.all(|input| input.kind() == CellKind::Number)
    }
}
