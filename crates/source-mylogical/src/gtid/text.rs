//! What stands around a position where people copy it from.

/// The position within the text of a statement that sets it, as `mysqldump` and `mariadb-dump` write them:
/// `SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'UUID:1-5';`, `-- SET GLOBAL gtid_slave_pos='0-1-100';`. Text without any of
/// that is given back as it is.
pub(super) fn bare(text: &str) -> String {
    let text = text.trim();
    let text = text.strip_prefix("--").unwrap_or(text);
    let sets = |before: &str| {
        let before = before.to_ascii_lowercase();
        before.contains("gtid_purged") || before.contains("gtid_slave_pos")
    };
    let text = match text.rsplit_once('=') {
        Some((before, value)) if sets(before) => value,
        Some(_) | None => text,
    };
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        bare.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, behind)| behind);
    }
    bare.push_str(rest);
    bare.retain(|c| !matches!(c, '\'' | '"' | ';' | '+' | '\\'));
    bare.trim().to_owned()
}
