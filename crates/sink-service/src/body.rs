//! Reads a request body into one contiguous buffer, within limits of size, time and memory.
//!
//! Parsing what arrived, decompressing it and choosing the answer is the handler's business; this
//! module only makes sure that no client can make the process hold more than it promised to hold,
//! or hold it for ever.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::{Instant, timeout_at};

/// First allocation, in bytes, for a body of unknown length; it doubles from there.
const FIRST_GROWTH: usize = 16 * 1024;

/// Limits of one body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Longest body accepted, in bytes as received (before any decompression).
    pub max_bytes: usize,
    /// Longest pause between two pieces of the body.
    pub idle_timeout: Duration,
    /// Longest time for the whole body, however steadily it drips.
    pub total_timeout: Duration,
}

/// The account a body's memory is booked on. One value serves one body; what was granted stays
/// granted until the implementer gives it back, usually when this value is dropped.
pub trait BodyBudget: Send {
    /// Asks for `bytes` before anything is held, and may wait for them; the implementer bounds the
    /// wait. `false`: not granted.
    fn take(&mut self, bytes: usize) -> impl Future<Output = bool> + Send;

    /// Asks for `bytes` on top of what is held, without waiting: bodies that wait for each other
    /// while holding memory would stop each other. `false`: not granted.
    fn grow(&mut self, bytes: usize) -> bool;
}

/// Grants everything: for tests, and for callers whose body limit is bound enough.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBudget;

impl BodyBudget for NoBudget {
    fn take(&mut self, _bytes: usize) -> impl Future<Output = bool> + Send {
        std::future::ready(true)
    }

    fn grow(&mut self, _bytes: usize) -> bool {
        true
    }
}

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Announced or sent more than the limit.
    #[error("the body is longer than the limit of {limit_bytes} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// Nothing arrived for the idle timeout.
    #[error("the body paused for too long")]
    Idle,
    /// The whole body took longer than the total timeout.
    #[error("the body took too long as a whole")]
    Slow,
    /// The memory for it was not granted.
    #[error("no memory is left for the body")]
    OverBudget,
    /// The connection or its framing broke.
    #[error("the body ended early or is broken")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl BodyError {
    /// The HTTP status which tells the client what happened.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Idle | Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::OverBudget => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads the whole body. Trailers are dropped.
///
/// With a known length the buffer is allocated once, at that length and booked up front, so an
/// announced length above the limit costs nothing and one below it costs address space only until
/// bytes arrive. Without one the buffer doubles, each step booked before it is made.
///
/// # Errors
/// See [`BodyError`]. What was read is dropped.
pub async fn read_body<B, G>(body: B, limits: BodyLimits, budget: &mut G) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    G: BodyBudget,
{
    let total = Instant::now() + limits.total_timeout;
    let mut buffer = Buffer { bytes: Vec::new(), booked: 0, limit: limits.max_bytes };
    if let Some(announced) = body.size_hint().exact() {
        buffer.announce(announced, budget).await?;
    }
    let mut body = pin!(body);
    loop {
        let idle = Instant::now() + limits.idle_timeout;
        let frame = match timeout_at(idle.min(total), body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Err(BodyError::Broken(error.into())),
            Ok(None) => return Ok(Bytes::from(buffer.bytes)),
            Err(_elapsed) if total <= idle => return Err(BodyError::Slow),
            Err(_elapsed) => return Err(BodyError::Idle),
        };
        if let Ok(data) = frame.into_data() {
            buffer.append(&data, budget)?;
        }
    }
}

/// Reads what is left of a body and drops it, for at most `time`. Closing a connection with bytes unread resets it,
/// and the client then may never see the answer that tells what was wrong.
pub async fn discard_body<B>(body: B, time: Duration)
where
    B: Body<Data = Bytes>,
{
    let end = Instant::now() + time;
    let mut body = pin!(body);
    while let Ok(Some(Ok(_))) = timeout_at(end, body.frame()).await {}
}

/// The bytes so far. Invariant: `bytes.len() <= limit`, and the capacity asked for is booked.
struct Buffer {
    bytes: Vec<u8>,
    booked: usize,
    limit: usize,
}

impl Buffer {
    async fn announce(&mut self, bytes: u64, budget: &mut impl BodyBudget) -> Result<(), BodyError> {
        let bytes = usize::try_from(bytes).ok().filter(|b| *b <= self.limit).ok_or(self.too_large())?;
        if bytes == 0 {
            return Ok(());
        }
        if !budget.take(bytes).await {
            return Err(BodyError::OverBudget);
        }
        self.booked = bytes;
        self.allocate(bytes)
    }

    fn append(&mut self, data: &[u8], budget: &mut impl BodyBudget) -> Result<(), BodyError> {
        let needed =
            self.bytes.len().checked_add(data.len()).filter(|n| *n <= self.limit).ok_or(self.too_large())?;
        if needed > self.booked {
            let target = needed.max(self.booked.saturating_mul(2)).max(FIRST_GROWTH).min(self.limit);
            if !budget.grow(target - self.booked) {
                return Err(BodyError::OverBudget);
            }
            self.booked = target;
            self.allocate(target)?;
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// An allocation which the system refuses ends this request, not the process.
    fn allocate(&mut self, capacity: usize) -> Result<(), BodyError> {
        let additional = capacity - self.bytes.len();
        self.bytes.try_reserve_exact(additional).map_err(|_| BodyError::OverBudget)
    }

    fn too_large(&self) -> BodyError {
        BodyError::TooLarge { limit_bytes: self.limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::{Frame, SizeHint};
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// Gives its frames, one per `pause`, and then either ends or hangs.
    struct Script {
        frames: VecDeque<&'static [u8]>,
        announced: Option<u64>,
        pause: Duration,
        hang: bool,
        timer: Option<Pin<Box<tokio::time::Sleep>>>,
    }

    fn script(frames: &[&'static [u8]], announced: Option<u64>) -> Script {
        let frames = frames.iter().copied().collect();
        Script { frames, announced, pause: Duration::ZERO, hang: false, timer: None }
    }

    impl Body for Script {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let pause = self.pause;
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
            match self.frames.pop_front() {
                Some(data) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(data))))),
                None if self.hang => Poll::Pending,
                None => Poll::Ready(None),
            }
        }

        fn size_hint(&self) -> SizeHint {
            self.announced.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    /// Grants up to `left` bytes and remembers what was asked.
    struct Ledger {
        left: usize,
        asked: Vec<usize>,
    }

    impl Ledger {
        fn of(left: usize) -> Self {
            Self { left, asked: Vec::new() }
        }
    }

    impl BodyBudget for Ledger {
        fn take(&mut self, bytes: usize) -> impl Future<Output = bool> + Send {
            std::future::ready(self.grow(bytes))
        }

        fn grow(&mut self, bytes: usize) -> bool {
            self.asked.push(bytes);
            let granted = bytes <= self.left;
            self.left -= if granted { bytes } else { 0 };
            granted
        }
    }

    const LIMITS: BodyLimits = BodyLimits {
        max_bytes: 100_000,
        idle_timeout: Duration::from_secs(1),
        total_timeout: Duration::from_secs(10),
    };

    #[tokio::test(start_paused = true)]
    async fn an_honest_length_is_booked_and_allocated_once() {
        let mut ledger = Ledger::of(1_000);
        let body = read_body(script(&[b"abc", b"def"], Some(6)), LIMITS, &mut ledger).await.unwrap();
        assert_eq!(&body[..], b"abcdef");
        assert_eq!(ledger.asked, [6]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_announced_length_above_the_limit_books_nothing() {
        let mut ledger = Ledger::of(usize::MAX);
        for length in [100_001, u64::MAX] {
            let error = read_body(script(&[b"x"], Some(length)), LIMITS, &mut ledger).await.unwrap_err();
            assert!(matches!(error, BodyError::TooLarge { limit_bytes: 100_000 }));
            assert_eq!(error.status(), 413);
        }
        assert_eq!(ledger.asked, [0; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_length_grows_by_doubling_within_the_limit() {
        const PIECE: &[u8] = &[7; 10_000];
        let mut ledger = Ledger::of(usize::MAX);
        let body = read_body(script(&[PIECE; 10], None), LIMITS, &mut ledger).await.unwrap();
        assert_eq!(body.len(), 100_000);
        assert_eq!(ledger.asked, [16_384, 16_384, 32_768, 34_464]);
        let error = read_body(script(&[PIECE; 11], None), LIMITS, &mut ledger).await.unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_length_that_lied_downwards_is_booked_like_an_unknown_one() {
        let mut ledger = Ledger::of(usize::MAX);
        let body = read_body(script(&[b"abc", b"def"], Some(4)), LIMITS, &mut ledger).await.unwrap();
        assert_eq!(&body[..], b"abcdef");
        assert_eq!(ledger.asked, [4, 16_380]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_body_needs_no_memory() {
        let mut ledger = Ledger::of(0);
        assert!(read_body(script(&[], Some(0)), LIMITS, &mut ledger).await.unwrap().is_empty());
        assert!(read_body(script(&[], None), LIMITS, &mut ledger).await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_that_is_not_granted_ends_the_body() {
        for announced in [Some(6), None] {
            let error = read_body(script(&[b"abcdef"], announced), LIMITS, &mut Ledger::of(5)).await;
            assert!(matches!(error, Err(BodyError::OverBudget)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_and_a_drip_are_told_apart() {
        let hanging = Script { hang: true, ..script(&[b"abc"], Some(6)) };
        assert!(matches!(read_body(hanging, LIMITS, &mut NoBudget).await, Err(BodyError::Idle)));
        let dripping =
            Script { pause: Duration::from_millis(900), ..script(&[b"a".as_slice(); 20], Some(20)) };
        assert!(matches!(read_body(dripping, LIMITS, &mut NoBudget).await, Err(BodyError::Slow)));
    }
}
