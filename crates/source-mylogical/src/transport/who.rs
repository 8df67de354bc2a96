//! Who we are to a source: no two readers may be the same.

use sha2::{Digest as _, Sha256};

/// A reader of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replica {
    /// The server id; never 0.
    pub id: u32,
    uuid: [u8; 16],
}

impl Replica {
    /// The same for the same texts, here and after a restart elsewhere: whoever takes over a feed takes its place at the
    /// source as well, even if the connection of the one before has not been noticed to be gone. The id has its top bit set,
    /// where people do not number their servers.
    #[must_use]
    pub fn of(texts: &[&str]) -> Self {
        const TOP: u32 = 1 << 31;
        let digest = digest(texts);
        let [a, b, c, d, ..] = digest;
        Self { id: u32::from_be_bytes([a, b, c, d]) | TOP, uuid: uuid(&digest) }
    }

    /// With an id that an operator has chosen.
    #[must_use]
    pub fn numbered(id: u32, texts: &[&str]) -> Self {
        let number = id.to_string();
        let texts: Vec<&str> = texts.iter().copied().chain([number.as_str()]).collect();
        Self { id, ..Self::of(&texts) }
    }

    /// The UUID in the servers' notation.
    #[must_use]
    pub fn uuid(&self) -> String {
        let digits: String = self.uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        let (a, rest) = digits.split_at(8);
        let (b, rest) = rest.split_at(4);
        let (c, rest) = rest.split_at(4);
        let (d, e) = rest.split_at(4);
        format!("{a}-{b}-{c}-{d}-{e}")
    }
}

fn digest(texts: &[&str]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update(text.as_bytes());
        digest.update([0]);
    }
    digest.finalize().into()
}

fn uuid(digest: &[u8; 32]) -> [u8; 16] {
    let mut uuid = [0; 16];
    for (to, from) in uuid.iter_mut().zip(digest.iter().skip(4)) {
        *to = *from;
    }
    // A name-based UUID of our own kind (version 8).
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_the_same_after_a_restart_and_another_for_another_feed() {
        let one = Replica::of(&["feed", "host"]);
        assert_eq!(one, Replica::of(&["feed", "host"]));
        assert_ne!(one, Replica::of(&["feedh", "ost"]));
        assert!(one.id >= 1 << 31 && one.uuid().len() == 36);
        let chosen = Replica::numbered(10, &["feed", "host"]);
        assert_eq!(chosen.id, 10);
        assert_ne!(chosen.uuid(), one.uuid());
    }
}
