use super::*;
use crate::labels::Labels;
use crate::rules::RuleOptions;
use crate::storage::{Exemplar, Metadata, MetricKind, Options};
use proptest::prelude::*;

/// `up` of two jobs and a counter, every 15 s over ten minutes that end now.
fn api() -> (Api, i64) {
    let store = Store::in_memory(Options {
        future_limit: None,
        ..Options::default()
    });
    let end = now() / 15_000 * 15_000;
    let mut appender = store.appender();
    for step in 0..=40 {
        let time = end - 600_000 + step * 15_000;
        for job in ["a", "b"] {
            appender
                .append(
                    &Labels::from_pairs([("__name__", "up"), ("job", job)]),
                    time,
                    1.0,
                )
                .unwrap();
        }
        let counter = Labels::from_pairs([
            ("__name__", "hits_total"),
            ("job", "a"),
            ("path", "/\"x\"\n"),
        ]);
        let series = appender.append(&counter, time, step as f64 * 30.0).unwrap();
        if step == 40 {
            let labels = Labels::from_pairs([("trace_id", "t1")]);
            appender
                .append_exemplar(
                    series,
                    Exemplar {
                        labels,
                        value: 0.5,
                        timestamp_ms: time,
                    },
                )
                .unwrap();
        }
    }
    appender.commit().unwrap();
    let metadata = Metadata {
        kind: MetricKind::Counter,
        unit: String::new(),
        help: "Hits.".to_owned(),
    };
    store.set_metadata("hits_total", metadata);
    let rules = Rules::new(store.clone(), Engine::default(), RuleOptions::default());
    let text = "groups: [{name: g, rules: [{record: 'job:up', expr: up}, {alert: Up, expr: 'up == 1', labels: {s: x}}]}]";
    rules.load(&[("r.yml".into(), text.to_owned())]).unwrap();
    rules.evaluate_due(end);
    (
        Api::new(store, Engine::default()).with_rules(Arc::new(rules)),
        end,
    )
}

fn get(api: &Api, path: &str, query: &str) -> (u16, Json) {
    let response = api.handle(&Request::new("GET", path, query, ""));
    let body = std::str::from_utf8(&response.body).unwrap();
    (
        response.status,
        serde_json::from_str(body).unwrap_or_else(|e| panic!("{path}?{query}: {e}: {body}")),
    )
}

fn data(api: &Api, path: &str, query: &str) -> Json {
    let (status, body) = get(api, path, query);
    assert_eq!(
        (status, &body["status"]),
        (200, &"success".into()),
        "{path}?{query}: {body}"
    );
    body["data"].clone()
}

#[test]
fn queries_are_answered_in_prometheus_form() {
    let (api, end) = api();
    let at = end / 1000;
    let vector = data(
        &api,
        "/api/v1/query",
        &format!("query=up%7Bjob%3D%22a%22%7D&time={at}.5"),
    );
    assert_eq!(vector["resultType"], "vector");
    assert_eq!(
        vector["result"][0]["metric"],
        serde_json::json!({"__name__": "up", "job": "a"})
    );
    assert_eq!(
        vector["result"][0]["value"],
        serde_json::json!([at as f64 + 0.5, "1"])
    );
    assert_eq!(
        data(&api, "/api/v1/query", "query=1%2B1&time=10")["result"],
        serde_json::json!([10, "2"])
    );
    assert_eq!(
        data(&api, "/api/v1/query", "query=%22x%22&time=10")["result"],
        serde_json::json!([10, "x"])
    );
    assert_eq!(
        data(&api, "/api/v1/query", "query=1e-7&time=10")["result"],
        serde_json::json!([10, "1e-07"])
    );
    let range = format!(
        "query=increase(hits_total[1m])&start={}&end={at}&step=15s&stats=all",
        at - 60
    );
    let matrix = data(&api, "/api/v1/query_range", &range);
    assert_eq!(matrix["resultType"], "matrix");
    assert_eq!(matrix["result"][0]["metric"]["path"], "/\"x\"\n");
    assert_eq!(matrix["result"][0]["values"].as_array().unwrap().len(), 5);
    assert_eq!(
        matrix["result"][0]["values"][4],
        serde_json::json!([at, "120"])
    );
    assert!(
        matrix["stats"]["samples"]["totalQueryableSamples"]
            .as_u64()
            .unwrap()
            > 0
    );
    let form = Request::new("POST", "/api/v1/query", "", "query=vector(3)&time=1");
    assert_eq!(api.handle(&form).status, 200);
    let (_, body) = get(&api, "/api/v1/query", "query=rate(up[1m])");
    assert!(
        body["infos"][0]
            .as_str()
            .unwrap()
            .contains("might not be a counter"),
        "{body}"
    );
}

#[test]
fn mistakes_are_named_as_prometheus_names_them() {
    let (api, _) = api();
    for (path, query, status, kind, part) in [
        (
            "/api/v1/query",
            "query=sum(",
            400,
            "bad_data",
            "invalid parameter \"query\"",
        ),
        (
            "/api/v1/query",
            "query=up&time=now",
            400,
            "bad_data",
            "cannot parse \"now\"",
        ),
        (
            "/api/v1/query",
            "query=up%2Bon(x)up",
            422,
            "execution",
            "many-to-many",
        ),
        (
            "/api/v1/query",
            "query=up&timeout=0",
            503,
            "timeout",
            "timed out",
        ),
        (
            "/api/v1/query_range",
            "query=up&start=1&end=0&step=1",
            400,
            "bad_data",
            "before start",
        ),
        (
            "/api/v1/query_range",
            "query=up&start=0&end=1&step=0",
            400,
            "bad_data",
            "zero or negative",
        ),
        (
            "/api/v1/query_range",
            "query=up&start=0&end=11001&step=1",
            400,
            "bad_data",
            "11,000 points",
        ),
        (
            "/api/v1/query_range",
            "query=up&end=1&step=1",
            400,
            "bad_data",
            "\"start\"",
        ),
        ("/api/v1/series", "", 400, "bad_data", "match[]"),
        (
            "/api/v1/series",
            "match[]=rate(up[1m])",
            400,
            "bad_data",
            "selector",
        ),
        ("/api/v1/labels", "start=2&end=1", 400, "bad_data", "before"),
        ("/api/v1/rules", "type=x", 400, "bad_data", "type"),
        ("/api/v1/nothing", "", 404, "not_found", "nothing"),
        ("/elsewhere", "", 404, "not_found", "nothing"),
        ("/api/v1/status/nothing", "", 404, "not_found", "nothing"),
    ] {
        let (got, body) = get(&api, path, query);
        let error = body["error"].as_str().unwrap();
        assert_eq!(
            (got, body["errorType"].as_str().unwrap()),
            (status, kind),
            "{path}?{query}: {body}"
        );
        assert!(error.contains(part), "{path}?{query}: {error}");
    }
    assert_eq!(
        api.handle(&Request::new("DELETE", "/api/v1/query", "query=up", ""))
            .status,
        405
    );
    assert_eq!(
        api.handle(&Request::new("POST", "/api/v1/rules", "", ""))
            .status,
        405
    );
    let canceled = Request::new("GET", "/api/v1/query", "query=up", "");
    canceled.cancellation.cancel();
    assert_eq!(api.handle(&canceled).status, 499);
    assert_eq!(
        api.handle(&Request::new("HEAD", "/api/v1/query", "query=up", ""))
            .body,
        b""
    );
}

#[test]
fn labels_series_and_metadata_are_listed() {
    let (api, _) = api();
    let names = serde_json::json!(["__name__", "alertname", "alertstate", "job", "path", "s"]);
    assert_eq!(data(&api, "/api/v1/labels", ""), names);
    assert_eq!(
        data(&api, "/api/v1/labels", "match[]=hits_total"),
        serde_json::json!(["__name__", "job", "path"])
    );
    assert_eq!(
        data(&api, "/api/v1/label/job/values", ""),
        serde_json::json!(["a", "b"])
    );
    assert_eq!(
        data(&api, "/api/v1/label/job/values", "match[]=hits_total"),
        serde_json::json!(["a"])
    );
    assert_eq!(
        data(&api, "/api/v1/label/U__job/values", ""),
        serde_json::json!(["a", "b"])
    );
    let (_, limited) = get(&api, "/api/v1/label/job/values", "limit=1");
    assert_eq!(
        (&limited["data"], &limited["warnings"][0]),
        (
            &serde_json::json!(["a"]),
            &"results truncated due to limit".into()
        )
    );
    let series = data(&api, "/api/v1/series", "match[]=up&match[]=hits_total");
    assert_eq!(series.as_array().unwrap().len(), 3);
    let metadata = data(&api, "/api/v1/metadata", "metric=hits_total");
    assert_eq!(
        metadata,
        serde_json::json!({"hits_total": [{"type": "counter", "unit": "", "help": "Hits."}]})
    );
    let exemplars = data(
        &api,
        "/api/v1/query_exemplars",
        "query=rate(hits_total[1m])",
    );
    assert_eq!(exemplars[0]["exemplars"][0]["labels"]["trace_id"], "t1");
    assert_eq!(
        data(&api, "/api/v1/query_exemplars", "query=up"),
        serde_json::json!([])
    );
}

#[test]
fn queries_are_formatted_and_taken_apart() {
    let (api, _) = api();
    assert_eq!(
        data(&api, "/api/v1/format_query", "query=sum%20%20by(a)(x)"),
        "sum by (a) (x)"
    );
    let tree = data(
        &api,
        "/api/v1/parse_query",
        "query=sum by(job)(rate(x{a=~\"b\"}[5m] offset 1m)) / on(job) group_left(y) z > bool 2",
    );
    assert_eq!(tree["op"], ">");
    assert_eq!(tree["bool"], true);
    let division = &tree["lhs"];
    let matching =
        serde_json::json!({"card": "many-to-one", "labels": ["job"], "on": true, "include": ["y"]});
    assert_eq!(
        (&division["op"], &division["matching"]),
        (&"/".into(), &matching)
    );
    let matrix = &division["lhs"]["expr"]["args"][0];
    assert_eq!(
        (
            matrix["type"].as_str(),
            matrix["range"].as_i64(),
            matrix["offset"].as_i64()
        ),
        (Some("matrixSelector"), Some(300_000), Some(60_000))
    );
    assert_eq!(matrix["matchers"].as_array().unwrap().len(), 2);
}

#[test]
fn rules_alerts_and_status_are_shown() {
    let (api, end) = api();
    let groups = data(&api, "/api/v1/rules", "");
    let rules = &groups["groups"][0]["rules"];
    assert_eq!(
        (&rules[0]["type"], &rules[0]["health"]),
        (&"recording".into(), &"ok".into())
    );
    assert_eq!(
        (
            &rules[1]["state"],
            rules[1]["alerts"].as_array().unwrap().len()
        ),
        (&"firing".into(), 2)
    );
    assert_eq!(rules[1]["alerts"][0]["value"], "1e+00");
    let only = data(
        &api,
        "/api/v1/rules",
        "type=record&rule_group[]=g&exclude_alerts=true",
    );
    assert_eq!(only["groups"][0]["rules"].as_array().unwrap().len(), 1);
    assert_eq!(
        data(&api, "/api/v1/rules", "rule_name[]=none")["groups"],
        serde_json::json!([])
    );
    let alerts = data(&api, "/api/v1/alerts", "");
    assert_eq!(alerts["alerts"][0]["activeAt"], crate::promql::rfc3339(end));
    for path in [
        "buildinfo",
        "config",
        "flags",
        "runtimeinfo",
        "tsdb",
        "tsdb/blocks",
        "walreplay",
    ] {
        data(&api, &format!("/api/v1/status/{path}"), "");
    }
    assert_eq!(
        data(&api, "/api/v1/status/tsdb", "")["headStats"]["numSeries"],
        9
    );
    for path in [
        "targets",
        "scrape_pools",
        "alertmanagers",
        "notifications",
        "targets/metadata",
    ] {
        data(&api, &format!("/api/v1/{path}"), "");
    }
    let sources = Sources {
        targets: Some(Box::new(|| serde_json::json!({"activeTargets": [1]}))),
        ..Sources::default()
    };
    assert_eq!(
        data(&api.with_sources(sources), "/api/v1/targets", "")["activeTargets"][0],
        1
    );
}

#[test]
fn other_servers_can_federate() {
    let (api, end) = api();
    let response = api.handle(&Request::new(
        "GET",
        "/federate",
        "match[]=hits_total&match[]=up{job=\"a\"}",
        "",
    ));
    let text = String::from_utf8(response.body).unwrap();
    let expected = format!(
        "# TYPE hits_total counter\nhits_total{{job=\"a\",path=\"/\\\"x\\\"\\n\",instance=\"\"}} 1200 {end}\n\
         # TYPE up untyped\nup{{job=\"a\",instance=\"\"}} 1 {end}\n"
    );
    assert_eq!(text, expected);
    assert_eq!(
        api.handle(&Request::new("GET", "/federate", "match[]=(", ""))
            .status,
        400
    );
    assert_eq!(
        api.handle(&Request::new("GET", "/-/healthy", "", ""))
            .status,
        200
    );
    assert_eq!(
        api.handle(&Request::new("GET", "/-/ready", "", "")).status,
        200
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_request_gets_json(path in "/api/v1/(query|query_range|series|label/[a-z%U_]{0,5}/values|parse_query|rules|status/[a-z]{0,5}|[a-z/]{0,8})", query in "((query|match\\[\\]|time|start|end|step|limit|timeout)=[a-z0-9(){}%+.\"-]{0,12}&){0,5}") {
        let store = Store::in_memory(Options::default());
        let (status, body) = get(&Api::new(store, Engine::default()), &path, &query);
        prop_assert_eq!(status == 200, body["status"] == "success");
    }
}
