//! `image`: a program and a model to a container image.

use std::collections::BTreeMap;

use crate::base::disk;
use crate::image::layout::{ImageContents, image, is_model_name};
use crate::image::program::{ProgramLinking, linking};
use crate::model::bundle::ModelBundle;
use crate::stage::context::StageContext;
use crate::stage::declare::params;
use crate::stage::error::StageError;
use crate::stage::io::{Inputs, Outputs};
use crate::stage::kind::{Stage, StageKind};
use crate::stage::param::{ParamError, ParamType, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};
use crate::stage::remote::RemoteWork;

/// The kind.
pub const KIND: StageKind = StageKind {
    name: "image",
    version: 1,
    doc: "Makes a container image (OCI) that serves a model: the program is one layer, the model another; the same bytes for the \
          same inputs. `netsec image push` sends it to a registry.",
    inputs: Ports::Fixed(&[
        Port {
            name: "model",
            format: PortFormat::Model,
            need: PortNeed::Optional,
            doc: "the model",
        },
        Port {
            name: "champion",
            format: PortFormat::Model,
            need: PortNeed::Ref(""),
            doc: "instead: the current champion, such as `ref:champion/default`",
        },
        Port {
            name: "program",
            format: PortFormat::Any,
            need: PortNeed::One,
            doc: "a static netsec for Linux, as a file",
        },
    ]),
    outputs: Ports::Fixed(&[Port {
        name: "image",
        format: PortFormat::Any,
        need: PortNeed::One,
        doc: "the image (OCI image layout)",
    }]),
    params: ImageParams::PARAMS,
    seeded: false,
    runs_elsewhere: false,
    remote: RemoteWork::Never,
    make,
};

params! {
    /// Parameters of `image`.
    pub(crate) struct ImageParams {
        /// The name under which the model answers.
        name: String = required, in ParamType::Text;
    }
}

struct ImageStage(ImageParams);

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    let params = ImageParams::of(values);
    match is_model_name(&params.name) {
        true => Ok(Box::new(ImageStage(params))),
        false => Err(vec![ParamError::new(
            &["name"],
            format!("`{}` is not a name for a model", params.name),
            "use letters, digits, `.`, `_` and `-`",
        )]),
    }
}

impl Stage for ImageStage {
    fn run(
        &self,
        inputs: &Inputs,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let data = |why: String| StageError::Data(why);
        let program = inputs.one("program");
        let model = match (inputs.maybe("model"), inputs.maybe("champion")) {
            (Some(model), None) | (None, Some(model)) => model,
            (Some(_), Some(_)) => {
                let why = "both `model` and `champion` are given: which one is it to be?";
                return Err(data(why.to_owned()));
            }
            (None, None) => {
                let why = "there is no model: give `model`, or a `champion` that points at one";
                return Err(data(why.to_owned()));
            }
        };
        let model_bytes = model.bytes()?;
        ModelBundle::decode(&model_bytes)
            .map_err(|error| data(format!("`{}`: {error}", model.label)))?;
        let program_bytes = program.bytes()?;
        let found =
            linking(&program_bytes).map_err(|why| data(format!("`{}`: {why}", program.label)))?;
        if let ProgramLinking::Dynamic(_) = found {
            // What it needs beside itself is no input of the stage.
            return Err(data(format!(
                "`{}` is not static, and an image has nothing beside it: build it with `RUSTFLAGS='-C target-feature=+crt-static' \
                 cargo build --release --target x86_64-unknown-linux-gnu`, or make the image with `netsec image build`",
                program.label
            )));
        }
        let name = &self.0.name;
        let made = image(&ImageContents {
            program: program_bytes,
            libraries: BTreeMap::new(),
            name: name.clone(),
            file: format!("{name}.model"),
            model: model_bytes,
            labels: BTreeMap::from([
                ("netsec.model.name".to_owned(), name.clone()),
                ("netsec.model.digest".to_owned(), model.digest.hex()),
            ]),
            tag: "latest".to_owned(),
        });
        let made = made.map_err(|error| data(error.to_string()))?;
        let folder = context.scratch.join("image");
        for (path, bytes) in &made.files {
            let written = disk::write_whole(&folder.join(path), bytes);
            written.map_err(|error| StageError::Storage(error.to_string()))?;
        }
        outputs.path("image", folder);
        outputs.note(format!("image {}", made.digest));
        Ok(())
    }
}
