//! `split`: which rows are for learning and which for judging; the declaration.

use crate::kinds::split::params::{ParamFaults, SplitBasis, SplitParams};
use crate::kinds::split::work::SplitStage;
use crate::stage::kind::{Stage, StageKind};
use crate::stage::param::{ParamError, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};
use crate::stage::remote::RemoteWork;

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
    params: SplitParams::PARAMS,
    seeded: false,
    runs_elsewhere: false,
    remote: RemoteWork::Parts,
    make,
};

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    let params = SplitParams::of(values);
    let mut faults = ParamFaults::default();
    params.check_shares(&mut faults);
    let by = params.side_of_rows(&mut faults);
    params.check_labels(&mut faults);
    if params.stratify && params.by != SplitBasis::Content {
        faults.add(
            "stratify",
            "only `by: content` can be stratified",
            "leave it out",
        );
    }
    match faults.0.is_empty() {
        true => Ok(Box::new(SplitStage { by, params })),
        false => Err(faults.0),
    }
}
