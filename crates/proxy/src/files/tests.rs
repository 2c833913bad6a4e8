use super::*;

fn request(fields: &[(&str, &str)]) -> FileRequest {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| field(name, value.as_bytes()))
        .collect();
    let head = RequestHead {
        bytes: 0,
        method: "GET",
        target: "/",
        authority: "a",
        version: crate::h1::Version::Http11,
        fields: &fields,
        body: crate::h1::Length::None,
        keep_alive: true,
        upgrade: None,
        expects_continue: false,
        lists_fields: false,
    };
    FileRequest::read(&head)
}

#[test]
fn codings_are_negotiated_by_weight_and_name() {
    for (accept, br, gzip) in [
        ("", false, false),
        ("gzip", false, true),
        ("GZIP;q=0.5, br", true, true),
        ("*;q=0", false, false),
        ("*;q=0, gzip", false, true),
        ("br;q=0, *", false, true),
        ("gzip;q=0.000", false, false),
        ("gzip;q=0.001", false, true),
    ] {
        let request = request(&[("accept-encoding", accept)]);
        assert_eq!(
            (request.accepts("br"), request.accepts("gzip")),
            (br, gzip),
            "{accept}"
        );
    }
    assert!(!request(&[]).accepts("gzip"));
}

#[test]
fn a_strong_comparison_knows_no_weak_tag() {
    assert!(tags_contain("W/\"a\"", "\"a\"", Comparison::Weak));
    assert!(!tags_contain("W/\"a\"", "\"a\"", Comparison::Strong));
    assert!(tags_contain("\"b\", \"a\"", "\"a\"", Comparison::Strong));
    assert!(!tags_contain("\"b\"", "\"a\"", Comparison::Weak));
}
