//! `POST /invocations`: what a scoring server of MLflow answers, in all forms that it takes rows
//! in, so that who asked such a server can ask this one.

use axum::http::header::CONTENT_TYPE;
use serde::Serialize;
use utoipa::ToSchema;

use crate::frame::table::TableError;
use crate::scoring::read_rows::ReadRows;
use crate::scoring::rows::as_written;
use crate::scoring::scorer::ScoreError;
use crate::serve::call::{ScoringCall, ScoringReply};
use crate::serve::invocations_forms::read_form;
use crate::serve::problem::HttpProblem;
use crate::source::files;

/// What came of the rows.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvocationsResponse<'a> {
    /// A prediction a row, in their order.
    predictions: Vec<Prediction<'a>>,
}

/// A prediction, as the exported MLflow model tells it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Prediction<'a> {
    /// The probability of an attack.
    #[schema(minimum = 0, maximum = 1)]
    probability: f64,
    /// 1 if it reaches the threshold, otherwise 0.
    alarm: u8,
    /// 1 if it does not, but the row is to be looked at, of a model that leaves rows to review.
    #[serde(skip_serializing_if = "Option::is_none")]
    review: Option<u8>,
    /// The class that the row is told to be, of a model that tells more than two apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    /// The probability of that class.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    class_probability: Option<f64>,
}

/// The most columns of a table in CSV.
const MOST_COLUMNS: usize = 10_000;

/// The type of a table of text.
pub const CSV: &str = "text/csv";

/// Answers a body.
///
/// # Errors
/// It is malformed, does not fit the model, or a row cannot be scored.
pub fn answer(call: &ScoringCall, body: &[u8]) -> Result<ScoringReply, HttpProblem> {
    let rows = read(call, body)?;
    let classes = call.model.scorer.classes();
    let name = |class: u16| classes.names()[usize::from(class)].as_str();
    let mut predictions = Vec::with_capacity(rows.len());
    for (row, verdict) in (1..).zip(call.verdicts(rows, body, read)?) {
        let score = verdict.map_err(|why| HttpProblem::unfit(format!("row {row}: {why}")))?;
        predictions.push(Prediction {
            probability: score.probability,
            alarm: u8::from(score.alarm),
            review: score.review.map(u8::from),
            class: score.class_probability.map(|_| name(score.class)),
            class_probability: score.class_probability,
        });
    }
    Ok(ScoringReply::json(&InvocationsResponse { predictions }))
}

fn read(call: &ScoringCall, body: &[u8]) -> Result<ReadRows, HttpProblem> {
    let kind = call.header(&CONTENT_TYPE);
    let rows = match kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with(CSV)) {
        true => csv_rows(call, body)?,
        false => json_rows(call, body)?,
    };
    let most = call.state.options.limits.rows;
    match rows.len() > most {
        true => Err(HttpProblem::too_many_rows(most)),
        false => Ok(rows),
    }
}

/// Reads a table of text. What reads files would read others, also packed ones, which grow when
/// they are unpacked: only what is written plainly comes so far.
fn csv_rows(call: &ScoringCall, body: &[u8]) -> Result<ReadRows, HttpProblem> {
    let scorer = &call.model.scorer;
    let text = std::str::from_utf8(body)
        .map_err(|_| HttpProblem::malformed("the table is not text in UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.is_empty() || text.starts_with(['{', '[']) || text.starts_with("PAR1") {
        return Err(HttpProblem::malformed("the body is not a table in CSV"));
    }
    let most = call.state.options.limits.rows;
    let lines = text
        .trim_end()
        .bytes()
        .filter(|byte| *byte == b'\n')
        .count();
    if lines > most {
        return Err(HttpProblem::too_many_rows(most));
    }
    let head = text.lines().next().unwrap_or_default();
    if head.bytes().filter(|byte| *byte == b',').count() > MOST_COLUMNS {
        let detail = format!("a table may have {MOST_COLUMNS} columns");
        return Err(HttpProblem::unfit(detail));
    }
    let mut names = head
        .split(',')
        .map(|name| name.trim_matches(['"', ' ', '\r']));
    if lines == 0 {
        // A table without rows is one all the same, if its columns are those of the model.
        return match names.any(|name| scorer.layout().place(name).is_some()) {
            true => Ok(scorer.layout().reader(0).finish()),
            false => Err(HttpProblem::unfit(format!(
                "the table has one line, and in it none of the columns that the model needs{}",
                separator_advice(head)
            ))),
        };
    }
    let advice = separator_advice(head);
    if !advice.is_empty() {
        return Err(HttpProblem::unfit(format!(
            "the table has none of the columns that the model needs{advice}"
        )));
    }
    let options = as_written(scorer.bundle(), b',');
    let table = files::read(text.as_bytes().to_vec(), &options);
    let table = table.map_err(|TableError(why)| HttpProblem::malformed(why))?;
    scorer.read_table(&table).map_err(|error| match error {
        ScoreError::Data(TableError(why)) => HttpProblem::unfit(why),
        _ => HttpProblem::fault(),
    })
}

/// Says so, if the cells of a table are separated by something else than a comma.
fn separator_advice(head: &str) -> String {
    match head.chars().find(|c| matches!(c, ';' | '\t' | '|')) {
        Some(other) if !head.contains(',') => {
            format!("; its cells seem to be separated by {other:?}, and have to be by ','")
        }
        _ => String::new(),
    }
}

/// Reads a request; what Python writes for a missing number, the bare word NaN, is no JSON, and
/// read all the same.
fn json_rows(call: &ScoringCall, body: &[u8]) -> Result<ReadRows, HttpProblem> {
    match read_form(call, body) {
        Err(problem) if problem.code == "malformed" => match without_nan(body) {
            Some(body) => read_form(call, &body),
            None => Err(problem),
        },
        read => read,
    }
}

/// Returns a body with null in place of the bare word NaN; none if it has none.
fn without_nan(body: &[u8]) -> Option<Vec<u8>> {
    let mut changed = Vec::with_capacity(body.len());
    let (mut is_text, mut is_escaped, mut found) = (false, false, false);
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        if !is_text && rest.starts_with(b"NaN") {
            changed.extend_from_slice(b"null");
            rest = &rest[3..];
            found = true;
            continue;
        }
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            _ => {}
        }
        changed.push(*byte);
        rest = after;
    }
    found.then_some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_nan_is_null_and_one_in_text_is_text() {
        let body = br#"{"a": [NaN, "NaN", "\"NaN", 1], "b\\": NaN}"#;
        let expected = br#"{"a": [null, "NaN", "\"NaN", 1], "b\\": null}"#;
        assert_eq!(without_nan(body).unwrap(), expected);
        assert_eq!(without_nan(br#"{"a": "NaN"}"#), None);
    }
}
