//! The encodings in which reports are met: UTF-8, UTF-16, Latin-1 and Windows-1252.

use std::borrow::Cow;

/// The bytes as text, by their byte order mark or their XML declaration; what is not in the encoding is replaced.
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => return String::from_utf8_lossy(rest),
        [0xff, 0xfe, rest @ ..] => return utf16(rest, u16::from_le_bytes).into(),
        [0xfe, 0xff, rest @ ..] => return utf16(rest, u16::from_be_bytes).into(),
        [b'<', 0, ..] => return utf16(bytes, u16::from_le_bytes).into(),
        [0, b'<', ..] => return utf16(bytes, u16::from_be_bytes).into(),
        _ => {}
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).to_ascii_lowercase();
    let declared = head.find("encoding=").map(|at| &head[at + 9..]);
    let latin = declared.is_some_and(|name| {
        let name = name.trim_start_matches(['"', '\'']);
        [
            "iso-8859-1",
            "iso-8859-15",
            "windows-1252",
            "cp1252",
            "latin1",
            "us-ascii",
        ]
        .iter()
        .any(|known| name.starts_with(known))
    });
    if latin {
        bytes
            .iter()
            .map(|byte| windows_1252(*byte))
            .collect::<String>()
            .into()
    } else {
        String::from_utf8_lossy(bytes)
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units)
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// Windows-1252 is Latin-1 with letters where Latin-1 has control characters, and is what is meant by Latin-1 on the web too.
fn windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        byte => char::from(byte),
    }
}
