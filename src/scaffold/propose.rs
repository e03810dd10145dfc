//! A starter pipeline and schema, proposed from what a table holds.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::name::{check_word, in_backticks};
use crate::frame::cell::{EPOCHS, MISSING};
use crate::frame::table::{ColumnType, Table};
use crate::profile::columns::Profile;
use crate::profile::giveaway::{Giveaway, GiveawayGrade, GiveawayReason};
use crate::profile::infer::{self, SchemaStrictness};
use crate::profile::nature::{epoch_parts, rising};
use crate::profile::separation::{ClassTellings, LabelProfiles, SAMPLE};
use crate::profile::units::distinct_rows;
use crate::scaffold::error::ScaffoldError;
use crate::scaffold::labels::{LabelMeaning, SaidLabels, labels};
use crate::scaffold::request::{InitRequest, JudgedColumn};
use crate::scaffold::text::{PipelineProposal, pipeline};
use crate::source::files::{FileFormat, Options, likely_separator, read};

/// Rows that are looked at at once.
const ROWS: usize = 1 << 16;
/// Text columns with more categories are encoded by the share of attacks.
const CATEGORIES: usize = 100;
/// From which AUC on a column that tells the label by itself is left out.
const NEAR_PERFECT: f64 = 0.99;
/// Names of columns that are taken for the target, the likeliest first; without any the last is.
const TARGETS: [&str; 10] = [
    "label",
    "is_attack",
    "is_malicious",
    "malicious",
    "class",
    "target",
    "attack",
    "attack_cat",
    "y",
    "action",
];
/// A target has at most so many labels.
const LABELS: usize = 200;

/// What was proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StarterFiles {
    /// The pipeline file.
    pub pipeline: String,
    /// The schema file.
    pub schema: String,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Returns a pipeline's name for a data file: its stem, with other characters made `_`.
pub fn name_of(path: &str) -> String {
    let stem = Path::new(path)
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let stem = stem.split('.').next().unwrap_or_default().to_owned();
    let name: String = stem
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .collect();
    let name = name.trim_matches(['_', '-']).to_owned();
    match () {
        () if name.is_empty() => "pipeline".to_owned(),
        () if name.starts_with(|c: char| c.is_ascii_digit()) => format!("data-{name}"),
        () => name,
    }
}

/// Proposes a pipeline and a schema.
///
/// # Errors
/// The table cannot be read; what is the target, or which labels are benign, has to be said.
pub fn propose(request: &InitRequest) -> Result<StarterFiles, ScaffoldError> {
    check_word(&request.name).map_err(ScaffoldError::Name)?;
    let mut notes = Vec::new();
    let options = options(&request.files, request.separator, &mut notes)?;
    let table = rows(&request.files, &options)?;
    let test = match &request.test {
        Some((_, files)) => Some(rows(files, &options)?),
        None => None,
    };
    let target = target(request.target.as_deref(), &table, &mut notes)?;
    let labels = meaning(request, &target, &table, test.as_ref())?;
    notes.extend(labels.notes.iter().cloned());
    let distinct = distinct_rows(&table)?;
    let mut columns = judged_columns(&distinct, &table, &target, &labels)?;
    if let Some(test) = &test {
        columns.extend(of_one_alone(&table, test, &columns));
    }
    notes.extend(columns.iter().filter_map(|column| column.note.clone()));
    let dropped = dropped(&columns, &table);
    if dropped.len() + 1 >= table.names().len() {
        let why = notes.join("; ");
        return Err(ScaffoldError::NothingLeft(why));
    }
    let kept = table.without(&dropped)?;
    let profile = look(&with_rows_of(&kept, test.as_ref())?)?;
    let mut texts = kept.names();
    texts.retain(|name| *name != target && kept.column_type(name) == Ok(ColumnType::Text));
    let many = of_many_categories(&texts, &profile);
    notes.extend(many.iter().map(|(name, count)| {
        format!("`{name}` has {count} categories and is encoded by the share of attacks in each (`target`)")
    }));
    for name in table.names().iter().filter(|name| **name != target) {
        notes.extend(nearly_numbers(&table, name));
    }
    let mut schema = infer::schema(&profile, Some(&target), SchemaStrictness::Lenient, HEADING);
    if !dropped.is_empty() {
        schema.push_str(&commented_out(&table, &kept, &columns)?);
    }
    let proposal = PipelineProposal {
        request,
        target: &target,
        labels: &labels,
        columns: &columns,
        names: [
            table.names(),
            test.as_ref().map(Table::names).unwrap_or_default(),
        ],
        many: many.into_iter().map(|(name, _)| name).collect(),
        texts,
        separator: (options.separator != b',').then_some(options.separator),
    };
    Ok(StarterFiles {
        pipeline: pipeline(&proposal),
        schema,
        notes,
    })
}

/// What a schema file begins with.
const HEADING: &str =
    "What the data must look like. Made by `netsec init`; make it as strict as you know it to be.";

/// Counts the labels of both tables, and tells which are attacks.
fn meaning(
    request: &InitRequest,
    target: &str,
    table: &Table,
    test: Option<&Table>,
) -> Result<LabelMeaning, ScaffoldError> {
    let (mut counts, mut missing) = (BTreeMap::new(), 0);
    for table in [Some(table), test].into_iter().flatten() {
        let found = table.counts(target);
        for (label, count) in
            found.map_err(|error| ScaffoldError::Target(format!("--target: {error}")))?
        {
            *counts.entry(label).or_insert(0) += count as u64;
        }
        let cells = table.missing(target)?;
        missing += cells.into_iter().filter(|missing| *missing).count() as u64;
    }
    let said = SaidLabels {
        benign: request.benign.clone(),
        unknown: request.unknown.clone(),
    };
    labels(target, &counts, missing, &said)
}

/// Returns the columns of a table that are left out.
fn dropped(columns: &[JudgedColumn], table: &Table) -> Vec<String> {
    let dropped = columns
        .iter()
        .filter(|column| column.is_dropped && table.has(&column.name));
    dropped.map(|column| column.name.clone()).collect()
}

/// Returns a table with the rows of another below its own, as far as they have the same columns.
fn with_rows_of(kept: &Table, test: Option<&Table>) -> Result<Table, ScaffoldError> {
    let Some(test) = test else {
        return Ok(kept.clone());
    };
    let mut others = test.names();
    others.retain(|name| !kept.has(name));
    let stacked = test
        .without(&others)
        .and_then(|test| Table::stacked(&[kept.clone(), test]));
    Ok(stacked?)
}

/// Returns which of some columns of text have many categories, and how many.
fn of_many_categories(texts: &[String], profile: &Profile) -> Vec<(String, usize)> {
    let mut many = Vec::new();
    for name in texts {
        let count = profile
            .column(name)
            .map_or(0, |column| column.distinct() as usize);
        if count > CATEGORIES {
            many.push((name.clone(), count));
        }
    }
    many
}

/// Returns the lines of a schema for columns that are left out, as comments: ready to be taken in by
/// who takes a column out of `drop`.
fn commented_out(
    table: &Table,
    kept: &Table,
    columns: &[JudgedColumn],
) -> Result<String, ScaffoldError> {
    let left_out = table.without(&kept.names())?;
    let lines = infer::schema(&look(&left_out)?, None, SchemaStrictness::Lenient, "");
    let mut text =
        "  # Left out by `ingest`; whoever takes one in writes it here too:\n".to_owned();
    for line in lines.lines().filter(|line| line.starts_with("  ")) {
        let epoch = columns.iter().find(|column| {
            let begin = format!("  {}: ", infer::quote(&column.name));
            column.epoch.is_some() && line.starts_with(&begin)
        });
        let line = match epoch {
            Some(column) => format!("{}: {{ type: time }}", infer::quote(&column.name)),
            None => line.trim_start().to_owned(),
        };
        text.push_str(&format!("  # {line}\n"));
    }
    Ok(text)
}

/// Says of a column of text that nearly all of its cells are numbers, and which is the first that
/// is not.
fn nearly_numbers(table: &Table, name: &str) -> Option<String> {
    let cells =
        (table.column_type(name) == Ok(ColumnType::Text)).then(|| table.texts(name).ok())??;
    let odd = |cell: &&String| cell.trim().parse::<f64>().is_err();
    let present = cells.iter().flatten().count();
    let count = cells.iter().flatten().filter(odd).count();
    let has_comma =
        |cell: &String| cell.contains(',') && cell.replacen(',', ".", 1).parse::<f64>().is_ok();
    if count == present && present > 0 && cells.iter().flatten().all(has_comma) {
        return Some(format!(
            "`{name}` is text: its numbers have commas where points are read; write them with points"
        ));
    }
    if count == 0 || count * 20 > present {
        return None;
    }
    let at = |(row, cell): (usize, &Option<String>)| {
        Some((row + 1, cell.clone().filter(|cell| odd(&cell))?))
    };
    let (row, first) = cells.iter().enumerate().find_map(at)?;
    let header = if first.trim() == name.trim() {
        ", where the header stands again"
    } else {
        ""
    };
    Some(format!(
        "`{name}` is text because of {count} of {present} cells, the first is `{first}` in row {row}{header}: take such rows out, or \
         name what means a missing value in `na` of `ingest`"
    ))
}

/// Says which columns are left out, and why; copies of a row count once, and `in_order` are all
/// rows as they stand in the files.
fn judged_columns(
    table: &Table,
    in_order: &Table,
    target: &str,
    labels: &LabelMeaning,
) -> Result<Vec<JudgedColumn>, ScaffoldError> {
    let mut judged = Vec::new();
    for (name, kind) in table
        .columns()?
        .into_iter()
        .filter(|(name, _)| name != target)
    {
        let why = match kind {
            ColumnType::Empty => "it has no value",
            ColumnType::Other => "it holds neither numbers nor text",
            _ => continue,
        };
        let note = Some(format!("`{name}` is left out: {why}"));
        judged.push(JudgedColumn {
            name,
            is_dropped: true,
            why: why.to_owned(),
            note,
            epoch: None,
        });
    }
    let known: Vec<String> = judged
        .iter()
        .map(|column| column.name.clone())
        .chain([target.to_owned()])
        .collect();
    let features = table.without(&known)?;
    let cells = table.texts(target)?;
    let mut profiles = LabelProfiles::new();
    let names = labels
        .benign
        .iter()
        .chain(&labels.attacks)
        .map(|label| (label.clone(), Some(label.as_str())));
    for (name, label) in names.chain(labels.empty_is_benign.then(|| (String::new(), None))) {
        let keep: Vec<bool> = cells.iter().map(|cell| cell.as_deref() == label).collect();
        let rows = features.filter(&keep)?;
        if rows.height() > 0 {
            profiles.insert(name, look(&rows)?.with_sample(SAMPLE));
        }
    }
    let whole = look(&features)?;
    for giveaway in ClassTellings::new(&profiles, &|label| labels.is_attack(label))
        .giveaways(NEAR_PERFECT, &rising(in_order)?)
    {
        let is_dropped = giveaway.grade == GiveawayGrade::Leak;
        let note = match giveaway.grade {
            GiveawayGrade::Leak => Some(format!("{}; it is left out", giveaway.tell())),
            GiveawayGrade::Shortcut => Some(giveaway.tell()),
            GiveawayGrade::Signature => continue,
        };
        judged.push(JudgedColumn {
            epoch: epoch(&giveaway, &whole),
            why: giveaway.tell(),
            name: giveaway.column,
            is_dropped,
            note,
        });
    }
    Ok(judged)
}

/// The columns that one of two tables has alone, and that are not left out already.
fn of_one_alone(train: &Table, test: &Table, judged: &[JudgedColumn]) -> Vec<JudgedColumn> {
    let is_new = |name: &String| {
        !judged
            .iter()
            .any(|column| column.is_dropped && column.name == *name)
    };
    let beyond = |mine: &Table, other: &Table| {
        mine.names()
            .into_iter()
            .filter(|name| !other.has(name))
            .collect::<Vec<_>>()
    };
    let sides = [
        (beyond(train, test), "the test table does not have it"),
        (beyond(test, train), "the training table does not have it"),
    ];
    let one = |(names, why): (Vec<String>, &str)| {
        let column = |name: String| JudgedColumn {
            note: Some(format!("`{name}` is left out: {why}")),
            name,
            is_dropped: true,
            why: why.to_owned(),
            epoch: None,
        };
        names
            .into_iter()
            .filter(is_new)
            .map(column)
            .collect::<Vec<_>>()
    };
    sides.into_iter().flat_map(one).collect()
}

/// The type of a column that counts from 1970.
fn epoch(giveaway: &Giveaway, whole: &Profile) -> Option<&'static str> {
    let column = whole
        .column(&giveaway.column)
        .filter(|_| giveaway.reason == GiveawayReason::Moment)?;
    let digits = epoch_parts(column)?;
    EPOCHS
        .iter()
        .find(|(_, known)| *known == digits)
        .map(|(word, _)| *word)
}

/// How the files are read: the separator of CSV is that of the header.
fn options(
    files: &[(String, Vec<u8>)],
    separator: Option<u8>,
    notes: &mut Vec<String>,
) -> Result<Options, ScaffoldError> {
    let first = files
        .first()
        .map(|(_, bytes)| bytes.as_slice())
        .unwrap_or_default();
    let header = first
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let is_csv = FileFormat::detect(first) == FileFormat::Csv && !first.starts_with(&[0x1f, 0x8b]);
    let found = separator
        .or_else(|| likely_separator(header).filter(|_| is_csv))
        .unwrap_or(b',');
    let names: Vec<&[u8]> = header.split(|byte| *byte == found).collect();
    let is_number = |name: &&&[u8]| {
        std::str::from_utf8(name).is_ok_and(|name| name.trim().parse::<f64>().is_ok())
    };
    if is_csv && names.len() > 1 && names.iter().filter(is_number).count() * 2 > names.len() {
        let why = "the first line holds numbers and no names: put a header in front of the rows";
        return Err(ScaffoldError::File(why.to_owned()));
    }
    if separator.is_none() && found != b',' {
        notes.push(format!("fields are separated by {:?}", char::from(found)));
    }
    Ok(Options {
        separator: found,
        ..Options::plain(&MISSING)
    })
}

/// Reads files, one below the other.
fn rows(files: &[(String, Vec<u8>)], options: &Options) -> Result<Table, ScaffoldError> {
    let one = |(name, bytes): &(String, Vec<u8>)| {
        read(bytes.clone(), options).map_err(|error| {
            let separator = error.0.ends_with("set `separator`");
            let hint = if separator {
                " (here `--separator`)"
            } else {
                ""
            };
            let others = match files {
                [_] => "",
                _ => "; if it is not a table, name the others by a glob, as in 'folder/*.csv'",
            };
            ScaffoldError::File(format!("`{name}`: {error}{hint}{others}"))
        })
    };
    let tables = files.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(Table::stacked(&tables)?)
}

/// The column of labels: the one that is named, or one that is called so, or the last.
fn target(
    named: Option<&str>,
    table: &Table,
    notes: &mut Vec<String>,
) -> Result<String, ScaffoldError> {
    let names = table.names();
    if let Some(name) = named {
        let trimmed = names
            .iter()
            .find(|known| *known == name || known.trim() == name.trim());
        return Ok(trimmed.cloned().unwrap_or_else(|| name.to_owned()));
    }
    let has_labels = |name: &String| {
        table
            .counts(name)
            .is_ok_and(|counts| (1..=LABELS).contains(&counts.len()))
    };
    let last = names.last().cloned().unwrap_or_default();
    let called = TARGETS.iter().find_map(|called| {
        names
            .iter()
            .find(|name| name.trim().to_lowercase() == *called && has_labels(name))
    });
    match called {
        Some(called) if *called == last => Ok(last),
        Some(called) => {
            notes.push(format!(
                "`{called}` is taken for the target by its name; `--target` names another column"
            ));
            Ok(called.clone())
        }
        None if has_labels(&last) => Ok(last),
        None if names.len() == 1 => Err(ScaffoldError::Target(format!(
            "there is one column, `{last}`: if something else separates the fields, name it with `--separator`"
        ))),
        None => {
            let could = in_backticks(names.iter().filter(|name| has_labels(name)).take(8));
            let could = if could.is_empty() {
                could
            } else {
                format!("; columns with few values: {could}")
            };
            Err(ScaffoldError::Target(format!(
                "the last column `{last}` has too many values for labels: name the target with `--target`{could}"
            )))
        }
    }
}

/// Proposes a schema for files of rows.
///
/// # Errors
/// A file cannot be read.
pub fn infer(
    path: &str,
    files: &[(String, Vec<u8>)],
    separator: Option<u8>,
    strictness: SchemaStrictness,
) -> Result<String, ScaffoldError> {
    let profile = look(&rows(files, &options(files, separator, &mut Vec::new())?)?)?;
    let heading = format!(
        "What `{path}` looks like. Made by `netsec schema infer`: correct it where you know better."
    );
    Ok(infer::schema(&profile, None, strictness, &heading))
}

/// Looks at a table part by part: the profile of a large one at once would be coarser.
fn look(table: &Table) -> Result<Profile, ScaffoldError> {
    let parts = (0..table.height())
        .step_by(ROWS)
        .map(|from| Profile::of(&table.slice(from, ROWS)));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    Ok(Profile::merged(&parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_named_after_its_file() {
        assert_eq!(name_of("data/nsl kdd.csv.gz"), "nsl_kdd");
    }
}
