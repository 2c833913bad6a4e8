//! Which packages a Python tree asks for.

use std::collections::BTreeSet;

use super::super::{Sight, quoted};

/// How deep `-r other.txt` is followed.
const MAX_DEPTH: u32 = 4;

/// The packages and the files that name them.
#[derive(Debug, Default)]
pub(super) struct Packages {
    /// The file that decides, for people.
    pub(super) file: String,
    /// All files that decide.
    pub(super) from: Vec<String>,
    /// Names in their normal form; one with extras is there with and without them.
    pub(super) names: BTreeSet<String>,
    /// The requirements of a pyproject.toml that cannot be installed by itself.
    requirements: Vec<String>,
    /// Whether the tree itself is a package that can be installed.
    installable: bool,
    /// The Python version that is asked for, such as `3.11`.
    pub(super) python: Option<String>,
}

impl Packages {
    /// What the tree asks for; `None` where it is not Python.
    pub(super) fn read(sight: &Sight<'_>) -> Option<Self> {
        let mut packages = Self::default();
        let project = sight.text("pyproject.toml");
        if let Some(text) = &project {
            packages.pyproject(text);
        }
        if sight.is_file("requirements.txt") {
            packages.file = "requirements.txt".to_owned();
            packages.requirements_file(sight, "requirements.txt", 0);
            packages.installable = false;
        } else if project.is_some() {
            packages.file = "pyproject.toml".to_owned();
            packages.from.push("pyproject.toml".to_owned());
            for lock in ["uv.lock", "poetry.lock"] {
                let usable = lock != "uv.lock" || sight.command("uv");
                if sight.is_file(lock) && usable {
                    packages.file = lock.to_owned();
                    packages.from.push(lock.to_owned());
                    break;
                }
            }
        } else if sight.is_file("setup.py") {
            packages.file = "setup.py".to_owned();
            packages.from.push("setup.py".to_owned());
            packages.installable = true;
        } else if sight.is_file("manage.py") {
            packages.file = "manage.py".to_owned();
            packages.requirements = vec!["django".to_owned()];
            packages.names.insert("django".to_owned());
        } else {
            return None;
        }
        packages.version(sight);
        Some(packages)
    }

    /// What comes after `pip install`.
    pub(super) fn pip_arguments(&self, added: &str) -> String {
        let what = if self.file == "requirements.txt" {
            "-r requirements.txt".to_owned()
        } else if self.installable {
            "-e .".to_owned()
        } else {
            let requirements: Vec<String> =
                self.requirements.iter().map(|name| quoted(name)).collect();
            requirements.join(" ")
        };
        format!("{what}{added}").trim().to_owned()
    }

    fn requirements_file(&mut self, sight: &Sight<'_>, file: &str, depth: u32) {
        let Some(text) = sight.text(file) else { return };
        self.from.push(file.to_owned());
        for line in text.lines() {
            let line = line.split(" #").next().unwrap_or_default().trim();
            let other = [
                "-r ",
                "--requirement ",
                "-c ",
                "--constraint ",
                "-r",
                "--requirement=",
            ]
            .iter()
            .find_map(|option| line.strip_prefix(option));
            if let Some(other) = other {
                let other = other.trim();
                let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
                let other = if folder.is_empty() {
                    other.to_owned()
                } else {
                    format!("{folder}/{other}")
                };
                let inside = crate::persist::is_inside(&other);
                if inside && depth < MAX_DEPTH && !self.from.contains(&other) {
                    self.requirements_file(sight, &other, depth + 1);
                }
            } else if !line.is_empty() && !line.starts_with(['#', '-']) {
                self.name(line);
            }
        }
    }

    fn pyproject(&mut self, text: &str) {
        let Ok(table) = text.parse::<toml::Table>() else {
            return;
        };
        self.installable = table.contains_key("build-system");
        let project = table.get("project");
        let texts = |value: Option<&toml::Value>| -> Vec<String> {
            value
                .and_then(toml::Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect()
        };
        let dependencies = texts(project.and_then(|project| project.get("dependencies")));
        for dependency in dependencies {
            self.name(&dependency);
            self.requirements.push(dependency);
        }
        let asked = project
            .and_then(|project| project.get("requires-python"))
            .and_then(toml::Value::as_str);
        // Only an exact series is an order; `>=3.9` is met by whatever there is.
        self.python = asked
            .and_then(|asked| asked.trim().strip_prefix("=="))
            .and_then(series);
        let poetry = table
            .get("tool")
            .and_then(|tool| tool.get("poetry"))
            .and_then(|poetry| poetry.get("dependencies"))
            .and_then(toml::Value::as_table);
        for name in poetry.into_iter().flat_map(toml::Table::keys) {
            if name != "python" {
                self.name(name);
                if project.is_none() {
                    self.requirements.push(name.clone());
                }
            }
        }
    }

    fn version(&mut self, sight: &Sight<'_>) {
        let file = sight
            .text(".python-version")
            .or_else(|| sight.text("runtime.txt"));
        let asked = file.and_then(|text| series(text.trim().trim_start_matches("python-")));
        self.python = asked.or(self.python.take());
    }

    fn name(&mut self, requirement: &str) {
        let end = requirement
            .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
            .unwrap_or(requirement.len());
        let name = normal(&requirement[..end]);
        let rest = requirement[end..].trim_start();
        if let Some(extras) = rest
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
        {
            for extra in extras.split(',') {
                self.names
                    .insert(format!("{name}[{}]", normal(extra.trim())));
            }
        }
        if !name.is_empty() {
            self.names.insert(name);
        }
    }
}

/// A package's name as PEP 503 has it.
fn normal(name: &str) -> String {
    let mut normal = String::new();
    for c in name.chars() {
        let c = c.to_ascii_lowercase();
        if !"-_.".contains(c) {
            normal.push(c);
        } else if !normal.ends_with('-') {
            normal.push('-');
        }
    }
    normal
}

/// The `3.11` of `3.11.4` or `3.11.*`.
fn series(version: &str) -> Option<String> {
    let mut parts = version.trim().split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    let number = |part: &str| {
        !part.is_empty() && part.len() < 4 && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    (number(major) && number(minor)).then(|| format!("{major}.{minor}"))
}
