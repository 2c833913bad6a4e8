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
}

#[test]
fn each_line_of_a_key_is_hidden() {
    let mask = Mask::new(["-----BEGIN KEY-----\nabcdefghijkl\n-----END KEY-----\n"]);
    assert_eq!(mask.text("abcdefghijkl"), "****");
}

#[test]
fn what_looks_like_a_secret_is_hidden_and_told() {
    let mask = Mask::new([]);
    // Put together here, so that no scanner of this repository takes them for real ones.
    let tail = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (text, name) in [
        (
            format!("key {}IOSFODNN7EXAMPLE.", "AKIA"),
            "an AWS access key",
        ),
        (format!("token=ghp_{tail}"), "a GitHub token"),
        (format!("glpat-{tail}"), "a GitLab token"),
    ] {
        let mut told = None;
        let shown = mask.bytes_told(text.as_bytes(), &mut told);
        assert!(String::from_utf8_lossy(&shown).contains("****"), "{text}");
        assert_eq!(told, Some(name));
    }
    for text in [
        "npm_config_cache=x",
        "AKIA is a prefix",
        "ghp_short",
        "SG. is a word",
    ] {
        assert_eq!(mask.text(text), text);
    }
}

#[test]
fn a_private_key_over_lines_is_hidden() {
    let mut block = KeyBlock::default();
    let mut told = None;
    let begin = format!("x -----BEGIN RSA {} KEY-----\nMIIEabc\n", "PRIVATE");
    let end = format!("def\n-----END RSA {} KEY-----\nafter\n", "PRIVATE");
    let first = block.lines(begin.as_bytes(), &mut told).into_owned();
    let second = block.lines(end.as_bytes(), &mut told).into_owned();
    assert_eq!(first, b"x ****\n****\n");
    assert_eq!(second, b"****\n****\nafter\n");
    assert_eq!(told, Some("a private key"));
    let certificate = b"-----BEGIN CERTIFICATE-----\nMIIE\n";
    assert_eq!(&*block.lines(certificate, &mut None), certificate);
}
