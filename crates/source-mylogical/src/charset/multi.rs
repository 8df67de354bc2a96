//! Character sets of several bytes for some characters. They are those of the Encoding Standard, except for the characters
//! listed here, which MySQL 9.7 and MariaDB 11.8 convert otherwise.

use encoding_rs::{BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, SHIFT_JIS};

use super::NotText;

/// The code of the first, and those from there on.
type Exceptions = &'static [(u32, &'static str)];

/// A character set of several bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Multi {
    /// `big5`.
    Big5,
    /// `gb2312`.
    Gb2312,
    /// `gbk`.
    Gbk,
    /// `gb18030`.
    Gb18030,
    /// `euckr`.
    EucKr,
    /// `cp932`.
    Cp932,
    /// `sjis`.
    Sjis,
    /// `ujis`.
    Ujis,
    /// `eucjpms`.
    EucJpMs,
}

impl Multi {
    /// By its name on the server.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "big5" => Self::Big5,
            "gb2312" => Self::Gb2312,
            "gbk" => Self::Gbk,
            "gb18030" => Self::Gb18030,
            "euckr" => Self::EucKr,
            "cp932" => Self::Cp932,
            "sjis" => Self::Sjis,
            "ujis" => Self::Ujis,
            "eucjpms" => Self::EucJpMs,
            _ => return None,
        })
    }

    fn encoding(self) -> (&'static Encoding, Exceptions) {
        match self {
            Self::Big5 => (BIG5, BIG5_OTHERS),
            Self::Gb2312 => (GBK, GB2312_OTHERS),
            Self::Gbk => (GBK, &[]),
            Self::Gb18030 => (GB18030, GB18030_OTHERS),
            Self::EucKr => (EUC_KR, &[]),
            Self::Cp932 => (SHIFT_JIS, &[]),
            Self::Sjis => (SHIFT_JIS, SJIS_OTHERS),
            Self::Ujis => (EUC_JP, UJIS_OTHERS),
            Self::EucJpMs => (EUC_JP, EUCJPMS_OTHERS),
        }
    }

    /// Appends the bytes as UTF-8.
    pub(super) fn decode(self, mut bytes: &[u8], text: &mut String) -> Result<(), NotText> {
        let (encoding, others) = self.encoding();
        while !bytes.is_empty() {
            let plain = bytes.iter().take_while(|byte| byte.is_ascii()).count();
            let (ascii, rest) = bytes.split_at(plain);
            text.push_str(std::str::from_utf8(ascii).map_err(|_| NotText)?);
            if rest.is_empty() {
                break;
            }
            let (char, rest) = rest.split_at_checked(self.length(rest)).ok_or(NotText)?;
            bytes = rest;
            let code = char.iter().fold(0, |code, byte| code << 8 | u32::from(*byte));
            if let Some(other) = self.private(char).or_else(|| listed(others, code)) {
                text.push(other);
                continue;
            }
            let decoded = encoding.decode_without_bom_handling_and_without_replacement(char);
            text.push_str(&decoded.ok_or(NotText)?);
        }
        Ok(())
    }

    /// How many bytes a character has that begins so.
    fn length(self, bytes: &[u8]) -> usize {
        match (self, bytes) {
            (Self::Sjis | Self::Cp932, [0xa1..=0xdf, ..]) => 1,
            (Self::Ujis | Self::EucJpMs, [0x8f, ..]) => 3,
            (Self::Gb18030, [_, b'0'..=b'9', ..]) => 4,
            _ => 2,
        }
    }

    /// Characters for one's own use, which the Encoding Standard does not have in these two sets.
    fn private(self, char: &[u8]) -> Option<char> {
        const ROW: u32 = 94;
        let (first, lead, trail) = match (self, char) {
            (Self::Ujis | Self::EucJpMs, [lead @ 0xf5..=0xfe, trail @ 0xa1..=0xfe]) => (0xe000, lead, trail),
            (Self::Ujis | Self::EucJpMs, [0x8f, lead @ 0xf5..=0xfe, trail @ 0xa1..=0xfe]) => {
                (0xe3ac, lead, trail)
            }
            _ => return None,
        };
        char::from_u32(first + u32::from(lead - 0xf5) * ROW + u32::from(trail - 0xa1))
    }
}

fn listed(others: Exceptions, code: u32) -> Option<char> {
    others.iter().find_map(|(first, chars)| {
        let at = usize::try_from(code.checked_sub(*first)?).ok()?;
        // Each takes one byte at least.
        if at < chars.len() { chars.chars().nth(at) } else { None }
    })
}

const BIG5_OTHERS: Exceptions = &[
    (0xa145, "•"),
    (0xa14e, "､"),
    (0xa1c2, "‾"),
    (0xa1e3, "∼"),
    (0xa1f2, "♁☉"),
    (0xa241, "／＼"),
    (0xa244, "¥"),
    (0xa246, "¢£"),
    (
        0xc6a1,
        "\
        ヾゝゞ々ぁあぃいぅうぇえぉおかがきぎくぐけげこごさざしじすずせぜ\
        そぞただちぢっつづてでとどなにぬねのはばぱひびぴふぶぷへべぺほぼ\
        ぽまみむめもゃやゅゆょよらりるれろゎわゐゑをんァアィイゥウェ",
    ),
    (
        0xc740,
        "\
        エォオカガキギクグケゲコゴサザシジスズセゼソゾタダチヂッツヅテデ\
        トドナニヌネノハバパヒビピフブプヘベペホボポマミムメモャヤュユ",
    ),
    (
        0xc7a1,
        "\
        ョヨラリルレロヮワヰヱヲンヴヵヶДЕЁЖЗИЙКЛМУФХЦЧШ\
        ЩЪЫЬЭЮЯабвгдеёжзийклмнопрстуфхцч\
        шщъыьэюя①②③④⑤⑥⑦⑧⑨⑩⑴⑵⑶⑷⑸⑹⑺⑻⑼⑽",
    ),
];

const GB2312_OTHERS: Exceptions = &[(0xa1a4, "・"), (0xa1aa, "―")];

const GB18030_OTHERS: Exceptions = &[
    (0xa3a0, "\u{e5e5}"),
    (0xa6d9, "\u{e78d}\u{e78e}\u{e78f}\u{e790}\u{e791}\u{e792}\u{e793}"),
    (0xa6ec, "\u{e794}\u{e795}"),
    (0xa6f3, "\u{e796}"),
    (0xfe59, "\u{e81e}"),
    (0xfe61, "\u{e826}"),
    (0xfe66, "\u{e82b}\u{e82c}"),
    (0xfe6d, "\u{e832}"),
    (0xfe7e, "\u{e843}"),
    (0xfe90, "\u{e854}"),
    (0xfea0, "\u{e864}"),
];

const SJIS_OTHERS: Exceptions = &[(0x815f, "\\〜‖"), (0x817c, "−"), (0x8191, "¢£"), (0x81ca, "¬")];

const UJIS_OTHERS: Exceptions =
    &[(0xa1c0, "\\〜‖"), (0xa1dd, "−"), (0xa1f1, "¢£"), (0xa2cc, "¬"), (0x8fa2b7, "~")];

const EUCJPMS_OTHERS: Exceptions = &[
    (0x8fa2c3, "￤"),
    (0x8ff3f3, "ⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹⅠⅡ"),
    (
        0x8ff4a1,
        "\
        ⅢⅣⅤⅥⅦⅧⅨⅩ＇＂㈱№℡炻仼僴凬匇匤﨎咊坙﨏塚增寬峵嵓﨑德悅愠\
        敎昻晥晴朗栁﨓﨔橫櫢淸淲瀨凞猪甁皂皞益礰礼神祥福竧靖精綠緖羽荢﨟\
        薰蘒﨡蠇諸譿賴赶﨣﨤逸郞都鄕﨧﨨閒隆﨩霻靍靑飯飼館馞髙魲鶴黑",
    ),
];
