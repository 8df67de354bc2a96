//! Positions in the form in which a stream is asked for.

use mysql_common::packets::{GnoInterval, Sid, Tag as SentTag};

use super::{GtidError, GtidSet, MySqlSet};

impl MySqlSet {
    /// What `BinlogStreamRequest::with_gtid_set` takes: all that the server need not send. Ends are exclusive there.
    ///
    /// # Errors
    /// If a tag is none to the client library; cannot happen with sets that were read.
    pub fn sids(&self) -> Result<Vec<Sid<'static>>, GtidError> {
        let sid = |(tsid, numbers): (&super::Tsid, &super::Intervals)| {
            let intervals = numbers.iter().map(|(first, last)| GnoInterval::new(first, last + 1));
            let sid = Sid::new(tsid.uuid).with_intervals(intervals.collect());
            match &tsid.tag {
                None => Ok(sid),
                Some(tag) => SentTag::new(tag.as_str().to_owned())
                    .map(|tag| sid.with_tag(tag))
                    .map_err(|_| GtidError::Part),
            }
        };
        self.iter().map(sid).collect()
    }
}

/// What MariaDB's `@slave_connect_state` takes. `None` for MySQL, which is asked by [`MySqlSet::sids`].
#[must_use]
pub fn connect_state(set: &GtidSet) -> Option<String> {
    match set {
        GtidSet::MySql(_) => None,
        GtidSet::MariaDb(position) => Some(position.to_string()),
    }
}
