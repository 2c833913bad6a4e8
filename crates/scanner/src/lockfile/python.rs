//! Python's lock files: poetry.lock, uv.lock, pdm.lock, pylock.toml (PEP 751) and Pipfile.lock.

use super::Contents;
use crate::ecosystem::Ecosystem;
use crate::located::{Node, SyntaxError, json, toml};
use crate::package::{Origin, Package, Unresolved};

/// Reads the tables of a TOML lock file; `describe` tells each package's origin and whether it is for development.
fn tables(
    text: &str,
    key: &str,
    describe: impl Fn(&Node<'_>) -> (Origin, bool),
) -> Result<Contents, SyntaxError> {
    let document = toml::parse(text)?;
    let mut contents = Contents::default();
    let Some(list) = document.get(key) else {
        return Ok(contents);
    };
    for table in list.expect_list(&format!("`{key}`"))? {
        let Some(name) = table.get("name").filter(|name| name.as_text().is_some()) else {
            return Err(SyntaxError::at_line(table.line, "a package has no `name`"));
        };
        let (origin, dev) = describe(table);
        let text = name.as_text().unwrap_or_default();
        match table.text("version") {
            Some(version) => contents.packages.push(
                Package::new(Ecosystem::PyPi, text, version, name.line)
                    .from(origin)
                    .dev(dev),
            ),
            // A local project may have a dynamic version; a registry package always has one.
            None if origin != Origin::Registry => {}
            None => contents.unresolved.push(Unresolved {
                ecosystem: Ecosystem::PyPi,
                name: text.to_owned(),
                requirement: "no version".to_owned(),
                line: name.line,
            }),
        }
    }
    Ok(contents)
}

pub(super) fn poetry(text: &str) -> Result<Contents, SyntaxError> {
    tables(text, "package", |table| {
        let origin = match table.get("source").and_then(|source| source.text("type")) {
            None | Some("legacy") => Origin::Registry,
            Some("git") => Origin::Git,
            Some("directory" | "file") => Origin::Path,
            Some(_) => Origin::Url,
        };
        let groups = table.get("groups").map(Node::items).unwrap_or_default();
        let dev_groups = !groups.is_empty()
            && groups
                .iter()
                .all(|group| group.as_text().is_some_and(|name| name != "main"));
        (origin, table.text("category") == Some("dev") || dev_groups)
    })
}

pub(super) fn uv(text: &str) -> Result<Contents, SyntaxError> {
    tables(text, "package", |table| {
        let source = table.get("source");
        let has = |key: &str| source.is_some_and(|source| source.get(key).is_some());
        let origin = if has("git") {
            Origin::Git
        } else if has("url") {
            Origin::Url
        } else if ["path", "directory", "editable", "virtual"]
            .into_iter()
            .any(has)
        {
            Origin::Path
        } else {
            Origin::Registry
        };
        (origin, false)
    })
}

pub(super) fn pdm(text: &str) -> Result<Contents, SyntaxError> {
    tables(text, "package", |table| {
        let groups = table.get("groups").map(Node::items).unwrap_or_default();
        let dev = !groups.is_empty()
            && groups
                .iter()
                .all(|group| group.as_text().is_some_and(|name| name != "default"));
        (
            by_keys(table, &["git", "hg", "svn"], &["path"], &["url"]),
            dev,
        )
    })
}

pub(super) fn pylock(text: &str) -> Result<Contents, SyntaxError> {
    tables(text, "packages", |table| {
        (
            by_keys(table, &["vcs"], &["directory"], &["archive"]),
            false,
        )
    })
}

fn by_keys(table: &Node<'_>, git: &[&str], path: &[&str], url: &[&str]) -> Origin {
    let has = |keys: &[&str]| keys.iter().any(|key| table.get(key).is_some());
    if has(git) {
        Origin::Git
    } else if has(path) {
        Origin::Path
    } else if has(url) {
        Origin::Url
    } else {
        Origin::Registry
    }
}

pub(super) fn pipfile(text: &str) -> Result<Contents, SyntaxError> {
    let document = json::parse(text)?;
    let mut contents = Contents::default();
    // Besides `default` and `develop`, Pipenv keeps other categories under their own names.
    for section in document
        .expect_map("Pipfile.lock")?
        .iter()
        .filter(|section| section.key != "_meta")
    {
        for entry in section.node.expect_map("a section of Pipfile.lock")? {
            let origin = by_keys(
                &entry.node,
                &["git", "hg", "svn", "ref"],
                &["path", "editable"],
                &["file"],
            );
            match entry.node.text("version") {
                Some(version) => {
                    let version = version.trim_start_matches('=').trim();
                    let package =
                        Package::new(Ecosystem::PyPi, entry.key.as_ref(), version, entry.line);
                    contents
                        .packages
                        .push(package.from(origin).dev(section.key == "develop"));
                }
                None => contents.unresolved.push(Unresolved {
                    ecosystem: Ecosystem::PyPi,
                    name: entry.key.to_string(),
                    requirement: format!("{origin:?}").to_ascii_lowercase(),
                    line: entry.line,
                }),
            }
        }
    }
    Ok(contents)
}
