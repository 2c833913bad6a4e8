//! Gemfile.lock and gems.locked, Bundler's format: sections without indentation, gems at four blanks.

use super::{Contents, numbered};
use crate::ecosystem::Ecosystem;
use crate::located::SyntaxError;
use crate::package::{Origin, Package};

pub(super) fn read(text: &str) -> Result<Contents, SyntaxError> {
    let mut contents = Contents::default();
    let mut origin = None;
    let mut in_specs = false;
    for (line, text) in numbered(text) {
        let content = text.trim_end();
        if content.is_empty() {
            continue;
        }
        if content.starts_with("<<<<<<<") || content.starts_with(">>>>>>>") {
            return Err(SyntaxError::at_line(
                line,
                "the file holds an unresolved merge conflict",
            ));
        }
        if !content.starts_with(' ') {
            in_specs = false;
            origin = match content {
                "GEM" => Some(Origin::Registry),
                "GIT" => Some(Origin::Git),
                "PATH" => Some(Origin::Path),
                "PLUGIN SOURCE" => Some(Origin::Url),
                _ => None,
            };
            continue;
        }
        if content == "  specs:" {
            in_specs = true;
            continue;
        }
        let is_gem = content.starts_with("    ") && !content.starts_with("     ");
        let Some(origin) = origin.filter(|_| in_specs && is_gem) else {
            continue;
        };
        let Some((name, version)) = content
            .trim()
            .strip_suffix(')')
            .and_then(|gem| gem.split_once(" ("))
        else {
            return Err(SyntaxError::at_line(
                line,
                "expected a gem such as `name (1.0)`",
            ));
        };
        // A gem built for a platform carries it after the version.
        let version = version.split('-').next().unwrap_or(version);
        contents
            .packages
            .push(Package::new(Ecosystem::RubyGems, name, version, line).from(origin));
    }
    // Gems of several platforms appear once each, with one version.
    let mut seen = std::collections::HashSet::new();
    contents
        .packages
        .retain(|package| seen.insert((package.name.clone(), package.version.clone())));
    Ok(contents)
}
