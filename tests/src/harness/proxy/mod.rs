//! A proxy in front of PostgreSQL that loses things on command.
//!
//! The interesting fault is the lost answer: the server did the work, and the client saw its
//! connection break. The proxy reads the protocol to place it exactly.

mod wire;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::wait;
use wire::{Session, Verdict};

/// What is lost when a statement passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The server does the work; the client sees a broken connection instead of the answer.
    LoseAnswer,
    /// The statement never reaches the server; the client sees a broken connection.
    LoseRequest,
}

/// A fault waiting for its statement.
#[derive(Debug)]
struct Armed {
    fault: Fault,
    /// In lower case.
    marker: String,
}

/// A proxy on a free loopback port. Dropping it cuts every connection.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    refusing: AtomicBool,
    /// Counts cuts; a connection ends when it sees the number change.
    cuts: watch::Sender<u64>,
    armed: Mutex<Vec<Armed>>,
    fired: AtomicU64,
    open: AtomicUsize,
    accepted: AtomicU64,
}

impl Proxy {
    /// Starts a proxy that passes everything through to `server`.
    ///
    /// # Errors
    ///
    /// Fails if no port can be had.
    pub async fn start(server: SocketAddr) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for the proxy")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            refusing: AtomicBool::new(false),
            cuts: watch::Sender::new(0),
            armed: Mutex::default(),
            fired: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Proxy { address, shared, _tasks: tasks })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection now. New ones are still accepted.
    pub fn cut_all(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Closes new connections at once, until [`Proxy::allow`].
    pub fn refuse(&self) {
        self.shared.refusing.store(true, Ordering::SeqCst);
    }

    /// Accepts new connections again.
    pub fn allow(&self) {
        self.shared.refusing.store(false, Ordering::SeqCst);
    }

    /// Plans a fault for the next statement whose text contains `marker`, in any case. It happens
    /// once; arm it again for the next time. Both simple queries, such as `COMMIT`, and executions
    /// of prepared statements count.
    pub fn arm(&self, fault: Fault, marker: &str) {
        self.shared.armed().push(Armed { fault, marker: marker.to_lowercase() });
    }

    /// Shorthand for the lost answer: the statement with `marker` is done, the client does not
    /// hear of it.
    pub fn lose_answer(&self, marker: &str) {
        self.arm(Fault::LoseAnswer, marker);
    }

    /// Takes back every fault that has not happened.
    pub fn disarm(&self) {
        self.shared.armed().clear();
    }

    /// How many faults have happened.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.shared.fired.load(Ordering::SeqCst)
    }

    /// Waits until `count` faults have happened, since the start.
    ///
    /// # Errors
    ///
    /// Fails at the deadline.
    pub async fn wait_fired(&self, count: u64, deadline: Duration) -> Result<()> {
        let fired = async || if self.fired() >= count { Ok(()) } else { Err(self.fired()) };
        wait::eventually(deadline, &format!("{count} faults to happen"), fired).await
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Connections accepted so far, those refused not counted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn armed(&self) -> std::sync::MutexGuard<'_, Vec<Armed>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the fault planned for a statement.
    fn fault_for(&self, statement: &str) -> Option<Armed> {
        let mut armed = self.armed();
        if armed.is_empty() {
            return None;
        }
        let statement = statement.to_lowercase();
        let index = armed.iter().position(|armed| statement.contains(&armed.marker))?;
        Some(armed.remove(index))
    }
}

/// The lost answer that a connection owes. A connection that ends before it comes to that leaves the fault to others.
struct Owed<'a> {
    shared: &'a Shared,
    armed: Mutex<Option<Armed>>,
}

impl Owed<'_> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Armed>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has happened.
    fn fire(&self) {
        *self.lock() = None;
        self.shared.fired.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        let owed = self.lock().take();
        self.shared.armed().extend(owed);
    }
}

/// Counts an open connection for as long as it lives.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Open {
        shared.open.fetch_add(1, Ordering::SeqCst);
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        Open(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                if !shared.refusing.load(Ordering::SeqCst) {
                    connections.spawn(connection(client, Open::new(&shared), shared.cuts.subscribe()));
                }
            }
            // How a connection ended is for its client to judge.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one client until either side, a cut or a fault ends it. Both sockets close on return.
async fn connection(mut client: TcpStream, open: Open, mut cuts: watch::Receiver<u64>) -> Result<()> {
    let shared = &open.0;
    let served = async {
        let mut server = TcpStream::connect(shared.server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let mut early = BytesMut::new();
        let startup = greet(&mut client, &mut early).await?;
        server.write_all(&startup).await?;
        let session = Mutex::new(Session::default());
        let owed = Owed { shared, armed: Mutex::default() };
        let (client_in, client_out) = client.split();
        let (server_in, server_out) = server.split();
        tokio::select! {
            ended = upward(client_in, early, server_out, &session, &owed) => ended,
            ended = downward(server_in, client_out, &session, &owed) => ended,
        }
    };
    tokio::select! {
        ended = served => ended,
        _ = cuts.changed() => Ok(()),
    }
}

/// Reads what comes before the protocol proper: offers of encryption are declined, so that the
/// rest can be read, and the first real packet is returned.
async fn greet(client: &mut TcpStream, buffer: &mut BytesMut) -> Result<Bytes> {
    loop {
        match wire::take_startup(buffer)? {
            Some(wire::Startup::Encryption) => client.write_all(b"N").await?,
            Some(wire::Startup::Packet(packet)) => return Ok(packet),
            None if client.read_buf(buffer).await? == 0 => bail!("the client left"),
            None => {}
        }
    }
}

/// Client to server. Faults are decided before the bytes go out, so that no answer overtakes them.
async fn upward(
    mut from: ReadHalf<'_>,
    mut buffer: BytesMut,
    mut to: WriteHalf<'_>,
    session: &Mutex<Session>,
    owed: &Owed<'_>,
) -> Result<()> {
    loop {
        let mut out = BytesMut::new();
        while let Some(frame) = wire::take_frame(&mut buffer)? {
            let armed = {
                let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
                // One at a time: what comes after a lost answer never reaches the client anyway.
                let free = owed.lock().is_none();
                let statement = session.statement(&frame).filter(|_| free);
                let armed = statement.and_then(|statement| owed.shared.fault_for(&statement));
                session.sent(&frame, armed.as_ref().is_some_and(|armed| armed.fault == Fault::LoseAnswer));
                armed
            };
            match armed {
                Some(Armed { fault: Fault::LoseRequest, .. }) => {
                    owed.fire();
                    return Ok(());
                }
                Some(lost) => *owed.lock() = Some(lost),
                None => {}
            }
            out.extend_from_slice(&frame);
        }
        to.write_all(&out).await?;
        if from.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// Server to client. A lost answer is read to its end before the cut: only then has the server
/// certainly done the work.
async fn downward(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    session: &Mutex<Session>,
    owed: &Owed<'_>,
) -> Result<()> {
    let mut buffer = BytesMut::new();
    while from.read_buf(&mut buffer).await? > 0 {
        let mut out = BytesMut::new();
        let mut cut = false;
        while let Some(frame) = wire::take_frame(&mut buffer)? {
            match session.lock().unwrap_or_else(PoisonError::into_inner).received(&frame) {
                Verdict::Pass => out.extend_from_slice(&frame),
                Verdict::Swallow => {}
                Verdict::Cut => {
                    cut = true;
                    break;
                }
            }
        }
        to.write_all(&out).await?;
        if cut {
            owed.fire();
            return Ok(());
        }
    }
    Ok(())
}
