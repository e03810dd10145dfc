//! `netsec schema`.

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::base::disk;
use crate::cli::args::{SchemaArgs, SchemaFormat};
use crate::cli::args_data::SchemaAction;
use crate::cli::exit::Exit;
use crate::cli::init::usage;
use crate::cli::{load, out, rows};
use crate::drift::report::DriftReport;
use crate::gate::decision::Decision;
use crate::kinds::list::registry;
use crate::profile::infer::SchemaStrictness;
use crate::profile::leakage::LeakageReport;
use crate::scaffold::propose;
use crate::schema::diff::{ChangeEffect, changes};
use crate::schema::report::ValidationReport;
use crate::schema::{json_schema, parse};
use crate::source::report::IngestReport;
use crate::stage::schema as pages;
use crate::tuning::leaderboard::Leaderboard;
use crate::views::report_schemas::report_schema;

/// Prints a JSON Schema or the reference page, proposes a schema for data, or compares two.
///
/// # Errors
/// A file cannot be read or is wrong; the output could not be written.
pub fn schema(workspace: &Workspace, args: &SchemaArgs) -> Result<Exit, AppError> {
    match (&args.action, args.format) {
        (
            Some(SchemaAction::Infer {
                data,
                separator,
                lenient,
                output,
            }),
            _,
        ) => {
            let files = rows::files(workspace, data)?;
            let separator = separator.map(rows::byte).transpose()?;
            let strictness = if *lenient {
                SchemaStrictness::Lenient
            } else {
                SchemaStrictness::Strict
            };
            let text = propose::infer(data, &files, separator, strictness).map_err(usage)?;
            match output {
                Some(path) => disk::write_plain(&workspace.root().join(path), text.as_bytes())?,
                None => out::data(text.as_bytes())?,
            }
        }
        (Some(SchemaAction::Diff { old, new, json }), _) => {
            return diff(workspace, old, new, *json);
        }
        (None, SchemaFormat::Json) => out::json(&pages::json_schema(&registry()))?,
        (None, SchemaFormat::Data) => out::json(&json_schema::json_schema())?,
        (None, SchemaFormat::Markdown) => out::data(pages::reference(&registry()).as_bytes())?,
        (None, SchemaFormat::Ingest) => out::json(&report_schema::<IngestReport>())?,
        (None, SchemaFormat::Validation) => out::json(&report_schema::<ValidationReport>())?,
        (None, SchemaFormat::Leakage) => out::json(&report_schema::<LeakageReport>())?,
        (None, SchemaFormat::Drift) => out::json(&report_schema::<DriftReport>())?,
        (None, SchemaFormat::Leaderboard) => out::json(&report_schema::<Leaderboard>())?,
        (None, SchemaFormat::Decision) => out::json(&report_schema::<Decision>())?,
    }
    Ok(Exit::Done)
}

fn diff(workspace: &Workspace, old: &str, new: &str, json: bool) -> Result<Exit, AppError> {
    let read = |name: &str| {
        let bytes = load::read_named(workspace, name)?;
        parse::parse(name, bytes).map_err(AppError::Report)
    };
    let found = changes(&read(old)?, &read(new)?);
    let effect = found
        .iter()
        .map(|change| change.effect)
        .max()
        .unwrap_or(ChangeEffect::Compatible);
    if json {
        out::json(&json!({"effect": effect, "changes": found}))?;
    } else {
        let mut text = format!("{}: {} changes\n", effect.as_str(), found.len());
        for change in &found {
            text.push_str(&format!(
                "  {:<10}  {}: {}\n",
                change.effect.as_str(),
                change.at,
                change.what
            ));
        }
        out::data(text.as_bytes())?;
    }
    Ok(if effect == ChangeEffect::Breaking {
        Exit::Failed
    } else {
        Exit::Done
    })
}
