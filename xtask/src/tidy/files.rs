//! How source files look: their length, their names, their first line.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The most lines of a source file.
const MAX_LINES: usize = 700;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = [
    "util", "utils", "common", "helper", "helpers", "manager", "managers", "misc",
];

/// The faults of all Rust sources.
pub(super) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut folders: Vec<PathBuf> = ["crates", "e2e", "bench", "xtask"]
        .iter()
        .map(|folder| root.join(folder))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)
            .with_context(|| format!("cannot read {}", folder.display()))?
        {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    faults.extend(bad_name(&path, root));
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                faults.extend(bad_name(&path, root));
                faults.extend(
                    source(&text, name == "tests.rs")
                        .into_iter()
                        .map(|fault| format!("{}: {fault}", shown(&path, root))),
                );
            }
        }
    }
    faults.sort();
    Ok(faults)
}

fn shown(path: &Path, root: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .display()
        .to_string()
}

fn bad_name(path: &Path, root: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    EMPTY_NAMES
        .iter()
        .find(|name| stem.split(['_', '-']).any(|word| word == **name))
        .map(|name| {
            format!(
                "{}: `{name}` says nothing about what is inside",
                shown(path, root)
            )
        })
}

/// The faults of one file's text. Unit tests stand beside what they test, and need not say why they exist.
fn source(text: &str, tests: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        faults.push(format!("{lines} lines; a file has at most {MAX_LINES}"));
    }
    if !tests && !text.starts_with("//!") {
        faults.push("does not open with `//!`: why does this file exist?".to_owned());
    }
    for (number, line) in text.lines().enumerate() {
        for word in unfinished() {
            if line.contains(&word) {
                faults.push(format!("line {}: `{word}` is left", number + 1));
            }
        }
    }
    faults
}

/// Marks of unfinished work, put together here so that this file does not hold them.
fn unfinished() -> [String; 4] {
    [
        ["to", "do!("],
        ["unimpl", "emented!("],
        ["TO", "DO"],
        ["FIX", "ME"],
    ]
    .map(|parts| parts.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_bare_or_unfinished_file_is_a_fault() {
        assert!(source("//! Why.\nfn a() {}\n", false).is_empty());
        assert!(source("fn a() {}\n", false)[0].contains("//!"));
        assert!(source(&format!("//! Why.\n{}", "\n".repeat(700)), false)[0].contains("701 lines"));
        let left = format!("//! Why.\nfn a() {{ {}) }}\n", unfinished()[0]);
        assert!(source(&left, true)[0].contains("line 2"));
    }

    #[test]
    fn a_name_must_say_something() {
        let root = Path::new("/r");
        assert!(bad_name(Path::new("/r/crates/a/src/string_utils.rs"), root).is_some());
        assert!(bad_name(Path::new("/r/crates/a/src/common"), root).is_some());
        assert!(bad_name(Path::new("/r/crates/a/src/commands.rs"), root).is_none());
    }
}
