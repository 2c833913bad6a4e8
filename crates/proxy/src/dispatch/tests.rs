use super::*;

#[test]
fn the_host_is_without_its_port() {
    for (authority, host) in [
        ("a.test", "a.test"),
        ("a.test:80", "a.test"),
        ("a.test:", "a.test"),
        ("[::1]", "[::1]"),
        ("[::1]:8080", "[::1]"),
        ("", ""),
    ] {
        assert_eq!(host_of(authority), host);
    }
}

#[test]
fn fields_that_anybody_can_forge_are_taken_off() {
    for name in [
        "Connection",
        "TE",
        "Host",
        "X-Forwarded-For",
        "x-real-ip",
        "Forwarded",
        "Proxy",
        "X_Forwarded_Proto",
        "Content-Length",
        "Transfer-Encoding",
        "Expect",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Connection",
        "X-Request-Id",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Server",
    ] {
        assert!(is_taken_off(name, false), "{name}");
    }
    for name in [
        "Cookie",
        "Authorization",
        "Accept",
        "X-Forwarded",
        "X-Custom",
        "Traceparent",
        "Range",
    ] {
        assert!(!is_taken_off(name, false), "{name}");
    }
    assert!(!is_taken_off("X-Forwarded-Port", true));
    assert!(
        is_taken_off("X-Forwarded-For", true),
        "it is written anew, with what came"
    );
}
