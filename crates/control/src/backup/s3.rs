//! A bucket of an S3-compatible store: four requests, signed with AWS Signature Version 4
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).
//!
//! The crate `object_store` does this and a hundred things more by way of reqwest and some thirty packages; a backup needs
//! PUT, GET, LIST and DELETE of whole objects. Objects are addressed by path (`ENDPOINT/BUCKET/KEY`), which every
//! compatible store understands. One PUT holds at most 5 GiB.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use launchway_model::Problem;
use ring::hmac;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use ureq::Agent;

use super::archive::hex;
use crate::problem;

/// How long a connection may take; a transfer takes what it takes.
const CONNECT: Duration = Duration::from_secs(20);
/// The most that one answer in XML may have.
const LARGEST_LIST: u64 = 16 << 20;
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A bucket, a prefix within it, and who asks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// `https://s3.eu-central-1.amazonaws.com`, without a slash at its end.
    endpoint: String,
    region: String,
    bucket: String,
    /// Before every key: empty, or with a slash at its end.
    prefix: String,
    access_key: String,
    secret_key: String,
    session_token: Option<String>,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Bucket {
    /// `BUCKET/PREFIX?endpoint=…&region=…`
    pub(super) fn parse(
        text: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Problem> {
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            return Err(Problem::invalid("the bucket's name is missing")
                .hint("Write `s3://BUCKET/PREFIX?endpoint=https://…&region=…`."));
        }
        let mut endpoint = variable("AWS_ENDPOINT_URL");
        let mut region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("endpoint", value)) => endpoint = Some(value.to_owned()),
                Some(("region", value)) => region = Some(value.to_owned()),
                _ => {
                    return Err(Problem::invalid(format!("`{pair}` is not known here"))
                        .hint("`endpoint` and `region` are."));
                }
            }
        }
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        if !(endpoint.starts_with("https://") || endpoint.starts_with("http://")) {
            return Err(
                Problem::invalid(format!("`{endpoint}` is no address of a store"))
                    .hint("Write it like `endpoint=https://s3.example.org`."),
            );
        }
        let key = |name: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| {
                    Problem::invalid(format!("{name} is not set")).hint(
                        "The bucket's keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
                    )
                })
        };
        let prefix = prefix.trim_matches('/');
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            region,
            bucket: bucket.to_owned(),
            prefix: match prefix {
                "" => String::new(),
                prefix => format!("{prefix}/"),
            },
            access_key: key("AWS_ACCESS_KEY_ID")?,
            secret_key: key("AWS_SECRET_ACCESS_KEY")?,
            session_token: variable("AWS_SESSION_TOKEN").filter(|token| !token.is_empty()),
        })
    }

    pub(super) fn words(&self) -> String {
        format!("s3://{}/{} at {}", self.bucket, self.prefix, self.endpoint)
    }

    pub(super) fn put(&self, name: &str, path: &Path) -> Result<(), Problem> {
        let failed = |error: std::io::Error| problem::file("read", path, &error);
        let mut file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut hash = Sha256::new();
        std::io::copy(&mut file, &mut HashWriter(&mut hash)).map_err(failed)?;
        let digest = hex(&hash.finalize());
        let file = File::open(path).map_err(failed)?;
        let signed = self.sign("PUT", &self.key(name), &[], &digest);
        let request = signed
            .onto(self.agent().put(&signed.url))
            .header("content-length", length.to_string());
        let answer = request.send(ureq::SendBody::from_owned_reader(file));
        self.done(answer, name).map(|_| ())
    }

    pub(super) fn get(&self, name: &str, to: &Path) -> Result<(), Problem> {
        let signed = self.sign("GET", &self.key(name), &[], EMPTY);
        let answer = signed.onto(self.agent().get(&signed.url)).call();
        let mut answer = self.done(answer, name)?;
        let mut file = File::create(to).map_err(|error| problem::file("make", to, &error))?;
        std::io::copy(&mut answer.body_mut().as_reader(), &mut file)
            .map_err(|error| problem::file("write", to, &error))?;
        Ok(())
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), Problem> {
        let signed = self.sign("DELETE", &self.key(name), &[], EMPTY);
        let answer = signed.onto(self.agent().delete(&signed.url)).call();
        self.done(answer, name).map(|_| ())
    }

    pub(super) fn list(&self) -> Result<Vec<(String, u64)>, Problem> {
        let mut all = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut query = vec![("list-type", "2"), ("prefix", self.prefix.as_str())];
            if let Some(token) = &token {
                query.push(("continuation-token", token));
            }
            let signed = self.sign("GET", "", &query, EMPTY);
            let answer = signed.onto(self.agent().get(&signed.url)).call();
            let mut answer = self.done(answer, &self.prefix)?;
            let mut text = String::new();
            answer
                .body_mut()
                .as_reader()
                .take(LARGEST_LIST)
                .read_to_string(&mut text)
                .map_err(|error| self.trouble("its list cannot be read").cause(error))?;
            let page = Page::parse(&text)
                .ok_or_else(|| self.trouble("its list is not to be understood"))?;
            all.extend(page.objects.into_iter().filter_map(|(key, bytes)| {
                let name = key.strip_prefix(&self.prefix)?;
                (!name.contains('/')).then(|| (name.to_owned(), bytes))
            }));
            match page.next {
                Some(next) if Some(&next) != token.as_ref() => token = Some(next),
                _ => return Ok(all),
            }
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn agent(&self) -> Agent {
        Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .build()
            .new_agent()
    }

    fn trouble(&self, why: &str) -> Problem {
        Problem::unavailable(format!("{}: {why}", self.words()))
    }

    fn done(
        &self,
        answer: Result<http::Response<ureq::Body>, ureq::Error>,
        name: &str,
    ) -> Result<http::Response<ureq::Body>, Problem> {
        let mut answer =
            answer.map_err(|error| self.trouble("it cannot be reached").cause(error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let mut said = String::new();
        let _ = answer
            .body_mut()
            .as_reader()
            .take(4096)
            .read_to_string(&mut said);
        Err(match status.as_u16() {
            404 => Problem::not_found(format!("there is no {name} in {}", self.words())),
            401 | 403 => Problem::invalid(format!("{} refuses our keys", self.words())),
            _ => self.trouble(&format!("it answers {status}")),
        }
        .cause(said.chars().take(400).collect::<String>()))
    }

    fn sign(&self, method: &str, key: &str, query: &[(&str, &str)], payload: &str) -> Signed {
        let path = match key {
            "" => format!("/{}", encode(&self.bucket, false)),
            key => format!("/{}/{}", encode(&self.bucket, false), encode(key, false)),
        };
        let mut query: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name, true), encode(value, true)))
            .collect();
        query.sort();
        let query = query.join("&");
        let (_, host) = self
            .endpoint
            .split_once("://")
            .unwrap_or(("", &self.endpoint));
        let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut fields = vec![
            ("host".to_owned(), host.to_owned()),
            ("x-amz-content-sha256".to_owned(), payload.to_owned()),
            ("x-amz-date".to_owned(), now.clone()),
        ];
        if let Some(token) = &self.session_token {
            fields.push(("x-amz-security-token".to_owned(), token.clone()));
        }
        let authorization = authorization(&Facts {
            method,
            path: &path,
            query: &query,
            fields: &fields,
            payload,
            now: &now,
            region: &self.region,
            access_key: &self.access_key,
            secret_key: &self.secret_key,
        });
        fields.push(("authorization".to_owned(), authorization));
        let mark = if query.is_empty() { "" } else { "?" };
        Signed {
            url: format!("{}{path}{mark}{query}", self.endpoint),
            fields,
        }
    }
}

/// A request's address and fields.
struct Signed {
    url: String,
    fields: Vec<(String, String)>,
}

impl Signed {
    fn onto<B>(&self, mut request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        for (name, value) in &self.fields {
            // The client writes this one itself, from the address.
            if name != "host" {
                request = request.header(name, value);
            }
        }
        request
    }
}

/// What a signature is made of.
pub(super) struct Facts<'f> {
    pub(super) method: &'f str,
    /// Encoded.
    pub(super) path: &'f str,
    /// Encoded and sorted.
    pub(super) query: &'f str,
    /// The signed fields: lower-case names in order.
    pub(super) fields: &'f [(String, String)],
    /// SHA-256 of the body in hexadecimal.
    pub(super) payload: &'f str,
    /// `20130524T000000Z`
    pub(super) now: &'f str,
    pub(super) region: &'f str,
    pub(super) access_key: &'f str,
    pub(super) secret_key: &'f str,
}

/// The value of the field `authorization`.
pub(super) fn authorization(facts: &Facts<'_>) -> String {
    let names: Vec<&str> = facts.fields.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let fields: String = facts
        .fields
        .iter()
        .map(|(name, value)| format!("{name}:{}\n", value.trim()))
        .collect();
    let canonical = format!(
        "{}\n{}\n{}\n{fields}\n{names}\n{}",
        facts.method, facts.path, facts.query, facts.payload
    );
    let day = facts.now.get(..8).unwrap_or_default();
    let scope = format!("{day}/{}/s3/aws4_request", facts.region);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
        facts.now,
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    let mut key = format!("AWS4{}", facts.secret_key).into_bytes();
    for part in [day, facts.region, "s3", "aws4_request", to_sign.as_str()] {
        let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes());
        key = signed.as_ref().to_vec();
    }
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={}",
        facts.access_key,
        hex(&key)
    )
}

/// Percent-encoding as the signature wants it: all but unreserved characters, and the slash where it divides a path.
fn encode(text: &str, slash: bool) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            b'/' if !slash => "/".to_owned(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// One page of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) objects: Vec<(String, u64)>,
    pub(super) next: Option<String>,
}

impl Page {
    /// Reads a `ListBucketResult`; none where it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        use quick_xml::events::Event;
        let mut reader = quick_xml::Reader::from_str(text);
        let mut page = Self::default();
        let (mut known, mut path) = (false, Vec::new());
        let (mut key, mut size, mut value) = (String::new(), 0, String::new());
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) => {
                    let name = start.local_name().as_ref().to_owned();
                    known |= path.is_empty() && name == "ListBucketResult";
                    path.push(name);
                    value.clear();
                }
                Event::Text(text) => value.push_str(&text),
                Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                    Some(character) => value.push(character),
                    None => {
                        value.push_str(quick_xml::escape::resolve_predefined_entity(&reference)?);
                    }
                },
                Event::End(_) => {
                    match path.pop()?.as_str() {
                        "Key" => key = std::mem::take(&mut value),
                        "Size" => size = value.trim().parse().ok()?,
                        "Contents" => page.objects.push((std::mem::take(&mut key), size)),
                        "NextContinuationToken" => page.next = Some(std::mem::take(&mut value)),
                        _ => {}
                    }
                    value.clear();
                }
                Event::Eof => return (known && path.is_empty()).then_some(page),
                _ => {}
            }
        }
    }
}

struct HashWriter<'h>(&'h mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
