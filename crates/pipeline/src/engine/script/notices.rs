//! `mail`, `emailext` and `slackSend`: control sends what they say, since it knows the mail server and the chat's webhook.
//!
//! A message that cannot be sent does not fail a build, as in Jenkins: the log says why. `slackSend failOnError: true` does.

use launchway_model::request::{Ask, ChatRequest, MailRequest};

use super::super::asking;
use super::super::steps::Interrupt;
use super::files;
use super::host::ScriptHost;
use crate::glob::Patterns;
use crate::groovy::{Args, Span, Thrown, Value};

/// Sends a mail.
pub(super) fn mail(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let text = |name: &str| args.get(name).map(Value::to_text).unwrap_or_default();
    let build = host.context.build;
    let mut request = MailRequest {
        to: text("to"),
        cc: text("cc"),
        bcc: text("bcc"),
        from: text("from"),
        reply_to: text("replyTo"),
        subject: fill(host, &text("subject")),
        body: fill(host, &text("body")),
        html: text("mimeType").contains("html"),
        attachments: Vec::new(),
    };
    // `emailext` without words of its own takes the usual ones.
    if request.subject.is_empty() {
        request.subject = fill(
            host,
            "$PROJECT_NAME - Build # $BUILD_NUMBER - $BUILD_STATUS!",
        );
    }
    if request.body.is_empty() {
        request.body = fill(
            host,
            "$PROJECT_NAME - Build # $BUILD_NUMBER - $BUILD_STATUS\n\n$BUILD_URL\n",
        );
    }
    let pattern = text("attachmentsPattern");
    if !pattern.is_empty() {
        let found = Patterns::new(&[pattern], &[]).files(&host.context.folder, &[]);
        for (number, file) in found.into_iter().take(20).enumerate() {
            // The folder of the build outlives the tree and is the one that an agent's link carries.
            let name = file.rsplit('/').next().unwrap_or(&file).to_owned();
            let kept = format!("mail/{number}-{name}");
            let to = build.job.folder.join(&kept);
            let copied = to
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::copy(host.context.folder.join(&file), &to));
            match copied {
                Ok(_) => request.attachments.push((name, kept)),
                Err(error) => host
                    .context
                    .log
                    .say(&format!("{file} cannot be attached: {error}")),
            }
        }
    }
    if args.get("attachLog").is_some_and(Value::is_true) {
        let kept = format!("log/{}.log", host.context.stage.0);
        request.attachments.push(("build.log".to_owned(), kept));
    }
    send(host, Ask::Mail(request), false, span)
}

/// Tells a chat.
pub(super) fn slack(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let text = |name: &str| args.get(name).map(Value::to_text).unwrap_or_default();
    let mut url = text("baseUrl");
    // A credential may hold the webhook's whole address; a bot's token alone needs a server that we do not speak to.
    if let Some(id) = args.get("tokenCredentialId").map(Value::to_text) {
        let value = super::credentials::value(host, &id, span)?;
        if value.starts_with("https://") || value.starts_with("http://") {
            url = value;
        } else if url.starts_with("https://hooks.") {
            url = format!("{}/{value}", url.trim_end_matches('/'));
        }
    }
    let chat = ChatRequest {
        message: files::main(host, args, "message", span)?,
        channel: text("channel"),
        color: text("color"),
        url,
    };
    let must = args.get("failOnError").is_some_and(Value::is_true);
    send(host, Ask::Chat(chat), must, span)
}

fn send(host: &ScriptHost<'_>, ask: Ask, must: bool, span: Span) -> Result<Value, Thrown> {
    match asking::ask(host.context, ask) {
        Ok(answer) => {
            for line in &answer.lines {
                host.context.log.say(line);
            }
            Ok(Value::Null)
        }
        Err(Interrupt::Failed(problem)) if !must => {
            host.context.say_problem(&problem);
            Ok(Value::Null)
        }
        Err(interrupt) => Err(host.throw(interrupt, span)),
    }
}

/// The tokens of `emailext`: `$PROJECT_NAME`, `${BUILD_STATUS}`, `$DEFAULT_SUBJECT`, and variables of the environment.
fn fill(host: &ScriptHost<'_>, text: &str) -> String {
    const SUBJECT: &str = "$PROJECT_NAME - Build # $BUILD_NUMBER - $BUILD_STATUS!";
    let build = host.context.build;
    let status = super::objects::property(host, "currentBuild", "currentResult")
        .map(|value| value.to_text());
    let mut shown = text
        .replace("${DEFAULT_SUBJECT}", SUBJECT)
        .replace("$DEFAULT_SUBJECT", SUBJECT)
        .replace(
            "${DEFAULT_CONTENT}",
            "$PROJECT_NAME - Build # $BUILD_NUMBER - $BUILD_STATUS\n$BUILD_URL",
        )
        .replace(
            "$DEFAULT_CONTENT",
            "$PROJECT_NAME - Build # $BUILD_NUMBER - $BUILD_STATUS\n$BUILD_URL",
        );
    let url = super::objects::variable(host, "BUILD_URL").unwrap_or_default();
    let tokens = [
        ("PROJECT_NAME", build.job.app.to_string()),
        ("JOB_NAME", build.job.app.to_string()),
        ("BUILD_STATUS", status.unwrap_or_default()),
        ("BUILD_NUMBER", build.job.build.0.to_string()),
        ("BUILD_URL", url),
        ("GIT_BRANCH", build.job.branch.clone().unwrap_or_default()),
        ("GIT_REVISION", build.job.commit.clone()),
    ];
    for (name, value) in tokens {
        shown = shown
            .replace(&format!("${{{name}}}"), &value)
            .replace(&format!("${name}"), &value);
    }
    shown
}
