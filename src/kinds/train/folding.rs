//! Folds of a cross-validation: by what rows find theirs, and whether each tells something.

use crate::frame::moments::moments;
use crate::frame::table::TableError;
use crate::kinds::train::params::FoldBasis;
use crate::kinds::train::raw_rows;
use crate::model::data::TrainingSet;
use crate::prep::preprocessor::Preprocessor;
use crate::prep::step::FittedStep;
use crate::stage::error::StageError;
use crate::stage::io::Inputs;
use crate::stage::param::ParamError;
use crate::tuning::folds::{FoldOrigin, FoldPlacement};

/// With fewer rows of a class in each fold it is dealt out evenly where nothing else is said.
const RARE: usize = 50;

/// What decides the fold of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FoldBy {
    Auto,
    Content,
    Stratified,
    Group(String),
    Time(String),
}

/// How folds are made.
#[derive(Clone, Debug)]
pub(crate) struct FoldSettings {
    /// How many.
    pub(crate) folds: usize,
    by: FoldBy,
}

/// How the folds of some rows are made.
pub(crate) struct FoldPlan {
    pub(crate) by: FoldPlacement,
    /// The same for the keys of trials.
    pub(crate) origin: FoldOrigin,
    /// The stage's inputs that it depends on.
    pub(crate) inputs: Vec<&'static str>,
}

impl FoldSettings {
    /// Takes what is asked for.
    pub(crate) fn read(
        folds: usize,
        basis: FoldBasis,
        column: Option<String>,
    ) -> Result<Self, ParamError> {
        let needs = |word: &str| refusal("fold_by", format!("folds by {word} need a column"));
        let by = match (basis, column) {
            (FoldBasis::Group, Some(column)) => FoldBy::Group(column),
            (FoldBasis::Time, Some(column)) => FoldBy::Time(column),
            (FoldBasis::Group, None) => return Err(needs("group")),
            (FoldBasis::Time, None) => return Err(needs("time")),
            (basis, column) => {
                let (by, word) = match basis {
                    FoldBasis::Content => (FoldBy::Content, "content"),
                    FoldBasis::Stratified => (FoldBy::Stratified, "stratified"),
                    _ => (FoldBy::Auto, "auto"),
                };
                if column.is_some() {
                    let message = format!("folds by {word} need no column");
                    return Err(refusal("fold_column", message));
                }
                by
            }
        };
        Ok(Self { folds, by })
    }

    /// Decides how the rows find their folds.
    pub(crate) fn plan(
        &self,
        inputs: &Inputs,
        data: &TrainingSet,
        preprocessor: &Preprocessor,
    ) -> Result<FoldPlan, StageError> {
        let content = || FoldPlan {
            by: FoldPlacement::Content,
            origin: FoldOrigin::Content,
            inputs: vec!["train"],
        };
        let stratified = || FoldPlan {
            by: FoldPlacement::Stratified,
            origin: FoldOrigin::Stratified,
            inputs: vec!["train"],
        };
        let (column, word) = match &self.by {
            FoldBy::Content => return Ok(content()),
            FoldBy::Stratified => return Ok(stratified()),
            FoldBy::Auto => {
                let rarer = data.labels.attacks().min(data.labels.benign());
                return Ok(match rarer < RARE * self.folds {
                    true => stratified(),
                    false => content(),
                });
            }
            FoldBy::Group(column) => (column, "group"),
            FoldBy::Time(column) => (column, "time"),
        };
        let wrong = |error: TableError| StageError::Data(format!("rows: {error}"));
        let table = raw_rows::read("fold_by", inputs, data, preprocessor)?;
        if preprocessor
            .steps()
            .iter()
            .any(|step| matches!(step, FittedStep::Target(_)))
        {
            return Err(StageError::Data(format!(
                "fold_by: the step `target` of `transform` tells every row the classes of others, whatever folds are made by \
                 {word}: use `onehot` or `hash` there, or folds by content"
            )));
        }
        let by = match &self.by {
            FoldBy::Time(_) => FoldPlacement::Time(moments(&table, column).map_err(wrong)?),
            _ => FoldPlacement::Group(
                table
                    .texts(column)
                    .map_err(wrong)?
                    .into_iter()
                    .map(Option::unwrap_or_default)
                    .collect(),
            ),
        };
        let origin = match &self.by {
            FoldBy::Time(_) => FoldOrigin::Time(column.clone()),
            _ => FoldOrigin::Group(column.clone()),
        };
        Ok(FoldPlan {
            by,
            origin,
            inputs: vec!["train", "rows"],
        })
    }

    /// Refuses folds that tell nothing; returns what is to be known of the others. `classes` are
    /// the attacks and benign rows that are asked about in every fold.
    pub(crate) fn check(
        &self,
        classes: &[(usize, usize)],
        by: &FoldPlacement,
    ) -> Result<Vec<String>, StageError> {
        // Without any attack folds cannot have some.
        let are_attacks = classes.iter().any(|(attacks, _)| *attacks > 0);
        let filled = classes
            .iter()
            .filter(|(attacks, benign)| attacks + benign > 0)
            .count();
        let column = match &self.by {
            FoldBy::Group(column) | FoldBy::Time(column) => Some(column),
            _ => None,
        };
        if filled < 2 {
            let by = column.map_or_else(
                || "the features have".to_owned(),
                |column| format!("`{column}` has"),
            );
            return Err(StageError::Data(format!(
                "fold_by: {by} too few distinct values for {} folds ({filled} would have rows): fold by something else",
                self.folds
            )));
        }
        let lacks = |(attacks, benign): &(usize, usize)| {
            attacks + benign > 0 && (*attacks == 0 && are_attacks || *benign == 0)
        };
        let lacking = classes.iter().position(lacks);
        let Some(at) = lacking else {
            return Ok(Vec::new());
        };
        let (attacks, benign) = classes[at];
        let what = if attacks == 0 { "attack" } else { "benign row" };
        let told = format!(
            "no {what} is among the {} rows of fold {} of {}",
            attacks + benign,
            at + 1,
            self.folds
        );
        match by {
            FoldPlacement::Content => Err(StageError::Rejected(format!(
                "{told}: set `fold_by: stratified`, or bring more of them"
            ))),
            FoldPlacement::Stratified => Err(StageError::Rejected(format!(
                "{told}: there are fewer that differ than folds; bring more of them, or set fewer `folds`"
            ))),
            // Of groups and times some are as they are: what is found is judged on all folds
            // together.
            FoldPlacement::Group(_) | FoldPlacement::Time(_) => Ok(vec![told]),
        }
    }
}

fn refusal(at: &str, message: String) -> ParamError {
    let help = "set `fold_by: group` or `fold_by: time`, `fold_column:` to the column, and the input `rows`";
    ParamError::new(&[at], message, help)
}
