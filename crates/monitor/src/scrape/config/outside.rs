//! Who is told outside: Alertmanagers, and servers that take a copy of all samples.

use super::client::client_field;
use super::{
    Alertmanager, Config, RemoteWrite, positive, relabel, scheme, static_group, unsupported,
};
use crate::http::{ClientSpec, Secret};
use crate::yaml::{Node, YamlError, noted, text_pairs, unknown};

pub(super) fn alerting(node: &Node, config: &mut Config, errors: &mut Vec<YamlError>) {
    for (key, value) in noted(errors, node.map()).unwrap_or(&[]) {
        match key.text().unwrap_or("") {
            "alert_relabel_configs" => config.alert_relabel = relabel::rules(value, errors),
            "alertmanagers" => {
                for item in noted(errors, value.list()).unwrap_or(&[]) {
                    config.alertmanagers.extend(alertmanager(item, errors));
                }
            }
            _ => errors.push(unknown(
                key,
                "alerting",
                &["alert_relabel_configs", "alertmanagers"],
            )),
        }
    }
}

fn alertmanager(node: &Node, errors: &mut Vec<YamlError>) -> Option<Alertmanager> {
    let mut found = Alertmanager {
        targets: Vec::new(),
        scheme: "http".to_owned(),
        path_prefix: String::new(),
        timeout: 10_000,
        client: ClientSpec::default(),
    };
    for (key, value) in noted(errors, node.map())? {
        match key.text().unwrap_or("") {
            "static_configs" => {
                for item in noted(errors, value.list()).unwrap_or(&[]) {
                    found
                        .targets
                        .extend(static_group(item, "", errors)?.targets);
                }
            }
            "scheme" => found.scheme = scheme(value, errors),
            "path_prefix" => {
                found.path_prefix = noted(errors, value.text())?
                    .trim_end_matches('/')
                    .to_owned()
            }
            "timeout" => found.timeout = positive(value, errors),
            "api_version" => {}
            name if name.ends_with("_sd_configs") || name.ends_with("relabel_configs") => errors
                .push(unsupported(
                    key,
                    " here: Alertmanagers are named in static_configs",
                )),
            name if client_field(name, key, value, &mut found.client, errors) => {}
            _ => errors.push(YamlError::at(
                key.place,
                format!("{} is no field of an Alertmanager", key.kind()),
            )),
        }
    }
    Some(found)
}

pub(super) fn remote_write(node: &Node, errors: &mut Vec<YamlError>) -> Option<RemoteWrite> {
    let mut found = RemoteWrite {
        url: String::new(),
        name: String::new(),
        version_2: false,
        timeout: 30_000,
        relabel: Vec::new(),
        client: ClientSpec::default(),
        batch: 2000,
    };
    for (key, value) in noted(errors, node.map())? {
        match key.text().unwrap_or("") {
            "url" => found.url = noted(errors, value.text())?.to_owned(),
            "name" => found.name = noted(errors, value.text())?.to_owned(),
            "remote_timeout" => found.timeout = positive(value, errors),
            "protobuf_message" => {
                found.version_2 = noted(errors, value.text())? == "io.prometheus.write.v2.Request"
            }
            "write_relabel_configs" => found.relabel = relabel::rules(value, errors),
            "headers" => {
                let pairs = text_pairs(value, errors).into_iter();
                found
                    .client
                    .headers
                    .extend(pairs.map(|(name, value)| (name, Secret::Text(value))));
            }
            "queue_config" => {
                for (key, value) in noted(errors, value.map())? {
                    if key.text() == Ok("max_samples_per_send") {
                        found.batch = noted(errors, value.number()).unwrap_or(2000).max(1);
                    }
                }
            }
            "send_exemplars" | "send_native_histograms" | "metadata_config" | "round_robin_dns" => {
            }
            name if client_field(name, key, value, &mut found.client, errors) => {}
            _ => errors.push(YamlError::at(
                key.place,
                format!("{} is no field of a remote write", key.kind()),
            )),
        }
    }
    if found.url.is_empty() {
        errors.push(YamlError::at(node.place, "url for remote_write is empty"));
    }
    Some(found)
}
