//! Answers to operators' questions that anybody may ask: however many ask at once, and however slowly they read, only
//! a few are being worked out or held in memory.
//!
//! Each question has one worker at a time: whoever asks while it works gets the next result, with all the others that
//! wait. Results are shared bytes, so a thousand readers of one hold it once. When many results are still on their way
//! to clients who do not read, the newest of them is given out again instead of a new one.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;

/// Most results of one question that are held for clients at the same time.
const MAX_HELD: usize = 16;

/// A status and a body.
pub(crate) type Answer = (StatusCode, Bytes);

/// The answers to one question.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    worker: tokio::sync::Mutex<()>,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    /// When work on the newest result began, and the result.
    newest: Option<(Instant, Answer)>,
    /// Results that clients may still hold.
    held: VecDeque<Bytes>,
}

impl Answers {
    /// A result no older than the question, unless too many are unread.
    pub(crate) async fn get<F, T>(&self, work: impl FnOnce() -> F) -> Answer
    where
        F: Future<Output = (StatusCode, T)>,
        T: Into<Bytes>,
    {
        let asked = Instant::now();
        let _working = self.worker.lock().await;
        if let Some(answer) = self.known(asked) {
            return answer;
        }
        let began = Instant::now();
        let (status, body) = work().await;
        let answer = (status, body.into());
        let mut recent = self.lock();
        recent.held.push_back(answer.1.clone());
        recent.newest = Some((began, answer.clone()));
        answer
    }

    fn known(&self, asked: Instant) -> Option<Answer> {
        let mut recent = self.lock();
        let (began, newest) = recent.newest.clone()?;
        // Two handles of the newest are our own; of all others it is one.
        let own = newest.1.clone();
        recent.held.retain(|body| body.as_ptr() == own.as_ptr() || !body.is_unique());
        (began >= asked || recent.held.len() >= MAX_HELD).then_some(newest)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    async fn numbered(answers: &Answers, count: &AtomicUsize) -> String {
        let answer = answers
            .get(async || {
                tokio::task::yield_now().await;
                (StatusCode::OK, format!("result {}", count.fetch_add(1, Ordering::Relaxed)))
            })
            .await;
        String::from_utf8(answer.1.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn one_after_the_other_gets_a_new_result_each() {
        let (answers, count) = (Answers::default(), AtomicUsize::new(0));
        for number in 0..100 {
            assert_eq!(numbered(&answers, &count).await, format!("result {number}"));
        }
    }

    #[tokio::test]
    async fn many_at_once_share_one_or_two_results() {
        let (answers, count) = (Answers::default(), AtomicUsize::new(0));
        let asking = (0..1_000).map(|_| numbered(&answers, &count));
        let mut results = Vec::new();
        let mut all = std::pin::pin!(futures_all(asking));
        results.append(&mut all.as_mut().await);
        assert_eq!(results.len(), 1_000);
        assert!(count.load(Ordering::Relaxed) <= 2, "{count:?}");
    }

    /// Polls all of them together.
    async fn futures_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
        let mut waiting: Vec<_> = futures.map(Box::pin).map(Some).collect();
        let mut done = Vec::new();
        std::future::poll_fn(|context| {
            for slot in &mut waiting {
                if let Some(future) = slot
                    && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
                {
                    done.push(value);
                    *slot = None;
                }
            }
            if waiting.iter().all(Option::is_none) {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
        done
    }

    #[tokio::test]
    async fn unread_results_are_given_out_again() {
        let (answers, count) = (Answers::default(), AtomicUsize::new(0));
        let work = async || (StatusCode::OK, vec![b'x'; count.fetch_add(1, Ordering::Relaxed) + 100]);
        let mut unread = Vec::new();
        for _ in 0..1_000 {
            unread.push(answers.get(work).await);
        }
        let worked = count.load(Ordering::Relaxed);
        assert!(worked <= MAX_HELD, "{worked}");
        drop(unread);
        answers.get(work).await;
        assert_eq!(count.load(Ordering::Relaxed), worked + 1, "once they are read, results are new again");
    }
}
