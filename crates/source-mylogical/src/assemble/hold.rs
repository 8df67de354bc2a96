//! Where bytes wait that may not be handed on yet: in memory up to a limit that all of them share, on disk beyond it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes places to wait.
#[derive(Debug, Clone)]
pub struct Holds {
    /// Bytes of memory in use.
    used: Arc<AtomicU64>,
    limit_bytes: u64,
    /// Where files are made; none for those that may not.
    folder: Option<PathBuf>,
}

impl Holds {
    /// Up to this much memory for all, and files in this folder, which have no name there and vanish with the process.
    #[must_use]
    pub fn new(limit_bytes: u64, folder: PathBuf) -> Self {
        Self { used: Arc::default(), limit_bytes, folder: Some(folder) }
    }

    /// Memory only. What does not fit is an error.
    #[must_use]
    pub fn in_memory(limit_bytes: u64) -> Self {
        Self { used: Arc::default(), limit_bytes, folder: None }
    }

    /// Bytes of memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self) -> Hold {
        Hold { holds: self.clone(), memory: Vec::new(), file: None, file_bytes: 0 }
    }

    /// Whether there is memory for so many more; they are taken then.
    fn take(&self, bytes: u64) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.limit_bytes;
        if !fits {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    fn file(&self) -> io::Result<File> {
        let folder = self.folder.as_ref();
        let folder =
            folder.ok_or_else(|| io::Error::other("there is no room in memory, and no folder for more"))?;
        tempfile::tempfile_in(folder)
    }
}

/// One place to wait: bytes in the order in which they were added.
#[derive(Debug)]
pub(super) struct Hold {
    holds: Holds,
    /// What comes first.
    memory: Vec<u8>,
    /// The rest. Once there is any, nothing more goes to memory.
    file: Option<File>,
    file_bytes: u64,
}

impl Hold {
    pub(super) fn len(&self) -> u64 {
        self.memory.len() as u64 + self.file_bytes
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let count = bytes.len() as u64;
        if self.file_bytes == 0 && self.holds.take(count) {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(self.holds.file()?),
        };
        file.seek(SeekFrom::Start(self.file_bytes))?;
        file.write_all(bytes)?;
        self.file_bytes += count;
        Ok(())
    }

    /// Back to this length.
    pub(super) fn truncate(&mut self, to: u64) {
        let memory = self.memory.len() as u64;
        self.file_bytes = self.file_bytes.min(to.saturating_sub(memory));
        if to < memory {
            self.memory.truncate(usize::try_from(to).unwrap_or(usize::MAX));
            self.holds.used.fetch_sub(memory - to, Ordering::Relaxed);
        }
    }

    /// Reads exactly so many from there. What was added together is in one place, so this is never asked across the end
    /// of memory.
    pub(super) fn read(&mut self, at: u64, count: usize) -> io::Result<Vec<u8>> {
        let memory = self.memory.len() as u64;
        if at < memory {
            let from = usize::try_from(at).unwrap_or(usize::MAX);
            let bytes = from.checked_add(count).and_then(|to| self.memory.get(from..to));
            return bytes.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into());
        }
        let file = self.file.as_mut().ok_or(io::ErrorKind::UnexpectedEof)?;
        file.seek(SeekFrom::Start(at - memory))?;
        let mut bytes = vec![0; count];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds.used.fetch_sub(self.memory.len() as u64, Ordering::Relaxed);
    }
}
