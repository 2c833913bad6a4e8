use super::*;

#[test]
fn a_configuration_is_read_as_it_is() {
    let text = r#"
global:
  scrape_interval: 15s
  evaluation_interval: 30s
  external_labels: {monitor: codelab}
  scrape_protocols: [PrometheusProto, OpenMetricsText1.0.0, PrometheusText0.0.4]
rule_files: ["rules/*.yml"]
alerting:
  alertmanagers:
  - static_configs: [{targets: ["localhost:9093"]}]
    path_prefix: /am/
scrape_configs:
- job_name: prometheus
  static_configs:
  - targets: ['localhost:9090']
- job_name: slow
  scrape_interval: 5s
  honor_labels: true
  honor_timestamps: false
  scheme: https
  metrics_path: /probe
  params: {a: [b]}
  body_size_limit: 10MB
  sample_limit: 1000
  label_limit: 30
  basic_auth: {username: me, password: secret}
  tls_config: {insecure_skip_verify: true, server_name: x}
  file_sd_configs: [{files: ['t/*.json'], refresh_interval: 1m}]
  http_sd_configs: [{url: 'http://h/sd'}]
  relabel_configs: [{source_labels: [a], target_label: b}]
  metric_relabel_configs: [{source_labels: [__name__], regex: 'go_.*', action: drop}]
remote_write:
- url: http://h/write
  queue_config: {max_samples_per_send: 5}
storage: {tsdb: {out_of_order_time_window: 30m}}
"#;
    let config = Config::parse(text).unwrap();
    assert_eq!(config.evaluation_interval, 30_000);
    assert_eq!(config.out_of_order, Some(1_800_000));
    assert_eq!(config.alertmanagers[0].path_prefix, "/am");
    assert_eq!(config.remote_write[0].batch, 5);
    let (first, second) = (&config.jobs[0], &config.jobs[1]);
    assert_eq!(
        (first.interval, first.timeout, first.honor_labels),
        (15_000, 10_000, false)
    );
    assert_eq!(
        first.formats,
        [Format::Protobuf, Format::OpenMetrics, Format::Text]
    );
    assert_eq!((second.interval, second.timeout), (5_000, 5_000));
    assert_eq!(
        second.limits,
        Limits {
            body: 10 << 20,
            samples: 1000,
            labels: 30,
            ..Limits::default()
        }
    );
    assert!(second.honor_labels && !second.honor_timestamps && second.client.tls.insecure);
    assert_eq!(
        format!("{:?}", second.client.auth),
        "Some(Basic { username: <secret>, password: <secret> })"
    );
    assert_eq!(
        (
            second.files.len(),
            second.http.len(),
            second.relabel.len(),
            second.metric_relabel.len()
        ),
        (1, 1, 1, 1)
    );
}

#[test]
fn what_is_not_supported_is_refused_with_its_place() {
    let errors = |text: &str| -> Vec<String> {
        Config::parse(text)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(
        errors(
            "scrape_configs:\n- job_name: k\n  kubernetes_sd_configs: []\n  oauth2: {}\n  scrape_intervall: 1s\n"
        ),
        [
            "3:3: kubernetes_sd_configs is not supported: targets come from static_configs, file_sd_configs and http_sd_configs",
            "4:3: oauth2 is not supported: basic_auth, authorization and tls_config are",
            "5:3: \"scrape_intervall\" is no field of a scrape configuration",
        ]
    );
    assert_eq!(
        errors("scrape_configs:\n- job_name: a\n- job_name: a\n"),
        ["3:3: found multiple scrape configs with job name \"a\""]
    );
    assert_eq!(
        errors("scrape_configs:\n- job_name: a\n  scrape_interval: 5s\n  scrape_timeout: 6s\n"),
        ["2:3: scrape timeout greater than scrape interval for scrape config with job name \"a\""]
    );
    assert_eq!(
        errors("global: {scrape_interval: 5}\n"),
        ["1:27: not a valid duration string: \"5\""]
    );
    assert_eq!(
        errors("globl: {}\n")[0],
        "1:1: \"globl\" is no field of the configuration; it has global, rule_files, scrape_config_files, scrape_configs, alerting, remote_write, remote_read, storage, tracing, runtime"
    );
}
