//! `split`: which rows are for learning and which for judging; the declaration.

use crate::frame::table::read_time;
use crate::kinds::split::work::{SplitBy, SplitStage, UnlabelledRows};
use crate::stage::kind::{Stage, StageKind};
use crate::stage::param::{Param, ParamError, ParamFallback, ParamStep, ParamType, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};

/// The kind.
pub const KIND: StageKind = StageKind {
    name: "split",
    version: 4,
    doc: "Splits rows into train, validation and test, so that a row never changes its side when others are added, and \
          reports what leaks: rows that repeat, labels that contradict each other, columns that give the label away or name \
          rows, hosts and times.",
    inputs: Ports::Fixed(&[
        Port {
            name: "data",
            format: PortFormat::Table,
            need: PortNeed::One,
            doc: "the rows; for `by: given`, those to learn from",
        },
        Port {
            name: "test",
            format: PortFormat::Table,
            need: PortNeed::Optional,
            doc: "for `by: given`: the rows to judge by, as they were given",
        },
    ]),
    outputs: Ports::Fixed(&[
        Port {
            name: "train",
            format: PortFormat::Table,
            need: PortNeed::One,
            doc: "the rows to learn from",
        },
        Port {
            name: "validation",
            format: PortFormat::Table,
            need: PortNeed::One,
            doc: "the rows to choose by; none by default",
        },
        Port {
            name: "test",
            format: PortFormat::Table,
            need: PortNeed::One,
            doc: "the rows to judge by",
        },
        Port {
            name: "leakage",
            format: PortFormat::Json,
            need: PortNeed::One,
            doc: "what leaks",
        },
    ]),
    params: &[
        Param {
            name: "by",
            kind: ParamType::Choice(&["content", "group", "time", "given"]),
            default: ParamFallback::Yaml("content"),
            doc: "What decides a row's side: a digest of its features, so that equal rows stay together; that of the columns \
                  `group`, so that a host or a session stays together; the moment in the column `time`; or, `given`, the input \
                  that it comes in by: all of `test` is for judging.",
        },
        Param {
            name: "target",
            kind: ParamType::Text,
            default: ParamFallback::Absent,
            doc: "The column of labels: it has no say in the side, so that equal features with different labels stay together.",
        },
        Param {
            name: "test_share",
            kind: ParamType::Float(0.0, 1.0),
            default: ParamFallback::Yaml("0.2"),
            doc: "The share of distinct rows or groups that go to `test`.",
        },
        Param {
            name: "validation_share",
            kind: ParamType::Float(0.0, 1.0),
            default: ParamFallback::Yaml("0"),
            doc: "The share that goes to `validation`.",
        },
        Param {
            name: "group",
            kind: ParamType::List(&ParamType::Text),
            default: ParamFallback::Yaml("[]"),
            doc: "The columns that name a group, for `by: group`.",
        },
        Param {
            name: "stratify",
            kind: ParamType::Bool,
            default: ParamFallback::Yaml("false"),
            doc: "Whether the shares hold within each label as exactly as whole rows allow: sides are then dealt out in the \
                  order of the rows, which stays the same while rows are added at the end.",
        },
        Param {
            name: "time",
            kind: ParamType::Text,
            default: ParamFallback::Absent,
            doc: "The column of moments, for `by: time`.",
        },
        Param {
            name: "test_from",
            kind: ParamType::Text,
            default: ParamFallback::Absent,
            doc: "For `by: time`: rows from this moment on go to `test`, such as `2026-01-31` or `2026-01-31T12:00:00Z`.",
        },
        Param {
            name: "validation_from",
            kind: ParamType::Text,
            default: ParamFallback::Absent,
            doc: "For `by: time`: rows from this moment on and before `test_from` go to `validation`.",
        },
        Param {
            name: "gap_hours",
            kind: ParamType::Float(0.0, 1e6),
            default: ParamFallback::Yaml("0"),
            doc: "For `by: time`: rows of so many hours before a border go nowhere.",
        },
        Param {
            name: "benign",
            kind: ParamType::List(&ParamType::Text),
            default: ParamFallback::Yaml("[]"),
            doc: "The labels that are no attacks, for the leakage report; without any, those that are called so (`normal`, \
                  `benign`, `0`, …), or else the most frequent label.",
        },
        Param {
            name: "unknown",
            kind: ParamType::List(&ParamType::Text),
            default: ParamFallback::Yaml("[]"),
            doc: "Labels that say no more than that there is none, such as `Background`: their rows count as unlabelled.",
        },
        Param {
            name: "unlabelled",
            kind: ParamType::Choice(&["keep", "drop", "fail"]),
            default: ParamFallback::Yaml("keep"),
            doc: "What becomes of rows without a label: they are dealt out like others, left out and counted, or refused.",
        },
        Param {
            name: "near_perfect",
            kind: ParamType::Float(0.5, 1.0),
            default: ParamFallback::Yaml("0.99"),
            doc: "From which AUC on a column that tells the label by itself is reported.",
        },
        Param {
            name: "max_shared_rows",
            kind: ParamType::Float(0.0, 1.0),
            default: ParamFallback::Yaml("1"),
            doc: "The share of test rows whose features may stand in `train` too; more, and the stage fails.",
        },
    ],
    seeded: false,
    own_turn: false,
    make,
};

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    let mut faults = Vec::new();
    let mut fault = |key: &str, message: &str, help: &str| {
        let path = vec![ParamStep::Key(key.to_owned())];
        faults.push(ParamError {
            path,
            message: message.to_owned(),
            help: Some(help.to_owned()),
        });
    };
    let (test_share, validation_share) = (
        values.float("test_share").unwrap_or_default(),
        values.float("validation_share").unwrap_or_default(),
    );
    if test_share + validation_share > 1.0 {
        fault(
            "validation_share",
            "`test_share` and `validation_share` together are more than all rows",
            "lower one",
        );
    }
    let mut moment = |key: &str| {
        let text = values.text(key)?;
        let time = read_time(text);
        if time.is_none() {
            fault(
                key,
                "not a date or time",
                "write `2026-01-31` or `2026-01-31T12:00:00Z`",
            );
        }
        time
    };
    let (test_from, validation_from) = (moment("test_from"), moment("validation_from"));
    let target = values.text("target").map(str::to_owned);
    let stratify = values.flag("stratify");
    let by = match values.text("by").unwrap_or_default() {
        "group" => {
            let group = values.texts("group");
            if group.is_empty() {
                fault(
                    "by",
                    "`by: group` needs `group`",
                    "name the columns that tell one group from another",
                );
            }
            SplitBy::Group(group)
        }
        "time" => {
            let column = values.text("time").unwrap_or_default().to_owned();
            if column.is_empty() || values.text("test_from").is_none() {
                fault(
                    "by",
                    "`by: time` needs `time` and `test_from`",
                    "name the column and the moment from which rows are for testing",
                );
            }
            if let (Some(test), Some(validation)) = (test_from, validation_from)
                && validation >= test
            {
                fault(
                    "validation_from",
                    "`validation_from` is not before `test_from`",
                    "validation rows lie between the two",
                );
            }
            let gap_ms = (values.float("gap_hours").unwrap_or_default() * 3_600_000.0) as i64;
            SplitBy::Time {
                column,
                validation_from,
                test_from: test_from.unwrap_or_default(),
                gap_ms,
            }
        }
        "given" => SplitBy::Given,
        _ => SplitBy::Content,
    };
    for (is_asked, key) in [
        (stratify, "stratify"),
        (values.text("unlabelled") != Some("keep"), "unlabelled"),
        (!values.list("benign").is_empty(), "benign"),
        (!values.list("unknown").is_empty(), "unknown"),
    ] {
        if is_asked && target.is_none() {
            fault(
                key,
                &format!("`{key}` needs `target`"),
                "name the column of labels",
            );
        }
    }
    if stratify && !matches!(by, SplitBy::Content) {
        fault(
            "stratify",
            "only `by: content` can be stratified",
            "leave it out",
        );
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let near_perfect = values.float("near_perfect").unwrap_or_default();
    let max_shared_rows = values.float("max_shared_rows").unwrap_or_default();
    let unlabelled = match values.text("unlabelled") {
        Some("drop") => UnlabelledRows::Drop,
        Some("fail") => UnlabelledRows::Fail,
        _ => UnlabelledRows::Keep,
    };
    let (benign, unknown) = (values.texts("benign"), values.texts("unknown"));
    if !unknown.is_empty() && unlabelled == UnlabelledRows::Keep {
        let message = "`unknown` needs `unlabelled: drop` or `unlabelled: fail`".to_owned();
        let help = Some("say what becomes of rows with such labels".to_owned());
        return Err(vec![ParamError {
            path: vec![ParamStep::key("unknown")],
            message,
            help,
        }]);
    }
    Ok(Box::new(SplitStage {
        by,
        target,
        test_share,
        validation_share,
        stratify,
        benign,
        unknown,
        unlabelled,
        near_perfect,
        max_shared_rows,
    }))
}
