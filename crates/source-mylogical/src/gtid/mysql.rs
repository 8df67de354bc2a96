//! Sets of transactions as MySQL writes them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::intervals::LARGEST;
use super::{GtidError, Intervals};

/// Longest tag, in bytes (MySQL 9.7 manual).
const LONGEST_TAG: usize = 32;

/// A name that a session puts between server and number, in lower case (MySQL 8.3 and later).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        let good = text.len() <= LONGEST_TAG
            && text.bytes().next().is_some_and(first)
            && text.bytes().all(|byte| first(byte) || byte.is_ascii_digit());
        if good { Ok(Self(text.to_ascii_lowercase())) } else { Err(GtidError::Part) }
    }
}

/// Where transactions are numbered: a server, or a tag of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tsid {
    /// The server's UUID.
    pub uuid: [u8; 16],
    /// The tag, if there is one.
    pub tag: Option<Tag>,
}

/// The name of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MySqlGtid {
    /// Where it is numbered.
    pub tsid: Tsid,
    /// Its number, from 1.
    pub number: u64,
}

impl MySqlGtid {
    /// Of a number that a transaction can have; else none.
    #[must_use]
    pub fn new(tsid: Tsid, number: u64) -> Option<Self> {
        (1..=LARGEST).contains(&number).then_some(Self { tsid, number })
    }
}

impl fmt::Display for MySqlGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uuid(f, &self.tsid.uuid)?;
        if let Some(tag) = &self.tsid.tag {
            write!(f, ":{}", tag.as_str())?;
        }
        write!(f, ":{}", self.number)
    }
}

/// Transactions by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MySqlSet(BTreeMap<Tsid, Intervals>);

impl MySqlSet {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The numbers of each origin; none is empty.
    pub fn iter(&self) -> impl Iterator<Item = (&Tsid, &Intervals)> {
        self.0.iter()
    }

    /// Whether the transaction is in it.
    #[must_use]
    pub fn contains(&self, gtid: &MySqlGtid) -> bool {
        self.0.get(&gtid.tsid).is_some_and(|numbers| numbers.contains(gtid.number))
    }

    /// Adds one transaction.
    ///
    /// # Errors
    /// If no transaction can have this number.
    pub fn add(&mut self, gtid: &MySqlGtid) -> Result<(), GtidError> {
        if let Some(numbers) = self.0.get_mut(&gtid.tsid) {
            return numbers.add(gtid.number, gtid.number);
        }
        let mut numbers = Intervals::default();
        numbers.add(gtid.number, gtid.number)?;
        self.0.insert(gtid.tsid.clone(), numbers);
        Ok(())
    }

    /// Adds everything of the other.
    pub fn union(&mut self, other: &Self) {
        for (tsid, numbers) in &other.0 {
            self.0.entry(tsid.clone()).or_default().union(numbers);
        }
    }

    /// Takes away everything of the other.
    pub fn subtract(&mut self, other: &Self) {
        self.0.retain(|tsid, numbers| {
            if let Some(cut) = other.0.get(tsid) {
                numbers.subtract(cut);
            }
            !numbers.is_empty()
        });
    }

    /// Whether the other has all of these.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().all(|(tsid, numbers)| other.0.get(tsid).is_some_and(|theirs| numbers.is_subset(theirs)))
    }

    /// The smallest number of this origin that is not in it.
    #[must_use]
    pub fn next_missing(&self, tsid: &Tsid) -> u64 {
        self.0.get(tsid).map_or(1, Intervals::next_missing)
    }
}

impl FromStr for MySqlSet {
    type Err = GtidError;

    /// Reads the server's notation; white space may stand anywhere between parts.
    fn from_str(text: &str) -> Result<Self, GtidError> {
        let mut set = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let mut parts = entry.split(':').map(str::trim);
            let uuid = parts.next().and_then(uuid).ok_or(GtidError::Uuid)?;
            let mut tsid = Tsid { uuid, tag: None };
            let mut named = true;
            for part in parts {
                if part.as_bytes().first().is_some_and(u8::is_ascii_digit) {
                    let (first, last) = interval(part)?;
                    set.0.entry(tsid.clone()).or_default().add(first, last)?;
                    named = false;
                } else if named && tsid.tag.is_some() {
                    return Err(GtidError::NoInterval);
                } else {
                    tsid.tag = Some(part.parse()?);
                    named = true;
                }
            }
            if named {
                return Err(GtidError::NoInterval);
            }
        }
        // An error leaves nothing behind, so no entry is without numbers.
        Ok(set)
    }
}

fn interval(text: &str) -> Result<(u64, u64), GtidError> {
    let number = |text: &str| {
        let text = text.trim();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse().map_err(|_| GtidError::Number) } else { Err(GtidError::Part) }
    };
    match text.split_once('-') {
        Some((first, last)) => Ok((number(first)?, number(last)?)),
        None => number(text).map(|number| (number, number)),
    }
}

/// As the server: 32 hexadecimal digits, with all four dashes or none.
fn uuid(text: &str) -> Option<[u8; 16]> {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    let bytes = text.as_bytes();
    let dashed = bytes.len() == 36 && DASHES.iter().all(|at| bytes.get(*at) == Some(&b'-'));
    if !dashed && bytes.len() != 32 {
        return None;
    }
    let mut digits = bytes.iter().enumerate().filter(|(at, _)| !(dashed && DASHES.contains(at)));
    let mut digit = || {
        let digit = char::from(*digits.next()?.1).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    let mut uuid = [0; 16];
    for byte in &mut uuid {
        *byte = digit()? << 4 | digit()?;
    }
    Some(uuid)
}

fn write_uuid(f: &mut fmt::Formatter<'_>, uuid: &[u8; 16]) -> fmt::Result {
    for (at, byte) in uuid.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            f.write_str("-")?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

/// As the server writes it, on one line: tags of a server behind its own numbers.
impl fmt::Display for MySqlSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last: Option<[u8; 16]> = None;
        for (tsid, numbers) in &self.0 {
            if last != Some(tsid.uuid) {
                if last.is_some() {
                    f.write_str(",")?;
                }
                write_uuid(f, &tsid.uuid)?;
            }
            last = Some(tsid.uuid);
            if let Some(tag) = &tsid.tag {
                write!(f, ":{}", tag.as_str())?;
            }
            write!(f, ":{numbers}")?;
        }
        Ok(())
    }
}
