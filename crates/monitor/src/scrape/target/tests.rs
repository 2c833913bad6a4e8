use super::*;
use crate::scrape::config::Config;

fn made(yaml: &str) -> Targets {
    let config = Config::parse(yaml).unwrap();
    let job = &config.jobs[0];
    targets(job, &job.static_groups)
}

#[test]
fn a_target_has_its_labels_and_its_address() {
    let found = made(
        "scrape_configs:\n- job_name: web\n  scrape_interval: 30s\n  params: {module: [http, two], x: ['a b']}\n  static_configs:\n  - targets: ['h:1', 'h:2', 'h:1', 'h/x']\n    labels: {env: prod}\n  relabel_configs:\n  - {source_labels: [__address__], regex: '.*:2', action: drop}\n  - {source_labels: [__param_module], target_label: module}\n",
    );
    assert_eq!(found.active.len(), 1);
    let target = &found.active[0];
    assert_eq!(
        target.labels.to_string(),
        r#"{env="prod", instance="h:1", job="web", module="http"}"#
    );
    assert_eq!(
        target.url,
        "http://h:1/metrics?module=http&module=two&x=a+b"
    );
    assert_eq!((target.interval, target.timeout), (30_000, 10_000));
    assert_eq!(found.dropped.len(), 1);
    assert_eq!(found.dropped[0].get("__address__"), Some("h:2"));
    assert_eq!(found.errors, ["h/x: \"h/x\" is not a valid hostname"]);
}

#[test]
fn relabelling_chooses_path_scheme_interval_and_instance() {
    let found = made(
        "scrape_configs:\n- job_name: a\n  static_configs: [{targets: ['h:1']}]\n  relabel_configs:\n  - {target_label: __scheme__, replacement: https}\n  - {target_label: __metrics_path__, replacement: /probe}\n  - {target_label: __scrape_interval__, replacement: 2m}\n  - {target_label: instance, replacement: me}\n  - {target_label: __tmp, replacement: x}\n",
    );
    let target = &found.active[0];
    assert_eq!(
        (target.url.as_str(), target.interval),
        ("https://h:1/probe", 120_000)
    );
    assert_eq!(target.labels.to_string(), r#"{instance="me", job="a"}"#);
}

#[test]
fn too_many_targets_are_none() {
    let found = made(
        "scrape_configs:\n- job_name: a\n  target_limit: 1\n  static_configs: [{targets: ['h:1', 'h:2']}]\n",
    );
    assert_eq!((found.active.len(), found.errors.len()), (0, 1));
}
