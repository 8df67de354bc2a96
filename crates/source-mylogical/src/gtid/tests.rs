//! Positions, as dumps and servers print them.

use super::*;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

fn mysql(text: &str) -> MySqlSet {
    match GtidSet::parse(Flavor::MySql, text) {
        Ok(GtidSet::MySql(set)) => set,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_dump_prints_is_read() {
    let dumped = format!("SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '{}:1-5:7,\n{B}:3';", A.to_uppercase());
    assert_eq!(mysql(&dumped).to_string(), format!("{A}:1-5:7,{B}:3"));
    assert_eq!(mysql(&format!("'+{A}:1-5'")).to_string(), format!("{A}:1-5"));
    let mariadb =
        GtidSet::parse(Flavor::MariaDb, "-- SET GLOBAL gtid_slave_pos='0-1-100,\n 7-2-15';").unwrap();
    assert_eq!(mariadb.to_string(), "0-1-100,7-2-15");
}
