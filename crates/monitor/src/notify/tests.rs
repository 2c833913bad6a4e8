use super::*;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn down(ends_at: Option<i64>) -> Told {
    Told {
        labels: map(&[
            ("alertname", "AppDown"),
            ("app", "shop"),
            ("severity", "critical"),
        ]),
        annotations: map(&[
            ("summary", "no web instance of shop is ready"),
            ("hint", "Look at its log."),
        ]),
        starts_at: 1_700_000_000_000,
        ends_at,
        link: "http://l/apps/shop".to_owned(),
    }
}

fn group() -> BTreeMap<String, String> {
    map(&[("alertname", "AppDown"), ("app", "shop")])
}

#[test]
fn the_payload_is_alertmanagers() {
    let mut other = down(None);
    other.labels.insert("process".to_owned(), "web".to_owned());
    let payload = payload(
        "ops",
        &group(),
        "http://l",
        &[down(Some(1_700_000_060_000)), other],
    );
    assert_eq!(payload["version"], "4");
    assert_eq!(payload["status"], "firing");
    assert_eq!(
        payload["groupKey"],
        "{}:{alertname=\"AppDown\", app=\"shop\"}"
    );
    assert_eq!(
        payload["commonLabels"],
        json!({"alertname": "AppDown", "app": "shop", "severity": "critical"})
    );
    assert_eq!(payload["alerts"][0]["status"], "resolved");
    assert_eq!(payload["alerts"][0]["endsAt"], "2023-11-14T22:14:20Z");
    assert_eq!(payload["alerts"][1]["endsAt"], "0001-01-01T00:00:00Z");
    assert_ne!(
        payload["alerts"][0]["fingerprint"],
        payload["alerts"][1]["fingerprint"]
    );
    assert_eq!(title(&payload), "[FIRING:1] AppDown shop");
    assert_eq!(
        lines(&payload),
        "over: no web instance of shop is ready\nno web instance of shop is ready\n  Look at its log.\nhttp://l/alerts\n"
    );
}

#[test]
fn other_forms_are_made_from_it() {
    let firing = payload("ops", &group(), "http://l", &[down(None)]);
    let over = payload("ops", &group(), "http://l", &[down(Some(1))]);
    assert_eq!(slack(&firing)["attachments"][0]["color"], "danger");
    assert_eq!(slack(&over)["attachments"][0]["color"], "good");
    assert_eq!(slack(&over)["text"], "[RESOLVED] AppDown shop");
    let event = pagerduty("k", &firing);
    assert_eq!(
        (&event["event_action"], &event["payload"]["severity"]),
        (&json!("trigger"), &json!("critical"))
    );
    assert_eq!(pagerduty("k", &over)["event_action"], "resolve");
    assert_eq!(pagerduty("k", &over)["dedup_key"], event["dedup_key"]);
}

#[test]
fn what_is_known_already_is_not_told() {
    let labels = down(None).labels;
    assert!(is_silenced(&map(&[("app", "shop")]), &labels));
    assert!(!is_silenced(
        &map(&[("app", "shop"), ("severity", "warning")]),
        &labels
    ));
    assert!(!is_silenced(&BTreeMap::new(), &labels));
    let slow = map(&[
        ("alertname", "AppSlow"),
        ("app", "shop"),
        ("severity", "warning"),
    ]);
    assert!(inhibits(&labels, &slow) && !inhibits(&slow, &labels));
    assert!(!inhibits(
        &labels,
        &map(&[("alertname", "AppSlow"), ("app", "blog")])
    ));
    let warning = map(&[
        ("alertname", "AppDown"),
        ("app", "shop"),
        ("severity", "warning"),
    ]);
    assert!(inhibits(&labels, &warning) && !inhibits(&warning, &labels));
}

/// A server that takes one connection; gives what it was sent up to a line of that text.
fn once(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let taking = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let (mut text, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            text.push_str(&line);
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        text.push_str(&String::from_utf8(body).unwrap());
        std::io::Write::write_all(
            reader.get_mut(),
            format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes(),
        )
        .unwrap();
        text
    });
    (address, taking)
}

#[tokio::test]
async fn notices_are_sent_over_http_and_to_commands() {
    let payload = payload("ops", &group(), "", &[down(None)]);
    let (address, taking) = once("200 OK\r\nContent-Length: 0");
    Sender::Webhook {
        url: format!("http://{address}/hook"),
    }
    .send(&payload)
    .await
    .unwrap();
    let text = taking.join().unwrap();
    assert!(
        text.starts_with("POST /hook HTTP/1.1\r\n") && text.ends_with(&payload.to_string()),
        "{text}"
    );

    let (address, taking) = once("403 Forbidden\r\nContent-Length: 4\r\n\r\nno\n!");
    let sender = Sender::Ntfy {
        url: format!("http://{address}/topic"),
        token: Some("t".to_owned()),
    };
    assert_eq!(
        sender.send(&payload).await.unwrap_err().to_string(),
        "the answer was 403 Forbidden no"
    );
    let text = taking.join().unwrap().to_lowercase();
    for line in [
        "title: [firing:1] appdown shop",
        "priority: urgent",
        "authorization: bearer t",
        "content-type: text/plain",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    let command = |text: String| Sender::Command { command: text };
    command(format!("cat > {}", file.display()))
        .send(&payload)
        .await
        .unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), payload.to_string());
    let error = command("echo one >&2; echo two >&2; exit 3".to_owned())
        .send(&payload)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the command ended with exit status: 3: two"
    );
}

#[tokio::test]
async fn notices_are_sent_by_e_mail() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let taking = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let say = |reader: &mut BufReader<std::net::TcpStream>, text: &str| {
            std::io::Write::write_all(reader.get_mut(), format!("{text}\r\n").as_bytes()).unwrap();
        };
        say(&mut reader, "220 here");
        let (mut all, mut data) = (String::new(), false);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap() == 0 {
                return all;
            }
            all.push_str(&line);
            match line.trim_end() {
                "." => {
                    data = false;
                    say(&mut reader, "250 taken");
                }
                _ if data => {}
                "DATA" => {
                    data = true;
                    say(&mut reader, "354 go on");
                }
                "QUIT" => {
                    say(&mut reader, "221 bye");
                    return all;
                }
                _ => say(&mut reader, "250 ok"),
            }
        }
    });
    let payload = payload("ops", &group(), "", &[down(None)]);
    let (to, from) = (
        "Ops <ops@example.org>".to_owned(),
        "launchway@example.org".to_owned(),
    );
    Sender::Email {
        to,
        from,
        server: format!("smtp://{address}"),
    }
    .send(&payload)
    .await
    .unwrap();
    let text = taking.join().unwrap();
    for part in [
        "Subject: [FIRING:1] AppDown shop",
        "To: Ops <ops@example.org>",
        "no web instance of shop is ready",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
