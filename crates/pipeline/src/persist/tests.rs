use super::*;

#[test]
fn paths_outside_the_tree_are_refused() {
    for path in ["../x", "/etc/passwd", ".", "", "a/../../b"] {
        assert!(!is_inside(path), "{path}");
    }
    for path in ["app.db", "data/uploads", "./x"] {
        assert!(is_inside(path), "{path}");
    }
    let folder = tempfile::tempdir().unwrap();
    let error = link(folder.path(), folder.path(), &["../x".into()]).unwrap_err();
    assert!(matches!(error, PersistError::Outside(_)));
}

#[test]
fn the_first_release_brings_the_content_and_later_ones_share_it() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let paths = [
        "app.db".to_owned(),
        "uploads/".to_owned(),
        "new.sqlite".to_owned(),
    ];
    for (number, expected) in [("1", 0), ("2", 1)] {
        let tree = folder.path().join(number);
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("app.db"), number).unwrap();
        assert_eq!(link(&tree, &live, &paths).unwrap().len(), expected);
        assert_eq!(fs::read_to_string(tree.join("app.db")).unwrap(), "1");
        assert!(tree.join("uploads").is_dir());
        assert!(!tree.join("new.sqlite").exists());
        fs::write(tree.join("uploads").join(number), "x").unwrap();
        assert!(link(&tree, &live, &paths).unwrap().is_empty(), "repeated");
    }
    assert_eq!(fs::read_dir(live.join("uploads")).unwrap().count(), 2);
    fs::write(folder.path().join("2/new.sqlite"), "made").unwrap();
    assert_eq!(fs::read_to_string(live.join("new.sqlite")).unwrap(), "made");
}
