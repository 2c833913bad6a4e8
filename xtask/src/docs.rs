//! docs/commands.md, made from the program's own help so that it cannot fall behind.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Writes it.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    let path = root.join("docs/commands.md");
    std::fs::create_dir_all(root.join("docs"))?;
    std::fs::write(&path, text(root)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// What it should hold now.
fn text(root: &Path) -> anyhow::Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root)
        .args([
            "run",
            "--quiet",
            "--locked",
            "--package",
            "launchway",
            "--",
            "command-reference",
        ])
        .env_remove("LAUNCHWAY_HOME")
        .output()
        .context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "launchway command-reference failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
