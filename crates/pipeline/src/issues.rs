//! What linters and compilers found, from the files that they write: checkstyle XML, SARIF, the JSON of pylint, eslint and
//! cargo, and lines of `FILE:LINE:COLUMN: MESSAGE` (flake8, pylint, gcc, mypy and many more).
//!
//! The form is told by the content, not by the tool's name, since most tools write several.

use serde::{Deserialize, Serialize};

mod json;
mod lines;
mod xml;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// The file, as the tool wrote it.
    pub file: String,
    /// The line, from 1; 0 where the tool names none.
    pub line: u32,
    /// How bad it is.
    pub severity: Severity,
    /// The rule: `E501`, `unused-import`.
    pub rule: String,
    /// What is wrong.
    pub message: String,
    /// Whether the build before did not have it.
    #[serde(default)]
    pub new: bool,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A matter of style.
    Low,
    /// A warning.
    Normal,
    /// A warning that matters.
    High,
    /// An error.
    Error,
}

/// The file is none of the known forms, or is broken.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct IssuesError(String);

/// The most findings of one file that are kept.
const MAX: usize = 100_000;

/// Reads a report.
///
/// # Errors
/// It is XML or JSON of no known form, or broken.
pub fn read(bytes: &[u8]) -> Result<Vec<Issue>, IssuesError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let mut issues = match first {
        None => Vec::new(),
        Some(b'<') => xml::read(bytes)?,
        Some(b'{' | b'[') => json::read(bytes)?,
        Some(_) => lines::read(&String::from_utf8_lossy(bytes)),
    };
    issues.truncate(MAX);
    Ok(issues)
}

/// A number that stays the same for the same finding although lines above it move.
pub fn fingerprint(issue: &Issue) -> u64 {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for part in [&issue.file, &issue.rule, &issue.message] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests;
