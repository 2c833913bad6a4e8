//! What compilers do not check: who imports whom, how long files are, what they are called.
//!
//! (That docs/commands.md keeps up with the program's help is a test of the crate `launchway`, which has the help.)
//! Each check gives its faults as lines that name the place; nothing is changed.

mod files;
mod graph;

use std::path::Path;

/// The most packages that Cargo.lock may name.
const LOCK_BUDGET: usize = 450;

/// All faults of the repository.
///
/// # Errors
/// A file or the package graph cannot be read.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut faults = graph::check(root)?;
    faults.extend(files::check(root)?);
    faults.extend(lock(&std::fs::read_to_string(root.join("Cargo.lock"))?));
    Ok(faults)
}

/// The dependency tree: its size, and what may never be in it.
fn lock(text: &str) -> Vec<String> {
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("name = \""))
        .filter_map(|rest| rest.strip_suffix('"'))
        .collect();
    let mut faults = Vec::new();
    if names.len() > LOCK_BUDGET {
        faults.push(format!(
            "Cargo.lock: {} packages are over the budget of {LOCK_BUDGET}",
            names.len()
        ));
    }
    for name in names {
        if [
            "openssl",
            "openssl-sys",
            "native-tls",
            "aws-lc-rs",
            "aws-lc-sys",
        ]
        .contains(&name)
        {
            faults.push(format!(
                "Cargo.lock: `{name}` is in the dependency tree; TLS is rustls with ring"
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_tls_and_a_heavy_tree_are_faults() {
        let mut text = "[[package]]\nname = \"openssl-sys\"\nversion = \"1.0.0\"\n".to_owned();
        assert_eq!(lock(&text).len(), 1);
        for number in 0..LOCK_BUDGET {
            text.push_str(&format!("[[package]]\nname = \"crate-{number}\"\n"));
        }
        let faults = lock(&text);
        assert!(faults[0].contains("451 packages"), "{faults:?}");
    }
}
