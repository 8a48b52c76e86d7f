//! From a configuration's file to a running daemon.

use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::delivery::{self, Delivery};
use super::event_loop::{EventLoop, Facts, wanted};
use super::interface::Keeper;
use super::kernel::Kernel;
use super::neighbours::Neighbours;
use super::notice::{Notice, WAITING_MAX};
use super::passages::{self, Passages};
use super::port_mapper::PortMapper;
use super::reload::Reloader;
use super::resolver::{self, Resolver};
use super::status::KernelStatus;
use super::{configuration, control, kernel, log, metrics, names, whereabouts};
use crate::base::Faults;
use crate::config::Config;
use crate::engine::{Engine, EngineConfig, Outbox};
use crate::names::Names;
use crate::os::clock::Clock;
use crate::os::key_file::{KeyFileError, read_private_key};
use crate::os::netlink::NetlinkError;
use crate::os::random;
use crate::os::tun::{TunDevice, TunError};
use crate::os::udp::{BindError, ReceiveSlots, UdpOptions, UdpPort};
use crate::os::unix_socket::{ListenError, SocketFile, listen};

/// Bytes of the outbox: what the longest batch can become. Most of it is never touched, and so never resident.
const OUTBOX: usize = ReceiveSlots::BYTES + 64 * 1024;

/// Why the daemon doesn't run: one line, with the mend, or a line for each fault of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Configuration(#[from] Faults),
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error(transparent)]
    Control(#[from] ListenError),
    #[error(transparent)]
    Udp(#[from] BindError),
    #[error(transparent)]
    Tun(#[from] TunError),
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    Tls(#[from] passages::ListenError),
    #[error("cannot serve metrics at {address}: {error}; write another `metrics`, or none")]
    Metrics { address: std::net::SocketAddr, error: std::io::Error },
    #[error("cannot answer for names at {address}: {error}; write another `dns`, or none")]
    Dns { address: std::net::SocketAddr, error: std::io::Error },
    #[error("the system refuses what a daemon needs: {0}")]
    System(#[from] std::io::Error),
    /// It ran, and there was no going on.
    #[error("{0}")]
    Failed(String),
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// [`RunError`]: why it didn't start, or why there was no going on.
pub fn run(path: &Path) -> Result<(), RunError> {
    let config = configuration::read(path)?;
    log::begin(&config.log);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Look-ups may hold all of theirs; a reload always finds one.
        .max_blocking_threads(resolver::AT_A_TIME + 3)
        .thread_keep_alive(Duration::from_secs(1))
        .build()?;
    let mut has_started = false;
    let outcome = runtime.block_on(async {
        let (event_loop, _socket_file) = start(path, config.clone()).await?;
        has_started = true;
        event_loop.run().await.map_err(RunError::Failed)
    });
    // A look-up that nobody waits for must not hold up the end.
    runtime.shutdown_background();
    let is_other_running = matches!(&outcome, Err(RunError::Control(ListenError::Answered { .. })));
    if !has_started && !is_other_running {
        kernel::enforce_without_daemon(&config);
    }
    if outcome.is_ok() {
        tracing::info!("stopped");
    }
    outcome
}

/// Opens everything, what another daemon would have first, and starts the tasks.
async fn start(path: &Path, config: Config) -> Result<(EventLoop, SocketFile), RunError> {
    let private_key = read_private_key(&config.private_key)?;
    let (listener, socket_file) = listen(&config.control)?;
    let udp = UdpPort::bind(&UdpOptions {
        port: config.listen,
        fwmark: config.fwmark,
        receive_buffer: config.receive_buffer,
        send_buffer: config.send_buffer,
    })?;
    // A relay, OWNER/NAME, opens no packet.
    let serves_a_room = config.node.segments().len() > 2;
    let tun = serves_a_room.then(|| TunDevice::open(&config.interface, config.mtu)).transpose()?;
    let passages = config.tls_listen.map(passages::bind).transpose()?;
    let passages = Passages::begin(config.fwmark, passages)?;
    let scrapes = match config.metrics {
        Some(address) => {
            let bound = TcpListener::bind(address).await;
            Some(bound.map_err(|error| RunError::Metrics { address, error })?)
        }
        None => None,
    };
    let resolvers = match config.dns {
        Some(address) => {
            let bound = UdpSocket::bind(address).await;
            Some(bound.map_err(|error| RunError::Dns { address, error })?)
        }
        None => None,
    };
    let mut clock = Clock::default();
    let now = clock.read();
    let introducers = config.introducers.iter().map(|one| (one.key, one.endpoint.clone()));
    let engine_config = EngineConfig {
        node: config.node.clone(),
        private_key,
        mtu: config.mtu,
        listen: config.listen,
        flows_max: usize::try_from(config.flows).unwrap_or(usize::MAX),
        seed: random::seed()?,
        index_secret: random::word()?,
        introducers: introducers.collect(),
    };
    let engine = Engine::new(engine_config, now);
    let keeper = match &tun {
        Some(tun) => Some(Keeper::begin(tun.index(), wanted(&engine, config.mtu)).await?),
        None => None,
    };
    tracing::info!(node = %config.node, interface = %config.interface, listen = config.listen, "started");

    let (notices, waiting) = mpsc::channel(WAITING_MAX);
    let facts = Facts {
        started: now.instant,
        listen: config.listen,
        mtu: config.mtu,
        fwmark: config.fwmark,
        last_reload: None,
        mapped: None,
        unconfirmed: None,
        kernel: KernelStatus::default(),
    };
    // An index that no interface has, where there is none.
    let interface_index = tun.as_ref().map_or(0, TunDevice::index);
    let port_mapper = PortMapper::begin(config.port_mapping, config.listen, interface_index, &notices);
    let (deliveries, delivered) = mpsc::channel(delivery::WAITING_MAX);
    let way = control::Way { notices: notices.clone(), deliveries: deliveries.clone() };
    if serves_a_room {
        tokio::spawn(whereabouts::run(notices.clone()));
    }
    let (kernel, kernel_end) = Kernel::begin(notices.clone());
    let doors = Doors { control: UnixListener::from_std(listener)?, scrapes, resolvers };
    tasks(path, config, doors, way, delivered, kernel)?;
    let event_loop = EventLoop {
        engine,
        udp,
        passages,
        tun,
        clock,
        slots: ReceiveSlots::default(),
        outbox: Outbox::with_capacity(OUTBOX, OUTBOX),
        notices: waiting,
        neighbours: Neighbours::begin(interface_index, notices.clone()),
        resolver: Resolver::new(notices),
        deliveries,
        keeper,
        port_mapper,
        kernel: kernel_end,
        facts,
        failures: 0,
        sorts: true,
    };
    Ok((event_loop, socket_file))
}

/// Where programs of this host ask.
struct Doors {
    control: UnixListener,
    scrapes: Option<TcpListener>,
    resolvers: Option<UdpSocket>,
}

/// Starts what runs beside the event loop.
fn tasks(
    path: &Path,
    config: Config,
    doors: Doors,
    way: control::Way,
    delivered: mpsc::Receiver<Delivery>,
    kernel: Kernel,
) -> Result<(), RunError> {
    let notices = &way.notices;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let told = notices.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = told.send(Notice::Stop).await;
    });
    let hangup = signal(SignalKind::hangup())?;
    let (names, in_force) = watch::channel(Names::default());
    let (reloader, reloads) =
        Reloader::new(path.to_owned(), config, hangup, delivered, notices.clone(), kernel.clone(), names);
    let failed = notices.clone();
    tokio::spawn(async move {
        // Ends before the event loop only when it panics, and then the loop must not go on as if rosters were watched.
        let ended = tokio::spawn(reloader.run()).await;
        let _ = failed.send(Notice::Fail(format!("the reloader ended: {ended:?}"))).await;
    });
    if let Some(resolvers) = doors.resolvers {
        tokio::spawn(names::serve(resolvers, in_force));
    }
    if let Some(scrapes) = doors.scrapes {
        tokio::spawn(metrics::serve(scrapes, notices.clone(), kernel.clone()));
    }
    tokio::spawn(control::serve(doors.control, control::Ears::new(way, reloads, kernel)));
    Ok(())
}
