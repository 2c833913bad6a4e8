//! RustSec's own form of an advisory: Markdown that begins with a block of TOML, as a checkout of its database has it.
//!
//! RustSec states which versions are safe (patched or never affected), as requirements; OSV states which are affected.
//! The affected ranges are what the safe requirements leave open.

use std::cmp::Ordering;

use super::{Affected, Event, Informational, Range, Record, seconds, shorten_summary};
use crate::ecosystem::{Ecosystem, Scheme};
use crate::located::{Node, SyntaxError, toml};
use crate::version::compare;

/// Reads an advisory.
pub(super) fn parse(text: &str) -> Result<Record, SyntaxError> {
    let missing = || {
        SyntaxError::at_line(
            1,
            "the advisory must begin with a block of TOML between ```toml and ```",
        )
    };
    let body = text
        .trim_start()
        .strip_prefix("```toml")
        .ok_or_else(missing)?;
    let (front, rest) = body.split_once("\n```").ok_or_else(missing)?;
    let document = toml::parse(front)?;
    let advisory = document
        .get("advisory")
        .ok_or_else(|| SyntaxError::at_line(1, "the advisory has no `[advisory]`"))?;
    let need = |key: &str| {
        advisory.text(key).ok_or_else(|| {
            SyntaxError::at_line(advisory.line, format!("the advisory has no `{key}`"))
        })
    };
    let id = need("id")?;
    if !super::is_id(id) {
        return Err(SyntaxError::at_line(
            advisory.line,
            "`id` is no id of an advisory",
        ));
    }
    let date = need("date")?;
    let date =
        seconds(date).ok_or_else(|| SyntaxError::at_line(advisory.line, "`date` is no date"))?;
    let versions = document.get("versions");
    let mut safe = Vec::new();
    for key in ["patched", "unaffected"] {
        for requirement in versions
            .and_then(|versions| versions.get(key))
            .map_or(&[][..], Node::items)
        {
            let text = requirement.as_text().unwrap_or_default();
            let span = span(text).ok_or_else(|| {
                SyntaxError::at_line(
                    requirement.line,
                    format!("`{text}` is no requirement of versions"),
                )
            })?;
            safe.push(span);
        }
    }
    let title = rest
        .lines()
        .find_map(|line| line.strip_prefix("# "))
        .unwrap_or_default();
    let url = advisory
        .text("url")
        .filter(|url| url.starts_with("https://") || url.starts_with("http://"));
    Ok(Record {
        id: id.to_owned(),
        aliases: super::texts(advisory.get("aliases"))
            .filter(|alias| super::is_id(alias))
            .map(str::to_owned)
            .collect(),
        summary: shorten_summary(title),
        published: Some(date),
        modified: date,
        withdrawn: advisory.get("withdrawn").is_some(),
        vectors: advisory
            .text("cvss")
            .map(str::to_owned)
            .into_iter()
            .collect(),
        level: None,
        cwes: Vec::new(),
        url: Some(url.map_or_else(
            || format!("https://rustsec.org/advisories/{id}.html"),
            str::to_owned,
        )),
        affected: vec![Affected {
            ecosystem: Ecosystem::CratesIo,
            name: need("package")?.to_owned(),
            ranges: vec![affected(safe)],
            versions: Vec::new(),
            informational: advisory.text("informational").map(Informational::from_text),
            has_git_ranges: false,
        }],
        unknown_ecosystems: Vec::new(),
    })
}

/// Versions from one on (or from the first) to before another (or without end).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    from: Option<String>,
    to: Option<String>,
}

fn order(left: &str, right: &str) -> Ordering {
    compare(Scheme::SemVer, left, right)
}

/// What a requirement such as `>= 1.2, < 2` allows.
fn span(requirement: &str) -> Option<Span> {
    let mut span = Span {
        from: None,
        to: None,
    };
    for part in requirement.split(',').map(str::trim) {
        let split = part.find(|c: char| !matches!(c, '<' | '>' | '=' | '^' | '~'))?;
        let (operator, version) = (&part[..split], part[split..].trim());
        if version == "*" {
            continue;
        }
        let (from, to) = match operator {
            ">=" => (Some(full(version)?), None),
            ">" => (Some(after(version)?), None),
            "<" => (None, Some(full(version)?)),
            "<=" => (None, Some(after(version)?)),
            "=" => (Some(full(version)?), Some(after(version)?)),
            "" | "^" => (Some(full(version)?), Some(next(version, true)?)),
            "~" => (Some(full(version)?), Some(next(version, false)?)),
            _ => return None,
        };
        // Several parts hold together.
        if let Some(from) = from.filter(|from| {
            span.from
                .as_ref()
                .is_none_or(|old| order(old, from).is_lt())
        }) {
            span.from = Some(from);
        }
        if let Some(to) = to.filter(|to| span.to.as_ref().is_none_or(|old| order(to, old).is_lt()))
        {
            span.to = Some(to);
        }
    }
    Some(span)
}

/// The numbers of a version, as many as are written, and whether it names a pre-release.
fn numbers(version: &str) -> Option<(Vec<u64>, bool)> {
    let core = version.split(['-', '+']).next()?;
    let numbers: Option<Vec<u64>> = core.split('.').map(|part| part.parse().ok()).collect();
    let numbers = numbers.filter(|numbers| (1..=3).contains(&numbers.len()))?;
    Some((numbers, version.split('+').next()?.contains('-')))
}

/// A version with all three numbers.
fn full(version: &str) -> Option<String> {
    let (mut numbers, has_label) = numbers(version)?;
    let written = numbers.len();
    numbers.resize(3, 0);
    let label = version
        .find('-')
        .filter(|_| has_label && written == 3)
        .map_or("", |at| &version[at..]);
    Some(format!(
        "{}.{}.{}{label}",
        numbers[0], numbers[1], numbers[2]
    ))
}

/// The smallest version above all that a written one covers: above `1.2.3` that is `1.2.4-0`, above `1.2` it is `1.3.0-0`.
fn after(version: &str) -> Option<String> {
    let (mut numbers, has_label) = numbers(version)?;
    if has_label {
        return Some(format!("{}.0", full(version)?));
    }
    let last = numbers.last_mut()?;
    *last = last.checked_add(1)?;
    numbers.resize(3, 0);
    Some(format!("{}.{}.{}-0", numbers[0], numbers[1], numbers[2]))
}

/// The first version that a caret or tilde requirement no longer allows.
fn next(version: &str, caret: bool) -> Option<String> {
    let (mut numbers, _) = numbers(version)?;
    let written = numbers.len();
    numbers.resize(3, 0);
    let place = if caret {
        // The first number that isn't zero, or the last one written.
        numbers
            .iter()
            .position(|number| *number > 0)
            .unwrap_or(written - 1)
            .min(2)
    } else {
        usize::from(written > 1)
    };
    numbers[place] = numbers[place].checked_add(1)?;
    numbers[place + 1..].fill(0);
    // Pre-releases of the next version are no longer allowed either.
    Some(format!("{}.{}.{}-0", numbers[0], numbers[1], numbers[2]))
}

/// What safe spans leave open, as OSV's events.
fn affected(mut safe: Vec<Span>) -> Range {
    safe.sort_by(|left, right| match (&left.from, &right.from) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(left), Some(right)) => order(left, right),
    });
    let mut events = Vec::new();
    // Where the part begins that no span has covered so far; `None` once a span has no end.
    let mut open = Some("0".to_owned());
    for span in safe {
        let Some(start) = open.clone() else { break };
        let begins_later = match &span.from {
            None => false,
            Some(from) => start == "0" || order(from, &start).is_gt(),
        };
        if let Some(from) = span.from.filter(|_| begins_later) {
            events.push(Event::Introduced(start.clone()));
            events.push(Event::Fixed(from));
        }
        open = match span.to {
            None => None,
            Some(to) if start == "0" || order(&to, &start).is_gt() => Some(to),
            Some(_) => Some(start),
        };
    }
    events.extend(open.map(Event::Introduced));
    Range { events }
}

#[cfg(test)]
mod tests;
