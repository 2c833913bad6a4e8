//! pnpm-lock.yaml, lock file versions 5 (`/name/1.0.0`), 6 (`/name@1.0.0`) and 9 (`name@1.0.0`).

use super::Contents;
use crate::ecosystem::Ecosystem;
use crate::located::{Node, SyntaxError, yaml};
use crate::package::{Origin, Package};

pub(super) fn read(text: &str) -> Result<Contents, SyntaxError> {
    let document = yaml::parse(text)?;
    let mut contents = Contents::default();
    document.expect_map("pnpm-lock.yaml")?;
    let version = document
        .text("lockfileVersion")
        .ok_or_else(|| SyntaxError::at_line(1, "the file has no `lockfileVersion`"))?;
    let by_slash = version.starts_with('5');
    let Some(packages) = document
        .get("packages")
        .filter(|packages| packages.value != crate::located::Value::Null)
    else {
        return Ok(contents);
    };
    for entry in packages.expect_map("`packages`")? {
        let resolution = entry.node.get("resolution");
        let tarball = resolution
            .and_then(|resolution| resolution.text("tarball"))
            .unwrap_or_default();
        let is_git = resolution.is_some_and(|resolution| resolution.text("type") == Some("git"));
        let (key_name, key_version) = split_key(&entry.key, by_slash);
        let name = entry.node.text("name").unwrap_or(key_name);
        let version = entry.node.text("version").unwrap_or(key_version);
        let origin = if is_git {
            Origin::Git
        } else if tarball.starts_with("file:")
            || key_version.starts_with("file:")
            || entry.key.starts_with("file:")
            || resolution.is_some_and(|r| r.text("type") == Some("directory"))
        {
            Origin::Path
        } else if tarball.starts_with("https://codeload.github.com/")
            || key_version.contains("://")
            || by_slash && !entry.key.starts_with('/')
        {
            Origin::Url
        } else {
            Origin::Registry
        };
        if name.is_empty() || version.is_empty() {
            // A key without a version names an archive or a folder; pnpm then writes both beside it.
            if origin == Origin::Registry {
                return Err(SyntaxError::at_line(
                    entry.line,
                    format!("`{}` names no package at a version", entry.key),
                ));
            }
            continue;
        }
        let dev = entry.node.get("dev").is_some_and(Node::is_true);
        contents.packages.push(
            Package::new(Ecosystem::Npm, name, version, entry.line)
                .from(origin)
                .dev(dev),
        );
    }
    Ok(contents)
}

/// Name and version of a key, without the peers that pnpm appends in brackets or after an underscore.
fn split_key(key: &str, by_slash: bool) -> (&str, &str) {
    let key = key.strip_prefix('/').unwrap_or(key);
    let key = key.split('(').next().unwrap_or_default();
    if by_slash {
        let (name, version) = key.rsplit_once('/').unwrap_or((key, ""));
        return (name, version.split('_').next().unwrap_or_default());
    }
    let from = usize::from(key.starts_with('@'));
    match key.get(from..).and_then(|rest| rest.find('@')) {
        Some(at) => (&key[..from + at], &key[from + at + 1..]),
        None => (key, ""),
    }
}
