//! How control is, for people and for Prometheus.

use std::fmt::Write;

use launchway_model::Problem;
use launchway_model::api::Status;
use launchway_model::route::{DURATION_BUCKETS, ProxyStats};

use crate::reconcile::Role;
use crate::{Control, problem, samples};

/// The state of the installation.
///
/// # Errors
/// The store fails.
pub async fn get(control: &Control) -> Result<Status, Problem> {
    let proxy = control.proxy.state();
    let listen = if proxy.connected {
        proxy.listen
    } else {
        Vec::new()
    };
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        proxy: listen.iter().map(ToString::to_string).collect(),
        url: control.settings().url.clone(),
        apps: control.store.app_count().await.map_err(problem::store)?,
        active_builds: control
            .store
            .active_builds()
            .await
            .map_err(problem::store)?
            .len() as u64,
    })
}

/// All metrics of control and of what it observes, as OpenMetrics text, which every Prometheus reads.
///
/// # Errors
/// The store fails.
pub async fn metrics(control: &Control) -> Result<String, Problem> {
    let status = get(control).await?;
    let proxy = control.proxy.stats().await;
    let mut text = String::new();
    write_all(control, &status, proxy.as_ref(), &mut text)
        .map_err(|error| Problem::internal("the metrics cannot be written").cause(error))?;
    Ok(text)
}

fn write_all(
    control: &Control,
    status: &Status,
    proxy: Option<&ProxyStats>,
    out: &mut String,
) -> std::fmt::Result {
    control.metrics.text(out)?;
    gauge(out, "launchway_apps", "Apps that are stored", status.apps)?;
    gauge(
        out,
        "launchway_active_builds",
        "Builds that wait or run",
        status.active_builds,
    )?;
    gauge(
        out,
        "launchway_proxy_up",
        "Whether the proxy is connected",
        u64::from(!status.proxy.is_empty()),
    )?;
    instances(control, out)?;
    if let Some(proxy) = proxy {
        routes(proxy, out)?;
    }
    out.push_str("# EOF\n");
    Ok(())
}

fn gauge(out: &mut String, name: &str, help: &str, value: u64) -> std::fmt::Result {
    writeln!(
        out,
        "# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}"
    )
}

fn instances(control: &Control, out: &mut String) -> std::fmt::Result {
    out.push_str("# HELP launchway_instance_ready Whether an instance is ready.\n# TYPE launchway_instance_ready gauge\n");
    for (id, seen) in &control.observed.borrow().instances {
        if seen.role != Role::Candidate {
            writeln!(
                out,
                "launchway_instance_ready{{{}}} {}",
                labels(id),
                u8::from(seen.ready)
            )?;
        }
    }
    let usage = samples::usage(control);
    out.push_str("# HELP launchway_instance_memory_bytes Resident memory of an instance's processes.\n# TYPE launchway_instance_memory_bytes gauge\n");
    for (id, usage) in &usage {
        writeln!(
            out,
            "launchway_instance_memory_bytes{{{}}} {}",
            labels(id),
            usage.memory_bytes
        )?;
    }
    out.push_str("# HELP launchway_instance_cpu_seconds CPU time that an instance's processes used.\n# TYPE launchway_instance_cpu_seconds counter\n");
    for (id, usage) in &usage {
        let seconds = usage.cpu_millis as f64 / 1000.0;
        writeln!(
            out,
            "launchway_instance_cpu_seconds_total{{{}}} {seconds}",
            labels(id)
        )?;
    }
    Ok(())
}

// The names of apps, process types and instances hold nothing that a label's value would have to escape.
pub(crate) fn labels(id: &launchway_model::InstanceId) -> String {
    format!(
        "app=\"{}\",process=\"{}\",instance=\"{id}\"",
        id.app(),
        id.process()
    )
}

fn routes(proxy: &ProxyStats, out: &mut String) -> std::fmt::Result {
    gauge(
        out,
        "launchway_proxy_connections",
        "Client connections that are open",
        proxy.connections,
    )?;
    out.push_str("# HELP launchway_requests Requests that were answered.\n# TYPE launchway_requests counter\n");
    for route in &proxy.routes {
        for (class, count) in (1..).zip(route.by_class) {
            writeln!(
                out,
                "launchway_requests_total{{{},code=\"{class}xx\"}} {count}",
                route_labels(&route.route)
            )?;
        }
    }
    out.push_str("# HELP launchway_requests_in_flight Requests that are being answered.\n# TYPE launchway_requests_in_flight gauge\n");
    for route in &proxy.routes {
        writeln!(
            out,
            "launchway_requests_in_flight{{{}}} {}",
            route_labels(&route.route),
            route.in_flight
        )?;
    }
    out.push_str("# HELP launchway_request_duration_seconds How long requests took.\n# TYPE launchway_request_duration_seconds histogram\n");
    for route in &proxy.routes {
        let labels = route_labels(&route.route);
        let count: u64 = route.by_class.iter().sum();
        for (bound, below) in DURATION_BUCKETS.iter().zip(&route.buckets) {
            writeln!(
                out,
                "launchway_request_duration_seconds_bucket{{{labels},le=\"{bound:?}\"}} {below}"
            )?;
        }
        writeln!(
            out,
            "launchway_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} {count}"
        )?;
        writeln!(
            out,
            "launchway_request_duration_seconds_sum{{{labels}}} {}",
            route.seconds
        )?;
        writeln!(
            out,
            "launchway_request_duration_seconds_count{{{labels}}} {count}"
        )?;
    }
    Ok(())
}

/// The app of a route is what stands before the slash in its name.
fn route_labels(route: &str) -> String {
    let app = route.split('/').next().unwrap_or(route);
    format!("app=\"{app}\",route=\"{route}\"")
}
