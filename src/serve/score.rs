//! `POST /v1/score`: records as they come from a log, a verdict each.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::scoring::attribution::{TopContributions, is_exact};
use crate::scoring::read_rows::ReadRows;
use crate::scoring::records::{RecordList, RecordReader};
use crate::scoring::scorer::RowVerdict;
use crate::serve::call::{ScoringCall, ScoringReply};
use crate::serve::invocations_forms::AnythingSchema;
use crate::serve::problem::HttpProblem;
use crate::serve::served_model::ServedModel;

/// The most columns that are told of a row.
const MOST_REASONS: usize = 1000;

/// Rows that are explained between two looks at the deadline.
const STEP: usize = 8;

/// Rows to be scored.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ScoreRequest)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "it is read field by field; this is what the API document shows"
)]
pub struct ScoreRequestBody {
    /// The rows: cells by the name of their column. What a model does not need is passed over.
    #[schema(value_type = Vec<AnythingSchema>)]
    rows: Vec<IgnoredAny>,
    /// How many columns to tell of each row that its probability comes from; none if it is left
    /// out.
    #[schema(minimum = 0, maximum = 1000)]
    explain: Option<u32>,
}

/// What came of the rows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScoreResponse)]
pub struct ScoreResponseBody<'a> {
    /// The name of the model.
    pub model: &'a str,
    /// The digest of the model that made this answer.
    pub digest: &'a str,
    /// The probability from which on a row is an alarm.
    pub threshold: f64,
    /// What the contributions of columns add up to, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    /// A verdict a row, in their order.
    pub rows: Vec<RowAnswer<'a>>,
}

/// What is told of a row.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum RowAnswer<'a> {
    /// It was scored.
    Scored(ScoredRow<'a>),
    /// It could not be scored.
    Unscored {
        /// Why.
        error: String,
    },
}

/// A row that was scored.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScoredRow<'a> {
    /// The probability of an attack.
    #[schema(minimum = 0, maximum = 1)]
    pub probability: f64,
    /// The class that the row is told to be: where it raises an alarm the likeliest attack,
    /// otherwise the likeliest of the other classes.
    pub class: &'a str,
    /// The probability of that class, of a model that tells more than two apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub class_probability: Option<f64>,
    /// Whether the probability reaches the threshold.
    pub alarm: bool,
    /// Whether it does not, but the row is to be looked at, of a model that leaves rows to review.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<bool>,
    /// What is expected of any row, if reasons were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<f64>,
    /// Where the probability comes from, if that was asked for: what counts most comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Vec<RowReason>>,
}

/// What a column adds.
#[derive(Debug, Serialize, ToSchema)]
pub struct RowReason {
    /// The column.
    pub column: String,
    /// What it adds, in the unit that is told with the rows.
    pub adds: f64,
}

/// Answers a body.
///
/// # Errors
/// It is malformed, has too many rows, or asks for reasons that the learner cannot tell.
pub fn answer(call: &ScoringCall, body: &[u8]) -> Result<ScoringReply, HttpProblem> {
    let model = &call.model;
    let (rows, explain) = request(call, body)?;
    let reasons = match explain {
        0 => None,
        _ if rows.is_empty() => None,
        most => Some(reasons(call, &rows, most)?),
    };
    let verdicts = call.verdicts(rows, body, read)?;
    let (unit, mut reasons) = match reasons {
        Some((unit, reasons)) => (
            Some(unit).filter(|unit| !unit.is_empty()),
            Some(reasons.into_iter()),
        ),
        None => (None, None),
    };
    let rows = verdicts.into_iter().map(|verdict| {
        let reasons = reasons.as_mut().and_then(Iterator::next).flatten();
        row_answer(model, verdict, reasons)
    });
    Ok(ScoringReply::json(&ScoreResponseBody {
        model: &call.slot.name,
        digest: &model.hex,
        threshold: model.scorer.bundle().validation.threshold,
        unit,
        rows: rows.collect(),
    }))
}

fn read(call: &ScoringCall, body: &[u8]) -> Result<ReadRows, HttpProblem> {
    request(call, body).map(|(rows, _)| rows)
}

/// Reads a request: its rows, and how many columns are to be told of each.
fn request(call: &ScoringCall, body: &[u8]) -> Result<(ReadRows, usize), HttpProblem> {
    let model = &call.model;
    let most = call.state.options.limits.rows;
    let mut reader = model.scorer.layout().reader(1);
    let mut json = serde_json::Deserializer::from_slice(body);
    let seed = RequestSeed {
        reader: &mut reader,
        most,
    };
    let explain = seed
        .deserialize(&mut json)
        .and_then(|explain| json.end().map(|()| explain))
        .map_err(|error| call.unread(reader.is_full(), &error))?;
    Ok((reader.finish(), explain))
}

/// Returns what is told of a row.
pub fn row_answer(
    model: &ServedModel,
    verdict: RowVerdict,
    reasons: Option<TopContributions>,
) -> RowAnswer<'_> {
    let score = match verdict {
        Ok(score) => score,
        Err(error) => return RowAnswer::Unscored { error },
    };
    let base = reasons.as_ref().map(|reasons| reasons.base);
    let reasons = reasons.map(|reasons| {
        let columns = reasons.columns.into_iter();
        columns
            .map(|reason| RowReason {
                column: reason.column,
                adds: reason.adds,
            })
            .collect()
    });
    RowAnswer::Scored(ScoredRow {
        probability: score.probability,
        class: &model.scorer.classes().names()[usize::from(score.class)],
        class_probability: score.class_probability,
        alarm: score.alarm,
        review: score.review,
        base,
        reasons,
    })
}

fn reasons(
    call: &ScoringCall,
    rows: &ReadRows,
    most: usize,
) -> Result<(&'static str, Vec<Option<TopContributions>>), HttpProblem> {
    let scorer = &call.model.scorer;
    if !is_exact(scorer.bundle()) {
        let learner = &scorer.bundle().learner;
        return Err(HttpProblem::unfit(format!(
            "`explain` is answered for trees and linear models: of `{learner}` contributions can only be sampled, \
             which `netsec model explain` does"
        )));
    }
    let mut told = Vec::with_capacity(rows.len());
    let mut unit = "";
    for from in (0..rows.len()).step_by(STEP) {
        call.check_time()?;
        let some = rows.slice(from, STEP);
        // Of rows that could not be read there is nothing to be told.
        let readable = some.without_errors();
        let explained = match readable.is_empty() {
            true => Vec::new(),
            false => {
                let explained = scorer.top_contributions(readable, most);
                let explained = explained.map_err(|error| HttpProblem::unfit(error.to_string()))?;
                unit = explained.1;
                explained.0
            }
        };
        let mut explained = explained.into_iter();
        told.extend(some.errors().iter().map(|error| match error {
            None => explained.next(),
            Some(_) => None,
        }));
    }
    Ok((unit, told))
}

/// Reads a request; returns how many columns are to be told of each row.
struct RequestSeed<'r, 'a> {
    reader: &'r mut RecordReader<'a>,
    most: usize,
}

impl<'de> DeserializeSeed<'de> for RequestSeed<'_, '_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RequestSeed<'_, '_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the list `rows`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<usize, A::Error> {
        let (mut has_rows, mut explain) = (false, 0);
        while let Some(key) = entries.next_key::<String>()? {
            match key.as_str() {
                "rows" if has_rows => return Err(A::Error::custom("`rows` stands twice in it")),
                "rows" => {
                    has_rows = true;
                    entries.next_value_seed(RecordList {
                        reader: &mut *self.reader,
                        most: self.most,
                    })?;
                }
                "explain" => {
                    // 5.0 is a whole number, too.
                    let wanted = entries.next_value::<Option<f64>>()?.unwrap_or_default();
                    if wanted.fract() != 0.0 || !(0.0..=MOST_REASONS as f64).contains(&wanted) {
                        let why = format!("`explain` is a whole number from 0 to {MOST_REASONS}");
                        return Err(A::Error::custom(why));
                    }
                    explain = wanted as usize;
                }
                other => {
                    entries.next_value::<IgnoredAny>()?;
                    let shown: String = other.chars().take(60).collect();
                    let why = format!("it has a key `{shown}`, and may have `rows` and `explain`");
                    return Err(A::Error::custom(why));
                }
            }
        }
        match has_rows {
            true => Ok(explain),
            false => Err(A::Error::custom("it has no list `rows`")),
        }
    }
}
