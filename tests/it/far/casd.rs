//! A server of the Remote Execution API: buildbox-casd, as BuildStream brings it. Where it is not installed
//! (`NETSEC_CASD` names it) the tests say so and are done.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::world::{World, skip};

/// A server that ends when this is dropped.
pub(crate) struct Casd {
    process: Child,
    pub(crate) port: u16,
    folder: World,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test finds its server by the environment"
)]
fn program() -> Option<String> {
    let program = std::env::var("NETSEC_CASD").ok();
    if program.is_none() {
        skip("NETSEC_CASD does not name buildbox-casd");
    }
    program
}

impl Casd {
    pub(crate) fn start() -> Option<Self> {
        let program = program()?;
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let folder = World::new();
        let casd = Self {
            process: begin(&program, port, &folder),
            port,
            folder,
        };
        wait_for(port);
        Some(casd)
    }

    pub(crate) fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Drops all that it keeps while it is stopped.
    pub(crate) fn forget(&self) {
        std::fs::remove_dir_all(self.folder.root().join("casd")).unwrap();
    }

    pub(crate) fn again(&mut self) {
        self.process = begin(&program().unwrap(), self.port, &self.folder);
        wait_for(self.port);
    }
}

impl Drop for Casd {
    fn drop(&mut self) {
        // One that was stopped already is no concern.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn begin(program: &str, port: u16, folder: &World) -> Child {
    // It carries actions out, too, where bubblewrap is installed.
    let runner = Path::new(program).with_file_name("buildbox-run");
    Command::new(program)
        .arg(format!("--bind=127.0.0.1:{port}"))
        .arg(format!("--buildbox-run={}", runner.display()))
        .arg("--jobs=3")
        .arg(folder.root().join("casd"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until a server answers.
fn wait_for(port: u16) {
    let answers = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    let is_there = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        answers()
    });
    assert!(is_there, "buildbox-casd does not answer");
}
