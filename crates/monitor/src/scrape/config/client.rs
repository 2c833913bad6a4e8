//! The fields that say how a server is reached, the same wherever a configuration names one.

use super::{texts, unsupported};
use crate::http::{Auth, ClientSpec, Secret};
use crate::yaml::{Node, YamlError, noted, unknown};

fn secret(node: &Node, errors: &mut Vec<YamlError>) -> Option<Secret> {
    noted(errors, node.text()).map(|text| Secret::Text(text.to_owned()))
}

fn secret_file(node: &Node, errors: &mut Vec<YamlError>) -> Option<Secret> {
    noted(errors, node.text()).map(|text| Secret::File(text.into()))
}

/// The fields of Prometheus' HTTP client configuration; `false` for another.
pub(super) fn client_field(
    name: &str,
    key: &Node,
    value: &Node,
    client: &mut ClientSpec,
    errors: &mut Vec<YamlError>,
) -> bool {
    match name {
        "basic_auth" => {
            let (mut username, mut password) =
                (Secret::Text(String::new()), Secret::Text(String::new()));
            for (key, value) in noted(errors, value.map()).unwrap_or(&[]) {
                match key.text().unwrap_or("") {
                    "username" => username = secret(value, errors).unwrap_or(username),
                    "username_file" => username = secret_file(value, errors).unwrap_or(username),
                    "password" => password = secret(value, errors).unwrap_or(password),
                    "password_file" => password = secret_file(value, errors).unwrap_or(password),
                    _ => errors.push(unknown(
                        key,
                        "basic_auth",
                        &["username", "username_file", "password", "password_file"],
                    )),
                }
            }
            client.auth = Some(Auth::Basic { username, password });
        }
        "authorization" => {
            let (mut kind, mut credentials) = ("Bearer".to_owned(), None);
            for (key, value) in noted(errors, value.map()).unwrap_or(&[]) {
                match key.text().unwrap_or("") {
                    "type" => kind = noted(errors, value.text()).unwrap_or("Bearer").to_owned(),
                    "credentials" => credentials = secret(value, errors),
                    "credentials_file" => credentials = secret_file(value, errors),
                    _ => errors.push(unknown(
                        key,
                        "authorization",
                        &["type", "credentials", "credentials_file"],
                    )),
                }
            }
            client.auth = credentials.map(|credentials| Auth::Header { kind, credentials });
        }
        "bearer_token" => {
            client.auth = secret(value, errors).map(|credentials| Auth::Header {
                kind: "Bearer".into(),
                credentials,
            })
        }
        "bearer_token_file" => {
            client.auth = secret_file(value, errors).map(|credentials| Auth::Header {
                kind: "Bearer".into(),
                credentials,
            })
        }
        "tls_config" => tls(value, client, errors),
        "follow_redirects" => {
            client.follow_redirects = noted(errors, value.boolean()).unwrap_or(true)
        }
        // HTTP/1.1 is always spoken.
        "enable_http2" => {}
        "http_headers" => headers(value, client, errors),
        "oauth2"
        | "proxy_url"
        | "proxy_from_environment"
        | "proxy_connect_header"
        | "no_proxy"
        | "sigv4"
        | "azuread"
        | "google_iam" => errors.push(unsupported(
            key,
            ": basic_auth, authorization and tls_config are",
        )),
        _ => return false,
    }
    true
}

fn headers(node: &Node, client: &mut ClientSpec, errors: &mut Vec<YamlError>) {
    for (name, spec) in noted(errors, node.map()).unwrap_or(&[]) {
        for (key, value) in noted(errors, spec.map()).unwrap_or(&[]) {
            let found: Vec<Secret> = match key.text().unwrap_or("") {
                "values" | "secrets" => {
                    texts(value, errors).into_iter().map(Secret::Text).collect()
                }
                "files" => texts(value, errors)
                    .into_iter()
                    .map(|name| Secret::File(name.into()))
                    .collect(),
                _ => {
                    errors.push(unknown(key, "a header", &["values", "secrets", "files"]));
                    Vec::new()
                }
            };
            let name = name.text().unwrap_or("").to_owned();
            client
                .headers
                .extend(found.into_iter().map(|value| (name.clone(), value)));
        }
    }
}

fn tls(node: &Node, client: &mut ClientSpec, errors: &mut Vec<YamlError>) {
    let known = [
        "ca",
        "ca_file",
        "cert",
        "cert_file",
        "key",
        "key_file",
        "server_name",
        "insecure_skip_verify",
    ];
    let tls = &mut client.tls;
    for (key, value) in noted(errors, node.map()).unwrap_or(&[]) {
        match key.text().unwrap_or("") {
            "ca" => tls.ca = secret(value, errors),
            "ca_file" => tls.ca = secret_file(value, errors),
            "cert" => tls.certificate = secret(value, errors),
            "cert_file" => tls.certificate = secret_file(value, errors),
            "key" => tls.key = secret(value, errors),
            "key_file" => tls.key = secret_file(value, errors),
            "server_name" => tls.server_name = noted(errors, value.text()).map(str::to_owned),
            "insecure_skip_verify" => {
                tls.insecure = noted(errors, value.boolean()).unwrap_or(false)
            }
            // 1.2 is the least that is spoken.
            "min_version" | "max_version" => {}
            _ => errors.push(unknown(key, "tls_config", &known)),
        }
    }
}
