//! `netsec impact`: which models were trained on given rows, as whoever has to delete them asks.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::base::count::counted;
use crate::base::digest::Digest;
use crate::cli::args_model::ImpactArgs;
use crate::cli::exit::Exit;
use crate::cli::load_model::named;
use crate::cli::rows::byte;
use crate::cli::{load, out};
use crate::frame::table::Table;
use crate::render::columns::columns;
use crate::scoring::rows::as_written;
use crate::scoring::scorer::Scorer;
use crate::scoring::training_overlap::training_overlap;
use crate::source::files;

/// A model, and how many of the rows it was trained on.
#[derive(Debug, Serialize)]
struct TrainedModel {
    digest: Digest,
    /// The stage that made it, and its pipeline and run.
    stage: String,
    pipeline: String,
    run: String,
    /// The refs that point at it now.
    refs: Vec<String>,
    /// Rows that equal one that it was trained on, in every column that it uses.
    trained_on: usize,
    /// Rows of which that is not known.
    not_known: usize,
    /// Why nothing can be told of it; then both counts are 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

/// Where a model stands in the records.
struct RecordedModel {
    stage: String,
    pipeline: String,
    run: String,
}

/// Tells of every model of the workspace how many of the rows of a file it was trained on; fails where
/// that is not known of all of them.
///
/// # Errors
/// The file cannot be read; the ledger failed.
pub fn impact(workspace: &Workspace, args: &ImpactArgs) -> Result<Exit, AppError> {
    let separator = byte(args.separator)?;
    let bytes = load::read_named(workspace, &args.rows)?;
    let (models, refs) = recorded(workspace)?;
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
                    let options = as_written(scorer.bundle(), separator);
                    let table = files::read(bytes.clone(), &options).map_err(named(&args.rows))?;
                    tables.insert(names.clone(), table);
                }
                model.ask(&scorer, &tables[&names]);
            }
            Some(Err(why)) => model.unknown = Some(why.to_string()),
            None => {
                model.unknown = Some(
                    "it is not in the cache any more; copies of it may score elsewhere".to_owned(),
                )
            }
        }
        told.push(model);
    }
    told.sort_by_key(|model| (std::cmp::Reverse(model.trained_on), model.run.clone()));
    if args.json {
        out::json(&json!(told))?;
    } else {
        out::data(in_words(&told).as_bytes())?;
    }
    let unknown = told
        .iter()
        .filter(|model| model.unknown.is_some() || model.not_known > 0);
    match unknown.count() {
        0 => Ok(Exit::Done),
        count => {
            out::say(&format!(
                "of {count} of {} models it is not known whether they were trained on all of these rows: cells are compared as \
                 they are written, columns by name",
                told.len()
            ));
            Ok(Exit::Failed)
        }
    }
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

type RecordedModels = BTreeMap<Digest, RecordedModel>;
type RefsByModel = BTreeMap<Digest, Vec<String>>;

/// The models that stages made or that were imported, and the refs that point at them.
fn recorded(workspace: &Workspace) -> Result<(RecordedModels, RefsByModel), AppError> {
    let ledger = workspace.reading()?.ledger;
    let mut refs = RefsByModel::new();
    for (name, state) in ledger.references()? {
        if let Some(content) = state.current() {
            refs.entry(content.digest).or_default().push(name);
        }
    }
    let mut models = RecordedModels::new();
    for record in ledger
        .actions()?
        .into_iter()
        .filter(|record| record.part.is_none())
    {
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
    Ok((models, refs))
}

fn in_words(told: &[TrainedModel]) -> String {
    if told.is_empty() {
        return "there is no model in the records\n".to_owned();
    }
    let head = ["trained on", "model", "stage", "run", "pipeline", "refs"].map(str::to_owned);
    let mut lines = vec![head.to_vec()];
    for model in told {
        let count = match (&model.unknown, model.not_known) {
            (Some(why), _) => why.clone(),
            (None, 0) => counted(model.trained_on, "row"),
            (None, unknown) => format!("{}, {unknown} not known", counted(model.trained_on, "row")),
        };
        lines.push(vec![
            count,
            model.digest.short(),
            model.stage.clone(),
            model.run.clone(),
            model.pipeline.clone(),
            model.refs.join(", "),
        ]);
    }
    columns(&lines)
}
