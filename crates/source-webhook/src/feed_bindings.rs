//! Which feed each schema belongs to, as this process remembers it. The staging area decides; what is remembered only
//! saves asking, and is asked again before anything is refused.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use sink_core::checkpoint::SqlCheckpoints;
use sink_core::checkpoint::binding::IdentityKind;
use sink_core::model::SchemaId;

use crate::reply::Refusal;

/// How old what we remember may be: so long a feed may go on after its binding was released.
const MAX_AGE: Duration = Duration::from_secs(5);
/// Longest identity that is stored, in bytes.
const MAX_IDENTITY_BYTES: usize = 200;

/// How a delivery says whose it is; most do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeedIdentity<'a> {
    /// The name in its URL.
    pub name: Option<&'a str>,
    /// The job at the source, in rows of the enriched envelope.
    pub job: Option<&'a str>,
}

/// Remembers bindings.
#[derive(Debug, Default)]
pub struct FeedBindings {
    known: Mutex<HashMap<(SchemaId, IdentityKind), (Instant, String)>>,
}

impl FeedBindings {
    /// Makes sure that the schema belongs to this feed; one that belongs to none is bound to it. The schema must exist.
    ///
    /// # Errors
    /// 409 if the schema belongs to another feed, by its own word; or if the target fails.
    pub async fn check(
        &self,
        checkpoints: &SqlCheckpoints,
        schema: &SchemaId,
        feed: FeedIdentity<'_>,
    ) -> Result<(), Refusal> {
        for (kind, identity) in [(IdentityKind::Name, feed.name), (IdentityKind::Job, feed.job)] {
            let Some(identity) = identity else { continue };
            if identity.len() > MAX_IDENTITY_BYTES {
                let text = format!("the feed's name or job is longer than {MAX_IDENTITY_BYTES} bytes");
                return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
            }
            if self.remembers(schema, kind, identity) {
                continue;
            }
            let bound = checkpoints.bind_feed(schema, kind, identity).await?;
            if bound != identity {
                return Err(conflict(schema, kind, &bound, identity));
            }
            self.lock().insert((schema.clone(), kind), (Instant::now(), bound));
        }
        Ok(())
    }

    fn remembers(&self, schema: &SchemaId, kind: IdentityKind, identity: &str) -> bool {
        let known = self.lock();
        let found = known.get(&(schema.clone(), kind));
        found.is_some_and(|(at, bound)| bound == identity && at.elapsed() < MAX_AGE)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(SchemaId, IdentityKind), (Instant, String)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn conflict(schema: &SchemaId, kind: IdentityKind, bound: &str, identity: &str) -> Refusal {
    let what = match kind {
        IdentityKind::Name => "feed",
        IdentityKind::Job => "changefeed job",
    };
    let text = format!(
        "schema {schema} belongs to {what} {bound:?}, and this is {what} {identity:?}: marks of one feed would promise \
         rows of the other. Use one changefeed per target schema; if the old one is cancelled for good, release the \
         schema with `cdc-webhook reset -a {schema} --feed`"
    );
    Refusal::new(StatusCode::CONFLICT, text)
}
