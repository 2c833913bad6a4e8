use super::*;

fn matches(pattern: &str, path: &str) -> bool {
    Pattern::new(pattern).matches(path)
}

#[test]
fn patterns_mean_what_ant_means() {
    assert!(matches("*.xml", "a.xml"));
    assert!(!matches("*.xml", "x/a.xml"));
    assert!(matches("**/*.xml", "a.xml"));
    assert!(matches("**/*.xml", "x/y/a.xml"));
    assert!(matches("x/**", "x/y/z"));
    assert!(matches("x/", "x/y/z"));
    assert!(matches("**/test-*/T?.xml", "a/test-1/T1.xml"));
    assert!(!matches("**/test-*/T?.xml", "a/test-1/T12.xml"));
    assert!(matches("a/{b,c}/*.{x,y}", "a/c/1.y"));
    assert!(!matches("a/{b,c}/*.{x,y}", "a/d/1.y"));
    assert!(matches("./a", "a"));
    assert!(!matches("", "a"));
}

#[test]
fn a_hostile_pattern_ends() {
    let pattern = format!("{}b", "*a".repeat(200));
    assert!(!matches(&pattern, &"a".repeat(5_000)));
    assert!(!matches(&"**/a/".repeat(300), &"a/".repeat(100)));
    assert!(braces(&"{a,b}".repeat(40)).len() > 1);
}

#[test]
fn a_search_skips_what_it_shall_unless_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["r/a.xml", "node_modules/b.xml", "c.xml", "c.txt"] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let skip = ["node_modules"];
    let all = Patterns::new(&["**/*.xml".into()], &[]);
    assert_eq!(all.files(folder.path(), &skip), ["c.xml", "r/a.xml"]);
    let named = Patterns::new(&["node_modules/*.xml, r/*.xml".into()], &["r/**".into()]);
    assert_eq!(named.files(folder.path(), &skip), ["node_modules/b.xml"]);
}
