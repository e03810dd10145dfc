//! Any bytes as a pipeline file, and as every file it takes in: they are read or refused, with
//! places that lie in them.

#![no_main]

use libfuzzer_sys::fuzz_target;

use netsec::base::syntax;
use netsec::graph::build::Graph;
use netsec::pipeline::check::check;
use netsec::pipeline::compose::{Choice, gather};
use netsec::stage::context::StageContext;
use netsec::stage::error::StageError;
use netsec::stage::io::{Inputs, Outputs};
use netsec::stage::kind::{Stage, StageKind};
use netsec::stage::param::{Param, ParamError, ParamFallback, ParamType, Values};
use netsec::stage::port::{Port, PortFormat, PortNeed, Ports};
use netsec::stage::remote::RemoteWork;
use netsec::stage::registry::Registry;

struct Nothing;

impl Stage for Nothing {
    fn run(&self, _: &Inputs, _: &mut Outputs, _: &StageContext<'_>) -> Result<(), StageError> {
        Ok(())
    }
}

fn make(_: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    Ok(Box::new(Nothing))
}

const KIND: StageKind = StageKind {
    name: "a",
    version: 1,
    doc: "Does nothing.",
    inputs: Ports::Free,
    outputs: Ports::Fixed(&[Port { name: "o", format: PortFormat::Any, need: PortNeed::One, doc: "nothing" }]),
    params: &[
        Param { name: "t", kind: ParamType::List(&ParamType::Text), default: ParamFallback::Absent, doc: "Texts." },
        Param { name: "n", kind: ParamType::Float(-1.0, 1.0), default: ParamFallback::Absent, doc: "A number." },
        Param { name: "s", kind: ParamType::Secret, default: ParamFallback::Absent, doc: "A secret." },
    ],
    seeded: true,
    runs_elsewhere: false,
    remote: RemoteWork::Never,
    make,
};

fuzz_target!(|bytes: &[u8]| {
    // What stands behind a line of its own is the file that is taken in.
    let mark = b"\n===\n";
    let cut = bytes.windows(mark.len()).position(|window| window == mark);
    let (first, second) = cut.map_or((bytes, bytes), |at| (&bytes[..at], &bytes[at + mark.len()..]));
    let Ok(source) = syntax::source("p.yaml", first.to_vec()) else { return };
    let read = |_: &str| Ok(second.to_vec());
    let choice = Choice { profile: Some("p".to_owned()), files: vec!["more.toml".to_owned()], ..Choice::default() };
    let env = |name: &str| (name.len() > 1).then(|| "value".to_owned());
    for choice in [Choice::default(), choice] {
        match check(gather(source.clone(), &read, &choice), &Registry::new(vec![KIND]), &env) {
            Ok((_, pipeline)) => drop(Graph::of(&pipeline.wiring)),
            // Every problem can be shown.
            Err(refused) => drop(refused.report.plain()),
        }
    }
});
