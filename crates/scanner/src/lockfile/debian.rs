//! dpkg's status file, as an image or a machine holds it, and the one-package files of distroless images.
//!
//! Advisories speak of source packages, so each binary package counts as its source, once.

use std::collections::HashSet;
use std::path::Path;

use super::{Contents, load, numbered};
use crate::ecosystem::Ecosystem;
use crate::located::SyntaxError;
use crate::package::Package;

/// The release of the system that a status file belongs to, by the `os-release` of the same tree.
pub(super) fn release_beside(status: &Path) -> String {
    // .../var/lib/dpkg/status, or .../var/lib/dpkg/status.d/name.
    let up = if status
        .parent()
        .is_some_and(|parent| parent.ends_with("status.d"))
    {
        5
    } else {
        4
    };
    let Some(system) = status.ancestors().nth(up) else {
        return String::new();
    };
    let release = ["etc/os-release", "usr/lib/os-release"]
        .iter()
        .find_map(|file| load(&system.join(file)).ok());
    let release = release.unwrap_or_default();
    let field = |name: &str| {
        let line = release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default()
            .trim_matches(['"', '\''])
            .to_owned()
    };
    if field("ID") == "debian" {
        field("VERSION_ID")
    } else {
        String::new()
    }
}

pub(super) fn read(text: &str, release: &str) -> Result<Contents, SyntaxError> {
    let ecosystem = Ecosystem::Debian(release.to_owned());
    let mut contents = Contents::default();
    let mut seen = HashSet::new();
    let mut stanza = Stanza::default();
    for (line, text) in numbered(text).chain(std::iter::once((0, ""))) {
        if text.trim().is_empty() {
            let finished = std::mem::take(&mut stanza);
            if let Some((name, version, line)) = finished.source()?
                && seen.insert((name.clone(), version.clone()))
            {
                contents
                    .packages
                    .push(Package::new(ecosystem.clone(), name, version, line));
            }
            continue;
        }
        // Continuation lines belong to fields that don't matter here.
        if text.starts_with([' ', '\t']) {
            continue;
        }
        let Some((field, value)) = text.split_once(':') else {
            return Err(SyntaxError::at_line(line, "expected `Field: value`"));
        };
        stanza.lines.get_or_insert(line);
        let value = value.trim();
        match field {
            "Package" => {
                stanza.package = value.to_owned();
                stanza.lines = Some(line);
            }
            "Version" => stanza.version = value.to_owned(),
            "Source" => stanza.source = value.to_owned(),
            "Status" => stanza.removed = !value.ends_with(" installed"),
            _ => {}
        }
    }
    Ok(contents)
}

#[derive(Default)]
struct Stanza {
    lines: Option<u32>,
    package: String,
    version: String,
    source: String,
    removed: bool,
}

impl Stanza {
    /// Name, version and line of the source package, if this describes an installed one.
    fn source(self) -> Result<Option<(String, String, u32)>, SyntaxError> {
        let Some(line) = self.lines.filter(|_| !self.removed) else {
            return Ok(None);
        };
        if self.package.is_empty() || self.version.is_empty() {
            return Err(SyntaxError::at_line(
                line,
                "a package needs the fields `Package` and `Version`",
            ));
        }
        // `Source: glibc (2.36-9)` where the source's version differs from the binary's.
        let (name, version) = match self.source.split_once(" (") {
            Some((name, version)) => (name.to_owned(), version.trim_end_matches(')').to_owned()),
            None if self.source.is_empty() => (self.package, self.version),
            None => (self.source, self.version),
        };
        Ok(Some((name, version, line)))
    }
}
