//! Files of metrics that scripts leave: `textfile`.

use super::{Collected, Host, Out};
use crate::exposition::{Entry, Parser, read_labels, unescape_help};
use crate::labels::{LabelsBuilder, METRIC_NAME};
use crate::storage::MetricKind;
use std::collections::HashMap;
use std::path::Path;
use std::time::SystemTime;

pub(super) fn textfile(host: &Host, out: &mut Out) -> Collected {
    let mut failed = false;
    for folder in &host.options.textfile_folders {
        for (name, path) in super::entries(folder, "")
            .into_iter()
            .filter(|(name, _)| name.ends_with(".prom"))
        {
            match one(&path, out) {
                Ok(modified) => {
                    let help = "Unixtime mtime of textfiles successfully read.";
                    let label = path.display().to_string();
                    out.gauge(
                        "node_textfile_mtime_seconds",
                        help,
                        &[("file", &label)],
                        modified,
                    );
                }
                Err(message) => {
                    tracing::warn!(file = name, message, "a file of metrics cannot be read");
                    failed = true;
                }
            }
        }
    }
    let help = "1 if there was an error opening or reading a file, 0 otherwise";
    out.gauge(
        "node_textfile_scrape_error",
        help,
        &[],
        f64::from(u8::from(failed)),
    );
    Ok(())
}

/// Passes a file on, all of it or nothing; gives when it was written.
fn one(path: &Path, out: &mut Out) -> Result<f64, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let modified = std::fs::metadata(path)
        .and_then(|data| data.modified())
        .map_err(|error| error.to_string())?;
    let modified = modified
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64());
    let mut kinds: HashMap<&str, MetricKind> = HashMap::new();
    let mut helps: HashMap<&str, String> = HashMap::new();
    let mut samples = Vec::new();
    let mut parser = Parser::new(&bytes, false).map_err(|error| error.to_string())?;
    while let Some(entry) = parser.next().map_err(|error| error.to_string())? {
        match entry {
            Entry::Type(name, kind) => {
                kinds.insert(name, kind);
            }
            Entry::Help(name, help) => {
                helps.insert(name, unescape_help(help, false).into_owned());
            }
            Entry::Unit(..) => {}
            Entry::Sample(sample) => {
                if sample.timestamp.is_some() {
                    return Err("contains unsupported client timestamps".to_owned());
                }
                let mut labels = LabelsBuilder::default();
                read_labels(sample.series, &mut labels)
                    .map_err(|name| format!("label {name} is given twice"))?;
                samples.push((labels.build(), sample.value));
            }
        }
    }
    for (labels, value) in samples {
        let name = labels.metric_name();
        let kind = kinds.get(name).copied().unwrap_or_default();
        let help = helps
            .get(name)
            .cloned()
            .unwrap_or_else(|| format!("Metric read from {}", path.display()));
        let pairs: Vec<(&str, &str)> = labels
            .iter()
            .filter(|(name, _)| *name != METRIC_NAME)
            .collect();
        out.add(kind, name.to_owned(), help, &pairs, value);
    }
    Ok(modified)
}
