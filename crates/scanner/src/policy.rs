//! Which findings fail a scan: by severity, by whether a mending version exists, by age, and less what people
//! decided to live with, for a reason and until a day.
//!
//! Unknown is never good: a finding without a severity meets every threshold, and a decision without a reason or
//! past its day doesn't count.

pub mod rules;

use jiff::Timestamp;
use serde::Serialize;

use crate::finding::{Finding, Verdict};
use crate::severity::Level;
use rules::Rule;

/// What fails.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Policy {
    /// How bad a finding must be to fail.
    pub fail_on: Threshold,
    /// Only findings that some version mends fail.
    pub fixable_only: bool,
    /// Findings fail only when they have been public for this many days; `None` for at once.
    pub grace_days: Option<u32>,
    /// Whether warnings (unsound, unmaintained, notice) fail too.
    pub warnings: bool,
    /// Whether findings in packages that only development needs fail too.
    pub dev: bool,
    /// The greatest age of an ecosystem's data in days; `None` for any, which the report then merely shows.
    pub max_data_age_days: Option<u32>,
}

/// How bad a finding must be to fail.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", tag = "by", content = "at")]
pub enum Threshold {
    /// Every vulnerability.
    Any,
    /// This level and worse.
    Level(Level),
    /// This CVSS score and higher; above 10 nothing fails.
    Score(f64),
    /// Nothing fails: findings are shown only.
    Never,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            fail_on: Threshold::Any,
            fixable_only: false,
            grace_days: None,
            warnings: false,
            dev: true,
            max_data_age_days: None,
        }
    }
}

const DAY: i64 = 86_400;

impl Policy {
    /// Decides each finding, and says which rules were of no use.
    pub fn decide(&self, findings: &mut [Finding], rules: &[Rule], now: Timestamp) -> Vec<String> {
        let mut notes = Vec::new();
        let mut used = vec![false; rules.len()];
        for finding in findings {
            let matching = rules
                .iter()
                .enumerate()
                .filter(|(_, rule)| rule.matches(finding));
            let mut decision = None;
            for (at, rule) in matching {
                used[at] = true;
                if rule.has_expired(now) {
                    let expires = rule.expires.map(|day| day.to_string()).unwrap_or_default();
                    notes.push(format!(
                        "{}: the decision to ignore {} in {} ended on {expires} ({})",
                        rule.source, finding.id, finding.package, rule.reason
                    ));
                } else if decision.is_none() {
                    decision = Some(Verdict::Ignored {
                        reason: rule.reason.clone(),
                        expires: rule.expires.map(|day| day.to_string()),
                    });
                }
            }
            finding.verdict = decision.unwrap_or_else(|| self.verdict(finding, now));
        }
        for (rule, used) in rules.iter().zip(used) {
            if !used && !rule.is_shared {
                notes.push(format!(
                    "{}: this rule matches no finding and can be removed",
                    rule.source
                ));
            }
        }
        notes.sort();
        notes.dedup();
        notes
    }

    fn verdict(&self, finding: &Finding, now: Timestamp) -> Verdict {
        let passes = |because: String| Verdict::Passes { because };
        if finding.kind.is_warning() && !self.warnings {
            return passes(format!("warning only ({})", finding.kind.as_str()));
        }
        if !self.dev && finding.dev {
            return passes("only development needs the package".to_owned());
        }
        let severity = &finding.severity;
        match self.fail_on {
            Threshold::Any => {}
            Threshold::Never => return passes("the policy fails nothing".to_owned()),
            Threshold::Level(level) => {
                if severity.level != Level::Unknown && severity.level < level {
                    return passes(format!("{} is below {level}", severity.level));
                }
            }
            Threshold::Score(score) => {
                let below = match severity.score {
                    Some(own) => own < score,
                    None if score > 10.0 => true,
                    // Without a score the level's upper end stands for it, so that doubt fails.
                    None => highest_of(severity.level) < score,
                };
                if below {
                    return passes(format!("its score is below {score}"));
                }
            }
        }
        if self.fixable_only && finding.fixed.is_none() {
            return passes("no version mends it yet".to_owned());
        }
        if let Some(days) = self.grace_days {
            let age = (now.as_second() - finding.published) / DAY;
            if age < i64::from(days) {
                return passes(format!("public for {age} of {days} days of grace"));
            }
        }
        Verdict::Fails
    }
}

fn highest_of(level: Level) -> f64 {
    match level {
        Level::None => 0.0,
        Level::Low => 3.9,
        Level::Medium => 6.9,
        Level::High => 8.9,
        Level::Critical | Level::Unknown => 10.0,
    }
}

#[cfg(test)]
mod tests;
