//! Parameters of `split`, and what is wrong between them.

use crate::frame::table::read_time;
use crate::stage::declare::{choices, params};
use crate::stage::param::{ParamError, ParamType};

params! {
    /// Parameters of `split`.
    pub(crate) struct SplitParams {
        /// What decides a row's side: a digest of its features, so that equal rows stay together;
        /// that of the columns `group`, so that a host or a session stays together; the moment in
        /// the column `time`; or, `given`, the input that it comes in by: all of `test` is for
        /// judging.
        by: SplitBasis = "content";
        /// The column of labels: it has no say in the side, so that equal features with different
        /// labels stay together.
        target: Option<String>;
        /// The share of distinct rows or groups that go to `test`.
        test_share: f64 = "0.2", in ParamType::Float(0.0, 1.0);
        /// The share that goes to `validation`.
        validation_share: f64 = "0", in ParamType::Float(0.0, 1.0);
        /// The columns that name a group, for `by: group`.
        group: Vec<String> = "[]";
        /// Whether the shares hold within each label as exactly as whole rows allow: sides are then
        /// dealt out in the order of the rows, which stays the same while rows are added at the
        /// end.
        stratify: bool = "false";
        /// The column of moments, for `by: time`.
        time: Option<String>;
        /// For `by: time`: rows from this moment on go to `test`, such as `2026-01-31` or
        /// `2026-01-31T12:00:00Z`.
        test_from: Option<String>;
        /// For `by: time`: rows from this moment on and before `test_from` go to `validation`.
        validation_from: Option<String>;
        /// For `by: time`: rows of so many hours before a border go nowhere.
        gap_hours: f64 = "0", in ParamType::Float(0.0, 1e6);
        /// The labels that are no attacks, for the leakage report; without any, those that are
        /// called so (`normal`, `benign`, `0`, …), or else the most frequent label.
        benign: Vec<String> = "[]";
        /// Labels that say no more than that there is none, such as `Background`: their rows count
        /// as unlabelled.
        unknown: Vec<String> = "[]";
        /// What becomes of rows without a label: they are dealt out like others, left out and
        /// counted, or refused.
        unlabelled: UnlabelledRows = "keep";
        /// From which AUC on a column that tells the label by itself is reported.
        near_perfect: f64 = "0.99", in ParamType::Float(0.5, 1.0);
        /// The share of test rows whose features may stand in `train` too; more, and the stage
        /// fails.
        max_shared_rows: f64 = "1", in ParamType::Float(0.0, 1.0);
    }
}

choices!(SplitBasis {
    "content" => SplitBasis::Content,
    "group" => SplitBasis::Group,
    "time" => SplitBasis::Time,
    "given" => SplitBasis::Given,
});

choices!(UnlabelledRows {
    "keep" => UnlabelledRows::Keep,
    "drop" => UnlabelledRows::Drop,
    "fail" => UnlabelledRows::Fail,
});

/// What decides the side of a row, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SplitBasis {
    Content,
    Group,
    Time,
    Given,
}

/// What becomes of rows without a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnlabelledRows {
    /// They are dealt out like others.
    Keep,
    /// They are on no side.
    Drop,
    /// They are refused.
    Fail,
}

/// What decides the side of a row.
#[derive(Debug)]
pub(crate) enum SplitBy {
    /// A digest of its features.
    Content,
    /// A digest of these columns.
    Group(Vec<String>),
    /// A moment.
    Time {
        column: String,
        validation_from: Option<i64>,
        test_from: i64,
        gap_ms: i64,
    },
    /// The table it comes in.
    Given,
}

/// What is wrong between parameters.
#[derive(Default)]
pub(crate) struct ParamFaults(pub(crate) Vec<ParamError>);

impl ParamFaults {
    pub(crate) fn add(&mut self, key: &str, message: &str, help: &str) {
        self.0.push(ParamError::new(&[key], message, help));
    }

    /// Reads a moment.
    fn moment(&mut self, key: &str, text: Option<&str>) -> Option<i64> {
        let text = text?;
        let time = read_time(text);
        if time.is_none() {
            let help = "write `2026-01-31` or `2026-01-31T12:00:00Z`";
            self.add(key, "not a date or time", help);
        }
        time
    }
}

impl SplitParams {
    pub(crate) fn check_shares(&self, faults: &mut ParamFaults) {
        if self.test_share + self.validation_share > 1.0 {
            faults.add(
                "validation_share",
                "`test_share` and `validation_share` together are more than all rows",
                "lower one",
            );
        }
    }

    /// Returns what decides the side of a row.
    pub(crate) fn side_of_rows(&self, faults: &mut ParamFaults) -> SplitBy {
        let test_from = faults.moment("test_from", self.test_from.as_deref());
        let validation_from = faults.moment("validation_from", self.validation_from.as_deref());
        match self.by {
            SplitBasis::Content => SplitBy::Content,
            SplitBasis::Given => SplitBy::Given,
            SplitBasis::Group => {
                if self.group.is_empty() {
                    faults.add(
                        "by",
                        "`by: group` needs `group`",
                        "name the columns that tell one group from another",
                    );
                }
                SplitBy::Group(self.group.clone())
            }
            SplitBasis::Time => {
                let column = self.time.clone().unwrap_or_default();
                if column.is_empty() || self.test_from.is_none() {
                    faults.add(
                        "by",
                        "`by: time` needs `time` and `test_from`",
                        "name the column and the moment from which rows are for testing",
                    );
                }
                if let (Some(test), Some(validation)) = (test_from, validation_from)
                    && validation >= test
                {
                    faults.add(
                        "validation_from",
                        "`validation_from` is not before `test_from`",
                        "validation rows lie between the two",
                    );
                }
                SplitBy::Time {
                    column,
                    validation_from,
                    test_from: test_from.unwrap_or_default(),
                    gap_ms: (self.gap_hours * 3_600_000.0) as i64,
                }
            }
        }
    }

    pub(crate) fn check_labels(&self, faults: &mut ParamFaults) {
        for (is_asked, key) in [
            (self.stratify, "stratify"),
            (self.unlabelled != UnlabelledRows::Keep, "unlabelled"),
            (!self.benign.is_empty(), "benign"),
            (!self.unknown.is_empty(), "unknown"),
        ] {
            if is_asked && self.target.is_none() {
                faults.add(
                    key,
                    &format!("`{key}` needs `target`"),
                    "name the column of labels",
                );
            }
        }
        if !self.unknown.is_empty() && self.unlabelled == UnlabelledRows::Keep {
            faults.add(
                "unknown",
                "`unknown` needs `unlabelled: drop` or `unlabelled: fail`",
                "say what becomes of rows with such labels",
            );
        }
    }
}
