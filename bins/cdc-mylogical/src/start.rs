//! `start`: builds the engine and carries changes until told to stop.

use std::pin::Pin;
use std::sync::Arc;

use sink_core::failure::Failure;
use sink_core::flow::copy::Board;
use sink_core::flow::{FeedName, FlowApplier, FlowStatus, Supervisor, Upkeep};
use sink_core::target::Target;
use sink_feed::preflight::before_start;
use sink_feed::start::{carry, connect, ended, measure, operators, reload};
use sink_feed::tables::{create_without_copy, dry_run, maker};
use sink_feed::{Failed, Program, target_failed, usage};
use sink_service::exit::Exit;
use sink_service::logging::LogHandle;
use sink_service::process;
use sink_service::settings::Setting;
use sink_service::shutdown::Signals;
use sink_service::snapshot_args::SnapshotMode;
use sink_service::tls;
use source_mylogical::snapshot::SnapshotSource;
use source_mylogical::source::BinlogSource;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::args::StartArgs;
use crate::{preflight, snapshot};

const PROGRAM: Program = Program { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };

/// Runs until SIGTERM or SIGINT, or until a person has to decide.
pub(crate) async fn start(args: StartArgs, settings: &[Setting], log: LogHandle) -> Result<Exit, Failed> {
    let signals = Signals::listen().map_err(|e| (Exit::Failure, e.into()))?;
    args.source.config().map_err(usage)?;
    let target = args.target().map_err(usage)?;
    if args.tables.is_dry_run().map_err(usage)? {
        return dry_run(target, async |target| snapshot::wanted(&args, target).await).await;
    }
    let stopping = signals.shutdown();
    let background = TaskTracker::new();
    let metrics = measure(PROGRAM, &background, signals.shutdown())?;
    source_mylogical::metrics::describe();
    let target = connect(target, &stopping).await?;
    tls::assert_crypto_provider().map_err(|e| (Exit::Failure, e.into()))?;
    let look = async || preflight::look(&args, &target).await;
    before_start(args.look.preflight, args.feed.retry_delay, &stopping, look).await?;
    let wanted = async || snapshot::wanted(&args, &target).await;
    create_without_copy(maker(&args.tables, &target), args.snapshot.snapshot_mode, wanted).await?;

    let upkeep = Upkeep::begin(Arc::clone(&target), process::holder());
    let status = Arc::new(FlowStatus::new(&args.source.loop_name));
    let address = args.feed.metrics_addr.as_deref();
    let operators = operators(PROGRAM, address, &status, &target, (metrics, settings)).await?;
    upkeep.spawn(reload(signals.reloads(), log, Arc::clone(&target)));
    let mut supervisor = supervisor(&args, &target, &upkeep, status, &stopping)?;
    let work: Work = match args.snapshot.snapshot_mode {
        SnapshotMode::Never | SnapshotMode::Initial => Box::pin(supervisor.run(stopping.child_token())),
        SnapshotMode::Only => {
            let copy = async || supervisor.source.copy().await.map(drop);
            Box::pin(sink_feed::snapshot::only(copy, upkeep.leases(), &args.source.loop_name, &stopping))
        }
    };
    let carried = carry(work, &stopping, args.shutdown.grace_period).await;
    upkeep.end().await;
    operators.stop().await;
    ended(carried)
}

type Work<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;

/// Joins the pieces.
fn supervisor(
    args: &StartArgs,
    target: &Arc<Target>,
    upkeep: &Upkeep,
    status: Arc<FlowStatus>,
    stopping: &CancellationToken,
) -> Result<Supervisor<SnapshotSource<BinlogSource>>, Failed> {
    let board = Board::new();
    let source = snapshot::source(args, target, &status, &board, stopping.clone())?;
    upkeep.spawn(sink_feed::snapshot::show(board, Arc::clone(&status)));
    let applier = FlowApplier::new(Arc::clone(target.home())).map_err(target_failed)?;
    Ok(Supervisor {
        source,
        database: Arc::clone(target.home()),
        applier: Arc::new(applier),
        leases: Arc::clone(upkeep.leases()),
        feed: FeedName::whole(&args.source.loop_name),
        config: args.flow(),
        retry_delay: args.feed.retry_delay,
        status,
    })
}
