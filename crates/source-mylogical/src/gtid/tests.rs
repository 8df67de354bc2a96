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

#[test]
fn sets_are_read_in_any_notation_and_written_in_one() {
    let same = [
        format!("{A}:1-3:5:7-9"),
        format!(" {} : 1-2 : 3 : 5 , \n{A}:7 - 9:8", A.to_uppercase()),
        format!("{}:9:5:7:8,,{A}:1-3,", A.replace('-', "")),
    ];
    for text in same {
        assert_eq!(mysql(&text).to_string(), format!("{A}:1-3:5:7-9"), "{text}");
    }
    let tagged = format!("{A}:1:Rome:1-2:_x:7,{B}:rome:3:rome:4");
    assert_eq!(mysql(&tagged).to_string(), format!("{A}:1:_x:7:rome:1-2,{B}:rome:3-4"));
    assert!(mysql(" \n").is_empty());
}

#[test]
fn what_is_no_set_is_refused() {
    let error = |text: &str| GtidSet::parse(Flavor::MySql, text).unwrap_err();
    assert_eq!(error("nonsense:1"), GtidError::Uuid);
    assert_eq!(error("0-1-100"), GtidError::Uuid);
    assert_eq!(error(A), GtidError::NoInterval);
    assert_eq!(error(&format!("{A}:tag")), GtidError::NoInterval);
    assert_eq!(error(&format!("{A}:1:a:b:1")), GtidError::NoInterval);
    assert_eq!(error(&format!("{A}:1-x")), GtidError::Part);
    assert_eq!(error(&format!("{A}:{}:1", "a".repeat(33))), GtidError::Part);
    for wrong in ["0", "3-2", "9223372036854775807", "99999999999999999999"] {
        assert_eq!(error(&format!("{A}:{wrong}")), GtidError::Number, "{wrong}");
    }
    let error = |text: &str| GtidSet::parse(Flavor::MariaDb, text).unwrap_err();
    for wrong in ["0-1", "0-1-2-3", "0--1", "-0-1-2", "4294967296-1-1", "x-1-1", "0-1-1:5", &format!("{A}:1")]
    {
        assert_eq!(error(wrong), GtidError::Domain, "{wrong}");
    }
    assert_eq!(error("0-1-5,0-2-5"), GtidError::Ambiguous { domain: 0, seq: 5 });
}

#[test]
fn of_several_servers_of_a_domain_the_highest_number_counts() {
    let state = GtidSet::parse(Flavor::MariaDb, "0-1-100,0-2-150,0-3-7,5-1-1").unwrap();
    assert_eq!(state.to_string(), "0-2-150,5-1-1");
}

#[test]
fn a_stored_position_keeps_what_is_prepared() {
    for text in ["", "0-1-5", "0-1-5,7-2-9;prepared=0-1-2>0-1-3,>7-2-1,0-1-3>0-1-4"] {
        let position = LogPosition::parse(Flavor::MariaDb, text).unwrap();
        assert_eq!(position.to_string(), text);
        assert_eq!(LogPosition::parse(Flavor::MariaDb, text), Ok(position));
    }
    let position =
        LogPosition::parse(Flavor::MariaDb, "0-1-5,7-2-9;prepared=0-1-2>0-1-3,>7-2-1,0-1-3>0-1-4").unwrap();
    assert_eq!(position.resume().to_string(), "0-1-2");
    assert_eq!(position.applied().to_string(), "0-1-5,7-2-9");
    for wrong in
        ["0-1-5;prepared=", "0-1-5;prepared=0-1-2", "0-1-5;prepared=1-1-2>0-1-3", "0-1-5;other=0-1-1"]
    {
        assert!(LogPosition::parse(Flavor::MariaDb, wrong).is_err(), "{wrong}");
    }
    assert_eq!(LogPosition::parse(Flavor::MySql, &format!("{A}:1;prepared=>0-1-1")), Err(GtidError::Suffix));
}

#[test]
fn a_request_has_ends_that_do_not_belong() {
    let set = mysql(&format!("{A}:1-3:7,{B}:x:5"));
    let text: Vec<String> = set.sids().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(text, [format!("{A}:1-3:7"), format!("{B}:x:5")]);
    let sids = set.sids().unwrap();
    let first = sids.first().and_then(|sid| sid.intervals().first().copied()).unwrap();
    assert_eq!((first.start(), first.end()), (1, 4));
    let position = GtidSet::parse(Flavor::MariaDb, "0-1-1, 2-1-1").unwrap();
    assert_eq!(connect_state(&position).as_deref(), Some("0-1-1,2-1-1"));
    assert_eq!(connect_state(&GtidSet::MySql(set)), None);
}

#[test]
fn a_stream_has_passed_what_it_names() {
    let set = |flavor, text: &str| GtidSet::parse(flavor, text).unwrap();
    let ours = set(Flavor::MariaDb, "0-1-5,1-1-5");
    assert!(ours.has_passed(&set(Flavor::MariaDb, "0-2-5")));
    assert!(!ours.has_passed(&set(Flavor::MariaDb, "0-1-6")));
    assert!(!ours.has_passed(&set(Flavor::MariaDb, "3-1-1")));
    let ours = set(Flavor::MySql, &format!("{A}:1-5"));
    assert!(ours.has_passed(&set(Flavor::MySql, &format!("{A}:2-3"))));
    assert!(!ours.has_passed(&set(Flavor::MySql, &format!("{A}:2-6"))));
    assert!(!ours.has_passed(&set(Flavor::MariaDb, "")));
}

mod properties {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Numbers, by themselves and as intervals.
    fn numbers() -> impl Strategy<Value = (BTreeSet<u64>, Intervals)> {
        proptest::collection::vec((1..40_u64, 0..6_u64), 0..12).prop_map(|ranges| {
            let (mut plain, mut intervals) = (BTreeSet::new(), Intervals::default());
            for (first, more) in ranges {
                plain.extend(first..=first + more);
                intervals.add(first, first + more).unwrap();
            }
            (plain, intervals)
        })
    }

    fn of(plain: &BTreeSet<u64>) -> Intervals {
        let mut intervals = Intervals::default();
        plain.iter().for_each(|number| intervals.add(*number, *number).unwrap());
        intervals
    }

    fn set() -> impl Strategy<Value = MySqlSet> {
        let tag = proptest::option::of("[a-z_][a-z0-9_]{0,3}");
        let entry = (0..3_u8, tag, numbers());
        proptest::collection::vec(entry, 0..6).prop_map(|entries| {
            let mut set = MySqlSet::default();
            for (uuid, tag, (plain, _)) in entries {
                let tsid = Tsid { uuid: [uuid; 16], tag: tag.map(|tag| tag.parse().unwrap()) };
                plain
                    .into_iter()
                    .for_each(|number| set.add(&MySqlGtid { tsid: tsid.clone(), number }).unwrap());
            }
            set
        })
    }

    proptest! {
        #[test]
        fn intervals_are_sets_of_numbers((a, ours) in numbers(), (b, theirs) in numbers()) {
            prop_assert_eq!(&ours, &of(&a));
            let (mut union, mut less) = (ours.clone(), ours.clone());
            union.union(&theirs);
            less.subtract(&theirs);
            prop_assert_eq!(union, of(&a.union(&b).copied().collect()));
            prop_assert_eq!(less, of(&a.difference(&b).copied().collect()));
            prop_assert_eq!(ours.is_subset(&theirs), a.is_subset(&b));
            let missing = (1..).find(|number| !a.contains(number)).unwrap();
            prop_assert_eq!(ours.next_missing(), missing);
            for number in 1..50 {
                prop_assert_eq!(ours.contains(number), a.contains(&number));
            }
        }

        #[test]
        fn a_set_is_read_as_it_is_written(set in set()) {
            let text = set.to_string();
            prop_assert_eq!(&mysql(&text), &set);
            prop_assert_eq!(&mysql(&text.to_uppercase().replace(',', ",\n ")), &set);
            prop_assert!(!text.contains('\n'));
        }

        #[test]
        fn sets_join_in_any_order_and_again(a in set(), b in set()) {
            let join = |first: &MySqlSet, second: &MySqlSet| {
                let mut joined = first.clone();
                joined.union(second);
                joined
            };
            let joined = join(&a, &b);
            prop_assert_eq!(&joined, &join(&b, &a));
            prop_assert_eq!(&joined, &join(&joined, &a));
            prop_assert!(a.is_subset(&joined) && b.is_subset(&joined));
            let mut rest = joined.clone();
            rest.subtract(&a);
            prop_assert!(rest.is_subset(&b));
            rest.union(&a);
            prop_assert_eq!(rest, joined);
        }

        #[test]
        fn any_text_is_a_position_or_an_error(text in "\\PC{0,40}|[0-9a-f:,\\-;=>' ]{0,80}") {
            for flavor in [Flavor::MySql, Flavor::MariaDb] {
                if let Ok(position) = LogPosition::parse(flavor, &text) {
                    prop_assert_eq!(LogPosition::parse(flavor, &position.to_string()), Ok(position));
                }
            }
        }
    }
}
