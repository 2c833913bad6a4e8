//! Does an advisory affect this version? OSV's evaluation rules, and the smallest version that mends.
//!
//! A version is affected if a record lists it **or** one of its ranges covers it; real records need both
//! (some list versions that their ranges miss). This module knows one package at a time; merging aliases into
//! findings is [`crate::finding`]'s work.

use std::cmp::Ordering;

use crate::ecosystem::{Ecosystem, Scheme};
use crate::error::ScanError;
use crate::index::{AffectedEntry, EventKind, Index, PackageData};
use crate::version::{Version, canonical};

/// What the index says of one package at one version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matched {
    /// The entries that affect it, in the order of their records.
    pub hits: Vec<Hit>,
    /// The smallest version above this one that no advisory affects, where one is known.
    pub upgrade: Option<String>,
}

/// One advisory that affects the version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The entry, with the record's number.
    pub entry: AffectedEntry,
    /// The smallest version above this one that this advisory doesn't affect.
    pub fixed: Option<String>,
}

/// Matches one package at one version.
///
/// # Errors
/// Where the index is damaged.
pub fn match_package(
    index: &Index,
    ecosystem: &Ecosystem,
    name: &str,
    version: &str,
) -> Result<Matched, ScanError> {
    let Some(data) = index.package(ecosystem, &ecosystem.normalize(name))? else {
        return Ok(Matched::default());
    };
    let package = Package {
        scheme: ecosystem.scheme(),
        data: &data,
    };
    let target = package.span(version);
    let hits: Vec<Hit> = data
        .entries
        .iter()
        .filter(|entry| package.affects(entry, target))
        .map(|entry| Hit {
            entry: entry.clone(),
            fixed: package.mend(target, &[entry], std::slice::from_ref(entry)),
        })
        .collect();
    if hits.is_empty() {
        return Ok(Matched::default());
    }
    // Best is a version free of every advisory of the package, warnings too; else one free of its vulnerabilities;
    // else one free of those at hand. Any version that some advisory calls fixed is a real one.
    let all: Vec<&AffectedEntry> = data.entries.iter().collect();
    let vulnerabilities = |entry: &&AffectedEntry| entry.informational.is_none();
    let grave: Vec<AffectedEntry> = data
        .entries
        .iter()
        .filter(vulnerabilities)
        .cloned()
        .collect();
    let own: Vec<AffectedEntry> = hits
        .iter()
        .map(|hit| &hit.entry)
        .filter(vulnerabilities)
        .cloned()
        .collect();
    let upgrade = package
        .mend(target, &all, &data.entries)
        .or_else(|| {
            package
                .mend(target, &all, &grave)
                .filter(|_| !own.is_empty())
        })
        .or_else(|| package.mend(target, &all, &own).filter(|_| !own.is_empty()));
    Ok(Matched { upgrade, hits })
}

/// A package's data, asked by the places of versions in its table.
struct Package<'d> {
    scheme: Scheme,
    data: &'d PackageData<'d>,
}

/// Where a version stands in a package's table: from the first place whose version is not below it to the first
/// whose version is above it. A version that the table doesn't hold stands between two places.
#[derive(Clone, Copy)]
struct Span {
    from: u32,
    to: u32,
}

impl Span {
    /// How the version compares with that of a place.
    fn compare(self, place: u32) -> Ordering {
        if place < self.from {
            Ordering::Greater
        } else if place < self.to {
            Ordering::Equal
        } else {
            Ordering::Less
        }
    }
}

impl Package<'_> {
    fn parse(&self, place: usize) -> Version {
        Version::parse(self.scheme, self.data.versions[place])
    }

    fn span(&self, version: &str) -> Span {
        let target = Version::parse(self.scheme, &canonical(self.scheme, version));
        let (mut from, mut high) = (0, self.data.versions.len());
        while from < high {
            let middle = from + (high - from) / 2;
            if self.parse(middle) < target {
                from = middle + 1;
            } else {
                high = middle;
            }
        }
        let mut to = from;
        while to < self.data.versions.len() && self.parse(to) == target {
            to += 1;
        }
        Span {
            from: from as u32,
            to: to as u32,
        }
    }

    fn affects(&self, entry: &AffectedEntry, target: Span) -> bool {
        let listed = entry.listed.partition_point(|place| *place < target.from);
        entry
            .listed
            .get(listed)
            .is_some_and(|place| *place < target.to)
            || entry.ranges.iter().any(|events| covers(events, target))
    }

    /// The smallest version that `from` fix after `target` and that none of `clear_of` affects. Pre-releases come
    /// last: nobody should be sent to one while there is a release.
    fn mend(
        &self,
        target: Span,
        from: &[&AffectedEntry],
        clear_of: &[AffectedEntry],
    ) -> Option<String> {
        let mut candidates: Vec<(bool, u32)> = Vec::new();
        for (kind, place) in from.iter().flat_map(|entry| &entry.ranges).flatten() {
            if *kind == EventKind::Fixed && target.compare(*place).is_lt() {
                candidates.push((self.parse(*place as usize).is_prerelease(), *place));
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        let mended = candidates.into_iter().find(|(_, place)| {
            let version = self.span(self.data.versions[*place as usize]);
            !clear_of.iter().any(|entry| self.affects(entry, version))
        });
        mended.map(|(_, place)| self.data.versions[place as usize].to_owned())
    }
}

/// OSV's evaluation of a range, whose events are in version order.
fn covers(events: &[(EventKind, u32)], target: Span) -> bool {
    // Before one of the limits, where there are any.
    let mut limits = events
        .iter()
        .filter(|(kind, _)| *kind == EventKind::Limit)
        .peekable();
    if limits.peek().is_some() && !limits.any(|(_, place)| target.compare(*place).is_lt()) {
        return false;
    }
    let mut affected = false;
    for (kind, place) in events {
        match kind {
            EventKind::IntroducedFirst => affected = true,
            EventKind::Introduced if target.compare(*place).is_ge() => affected = true,
            EventKind::Fixed if target.compare(*place).is_ge() => affected = false,
            EventKind::LastAffected if target.compare(*place).is_gt() => affected = false,
            _ => {}
        }
    }
    affected
}

#[cfg(test)]
mod tests;
