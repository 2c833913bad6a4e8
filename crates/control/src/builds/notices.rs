//! Mails and chat messages that pipelines send, by the mail server and the webhook that control was started with.
//!
//! Where none is set, the build's log says so and the build goes on: a pipeline that came from elsewhere must not fail for
//! want of a mail server, and nobody must think that the mail was sent.

use std::path::{Component, Path};
use std::time::Duration;

use launchway_model::Problem;
use launchway_model::request::{Answer, ChatRequest, MailRequest};
use launchway_store::StoredBuild;
use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::{Message, SmtpTransport, Transport};

use crate::Control;

/// How long a server has to take a message.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest file that is attached.
const MAX_ATTACHED: u64 = 10 << 20;

/// Sends a mail.
pub(super) async fn mail(
    control: &Control,
    stored: &StoredBuild,
    request: &MailRequest,
) -> Result<Answer, Problem> {
    let Some(server) = control.settings().mail_server.clone() else {
        return Ok(Answer::done(vec![
            "No mail is sent: no mail server is set. `launchway control --smtp URL` (LAUNCHWAY_SMTP_URL) names one.".to_owned(),
        ]));
    };
    let from = if request.from.is_empty() {
        control.settings().mail_from.clone()
    } else {
        request.from.clone()
    };
    let folder = control.settings().home.build(stored.build.id);
    let (message, receivers) = compose(request, &from, &stored.build.request.author, &folder)?;
    let sent = tokio::task::spawn_blocking(move || {
        SmtpTransport::from_url(&server)?
            .timeout(Some(PATIENCE))
            .build()
            .send(&message)
    })
    .await
    .map_err(|error| Problem::internal("the mail's task broke").cause(error))?;
    match sent {
        Ok(_) => Ok(Answer::done(vec![format!(
            "Mailed to {}",
            receivers.join(", ")
        )])),
        Err(error) => Err(
            Problem::unavailable("the mail server did not take the mail")
                .caused_by(&error)
                .hint("Check the address of `launchway control --smtp`."),
        ),
    }
}

/// The message, and to whom it goes.
fn compose(
    request: &MailRequest,
    from: &str,
    author: &str,
    folder: &Path,
) -> Result<(Message, Vec<String>), Problem> {
    let sender: Mailbox = from.parse().map_err(|error| {
        Problem::invalid(format!("`{from}` is no sender's address")).cause(error)
    })?;
    let mut builder = Message::builder().from(sender).subject(&request.subject);
    let mut receivers = Vec::new();
    for (list, usual) in [
        (&request.to, "to"),
        (&request.cc, "cc"),
        (&request.bcc, "bcc"),
    ] {
        for (kind, address) in addresses(list, usual) {
            let mailbox: Mailbox = address.parse().map_err(|error| {
                Problem::invalid(format!("`{address}` is no mail address")).cause(error)
            })?;
            builder = match kind {
                "cc" => builder.cc(mailbox),
                "bcc" => builder.bcc(mailbox),
                _ => builder.to(mailbox),
            };
            receivers.push(address);
        }
    }
    if receivers.is_empty() {
        // As with Jenkins' recipient providers: whoever made the commit.
        let mailbox: Mailbox = author.parse().map_err(|_| {
            Problem::invalid(
                "the mail names nobody to send it to, and the commit's author has no address",
            )
        })?;
        receivers.push(mailbox.to_string());
        builder = builder.to(mailbox);
    }
    if !request.reply_to.is_empty()
        && let Ok(mailbox) = request.reply_to.parse()
    {
        builder = builder.reply_to(mailbox);
    }
    let content = if request.html {
        ContentType::TEXT_HTML
    } else {
        ContentType::TEXT_PLAIN
    };
    let text = SinglePart::builder()
        .header(content)
        .body(request.body.clone());
    let mut parts = MultiPart::mixed().singlepart(text);
    for (name, path) in &request.attachments {
        let inside = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let file = folder.join(path);
        let small =
            std::fs::metadata(&file).is_ok_and(|data| data.is_file() && data.len() <= MAX_ATTACHED);
        if !inside || !small {
            continue;
        }
        if let Ok(bytes) = std::fs::read(&file) {
            let kind = ContentType::parse("application/octet-stream")
                .map_err(|error| Problem::internal("a content type is none").cause(error))?;
            parts = parts.singlepart(Attachment::new(name.clone()).body(bytes, kind));
        }
    }
    let message = builder
        .multipart(parts)
        .map_err(|error| Problem::invalid("the mail cannot be written").cause(error))?;
    Ok((message, receivers))
}

/// Addresses with what each is for: `a@x.org, cc:b@x.org`.
fn addresses<'a>(list: &str, usual: &'a str) -> Vec<(&'a str, String)> {
    list.split([',', ';', ' ', '\n', '\t'])
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(|word| match word.split_once(':') {
            Some(("cc", address)) => ("cc", address.to_owned()),
            Some(("bcc", address)) => ("bcc", address.to_owned()),
            Some(("to", address)) => ("to", address.to_owned()),
            _ => (usual, word.to_owned()),
        })
        .collect()
}

/// Tells a chat, by an incoming webhook as Slack and Mattermost have it.
pub(super) async fn chat(control: &Control, request: &ChatRequest) -> Result<Answer, Problem> {
    let own = control.settings().chat_webhook.clone();
    let url = if request.url.is_empty() {
        own
    } else {
        Some(request.url.clone())
    };
    let Some(url) = url else {
        return Ok(Answer::done(vec![
            "No message is sent: no webhook is set. `launchway control --chat-webhook URL` (LAUNCHWAY_CHAT_WEBHOOK) names one.".to_owned(),
        ]));
    };
    let body = chat_body(request);
    let sent = tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .build()
            .new_agent();
        agent.post(&url).send_json(&body)
    })
    .await
    .map_err(|error| Problem::internal("the message's task broke").cause(error))?;
    match sent {
        Ok(_) => Ok(Answer::done(vec!["The chat was told".to_owned()])),
        // The error's own words may hold the webhook's address, which is a secret.
        Err(ureq::Error::StatusCode(code)) => Err(Problem::failed(format!(
            "the chat's webhook refused the message with status {code}"
        ))),
        Err(_) => Err(Problem::unavailable("the chat's webhook cannot be reached")),
    }
}

fn chat_body(request: &ChatRequest) -> serde_json::Value {
    let color = match request.color.as_str() {
        "" => None,
        color => Some(color),
    };
    let mut body = match color {
        Some(color) => serde_json::json!({
            "attachments": [{ "color": color, "text": request.message, "fallback": request.message }]
        }),
        None => serde_json::json!({ "text": request.message }),
    };
    if !request.channel.is_empty() {
        body["channel"] = request.channel.clone().into();
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_goes_to_those_named_or_to_the_author() {
        let request = MailRequest {
            to: "a@example.org, cc:b@example.org;bcc:c@example.org".into(),
            subject: "Tests".into(),
            body: "<p>ä</p>".into(),
            html: true,
            attachments: vec![("x".into(), "../../etc/passwd".into())],
            ..MailRequest::default()
        };
        let folder = Path::new("/nowhere");
        let (message, receivers) = compose(&request, "ci@example.org", "", folder).unwrap();
        assert_eq!(
            receivers,
            ["a@example.org", "b@example.org", "c@example.org"]
        );
        let text = String::from_utf8(message.formatted()).unwrap();
        assert!(
            text.contains("Cc: b@example.org") && text.contains("text/html"),
            "{text}"
        );
        assert!(
            !text.contains("c@example.org") && !text.contains("root:"),
            "{text}"
        );
        let nobody = MailRequest::default();
        let (_, receivers) =
            compose(&nobody, "ci@example.org", "Ann <ann@example.org>", folder).unwrap();
        assert_eq!(receivers, ["Ann <ann@example.org>"]);
        assert!(compose(&nobody, "ci@example.org", "nobody", folder).is_err());
    }

    #[test]
    fn a_chat_message_has_its_color_and_channel() {
        let mut request = ChatRequest {
            message: "built".into(),
            ..ChatRequest::default()
        };
        assert_eq!(chat_body(&request).to_string(), r#"{"text":"built"}"#);
        request.color = "good".into();
        request.channel = "#ops".into();
        let body = chat_body(&request);
        assert_eq!(body["attachments"][0]["color"], "good");
        assert_eq!(body["channel"], "#ops");
    }
}
