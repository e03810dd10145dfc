//! An image as a directory (OCI image layout 1.0): a layer with the program, a layer with the model, so
//! that another model is one small layer more.
//!
//! It has no shell, nothing to write to and nobody but an unprivileged user in it.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::image::layer::{LayerEntry, LayerFiles, PackedLayer, pack, sha256};

/// The type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The user that programs of the image run as.
const USER: u32 = 65532;

/// When everything of an image was made: images of the same contents are the same.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Where the program stands in an image.
const PROGRAM: &str = "usr/bin/netsec";

/// Where models stand in an image.
const MODELS: &str = "models";

/// What an image is made of.
#[derive(Clone, Debug)]
pub struct ImageContents {
    /// The program.
    pub program: Vec<u8>,
    /// What the program needs beside itself, by its path.
    pub libraries: BTreeMap<String, Vec<u8>>,
    /// The name under which the model answers.
    pub name: String,
    /// The name of the model's file.
    pub file: String,
    /// The model's file.
    pub model: Vec<u8>,
    /// What is told of the image, besides.
    pub labels: BTreeMap<String, String>,
    /// The tag in the layout's index.
    pub tag: String,
}

/// Where something stands in an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageDescriptor {
    /// What it is.
    #[serde(rename = "mediaType")]
    pub media_type: String,
    /// `sha256:` and its digest.
    pub digest: String,
    /// Its bytes.
    pub size: u64,
}

/// What an image consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageManifest {
    /// How it runs.
    pub config: ImageDescriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<ImageDescriptor>,
}

/// An image: the files of its directory by their paths, and the digest of its manifest.
#[derive(Clone, Debug)]
pub struct ImageLayout {
    /// The files.
    pub files: BTreeMap<String, Vec<u8>>,
    /// `sha256:` and the digest of the manifest.
    pub digest: String,
}

/// Returns whether a model can be served under a name, and stand in an image under it.
pub fn is_model_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 60 && !name.starts_with('.') && name.chars().all(is_plain)
}

fn descriptor(kind: &str, digest: &str, size: usize) -> ImageDescriptor {
    ImageDescriptor {
        media_type: kind.to_owned(),
        digest: format!("sha256:{digest}"),
        size: size as u64,
    }
}

/// Puts an image together.
///
/// # Errors
/// A path is longer than an archive takes.
pub fn image(contents: &ImageContents) -> io::Result<ImageLayout> {
    let layers = [
        pack(&program_layer(contents))?,
        pack(&model_layer(contents))?,
    ];
    let diff_ids = layers
        .iter()
        .map(|layer| format!("sha256:{}", layer.diff_id));
    let import = format!("{}=/{MODELS}/{}", contents.name, contents.file);
    let entrypoint = [
        &format!("/{PROGRAM}"),
        "serve",
        "--import",
        &import,
        "--unsigned",
        "--listen",
        "0.0.0.0:8080",
        "--admin",
        "0.0.0.0:9090",
    ];
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "created": CREATED,
        "config": {
            "User": format!("{USER}:{USER}"),
            "Entrypoint": entrypoint,
            // What a container is given without: a server that others reach asks for keys.
            "Cmd": ["--keys", "/etc/netsec/keys.json"],
            "ExposedPorts": {"8080/tcp": {}, "9090/tcp": {}},
            "StopSignal": "SIGTERM",
            "WorkingDir": "/",
            "Labels": contents.labels,
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids.collect::<Vec<_>>()},
        "history": [
            {"created": CREATED, "created_by": "netsec image: the program"},
            {"created": CREATED, "created_by": "netsec image: the model"},
        ],
    });
    let config = text(&config);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &sha256(&config), config.len()),
        "layers": layers.iter().map(|layer| descriptor(LAYER, &layer.digest, layer.bytes.len())).collect::<Vec<_>>(),
        "annotations": contents.labels,
    });
    let manifest = text(&manifest);
    let digest = sha256(&manifest);
    let index = json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{
            "mediaType": MANIFEST,
            "digest": format!("sha256:{digest}"),
            "size": manifest.len(),
            "platform": {"architecture": architecture(), "os": "linux"},
            "annotations": {"org.opencontainers.image.ref.name": contents.tag},
        }],
    });
    let mut files = BTreeMap::new();
    let blob = |digest: &str| format!("blobs/sha256/{digest}");
    let version = json!({"imageLayoutVersion": "1.0.0"});
    files.insert("oci-layout".to_owned(), text(&version));
    files.insert("index.json".to_owned(), text(&index));
    files.insert(blob(&digest), manifest);
    files.insert(blob(&sha256(&config)), config);
    for PackedLayer { bytes, digest, .. } in layers {
        files.insert(blob(&digest), bytes);
    }
    Ok(ImageLayout {
        files,
        digest: format!("sha256:{digest}"),
    })
}

fn text(value: &serde_json::Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data serialises")
}

/// The processor that this program was built for, as images call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn file(bytes: &[u8], is_program: bool) -> LayerEntry {
    LayerEntry::File {
        bytes: bytes.to_vec(),
        is_program,
    }
}

fn program_layer(contents: &ImageContents) -> LayerFiles {
    let mut files = LayerFiles::new();
    let users =
        format!("root:x:0:0:root:/:/sbin/nologin\nnetsec:x:{USER}:{USER}:netsec:/:/sbin/nologin\n");
    let groups = format!("root:x:0:\nnetsec:x:{USER}:\n");
    files.insert("etc/passwd".to_owned(), file(users.as_bytes(), false));
    files.insert("etc/group".to_owned(), file(groups.as_bytes(), false));
    // What engines mount over; some need the places to be there.
    for directory in ["dev", "etc/netsec", "proc", "sys"] {
        let mode = 0o755;
        files.insert(directory.to_owned(), LayerEntry::Directory { mode });
    }
    files.insert("tmp".to_owned(), LayerEntry::Directory { mode: 0o1777 });
    files.insert(PROGRAM.to_owned(), file(&contents.program, true));
    for (path, bytes) in &contents.libraries {
        let path = path.trim_start_matches('/').to_owned();
        files.insert(path, file(bytes, true));
    }
    files
}

fn model_layer(contents: &ImageContents) -> LayerFiles {
    let path = format!("{MODELS}/{}", contents.file);
    LayerFiles::from([(path, file(&contents.model, false))])
}
