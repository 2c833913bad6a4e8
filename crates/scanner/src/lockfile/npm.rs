//! package-lock.json and npm-shrinkwrap.json, lock file versions 1 to 3.

use super::Contents;
use crate::ecosystem::Ecosystem;
use crate::located::{Entry, Node, SyntaxError, json};
use crate::package::{Origin, Package};

pub(super) fn read(text: &str) -> Result<Contents, SyntaxError> {
    let document = json::parse(text)?;
    document.expect_map("package-lock.json")?;
    let mut contents = Contents::default();
    // Version 2 holds both forms; `packages` is the complete one.
    if let Some(packages) = document.get("packages") {
        for entry in packages.expect_map("`packages`")? {
            installed_at(entry, &mut contents);
        }
    } else if let Some(dependencies) = document.get("dependencies") {
        nested(dependencies, &mut contents)?;
    }
    Ok(contents)
}

/// A package of versions 2 and 3, under the path where it is installed.
fn installed_at(entry: &Entry<'_>, contents: &mut Contents) {
    let Some((_, folder)) = entry.key.rsplit_once("node_modules/") else {
        // The root and the workspaces are the project itself.
        return;
    };
    if entry.node.get("link").is_some_and(Node::is_true) {
        return;
    }
    // An alias is installed under its own name and says the real one.
    let name = entry.node.text("name").unwrap_or(folder);
    let Some(version) = entry.node.text("version") else {
        return;
    };
    let origin = origin_of(entry.node.text("resolved").unwrap_or_default());
    contents.packages.push(
        Package::new(Ecosystem::Npm, name, version, entry.line)
            .from(origin)
            .dev(is_dev(&entry.node)),
    );
}

/// Packages of version 1, which nest as `node_modules` does.
fn nested(dependencies: &Node<'_>, contents: &mut Contents) -> Result<(), SyntaxError> {
    for entry in dependencies.expect_map("`dependencies`")? {
        let written = entry.node.text("version").unwrap_or_default();
        let (name, version) = match written
            .strip_prefix("npm:")
            .and_then(|alias| alias.rsplit_once('@'))
        {
            Some((name, version)) => (name, version),
            None => (entry.key.as_ref(), written),
        };
        if !version.is_empty() {
            let origin = match origin_of(version) {
                Origin::Registry => origin_of(entry.node.text("resolved").unwrap_or_default()),
                other => other,
            };
            contents.packages.push(
                Package::new(Ecosystem::Npm, name, version, entry.line)
                    .from(origin)
                    .dev(is_dev(&entry.node)),
            );
        }
        if let Some(inner) = entry.node.get("dependencies") {
            nested(inner, contents)?;
        }
    }
    Ok(())
}

fn is_dev(node: &Node<'_>) -> bool {
    node.get("dev").is_some_and(Node::is_true)
}

/// Where npm took a package from, by the address that it resolved to. Registries serve archives over HTTP.
pub(super) fn origin_of(resolved: &str) -> Origin {
    if resolved.starts_with("git")
        || resolved.contains(".git#")
        || resolved.starts_with("bitbucket:")
        || resolved.starts_with("ssh:")
    {
        Origin::Git
    } else if resolved.starts_with("file:") || resolved.starts_with("link:") {
        Origin::Path
    } else if resolved.starts_with("https://codeload.github.com/") {
        Origin::Url
    } else {
        Origin::Registry
    }
}
