//! What is installed: Python's `*.dist-info` and `*.egg-info` metadata, and npm packages in `node_modules`.

use std::path::Path;

use super::{Contents, load, numbered};
use crate::ecosystem::Ecosystem;
use crate::located::{SyntaxError, json};
use crate::package::{Origin, Package};

/// Reads core metadata; the file `direct_url.json` beside it tells what did not come from an index (PEP 610).
pub(super) fn read_dist_info(text: &str, folder: Option<&Path>) -> Result<Contents, SyntaxError> {
    let (mut name, mut version) = (None, None);
    // The headers end at the first blank line; the description after it may hold anything.
    for (line, text) in numbered(text).take_while(|(_, text)| !text.trim().is_empty()) {
        if let Some(value) = text.strip_prefix("Name:") {
            name = Some(value.trim().to_owned());
        } else if let Some(value) = text.strip_prefix("Version:") {
            version = Some((value.trim().to_owned(), line));
        }
    }
    let (Some(name), Some((version, line))) = (name, version) else {
        return Err(SyntaxError::at_line(
            1,
            "the metadata needs `Name` and `Version`",
        ));
    };
    let origin = folder.map_or(Origin::Registry, |folder| {
        direct_origin(&folder.join("direct_url.json"))
    });
    Ok(Contents {
        packages: vec![Package::new(Ecosystem::PyPi, name, version, line).from(origin)],
        ..Contents::default()
    })
}

fn direct_origin(path: &Path) -> Origin {
    if !path.exists() {
        return Origin::Registry;
    }
    let Ok(text) = load(path) else {
        return Origin::Registry;
    };
    let Ok(node) = json::parse(&text) else {
        return Origin::Registry;
    };
    if node.get("vcs_info").is_some() {
        Origin::Git
    } else if node.get("dir_info").is_some() {
        Origin::Path
    } else {
        // A wheel from an address is still the registry's package of that name, as far as anybody can tell.
        Origin::Registry
    }
}

/// Reads the `package.json` of an installed package. One without name or version is a part of its package.
pub(super) fn read_node_module(text: &str) -> Result<Contents, SyntaxError> {
    let node = json::parse(text)?;
    node.expect_map("package.json")?;
    let mut contents = Contents::default();
    if let (Some(name), Some(version)) = (node.text("name"), node.get("version"))
        && let Some(text) = version.as_text()
    {
        contents
            .packages
            .push(Package::new(Ecosystem::Npm, name, text, version.line));
    }
    Ok(contents)
}
