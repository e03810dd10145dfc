//! `netsec keys`, `netsec model verify` and `netsec model import`, and what exported models carry.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::app::import_model::ImportedModel;
use crate::app::workspace::{AppError, Workspace};
use crate::attest::envelope::DsseEnvelope;
use crate::attest::keys::{AttestationKey, AttestationPublicKey};
use crate::attest::ml_bom::{BillFacts, ml_bom};
use crate::attest::model_signature::{SIGNATURE_FILE, sign_files, verify_files};
use crate::attest::package::{EXTENSION, ModelPackage, OpenedPackage};
use crate::attest::provenance::{ModelOrigin, ProvenanceStatement, StageParameters, provenance};
use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::disk;
use crate::base::name::RefName;
use crate::base::signing::random_bytes;
use crate::cli::args_model::{ImportModelArgs, KeysCommand, VerifyModelArgs};
use crate::cli::exit::Exit;
use crate::cli::load_model::decoded;
use crate::cli::promotion::word;
use crate::cli::{out, run};
use crate::lineage::lineage_graph::LineageGraph;
use crate::lineage::query::{self, ArtifactMaker, ArtifactTrace};
use crate::lineage::record::{ActionRecord, Ingredient};
use crate::model::bundle::ModelBundle;
use crate::model::metrics::CHOICES;

/// The file of an exported model that says what it was made of.
const PROVENANCE_FILE: &str = "provenance.dsse.json";
/// The file of an exported model that is its bill of materials.
const BILL_FILE: &str = "bom.cdx.json";

/// Makes keys.
///
/// # Errors
/// A file is there already; the disk failed.
pub fn keys(workspace: &Workspace, command: &KeysCommand) -> Result<Exit, AppError> {
    let KeysCommand::New { output } = command;
    let private = workspace.root().join(format!("{output}.pem"));
    let public = workspace.root().join(format!("{output}.pub.pem"));
    for path in [&private, &public] {
        if disk::look(path).is_ok() {
            return Err(AppError::Usage(format!(
                "`{}` is there already: a key is never written over; name another",
                path.display()
            )));
        }
    }
    let key = random_bytes()
        .and_then(|bytes| AttestationKey::from_bytes(&bytes).ok())
        .ok_or_else(|| AppError::Data("the system gives no random numbers".to_owned()))?;
    disk::write_private(&private, key.to_pem().as_bytes())?;
    disk::write_whole(&public, key.public().to_pem().as_bytes())?;
    out::say(&format!(
        "wrote `{output}.pem`, which signs and which nobody else may have, and `{output}.pub.pem`, which checks (key {})",
        &key.public().id()[..12]
    ));
    Ok(Exit::Done)
}

/// Reads a private key.
///
/// # Errors
/// The file cannot be read, or is none.
pub fn private_key(workspace: &Workspace, path: &Path) -> Result<AttestationKey, AppError> {
    let text = key_text(workspace, path)?;
    AttestationKey::from_pem(&text)
        .map_err(|why| AppError::Usage(format!("`{}`: {why}", path.display())))
}

fn public_key(workspace: &Workspace, path: &Path) -> Result<AttestationPublicKey, AppError> {
    let text = key_text(workspace, path)?;
    AttestationPublicKey::from_pem(&text)
        .map_err(|why| AppError::Usage(format!("`{}`: {why}", path.display())))
}

fn key_text(workspace: &Workspace, path: &Path) -> Result<String, AppError> {
    const MOST: usize = 1 << 16;
    let bytes = disk::read_bounded(&workspace.root().join(path), MOST)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

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

    /// Says what it was made of.
    pub fn provenance(&self) -> ProvenanceStatement {
        let graph = LineageGraph::of_trace(self.trace);
        let made: BTreeSet<Digest> = graph.made.keys().map(|edge| edge.artifact).collect();
        let others = graph
            .artifacts
            .iter()
            .filter(|(digest, _)| **digest != self.trace.digest);
        let dependencies =
            others.map(|(digest, name)| (name.clone(), *digest, !made.contains(digest)));
        let record = self.record();
        let text = |of: &dyn Fn(&ActionRecord) -> String| record.map(of).unwrap_or_default();
        let maker = self.trace.action.as_ref();
        let origin = ModelOrigin {
            parameters: StageParameters {
                pipeline: text(&|record| record.pipeline.clone()),
                stage: text(&|record| record.stage.to_string()),
                kind: text(&|record| record.kind.clone()),
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
        let made: BTreeSet<Digest> = graph.made.keys().map(|edge| edge.artifact).collect();
        let sources = graph
            .artifacts
            .iter()
            .filter(|(digest, _)| !made.contains(digest));
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
            sources: sources
                .map(|(digest, name)| (name.clone(), *digest))
                .collect(),
            netsec: env!("CARGO_PKG_VERSION"),
        })
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
        let payload = serde_json::to_vec(&self.provenance()).expect("plain data serialises");
        let envelope = DsseEnvelope::seal(&payload, key, key.public().id());
        let envelope = serde_json::to_vec_pretty(&envelope).expect("plain data serialises");
        files.push((PROVENANCE_FILE.to_owned(), envelope));
        files.push((BILL_FILE.to_owned(), self.bill()));
        let signature = sign_files(self.name, &files, key);
        files.push((SIGNATURE_FILE.to_owned(), signature));
        files
    }

    /// Packs it into one file.
    pub fn pack(&self, key: Option<&AttestationKey>) -> ModelPackage {
        let card = self.card.to_owned();
        ModelPackage::pack(self.name, self.bytes, card, &self.provenance(), key)
    }
}

/// Checks a model: a file or folder that was exported, or one of the workspace with all that it was
/// made of.
///
/// # Errors
/// It is not what it was, or not signed by the key; a leaf that was changed is named.
pub fn verify(workspace: &Workspace, args: &VerifyModelArgs) -> Result<Exit, AppError> {
    let path = workspace.root().join(&args.target);
    let key = args
        .key
        .as_ref()
        .map(|key| public_key(workspace, key))
        .transpose()?;
    match disk::look(&path) {
        Ok(disk::PathEntry::Directory) => verify_folder(&path, &args.target, key.as_ref()),
        Ok(_) if is_package(&path) => {
            let opened = unpacked(&path, &args.target, key.as_ref())?;
            let signed = match opened.signer {
                Some(signer) => format!("signed by {}", &signer[..12]),
                None => "no key was given, so that who made it is not known".to_owned(),
            };
            let count = opened
                .provenance
                .predicate
                .build_definition
                .resolved_dependencies
                .len();
            out::say(&format!(
                "`{}` holds `{}`, and its statement of the {count} things that it was made of speaks of it; {signed}",
                args.target, opened.name
            ));
            Ok(Exit::Done)
        }
        _ => verify_chain(workspace, &args.target),
    }
}

fn is_package(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == EXTENSION)
}

fn verify_folder(
    path: &Path,
    name: &str,
    key: Option<&AttestationPublicKey>,
) -> Result<Exit, AppError> {
    let key = key.ok_or_else(|| {
        AppError::Usage(
            "a signature is checked with the key that it has to be of: `--key FILE.pub.pem`"
                .to_owned(),
        )
    })?;
    let mut files = Vec::new();
    for (file, path) in disk::walk(path)? {
        files.push((file, disk::read(&path)?));
    }
    let place = files.iter().position(|(file, _)| file == SIGNATURE_FILE);
    let Some(place) = place else {
        return Err(AppError::Data(format!(
            "`{name}` is not signed: it holds no `{SIGNATURE_FILE}`; `netsec model export --sign` writes one"
        )));
    };
    let (_, signature) = files.remove(place);
    let count = verify_files(&signature, &files, key)
        .map_err(|why| AppError::Data(format!("`{name}`: {why}")))?;
    out::say(&format!(
        "`{name}`: {count} files are as they were signed by {}",
        &key.id()[..12]
    ));
    Ok(Exit::Done)
}

fn unpacked(
    path: &Path,
    name: &str,
    key: Option<&AttestationPublicKey>,
) -> Result<OpenedPackage, AppError> {
    let opened = ModelPackage::unpack(&disk::read(path)?, key);
    opened.map_err(|why| AppError::Data(format!("`{name}`: {why}")))
}

/// Checks all that a model of the workspace was made of: every artifact that is in the cache against
/// its digest, every file against what it was.
fn verify_chain(workspace: &Workspace, target: &str) -> Result<Exit, AppError> {
    let trace = {
        let ledger = workspace.reading()?.ledger;
        let found = workspace.find(&ledger, target)?;
        query::trace(&ledger, found.digest, &found.name, found.run.as_ref())?
    };
    let checked = workspace.check_lineage(&LineageGraph::of_trace(&trace))?;
    for fault in &checked.faults {
        out::say(fault);
    }
    for gone in &checked.gone {
        out::say(gone);
    }
    if checked.faults.is_empty() {
        out::say(&format!(
            "`{target}`: {} and {} are what the records say",
            counted(checked.artifacts, "artifact"),
            counted(checked.files, "file")
        ));
        return Ok(Exit::Done);
    }
    Ok(Exit::Failed)
}

fn counted(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

/// Brings in a model that was exported as one file.
///
/// # Errors
/// It is not what its statement says, or not signed by the key; as for `Workspace::import_model`.
pub fn import(workspace: &Workspace, args: &ImportModelArgs) -> Result<(), AppError> {
    let path = workspace.root().join(&args.file);
    let name = args.file.display().to_string();
    let key = match (&args.key, args.unsigned) {
        (Some(key), _) => Some(public_key(workspace, key)?),
        (None, true) => None,
        (None, false) => {
            return Err(AppError::Usage(
                "say whose signature is asked for (`--key FILE.pub.pem`), or `--unsigned` to take it from anybody".to_owned(),
            ));
        }
    };
    let opened = unpacked(&path, &name, key.as_ref())?;
    decoded(&name, Some(opened.model.clone()))?;
    let to = RefName::new(&args.to).map_err(AppError::Usage)?;
    let parameters = opened
        .provenance
        .predicate
        .build_definition
        .external_parameters;
    let made = [
        ("made.pipeline", parameters.pipeline),
        ("made.stage", parameters.stage),
        (
            "made.run",
            opened
                .provenance
                .predicate
                .run_details
                .metadata
                .invocation_id,
        ),
    ];
    let told = made.into_iter().map(|(name, value)| Ingredient {
        name: name.to_owned(),
        value,
    });
    let imported = ImportedModel {
        file: name.clone(),
        model: opened.model,
        told: told.collect(),
        signer: opened.signer,
    };
    let cancel = Cancel::new();
    let step =
        workspace.import_model(imported, &to, word(&args.word)?, &run::plain_terms(&cancel))?;
    out::say(&format!(
        "`{to}` points at {} now, from `{name}`",
        step.to.digest.short()
    ));
    Ok(())
}
