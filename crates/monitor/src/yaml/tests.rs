use super::*;
use proptest::prelude::*;

#[test]
fn places_are_those_of_the_file() {
    let node = parse("# rules\ngroups:\n  - name: \"a\"\n    rules: []\n").unwrap();
    let groups = &node.map().unwrap()[0];
    assert_eq!(
        (groups.0.text(), groups.0.place),
        (Ok("groups"), Place { line: 2, column: 1 })
    );
    let first = groups.1.list().unwrap()[0].map().unwrap();
    assert_eq!(
        first[0].1.place,
        Place {
            line: 3,
            column: 11
        }
    );
    assert_eq!(first[1].1.list().unwrap(), []);
    assert_eq!(parse("").unwrap().value, Yaml::Null);
}

#[test]
fn mistakes_are_refused_with_their_place() {
    for (text, place, part) in [
        ("a: 1\na: 2", "2:1", "twice"),
        ("a: [1, 2", "2:1", "flow sequence"),
        ("a: !!int 3", "1:4", "tags"),
        ("a: *b", "1:", ""),
        ("--- 1\n--- 2", "2:", "second"),
        ("a: 1\n\tb: 2", "1:4", "tab"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(
            error.starts_with(place) && error.contains(part),
            "{text:?}: {error}"
        );
    }
    let deep = "[".repeat(1000);
    assert!(parse(&deep).is_err());
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        laughs.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    assert!(parse(&laughs).unwrap_err().message.contains("more than"));
}

#[test]
fn values_have_the_kinds_that_files_use() {
    let node = parse("[1m, 0, 5, true, 'true', ~, &x [1], *x]").unwrap();
    let items = node.list().unwrap();
    assert_eq!(items[0].duration(), Ok(60_000));
    assert_eq!(items[1].duration(), Ok(0));
    assert!(items[2].duration().is_err());
    assert_eq!(items[2].number::<u64>(), Ok(5));
    assert_eq!(items[3].boolean(), Ok(true));
    assert!(items[4].boolean().is_err());
    assert_eq!(items[5].text(), Ok(""));
    assert_eq!(items[6].value, items[7].value);
}

proptest! {
    #[test]
    fn garbage_never_panics(text in "[ \\n\\ta-c0-9:&*!'\"\\[\\]{},|>#-]{0,80}") {
        let _ = parse(&text);
    }
}
