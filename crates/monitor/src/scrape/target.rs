//! Targets: from a group's addresses and labels to what is scraped, by the job's relabelling.

use super::config::{Job, TargetGroup};
use super::relabel;
use crate::api::parse_duration;
use crate::labels::{Labels, LabelsBuilder};

#[cfg(test)]
mod tests;

/// Something to scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The labels that its series get.
    pub labels: Labels,
    /// The labels before relabelling.
    pub discovered: Labels,
    /// The whole address.
    pub url: String,
    /// How often it is scraped, ms.
    pub interval: i64,
    /// How long a scrape may take, ms.
    pub timeout: i64,
}

/// What a job's groups come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    /// What is scraped; no two have the same labels and address.
    pub active: Vec<Target>,
    /// What relabelling dropped, by its labels before.
    pub dropped: Vec<Labels>,
    /// What cannot be scraped, and why.
    pub errors: Vec<String>,
}

/// Makes the targets of a job.
#[must_use]
pub fn targets(job: &Job, groups: &[TargetGroup]) -> Targets {
    let mut all = Targets::default();
    for group in groups {
        for address in &group.targets {
            let mut labels = LabelsBuilder::default();
            labels.set("__address__", address);
            for (name, value) in &group.labels {
                labels.set(name, value);
            }
            match target(job, labels) {
                Ok((discovered, None)) => all.dropped.push(discovered),
                Ok((_, Some(target))) => {
                    let same =
                        |other: &Target| other.labels == target.labels && other.url == target.url;
                    if !all.active.iter().any(same) {
                        all.active.push(target);
                    }
                }
                Err(error) => all.errors.push(format!("{address}: {error}")),
            }
        }
    }
    if job.limits.targets > 0 && all.active.len() > job.limits.targets {
        // Prometheus lets all of them fail rather than choosing some.
        all.errors.push(format!(
            "target_limit exceeded (number of targets: {}, limit: {})",
            all.active.len(),
            job.limits.targets
        ));
        all.active.clear();
    }
    all
}

fn target(job: &Job, mut labels: LabelsBuilder) -> Result<(Labels, Option<Target>), String> {
    let mut given = |name: &str, value: &str| {
        if labels.get(name).is_none() {
            labels.set(name, value);
        }
    };
    given("job", &job.name);
    given("__metrics_path__", &job.path);
    given("__scheme__", &job.scheme);
    given("__scrape_interval__", &format!("{}ms", job.interval));
    given("__scrape_timeout__", &format!("{}ms", job.timeout));
    for (name, values) in &job.params {
        if let Some(first) = values.first() {
            given(&format!("__param_{name}"), first);
        }
    }
    let discovered = labels.clone().build();
    if !relabel::apply(&job.relabel, &mut labels) {
        return Ok((discovered, None));
    }
    let text = |name: &str| labels.get(name).unwrap_or("").to_owned();
    let address = text("__address__");
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("\"{address}\" is not a valid hostname"));
    }
    let duration = |name: &str| {
        parse_duration(&text(name))
            .filter(|duration| *duration > 0)
            .ok_or_else(|| format!("{name} is no duration above zero: {:?}", text(name)))
    };
    let (interval, timeout) = (
        duration("__scrape_interval__")?,
        duration("__scrape_timeout__")?,
    );
    if timeout > interval {
        return Err("scrape timeout cannot be greater than scrape interval".to_owned());
    }
    let (scheme, path) = (text("__scheme__"), text("__metrics_path__"));
    let url = format!("{scheme}://{address}{path}{}", query(job, &labels, &path));
    if labels.get("instance").is_none() {
        labels.set("instance", &address);
    }
    let internal: Vec<String> = labels
        .pairs()
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.starts_with("__"))
        .collect();
    for name in internal {
        labels.remove(&name);
    }
    let target = Target {
        labels: labels.build(),
        discovered: discovered.clone(),
        url,
        interval,
        timeout,
    };
    Ok((discovered, Some(target)))
}

/// The URL's query: the job's parameters, the first value of each as relabelling left it.
fn query(job: &Job, labels: &LabelsBuilder, path: &str) -> String {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (name, value) in labels.pairs().filter(|(_, value)| !value.is_empty()) {
        if let Some(name) = name.strip_prefix("__param_") {
            pairs.push((name.to_owned(), value.to_owned()));
        }
    }
    for (name, values) in &job.params {
        pairs.extend(
            values
                .iter()
                .skip(1)
                .map(|value| (name.clone(), value.clone())),
        );
    }
    pairs.sort_by(|one, other| one.0.cmp(&other.0));
    let mut out = String::new();
    for (name, value) in pairs {
        out.push(if out.is_empty() && !path.contains('?') {
            '?'
        } else {
            '&'
        });
        encode(&mut out, &name);
        out.push('=');
        encode(&mut out, &value);
    }
    out
}

/// Percent-encodes what is not plain in a URL's query.
fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte as char)
            }
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
}
