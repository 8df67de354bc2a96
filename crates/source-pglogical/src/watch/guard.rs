//! Keeps a feed from going on over a gap: what is published is noted in the target beside the position, and compared
//! before each stream is opened and while it is read.

use std::time::Duration;

use sink_core::failure::{Disposition, Failure};
use sink_core::flow::{FeedName, PositionStore};
use tokio::sync::{Mutex, Notify};

use super::{Alarm, Look, PublicationSet, SlotHealth, Watch};
use crate::catalog::CatalogError;
use crate::metrics;
use crate::transport::Config;

const LOOK: &str = "look at what the source publishes";
const COMPARE: &str = "compare what the source publishes with before";
/// Longest wait for one answer of the source's catalogue.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What one look saw while the feed was carried.
#[derive(Debug)]
pub struct Seen {
    /// The slot; none if it is gone.
    pub slot: Option<SlotHealth>,
    /// The feed has to stop: rows may be missing. For people, with what to do.
    pub gap: Option<Failure>,
}

/// Guards one feed. Shared by whoever opens its stream and whoever looks beside it.
pub struct Guard {
    publications: Vec<String>,
    positions: PositionStore,
    feed: FeedName,
    inner: Mutex<Inner>,
    opened: Notify,
}

struct Inner {
    watch: Watch,
    /// The changes since the last run are to be taken as they are, once.
    accept: bool,
    /// None as long as the feed is not ours, or not compared yet.
    leading: Option<Leading>,
}

/// The feed is ours, as far as we know.
struct Leading {
    epoch: i64,
    /// What is noted in the target.
    noted: Option<PublicationSet>,
}

impl Guard {
    /// A guard of the feed that reads these publications through this slot. With `accept`, the first stream is opened
    /// whatever changed since the last one.
    #[must_use]
    pub fn new(
        source: Config,
        slot: &str,
        publications: Vec<String>,
        positions: PositionStore,
        feed: FeedName,
        accept: bool,
    ) -> Self {
        let watch = Watch::new(source, slot, publications.clone(), ANSWER_LIMIT);
        let inner = Mutex::new(Inner { watch, accept, leading: None });
        Self { publications, positions, feed, inner, opened: Notify::new() }
    }

    /// Lets a stream be opened by whoever took over the feed in this epoch, unless there is a gap between what was
    /// published at the last look of any process and now.
    ///
    /// # Errors
    /// `Halt` at a gap; `Fenced` if another process took over; otherwise why it could not be looked.
    pub async fn admit(&self, epoch: i64) -> Result<(), Failure> {
        let mut inner = self.inner.lock().await;
        inner.leading = None;
        let noted = self.positions.published(&self.feed).await?.as_deref().map(read).transpose()?;
        inner.watch.compare_with(noted.clone());
        let look = inner.watch.look().await.map_err(failed)?;
        let gap = tell(&look.alarms);
        if inner.accept {
            if gap.is_some() {
                tracing::warn!(
                    "going on over changes of what is published, as asked for (--acceptPublicationChanges)"
                );
            }
        } else if let Some(gap) = gap {
            return Err(gap);
        }
        let mut leading = Leading { epoch, noted };
        self.note(inner.watch.published(), &mut leading).await?;
        inner.accept = false;
        inner.leading = Some(leading);
        Ok(())
    }

    /// The stream is open: whoever looks beside it looks at once.
    pub fn opened(&self) {
        self.opened.notify_one();
    }

    /// Waits until a stream was opened since the last wait.
    pub async fn until_opened(&self) {
        self.opened.notified().await;
    }

    /// Looks once beside the stream, and shows the slot's figures as metrics. Says nothing about gaps while the feed is
    /// another process's: its own guard does.
    ///
    /// # Errors
    /// If the source or the target does not answer. The next look compares with the last one that was answered.
    pub async fn look(&self) -> Result<Seen, Failure> {
        let mut inner = self.inner.lock().await;
        let Look { slot, alarms } = inner.watch.look().await.map_err(failed)?;
        metrics::slot(&self.feed.feed, slot.as_ref());
        let Some(mut leading) = inner.leading.take() else { return Ok(Seen { slot, gap: None }) };
        if let Some(gap) = tell(&alarms) {
            // Whoever took over meanwhile may have been told to go on.
            let ours = match self.positions.read(&self.feed).await {
                Ok(now) => now.is_none_or(|now| now.epoch == leading.epoch),
                Err(failure) => {
                    // The next look finds the same again.
                    inner.watch.compare_with(leading.noted.clone());
                    inner.leading = Some(leading);
                    return Err(failure);
                }
            };
            return Ok(Seen { slot, gap: ours.then_some(gap) });
        }
        match self.note(inner.watch.published(), &mut leading).await {
            Ok(()) => inner.leading = Some(leading),
            Err(failure) if failure.disposition() == Disposition::Fenced => {}
            Err(failure) => {
                inner.leading = Some(leading);
                return Err(failure);
            }
        }
        Ok(Seen { slot, gap: None })
    }

    /// Notes what the last look saw, if that is news.
    async fn note(&self, now: Option<&PublicationSet>, leading: &mut Leading) -> Result<(), Failure> {
        let Some(now) = now else { return Ok(()) };
        // A first look at less than what is to be followed is none to compare with later.
        let partial = leading.noted.is_none() && !now.has_all(&self.publications);
        if partial || leading.noted.as_ref() == Some(now) {
            return Ok(());
        }
        self.positions.set_published(&self.feed, leading.epoch, &now.to_json()).await?;
        leading.noted = Some(now.clone());
        Ok(())
    }
}

fn read(text: &str) -> Result<PublicationSet, Failure> {
    PublicationSet::from_json(text).ok_or_else(|| {
        let reason = "what the target has noted of the source's publications was not written by this version; start the \
                      version that wrote it";
        Failure::new(Disposition::Halt, COMPARE, reason)
    })
}

fn failed(error: CatalogError) -> Failure {
    Failure::new(error.disposition(), LOOK, error)
}

/// Tells what changed; an error if that is a gap.
fn tell(alarms: &[Alarm]) -> Option<Failure> {
    let (gaps, rest): (Vec<&Alarm>, Vec<&Alarm>) = alarms.iter().partition(|alarm| alarm.is_gap());
    for alarm in rest {
        tracing::warn!(publication = alarm.publication, "{alarm}");
    }
    for alarm in &gaps {
        tracing::error!(publication = alarm.publication, "{alarm}");
    }
    let listed: Vec<String> = gaps.iter().map(ToString::to_string).collect();
    (!listed.is_empty()).then(|| {
        let reason = format!(
            "{}. When that is done, or if nothing is missing, start once with --acceptPublicationChanges",
            listed.join("; ")
        );
        Failure::new(Disposition::Halt, COMPARE, reason)
    })
}
