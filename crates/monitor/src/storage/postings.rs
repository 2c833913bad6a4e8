//! The head's inverted index: label pair to the slots of the series that have it.

use super::Matcher;
use crate::labels::Labels;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

#[cfg(test)]
mod tests;

/// Slots by value by name. Lists are sorted.
#[derive(Default)]
pub(super) struct Postings {
    names: HashMap<Box<str>, BTreeMap<Box<str>, Vec<u32>>>,
    pairs: usize,
}

impl Postings {
    pub(super) fn pairs(&self) -> usize {
        self.pairs
    }

    pub(super) fn insert(&mut self, slot: u32, labels: &Labels) {
        for (name, value) in labels {
            if !self.names.contains_key(name) {
                self.names.insert(name.into(), BTreeMap::new());
            }
            let values = self.names.get_mut(name).expect("it was inserted above");
            match values.get_mut(value) {
                None => {
                    self.pairs += 1;
                    values.insert(value.into(), vec![slot]);
                }
                Some(list) if list.last().is_none_or(|last| *last < slot) => list.push(slot),
                Some(list) => {
                    if let Err(at) = list.binary_search(&slot) {
                        list.insert(at, slot);
                    }
                }
            }
        }
    }

    /// Removes series. Each list concerned is gone through once, however many of its series go.
    pub(super) fn remove(&mut self, gone: &[(u32, Labels)]) {
        let slots: HashSet<u32> = gone.iter().map(|(slot, _)| *slot).collect();
        let pairs: BTreeSet<(&str, &str)> =
            gone.iter().flat_map(|(_, labels)| labels.iter()).collect();
        for (name, value) in pairs {
            let Some(values) = self.names.get_mut(name) else {
                continue;
            };
            if let Some(list) = values.get_mut(value) {
                list.retain(|slot| !slots.contains(slot));
                if list.is_empty() {
                    values.remove(value);
                    self.pairs -= 1;
                }
            }
            if values.is_empty() {
                self.names.remove(name);
            }
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name)
    }

    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = (&str, usize)> {
        self.names
            .get(name)
            .into_iter()
            .flatten()
            .map(|(value, list)| (&**value, list.len()))
    }

    /// The slots of the series that match all matchers, sorted. `labels` tells a candidate's labels, for the matchers
    /// that also match where their label is absent; `None` says that the slot is empty.
    pub(super) fn matching<'a>(
        &self,
        matchers: &[Matcher],
        slots: usize,
        labels: impl Fn(u32) -> Option<&'a Labels>,
    ) -> Vec<u32> {
        let mut lists: Vec<Cow<'_, [u32]>> = Vec::new();
        let mut rest = Vec::new();
        for matcher in matchers {
            if matcher.matches("") {
                rest.push(matcher);
                continue;
            }
            let Some(values) = self.names.get(matcher.name()) else {
                return Vec::new();
            };
            if let Some(wanted) = matcher.exact_values() {
                let mut found: Vec<&Vec<u32>> = wanted
                    .iter()
                    .filter_map(|value| values.get(value.as_str()))
                    .collect();
                match found.len() {
                    0 => return Vec::new(),
                    1 => lists.push(Cow::Borrowed(found.remove(0))),
                    _ => lists.push(Cow::Owned(union(found))),
                }
            } else {
                lists.push(Cow::Owned(union(
                    values
                        .iter()
                        .filter(|(value, _)| matcher.matches(value))
                        .map(|(_, list)| list),
                )));
            }
        }
        lists.sort_by_key(|list| list.len());
        let mut lists = lists.into_iter();
        let mut result: Vec<u32> = match lists.next() {
            Some(first) => first.into_owned(),
            None => (0..slots as u32).collect(),
        };
        for list in lists {
            intersect(&mut result, &list);
        }
        result.retain(|slot| {
            labels(*slot).is_some_and(|labels| {
                rest.iter()
                    .all(|m| m.matches(labels.get(m.name()).unwrap_or("")))
            })
        });
        result
    }
}

fn union<'a>(lists: impl IntoIterator<Item = &'a Vec<u32>>) -> Vec<u32> {
    let mut all: Vec<u32> = lists.into_iter().flatten().copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Keeps in `result` what is in `list` too. Both are sorted; the search in the longer list starts where the last ended.
pub(super) fn intersect(result: &mut Vec<u32>, list: &[u32]) {
    let mut from = 0;
    result.retain(|slot| {
        let rest = &list[from..];
        // Galloping: near hits are found in few steps, far ones in a logarithm of the distance.
        let mut reach = 1;
        while reach < rest.len() && rest[reach] < *slot {
            reach *= 2;
        }
        from += rest[..(reach + 1).min(rest.len())].partition_point(|other| other < slot);
        list.get(from) == Some(slot)
    });
}
