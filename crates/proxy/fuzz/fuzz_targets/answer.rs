//! An app's head that is taken is written so that the same framing is read from it.
#![no_main]

use launchway_proxy::h1::Length;
use launchway_proxy::h1::request::field_room;
use launchway_proxy::h1::response::{framing, parse, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, &[u8])| {
    let (to_head, bytes) = input;
    let mut room = field_room();
    let Ok(Some(head)) = parse(bytes, &mut room, 8192, to_head) else {
        return;
    };
    if head.status < 200 {
        return;
    }
    let framed = framing(&head, false, true);
    let mut out = Vec::new();
    write(&mut out, &head, framed, false);
    let mut again = field_room();
    let Ok(Some(read)) = parse(&out, &mut again, 1 << 20, to_head) else {
        panic!("what was written is not read: {:?}", String::from_utf8_lossy(&out));
    };
    assert_eq!(read.bytes, out.len());
    assert_eq!(read.status, head.status);
    if head.status != 204 && !to_head && framed.body != Length::None {
        assert_eq!(read.body, framed.body);
    }
});
