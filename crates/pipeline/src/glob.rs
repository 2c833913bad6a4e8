//! Patterns of paths, as Ant and Jenkins write them: `*` and `?` within a name, `**` across folders, `{a,b}` for
//! alternatives, a trailing `/` for all below a folder.
//!
//! A match takes time in proportion to the pattern's length times the path's, whatever the pattern.

use std::fs;
use std::path::Path;

/// The most files that a search looks at, so that a pattern in a huge tree ends.
const MAX_ENTRIES: usize = 2_000_000;

/// The most alternatives that the braces of one pattern may stand for.
const MAX_ALTERNATIVES: usize = 256;

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    alternatives: Vec<Vec<String>>,
}

impl Pattern {
    /// Compiles a pattern. Every text is a pattern.
    pub fn new(text: &str) -> Self {
        let text = text.trim().trim_start_matches("./");
        let alternatives = braces(text)
            .into_iter()
            .map(|text| {
                let mut parts: Vec<String> = text
                    .split('/')
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned)
                    .collect();
                if text.ends_with('/') {
                    parts.push("**".to_owned());
                }
                parts.dedup_by(|a, b| a == "**" && b == "**");
                parts
            })
            .collect();
        Self { alternatives }
    }

    /// Whether a path (relative, with `/` between its parts) matches.
    pub fn matches(&self, path: &str) -> bool {
        let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        self.alternatives
            .iter()
            .any(|pattern| path_matches(pattern, &path))
    }

    /// Whether something below a folder may match.
    fn may_match_below(&self, folder: &[&str]) -> bool {
        self.alternatives.iter().any(|pattern| {
            for (at, part) in pattern.iter().enumerate() {
                if part == "**" || at >= folder.len() {
                    return true;
                }
                if !name_matches(part, folder[at]) {
                    return false;
                }
            }
            pattern.len() > folder.len()
        })
    }
}

/// A set of patterns with exceptions.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    include: Vec<Pattern>,
    except: Vec<Pattern>,
}

impl Patterns {
    /// Patterns to find, and patterns to leave out.
    pub fn new(include: &[String], except: &[String]) -> Self {
        let compile = |texts: &[String]| {
            texts
                .iter()
                .flat_map(|text| split_list(text))
                .map(|text| Pattern::new(&text))
                .collect()
        };
        Self {
            include: compile(include),
            except: compile(except),
        }
    }

    /// Whether a path is meant.
    pub fn matches(&self, path: &str) -> bool {
        self.include.iter().any(|pattern| pattern.matches(path))
            && !self.except.iter().any(|pattern| pattern.matches(path))
    }

    /// The files below a folder that are meant, as relative paths in order. Links are not followed; folders named in
    /// `skip` are not entered, unless a pattern names one literally.
    pub fn files(&self, root: &Path, skip: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        let mut budget = MAX_ENTRIES;
        self.walk(root, &mut Vec::new(), skip, &mut budget, &mut found);
        found.sort();
        found
    }

    fn walk(
        &self,
        folder: &Path,
        parts: &mut Vec<String>,
        skip: &[&str],
        budget: &mut usize,
        found: &mut Vec<String>,
    ) {
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        for entry in entries.flatten() {
            if *budget == 0 {
                return;
            }
            *budget -= 1;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            parts.push(name);
            if kind.is_dir() {
                let name = parts.last().map_or("", String::as_str);
                let named = || {
                    self.include.iter().any(|pattern| {
                        pattern
                            .alternatives
                            .iter()
                            .any(|parts| parts.iter().any(|part| part == name))
                    })
                };
                let below: Vec<&str> = parts.iter().map(String::as_str).collect();
                if (!skip.contains(&name) || named())
                    && self
                        .include
                        .iter()
                        .any(|pattern| pattern.may_match_below(&below))
                {
                    self.walk(&entry.path(), parts, skip, budget, found);
                }
            } else if kind.is_file() {
                let path = parts.join("/");
                if self.matches(&path) {
                    found.push(path);
                }
            }
            parts.pop();
        }
    }
}

/// The patterns of a list that is written in one text, with commas between, as Jenkins takes it.
fn split_list(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_u32;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// What a pattern with braces stands for.
fn braces(text: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![text.to_owned()];
    while let Some(text) = open.pop() {
        let parts = text.find('{').and_then(|start| {
            let end = start + text[start..].find('}')?;
            Some((start, end))
        });
        match parts {
            Some((start, end)) if open.len() + done.len() < MAX_ALTERNATIVES => {
                for choice in text[start + 1..end].split(',').rev() {
                    open.push(format!("{}{choice}{}", &text[..start], &text[end + 1..]));
                }
            }
            _ => done.push(text),
        }
    }
    done
}

/// Whether the parts of a path match the parts of a pattern; a table of which lengths of the one reach which of the other.
fn path_matches(pattern: &[String], path: &[&str]) -> bool {
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for part in pattern {
        if part == "**" {
            let mut any = false;
            for reached in &mut reached {
                any |= *reached;
                *reached = any;
            }
        } else {
            for at in (0..path.len()).rev() {
                reached[at + 1] = reached[at] && name_matches(part, path[at]);
            }
            reached[0] = false;
        }
    }
    reached[path.len()]
}

/// Whether a name matches a pattern of `*` and `?`, going back to the last `*` only.
fn name_matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some('?') => {
                p += 1;
                n += 1;
            }
            Some(c) if *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    n = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests;
