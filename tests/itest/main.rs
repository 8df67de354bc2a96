//! The scenarios: real servers, real processes, real crashes. Run them with `cargo xtask itest`.
//!
//! Each file next to this one holds the scenarios of one topic and returns them from `all`. Those about data run on both
//! products; those that look inside PostgreSQL or are about the process alone run on PostgreSQL.

mod apply_keys;
mod apply_types;
mod apply_windows;
mod attacks;
mod auth;
mod auth_issue;
mod auth_keys;
mod auth_secrets;
mod bad_input;
mod behaviours;
mod behaviours_chaos;
mod behaviours_edges;
mod behaviours_truth;
mod connections;
mod consistency;
mod crashes;
mod documented;
mod documents;
mod feeds;
mod feeds_chaos;
mod feeds_files;
mod flow_behaviours;
mod flow_behaviours_pages;
mod flow_changes;
mod flow_positions;
mod golden;
mod harness;
mod harness_mysql;
mod http;
mod immediate;
mod immediate_chaos;
mod mylogical;
mod mylogical_created;
mod mylogical_documented;
mod mylogical_shapes;
mod mylogical_snapshot;
mod mylogical_start;
mod names;
mod operate;
mod pglogical;
mod pglogical_behaviours;
mod pglogical_catalog;
mod pglogical_crashes;
mod pglogical_ddl;
mod pglogical_guards;
mod pglogical_keys;
mod pglogical_large;
mod pglogical_origins;
mod pglogical_preflight;
mod pglogical_preflight_program;
mod pglogical_published;
mod pglogical_snapshot;
mod pglogical_snapshot_exact;
mod pglogical_tables;
mod pglogical_types;
mod pglogical_values;
mod pglogical_watch;
mod pgoutput;
mod pgoutput_session;
mod pgoutput_values;
mod posting;
mod service;
mod service_metrics;
mod stalls;
mod support;
mod tokens;

use std::process::ExitCode;

use tests::harness::runner::{on_both, on_flavors};

fn main() -> ExitCode {
    let topics = [
        apply_keys::all(),
        apply_types::all(),
        on_both(apply_windows::all()),
        attacks::all(),
        auth::all(),
        auth_issue::all(),
        auth_keys::all(),
        auth_secrets::all(),
        on_both(bad_input::all()),
        on_both(behaviours::all()),
        behaviours_chaos::all(),
        behaviours_edges::all(),
        on_both(behaviours_truth::all()),
        connections::all(),
        on_both(consistency::all()),
        crashes::all(),
        documented::all(),
        documents::all(),
        on_both(feeds::all()),
        on_both(feeds_chaos::all()),
        on_both(feeds_files::all()),
        flow_behaviours::all(),
        flow_behaviours_pages::all(),
        flow_changes::all(),
        flow_positions::all(),
        golden::all(),
        harness::all(),
        on_flavors(harness_mysql::all()),
        http::all(),
        on_both(immediate::all()),
        on_both(immediate_chaos::all()),
        on_flavors(mylogical::all()),
        on_flavors(mylogical_created::all()),
        on_flavors(mylogical_documented::all()),
        on_flavors(mylogical_shapes::all()),
        on_flavors(mylogical_snapshot::all()),
        on_flavors(mylogical_start::all()),
        on_both(names::all()),
        operate::all(),
        pglogical::all(),
        pglogical_catalog::all(),
        pglogical_crashes::all(),
        pglogical_behaviours::all(),
        pglogical_ddl::all(),
        pglogical_guards::all(),
        pglogical_keys::all(),
        pglogical_large::all(),
        pglogical_origins::all(),
        pglogical_preflight::all(),
        pglogical_preflight_program::all(),
        pglogical_published::all(),
        pglogical_snapshot::all(),
        pglogical_snapshot_exact::all(),
        pglogical_tables::all(),
        pglogical_types::all(),
        pglogical_watch::all(),
        pglogical_values::all(),
        pgoutput::all(),
        pgoutput_session::all(),
        pgoutput_values::all(),
        service::all(),
        service_metrics::all(),
        on_both(stalls::all()),
    ];
    tests::harness::runner::run(topics.into_iter().flatten().collect())
}
