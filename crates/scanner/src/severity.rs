//! How bad an advisory is: CVSS 2, 3.0, 3.1 and 4.0 scores from their vectors, and the levels that people use.
//!
//! Only vectors are trusted, never a score that a record writes beside one. Where a record has no vector, the
//! level that its database states (GitHub's `database_specific.severity`) stands without a score.

use std::fmt;
use std::str::FromStr;

use cvss::Cvss;
use serde::{Deserialize, Serialize};

/// A level of severity, least first. `Unknown` is no level: a policy must decide what it does with it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The record states neither a vector nor a level.
    #[default]
    Unknown,
    /// A score of 0.
    None,
    /// 0.1 to 3.9.
    Low,
    /// 4.0 to 6.9.
    Medium,
    /// 7.0 to 8.9.
    High,
    /// 9.0 to 10.0 (CVSS 2 ends at high).
    Critical,
}

impl Level {
    /// The name, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// A level by the CVSS 3.1 and 4.0 bands.
    pub fn from_score(score: f64) -> Self {
        match score {
            s if s >= 9.0 => Self::Critical,
            s if s >= 7.0 => Self::High,
            s if s >= 4.0 => Self::Medium,
            s if s > 0.0 => Self::Low,
            _ => Self::None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = String;

    /// Reads a level as people and databases write it; GitHub's `moderate` is medium.
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "none" => Self::None,
            "low" => Self::Low,
            "medium" | "moderate" => Self::Medium,
            "high" | "important" => Self::High,
            "critical" => Self::Critical,
            "unknown" => Self::Unknown,
            _ => {
                return Err(format!(
                    "`{text}` is no severity; expected low, medium, high or critical"
                ));
            }
        })
    }
}

/// A severity as a finding shows it.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Severity {
    /// The level.
    pub level: Level,
    /// The base score (for CVSS 4.0 the score of the whole vector), 0 to 10, where a vector is known.
    pub score: Option<f64>,
    /// The vector that the score was computed from.
    pub vector: Option<String>,
}

/// A CVSS version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CvssVersion {
    /// 2.0
    V2,
    /// 3.0
    V30,
    /// 3.1
    V31,
    /// 4.0
    V40,
}

impl Severity {
    /// Computes the severity of a vector; `None` for one that no CVSS version accepts.
    pub fn from_vector(vector: &str) -> Option<Self> {
        // Old databases write CVSS 2 vectors in brackets or with a prefix.
        let vector = vector.trim().trim_start_matches('(').trim_end_matches(')');
        let vector = vector.strip_prefix("CVSS2#").unwrap_or(vector);
        let cvss = Cvss::from_str(vector).ok()?;
        let score = (cvss.score() * 10.0).round() / 10.0;
        let level = match &cvss {
            Cvss::CvssV20(_) if score >= 7.0 => Level::High,
            Cvss::CvssV20(_) if score < 4.0 => Level::Low,
            _ => Level::from_score(score),
        };
        Some(Self {
            level,
            score: Some(score),
            vector: Some(vector.to_owned()),
        })
    }

    /// The severity of a record: the newest CVSS version that it states, else the level in words.
    pub fn choose<'a>(vectors: impl IntoIterator<Item = &'a str>, level: Option<&str>) -> Self {
        let best = vectors
            .into_iter()
            .filter_map(Self::from_vector)
            .max_by_key(|severity| severity.cvss_version());
        best.unwrap_or_else(|| Self {
            level: level.and_then(|text| text.parse().ok()).unwrap_or_default(),
            ..Self::default()
        })
    }

    /// Which CVSS version the vector follows.
    pub fn cvss_version(&self) -> Option<CvssVersion> {
        let vector = self.vector.as_deref()?;
        Some(match vector.split('/').next() {
            Some("CVSS:4.0") => CvssVersion::V40,
            Some("CVSS:3.1") => CvssVersion::V31,
            Some("CVSS:3.0") => CvssVersion::V30,
            _ => CvssVersion::V2,
        })
    }

    /// The worse of two, by level and then by score.
    pub fn worse(self, other: Self) -> Self {
        let score = |severity: &Self| severity.score.map_or(0, |score| (score * 10.0) as u32);
        if (other.level, score(&other)) > (self.level, score(&self)) {
            other
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests;
