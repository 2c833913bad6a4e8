//! The answers that the proxy gives by itself, as a small page, JSON or a line of text.

use crate::exchange::{AnswerSink, ClientGone};
use crate::h1::response::ResponseHead;
use crate::h1::{Field, Length, elements, named};
use crate::stream::Deadline;

/// What a client reads best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Wants {
    /// A line of text.
    #[default]
    Text,
    /// A page.
    Html,
    /// JSON.
    Json,
}

impl Wants {
    pub(crate) fn read(fields: &[Field<'_>]) -> Self {
        let mut wants = Self::Text;
        for field in fields {
            if !named(field, "accept") {
                continue;
            }
            for element in elements(field.value) {
                let kind = element
                    .split(|byte| *byte == b';')
                    .next()
                    .unwrap_or(element);
                let kind = kind.trim_ascii();
                if kind.eq_ignore_ascii_case(b"text/html") {
                    return Self::Html;
                }
                if kind.eq_ignore_ascii_case(b"application/json")
                    || kind.to_ascii_lowercase().ends_with(b"+json")
                {
                    wants = Self::Json;
                }
            }
        }
        wants
    }
}

/// An answer of the proxy's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) status: u16,
    title: String,
    text: String,
    hint: Option<String>,
    /// A further header field.
    field: Option<(&'static str, String)>,
}

impl Page {
    /// No route has this host and path.
    pub(crate) fn unknown_host(host: &str, path: &str) -> Self {
        let shown = if host.is_empty() { "(none)" } else { host };
        Self {
            status: 404,
            title: "No app answers here".to_owned(),
            text: format!("No app is set up for the host {shown} and the path {path}."),
            hint: Some(format!(
                "If an app should answer, give it this name: launchway domains add APP {shown}"
            )),
            field: None,
        }
    }

    /// The app is stopped.
    pub(crate) fn stopped(route: &str, reason: &str) -> Self {
        Self {
            status: 503,
            title: format!("{route} is stopped"),
            text: reason.to_owned(),
            hint: None,
            field: None,
        }
    }

    /// The app is in maintenance.
    pub(crate) fn maintenance(message: &str) -> Self {
        Self {
            status: 503,
            title: "Back soon".to_owned(),
            text: message.to_owned(),
            hint: None,
            field: Some(("retry-after", "60".to_owned())),
        }
    }

    /// Any other trouble.
    pub(crate) fn trouble(status: u16, reason: &str) -> Self {
        let mut text = reason.to_owned();
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        text.push('.');
        Self {
            status,
            title: reason_phrase(status).to_owned(),
            text,
            hint: None,
            field: (status == 503).then(|| ("retry-after", "1".to_owned())),
        }
    }

    /// Another address to go to.
    pub(crate) fn redirect(status: u16, location: String) -> Self {
        Self {
            status,
            title: reason_phrase(status).to_owned(),
            text: format!("Go to {location}."),
            hint: None,
            field: Some(("location", location)),
        }
    }

    /// With one more header field.
    pub(crate) fn with_field(mut self, name: &'static str, value: String) -> Self {
        self.field = Some((name, value));
        self
    }

    /// Content type and content.
    pub(crate) fn render(&self, wants: Wants, request_id: &str) -> (&'static str, Vec<u8>) {
        match wants {
            Wants::Html => ("text/html; charset=utf-8", self.html(request_id)),
            Wants::Json => ("application/json", self.json(request_id)),
            Wants::Text => ("text/plain; charset=utf-8", self.plain()),
        }
    }

    fn plain(&self) -> Vec<u8> {
        let mut text = format!("{} {}\n{}\n", self.status, self.title, self.text);
        if let Some(hint) = &self.hint {
            text.push_str(hint);
            text.push('\n');
        }
        text.into_bytes()
    }

    fn json(&self, request_id: &str) -> Vec<u8> {
        serde_json::json!({
            "status": self.status,
            "error": self.title,
            "message": self.text,
            "hint": self.hint,
            "request_id": request_id,
        })
        .to_string()
        .into_bytes()
    }

    fn html(&self, request_id: &str) -> Vec<u8> {
        let (title, text) = (escaped(&self.title), escaped(&self.text));
        let hint = match &self.hint {
            Some(hint) => format!("<p class=\"hint\">{}</p>", escaped(hint)),
            None => String::new(),
        };
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{status} {title}</title>\
<style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;\
color:#222;background:#fafafa}}h1{{font-size:1.4rem}}.status,.hint,small{{color:#666}}p{{overflow-wrap:anywhere}}\
@media(prefers-color-scheme:dark){{body{{color:#ddd;background:#161616}}.status,.hint,small{{color:#999}}}}</style></head>\
<body><main><p class=\"status\">{status}</p><h1>{title}</h1><p>{text}</p>{hint}<p><small>Request {id}</small></p></main></body></html>\n",
            status = self.status,
            id = escaped(request_id),
        )
        .into_bytes()
    }

    /// Answers with the page.
    pub(crate) async fn answer<K: AnswerSink>(
        &self,
        sink: &mut K,
        wants: Wants,
        to_head: bool,
        request_id: &str,
        deadline: &mut Deadline,
    ) -> Result<(), ClientGone> {
        let (kind, content) = self.render(wants, request_id);
        {
            let mut fields = vec![
                field("content-type", kind.as_bytes()),
                field("cache-control", b"no-store"),
                field("x-content-type-options", b"nosniff"),
                field("x-request-id", request_id.as_bytes()),
            ];
            if let Some((name, value)) = &self.field {
                fields.push(field(name, value.as_bytes()));
            }
            let head = own_head(self.status, &fields, content.len() as u64, to_head);
            sink.begin(&head, true);
        }
        if !to_head {
            sink.data(&content, deadline).await?;
        }
        sink.end(&[], deadline).await
    }
}

/// A field of an answer of the proxy's own.
pub(crate) fn field<'b>(name: &'b str, value: &'b [u8]) -> Field<'b> {
    Field { name, value }
}

/// The head of an answer of the proxy's own with this many bytes of content.
pub(crate) fn own_head<'h, 'b>(
    status: u16,
    fields: &'h [Field<'b>],
    length: u64,
    to_head: bool,
) -> ResponseHead<'h, 'b> {
    let without = to_head || matches!(status, 204 | 304) || length == 0;
    ResponseHead {
        bytes: 0,
        status,
        reason: reason_phrase(status),
        fields,
        body: match without {
            true => Length::None,
            false => Length::Fixed(length),
        },
        content_length: (status != 304).then_some(length),
        keep_alive: true,
        upgrade: None,
        lists_fields: false,
    }
}

/// The reason phrase of the statuses that the proxy gives by itself.
pub(crate) fn reason_phrase(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("")
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_speaks_what_the_client_reads() {
        for (accept, wants) in [
            ("text/html,application/json;q=0.9", Wants::Html),
            ("application/json", Wants::Json),
            ("application/problem+json; q=1", Wants::Json),
            ("*/*", Wants::Text),
        ] {
            let fields = [field("Accept", accept.as_bytes())];
            assert_eq!(Wants::read(&fields), wants, "{accept}");
        }
    }

    #[test]
    fn what_a_client_sends_cannot_become_markup() {
        let page = Page::unknown_host("a.test", "/<script>alert(1)</script>");
        let (_, content) = page.render(Wants::Html, "r");
        let content = String::from_utf8(content).unwrap();
        assert!(!content.contains("<script>"), "{content}");
        assert!(content.contains("a.test"));
        assert!(content.contains("launchway domains add APP a.test"));
    }

    #[test]
    fn json_is_json() {
        let page = Page::trouble(502, "the app said \"no\"");
        let (kind, content) = page.render(Wants::Json, "abc");
        assert_eq!(kind, "application/json");
        let value: serde_json::Value = serde_json::from_slice(&content).unwrap();
        assert_eq!(value["status"], 502);
        assert_eq!(value["request_id"], "abc");
    }
}
