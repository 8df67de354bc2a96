//! As much of PostgreSQL's protocol as placing a fault needs; no I/O.

use std::collections::HashMap;

use anyhow::{Result, bail};
use bytes::{Buf, Bytes, BytesMut};

/// Codes that take the place of a protocol version in a startup packet.
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
/// A message beyond this is a sign of having lost step.
const FRAME_LIMIT: usize = 1 << 30;

/// A packet without a type byte, as a connection begins with.
pub(super) enum Startup {
    /// The client asks whether it may encrypt.
    Encryption,
    /// The real beginning, or a request to cancel: both are passed on as they are.
    Packet(Bytes),
}

/// Takes a whole startup packet off the buffer, if one is there.
pub(super) fn take_startup(buffer: &mut BytesMut) -> Result<Option<Startup>> {
    let Some(length) = length_at(buffer, 0)? else { return Ok(None) };
    if length < 8 {
        bail!("a startup packet of {length} bytes");
    }
    if buffer.len() < length {
        return Ok(None);
    }
    let packet = buffer.split_to(length).freeze();
    let code = (&packet[4..8]).get_u32();
    let encryption = code == SSL_REQUEST || code == GSS_REQUEST;
    Ok(Some(if encryption { Startup::Encryption } else { Startup::Packet(packet) }))
}

/// Takes a whole message off the buffer, if one is there: type, length, body.
pub(super) fn take_frame(buffer: &mut BytesMut) -> Result<Option<Bytes>> {
    match length_at(buffer, 1)? {
        Some(length) if buffer.len() > length => Ok(Some(buffer.split_to(1 + length).freeze())),
        Some(_) | None => Ok(None),
    }
}

/// The length field, which counts itself.
fn length_at(buffer: &BytesMut, at: usize) -> Result<Option<usize>> {
    let Some(mut field) = buffer.get(at..at + 4) else { return Ok(None) };
    let length = usize::try_from(field.get_u32())?;
    if !(4..=FRAME_LIMIT).contains(&length) {
        bail!("a message of {length} bytes");
    }
    Ok(Some(length))
}

/// What happens to a message of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Swallow,
    Cut,
}

/// Follows one connection: which statements were prepared, and which answer belongs to what.
///
/// The server ends every answer with `ReadyForQuery`, one for each `Query`, `Sync` or function
/// call, and one after the login; so answers are told apart by counting.
#[derive(Debug)]
pub(super) struct Session {
    statements: HashMap<Bytes, String>,
    portals: HashMap<Bytes, String>,
    /// Answers the client is owed in all.
    asked: u64,
    /// Answers that are complete.
    answered: u64,
    /// Number of the answer to lose.
    losing: Option<u64>,
}

impl Default for Session {
    fn default() -> Session {
        // The login is answered like a question.
        Session { statements: HashMap::new(), portals: HashMap::new(), asked: 1, answered: 0, losing: None }
    }
}

impl Session {
    /// The text a client message makes the server execute, if it does.
    pub(super) fn statement(&self, frame: &Bytes) -> Option<String> {
        let (kind, body) = split(frame)?;
        match kind {
            b'Q' => Some(text(&strings(&body, 1)?[0])),
            b'E' => self.portals.get(&strings(&body, 1)?[0]).cloned(),
            _ => None,
        }
    }

    /// Notes a client message on its way to the server.
    pub(super) fn sent(&mut self, frame: &Bytes, lose_answer: bool) {
        let Some((kind, body)) = split(frame) else { return };
        if kind == b'P'
            && let Some(parts) = strings(&body, 2)
        {
            self.statements.insert(parts[0].clone(), text(&parts[1]));
        }
        if kind == b'B'
            && let Some(parts) = strings(&body, 2)
        {
            let statement = self.statements.get(&parts[1]).cloned().unwrap_or_default();
            self.portals.insert(parts[0].clone(), statement);
        }
        if matches!(kind, b'Q' | b'S' | b'F') {
            self.asked += 1;
        }
        if lose_answer && self.losing.is_none() {
            // An execution is answered by the synchronisation that follows it.
            self.losing = Some(if kind == b'E' { self.asked + 1 } else { self.asked });
        }
    }

    /// Decides about a server message.
    pub(super) fn received(&mut self, frame: &Bytes) -> Verdict {
        let complete = frame.first() == Some(&b'Z');
        let number = self.answered + 1;
        if complete {
            self.answered = number;
        }
        match self.losing {
            Some(losing) if number >= losing && complete => Verdict::Cut,
            Some(losing) if number >= losing => Verdict::Swallow,
            Some(_) | None => Verdict::Pass,
        }
    }
}

/// Type and body of a message.
fn split(frame: &Bytes) -> Option<(u8, Bytes)> {
    (frame.len() >= 5).then(|| (frame[0], frame.slice(5..)))
}

/// The first zero-terminated strings of a body.
fn strings(body: &Bytes, count: usize) -> Option<Vec<Bytes>> {
    let mut rest = body.clone();
    let mut found = Vec::with_capacity(count);
    for _ in 0..count {
        let end = rest.iter().position(|byte| *byte == 0)?;
        found.push(rest.split_to(end));
        rest.advance(1);
    }
    Some(found)
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Bytes {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], &length.to_be_bytes()[..], body].concat().into()
    }

    fn ready() -> Bytes {
        frame(b'Z', b"I")
    }

    fn logged_in() -> Session {
        let mut session = Session::default();
        assert_eq!(session.received(&frame(b'R', &[0; 4])), Verdict::Pass);
        assert_eq!(session.received(&ready()), Verdict::Pass);
        session
    }

    #[test]
    fn messages_are_taken_only_when_whole() {
        let whole = frame(b'Q', b"COMMIT\0");
        let mut buffer = BytesMut::from(&whole[..whole.len() - 1]);
        assert_eq!(take_frame(&mut buffer).unwrap(), None);
        buffer.extend_from_slice(b"\0Z");
        assert_eq!(take_frame(&mut buffer).unwrap(), Some(whole));
        assert_eq!(take_frame(&mut buffer).unwrap(), None);
        assert!(take_frame(&mut BytesMut::from(&b"Q\0\0\0\x01"[..])).is_err());
    }

    #[test]
    fn offers_of_encryption_are_told_from_the_beginning() {
        let mut buffer = BytesMut::from(&[0, 0, 0, 8, 4, 210, 22, 47, 0, 0, 0, 9, 0, 3, 0, 0, 0][..]);
        assert!(matches!(take_startup(&mut buffer).unwrap(), Some(Startup::Encryption)));
        assert!(
            matches!(take_startup(&mut buffer).unwrap(), Some(Startup::Packet(packet)) if packet.len() == 9)
        );
        assert!(take_startup(&mut buffer).unwrap().is_none());
    }

    #[test]
    fn only_the_answer_of_the_marked_query_is_lost() {
        let mut session = logged_in();
        let commit = frame(b'Q', b"COMMIT\0");
        assert_eq!(session.statement(&commit).as_deref(), Some("COMMIT"));
        session.sent(&frame(b'Q', b"SELECT 1\0"), false);
        session.sent(&commit, true);
        // The query before it was asked in the same breath and is answered first.
        assert_eq!(session.received(&frame(b'C', b"SELECT 1\0")), Verdict::Pass);
        assert_eq!(session.received(&ready()), Verdict::Pass);
        assert_eq!(session.received(&frame(b'C', b"COMMIT\0")), Verdict::Swallow);
        assert_eq!(session.received(&ready()), Verdict::Cut);
    }

    #[test]
    fn a_prepared_statement_is_lost_when_executed_not_when_prepared() {
        let mut session = logged_in();
        let parse = frame(b'P', b"s1\0INSERT INTO t VALUES ($1)\0\0\0");
        assert_eq!(session.statement(&parse), None);
        for message in [parse, frame(b'S', b""), frame(b'B', b"\0s1\0\0\0")] {
            session.sent(&message, false);
        }
        assert_eq!(session.received(&frame(b'1', b"")), Verdict::Pass);
        assert_eq!(session.received(&ready()), Verdict::Pass);
        let execute = frame(b'E', b"\0\0\0\0\0");
        assert_eq!(session.statement(&execute).as_deref(), Some("INSERT INTO t VALUES ($1)"));
        session.sent(&execute, true);
        session.sent(&frame(b'S', b""), false);
        assert_eq!(session.received(&frame(b'2', b"")), Verdict::Swallow);
        assert_eq!(session.received(&ready()), Verdict::Cut);
    }
}
