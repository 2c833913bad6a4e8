//! The proxy's own figures as Prometheus reads them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use launchway_model::route::DURATION_BUCKETS;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::meter::RouteMeter;
use crate::target::Target;
use crate::worker::Shared;

/// The media type of [`exposition`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All figures, as OpenMetrics text, which Prometheus and its kin read.
pub(crate) fn exposition(shared: &Shared) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Figures::read(shared)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

/// The figures at one moment.
#[derive(Debug)]
struct Figures {
    meters: Vec<Arc<RouteMeter>>,
    targets: Vec<Arc<Target>>,
    plain: Vec<Plain>,
}

#[derive(Debug)]
struct Plain {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    value: u64,
}

impl Figures {
    fn read(shared: &Shared) -> Self {
        let (mut meters, mut targets): (Vec<_>, Vec<_>) = shared.with_registry(|registry| {
            (
                registry.meters().map(Arc::clone).collect(),
                registry.targets().map(Arc::clone).collect(),
            )
        });
        meters.sort_by(|a, b| a.name().cmp(b.name()));
        targets.sort_by(|a, b| a.instance().cmp(b.instance()));
        let counter = |name, help, value| Plain {
            name,
            help,
            kind: MetricType::Counter,
            value,
        };
        let gauge = |name, help, value| Plain {
            name,
            help,
            kind: MetricType::Gauge,
            value,
        };
        let plain = vec![
            gauge(
                "launchway_proxy_connections",
                "Client connections open now",
                shared.connections.load(Ordering::Relaxed),
            ),
            counter(
                "launchway_proxy_connections_accepted",
                "Client connections accepted",
                shared.accepted.load(Ordering::Relaxed),
            ),
            counter(
                "launchway_proxy_connections_refused",
                "Client connections closed at once because too many were open",
                shared.refused_connections.load(Ordering::Relaxed),
            ),
            counter(
                "launchway_proxy_requests_refused",
                "Requests refused because they broke the protocol or a limit",
                shared.refused_requests.load(Ordering::Relaxed),
            ),
            counter(
                "launchway_proxy_requests_unrouted",
                "Requests for a host or path that no route has",
                shared.unrouted.load(Ordering::Relaxed),
            ),
            counter(
                "launchway_proxy_access_log_lost",
                "Lines left out of the access log because it could not be written fast enough",
                shared.access.as_ref().map_or(0, |access| access.lost()),
            ),
            gauge(
                "launchway_proxy_route_table",
                "The number of the route table that is served",
                shared.table_number(),
            ),
        ];
        Self {
            meters,
            targets,
            plain,
        }
    }

    fn of_routes(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        kind: MetricType,
        value: impl Fn(&RouteMeter) -> u64,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
        for meter in &self.meters {
            let labels = [("route", meter.name())];
            encode_one(metric.encode_family(&labels)?, kind, value(meter))?;
        }
        Ok(())
    }

    fn of_targets(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        kind: MetricType,
        value: impl Fn(&Target) -> u64,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
        for target in &self.targets {
            let instance = target.instance().to_string();
            let labels = [
                ("app", target.instance().app().as_str()),
                ("instance", instance.as_str()),
            ];
            encode_one(metric.encode_family(&labels)?, kind, value(target))?;
        }
        Ok(())
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for plain in &self.plain {
            let metric = encoder.encode_descriptor(plain.name, plain.help, None, plain.kind)?;
            encode_one(metric, plain.kind, plain.value)?;
        }
        let mut requests = encoder.encode_descriptor(
            "launchway_proxy_requests",
            "Requests answered, by route and class of status",
            None,
            MetricType::Counter,
        )?;
        for meter in &self.meters {
            let stats = meter.stats();
            for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"]
                .iter()
                .zip(stats.by_class)
            {
                let labels = [("route", meter.name()), ("status", *class)];
                encode_one(requests.encode_family(&labels)?, MetricType::Counter, count)?;
            }
        }
        self.of_routes(
            &mut encoder,
            "launchway_proxy_requests_cut",
            "Requests whose client went away or whose answer broke off",
            MetricType::Counter,
            RouteMeter::cut,
        )?;
        self.of_routes(
            &mut encoder,
            "launchway_proxy_requests_in_flight",
            "Requests in flight",
            MetricType::Gauge,
            RouteMeter::in_flight,
        )?;
        let mut durations = encoder.encode_descriptor(
            "launchway_proxy_request_duration_seconds",
            "From a request's head to the end of its answer",
            None,
            MetricType::Histogram,
        )?;
        for meter in &self.meters {
            let counts = meter.histogram();
            let bounds = DURATION_BUCKETS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
            let labels = [("route", meter.name())];
            durations
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(
                    meter.stats().seconds,
                    counts.iter().sum(),
                    &buckets,
                    None,
                )?;
        }
        for (name, help, read) in [
            (
                "launchway_proxy_target_requests",
                "Requests answered by an instance",
                (|target: &Target| target.stats().requests) as fn(&Target) -> u64,
            ),
            (
                "launchway_proxy_target_server_errors",
                "Of these, answered with a 5xx status",
                |target| target.stats().server_errors,
            ),
            (
                "launchway_proxy_target_failures",
                "Requests that an instance did not answer",
                |target| target.stats().failures,
            ),
        ] {
            self.of_targets(&mut encoder, name, help, MetricType::Counter, read)?;
        }
        self.of_targets(
            &mut encoder,
            "launchway_proxy_target_in_flight",
            "Requests in flight on an instance",
            MetricType::Gauge,
            Target::in_flight,
        )?;
        self.of_targets(
            &mut encoder,
            "launchway_proxy_target_up",
            "1 unless an instance has just refused connections",
            MetricType::Gauge,
            |target| u64::from(!target.is_down()),
        )
    }
}

fn encode_one(
    encoder: prometheus_client::encoding::MetricEncoder<'_>,
    kind: MetricType,
    value: u64,
) -> fmt::Result {
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(encoder),
        _ => ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder),
    }
}
