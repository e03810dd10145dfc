//! A server of objects that speaks as much of S3 as a cache needs, and goes wrong when it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::dice::Dice;

/// How an answer goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ServerFault {
    /// The connection is closed before anything is read.
    Refused,
    /// It is closed after the request, without an answer.
    Cut,
    /// Nothing is said for a long time.
    Hung,
    /// Every byte takes a while.
    Slow,
    /// A bit of the object is another.
    WrongBytes,
    /// Half of the object, then the end.
    Half,
    /// Too many requests.
    TooMany,
    /// Not available.
    Unavailable,
}

const FAULTS: [ServerFault; 8] = [
    ServerFault::Refused,
    ServerFault::Cut,
    ServerFault::Hung,
    ServerFault::Slow,
    ServerFault::WrongBytes,
    ServerFault::Half,
    ServerFault::TooMany,
    ServerFault::Unavailable,
];

struct State {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    /// How likely an answer goes wrong, in percent.
    faults: AtomicU64,
    dice: Mutex<Dice>,
    /// How often each went wrong.
    happened: Mutex<BTreeMap<ServerFault, usize>>,
    requests: AtomicU64,
    /// How long one that hangs does.
    hang: Duration,
    is_over: AtomicBool,
}

/// The server; it ends when this is dropped.
pub(crate) struct ObjectServer {
    state: Arc<State>,
    address: String,
    accepts: Option<JoinHandle<()>>,
}

impl ObjectServer {
    pub(crate) fn start(seed: u64, hang: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            objects: Mutex::default(),
            faults: AtomicU64::new(0),
            dice: Mutex::new(Dice(seed)),
            happened: Mutex::default(),
            requests: AtomicU64::new(0),
            hang,
            is_over: AtomicBool::new(false),
        });
        let serving = Arc::clone(&state);
        let accepts = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&serving);
                // What a client does to its connection is its own affair.
                std::thread::spawn(move || drop(serve(&state, stream.unwrap())));
            }
        });
        Self {
            state,
            address,
            accepts: Some(accepts),
        }
    }

    /// The environment that leads to it.
    pub(crate) fn environment(&self, name: &str) -> Option<String> {
        let value = match name {
            "AWS_ENDPOINT_URL" => format!("http://{}", self.address),
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "key".to_owned(),
            "AWS_REGION" => "eu-central-1".to_owned(),
            "NETSEC_REMOTE_TIMEOUT" => "0.2".to_owned(),
            _ => return None,
        };
        Some(value)
    }

    pub(crate) fn set_faults(&self, percent: u64) {
        self.state.faults.store(percent, Ordering::SeqCst);
    }

    pub(crate) fn happened(&self) -> BTreeMap<ServerFault, usize> {
        self.state.happened.lock().unwrap().clone()
    }

    pub(crate) fn requests(&self) -> u64 {
        self.state.requests.swap(0, Ordering::SeqCst)
    }

    /// Every object, to be looked at or changed.
    pub(crate) fn objects(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.state.objects.lock().unwrap()
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        // Wakes the one that accepts.
        drop(TcpStream::connect(&self.address));
        if let Some(accepts) = self.accepts.take() {
            accepts.join().unwrap();
        }
    }
}

impl State {
    fn fault(&self) -> Option<ServerFault> {
        let mut dice = self.dice.lock().unwrap();
        if dice.below(100) as u64 >= self.faults.load(Ordering::SeqCst) {
            return None;
        }
        let fault = FAULTS[dice.below(FAULTS.len())];
        *self.happened.lock().unwrap().entry(fault).or_default() += 1;
        Some(fault)
    }
}

/// A request.
struct Request {
    method: String,
    path: String,
    only_new: bool,
    body: Vec<u8>,
}

fn request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let (method, path) = (method.to_owned(), path.to_owned());
    let (mut length, mut only_new) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        only_new |= header.starts_with("if-none-match:");
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request {
        method,
        path,
        only_new,
        body,
    }))
}

fn serve(state: &State, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let fault = state.fault();
        if fault == Some(ServerFault::Refused) {
            return Ok(());
        }
        let Some(request) = request(&mut reader)? else {
            return Ok(());
        };
        state.requests.fetch_add(1, Ordering::SeqCst);
        match fault {
            Some(ServerFault::Cut) => return Ok(()),
            Some(ServerFault::Hung) => {
                std::thread::sleep(state.hang);
                return Ok(());
            }
            Some(ServerFault::TooMany) => {
                answer(&mut writer, "429 Too Many Requests", &[], true)?;
                continue;
            }
            Some(ServerFault::Unavailable) => {
                answer(&mut writer, "503 Service Unavailable", &[], true)?;
                continue;
            }
            _ => {}
        }
        let (status, mut body) = act(state, &request);
        let has_body = request.method != "HEAD";
        match fault {
            Some(ServerFault::WrongBytes) if !body.is_empty() => {
                let at = state.dice.lock().unwrap().below(body.len());
                body[at] ^= 1;
            }
            Some(ServerFault::Half) if has_body && !body.is_empty() => {
                writer.write_all(head(status, body.len()).as_bytes())?;
                writer.write_all(&body[..body.len() / 2])?;
                return Ok(());
            }
            Some(ServerFault::Slow) if has_body => {
                writer.write_all(head(status, body.len()).as_bytes())?;
                for piece in body.chunks(64) {
                    std::thread::sleep(Duration::from_millis(1));
                    writer.write_all(piece)?;
                }
                continue;
            }
            _ => {}
        }
        answer(&mut writer, status, &body, has_body)?;
    }
}

fn act(state: &State, request: &Request) -> (&'static str, Vec<u8>) {
    let mut objects = state.objects.lock().unwrap();
    match request.method.as_str() {
        "PUT" if request.only_new && objects.contains_key(&request.path) => {
            ("412 Precondition Failed", Vec::new())
        }
        "PUT" => {
            objects.insert(request.path.clone(), request.body.clone());
            ("200 OK", Vec::new())
        }
        "GET" | "HEAD" => match objects.get(&request.path) {
            Some(bytes) => ("200 OK", bytes.clone()),
            None => ("404 Not Found", Vec::new()),
        },
        _ => ("405 Method Not Allowed", Vec::new()),
    }
}

fn head(status: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: \"1\"\r\nLast-Modified: Tue, 01 Dec 2026 00:00:00 GMT\r\n\r\n"
    )
}

fn answer(
    writer: &mut TcpStream,
    status: &str,
    body: &[u8],
    has_body: bool,
) -> std::io::Result<()> {
    let mut bytes = head(status, body.len()).into_bytes();
    if has_body {
        bytes.extend_from_slice(body);
    }
    writer.write_all(&bytes)
}
