use super::*;

fn hidden(secret: &str, text: &str) -> bool {
    let mask = Mask::new([secret]);
    let shown = mask.text(text);
    shown != text && shown.contains("****")
}

#[test]
fn a_secret_is_hidden_in_every_form() {
    let secret = "p\"ss w+rd/ü";
    assert!(hidden(secret, "x p\"ss w+rd/ü y"));
    assert!(hidden(secret, r#"{"a": "p\"ss w+rd/ü"}"#));
    assert!(hidden(secret, "?q=p%22ss%20w%2Brd%2F%C3%BC"));
    assert!(hidden(secret, "?q=p%22ss%20w%2brd%2f%c3%bc"));
    assert!(hidden("hunter2hunter2", "68756e7465723268756e74657232"));
}

#[test]
fn base64_is_found_alone_and_within_a_longer_text() {
    // The encodings of `hunter2hunter2`, and of it after one and two other bytes, made with coreutils' base64.
    for text in [
        "aHVudGVyMmh1bnRlcjI=",
        "OmhlbmRyaXgK YTpodW50ZXIyaHVudGVyMg==",
        "dTp4Omh1bnRlcjJodW50ZXIy",
    ] {
        assert!(hidden("hunter2hunter2", text), "{text}");
    }
}

#[test]
fn short_values_and_no_values_hide_nothing() {
    assert_eq!(Mask::new(["true", "1", ""]).text("true 1"), "true 1");
    assert_eq!(Mask::new(["true"]).longest(), 0);
}

#[test]
fn each_line_of_a_key_is_hidden() {
    let mask = Mask::new(["-----BEGIN KEY-----\nabcdefghijkl\n-----END KEY-----\n"]);
    assert_eq!(mask.text("abcdefghijkl"), "****");
}
