//! go.mod by the Go modules reference, and go.sum where go.mod is not enough.
//!
//! Replacements count: what is built is the replacement, and one by a local folder can't be matched.

use std::collections::BTreeMap;

use super::{Contents, numbered};
use crate::ecosystem::Ecosystem;
use crate::located::SyntaxError;
use crate::package::{Origin, Package};
use crate::version::compare;

/// A go.mod.
pub(super) struct Module {
    pub(super) contents: Contents,
    /// Whether it names every module of the build: Go 1.17 and later write indirect ones too.
    pub(super) is_complete: bool,
}

/// A replacement: the version it applies to if not all, and what stands in its place.
struct Replacement {
    of: Option<String>,
    path: String,
    version: Option<String>,
}

pub(super) fn read_mod(text: &str) -> Result<Module, SyntaxError> {
    let mut contents = Contents::default();
    let mut replacements: BTreeMap<String, Vec<Replacement>> = BTreeMap::new();
    let mut block: Option<(u32, String)> = None;
    let mut is_complete = false;
    for (line, text) in numbered(text) {
        let words = words(text).map_err(|message| SyntaxError::at_line(line, message))?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (verb, arguments) = match (&block, words.as_slice()) {
            (_, []) => continue,
            (Some(_), [")"]) => {
                block = None;
                continue;
            }
            (Some((_, verb)), arguments) => (verb.clone(), arguments),
            (None, [verb, "("]) => {
                block = Some((line, (*verb).to_owned()));
                continue;
            }
            (None, [verb, "(", ")"]) if !verb.is_empty() => continue,
            (None, [verb, arguments @ ..]) => ((*verb).to_owned(), arguments),
        };
        match (verb.as_str(), arguments) {
            ("require", [path, version, ..]) => {
                contents
                    .packages
                    .push(Package::new(Ecosystem::Go, *path, *version, line))
            }
            ("replace", [path, "=>", to]) => replacements
                .entry((*path).to_owned())
                .or_default()
                .push(Replacement {
                    of: None,
                    path: (*to).to_owned(),
                    version: None,
                }),
            ("replace", [path, "=>", to, version]) => {
                replacements
                    .entry((*path).to_owned())
                    .or_default()
                    .push(Replacement {
                        of: None,
                        path: (*to).to_owned(),
                        version: Some((*version).to_owned()),
                    });
            }
            ("replace", [path, of, "=>", to]) => {
                replacements
                    .entry((*path).to_owned())
                    .or_default()
                    .push(Replacement {
                        of: Some((*of).to_owned()),
                        path: (*to).to_owned(),
                        version: None,
                    });
            }
            ("replace", [path, of, "=>", to, version]) => {
                let version = Some((*version).to_owned());
                replacements
                    .entry((*path).to_owned())
                    .or_default()
                    .push(Replacement {
                        of: Some((*of).to_owned()),
                        path: (*to).to_owned(),
                        version,
                    });
            }
            ("go", [version]) => {
                is_complete = compare(Ecosystem::Go.scheme(), version, "1.17").is_ge();
            }
            // The toolchain's version is the standard library's.
            ("toolchain", [name]) => {
                if let Some(version) = name.strip_prefix("go") {
                    contents
                        .packages
                        .push(Package::new(Ecosystem::Go, "stdlib", version, line));
                }
            }
            ("module" | "exclude" | "retract" | "godebug" | "tool" | "ignore", _) => {}
            (verb, _) => {
                return Err(SyntaxError::at_line(
                    line,
                    format!("`{verb}` with these arguments is no directive of go.mod"),
                ));
            }
        }
    }
    if let Some((line, verb)) = block {
        return Err(SyntaxError::at_line(
            line,
            format!("the block of `{verb}` has no closing `)`"),
        ));
    }
    for package in &mut contents.packages {
        let Some(list) = replacements.get(&package.name) else {
            continue;
        };
        let exact = list
            .iter()
            .find(|replacement| replacement.of.as_deref() == Some(package.version.as_str()));
        if let Some(replacement) =
            exact.or_else(|| list.iter().find(|replacement| replacement.of.is_none()))
        {
            match &replacement.version {
                Some(version) => {
                    package.name.clone_from(&replacement.path);
                    package.version.clone_from(version);
                }
                None => package.origin = Origin::Path,
            }
        }
    }
    Ok(Module {
        contents,
        is_complete,
    })
}

/// Splits a line into words, with quoted ones, and without its comment.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() && !rest.starts_with("//") {
        let first = rest.as_bytes()[0];
        if first == b'"' || first == b'`' {
            let Some(end) = rest[1..].find(char::from(first)) else {
                return Err("this text has no closing quote".to_owned());
            };
            words.push(rest[1..=end].to_owned());
            rest = rest[end + 2..].trim_start();
            continue;
        }
        if first == b'(' || first == b')' {
            words.push(rest[..1].to_owned());
            rest = rest[1..].trim_start();
            continue;
        }
        let end = rest
            .find(|c: char| c.is_whitespace() || c == '(' || c == ')')
            .unwrap_or(rest.len());
        words.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    Ok(words)
}

/// Reads go.sum: of every module whose code was fetched, the highest version, which is what Go selects.
pub(super) fn read_sum(text: &str) -> Result<Contents, SyntaxError> {
    let mut highest: BTreeMap<&str, (&str, u32)> = BTreeMap::new();
    for (line, text) in numbered(text) {
        let mut words = text.split_whitespace();
        match (words.next(), words.next(), words.next(), words.next()) {
            (None, ..) => {}
            (Some(_), Some(version), Some(_), None) if version.ends_with("/go.mod") => {}
            (Some(module), Some(version), Some(hash), None) if hash.starts_with("h1:") => {
                let entry = highest.entry(module).or_insert((version, line));
                if compare(Ecosystem::Go.scheme(), version, entry.0).is_gt() {
                    *entry = (version, line);
                }
            }
            _ => {
                return Err(SyntaxError::at_line(
                    line,
                    "expected a module, a version and a hash",
                ));
            }
        }
    }
    let packages = highest
        .into_iter()
        .map(|(module, (version, line))| Package::new(Ecosystem::Go, module, version, line))
        .collect();
    Ok(Contents {
        packages,
        ..Contents::default()
    })
}
