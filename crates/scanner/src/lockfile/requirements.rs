//! pip's requirements files, by pip's "Requirements File Format" and PEP 508.
//!
//! Read are pins (`==` and `===`), extras, markers, hashes, `-r`, `-c`, `-e`, index options, comments and line
//! continuations. Markers are not evaluated: a pin counts whatever the machine, since the scan may run on
//! another one. A requirement without an exact version takes it from a constraint where one names it.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use super::{Contents, FileContents, load};
use crate::ecosystem::Ecosystem;
use crate::located::SyntaxError;
use crate::package::{Origin, Package, Unresolved};

/// How deep includes may lead.
const MAX_INCLUDES: usize = 50;

/// One requirements file by itself.
#[derive(Debug, Default)]
pub struct Requirements {
    /// What it names.
    pub contents: Contents,
    /// Files it includes: path as written, line, and whether as constraints.
    pub includes: Vec<(String, u32, bool)>,
}

/// Options that take a value and say nothing about packages.
const VALUE_OPTIONS: [&str; 20] = [
    "-i",
    "--index-url",
    "--pypi-url",
    "--extra-index-url",
    "-f",
    "--find-links",
    "--no-binary",
    "--only-binary",
    "--trusted-host",
    "--use-feature",
    "--hash",
    "--global-option",
    "--config-settings",
    "-C",
    "--install-option",
    "--build-option",
    "--progress-bar",
    "--proxy",
    "--timeout",
    "--cert",
];

/// Options that stand alone.
const FLAGS: [&str; 9] = [
    "--no-index",
    "--pre",
    "--prefer-binary",
    "--require-hashes",
    "--no-deps",
    "--no-build-isolation",
    "--use-pep517",
    "--no-use-pep517",
    "--upgrade",
];

/// Reads a requirements file and everything it includes, each file once.
pub fn read(path: &Path, root: &Path) -> Vec<FileContents> {
    let mut reader = Includes {
        root,
        stack: Vec::new(),
        done: Vec::new(),
        constraints: HashMap::new(),
    };
    reader.file(path, false);
    let constraints = reader.constraints;
    for (_, contents) in &mut reader.done {
        resolve(contents, &constraints);
    }
    reader.done
}

struct Includes<'a> {
    root: &'a Path,
    stack: Vec<PathBuf>,
    done: Vec<FileContents>,
    constraints: HashMap<String, String>,
}

impl Includes<'_> {
    fn file(&mut self, path: &Path, as_constraints: bool) {
        let mut found = match load(path) {
            Ok(text) => parse(&text),
            Err(error) => Requirements {
                contents: Contents {
                    problems: vec![error],
                    ..Contents::default()
                },
                includes: Vec::new(),
            },
        };
        self.stack.push(plain(path));
        for (written, line, constraints) in std::mem::take(&mut found.includes) {
            if let Err(message) = self.include(path, &written, constraints || as_constraints) {
                found
                    .contents
                    .problems
                    .push(SyntaxError::at_line(line, message));
            }
        }
        self.stack.pop();
        if as_constraints {
            for package in std::mem::take(&mut found.contents.packages) {
                self.constraints.insert(
                    Ecosystem::PyPi.normalize(&package.name).into_owned(),
                    package.version,
                );
            }
            found.contents.unresolved.clear();
        }
        self.done.push((path.to_owned(), found.contents));
    }

    fn include(&mut self, from: &Path, written: &str, as_constraints: bool) -> Result<(), String> {
        if written.contains("://") {
            return Err(format!(
                "`{written}` is an address; only local files are read"
            ));
        }
        let target = plain(&from.parent().unwrap_or(Path::new("")).join(written));
        if self.stack.contains(&target) {
            return Err(format!(
                "`{written}` includes itself; take this line out to break the circle"
            ));
        }
        if self.stack.len() >= MAX_INCLUDES {
            return Err(format!(
                "`{written}` is included more than {MAX_INCLUDES} files deep"
            ));
        }
        if !target.starts_with(plain(self.root)) {
            return Err(format!(
                "`{written}` lies outside of the scanned folder and isn't read"
            ));
        }
        if self.done.iter().any(|(path, _)| plain(path) == target) {
            return Ok(());
        }
        if !target.is_file() {
            return Err(format!("the included file `{written}` doesn't exist"));
        }
        self.file(&target, as_constraints);
        Ok(())
    }
}

/// A path without `.` and `..`, by its text alone, so that a file is known by one name.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// Gives open requirements the versions that constraints pin.
fn resolve(contents: &mut Contents, constraints: &HashMap<String, String>) {
    let packages = &mut contents.packages;
    contents.unresolved.retain(|open| {
        match constraints.get(Ecosystem::PyPi.normalize(&open.name).as_ref()) {
            Some(version) => {
                packages.push(Package::new(
                    Ecosystem::PyPi,
                    &open.name,
                    version,
                    open.line,
                ));
                false
            }
            None => true,
        }
    });
}

/// Reads one file's text.
pub fn parse(text: &str) -> Requirements {
    let mut found = Requirements::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, logical) in logical_lines(text) {
        let content = without_comment(&logical).trim();
        if content.is_empty() {
            continue;
        }
        let result = if content.starts_with('-') {
            option(content, line, &mut found)
        } else {
            requirement(content, line, &mut found.contents)
        };
        if let Err(message) = result {
            found
                .contents
                .problems
                .push(SyntaxError::at_line(line, message));
        }
    }
    found
}

/// Joins continued lines; each keeps the number of its first.
fn logical_lines(text: &str) -> Vec<(u32, String)> {
    let mut lines: Vec<(u32, String)> = Vec::new();
    let mut continues = false;
    for (number, line) in super::numbered(text) {
        // As pip has it, a comment is never continued: its last backslash hides no requirement.
        let is_comment = line.trim_start().starts_with('#');
        let (body, more) = match line.strip_suffix('\\').filter(|_| !is_comment) {
            Some(body) => (body, true),
            None => (line, false),
        };
        match lines.last_mut().filter(|_| continues) {
            Some((_, joined)) => {
                joined.push(' ');
                joined.push_str(body.trim_start());
            }
            None => lines.push((number, body.to_owned())),
        }
        continues = more;
    }
    lines
}

/// A comment begins at `#` at the start or after a blank, so that `#egg=` in an address stays.
fn without_comment(line: &str) -> &str {
    let mut before = b' ';
    for (at, byte) in line.bytes().enumerate() {
        if byte == b'#' && before.is_ascii_whitespace() {
            return &line[..at];
        }
        before = byte;
    }
    line
}

fn option(content: &str, line: u32, found: &mut Requirements) -> Result<(), String> {
    let split = content
        .find(|c: char| c == '=' || c.is_whitespace())
        .unwrap_or(content.len());
    let (mut name, mut value) = (
        &content[..split],
        content[split..].trim_start_matches('=').trim(),
    );
    // `-rbase.txt` is written without a blank as well.
    if !name.starts_with("--") && name.len() > 2 && name.is_char_boundary(2) {
        value = content[2..].trim();
        name = &name[..2];
    }
    let value = value.trim_matches(['"', '\'']);
    match name {
        "-r" | "--requirement" => found.includes.push((value.to_owned(), line, false)),
        "-c" | "--constraint" => found.includes.push((value.to_owned(), line, true)),
        "-e" | "--editable" => {
            let name = value.split_once("#egg=").map_or(value, |(_, egg)| {
                egg.split(['&', '[']).next().unwrap_or(egg)
            });
            found.contents.unresolved.push(open(name, "editable", line));
        }
        name if VALUE_OPTIONS.contains(&name) || FLAGS.contains(&name) => {}
        other => return Err(format!("`{other}` is no option of a requirements file")),
    }
    Ok(())
}

fn open(name: &str, requirement: &str, line: u32) -> Unresolved {
    Unresolved {
        ecosystem: Ecosystem::PyPi,
        name: name.to_owned(),
        requirement: requirement.to_owned(),
        line,
    }
}

fn requirement(content: &str, line: u32, contents: &mut Contents) -> Result<(), String> {
    if content.contains('\0') {
        return Err("the line holds a null character".to_owned());
    }
    // Per-requirement options follow after a blank.
    let body = content
        .find(" -")
        .map_or(content, |at| &content[..at])
        .trim();
    if let Some(wheel) = wheel(body) {
        contents
            .packages
            .push(Package::new(Ecosystem::PyPi, wheel.0, wheel.1, line).from(Origin::Path));
        return Ok(());
    }
    let is_address = body.contains("://") && !body.contains('@')
        || body.starts_with(['.', '/'])
        || body.starts_with("git+")
        || body.starts_with("file:");
    if is_address {
        let name = body.split_once("#egg=").map_or(body, |(_, egg)| egg);
        contents.unresolved.push(open(name, body, line));
        return Ok(());
    }
    let body = body.split(';').next().unwrap_or_default().trim();
    let name_end = body
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .unwrap_or(body.len());
    let (name, mut rest) = (&body[..name_end], body[name_end..].trim_start());
    let edges = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if !edges(name.chars().next()) || !edges(name.chars().last()) {
        return Err(format!(
            "expected a requirement such as `name==1.0`, found `{}`",
            shorten(content)
        ));
    }
    if let Some(extras) = rest.strip_prefix('[') {
        let Some(end) = extras.find(']') else {
            return Err("the extras have no closing `]`".to_owned());
        };
        rest = extras[end + 1..].trim_start();
    }
    if let Some(address) = rest.strip_prefix('@') {
        contents
            .unresolved
            .push(open(name, &format!("@ {}", address.trim()), line));
        return Ok(());
    }
    let specifiers = rest
        .strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'))
        .unwrap_or(rest);
    let mut pinned = None;
    for specifier in specifiers
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let split = specifier
            .find(|c: char| !matches!(c, '<' | '>' | '=' | '!' | '~'))
            .unwrap_or(specifier.len());
        let (operator, version) = (&specifier[..split], specifier[split..].trim());
        let version_fits = !version.is_empty() && !version.contains(char::is_whitespace);
        match operator {
            "===" if version_fits => pinned = Some(version),
            "==" if version_fits && version.ends_with(".*") => {}
            "==" if version_fits => {
                if pep440_rs::Version::from_str(version).is_err() {
                    return Err(format!(
                        "`{}` is no version by PEP 440; use `===` to pin it as it is",
                        shorten(version)
                    ));
                }
                pinned = Some(version);
            }
            "<" | "<=" | ">" | ">=" | "!=" | "~=" if version_fits => {}
            _ => {
                return Err(format!(
                    "expected a specifier such as `==1.0`, found `{}`",
                    shorten(specifier)
                ));
            }
        }
    }
    match pinned {
        Some(version) => contents
            .packages
            .push(Package::new(Ecosystem::PyPi, name, version, line)),
        None => contents.unresolved.push(open(
            name,
            if specifiers.is_empty() {
                "any version"
            } else {
                specifiers
            },
            line,
        )),
    }
    Ok(())
}

/// Name and version of a wheel or source archive that is named by its path or address.
fn wheel(body: &str) -> Option<(String, String)> {
    let body = body.split(['#', ';', ' ']).next()?;
    let file = body.rsplit('/').next()?;
    let stem = file.strip_suffix(".whl")?;
    let mut parts = stem.split('-');
    let (name, version) = (parts.next()?, parts.next()?);
    (parts.count() >= 3 && !name.is_empty()).then(|| (name.to_owned(), version.to_owned()))
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
