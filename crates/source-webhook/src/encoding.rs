//! Undoes the compression of a body (changefeed option `compression`). Pure.

use std::io::Read;

use bytes::Bytes;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Why a body cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum EncodingError {
    /// Longer than the limit once unpacked.
    #[error("the body is longer than {limit_bytes} bytes once unpacked")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// Too many bytes in flight to unpack this now.
    #[error("no memory is free to unpack the body")]
    OverBudget,
    /// Damaged, or not compressed that way.
    #[error("the body cannot be unpacked")]
    Broken(#[source] std::io::Error),
}

/// Bytes unpacked between two looks at the limit and the budget.
const STEP_BYTES: usize = 256 * 1024;

impl Encoding {
    /// From a `Content-Encoding` header; `None` for one we do not know.
    #[must_use]
    pub fn from_header(value: &str) -> Option<Self> {
        match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Unpacks a body of at most `limit_bytes`. `grow` is asked before each further piece of memory is taken.
    ///
    /// # Errors
    /// See [`EncodingError`].
    pub fn unpack(
        self,
        body: Bytes,
        limit_bytes: usize,
        grow: impl FnMut(usize) -> bool,
    ) -> Result<Bytes, EncodingError> {
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => read(flate2::read::MultiGzDecoder::new(&*body), limit_bytes, grow),
            Self::Zstd => {
                let decoder = ruzstd::decoding::StreamingDecoder::new(&*body)
                    .map_err(|e| EncodingError::Broken(std::io::Error::other(e.to_string())))?;
                read(decoder, limit_bytes, grow)
            }
        }
    }
}

fn read(
    mut decoder: impl Read,
    limit_bytes: usize,
    mut grow: impl FnMut(usize) -> bool,
) -> Result<Bytes, EncodingError> {
    let mut unpacked = Vec::new();
    loop {
        if !grow(STEP_BYTES) {
            return Err(EncodingError::OverBudget);
        }
        let step = u64::try_from(STEP_BYTES).unwrap_or(u64::MAX);
        let got = decoder.by_ref().take(step).read_to_end(&mut unpacked).map_err(EncodingError::Broken)?;
        if unpacked.len() > limit_bytes {
            return Err(EncodingError::TooLarge { limit_bytes });
        }
        if got == 0 {
            return Ok(unpacked.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    use proptest::prelude::*;

    fn gzip(data: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap().into()
    }

    fn zstd(data: &[u8]) -> Bytes {
        ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest).into()
    }

    #[test]
    fn bombs_are_stopped_at_the_limit() {
        let zeros = vec![0; 10 << 20];
        for (encoding, body) in [(Encoding::Gzip, gzip(&zeros)), (Encoding::Zstd, zstd(&zeros))] {
            let result = encoding.unpack(body.clone(), 1 << 20, |_| true);
            assert!(matches!(result, Err(EncodingError::TooLarge { .. })), "{encoding:?}");
            let mut granted = 4;
            let result = encoding.unpack(body, 100 << 20, |_| {
                granted -= 1;
                granted > 0
            });
            assert!(matches!(result, Err(EncodingError::OverBudget)), "{encoding:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out(data in proptest::collection::vec(any::<u8>(), 0..2000)) {
            for (encoding, body) in [(Encoding::Gzip, gzip(&data)), (Encoding::Zstd, zstd(&data))] {
                prop_assert_eq!(&*encoding.unpack(body, 1 << 20, |_| true).unwrap(), &data);
            }
        }

        #[test]
        fn rubbish_never_panics(data in proptest::collection::vec(any::<u8>(), 0..500)) {
            for encoding in [Encoding::Gzip, Encoding::Zstd] {
                let _ = encoding.unpack(data.clone().into(), 1 << 20, |_| true);
            }
        }
    }
}
