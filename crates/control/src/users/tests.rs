use super::*;

#[test]
fn numbers_of_apps_and_accounts_are_passed_over() {
    let home = Path::new("/var/lib/launchway");
    let none = [String::new(), String::new()];
    let first = free(home, &[], &none).unwrap();
    assert!((FIRST..FIRST + NUMBERS).contains(&first));
    let accounts = [
        format!("somebody:x:{}:100::/:/bin/sh\n", first + 1),
        format!("some:x:{}:\n", first + 2),
    ];
    assert_eq!(free(home, &[first], &accounts), Some(first + 3));
    let all: Vec<u32> = (FIRST..FIRST + NUMBERS).collect();
    assert_eq!(free(home, &all, &none), None);
}

#[test]
fn an_app_sees_the_accounts_of_the_machine_and_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let app = "shop".parse().unwrap();
    let home = Path::new("/var/lib/launchway/apps/shop/home");
    for _ in 0..2 {
        let replaced = account_files(folder.path(), &app, home, (52_001, 52_001)).unwrap();
        assert_eq!(replaced[0].0, Path::new("/etc/passwd"));
        let text = std::fs::read_to_string(&replaced[0].1).unwrap();
        assert!(text.contains("root:"), "{text}");
        assert!(
            text.ends_with(
                "shop:x:52001:52001:Launchway app:/var/lib/launchway/apps/shop/home:/bin/sh\n"
            ),
            "{text}"
        );
    }
}
