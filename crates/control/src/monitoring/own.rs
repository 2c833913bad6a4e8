//! The targets that control makes itself: its own metrics with all that it observes, and the host.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use launchway_model::InstanceId;
use launchway_model::instance::InstanceState;
use launchway_monitor::collectors::{Host, HostOptions};
use launchway_monitor::exposition::Format;
use launchway_monitor::scrape::config::{Job, TargetGroup};
use launchway_monitor::scrape::{Own, OwnBody};

use crate::reconcile::Seen;
use crate::{Control, samples, status};

/// How often what is dear to read is read: the kernel walks all pages of a process for its proportional share.
const DEAR: Duration = Duration::from_secs(15);

/// What instances use beyond the samples that are taken every two seconds, as it was read last.
#[derive(Default)]
pub(crate) struct Instances {
    read: Mutex<Option<(Instant, HashMap<InstanceId, Usage>)>>,
}

/// What one instance's processes use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    /// Memory with shared pages divided among those that share them, in bytes.
    proportional: u64,
    /// Bytes read from disks, and written to them.
    read: u64,
    written: u64,
}

/// Adds the built-in jobs.
pub(super) fn add_jobs(control: &Arc<Control>) {
    let settings = &control.settings.monitoring;
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let group = TargetGroup {
        targets: vec![host],
        ..TargetGroup::default()
    };
    add_host(control, &group);
    let this = Arc::downgrade(control);
    let own: Own = Arc::new(move |_| -> OwnBody {
        let this = this.clone();
        Box::pin(async move {
            let control = this.upgrade().ok_or("control is ending")?;
            let text = body(&control).await?;
            Ok((text, Format::OpenMetrics))
        })
    });
    let mut job = Job::new("launchway");
    job.interval = settings.own_interval.as_millis() as i64;
    job.timeout = job.interval;
    // The series of an instance carry its name in the label `instance`.
    job.honor_labels = true;
    job.static_groups = vec![group];
    control.monitoring.scraper.add_job(job, Some(own));
}

/// The host under node_exporter's names, in the job `node`, as dashboards for node_exporter expect it.
fn add_host(control: &Arc<Control>, group: &TargetGroup) {
    let host = match Host::new(HostOptions::default()) {
        Ok(host) => Arc::new(host),
        Err(error) => {
            tracing::error!(%error, "the host cannot be observed");
            return;
        }
    };
    let own: Own = Arc::new(move |_| -> OwnBody {
        let host = host.clone();
        Box::pin(async move {
            let collected = tokio::task::spawn_blocking(move || host.collect(Format::Text)).await;
            let text = collected.map_err(|error| error.to_string())?;
            Ok((text, Format::Text))
        })
    });
    let mut job = Job::new("node");
    job.interval = control.settings.monitoring.host_interval.as_millis() as i64;
    job.timeout = job.interval.min(10_000);
    job.static_groups = vec![group.clone()];
    control.monitoring.scraper.add_job(job, Some(own));
}

async fn body(control: &Arc<Control>) -> Result<String, String> {
    let mut text = status::metrics(control)
        .await
        .map_err(|problem| problem.to_string())?;
    let end = text.trim_end().trim_end_matches("# EOF").len();
    text.truncate(end);
    let shared = control.clone();
    let more = tokio::task::spawn_blocking(move || {
        let mut more = String::new();
        instances(&shared, &mut more).map(|()| more)
    });
    match more.await {
        Ok(Ok(more)) => text.push_str(&more),
        _ => return Err("the instances' metrics cannot be written".to_owned()),
    }
    let edge = control
        .monitoring
        .edge
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(edge) = edge.as_ref() {
        edge(&mut text);
    }
    text.push_str("# EOF\n");
    Ok(text)
}

/// A family of instances: name, type, help, and its value of one.
type Family = (&'static str, &'static str, &'static str, fn(&Usage) -> u64);

const FAMILIES: [Family; 3] = [
    (
        "launchway_instance_proportional_memory_bytes",
        "gauge",
        "Memory of an instance's processes; what processes share is divided among them.",
        |usage| usage.proportional,
    ),
    (
        "launchway_instance_read_bytes",
        "counter",
        "Bytes that an instance's living processes read from disks.",
        |usage| usage.read,
    ),
    (
        "launchway_instance_written_bytes",
        "counter",
        "Bytes that an instance's living processes wrote to disks.",
        |usage| usage.written,
    ),
];

fn instances(control: &Control, out: &mut String) -> std::fmt::Result {
    let used = samples::usage(control);
    let dear = control.monitoring.own.of(&used);
    for (name, kind, help, value) in FAMILIES {
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
        let suffix = if kind == "counter" { "_total" } else { "" };
        for (id, usage) in &dear {
            writeln!(
                out,
                "{name}{suffix}{{{}}} {}",
                status::labels(id),
                value(usage)
            )?;
        }
    }
    let mut family = |name: &str,
                      help: &str,
                      of: &dyn Fn(&launchway_supervisor::observe::TreeUsage) -> u64|
     -> std::fmt::Result {
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge")?;
        for (id, usage) in &used {
            writeln!(out, "{name}{{{}}} {}", status::labels(id), of(usage))?;
        }
        Ok(())
    };
    family(
        "launchway_instance_threads",
        "Threads of an instance's processes.",
        &|usage| usage.threads,
    )?;
    family(
        "launchway_instance_processes",
        "Processes of an instance.",
        &|usage| usage.pids.len() as u64,
    )?;
    family(
        "launchway_instance_open_files",
        "Open file descriptors of an instance's processes.",
        &|usage| usage.open_files,
    )?;
    writeln!(
        out,
        "# HELP launchway_instance_starts How often an instance was started again after it ended.\n# TYPE launchway_instance_starts counter"
    )?;
    for (id, seen) in &control.observed.borrow().instances {
        writeln!(
            out,
            "launchway_instance_starts_total{{{}}} {}",
            status::labels(id),
            seen.restarts
        )?;
    }
    writeln!(
        out,
        "# HELP launchway_instance_crashes How often an instance's app ended by itself.\n# TYPE launchway_instance_crashes counter"
    )?;
    for (id, seen) in &control.observed.borrow().instances {
        writeln!(
            out,
            "launchway_instance_crashes_total{{{}}} {}",
            status::labels(id),
            crashes(seen)
        )?;
    }
    Ok(())
}

/// How often an instance's app ended by itself, the last time too where it is not started again yet.
pub(super) fn crashes(seen: &Seen) -> u64 {
    seen.restarts + u64::from(matches!(seen.status, InstanceState::Backoff { .. }))
}

impl Instances {
    /// What the instances of these samples use, read anew where it is old.
    fn of(
        &self,
        used: &[(InstanceId, launchway_supervisor::observe::TreeUsage)],
    ) -> Vec<(InstanceId, Usage)> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let old = read
            .as_ref()
            .is_none_or(|(at, _)| now.duration_since(*at) >= DEAR);
        let (_, known) = read.get_or_insert_with(|| (now, HashMap::new()));
        if old {
            *known = HashMap::new();
        }
        let mut all = Vec::new();
        for (id, usage) in used {
            let usage = *known
                .entry(id.clone())
                .or_insert_with(|| of_processes(&usage.pids));
            all.push((id.clone(), usage));
        }
        if old && let Some((at, _)) = read.as_mut() {
            *at = now;
        }
        all
    }
}

fn of_processes(pids: &[u32]) -> Usage {
    let mut sum = Usage::default();
    for pid in pids {
        // A process that ended meanwhile, or is not ours to look at, counts as nothing.
        if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
            sum.proportional += field(&text, "Pss:") * 1024;
        }
        if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/io")) {
            sum.read += field(&text, "read_bytes:");
            sum.written += field(&text, "write_bytes:");
        }
    }
    sum
}

/// The number of the line that begins with a name.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_memory_and_says_so() {
        let usage = of_processes(&[std::process::id(), u32::MAX]);
        assert!(usage.proportional > 100_000, "{usage:?}");
        assert_eq!(field("Rss: 12 kB\nPss:   7 kB\nread_bytes: 9\n", "Pss:"), 7);
    }
}
