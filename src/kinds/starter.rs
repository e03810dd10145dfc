//! A starter pipeline and schema, inferred from a table.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::name::check_word;
use crate::base::tree;
use crate::frame::table::{ColumnType, Table};
use crate::kinds::ingest;
use crate::quality::infer::{self, Strictness, quote};
use crate::quality::profile::Profile;
use crate::source::files::{Options, read};

/// Rows that are looked at at once.
const ROWS: usize = 1 << 16;
/// Text columns with more categories than this are left out.
const CATEGORIES: usize = 100;
/// Labels that mean "no attack", when they are compared in lower case.
const BENIGN: [&str; 10] = ["-1", "0", "normal", "benign", "legitimate", "good", "ham", "clean", "no", "false"];

/// What was inferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starter {
    /// The pipeline file.
    pub pipeline: String,
    /// The schema file.
    pub schema: String,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Returns a pipeline's name for a data file: its stem, with other characters made `_`.
pub fn name_of(path: &str) -> String {
    let stem = Path::new(path).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let stem = stem.split('.').next().unwrap_or_default().to_owned();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    let name = name.trim_matches(['_', '-']).to_owned();
    match () {
        () if name.is_empty() => "pipeline".to_owned(),
        () if name.starts_with(|c: char| c.is_ascii_digit()) => format!("data-{name}"),
        () => name,
    }
}

/// Infers a pipeline and a schema.
///
/// # Errors
/// The table cannot be read; the target is not there or not of two classes.
pub fn write(name: &str, path: &str, bytes: Vec<u8>, target: Option<&str>) -> Result<Starter, String> {
    check_word(name).map_err(|why| format!("--name: {why}"))?;
    let na = default_na();
    let table = read(bytes, &Options::plain(&na)).map_err(|error| format!("`{path}`: {error}"))?;
    let names = table.names();
    let target = match target {
        Some(target) => target.to_owned(),
        None => names.last().cloned().unwrap_or_default(),
    };
    let counts = table.counts(&target).map_err(|error| format!("--target: {error}"))?;
    let labels = labels(&target, &counts)?;
    let drop = dropped(&table, &target)?;
    let mut notes = vec![
        format!("the target is `{target}`: {}", labels.note),
        format!("if it is the other way round, change `target_map` in pipelines/{name}.yaml"),
    ];
    notes.extend(drop.iter().map(|(column, why)| format!("`{column}` is left out: {why}")));
    let dropped: Vec<String> = drop.iter().map(|(column, _)| column.clone()).collect();
    let profile = look(&table.without(&dropped).map_err(|error| error.to_string())?)?;
    let heading = "What the data must look like. Made by `netsec init`; make it as strict as you know it to be.";
    let schema = infer::schema(&profile, Some(&target), Strictness::Lenient, heading);
    let pipeline = pipeline(name, path, &target, &labels, &drop);
    Ok(Starter { pipeline, schema, notes })
}

/// What `ingest` takes for missing: the types inferred here must be those it will see.
pub(crate) fn default_na() -> Vec<String> {
    match tree::parse_snippet(ingest::NA) {
        Ok(tree::Value::List(items)) => items.iter().filter_map(|item| item.as_text().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

struct Labels {
    map: String,
    others: bool,
    note: String,
}

fn labels(target: &str, counts: &BTreeMap<String, usize>) -> Result<Labels, String> {
    let benign = |label: &&String| BENIGN.contains(&label.to_lowercase().as_str());
    let all: Vec<&String> = counts.keys().collect();
    match all.as_slice() {
        [] | [_] => {
            Err(format!("the target `{target}` has fewer than two labels: name another column with `--target`"))
        }
        [first, second] => {
            // `is_benign: 1` is benign; otherwise the label that is called so, or else the first.
            let asks_for_benign = ["benign", "legit", "normal"].iter().any(|word| target.to_lowercase().contains(word));
            let (low, high) = if benign(second) && !benign(first) { (*second, *first) } else { (*first, *second) };
            let (zero, one) = if asks_for_benign { (high, low) } else { (low, high) };
            let map = format!("{{{}: 0, {}: 1}}", quote(zero), quote(one));
            Ok(Labels { map, others: false, note: format!("`{zero}` is benign (0), `{one}` the attack (1)") })
        }
        _ => {
            let zeros: Vec<&String> = all.iter().copied().filter(|label| benign(label)).collect();
            if zeros.is_empty() || zeros.len() == all.len() || all.len() > 200 {
                let some: Vec<&str> = all.iter().take(5).map(|label| label.as_str()).collect();
                let more = if all.len() > 5 { ", …" } else { "" };
                return Err(format!(
                    "the target `{target}` has {} labels ({}{more}) and none is called benign: name another column with `--target`",
                    all.len(),
                    some.join(", ")
                ));
            }
            let map: Vec<String> = zeros.iter().map(|label| format!("{}: 0", quote(label))).collect();
            let names: Vec<String> = zeros.iter().map(|label| format!("`{label}`")).collect();
            Ok(Labels {
                map: format!("{{{}}}", map.join(", ")),
                others: true,
                note: format!(
                    "{} is benign (0), each of the {} other labels an attack (1)",
                    names.join(", "),
                    all.len() - zeros.len()
                ),
            })
        }
    }
}

fn dropped(table: &Table, target: &str) -> Result<Vec<(String, String)>, String> {
    let mut drop = Vec::new();
    for name in table.names().into_iter().filter(|name| name != target) {
        let why = match table.column_type(&name).map_err(|error| error.to_string())? {
            ColumnType::Empty => Some("it has no value".to_owned()),
            ColumnType::Other => Some("it holds neither numbers nor text".to_owned()),
            ColumnType::Text => {
                let count = table.counts(&name).map_err(|error| error.to_string())?.len();
                (count > CATEGORIES).then(|| format!("text with {count} different values"))
            }
            ColumnType::Time => Some("it holds times".to_owned()),
            ColumnType::Int | ColumnType::Float | ColumnType::Bool => None,
        };
        drop.extend(why.map(|why| (name, why)));
    }
    Ok(drop)
}

/// Proposes a schema for a file of rows.
///
/// # Errors
/// The file cannot be read.
pub fn infer(path: &str, bytes: Vec<u8>, strictness: Strictness) -> Result<String, String> {
    let table = read(bytes, &Options::plain(&default_na())).map_err(|error| format!("`{path}`: {error}"))?;
    let profile = look(&table)?;
    let heading = format!("What `{path}` looks like. Made by `netsec schema infer`: correct it where you know better.");
    Ok(infer::schema(&profile, None, strictness, &heading))
}

/// Looks at a table part by part: the profile of a large one at once would be coarser.
fn look(table: &Table) -> Result<Profile, String> {
    let parts = (0..table.height()).step_by(ROWS).map(|from| Profile::of(&table.slice(from, ROWS), from as u64));
    let parts = parts.collect::<Result<Vec<_>, _>>().map_err(|error| error.0)?;
    Ok(Profile::merged(&parts))
}

fn pipeline(name: &str, path: &str, target: &str, labels: &Labels, drop: &[(String, String)]) -> String {
    let dropped: Vec<String> = drop.iter().map(|(column, _)| quote(column)).collect();
    let path = if path.contains('/') { path.to_owned() } else { format!("./{path}") };
    let (path, target, quoted) = (quote(&path), quote(target), quote(name));
    let others = if labels.others { "\n      other_labels: 1" } else { "" };
    format!(
        "\
# From `{name}` to an accepted model. Made by `netsec init`; `netsec schema --format markdown` explains every key.
name: {quoted}
params:
  data: {path}
stages:
  ingest:
    kind: ingest
    inputs: {{ data: \"${{params.data}}\" }}
    with:
      drop: [{}]
  validate:
    kind: validate
    inputs: {{ schema: schemas/{name}.yaml, data: ingest.data }}
  split:
    kind: split
    inputs: {{ data: validate.data }}
    with:
      target: {target}
  drift:
    kind: drift
    inputs: {{ current: split.test, reference: split.train }}
  transform:
    kind: transform
    inputs: {{ train: split.train, test: split.test }}
    with:
      target: {target}
      target_map: {}{others}
  train:
    kind: train
    inputs: {{ train: transform.train, preprocessor: transform.preprocessor, profile: drift.reference }}
    with: {{ select: {{ metric: roc_auc, min_score: 0.7 }} }}
  evaluate:
    kind: evaluate
    inputs: {{ model: train.model, test: split.test, champion: \"ref:champion/{name}\" }}
    with: {{ metric: roc_auc, min_score: 0.7 }}
",
        dropped.join(", "),
        labels.map,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_cells_are_those_of_ingest() {
        assert_eq!(default_na(), ["", "na", "NA", "N/A", "nan", "NaN", "null"]);
    }

    #[test]
    fn a_pipeline_is_named_after_its_file() {
        assert_eq!(name_of("data/nsl kdd.csv.gz"), "nsl_kdd");
    }
}
