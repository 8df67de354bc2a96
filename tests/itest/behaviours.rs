//! Data application behaviours one by one and together.

use tests::harness::runner::Scenario;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    Vec::new()
}
