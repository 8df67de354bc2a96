//! Numbers of collations, as MySQL 9.7 and MariaDB 10.11 and 11.8 list them in `information_schema`. They do not contradict
//! each other.

/// MariaDB's collations that do not pad have the number of the one that does and this.
const NO_PAD: u32 = 1024;
/// The first that has another meaning: from here on, MariaDB 11 has blocks of 256 for each character set.
const UCA1400: u32 = 2048;

/// The name of a collation's character set.
pub(super) fn charset_of(collation: u32) -> Option<&'static str> {
    match collation {
        UCA1400.. => by_block(collation),
        NO_PAD.. => by_number(collation - NO_PAD),
        _ => by_number(collation),
    }
}

fn by_block(collation: u32) -> Option<&'static str> {
    Some(match collation {
        2048..=2303 => "utf8mb3",
        2304..=2559 => "utf8mb4",
        2560..=2815 => "ucs2",
        2816..=3071 => "utf16",
        3072..=3327 => "utf32",
        _ => return None,
    })
}

fn by_number(collation: u32) -> Option<&'static str> {
    Some(match collation {
        1 | 84 => "big5",
        2 | 9 | 21 | 27 | 77 => "latin2",
        3 | 69 => "dec8",
        4 | 80 => "cp850",
        5 | 8 | 15 | 31 | 47..=49 | 94 => "latin1",
        6 | 72 => "hp8",
        7 | 74 => "koi8r",
        10 | 82 => "swe7",
        11 | 65 => "ascii",
        12 | 91 => "ujis",
        13 | 88 => "sjis",
        14 | 23 | 50..=52 => "cp1251",
        16 | 71 => "hebrew",
        18 | 89 => "tis620",
        19 | 85 => "euckr",
        20 | 41 | 42 | 79 => "latin7",
        22 | 75 => "koi8u",
        24 | 86 => "gb2312",
        25 | 70 => "greek",
        26 | 34 | 44 | 66 | 99 => "cp1250",
        28 | 87 => "gbk",
        29 | 58 | 59 => "cp1257",
        30 | 78 => "latin5",
        32 | 64 => "armscii8",
        33 | 76 | 83 | 192..=215 | 223 | 576..=579 => "utf8mb3",
        35 | 90 | 128..=151 | 159 | 640..=642 => "ucs2",
        36 | 68 => "cp866",
        37 | 73 => "keybcs2",
        38 | 43 => "macce",
        39 | 53 => "macroman",
        40 | 81 => "cp852",
        45 | 46 | 224..=247 | 255..=323 | 608..=611 => "utf8mb4",
        54 | 55 | 101..=124 | 672..=674 => "utf16",
        56 | 62 => "utf16le",
        57 | 67 => "cp1256",
        60 | 61 | 160..=183 | 736..=738 => "utf32",
        63 => "binary",
        92 | 93 => "geostd8",
        95 | 96 => "cp932",
        97 | 98 => "eucjpms",
        248..=250 => "gb18030",
        _ => return None,
    })
}
