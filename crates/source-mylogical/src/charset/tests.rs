//! Bytes in each character set, and the text that servers make of them.

use super::*;

fn read(name: &str, bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    let charset = Charset::of_name(name).unwrap();
    charset.decode(bytes, &mut text).ok().map(|()| text)
}

#[test]
fn every_character_set_of_the_collations_can_be_converted() {
    for name in (0..4096).filter_map(collations::charset_of) {
        let ascii = if name.starts_with("utf16") || name == "ucs2" || name == "utf32" || name == "binary" {
            None
        } else {
            read(name, b"abc")
        };
        assert!(Charset::of_name(name).is_some(), "{name}");
        assert!(ascii.is_none_or(|ascii| ascii == "abc"), "{name}");
    }
    assert_eq!(Charset::of_name("utf7"), None);
}

#[test]
fn latin1_is_windows_1252_with_controls_in_the_gaps() {
    assert_eq!(read("latin1", b"\x80\xe9\x81\x9d").as_deref(), Some("€é\u{81}\u{9d}"));
}

// What MySQL 9.7 and MariaDB 11.8 make of these bytes.
#[test]
fn bytes_are_read_as_the_servers_read_them() {
    for (name, bytes, text) in [
        ("latin2", b"\xa1\xb1".as_slice(), "Ąą"),
        ("koi8u", b"\x95\xd4\xc5", "•те"),
        ("greek", b"\xa1\xe1", "ʽα"),
        ("cp866", b"\x8f\xfd", "П²"),
        ("swe7", b"a[]{", "aÄÅä"),
        ("gbk", b"\xc4\xe3x\xba\xc3", "你x好"),
        ("gb2312", b"\xa1\xa4\xc4\xe3", "・你"),
        ("gb18030", b"\x94\x39\xfc\x36\xfe\x59a", "😀\u{e81e}a"),
        ("big5", b"\xa7\x41\xc6\xa1\xc7\x40\xa1\x45", "你ヾエ•"),
        ("sjis", b"\x81\x5f\xb1\x93\xfa", "\\ｱ日"),
        ("cp932", b"\x81\x60\xb1\x87\x40", "～ｱ①"),
        ("ujis", b"\xc6\xfc\x8e\xb1\xa1\xc0\xf5\xa1\x8f\xa2\xb7", "日ｱ\\\u{e000}~"),
        ("eucjpms", b"\xc6\xfc\x8f\xf3\xf3\x8f\xf4\xa1\x8f\xf5\xa1", "日ⅰⅢ\u{e3ac}"),
        ("euckr", b"\xb0\xa1\xc8\xfe", "가힝"),
        ("ucs2", b"\x00a\x20\xac", "a€"),
        ("utf16", b"\xd8\x3d\xde\x00", "😀"),
        ("utf16le", b"a\x00\x3d\xd8\x00\xde", "a😀"),
        ("utf32", b"\x00\x01\xf6\x00", "😀"),
        ("utf8mb3", "é".as_bytes(), "é"),
    ] {
        assert_eq!(read(name, bytes).as_deref(), Some(text), "{name}");
    }
}

#[test]
fn what_is_no_text_is_refused() {
    for (name, bytes) in [
        ("utf8mb4", b"\xff".as_slice()),
        ("hebrew", b"\xa1"),
        ("swe7", b"\x7f"),
        ("gbk", b"\xc4"),
        ("gbk", b"\xff\xff"),
        ("ujis", b"\x8f\xa2"),
        ("utf16", b"a"),
        ("utf16", b"\xd8\x3d"),
        ("utf32", b"\x00\x11\x00\x00"),
        ("binary", b"a"),
    ] {
        assert_eq!(read(name, bytes), None, "{name}");
    }
}

#[test]
fn what_the_server_says_counts_before_what_is_known() {
    let charsets = Charsets::new([(8, "cp1251"), (9000, "latin1"), (9001, "klingon")]);
    assert_eq!(charsets.of(8), Ok(Charset::of_name("cp1251").unwrap()));
    assert_eq!(charsets.of(9000), Ok(Charset::Latin1));
    assert_eq!(charsets.of(9001), Err(PlanProblem::UnknownCharset(9001)));
    assert_eq!(charsets.of(9002), Err(PlanProblem::UnknownCollation(9002)));
    // utf8mb4_uca1400_ai_ci and latin1_swedish_nopad_ci.
    assert_eq!(charsets.of(2304), Ok(Charset::Utf8));
    assert_eq!(charsets.of(1032), Ok(Charset::Latin1));
}
