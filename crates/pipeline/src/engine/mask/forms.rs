//! The forms in which tools print a value: as it is, in base64, in an address, in JSON, in hexadecimal, quoted for a shell.

/// A value in all of them.
pub(super) fn of(value: &str) -> Vec<Vec<u8>> {
    let bytes = value.as_bytes();
    let mut forms = vec![bytes.to_vec()];
    for shift in 0..3 {
        for table in [BASE64, BASE64_URL] {
            forms.push(base64_inner(bytes, shift, table));
        }
    }
    for lower in [false, true] {
        let escaped = url(bytes, lower);
        // A form's fields have `+` for a space.
        if bytes.contains(&b' ') {
            let plus = String::from_utf8_lossy(&escaped).replace("%20", "+");
            forms.push(plus.into_bytes());
        }
        forms.push(escaped);
        forms.push(hex(bytes, lower));
    }
    let json = serde_json::to_string(value).unwrap_or_default();
    let json = json.trim_start_matches('"');
    let json = json.strip_suffix('"').unwrap_or(json);
    forms.push(json.as_bytes().to_vec());
    // Some writers of JSON escape a slash, and all beyond ASCII.
    forms.push(json.replace('/', "\\/").into_bytes());
    if !json.is_ascii() {
        forms.push(ascii_json(json).into_bytes());
    }
    // A shell that traces prints a word with a quote in this form.
    forms.push(value.replace('\'', "'\\''").into_bytes());
    forms
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The characters of a base64 text that depend on `bytes` alone, when `shift` other bytes come before them: a secret is found
/// within a longer text that was encoded as a whole, such as `user:password`.
fn base64_inner(bytes: &[u8], shift: usize, table: &[u8; 64]) -> Vec<u8> {
    let mut padded = vec![0; shift];
    padded.extend_from_slice(bytes);
    let bits = padded.len() * 8;
    let at = |index: usize| -> usize {
        let mut value = 0_usize;
        for bit in index * 6..index * 6 + 6 {
            let byte = padded.get(bit / 8).copied().unwrap_or(0);
            value = value << 1 | usize::from(byte >> (7 - bit % 8) & 1);
        }
        value
    };
    let first = (shift * 8).div_ceil(6);
    let last = bits / 6;
    (first..last).map(|index| table[at(index)]).collect()
}

fn url(bytes: &[u8], lower: bool) -> Vec<u8> {
    let mut shown = Vec::new();
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) {
            shown.push(*byte);
        } else {
            shown.push(b'%');
            shown.extend(hex(&[*byte], lower));
        }
    }
    shown
}

fn hex(bytes: &[u8], lower: bool) -> Vec<u8> {
    let digits: &[u8; 16] = if lower {
        b"0123456789abcdef"
    } else {
        b"0123456789ABCDEF"
    };
    bytes
        .iter()
        .flat_map(|byte| {
            [
                digits[usize::from(byte >> 4)],
                digits[usize::from(byte & 15)],
            ]
        })
        .collect()
}

fn ascii_json(json: &str) -> String {
    let mut shown = String::new();
    let mut units = [0; 2];
    for c in json.chars() {
        if c.is_ascii() {
            shown.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    shown
}
