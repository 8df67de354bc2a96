//! What the scenarios about data share: a simulated changefeed over real HTTP, the target it ends up in, and a
//! reader that looks for broken promises all the while.
//!
//! * [`Stage`]: a seeded workload, its target tables, and the service to start on them;
//! * [`Driver`]: carries the requests of a simulated feed to one or more running processes;
//! * [`Target`]: reads the target and compares it with the oracle;
//! * [`Poller`]: reads invariants and whole snapshots on a connection of its own, throughout a run;
//! * [`replication`]: a PostgreSQL source, and its stream in words;
//! * [`pair`]: a PostgreSQL source, a target, and `cdc-pglogical` between them;
//! * [`my_pair`]: a MySQL or MariaDB source, a target, and `cdc-mylogical` between them;
//! * [`made`]: tables that the program makes, and what the catalogues say of them;
//! * [`preflight`]: what preflight says of such a pair, and whether its statements mend it;
//! * [`bank`]: writers at such a source, and a reader that knows every state the source had;
//! * [`log`]: a log that says what the test wants, and its target;
//! * [`mylogical`]: a MySQL or MariaDB source, a target, and `cdc-mylogical` between them;
//! * [`watch`]: what a running `cdc-pglogical` says of itself.

pub(crate) mod bank;
mod driver;
pub(crate) mod log;
pub(crate) mod made;
pub(crate) mod my_copy;
pub(crate) mod my_pair;
pub(crate) mod mylogical;
pub(crate) mod pair;
mod poller;
pub(crate) mod preflight;
pub(crate) mod replication;
mod routes;
pub(crate) mod snapshot;
mod stage;
mod target;
pub(crate) mod watch;

pub(crate) use driver::Driver;
pub(crate) use poller::Poller;
use routes::Routes;
pub(crate) use stage::{Stage, expect_quiet, seeded, with_versions};
pub(crate) use target::{SCHEMA, Target};
