//! What statements say of a model: what it was made of, what it is, and what files it is written as.

use std::collections::BTreeMap;

use crate::attest::envelope::DsseEnvelope;
use crate::attest::keys::AttestationKey;
use crate::attest::ml_bom::{BillFacts, ml_bom};
use crate::attest::model_signature::{SIGNATURE_FILE, sign_files};
use crate::attest::package::ModelPackage;
use crate::attest::provenance::{
    ModelOrigin, PromotionClaim, ProvenanceStatement, StageParameters, provenance,
};
use crate::lineage::lineage_graph::LineageGraph;
use crate::lineage::query::{ArtifactMaker, ArtifactTrace};
use crate::lineage::record::ActionRecord;
use crate::model::bundle::ModelBundle;
use crate::model::metrics::CHOICES;

/// The file of an exported model that says what it was made of.
const PROVENANCE_FILE: &str = "provenance.dsse.json";
/// The file of an exported model that is its bill of materials.
const BILL_FILE: &str = "bom.cdx.json";

/// A model with all that statements about it say.
pub struct StatedModel<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The model.
    pub bundle: &'a ModelBundle,
    /// What it was made of.
    pub trace: &'a ArtifactTrace,
    /// The records of the stages that it was made by.
    pub records: &'a [ActionRecord],
    /// Its card.
    pub card: &'a str,
}

/// A stage, and the ingredients of its cache key, inputs aside.
fn stage_ingredients(record: &ActionRecord) -> (String, BTreeMap<String, String>) {
    let own = record
        .ingredients
        .iter()
        .filter(|ingredient| !ingredient.name.starts_with("input."));
    let own = own.map(|ingredient| (ingredient.name.clone(), ingredient.value.clone()));
    (record.stage.to_string(), own.collect())
}

impl StatedModel<'_> {
    /// The record of the stage that made it.
    fn record(&self) -> Option<&ActionRecord> {
        let key = self.trace.action.as_ref()?.key;
        self.records.iter().find(|record| record.key == key)
    }

    /// Says what it was made of and, of a promotion, why.
    pub fn provenance(&self, promotion: Option<PromotionClaim>) -> ProvenanceStatement {
        let graph = LineageGraph::of_trace(self.trace);
        let made = graph.made_artifacts();
        let artifacts = graph
            .artifacts
            .iter()
            .filter(|(digest, _)| made.contains(*digest));
        let artifacts = artifacts.filter(|(digest, _)| **digest != self.trace.digest);
        let artifacts = artifacts.map(|(digest, name)| (name.clone(), *digest, false));
        let sources = graph
            .sources
            .iter()
            .map(|(digest, name)| (name.clone(), *digest, true));
        let dependencies = artifacts.chain(sources);
        let record = self.record();
        let text = |of: &dyn Fn(&ActionRecord) -> String| record.map(of).unwrap_or_default();
        let maker = self.trace.action.as_ref();
        let imported = maker.and_then(|maker| maker.imported.as_ref());
        let origin = ModelOrigin {
            parameters: StageParameters {
                pipeline: text(&|record| record.pipeline.clone()),
                stage: text(&|record| record.stage.to_string()),
                kind: text(&|record| record.kind.clone()),
                promotion,
                imported: imported.map(|origin| {
                    origin
                        .signer
                        .clone()
                        .unwrap_or_else(|| "unsigned".to_owned())
                }),
                stages: self.records.iter().map(stage_ingredients).collect(),
            },
            run: text(&|record| record.run.to_string()),
            started_ms: maker.map_or(0, |maker| maker.started_ms),
            ended_ms: maker.map_or(0, ArtifactMaker::ended_ms),
            netsec: text(&|record| record.netsec.clone()),
            card: self.card.to_owned(),
            dependencies: dependencies.collect(),
        };
        provenance(self.name, self.bytes, origin)
    }

    /// Returns its bill of materials.
    pub fn bill(&self) -> Vec<u8> {
        let graph = LineageGraph::of_trace(self.trace);
        let record = self.record();
        let bundle = self.bundle;
        let figure = |name: &&'static str| {
            let value = bundle.validation.figure(name)?;
            Some((*name, value, bundle.intervals.get(*name).copied()))
        };
        ml_bom(&BillFacts {
            name: self.name,
            model: self.bytes,
            learner: &bundle.learner,
            inputs: bundle.inputs(),
            figures: CHOICES.iter().filter_map(figure).collect(),
            sources: graph
                .sources
                .iter()
                .map(|(digest, name)| (name.clone(), *digest))
                .collect(),
            netsec: record.map_or(env!("CARGO_PKG_VERSION"), |record| record.netsec.as_str()),
        })
    }

    /// Returns what it was made of and, of a promotion, why, signed, in an envelope.
    ///
    /// # Panics
    /// Never: plain data serialises.
    pub fn statement(&self, promotion: Option<PromotionClaim>, key: &AttestationKey) -> Vec<u8> {
        let payload =
            serde_json::to_vec(&self.provenance(promotion)).expect("plain data serialises");
        let envelope = DsseEnvelope::seal(&payload, key, key.public().id());
        serde_json::to_vec_pretty(&envelope).expect("plain data serialises")
    }

    /// Adds to the files of an exported model what vouches for them: what it was made of, its bill of
    /// materials, and a signature of all files.
    ///
    /// # Panics
    /// Never: plain data serialises.
    pub fn sign(
        &self,
        mut files: Vec<(String, Vec<u8>)>,
        key: &AttestationKey,
    ) -> Vec<(String, Vec<u8>)> {
        files.push((PROVENANCE_FILE.to_owned(), self.statement(None, key)));
        files.push((BILL_FILE.to_owned(), self.bill()));
        let signature = sign_files(self.name, &files, key);
        files.push((SIGNATURE_FILE.to_owned(), signature));
        files
    }

    /// Packs it into one file.
    pub fn pack(&self, key: Option<&AttestationKey>) -> ModelPackage {
        let card = self.card.to_owned();
        ModelPackage::pack(self.name, self.bytes, card, &self.provenance(None), key)
    }
}
