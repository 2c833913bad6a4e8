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
fn a_credential_of_four_or_five_bytes_is_hidden_as_a_word() {
    let mask = Mask::with_words([], ["1234", "abc"]);
    assert_eq!(
        mask.text("pin 1234, 12345, x1234"),
        "pin ****, 12345, x1234"
    );
    assert_eq!(mask.text("abc"), "abc");
}

#[test]
fn a_secret_that_line_breaks_cut_is_hidden() {
    let secret = "s3cr3t-value-of-2026";
    let mask = Mask::new([secret]);
    for width in 1..=secret.len() {
        let mut text = "before\n".to_owned();
        for piece in secret.as_bytes().chunks(width) {
            text.push_str(std::str::from_utf8(piece).unwrap());
            text.push('\n');
        }
        text.push_str("after\n");
        let shown = mask.text(&text);
        let left = shown.replace(['*', '\n'], "");
        // Lines of one or two letters are no secret's piece that anybody could tell.
        let most = "beforeafter".len() + if width < 3 { secret.len() } else { 0 };
        assert!(left.len() <= most, "{width}: {shown}");
        assert!(
            shown.starts_with("before\n") && shown.ends_with("\nafter\n"),
            "{shown}"
        );
        assert_eq!(shown.lines().count(), text.lines().count());
    }
}

#[test]
fn a_line_that_may_go_on_is_not_decided() {
    let mask = Mask::new(["s3cr3t-value"]);
    assert_eq!(mask.decided(b"a\nx s3cr3\n"), 2);
    assert_eq!(mask.decided(b"a\nx s3cr3\nno\n"), 13);
    assert_eq!(mask.decided(b"s3c\nr3t\n"), 0);
    assert_eq!(mask.decided(b"plain\n"), 6);
    assert_eq!(mask.decided(b""), 0);
}

#[test]
fn a_secret_within_a_lookalikes_prefix_is_hidden() {
    assert!(hidden("m_hunter2x", "npm_hunter2x"));
}

#[test]
fn a_long_key_is_hidden_in_parts_and_the_mask_stays_small() {
    let key: String = (0..1000_u32)
        .map(|n| char::from(b'a' + (n * 7 % 26) as u8))
        .collect();
    let mask = Mask::new([key.as_str()]);
    assert_eq!(mask.text(&format!("[{key}]")), "[****]");
    assert!(mask.text(&key[100..900]).len() < 100);
    let file: String = (0..3000)
        .map(|n| format!("line {n} of a settings file\n"))
        .collect();
    let mask = Mask::new([file.as_str()]);
    assert!(
        mask.finder.memory_usage() < 16 << 20,
        "{}",
        mask.finder.memory_usage()
    );
}

#[test]
fn a_value_of_a_settings_file_is_hidden_alone() {
    let mask = Mask::new(["# x\nPASSWORD=\"hunter2hunter2\"\nDEBUG=1\n"]);
    assert_eq!(mask.text("it is hunter2hunter2"), "it is ****");
    assert_eq!(mask.text("DEBUG is 1"), "DEBUG is 1");
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
