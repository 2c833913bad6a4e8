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
    let package = Package::new(ecosystem.scheme(), &data);
    let target = Version::parse(package.scheme, version);
    let place = package.place(version);
    let hits: Vec<Hit> = data
        .entries
        .iter()
        .filter(|entry| package.affects(entry, &target, place))
        .map(|entry| Hit {
            entry: entry.clone(),
            fixed: package.mend(&target, &[entry], std::slice::from_ref(entry)),
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
        .mend(&target, &all, &data.entries)
        .or_else(|| {
            package
                .mend(&target, &all, &grave)
                .filter(|_| !own.is_empty())
        })
        .or_else(|| {
            package
                .mend(&target, &all, &own)
                .filter(|_| !own.is_empty())
        });
    Ok(Matched { upgrade, hits })
}

/// A package's data with its versions parsed once.
struct Package<'d> {
    scheme: Scheme,
    data: &'d PackageData<'d>,
    /// Only versions that events name are needed parsed; the many listed ones never are.
    parsed: Vec<Option<Version>>,
}

impl<'d> Package<'d> {
    fn new(scheme: Scheme, data: &'d PackageData<'d>) -> Self {
        let mut parsed = vec![None; data.versions.len()];
        for (_, place) in data
            .entries
            .iter()
            .flat_map(|entry| &entry.ranges)
            .flatten()
        {
            let slot = &mut parsed[*place as usize];
            if slot.is_none() {
                *slot = Some(Version::parse(scheme, data.versions[*place as usize]));
            }
        }
        Self {
            scheme,
            data,
            parsed,
        }
    }

    /// Where a version stands in the package's table of listed ones.
    fn place(&self, version: &str) -> Option<u32> {
        let wanted = canonical(self.scheme, version);
        self.data
            .versions
            .binary_search(&wanted.as_ref())
            .ok()
            .map(|place| place as u32)
    }

    fn compare(&self, target: &Version, place: u32) -> Ordering {
        match &self.parsed[place as usize] {
            Some(version) => target.cmp(version),
            None => target.cmp(&Version::parse(
                self.scheme,
                self.data.versions[place as usize],
            )),
        }
    }

    fn affects(&self, entry: &AffectedEntry, target: &Version, place: Option<u32>) -> bool {
        place.is_some_and(|place| entry.listed.binary_search(&place).is_ok())
            || entry
                .ranges
                .iter()
                .any(|events| self.covers(events, target))
    }

    fn covers(&self, events: &[(EventKind, u32)], target: &Version) -> bool {
        // Before one of the limits, where there are any.
        let mut limits = events
            .iter()
            .filter(|(kind, _)| *kind == EventKind::Limit)
            .peekable();
        if limits.peek().is_some() && !limits.any(|(_, place)| self.compare(target, *place).is_lt())
        {
            return false;
        }
        let mut affected = false;
        for (kind, place) in events {
            match kind {
                EventKind::IntroducedFirst => affected = true,
                EventKind::Introduced if self.compare(target, *place).is_ge() => affected = true,
                EventKind::Fixed if self.compare(target, *place).is_ge() => affected = false,
                EventKind::LastAffected if self.compare(target, *place).is_gt() => affected = false,
                _ => {}
            }
        }
        affected
    }

    /// The smallest version that `from` fix after `target` and that none of `clear_of` affects.
    fn mend(
        &self,
        target: &Version,
        from: &[&AffectedEntry],
        clear_of: &[AffectedEntry],
    ) -> Option<String> {
        let mut candidates: Vec<(bool, &Version, u32)> = Vec::new();
        for (kind, place) in from.iter().flat_map(|entry| &entry.ranges).flatten() {
            let Some(version) = &self.parsed[*place as usize] else {
                continue;
            };
            if *kind == EventKind::Fixed && version > target {
                candidates.push((version.is_prerelease(), version, *place));
            }
        }
        candidates.sort();
        let mended = candidates.into_iter().find(|(_, version, place)| {
            let listed = self.place(self.data.versions[*place as usize]);
            !clear_of
                .iter()
                .any(|entry| self.affects(entry, version, listed))
        });
        mended.map(|(_, _, place)| self.data.versions[place as usize].to_owned())
    }
}

#[cfg(test)]
mod tests;
