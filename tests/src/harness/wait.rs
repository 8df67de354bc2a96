//! Waiting for a state, with a deadline and an account of what was seen.
//!
//! This is the only place of the harness where time passes on purpose.

use std::fmt::Display;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep, timeout_at};

/// How often a state is looked at.
pub const POLL: Duration = Duration::from_millis(20);

/// What a look at a state can answer: there, or not yet.
pub trait Outcome {
    /// What the caller gets once the state is there.
    type Value;

    /// The value, or a description of the state that is not yet right.
    ///
    /// # Errors
    ///
    /// Returns what was seen instead, where the probe can tell.
    fn outcome(self) -> Result<Self::Value, Option<String>>;
}

impl<T> Outcome for Option<T> {
    type Value = T;

    fn outcome(self) -> Result<T, Option<String>> {
        self.ok_or(None)
    }
}

/// `Err` is "not yet", and says what was seen instead.
impl<T, E: Display> Outcome for Result<T, E> {
    type Value = T;

    fn outcome(self) -> Result<T, Option<String>> {
        self.map_err(|seen| Some(format!("{seen:#}")))
    }
}

/// Looks again and again until the probe yields a value. A probe answers with an [`Option`], or
/// with a [`Result`] whose error describes the state so far.
///
/// # Errors
///
/// Fails at the deadline, naming `what` was waited for and the last state seen. A probe that hangs
/// is cut off there too.
pub async fn eventually<O: Outcome>(
    deadline: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> O,
) -> Result<O::Value> {
    let end = Instant::now() + deadline;
    let mut last = None;
    let mut looks = 0_u64;
    loop {
        match timeout_at(end, probe()).await {
            Ok(found) => match found.outcome() {
                Ok(value) => return Ok(value),
                Err(seen) => last = seen.or(last),
            },
            Err(_) => last = Some(format!("the probe hung; before that: {}", last.as_deref().unwrap_or("-"))),
        }
        looks += 1;
        if Instant::now() + POLL >= end {
            let last = last.as_deref().unwrap_or("not there");
            bail!("waited {deadline:?} for {what} in vain ({looks} looks); last seen: {last}");
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_state_that_comes_is_returned() {
        let mut looks = 0;
        let probe = async || {
            looks += 1;
            (looks == 3).then_some(looks)
        };
        assert_eq!(eventually(Duration::from_secs(5), "three", probe).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_failure_names_what_was_awaited_and_what_was_seen() {
        let probe = async || Err::<(), _>("two rows");
        let error = eventually(Duration::from_millis(50), "three rows", probe).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("for three rows") && text.contains("last seen: two rows"), "{text}");
    }

    #[tokio::test]
    async fn a_probe_that_hangs_is_cut_off() {
        let probe = async || std::future::pending::<Option<()>>().await;
        let error = eventually(Duration::from_millis(50), "an answer", probe).await.unwrap_err();
        assert!(error.to_string().contains("hung"), "{error}");
    }
}
