//! Folds of a cross-validation: by what rows find theirs, and whether each tells something.

use crate::frame::table::TableError;
use crate::kinds::dataset::Dataset;
use crate::model::data::TrainingSet;
use crate::prep::preprocessor::Preprocessor;
use crate::prep::step::FittedStep;
use crate::stage::error::StageError;
use crate::stage::io::Inputs;
use crate::stage::param::{Param, ParamError, ParamFallback, ParamStep, ParamType, Values};
use crate::tuning::folds::{FoldOrigin, FoldPlacement, moments};

/// With fewer rows of a class in each fold it is dealt out evenly where nothing else is said.
const RARE: usize = 50;

/// How folds are asked for.
pub(crate) const PARAMS: [Param; 3] = [
    Param {
        name: "folds",
        kind: ParamType::Int(2, 100),
        default: ParamFallback::Yaml("3"),
        doc: "Folds of the cross-validation.",
    },
    Param {
        name: "fold_by",
        kind: ParamType::Choice(&["auto", "content", "stratified", "group", "time"]),
        default: ParamFallback::Yaml("auto"),
        doc: "`content`: rows with equal features are in the same fold; `stratified`: so they are, and every fold has as many \
              attacks as can be; `auto`: `stratified` where a class has fewer than 50 rows for each fold, otherwise `content`; \
              `group`: rows with the same cell in `fold_column` are in the same fold; `time`: models are fitted to what was \
              before the rows that they are asked about, by `fold_column`.",
    },
    Param {
        name: "fold_column",
        kind: ParamType::Text,
        default: ParamFallback::Absent,
        doc: "The column of the input `rows` by which folds are made.",
    },
];

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
    /// Reads what is asked for.
    pub(crate) fn read(values: &Values) -> Result<Self, ParamError> {
        let word = values.text("fold_by").unwrap_or_default();
        let column = values.text("fold_column").map(str::to_owned);
        let by = match (word, column) {
            ("group", Some(column)) => FoldBy::Group(column),
            ("time", Some(column)) => FoldBy::Time(column),
            ("auto", None) => FoldBy::Auto,
            ("content", None) => FoldBy::Content,
            ("stratified", None) => FoldBy::Stratified,
            (word, column) => {
                let (at, message) = match column {
                    None => ("fold_by", format!("folds by {word} need a column")),
                    Some(_) => ("fold_column", format!("folds by {word} need no column")),
                };
                let help =
                    "set `fold_by: group` or `fold_by: time`, `fold_column:` to the column, and the input `rows`"
                        .to_owned();
                return Err(ParamError {
                    path: vec![ParamStep::key(at)],
                    message,
                    help: Some(help),
                });
            }
        };
        Ok(Self {
            folds: values.size("folds"),
            by,
        })
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
                let attacks = data.y.iter().filter(|y| **y == 1.0).count();
                let rarer = attacks.min(data.y.len() - attacks);
                return Ok(match rarer < RARE * self.folds {
                    true => stratified(),
                    false => content(),
                });
            }
            FoldBy::Group(column) => (column, "group"),
            FoldBy::Time(column) => (column, "time"),
        };
        let wrong = |error: TableError| StageError::Data(format!("rows: {error}"));
        let Some(input) = inputs.maybe("rows") else {
            let help =
                "name the stage that `transform` takes its `train` from, as in `rows: split.train`";
            return Err(StageError::Data(format!(
                "fold_by: the input `rows` is not given: {help}"
            )));
        };
        let table = Dataset::open(input)?.whole()?;
        if table.height() != data.y.len() {
            let (rows, all) = (table.height(), data.y.len());
            return Err(StageError::Data(format!(
                "rows: {rows} rows, and {all} in `train`: they are not the same"
            )));
        }
        if preprocessor.labels(&table).map_err(StageError::Data)? != data.y {
            let why = "rows: its labels are not those of `train`: name the table it was made of";
            return Err(StageError::Data(why.to_owned()));
        }
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
        let lacking = classes
            .iter()
            .position(|(attacks, benign)| attacks + benign > 0 && (*attacks == 0 || *benign == 0));
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
