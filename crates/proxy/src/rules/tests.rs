use super::*;
use crate::h1::request::{field_room, parse};

fn judge(change: impl FnOnce(&mut Rules)) -> Box<Judge> {
    let mut rules = Rules::default();
    change(&mut rules);
    Judge::new(&rules).unwrap().unwrap()
}

fn asked(client: &str, secure: bool) -> Asked<'static> {
    Asked {
        client: client.parse().unwrap(),
        secure,
        host: "shop.test",
        path: "/a",
        https_port: None,
    }
}

/// The status that a request with these fields gets; 0 where it goes on.
fn status(judge: &Judge, asked: Asked<'_>, fields: &str) -> u16 {
    let bytes = format!("GET /a?b HTTP/1.1\r\nhost: shop.test:80\r\n{fields}\r\n");
    let mut room = field_room();
    let head = parse(bytes.as_bytes(), &mut room, 4096).unwrap().unwrap();
    judge.refuse(asked, &head).map_or(0, |page| page.status)
}

#[test]
fn no_rules_are_no_judge() {
    assert!(Judge::new(&Rules::default()).unwrap().is_none());
}

#[test]
fn ranges_let_in_and_keep_out() {
    let judge = judge(|rules| {
        rules.allow = vec!["10.0.0.0/8".to_owned(), "::1".to_owned()];
        rules.deny = vec!["10.6.0.0/16".to_owned()];
    });
    for (client, expected) in [
        ("10.1.1.1", 0),
        ("10.6.1.1", 403),
        ("192.0.2.1", 403),
        ("::1", 0),
    ] {
        assert_eq!(
            status(&judge, asked(client, false), ""),
            expected,
            "{client}"
        );
    }
}

#[test]
fn plain_http_is_sent_to_https_but_not_the_certificate_authority() {
    let judge = judge(|rules| rules.https_only = true);
    assert_eq!(status(&judge, asked("::1", false), ""), 308);
    assert_eq!(status(&judge, asked("::1", true), ""), 0);
    let acme = Asked {
        path: "/.well-known/acme-challenge/x",
        ..asked("::1", false)
    };
    assert_eq!(status(&judge, acme, ""), 0);
}

#[test]
fn redirects_name_the_whole_address() {
    let to = |judge: &Judge, asked: Asked<'_>| {
        let mut room = field_room();
        let head = parse(
            b"GET /a?b HTTP/1.1\r\nhost: shop.test:80\r\n\r\n",
            &mut room,
            4096,
        );
        let page = judge.refuse(asked, &head.unwrap().unwrap()).unwrap();
        String::from_utf8(page.render(crate::page::Wants::Text, "").1).unwrap()
    };
    let https = judge(|rules| rules.https_only = true);
    assert!(to(&https, asked("::1", false)).contains("https://shop.test/a?b"));
    let odd = Asked {
        https_port: Some(8443),
        ..asked("::1", false)
    };
    assert!(to(&https, odd).contains("https://shop.test:8443/a?b"));
    let host = judge(|rules| rules.redirect_host = Some("example.org".to_owned()));
    assert!(to(&host, asked("::1", true)).contains("https://example.org/a?b"));
    assert!(to(&host, asked("::1", false)).contains("http://example.org/a?b"));
}

#[test]
fn users_are_known_by_name_and_password() {
    let judge = judge(|rules| {
        rules.users = vec![User {
            name: "anna".to_owned(),
            // printf 'anna:secret' | sha256sum
            sha256: Sha256::digest(b"anna:secret")
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        }];
    });
    let with = |pair: &str| format!("authorization: Basic {}\r\n", STANDARD.encode(pair));
    assert_eq!(status(&judge, asked("::1", true), &with("anna:secret")), 0);
    for fields in [
        String::new(),
        with("anna:wrong"),
        with("bert:secret"),
        with("anna"),
        "authorization: Basic !!!\r\n".to_owned(),
        "authorization: Bearer x\r\n".to_owned(),
        format!("{0}{0}", with("anna:secret")),
    ] {
        assert_eq!(status(&judge, asked("::1", true), &fields), 401, "{fields}");
    }
}

#[test]
fn a_rate_allows_its_burst_and_then_its_pace() {
    let limiter = Limiter::new(Rate {
        per_second: 10,
        burst: 4,
    });
    let (now, client) = (Instant::now(), "192.0.2.1".parse().unwrap());
    let taken = |at: Instant, client| limiter.take(client, at).is_ok();
    assert_eq!((0..10).filter(|_| taken(now, client)).count(), 5);
    assert!(taken(now, "192.0.2.2".parse().unwrap()));
    assert!(!taken(now + Duration::from_millis(50), client));
    assert!(taken(now + Duration::from_millis(150), client));
    assert!(!taken(now + Duration::from_millis(150), client));
    // One /64 is one client.
    let of = |text: &str| text.parse().unwrap();
    assert_eq!(
        (0..10)
            .filter(|n| taken(now, of(&format!("2001:db8::{n}"))))
            .count(),
        5
    );
}

#[test]
fn the_client_is_the_nearest_that_is_no_trusted_proxy() {
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let address = |peer: &str, chain: &str| {
        let bytes = format!("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {chain}\r\n\r\n");
        let mut room = field_room();
        let head = parse(bytes.as_bytes(), &mut room, 4096).unwrap().unwrap();
        client_address(peer.parse().unwrap(), &trusted, &head).to_string()
    };
    assert_eq!(address("192.0.2.1", "1.1.1.1"), "192.0.2.1");
    assert_eq!(address("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2"), "1.1.1.1");
    assert_eq!(address("10.0.0.1", "nonsense"), "10.0.0.1");
    assert_eq!(address("10.0.0.1", "10.0.0.3"), "10.0.0.3");
}

#[test]
fn wrong_rules_are_refused_with_the_reason() {
    let wrong = |change: fn(&mut Rules)| {
        let mut rules = Rules::default();
        change(&mut rules);
        Judge::new(&rules).unwrap_err()
    };
    let rule = |name: &str, value: Option<&str>| FieldRule {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    assert!(wrong(|rules| rules.allow = vec!["x".to_owned()]).contains("`x`"));
    assert!(wrong(|rules| rules.redirect_host = Some("a/b".to_owned())).contains("a/b"));
    assert!(wrong(|rules| rules.sticky_cookie = Some("a b".to_owned())).contains("a b"));
    assert!(
        wrong(|rules| rules.rate = Some(Rate {
            per_second: 0,
            burst: 1
        }))
        .contains("rate")
    );
    for (name, value) in [
        ("content-length", Some("1")),
        ("Connection", None),
        ("a b", None),
        ("x", Some("a\r\nb: c")),
    ] {
        let rules = Rules {
            answer_fields: vec![rule(name, value)],
            ..Rules::default()
        };
        assert!(Judge::new(&rules).unwrap_err().contains(name));
    }
}
