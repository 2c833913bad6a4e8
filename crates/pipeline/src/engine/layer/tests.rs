use super::*;

fn venv(tree: &Path) {
    fs::create_dir_all(tree.join(".venv/bin")).unwrap();
    fs::write(
        tree.join(".venv/bin/flask"),
        format!("#!{}/.venv/bin/python\nprint()\n", tree.display()),
    )
    .unwrap();
    fs::set_permissions(
        tree.join(".venv/bin/flask"),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    fs::write(tree.join(".venv/plain.py"), "x = 1\n").unwrap();
    fs::write(
        tree.join(".venv/binary"),
        [b"\0".to_vec(), tree.display().to_string().into_bytes()].concat(),
    )
    .unwrap();
    symlink("/bin/sh", tree.join(".venv/bin/python")).unwrap();
    symlink(tree.join(".venv/plain.py"), tree.join(".venv/own")).unwrap();
}

fn trees() -> (tempfile::TempDir, PathBuf, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    let (first, second) = (root.join("1"), root.join("12"));
    fs::create_dir(&first).unwrap();
    fs::create_dir(&second).unwrap();
    (folder, first, second, root.join("layer"))
}

#[test]
fn a_layer_moves_to_another_tree() {
    let (_folder, first, second, layer) = trees();
    venv(&first);
    let makes = [".venv".to_owned()];
    save(&first, &makes, &layer, None).unwrap();
    fs::create_dir(second.join(".venv")).unwrap();
    fs::write(second.join(".venv/old"), "").unwrap();
    assert_eq!(restore(&layer, &second, &makes, None).unwrap(), 3);
    assert!(!second.join(".venv/old").exists());
    let text = fs::read_to_string(second.join(".venv/bin/flask")).unwrap();
    assert_eq!(
        text,
        format!("#!{}/.venv/bin/python\nprint()\n", second.display())
    );
    assert_eq!(
        fs::metadata(second.join(".venv/bin/flask")).unwrap().mode() & 0o777,
        0o755
    );
    assert_eq!(
        fs::read_link(second.join(".venv/bin/python")).unwrap(),
        Path::new("/bin/sh")
    );
    assert_eq!(
        fs::read_link(second.join(".venv/own")).unwrap(),
        second.join(".venv/plain.py")
    );
    let shared = fs::metadata(second.join(".venv/plain.py")).unwrap();
    assert_eq!(
        shared.ino(),
        fs::metadata(first.join(".venv/plain.py")).unwrap().ino()
    );
    // From the longer path back to the shorter one, and a path that only begins like the tree's stays.
    fs::write(
        second.join(".venv/bin/flask"),
        format!("{} {}3/x", second.display(), second.display()),
    )
    .unwrap();
    let again = layer.with_extension("2");
    save(&second, &makes, &again, None).unwrap();
    restore(&again, &first, &makes, None).unwrap();
    let text = fs::read_to_string(first.join(".venv/bin/flask")).unwrap();
    assert_eq!(text, format!("{} {}3/x", first.display(), second.display()));
}

#[test]
fn a_layer_that_was_written_to_is_refused() {
    let (_folder, first, second, layer) = trees();
    venv(&first);
    let makes = [".venv".to_owned()];
    save(&first, &makes, &layer, None).unwrap();
    fs::write(first.join(".venv/plain.py"), "x = 22222\n").unwrap();
    let error = restore(&layer, &second, &makes, None).unwrap_err();
    assert!(
        error.to_string().contains("plain.py was changed"),
        "{error}"
    );
    assert!(!second.join(".venv").exists());
}

#[test]
fn a_layer_that_leads_to_what_is_gone_is_refused() {
    let (folder, first, second, layer) = trees();
    let python = folder.path().join("python");
    fs::write(&python, "").unwrap();
    fs::create_dir(first.join(".venv")).unwrap();
    symlink(&python, first.join(".venv/python")).unwrap();
    let makes = [".venv".to_owned()];
    save(&first, &makes, &layer, None).unwrap();
    fs::remove_file(&python).unwrap();
    assert!(restore(&layer, &second, &makes, None).is_err());
}
