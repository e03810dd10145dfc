//! `netsec model import`.

use crate::app::import_model::ImportedModel;
use crate::app::workspace::{AppError, Workspace};
use crate::base::cancel::Cancel;
use crate::base::name::RefName;
use crate::cli::args_model::ImportModelArgs;
use crate::cli::keys::wanted_signer;
use crate::cli::load_model::decoded;
use crate::cli::model_verify::unpacked;
use crate::cli::promotion::word;
use crate::cli::{out, run};
use crate::lineage::record::Ingredient;

/// Brings in a model that was exported as one file.
///
/// # Errors
/// It is not what its statement says, or not signed by the key; as for `Workspace::import_model`.
pub fn import(workspace: &Workspace, args: &ImportModelArgs) -> Result<(), AppError> {
    let path = workspace.root().join(&args.file);
    let name = args.file.display().to_string();
    let key = wanted_signer(workspace, args.key.as_deref(), args.unsigned, "--key")?;
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
    let digest = step.to.map(|to| to.digest.short()).unwrap_or_default();
    out::say(&format!("`{to}` points at {digest} now, from `{name}`"));
    Ok(())
}
