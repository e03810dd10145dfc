//! Which models of a workspace were trained on the rows of a file.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::app::workspace::{AppError, Workspace};
use crate::base::digest::Digest;
use crate::cli::load_model::named;
use crate::frame::table::Table;
use crate::scoring::rows::as_written;
use crate::scoring::scorer::Scorer;
use crate::scoring::training_overlap::training_overlap;
use crate::source::files;

/// The file of rows that are asked about.
pub(crate) struct RowsFile<'a> {
    pub(crate) name: &'a str,
    pub(crate) bytes: &'a [u8],
    pub(crate) separator: u8,
}

/// A model, and how many of the rows it was trained on.
#[derive(Debug, Serialize)]
pub(crate) struct TrainedModel {
    pub(crate) digest: Digest,
    /// The stage that made it, and its pipeline and run.
    pub(crate) stage: String,
    pub(crate) pipeline: String,
    pub(crate) run: String,
    /// The refs that point at it now.
    pub(crate) refs: Vec<String>,
    /// Rows that equal one that it was trained on, in every column that it uses.
    pub(crate) trained_on: usize,
    /// Rows of which that is not known.
    pub(crate) not_known: usize,
    /// When the rows that it was trained on were forgotten, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) forgotten_ms: Option<u64>,
    /// The columns that it uses, as far as it can be asked.
    #[serde(skip)]
    pub(crate) uses: Vec<String>,
    /// Whether it is not in the cache any more.
    #[serde(skip)]
    pub(crate) is_gone: bool,
    /// Why nothing can be told of it; then both counts are 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unknown: Option<String>,
}

/// Where a model stands in the records.
struct RecordedModel {
    stage: String,
    pipeline: String,
    run: String,
}

/// Asks every model of a workspace how many of the rows it was trained on; those that were trained on
/// most come first.
///
/// # Errors
/// The file cannot be read; the ledger failed.
pub(crate) fn trained_models(
    workspace: &Workspace,
    rows: &RowsFile<'_>,
) -> Result<Vec<TrainedModel>, AppError> {
    let RecordedModels {
        models,
        refs,
        forgotten,
    } = recorded(workspace)?;
    let mut told = Vec::new();
    // The rows as models read them, by the columns that they use: most models use the same.
    let mut tables: BTreeMap<Vec<String>, Table> = BTreeMap::new();
    for (digest, record) in models {
        let mut model = TrainedModel {
            digest,
            stage: record.stage,
            pipeline: record.pipeline,
            run: record.run,
            refs: refs.get(&digest).cloned().unwrap_or_default(),
            trained_on: 0,
            not_known: 0,
            forgotten_ms: None,
            uses: Vec::new(),
            is_gone: false,
            unknown: None,
        };
        let bytes_of_model = workspace.fetch_file(&digest).ok().flatten();
        match bytes_of_model.map(|bytes| Scorer::load(&bytes)) {
            Some(Ok(scorer)) => {
                let names: Vec<String> = scorer
                    .inputs()
                    .iter()
                    .map(|input| input.name.clone())
                    .collect();
                if !tables.contains_key(&names) {
                    let options = as_written(scorer.bundle(), rows.separator);
                    let table =
                        files::read(rows.bytes.to_vec(), &options).map_err(named(rows.name))?;
                    tables.insert(names.clone(), table);
                }
                model.ask(&scorer, &tables[&names]);
                model.uses = names;
            }
            Some(Err(why)) => model.unknown = Some(why.to_string()),
            None => match forgotten.get(&digest) {
                Some(at_ms) => model.forgotten_ms = Some(*at_ms),
                None => {
                    model.is_gone = true;
                    model.unknown = Some(
                        "it is not in the cache any more; copies of it may score elsewhere"
                            .to_owned(),
                    );
                }
            },
        }
        told.push(model);
    }
    told.sort_by_key(|model| (std::cmp::Reverse(model.trained_on), model.run.clone()));
    Ok(told)
}

impl TrainedModel {
    fn ask(&mut self, scorer: &Scorer, table: &Table) {
        match training_overlap(scorer, table) {
            Ok(Some(overlap)) => {
                self.trained_on = overlap.trained_on;
                self.not_known = overlap.not_known;
            }
            Ok(None) => {
                self.unknown =
                    Some("an older netsec made it, which kept no digests of rows".to_owned());
            }
            Err(why) => self.unknown = Some(why.to_string()),
        }
    }
}

/// The models that stages made or that were imported.
struct RecordedModels {
    models: BTreeMap<Digest, RecordedModel>,
    /// The refs that point at them.
    refs: BTreeMap<Digest, Vec<String>>,
    /// Those that were trained on rows that were forgotten, and when.
    forgotten: BTreeMap<Digest, u64>,
}

fn recorded(workspace: &Workspace) -> Result<RecordedModels, AppError> {
    let ledger = workspace.reading()?.ledger;
    let mut refs: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for (name, state) in ledger.references()? {
        if let Some(content) = state.current() {
            refs.entry(content.digest).or_default().push(name);
        }
    }
    let mut models = BTreeMap::new();
    for record in ledger.flows() {
        let record = record?;
        if record.part.is_some() {
            continue;
        }
        for output in record
            .outputs
            .iter()
            .filter(|output| output.port == "model")
        {
            models.insert(
                output.digest,
                RecordedModel {
                    stage: record.stage.to_string(),
                    pipeline: record.pipeline.clone(),
                    run: record.run.to_string(),
                },
            );
        }
    }
    // Whatever a ref points at may be a model, whoever made it under whatever name.
    for digest in refs.keys() {
        models.entry(*digest).or_insert_with(|| RecordedModel {
            stage: "–".to_owned(),
            pipeline: "–".to_owned(),
            run: "–".to_owned(),
        });
    }
    let mut forgotten = BTreeMap::new();
    for tombstone in ledger.tombstones()? {
        let of_model = |model: &Digest| (*model, tombstone.at_ms);
        forgotten.extend(tombstone.models.iter().map(of_model));
    }
    Ok(RecordedModels {
        models,
        refs,
        forgotten,
    })
}
