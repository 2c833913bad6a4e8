use super::*;

fn holds(range: &str, address: &str) -> bool {
    range
        .parse::<Cidr>()
        .unwrap()
        .contains(address.parse().unwrap())
}

#[test]
fn a_range_holds_its_addresses_and_no_other() {
    assert!(holds("10.0.0.0/8", "10.255.1.2"));
    assert!(!holds("10.0.0.0/8", "11.0.0.1"));
    assert!(holds("127.0.0.1", "127.0.0.1"));
    assert!(holds("127.0.0.1", "::ffff:127.0.0.1"));
    assert!(!holds("127.0.0.1", "127.0.0.2"));
    assert!(holds("0.0.0.0/0", "203.0.113.9"));
    assert!(!holds("0.0.0.0/0", "2001:db8::1"));
    assert!(holds("::/0", "2001:db8::1"));
    assert!(holds("2001:db8::/32", "2001:db8:1::1"));
    assert!(!holds("2001:db8::/32", "2001:db9::1"));
}

#[test]
fn nonsense_is_refused() {
    for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "a", "1.2.3.4/x"] {
        assert!(text.parse::<Cidr>().is_err(), "{text}");
    }
}
