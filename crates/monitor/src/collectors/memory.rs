//! Memory: `meminfo`, `vmstat`.

use super::{Collected, Host, Out};
use crate::storage::MetricKind;

pub(super) fn meminfo(host: &Host, out: &mut Out) -> Collected {
    let text = host.read_proc("meminfo")?;
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else {
            continue;
        };
        let mut fields = rest.split_ascii_whitespace();
        let Some(value) = fields.next().and_then(|field| field.parse::<f64>().ok()) else {
            continue;
        };
        // `Active(anon)` is `Active_anon`.
        let mut name = name.replace('(', "_").replace(')', "");
        let value = if fields.next() == Some("kB") {
            name.push_str("_bytes");
            value * 1024.0
        } else {
            value
        };
        let kind = if name.ends_with("_total") {
            MetricKind::Counter
        } else {
            MetricKind::Gauge
        };
        out.add(
            kind,
            format!("node_memory_{name}"),
            format!("Memory information field {name}."),
            &[],
            value,
        );
    }
    Ok(())
}

pub(super) fn vmstat(host: &Host, out: &mut Out) -> Collected {
    let fields = host.filters.get("vmstat.fields");
    let text = host.read_proc("vmstat")?;
    for line in text.lines() {
        let Some((name, value)) = line.split_once(' ') else {
            continue;
        };
        if fields.is_none_or(|fields| fields.is_match(name))
            && let Ok(value) = value.parse()
        {
            out.untyped(
                format!("node_vmstat_{name}"),
                format!("/proc/vmstat information field {name}."),
                &[],
                value,
            );
        }
    }
    Ok(())
}
