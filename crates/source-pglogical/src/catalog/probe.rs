//! Decodes what a slot holds, and takes nothing of it.

use std::time::Duration;

use super::{CatalogError, Wanted, queries};
use crate::transport::Session;

/// How long the server may decode. A slot may hold days of changes; what is not clear by then is reported as unclear.
const PATIENCE: Duration = Duration::from_secs(10);

/// SQLSTATE: an object does not exist.
const UNDEFINED_OBJECT: &str = "42704";
/// SQLSTATE: an object is in use.
const IN_USE: &str = "55006";
/// SQLSTATE: cancelled, here by the limit of time.
const CANCELED: &str = "57014";
/// SQLSTATE: not in the state that is needed. From 18 on a remark of this class says that a publication was left out.
const NOT_IN_STATE: &str = "55000";

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The slot can be decoded with these publications.
    Passes,
    /// Something that the slot still holds was written before one of the publications was made. Up to 17 the stream
    /// ends there again and again, from 18 on such changes are left out in silence.
    PublicationNewer,
    /// Another session reads from the slot.
    Busy,
    /// It took longer than we were willing to wait.
    Unclear,
    /// The server refused for another reason: its code and message.
    Refused(String),
}

/// Tries to decode what the slot holds, for a few seconds. The session must be in no transaction.
///
/// # Errors
/// If the connection fails.
pub async fn probe(
    session: &mut Session,
    wanted: Wanted<'_>,
    limit: Duration,
) -> Result<Probe, CatalogError> {
    const WHAT: &str = "what the slot holds";
    let fail = |source| CatalogError::Read { what: WHAT, source };
    let patience = PATIENCE.min(limit / 2).as_millis().max(1);
    session.query(&format!("SET statement_timeout = {patience}"), limit).await.map_err(fail)?;
    let answer = session.query(&queries::probe(wanted.slot, wanted.publications), limit).await;
    let skipped = session.notices().iter().any(|notice| notice.sqlstate == NOT_IN_STATE);
    let probe = match answer {
        Ok(_) if skipped => Probe::PublicationNewer,
        Ok(_) => Probe::Passes,
        Err(error) => match error.sqlstate() {
            Some(UNDEFINED_OBJECT) => Probe::PublicationNewer,
            Some(IN_USE) => Probe::Busy,
            Some(CANCELED) => Probe::Unclear,
            Some(_) => Probe::Refused(
                std::error::Error::source(&error).map_or_else(String::new, ToString::to_string),
            ),
            None => return Err(fail(error)),
        },
    };
    session.query("RESET statement_timeout", limit).await.map_err(fail)?;
    Ok(probe)
}
