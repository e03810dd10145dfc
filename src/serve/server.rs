//! A server from its first breath to its last: it listens, follows what its models are to be, and ends
//! without losing a request.
//!
//! How it ends: it says that it is not ready and asks its clients to close their connections, but
//! goes on for a while, so that whoever sends it requests learns of it; then it takes no more
//! connections, and answers what is in progress.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use crate::serve::connections::AnsweredListener;
use crate::serve::options::DrainTimes;
use crate::serve::routes;
use crate::serve::slot::ReloadBy;
use crate::serve::state::ServeState;
use crate::serve::tls;

/// So long what happens beside the answers may take to end, at least.
const LEAST_WAIT: Duration = Duration::from_secs(5);

/// Why a server could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The options are wrong, or a file that they name.
    #[error("{0}")]
    Options(String),
    /// An address cannot be listened at.
    #[error("cannot listen at {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// The system refused something else.
    #[error("the server cannot go on: {0}")]
    System(#[from] std::io::Error),
}

/// A server that listens, and does not answer yet.
pub struct OpenServer {
    state: Arc<ServeState>,
    tls: Option<TlsAcceptor>,
    public: TcpListener,
    admin: Option<TcpListener>,
}

impl OpenServer {
    /// Takes the addresses and reads the certificate.
    ///
    /// # Errors
    /// An address is taken; the certificate is not as it should be.
    pub fn open(state: Arc<ServeState>) -> Result<Self, ServeError> {
        let options = &state.options;
        let tls = options.tls.as_ref().map(tls::configuration).transpose();
        Ok(Self {
            tls: tls.map_err(ServeError::Options)?,
            public: listen(options.listen)?,
            admin: options.admin.map(listen).transpose()?,
            state,
        })
    }

    /// Returns where rows are scored, and where metrics are read.
    ///
    /// # Errors
    /// The system does not say.
    pub fn addresses(&self) -> Result<(SocketAddr, Option<SocketAddr>), ServeError> {
        let admin = self
            .admin
            .as_ref()
            .map(TcpListener::local_addr)
            .transpose()?;
        Ok((self.public.local_addr()?, admin))
    }

    /// Answers requests until the process is asked to end.
    ///
    /// # Errors
    /// The system refuses something.
    pub fn run(self, workers: usize) -> Result<(), ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name("netsec-serve")
            .enable_all()
            .build()?;
        let ended = runtime.block_on(self.serve());
        runtime.shutdown_background();
        ended
    }

    async fn serve(self) -> Result<(), ServeError> {
        let state = self.state;
        // Before anybody is answered: whoever was may ask the process to end.
        let mut signals = ProcessSignals::listen()?;
        let watcher = watch(Arc::clone(&state));
        let patience = state.options.limits.time;
        let rows = routes::public(&state);
        let rows = AnsweredListener::begin(self.public, self.tls.clone(), rows, patience)?;
        let operators = self.admin.map(|listener| {
            let is_here = listener
                .local_addr()
                .is_ok_and(|address| address.ip().is_loopback());
            let tls = self.tls.filter(|_| !is_here);
            AnsweredListener::begin(listener, tls, routes::administrative(&state), patience)
        });
        let operators = operators.transpose()?;
        signals.end(&state).await;
        state.drain();
        (state.say)("not ready any more: what is in progress is answered");
        let drained = drain(Arc::clone(&state), rows, operators);
        tokio::select! {
            () = drained => {}
            () = signals.end(&state) => (state.say)("asked to end again: it ends at once"),
        }
        watcher.abort();
        Ok(())
    }
}

/// Answers what is in progress, and finishes what happens beside the answers.
async fn drain(
    state: Arc<ServeState>,
    rows: AnsweredListener,
    operators: Option<AnsweredListener>,
) {
    let DrainTimes { delay, most } = state.options.drain;
    tokio::time::sleep(delay).await;
    rows.end(most).await;
    if let Some(operators) = operators {
        operators.end(Duration::ZERO).await;
    }
    let finished = tokio::task::spawn_blocking(move || {
        if let Some(observer) = &state.observer {
            observer.finish();
        }
    });
    // What is logged is worth a wait, and no longer one than requests in progress are.
    let _ = tokio::time::timeout(most.max(LEAST_WAIT), finished).await;
}

fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let refused = |cause| ServeError::Listen { address, cause };
    let listener = TcpListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(listener)
}

/// What the process is told from outside.
struct ProcessSignals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl ProcessSignals {
    fn listen() -> Result<Self, ServeError> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until the process is asked to end; on SIGHUP looks at models and keys meanwhile.
    async fn end(&mut self, state: &Arc<ServeState>) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hang_up.recv() => {
                    let state = Arc::clone(state);
                    tokio::task::spawn_blocking(move || state.reload());
                }
            }
        }
    }
}

/// Looks at the models' sources again and again.
fn watch(state: Arc<ServeState>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut look = tokio::time::interval(state.options.watch);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let state = Arc::clone(&state);
            let looked = tokio::task::spawn_blocking(move || {
                state.reload_models(ReloadBy::Watch);
            });
            let _ = looked.await;
        }
    })
}
