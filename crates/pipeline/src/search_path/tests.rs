use super::*;

#[test]
fn the_trees_own_folders_come_first() {
    let path = for_tree(Path::new("/t"), Some(OsStr::new("/usr/bin")));
    assert_eq!(
        path,
        "/t/.venv/bin:/t/venv/bin:/t/node_modules/.bin:/usr/bin:/t/bin"
    );
    let path = for_tree(Path::new("/t"), None);
    assert!(path.to_str().unwrap().ends_with(":/sbin:/bin:/t/bin"));
}

#[test]
fn only_what_can_be_run_is_found() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plain"), "").unwrap();
    assert_eq!(find("plain", folder.path().as_os_str()), None);
    assert!(find("sh", OsStr::new("/bin:/usr/bin")).is_some());
    assert_eq!(find("../sh", OsStr::new("/bin")), None);
}
