//! Lines of `FILE:LINE:COLUMN: MESSAGE`.

use std::sync::LazyLock;

use regex::Regex;

use super::{Issue, Severity};

/// `app.py:3:1: F401 'os' imported but unused`, `a.c:3:5: warning: unused [-Wunused]`, `a.py:3: [W0611(unused-import), f] Unused`.
static LINE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:\./)?([^\s:][^:\n]{0,1000}?):(\d{1,9})(?::(\d{1,9}))?:\s+(.{1,4000})$")
        .expect("the pattern is a constant that the tests compile")
});
static PYLINT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\[?([CRWEFI]\d{4})(?:\(([\w-]+)\))?(?:,\s*[^\]]*)?\]?:?\s+(.*)$")
        .expect("the pattern is a constant that the tests compile")
});
static COMPILER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(fatal error|error|warning|note):\s+(.*?)(?:\s+\[([\w=+-]+)\])?$")
        .expect("the pattern is a constant that the tests compile")
});
static CODE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^([A-Z]{1,5}\d{1,5})\s+(?:\[\*\]\s+)?(.*)$")
        .expect("the pattern is a constant that the tests compile")
});

pub(super) fn read(text: &str) -> Vec<Issue> {
    text.lines()
        .filter_map(|line| one(line.trim_end()))
        .take(super::MAX)
        .collect()
}

fn one(line: &str) -> Option<Issue> {
    let found = LINE.captures(line)?;
    let rest = found.get(4)?.as_str();
    let (severity, rule, message) = if let Some(pylint) = PYLINT.captures(rest) {
        let code = &pylint[1];
        let rule = pylint.get(2).map_or(code, |name| name.as_str());
        (of_letter(code), rule.to_owned(), pylint[3].to_owned())
    } else if let Some(compiler) = COMPILER.captures(rest) {
        let severity = match &compiler[1] {
            "note" => Severity::Low,
            "warning" => Severity::Normal,
            _ => Severity::Error,
        };
        let rule = compiler.get(3).map_or("", |rule| rule.as_str());
        (severity, rule.to_owned(), compiler[2].to_owned())
    } else if let Some(code) = CODE.captures(rest) {
        (of_flake8(&code[1]), code[1].to_owned(), code[2].to_owned())
    } else {
        return None;
    };
    Some(Issue {
        file: found[1].to_owned(),
        line: found[2].parse().unwrap_or(0),
        severity,
        rule,
        message,
        new: false,
    })
}

/// Pylint's classes.
pub(super) fn of_letter(code: &str) -> Severity {
    match code.as_bytes().first() {
        Some(b'E' | b'e' | b'F' | b'f') => Severity::Error,
        Some(b'W' | b'w') => Severity::Normal,
        _ => Severity::Low,
    }
}

/// Flake8's classes: `F` and `E9` are what breaks.
fn of_flake8(code: &str) -> Severity {
    if code.starts_with('F') || code.starts_with("E9") {
        Severity::High
    } else if code.starts_with('E') || code.starts_with('W') {
        Severity::Low
    } else {
        Severity::Normal
    }
}
