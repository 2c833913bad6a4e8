//! A failed command as a problem that helps: which command, how it ended, its last lines, and what would mend it.

use std::ffi::OsStr;
use std::process::ExitStatus;
use std::sync::LazyLock;

use launchway_model::{Problem, suggest};
use regex::Regex;

use super::command::status_words;

/// What a shell says of a command that it does not find: dash's and bash's words, and env's.
static NOT_FOUND: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:^|: )(?:\d+: |line \d+: )?(?:exec: )?([^\s:]+): (?:command )?not found$|env: [‘'](\S+)[’']: No such file")
        .expect("the pattern is a constant that the tests compile")
});

/// The problem of a command that failed in a stage. `script` is shown in short.
pub(crate) fn of_command(
    stage: &str,
    script: &str,
    status: ExitStatus,
    tail: Vec<String>,
    path: &str,
) -> Problem {
    let shown = first_line(script);
    let message = format!("stage `{stage}`: `{shown}` {}", status_words(status));
    let mut problem = Problem::failed(message);
    // 127 is the shell's word for it, but a script in between may have made another number of it.
    let missing = (!status.success())
        .then(|| {
            tail.iter()
                .rev()
                .take(5)
                .find_map(|line| missing_command(line))
        })
        .flatten();
    if let Some(name) = missing {
        problem = problem
            .cause(not_found(&name, path))
            .hint(install_hint(&name));
    } else if let Some(hint) = hint(&tail) {
        problem = problem.hint(hint);
    }
    problem.output(tail)
}

/// The first line of a script that is a command, cut to a length that fits a message.
pub(crate) fn first_line(script: &str) -> String {
    let mut lines = script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("set "));
    let first = lines.next().unwrap_or_default();
    let more = lines.next().is_some();
    let cut: String = first.chars().take(100).collect();
    if more || cut.len() < first.len() {
        format!("{cut} …")
    } else {
        cut
    }
}

/// The name of the command that a shell did not find, if a line says so.
fn missing_command(line: &str) -> Option<String> {
    let found = NOT_FOUND.captures(line.trim_end())?;
    let name = found.get(1).or(found.get(2))?.as_str();
    Some(name.rsplit('/').next().unwrap_or(name).to_owned())
}

/// The missing name, and what the machine has that is near to it.
fn not_found(name: &str, path: &str) -> String {
    let near = near_commands(name, path);
    if near.is_empty() {
        format!("{name}: not found on this machine")
    } else {
        format!("{name}: not found; this machine has {}", near.join(", "))
    }
}

/// Commands with the same name but for a version (`python3.11` for `python3.9`), else the nearest one.
fn near_commands(name: &str, path: &str) -> Vec<String> {
    let stem = |name: &str| {
        name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-')
            .to_owned()
    };
    let mut names: Vec<String> = std::env::split_paths(OsStr::new(path))
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names.dedup();
    let mut same: Vec<String> = names
        .iter()
        .filter(|other| !stem(name).is_empty() && stem(other) == stem(name) && *other != name)
        .cloned()
        .collect();
    same.truncate(8);
    if same.is_empty() {
        same.extend(suggest::nearest(name, names.iter().map(String::as_str)).map(str::to_owned));
    }
    same
}

fn install_hint(name: &str) -> String {
    let package = match name {
        "npm" | "node" | "npx" => "nodejs npm",
        "python" | "python3" => "python3",
        "pip" | "pip3" => "python3-pip",
        "gcc" | "cc" | "make" | "g++" | "ld" => "build-essential",
        "cargo" | "rustc" => {
            return "Install Rust from https://rustup.rs, for the user that Launchway runs as."
                .to_owned();
        }
        "systemctl" | "journalctl" | "sudo" | "service" => {
            return "If the unit is this app, name it in `units = [\"NAME\"]` of launchway.toml or of the description outside the repository: then its restart is the deploy.".to_owned();
        }
        "uv" => return "Install uv, such as with `pip install uv`.".to_owned(),
        "pnpm" | "yarn" => return format!("Install it with `npm install --global {name}`."),
        "pytest" | "gunicorn" | "flask" | "uvicorn" => {
            return format!("Add `{name}` to requirements.txt.");
        }
        name if name.starts_with("python") => {
            return format!(
                "Install it, or say what it is called here: `aliases = {{ \"{name}\" = \"python3\" }}` in launchway.toml or in the description outside the repository."
            );
        }
        name => return format!("Install `{name}` on this machine, or change the command."),
    };
    format!("Install it with `apt-get install {package}`.")
}

/// What to do about failures that have a name of their own.
fn hint(tail: &[String]) -> Option<String> {
    let has = |text: &str| tail.iter().any(|line| line.contains(text));
    let hint = if has("System has not been booted with systemd") || has("Failed to connect to bus")
    {
        "If the unit is this app, name it in `units = [\"NAME\"]` of launchway.toml or of the description outside the repository: then its restart is the deploy."
    } else if has("No space left on device") {
        "The disk is full: `launchway doctor` says what takes the room."
    } else if has("ensurepip is not available") {
        "Install Python's virtual environments with `apt-get install python3-venv`."
    } else if has("can only install packages when your package.json and package-lock.json") {
        "Run `npm install` and commit the package-lock.json that it writes."
    } else if has("ERR_PNPM_OUTDATED_LOCKFILE") {
        "Run `pnpm install` and commit the pnpm-lock.yaml that it writes."
    } else if has("Could not find a version that satisfies the requirement")
        || has("No matching distribution found")
    {
        "Check the name and version in the requirements, and that the machine reaches the package registry."
    } else if has("Temporary failure in name resolution") || has("Could not resolve host") {
        "The machine does not reach the network that the command needs."
    } else if has("Permission denied") {
        "A file may lack its executable bit: `git update-index --chmod=+x FILE`."
    } else {
        return None;
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests;
