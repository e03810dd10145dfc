//! A way to a server that goes wrong: connections are refused, cut off in the middle, stall, or carry a
//! byte that is another.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::dice::Dice;

struct State {
    upstream: u16,
    /// How likely a connection goes wrong, in percent.
    faults: AtomicU64,
    dice: Mutex<Dice>,
    happened: AtomicUsize,
    is_over: AtomicBool,
}

/// The way; it closes when this is dropped.
pub(crate) struct FaultProxy {
    state: Arc<State>,
    port: u16,
    accepts: Option<JoinHandle<()>>,
}

impl FaultProxy {
    pub(crate) fn before(upstream: u16, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            upstream,
            faults: AtomicU64::new(0),
            dice: Mutex::new(Dice(seed)),
            happened: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        let accepts = std::thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.is_over.load(Ordering::SeqCst) {
                    return;
                }
                carry(&accepting, client.unwrap());
            }
        });
        Self {
            state,
            port,
            accepts: Some(accepts),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn set_faults(&self, percent: u64) {
        self.state.faults.store(percent, Ordering::SeqCst);
    }

    pub(crate) fn happened(&self) -> usize {
        self.state.happened.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(accepts) = self.accepts.take() {
            accepts.join().unwrap();
        }
    }
}

/// What goes wrong with what a server says, after so many bytes.
#[derive(Clone, Copy)]
enum Wrong {
    Cut(usize),
    Stall(usize),
    Flip(usize),
    Slow,
}

fn carry(state: &Arc<State>, client: TcpStream) {
    let wrong = {
        let mut dice = state.dice.lock().unwrap();
        let is_wrong = (dice.below(100) as u64) < state.faults.load(Ordering::SeqCst);
        // Within what a connection of a small run carries.
        let after = dice.below(3000);
        let kind = dice.below(5);
        is_wrong.then_some((kind, after))
    };
    if wrong.is_some() {
        state.happened.fetch_add(1, Ordering::SeqCst);
    }
    let wrong = match wrong {
        // Refused.
        Some((0, _)) => return,
        Some((1, after)) => Some(Wrong::Cut(after)),
        Some((2, after)) => Some(Wrong::Stall(after)),
        Some((3, after)) => Some(Wrong::Flip(after)),
        Some(_) => Some(Wrong::Slow),
        None => None,
    };
    let Ok(server) = TcpStream::connect(("127.0.0.1", state.upstream)) else {
        return;
    };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (client_too, server_too) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || pump(client, server, None));
    std::thread::spawn(move || pump(server_too, client_too, wrong));
}

/// Carries bytes one way until either side is done.
fn pump(mut from: TcpStream, mut to: TcpStream, wrong: Option<Wrong>) {
    let (mut bytes, mut carried) = ([0; 4096], 0);
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let piece = &mut bytes[..count];
        let is_in = |at: usize| (carried..carried + count).contains(&at);
        match wrong {
            Some(Wrong::Cut(at)) if is_in(at) => break,
            Some(Wrong::Stall(at)) if is_in(at) => {
                std::thread::sleep(Duration::from_secs(1));
                break;
            }
            Some(Wrong::Flip(at)) if is_in(at) => piece[at - carried] ^= 1,
            Some(Wrong::Slow) => std::thread::sleep(Duration::from_millis(20)),
            _ => {}
        }
        carried += count;
        if to.write_all(piece).is_err() {
            break;
        }
    }
    // Whoever is gone already is no concern.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
