//! All pages with sample data: what they must say, and what must never get through.

use std::collections::{BTreeSet, HashMap};

use askama::Template as _;
use jiff::Timestamp;

use super::access::AccessPage;
use super::app::{AppPage, HistoryPage};
use super::build::{BuildPage, BuildsPage};
use super::deploy::DeployPage;
use super::log::LogsPage;
use super::login::LoginPage;
use super::overview::Overview;
use super::settings::SettingsPage;
use super::*;

#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "sample data is shared with the gallery"
)]
#[path = "../../examples/gallery/samples.rs"]
mod samples;

use samples::Samples;

fn samples() -> Samples {
    Samples {
        now: Timestamp::from_second(1_800_000_000).unwrap(),
    }
}

/// Every page, by a name.
fn all() -> Vec<(&'static str, String)> {
    let s = samples();
    let (red, running) = (s.red(), s.running_build());
    vec![
        (
            "overview",
            Overview::new(&s.status(), &s.apps(), &s.builds(), &HashMap::new(), s.now).render(),
        ),
        (
            "empty",
            Overview::new(&s.status(), &[], &[], &HashMap::new(), s.now).render(),
        ),
        (
            "app",
            AppPage::new(
                &s.app(),
                &s.releases(),
                &s.deploys(),
                &s.builds(),
                &s.traffic(9.0),
                s.now,
            )
            .render(),
        ),
        (
            "new app",
            AppPage::new(&s.apps()[3], &[], &[], &[], &[], s.now).render(),
        ),
        (
            "history",
            HistoryPage::new(&s.app(), &s.releases(), &s.deploys(), &s.builds(), s.now).render(),
        ),
        (
            "logs",
            LogsPage::new(&s.app(), None, &s.log_lines()).render(),
        ),
        (
            "settings",
            SettingsPage::new(&s.app(), &s.config(), &s.description()).render(),
        ),
        ("builds", BuildsPage::new(&s.builds(), s.now).render()),
        (
            "red build",
            BuildPage::new(&red, s.logs(&red), &s.tests(), &s.deploys(), s.now).render(),
        ),
        (
            "running build",
            BuildPage::new(&running, s.logs(&running), &[], &[], s.now).render(),
        ),
        (
            "queued build",
            BuildPage::new(&s.queued_build(), Vec::new(), &[], &[], s.now).render(),
        ),
        (
            "failed deploy",
            DeployPage::new(&s.deploys()[1], s.releases().first(), s.now).render(),
        ),
        (
            "running deploy",
            DeployPage::new(&s.deploy_under_way(), s.releases().first(), s.now).render(),
        ),
        (
            "access",
            AccessPage::new(
                &s.tokens(),
                Some(("ci".to_owned(), "lw_secret".to_owned())),
                s.now,
            )
            .render(),
        ),
        ("login", LoginPage::new("/\"><script>", None).render()),
        (
            "error",
            ErrorPage::new(&Problem::not_found("there is no app `<shpo>`")).render(),
        ),
    ]
    .into_iter()
    .map(|(name, text)| (name, text.unwrap()))
    .collect()
}

fn page(name: &str) -> String {
    all()
        .into_iter()
        .find(|(other, _)| *other == name)
        .map(|(_, text)| text)
        .unwrap()
}

/// The start tags of a page: name and the text up to `>`.
fn tags(text: &str) -> Vec<(String, String)> {
    text.split('<')
        .skip(1)
        .filter_map(|rest| {
            let end = rest.find('>')?;
            let tag = &rest[..end];
            let name: String = tag
                .chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect();
            (!name.is_empty()).then(|| (name, tag.to_owned()))
        })
        .collect()
}

#[test]
fn no_page_holds_code_or_style_of_its_own() {
    for (name, text) in all() {
        for (tag, whole) in tags(&text) {
            let names: String = whole.split('"').step_by(2).collect();
            assert!(!names.contains(" style="), "{name}: <{whole}>");
            assert!(!names.contains(" on"), "{name}: <{whole}>");
            if tag == "script" {
                assert!(whole.contains("src=\"/assets/"), "{name}: <{whole}>");
            }
            assert_ne!(tag, "style", "{name}");
        }
        // One script, and none that a log, a commit, a token's name or an address brought along.
        assert_eq!(text.matches("<script").count(), 1, "{name}");
        assert!(!text.contains("<b>at once"), "{name}");
        assert!(!text.contains("<b>odd"), "{name}");
        assert!(!text.contains("/assets/missing"), "{name}");
        assert!(!text.contains('\u{1b}'), "{name}");
    }
}

#[test]
fn tags_are_closed_and_ids_are_unique() {
    const VOID: [&str; 5] = ["meta", "link", "input", "path", "rect"];
    for (name, text) in all() {
        let mut open: Vec<String> = Vec::new();
        let mut ids = BTreeSet::new();
        for part in text.split('<').skip(1) {
            let Some(end) = part.find('>') else { continue };
            let tag = &part[..end];
            if let Some(closed) = tag.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(closed), "{name}: </{closed}>");
            } else if !tag.starts_with('!') {
                let kind: String = tag
                    .chars()
                    .take_while(char::is_ascii_alphanumeric)
                    .collect();
                if !VOID.contains(&kind.as_str()) && !tag.ends_with('/') {
                    open.push(kind);
                }
                if let Some((_, rest)) = tag.split_once(" id=\"") {
                    let id = rest.split('"').next().unwrap().to_owned();
                    assert!(ids.insert(id.clone()), "{name}: two elements are `{id}`");
                }
            }
        }
        assert!(open.is_empty(), "{name}: {open:?} is not closed");
    }
}

#[test]
fn every_form_field_has_a_label_and_every_form_posts() {
    for (name, text) in all() {
        for (tag, whole) in tags(&text) {
            if tag == "form" {
                assert!(
                    whole.contains("method=\"post\"") || whole.contains("method=\"dialog\""),
                    "{name}: {whole}"
                );
            }
        }
        for field in text.split("<input").skip(1) {
            let whole = field.split('>').next().unwrap();
            if whole.contains("type=\"hidden\"") {
                continue;
            }
            let before = &text[..text.find(field).unwrap()];
            let in_label = before.matches("<label").count() > before.matches("</label>").count();
            let by_id = whole.contains("id=\"token\"") && text.contains("for=\"token\"");
            assert!(in_label || by_id, "{name}: <input{whole}>");
        }
    }
}

#[test]
fn settings_show_names_and_never_values() {
    let text = page("settings");
    assert!(text.contains("DATABASE_URL"));
    assert!(!text.contains("postgres://secret"));
    assert!(!text.contains("top-secret"));
    assert!(text.contains("<code>STRIPE_KEY</code> is required and not set"));
}

#[test]
fn an_app_offers_what_its_state_allows() {
    let s = samples();
    let text = page("app");
    assert!(text.contains("action=\"/apps/shop/restart\""));
    assert!(!text.contains("action=\"/apps/shop/start\""));
    // Of five releases one serves and one was refused.
    assert_eq!(text.matches("action=\"/apps/shop/rollback\"").count(), 3);
    let stopped = AppPage::new(&s.apps()[2], &[], &[], &[], &[], s.now)
        .render()
        .unwrap();
    assert!(stopped.contains("action=\"/apps/newsletter/start\""));
    assert!(!stopped.contains("action=\"/apps/newsletter/stop\""));
    let new = page("new app");
    assert!(!new.contains("/restart\"") && new.contains("launchway deploy"));
}

#[test]
fn a_failure_is_told_in_full() {
    let text = page("failed deploy");
    for words in [
        "no instance of release v10 became healthy within 60 s",
        "GET /health answered 500 Internal Server Error, wanted 200 to 399",
        "KeyError: &#39;STRIPE_KEY&#39;",
        "<code>launchway logs -p web</code>",
        "What served before goes on serving.",
    ] {
        assert!(text.contains(words), "{words}");
    }
    let text = page("red build");
    for words in [
        "launchway.toml, line 7, column 8",
        "test_items_survive_a_login",
        "2 failed, 212 passed, 3 skipped",
    ] {
        assert!(text.contains(words), "{words}");
    }
}

#[test]
fn only_what_changes_by_itself_is_streamed() {
    for (name, stream) in [
        ("overview", Some("/live")),
        ("app", Some("/apps/shop/live")),
        ("logs", Some("/apps/shop/logs/live")),
        ("running build", Some("/builds/43/live?stages=5")),
        ("queued build", Some("/builds/44/live?stages=0")),
        ("running deploy", Some("/deploys/18/live")),
        ("red build", None),
        ("failed deploy", None),
        ("settings", None),
    ] {
        let text = page(name);
        match stream {
            Some(stream) => {
                assert!(
                    text.contains(&format!("data-stream=\"{stream}\"")),
                    "{name}"
                );
                assert!(
                    text.contains("http-equiv=\"refresh\""),
                    "{name} is stale without a script"
                );
            }
            None => assert!(!text.contains("data-stream"), "{name}"),
        }
    }
}

#[test]
fn states_of_an_app_in_words() {
    let words: Vec<String> = samples()
        .apps()
        .iter()
        .map(|app| parts::app_state(app).word)
        .collect();
    assert_eq!(
        words,
        [
            "crashing",
            "serving",
            "stopped",
            "not deployed yet",
            "serving"
        ]
    );
}
