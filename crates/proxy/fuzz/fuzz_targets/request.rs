//! A head that is taken is taken only whole, and says nothing that smuggling needs.
#![no_main]

use launchway_proxy::h1::Length;
use launchway_proxy::h1::request::{field_room, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut room = field_room();
    let Ok(Some(head)) = parse(bytes, &mut room, 8192) else {
        return;
    };
    let taken = &bytes[..head.bytes];
    assert!(taken.ends_with(b"\r\n\r\n"));
    let count = |name: &str| {
        let named = head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        named.count()
    };
    assert!(count("host") <= 1);
    assert!(count("content-length") + count("transfer-encoding") <= 1);
    assert_eq!(count("transfer-encoding") == 1, head.body == Length::Chunked);
    assert!(head.target.starts_with('/') || head.target == "*");
    for field in head.fields {
        assert!(!field.value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
    for cut in [0, head.bytes / 2, head.bytes - 1] {
        let mut room = field_room();
        assert!(matches!(parse(&bytes[..cut], &mut room, 8192), Ok(None)));
    }
});
