//! The same feed as a cloud storage sink sends it: files in place of requests, one table each.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use sink_core::model::HlcTimestamp;

use super::delivery::{Delivery, DeliveryKind};
use crate::value::civil;

/// Folders in front of file names: `partition_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `YYYY-MM-DD/`
    Daily,
    /// `YYYY-MM-DD/HH/`
    Hourly,
    /// None.
    Flat,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// What follows the feed's URL, with its slash in front.
    pub path: String,
    /// The content, not packed.
    pub body: String,
}

/// The files of a delivery of wrapped rows, or of a mark. Attempts of one request have the same files.
///
/// # Panics
/// If the delivery is not of the wrapped envelope.
#[must_use]
pub fn uploads(delivery: &Delivery, layout: Layout) -> Vec<Upload> {
    if let DeliveryKind::Resolved(at) = delivery.kind {
        let path = format!("{}{}.RESOLVED", folder(at, layout), digits(at));
        return vec![Upload { path, body: delivery.body.to_string() }];
    }
    let mut tables: BTreeMap<String, (HlcTimestamp, String)> = BTreeMap::new();
    let mut body: BTreeMap<String, Box<RawValue>> = read(&delivery.body);
    let rows = body.remove("payload").expect("a batch has rows");
    let rows: Vec<BTreeMap<String, Box<RawValue>>> = read(rows.get());
    for mut row in rows {
        let topic: String = read(row.remove("topic").expect("wrapped rows have a topic").get());
        let at: String = read(row["updated"].get());
        let at: HlcTimestamp = at.parse().expect("`updated` is a time");
        let line = serde_json::to_string(&row).expect("JSON is JSON");
        let (lowest, lines) = tables.entry(topic).or_insert((at, String::new()));
        *lowest = at.min(*lowest);
        lines.push_str(&line);
        lines.push('\n');
    }
    let files = (0..).zip(tables).map(|(number, (topic, (lowest, body)))| {
        let request = delivery.request * 100 + number;
        let name = format!("{}-a1b2c3d4e5f60718-1-4-{request:08x}-{topic}-1.ndjson", digits(lowest));
        Upload { path: format!("{}{name}", folder(lowest, layout)), body }
    });
    files.collect()
}

fn read<'a, T: serde::Deserialize<'a>>(json: &'a str) -> T {
    serde_json::from_str(json).expect("a feed sends JSON")
}

/// A time in 33 digits.
fn digits(at: HlcTimestamp) -> String {
    let (date, time) = civil(at.nanos() / 1_000);
    let clock: String = date.chars().chain(time.chars().take(8)).filter(char::is_ascii_digit).collect();
    format!("{clock}{:09}{:010}", at.nanos() % 1_000_000_000, at.logical())
}

fn folder(at: HlcTimestamp, layout: Layout) -> String {
    let (date, time) = civil(at.nanos() / 1_000);
    match layout {
        Layout::Daily => format!("/{date}/"),
        Layout::Hourly => format!("/{date}/{}/", &time[..2]),
        Layout::Flat => "/".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::delivery::{Connection, DeliveryId, Origin};

    fn delivery(kind: DeliveryKind, body: &str) -> Delivery {
        Delivery {
            id: DeliveryId(0),
            run: 0,
            request: 7,
            attempt: 1,
            origin: Origin::Feed,
            connection: Connection::Coordinator,
            kind,
            body: body.into(),
        }
    }

    #[test]
    fn files_have_the_names_and_lines_of_a_cloud_storage_sink() {
        let body = r#"{"payload":[{"after": {"a": 1E+2}, "key": [1], "topic": "t-u", "updated": "1586044290413968001.0000000002"},
            {"after": null, "key": [2], "topic": "a", "updated": "1586044290413968000.0000000000"},
            {"after": null, "key": [3], "topic": "t-u", "updated": "1586044290413968000.0000000003"}],"length":3}"#;
        let files = uploads(&delivery(DeliveryKind::Rows(3), body), Layout::Hourly);
        assert_eq!(files.len(), 2);
        let name = "202004042351304139680000000000003-a1b2c3d4e5f60718-1-4-000002bd-t-u-1.ndjson";
        assert_eq!(files[1].path, format!("/2020-04-04/23/{name}"));
        let expected = concat!(
            r#"{"after":{"a": 1E+2},"key":[1],"updated":"1586044290413968001.0000000002"}"#,
            "\n",
            r#"{"after":null,"key":[3],"updated":"1586044290413968000.0000000003"}"#,
            "\n"
        );
        assert_eq!(files[1].body, expected);
        let mark =
            delivery(DeliveryKind::Resolved(HlcTimestamp::new(1_586_044_290_413_968_000, 0).unwrap()), "{}");
        assert_eq!(
            uploads(&mark, Layout::Daily)[0].path,
            "/2020-04-04/202004042351304139680000000000000.RESOLVED"
        );
        assert_eq!(uploads(&mark, Layout::Flat)[0].path, "/202004042351304139680000000000000.RESOLVED");
    }
}
