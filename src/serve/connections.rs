//! The connections of a listener, from the first to the last.
//!
//! How they end: a connection that the system has accepted, or is about to, may hold a request that
//! nobody has read yet, and to close it then would lose that request. So when it is time, the listener
//! hears no one new, is emptied once those who had begun to connect are through, and closed; and
//! connections go on for a moment more. Every answer meanwhile asks its client to close. What is still
//! open after that is idle, or in the middle of a request, which is answered.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use socket2::{SockFilter, SockRef};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

/// How long a client may take for a handshake, and for the head of a request.
const HEAD: Duration = Duration::from_secs(10);

/// So many connections are open at most; others wait to be taken.
const MOST: usize = 4096;

/// How long a client that has begun to connect may take to be through.
const HANDSHAKE: Duration = Duration::from_millis(250);

/// How long connections go on after the listener is closed.
const LINGER: Duration = Duration::from_millis(500);

/// How long to wait after the system had no connection to give, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// A socket filter (BPF) that lets no packet through that asks for a new connection: of the flags, in
/// byte 13 of the TCP header, it has SYN and not ACK.
const NO_ONE_NEW: [SockFilter; 5] = [
    SockFilter::new(BPF_LOAD_BYTE, 0, 0, 13),
    SockFilter::new(BPF_AND, 0, 0, 0x12),
    SockFilter::new(BPF_JUMP_IF_EQUAL, 0, 1, 0x02),
    SockFilter::new(BPF_RETURN, 0, 0, 0),
    SockFilter::new(BPF_RETURN, 0, 0, u32::MAX),
];
const BPF_LOAD_BYTE: u16 = 0x30;
const BPF_AND: u16 = 0x54;
const BPF_JUMP_IF_EQUAL: u16 = 0x15;
/// Returns how many bytes of the packet are let through.
const BPF_RETURN: u16 = 0x06;

/// How far a listener is with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenerPhase {
    /// It takes connections.
    Open,
    /// It takes no more; those that are there go on.
    Closing,
    /// Idle connections are closed.
    Closed,
}

/// A listener that is answered.
pub struct AnsweredListener {
    phase: watch::Sender<ListenerPhase>,
    /// Ends with the last connection.
    connections: watch::Receiver<()>,
    accepting: tokio::task::JoinHandle<()>,
}

/// What every connection needs.
#[derive(Clone)]
struct ConnectionTools {
    routes: Router,
    tls: Option<TlsAcceptor>,
    /// How long a client may leave an answer unread.
    patience: Duration,
    first: Arc<Builder<TokioExecutor>>,
    second: Arc<Builder<TokioExecutor>>,
    places: Arc<Semaphore>,
    phase: watch::Receiver<ListenerPhase>,
    /// Held for as long as the connection is open.
    _open: watch::Sender<()>,
}

impl AnsweredListener {
    /// Begins to answer at a listener. A client that leaves an answer unread for longer than `patience` is
    /// given up, with the memory and the place that its answer takes.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn begin(
        listener: std::net::TcpListener,
        tls: Option<TlsAcceptor>,
        routes: Router,
        patience: Duration,
    ) -> io::Result<Self> {
        let listener = TcpListener::from_std(listener)?;
        let (phase, seen) = watch::channel(ListenerPhase::Open);
        let (open, connections) = watch::channel(());
        // Which of the two a client speaks is settled by TLS; without it everybody speaks the first, so that
        // the time for a head runs from the beginning.
        let mut first = Builder::new(TokioExecutor::new()).http1_only();
        first
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD);
        let mut second = Builder::new(TokioExecutor::new()).http2_only();
        second
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(HEAD)
            .keep_alive_timeout(HEAD);
        let tools = ConnectionTools {
            routes,
            tls,
            patience,
            first: Arc::new(first),
            second: Arc::new(second),
            places: Arc::new(Semaphore::new(MOST)),
            phase: seen,
            _open: open,
        };
        Ok(Self {
            phase,
            connections,
            accepting: tokio::spawn(accept(listener, tools)),
        })
    }

    /// Takes no more connections, and waits until those that are there have ended, at most this long.
    pub async fn end(mut self, most: Duration) {
        let deadline = tokio::time::Instant::now() + most + HANDSHAKE + LINGER;
        let _ = self.phase.send(ListenerPhase::Closing);
        let _ = self.accepting.await;
        tokio::time::sleep(LINGER).await;
        let _ = self.phase.send(ListenerPhase::Closed);
        // The sender is gone with the last connection.
        let last = async { while self.connections.changed().await.is_ok() {} };
        let _ = tokio::time::timeout_at(deadline, last).await;
    }
}

/// Takes connections until it is time to end, and then those that wait.
async fn accept(listener: TcpListener, tools: ConnectionTools) {
    let mut phase = tools.phase.clone();
    loop {
        let place = Arc::clone(&tools.places).acquire_owned();
        let place = tokio::select! {
            Ok(place) = place => place,
            () = reached(&mut phase, ListenerPhase::Closing) => break,
        };
        tokio::select! {
            biased;
            taken = listener.accept() => match taken {
                Ok((stream, _)) => begin(stream, &tools, Some(place)),
                // A client that went away is no reason to wait; what else there is passes by itself.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            () = reached(&mut phase, ListenerPhase::Closing) => break,
        }
    }
    // Between the last connection that is taken here and the end of the listener the system would accept
    // more: those who come from now on ask again, and are refused once it is closed.
    let _ = SockRef::from(&listener).attach_filter(&NO_ONE_NEW);
    let deadline = tokio::time::Instant::now() + HANDSHAKE;
    while let Ok(taken) = tokio::time::timeout_at(deadline, listener.accept()).await {
        if let Ok((stream, _)) = taken {
            begin(stream, &tools, None);
        }
    }
}

/// Waits until a listener is so far, or is no more.
async fn reached(phase: &mut watch::Receiver<ListenerPhase>, wanted: ListenerPhase) {
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

/// Answers a connection.
fn begin(stream: TcpStream, tools: &ConnectionTools, place: Option<OwnedSemaphorePermit>) {
    let tools = tools.clone();
    tokio::spawn(async move {
        let _place = place;
        let _ = stream.set_nodelay(true);
        let mut stream = Box::pin(TimeoutStream::new(stream));
        stream
            .as_mut()
            .set_write_timeout_pinned(Some(tools.patience));
        match tools.tls.clone() {
            None => answer(stream, Arc::clone(&tools.first), tools).await,
            Some(tls) => {
                let shaken = tokio::time::timeout(HEAD, tls.accept(stream)).await;
                let Ok(Ok(stream)) = shaken else {
                    return;
                };
                let builder = match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => Arc::clone(&tools.second),
                    _ => Arc::clone(&tools.first),
                };
                answer(stream, builder, tools).await;
            }
        }
    });
}

async fn answer<S>(stream: S, builder: Arc<Builder<TokioExecutor>>, mut tools: ConnectionTools)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(tools.routes);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        // A client that breaks off, or does not speak HTTP, is no matter for the server.
        _ = connection.as_mut() => return,
        () = reached(&mut tools.phase, ListenerPhase::Closed) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
