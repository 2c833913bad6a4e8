use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

#[test]
fn a_token_comes_as_bearer_or_as_password() {
    let of = |value: &str| token(&headers(&[("authorization", value)]));
    assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
    assert_eq!(of("bearer  abc ").as_deref(), Some("abc"));
    assert_eq!(
        of(&format!("Basic {}", STANDARD.encode("me:a:b"))).as_deref(),
        Some("a:b")
    );
    assert_eq!(of("Basic !!"), None);
    assert_eq!(of("Digest abc"), None);
    assert_eq!(of("Bearer"), None);
    assert_eq!(token(&HeaderMap::new()), None);
}

#[test]
fn a_session_is_kept_apart_by_port() {
    let cookies = "launchway_session_1=one; launchway_session_2=two; other=x";
    let of = |host: &str| session(&headers(&[("host", host), ("cookie", cookies)]));
    assert_eq!(of("localhost:2").as_deref(), Some("two"));
    assert_eq!(of("localhost:3"), None);
    assert_eq!(of("[::1]:1").as_deref(), Some("one"));
    assert_eq!(of("localhost"), None);
}

#[test]
fn a_cookie_is_kept_from_scripts_and_secure_behind_tls() {
    let session = auth::Session {
        secret: "s3cret".to_owned(),
        max_age: 60,
    };
    let plain = set_cookie(&headers(&[("host", "localhost:80")]), &session);
    assert_eq!(
        plain,
        "launchway_session_80=s3cret; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"
    );
    let secure = set_cookie(
        &headers(&[("host", "ci.example.org"), ("x-forwarded-proto", "https")]),
        &session,
    );
    assert!(secure.to_str().unwrap().ends_with("; Secure"));
}

#[test]
fn only_our_own_pages_may_change_things_by_cookie() {
    let own = |pairs: &[(&'static str, &str)]| from_own_page(&headers(pairs));
    assert!(own(&[("sec-fetch-site", "same-origin")]));
    assert!(!own(&[("sec-fetch-site", "same-site")]));
    assert!(!own(&[("sec-fetch-site", "none")]));
    assert!(!own(&[
        ("sec-fetch-site", "cross-site"),
        ("origin", "http://a:1"),
        ("host", "a:1")
    ]));
    assert!(own(&[("origin", "http://a:1"), ("host", "a:1")]));
    assert!(!own(&[("origin", "http://a:2"), ("host", "a:1")]));
    assert!(!own(&[("origin", "null"), ("host", "a:1")]));
    assert!(!own(&[("host", "a:1")]));
}

#[test]
fn a_login_never_leads_to_another_site() {
    assert_eq!(own_path(Some("/apps/shop?x=1")), "/apps/shop?x=1");
    for evil in [
        "//evil",
        "https://evil",
        "/\\evil",
        "/a\nb",
        "evil",
        "/login?next=/",
    ] {
        assert_eq!(own_path(Some(evil)), "/", "{evil}");
    }
    assert_eq!(own_path(None), "/");
    assert_eq!(percent_encode("/a?b=c&d"), "/a%3Fb%3Dc%26d");
}
