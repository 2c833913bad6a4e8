//! yarn.lock: the first version's own format, and Berry's YAML.

use super::{Contents, npm, numbered};
use crate::ecosystem::Ecosystem;
use crate::located::{SyntaxError, yaml};
use crate::package::{Origin, Package};

pub(super) fn read(text: &str) -> Result<Contents, SyntaxError> {
    if text.lines().any(|line| line.starts_with("__metadata:")) {
        berry(text)
    } else {
        classic(text)
    }
}

fn berry(text: &str) -> Result<Contents, SyntaxError> {
    let document = yaml::parse(text)?;
    let mut contents = Contents::default();
    for entry in document
        .expect_map("yarn.lock")?
        .iter()
        .filter(|entry| entry.key != "__metadata")
    {
        entry.node.expect_map("an entry of yarn.lock")?;
        let (Some(version), Some(resolution)) =
            (entry.node.text("version"), entry.node.text("resolution"))
        else {
            return Err(SyntaxError::at_line(
                entry.line,
                "an entry needs `version` and `resolution`",
            ));
        };
        let (name, source) = split_descriptor(resolution);
        let origin = match source.split(':').next() {
            Some("npm" | "patch" | "virtual") => Origin::Registry,
            Some("workspace" | "link" | "portal" | "file") => Origin::Path,
            _ if source.contains("git") => Origin::Git,
            _ => Origin::Url,
        };
        contents
            .packages
            .push(Package::new(Ecosystem::Npm, name, version, entry.line).from(origin));
    }
    Ok(contents)
}

/// Splits `name@range`, where the name may have a scope.
fn split_descriptor(text: &str) -> (&str, &str) {
    let from = usize::from(text.starts_with('@'));
    match text.get(from..).and_then(|rest| rest.find('@')) {
        Some(at) => (&text[..from + at], &text[from + at + 1..]),
        None => (text, ""),
    }
}

fn classic(text: &str) -> Result<Contents, SyntaxError> {
    let mut contents = Contents::default();
    // The block under way: its line, its name, and what it has shown so far.
    let mut block: Option<(u32, String, Option<String>, Origin)> = None;
    let mut finish = |block: Option<(u32, String, Option<String>, Origin)>| match block {
        Some((line, name, Some(version), origin)) => {
            contents
                .packages
                .push(Package::new(Ecosystem::Npm, name, version, line).from(origin));
            Ok(())
        }
        Some((line, name, None, _)) => Err(SyntaxError::at_line(
            line,
            format!("the entry of `{name}` has no `version`"),
        )),
        None => Ok(()),
    };
    for (number, line) in numbered(text) {
        let content = line.trim_end();
        if content.trim_start().is_empty() || content.trim_start().starts_with('#') {
            continue;
        }
        let indent = content.len() - content.trim_start().len();
        let content = content.trim_start();
        if indent == 0 {
            finish(block.take())?;
            let Some(header) = content.strip_suffix(':') else {
                return Err(SyntaxError::at_line(
                    number,
                    "expected an entry such as `name@^1.0:`",
                ));
            };
            let first = header
                .split(',')
                .next()
                .unwrap_or_default()
                .trim()
                .trim_matches('"');
            let (name, range) = split_descriptor(first);
            if name.is_empty() || range.is_empty() && !first.contains('@') {
                return Err(SyntaxError::at_line(
                    number,
                    "expected an entry such as `name@^1.0:`",
                ));
            }
            // `alias@npm:real@^1.0` is installed under the alias and is the real package.
            let name = range
                .strip_prefix("npm:")
                .map(split_descriptor)
                .filter(|(real, _)| range.contains('@') && !real.is_empty())
                .map_or(name, |(real, _)| real);
            let origin = if range.starts_with("file:") || range.starts_with("link:") {
                Origin::Path
            } else {
                Origin::Registry
            };
            block = Some((number, name.to_owned(), None, origin));
        } else if indent == 2 {
            let Some((_, _, version, origin)) = &mut block else {
                return Err(SyntaxError::at_line(
                    number,
                    "this line belongs to no entry",
                ));
            };
            let mut words = content.splitn(2, ' ');
            let key = words.next().unwrap_or_default().trim_end_matches(':');
            let value = words.next().unwrap_or_default().trim().trim_matches('"');
            match key {
                "version" => *version = Some(value.to_owned()),
                "resolved" if *origin == Origin::Registry => *origin = npm::origin_of(value),
                _ => {}
            }
        } else if block.is_none() {
            return Err(SyntaxError::at_line(
                number,
                "this line belongs to no entry",
            ));
        }
    }
    finish(block)?;
    Ok(contents)
}
