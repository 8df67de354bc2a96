//! Random histories against a server that sends what it is asked for, with crashes of ours anywhere: every committed row
//! comes exactly once, in order of commit, and nothing that was undone.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::script::*;
use crate::Flavor;
use crate::assemble::{Assembler, Holds, Item, Stop};
use crate::binlog::Frame;
use crate::gtid::{Gtid, GtidSet, LogPosition, MariaDbGtid, MySqlGtid, Tsid};

/// What a session does in one transaction of the log.
#[derive(Debug, Clone)]
enum Did {
    /// Rows, then back to before the last so many of them.
    Wrote {
        rows: u8,
        undone: u8,
    },
    /// Prepared under a name, or decided if that name is prepared.
    Xa {
        name: u8,
        commits: bool,
    },
    Defined,
}

fn did() -> impl Strategy<Value = (u32, Did)> {
    let did = prop_oneof![
        (0..4_u8, 0..3_u8).prop_map(|(rows, undone)| Did::Wrote { rows, undone }),
        (0..3_u8, any::<bool>()).prop_map(|(name, commits)| Did::Xa { name, commits }),
        Just(Did::Defined),
    ];
    (0..3_u32, did)
}

/// A transaction in the log of a server.
struct Logged {
    gtid: Gtid,
    frames: Vec<Frame>,
}

/// A log, and the rows it stands for in order.
struct History {
    log: Vec<Logged>,
    committed: Vec<u8>,
}

struct Writer {
    flavor: Flavor,
    history: History,
    numbers: BTreeMap<u32, u64>,
    prepared: BTreeMap<u8, (u32, u8)>,
    value: u8,
}

impl Writer {
    fn start(&mut self, domain: u32, flags: u8) -> (Gtid, Frame) {
        let domain = if self.flavor == Flavor::MySql { 0 } else { domain };
        let number = self.numbers.entry(domain).or_default();
        *number += 1;
        match self.flavor {
            Flavor::MySql => {
                let tsid = Tsid { uuid: UUID, tag: None };
                (Gtid::MySql(MySqlGtid { tsid, number: *number }), mysql(*number))
            }
            Flavor::MariaDb => {
                let gtid = MariaDbGtid { domain, server: SERVER, seq: *number };
                (Gtid::MariaDb(gtid), mariadb(domain, *number, flags))
            }
        }
    }

    fn log(&mut self, (gtid, start): (Gtid, Frame), frames: Vec<Frame>) {
        let frames = [vec![start], frames].concat();
        self.history.log.push(Logged { gtid, frames });
    }

    fn row(&mut self) -> (u8, Vec<Frame>) {
        self.value = self.value.wrapping_add(1);
        (self.value, row("t", self.value))
    }

    fn write(&mut self, domain: u32, did: &Did) {
        match did {
            Did::Wrote { rows, undone } => {
                let start = self.start(domain, 0);
                let mut frames = vec![query("BEGIN")];
                for _ in 0..*rows {
                    let (value, row) = self.row();
                    frames.extend(row);
                    self.history.committed.push(value);
                }
                frames.push(query("SAVEPOINT a"));
                for _ in 0..*undone {
                    frames.extend(self.row().1);
                }
                frames.extend([query("ROLLBACK TO a"), xid()]);
                self.log(start, frames);
            }
            Did::Xa { name, commits } => match self.prepared.remove(name) {
                // Decisions come in the domain where it was prepared: sessions keep theirs.
                Some((domain, value)) => {
                    let start = self.start(domain, 0x81);
                    let verb = if *commits { "COMMIT" } else { "ROLLBACK" };
                    self.log(start, vec![query(&format!("XA {verb} '{name}'"))]);
                    self.history.committed.extend(commits.then_some(value));
                }
                None => {
                    let start = self.start(domain, 0x40);
                    let (value, row) = self.row();
                    let name_text = name.to_string();
                    let begin = query(&format!("XA START '{name}'"));
                    let end = vec![query(&format!("XA END '{name}'")), xa_prepare(&name_text, false)];
                    self.log(start, [vec![begin], row, end].concat());
                    self.prepared.insert(*name, (domain, value));
                }
            },
            Did::Defined => {
                let start = self.start(domain, 1);
                self.log(start, vec![query("ALTER TABLE t FORCE")]);
            }
        }
    }
}

fn history(flavor: Flavor, did: &[(u32, Did)]) -> History {
    let history = History { log: Vec::new(), committed: Vec::new() };
    let (numbers, prepared) = (BTreeMap::new(), BTreeMap::new());
    let mut writer = Writer { flavor, history, numbers, prepared, value: 0 };
    for (domain, did) in did {
        writer.write(*domain, did);
    }
    writer.history
}

/// What a server sends to one who stands there.
fn sent<'a>(log: &'a [Logged], from: &GtidSet) -> impl Iterator<Item = &'a Logged> {
    let from = from.clone();
    log.iter().filter(move |logged| match (&from, &logged.gtid) {
        (GtidSet::MySql(set), Gtid::MySql(gtid)) => !set.contains(gtid),
        (GtidSet::MariaDb(position), Gtid::MariaDb(gtid)) => {
            position.get(gtid.domain).is_none_or(|last| gtid.seq > last.seq)
        }
        _ => panic!("another product"),
    })
}

/// Reads until so many events have been taken, and gives what the target holds after that.
struct Target {
    flavor: Flavor,
    rows: Vec<u8>,
    position: String,
    careful: Option<Gtid>,
}

impl Target {
    /// False if the stream came to its end.
    fn connect(&mut self, log: &[Logged], mut events: usize) -> bool {
        let position = LogPosition::parse(self.flavor, &self.position).unwrap();
        let resume = position.resume();
        let mut assembler = Assembler::new(position, OneDatabase, Holds::in_memory(1 << 20));
        assembler = assembler.careful(self.careful.take());
        let mut open: Option<Vec<u8>> = None;
        for frame in sent(log, &resume).flat_map(|logged| logged.frames.iter().cloned()) {
            if events == 0 {
                return true;
            }
            events -= 1;
            assembler.push(frame);
            loop {
                let item = match assembler.next_item() {
                    Ok(None) => break,
                    Ok(Some(item)) => item,
                    Err(Stop::TakenBack { gtid }) => {
                        self.careful = Some(gtid);
                        return true;
                    }
                    Err(other) => panic!("{other:?}"),
                };
                match item {
                    Item::Begin { .. } => assert!(open.replace(Vec::new()).is_none()),
                    Item::Rows(rows) => open.as_mut().unwrap().push(*rows.body.last().unwrap()),
                    Item::Commit { .. } => {
                        self.rows.extend(open.take().unwrap());
                        self.position = assembler.position().to_string();
                    }
                    Item::Passed { .. } => {
                        assert!(open.is_none());
                        self.position = assembler.position().to_string();
                    }
                    Item::Ddl(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        false
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_committed_row_comes_once(
        did in proptest::collection::vec(did(), 0..25),
        crashes in proptest::collection::vec(1..60_usize, 0..12),
        mariadb: bool,
    ) {
        let flavor = if mariadb { Flavor::MariaDb } else { Flavor::MySql };
        let history = history(flavor, &did);
        let mut target = Target { flavor, rows: Vec::new(), position: String::new(), careful: None };
        for events in crashes {
            target.connect(&history.log, events);
        }
        // What has to be read again with care is so for one transaction at a time.
        let mut left = 100;
        while target.connect(&history.log, usize::MAX) {
            left -= 1;
            prop_assert!(left > 0);
        }
        prop_assert_eq!(target.rows, history.committed);
    }

    #[test]
    fn any_order_of_events_is_followed_or_refused(
        picks in proptest::collection::vec((0..26_usize, 1..6_u64), 0..80),
        mariadb: bool,
    ) {
        let flavor = if mariadb { Flavor::MariaDb } else { Flavor::MySql };
        let holds = Holds::in_memory(200);
        let mut assembler = Assembler::new(LogPosition::parse(flavor, "").unwrap(), OneDatabase, holds.clone());
        let (mut open, mut failed) = (false, false);
        for (pick, number) in picks {
            let before = assembler.position().to_string();
            assembler.push(pick_frame(flavor, pick, number));
            loop {
                match assembler.next_item() {
                    Ok(None) => break,
                    Ok(Some(_)) if failed => panic!("an item after an error"),
                    Ok(Some(Item::Begin { .. })) => prop_assert!(!std::mem::replace(&mut open, true)),
                    Ok(Some(Item::Commit { .. })) => prop_assert!(std::mem::replace(&mut open, false)),
                    Ok(Some(Item::Passed { .. })) => prop_assert!(!open),
                    Ok(Some(Item::Rows(_) | Item::Emptied { .. } | Item::DatabaseDropped { .. })) => prop_assert!(open),
                    Ok(Some(Item::Ddl(_))) => {}
                    Err(_) => {
                        failed = true;
                        prop_assert_eq!(assembler.position().to_string(), before);
                        break;
                    }
                }
            }
            prop_assert!(holds.memory_bytes() <= 200);
        }
    }
}

fn pick_frame(flavor: Flavor, pick: usize, number: u64) -> Frame {
    let start = |flags| match flavor {
        Flavor::MySql => mysql(number),
        Flavor::MariaDb => mariadb(0, number, flags),
    };
    let value = u8::try_from(number).unwrap();
    match pick {
        0..=3 => start(0),
        4 => start(1),
        5 => start(0x40),
        6 | 7 => query("BEGIN"),
        8 | 9 => map(number, "t"),
        10..=13 => rows(number, value),
        14 => query(&format!("SAVEPOINT s{number}")),
        15 => query(&format!("ROLLBACK TO s{number}")),
        16 => query(&format!("RELEASE SAVEPOINT s{number}")),
        17 => query(&format!("XA START 'x{number}'")),
        18 => xa_prepare(&format!("x{number}"), number == 1),
        19 => query(&format!("XA COMMIT 'x{number}'")),
        20 => query(&format!("XA ROLLBACK 'x{number}'")),
        21 | 22 => xid(),
        23 => {
            query(["COMMIT", "ROLLBACK", "TRUNCATE t", "DROP DATABASE d", "GRANT x"][usize::from(value - 1)])
        }
        24 => format(u32::from(value)),
        _ => payload(&[query("BEGIN"), map(1, "t"), rows(1, value), xid()]),
    }
}
