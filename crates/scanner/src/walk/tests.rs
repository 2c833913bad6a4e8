use std::fs;

use super::*;

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn names(folder: &tempfile::TempDir, options: &WalkOptions) -> Vec<String> {
    let walked = find(folder.path(), options);
    assert_eq!(walked.problems, []);
    walked
        .files
        .iter()
        .map(|(path, _)| {
            path.strip_prefix(folder.path())
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

#[test]
fn ignore_rules_are_those_of_git() {
    let folder = tree(&[
        (
            ".gitignore",
            "/build/\n*.tmp\n!keep/requirements.txt\nvendor/*\n!vendor/mine/\n",
        ),
        ("requirements.txt", ""),
        ("build/requirements.txt", ""),
        ("sub/build/requirements.txt", ""),
        ("sub/.gitignore", "poetry.lock\n"),
        ("sub/poetry.lock", ""),
        ("sub/deep/poetry.lock", ""),
        ("poetry.lock", ""),
        ("vendor/theirs/Cargo.lock", ""),
        ("vendor/mine/Cargo.lock", ""),
        (".hidden/uv.lock", ""),
        (".git/uv.lock", ""),
    ]);
    assert_eq!(
        names(&folder, &WalkOptions::default()),
        [
            ".hidden/uv.lock",
            "poetry.lock",
            "requirements.txt",
            "sub/build/requirements.txt",
            "vendor/mine/Cargo.lock"
        ]
    );
    let all = names(
        &folder,
        &WalkOptions {
            no_ignore: true,
            ..WalkOptions::default()
        },
    );
    assert_eq!(all.len(), 9);
    assert!(!all.iter().any(|name| name.starts_with(".git/")));
}

#[test]
fn environments_are_left_out_unless_asked_for() {
    let folder = tree(&[
        ("package-lock.json", ""),
        ("node_modules/a/package.json", ""),
        ("node_modules/a/yarn.lock", ""),
        (".venv/pyvenv.cfg", ""),
        (
            ".venv/lib/python3/site-packages/flask-2.dist-info/METADATA",
            "",
        ),
        ("myenv/pyvenv.cfg", ""),
        ("myenv/requirements.txt", ""),
        ("environment/requirements.txt", ""),
    ]);
    assert_eq!(
        names(&folder, &WalkOptions::default()),
        ["environment/requirements.txt", "package-lock.json"]
    );
    let installed = names(
        &folder,
        &WalkOptions {
            installed: true,
            ..WalkOptions::default()
        },
    );
    assert!(
        installed
            .contains(&".venv/lib/python3/site-packages/flask-2.dist-info/METADATA".to_owned()),
        "{installed:?}"
    );
    assert!(installed.contains(&"node_modules/a/package.json".to_owned()));
    let named = find(&folder.path().join(".venv"), &WalkOptions::default());
    assert_eq!(named.files.len(), 1);
}

#[test]
fn a_complete_go_mod_makes_go_sum_redundant() {
    let folder = tree(&[
        ("new/go.mod", "module x\ngo 1.20\n"),
        ("new/go.sum", ""),
        ("old/go.mod", "module y\ngo 1.12\n"),
        ("old/go.sum", ""),
    ]);
    assert_eq!(
        names(&folder, &WalkOptions::default()),
        ["new/go.mod", "old/go.mod", "old/go.sum"]
    );
}

#[test]
fn a_named_file_is_taken_as_it_is() {
    let folder = tree(&[("old.Cargo.lock", ""), ("notes.md", "")]);
    assert_eq!(
        find(
            &folder.path().join("old.Cargo.lock"),
            &WalkOptions::default()
        )
        .files[0]
            .1,
        Kind::CargoLock
    );
    assert_eq!(
        find(&folder.path().join("notes.md"), &WalkOptions::default())
            .problems
            .len(),
        1
    );
}

#[cfg(unix)]
#[test]
fn links_count_where_they_lead_into_the_tree() {
    use std::os::unix::fs::symlink;
    let outside = tree(&[("Cargo.lock", ""), ("deep/uv.lock", "")]);
    let folder = tree(&[("locks/prod.txt", "")]);
    symlink("locks/prod.txt", folder.path().join("requirements.txt")).unwrap();
    symlink(
        outside.path().join("Cargo.lock"),
        folder.path().join("Cargo.lock"),
    )
    .unwrap();
    symlink(outside.path().join("deep"), folder.path().join("deep")).unwrap();
    symlink("nowhere", folder.path().join("poetry.lock")).unwrap();
    symlink(".", folder.path().join("loop")).unwrap();
    assert_eq!(
        names(&folder, &WalkOptions::default()),
        ["requirements.txt"]
    );
}

#[test]
fn patterns_leave_files_and_folders_out() {
    let folder = tree(&[
        ("requirements.txt", ""),
        ("tests/requirements.txt", ""),
        ("sub/tests/deep/poetry.lock", ""),
        ("sub/old.lock/Cargo.lock", ""),
        ("sub/uv.lock", ""),
    ]);
    let absolute = folder.path().canonicalize().unwrap().join("sub/uv.lock");
    let without = |patterns: &[&str]| {
        let options = WalkOptions {
            exclude: patterns.iter().map(|&p| p.to_owned()).collect(),
            ..WalkOptions::default()
        };
        names(&folder, &options)
    };
    assert_eq!(
        without(&["**/tests/**"]),
        ["requirements.txt", "sub/old.lock/Cargo.lock", "sub/uv.lock"]
    );
    assert_eq!(
        without(&["tests/", "*.lock"]),
        ["requirements.txt"],
        "a folder that is left out takes all that is in it along"
    );
    assert_eq!(
        without(&[absolute.to_str().unwrap(), "/tests"]),
        [
            "requirements.txt",
            "sub/old.lock/Cargo.lock",
            "sub/tests/deep/poetry.lock"
        ]
    );
    let wrong = excluded(folder.path(), &["a[".to_owned()]).unwrap_err();
    assert!(wrong.to_string().contains("`a[`"), "{wrong}");
}
