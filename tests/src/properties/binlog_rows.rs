//! Rows of a binary log, and the table maps before them.

use std::collections::HashMap;

use source_mylogical::Flavor;
use source_mylogical::binlog::{RowsEvent, TableMap};
use source_mylogical::charset::Charsets;
use source_mylogical::policy::{LongTimes, Nuls, Policies, ZeroDates};
use source_mylogical::row::{Images, Rows};
use source_mylogical::table::{ColumnHints, Hints, Plan, Special, TargetColumn, TargetKind};

/// Rows after a table map: the product and what the target has, the length of the map in two bytes, the map, the kind of
/// the rows, the rows. Whatever is understood has a value for each column, and takes memory in proportion to the bytes.
pub(super) fn rows(bytes: &[u8]) {
    let [setting, high, low, rest @ ..] = bytes else { return };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let (map, rest) = rest.split_at(rest.len().min(length));
    let flavor = if setting & 1 == 0 { Flavor::MySql } else { Flavor::MariaDb };
    let map = match TableMap::parse(map, flavor) {
        Ok(map) => map,
        Err(error) => return assert!(error.to_string().len() < 300, "an error as long as a row"),
    };
    let plan = match Plan::new(&map, &hints(&map, *setting), &Charsets::default(), policies(*setting)) {
        Ok(plan) => plan,
        Err(error) => return assert!(error.to_string().starts_with("table "), "an error without its table"),
    };
    let Some((kind, body)) = rest.split_first() else { return };
    let Ok(event) = RowsEvent::parse(*kind, body) else { return };
    let Ok(mut rows) = Rows::new(&plan, event) else { return };
    let mut images = Images::default();
    let mut read = 0;
    while rows.next(&mut images).unwrap_or(false) {
        for image in [&images.before, &images.after] {
            assert!(image.is_empty() || image.len() == plan.columns().len());
            read += image.values().map(size).sum::<usize>();
        }
    }
    // What grows most: a BINARY(1023) of which the log holds no byte but its length, and labels, which the map holds. Rows
    // after a change may repeat what was before.
    let most = 2 * (2 * 1023 + 16 + map_bytes(&map));
    assert!(read <= (body.len() + 1) * most, "{read} bytes of text from {} bytes", body.len());
}

fn size(value: sink_core::flow::Value<'_>) -> usize {
    if let sink_core::flow::Value::Text(text) = value { text.len() } else { 0 }
}

fn map_bytes(map: &TableMap) -> usize {
    map.columns
        .iter()
        .flat_map(|column| column.labels.iter().flatten())
        .map(|label| 4 * label.len() + 3)
        .sum()
}

fn policies(setting: u8) -> Policies {
    if setting & 2 == 0 {
        return Policies::default();
    }
    Policies { zero_dates: ZeroDates::Epoch, nuls: Nuls::Strip, long_times: LongTimes::Null }
}

/// Other kinds for each column, so that every one is tried.
fn hints(map: &TableMap, setting: u8) -> Hints {
    let specials = [Special::Uuid, Special::Inet4, Special::Inet6, Special::Json, Special::Vector];
    let kinds = [
        TargetKind::Text,
        TargetKind::Bool,
        TargetKind::Integer,
        TargetKind::Time,
        TargetKind::Uuid,
        TargetKind::Bytes,
        TargetKind::Array,
        TargetKind::Json { binary: true },
    ];
    let hint = |at: usize| {
        let at = at + usize::from(setting >> 3);
        let target = TargetColumn { kind: kinds[at % kinds.len()], nullable: at.is_multiple_of(3) };
        let special = (setting & 4 != 0).then(|| specials[at % specials.len()]);
        ColumnHints { special, target: (setting & 2 != 0).then_some(target), ..ColumnHints::default() }
    };
    let names = map.columns.iter().enumerate();
    let columns: HashMap<_, _> =
        names.filter_map(|(at, column)| Some((column.name.clone()?, hint(at)))).collect();
    Hints { columns }
}
