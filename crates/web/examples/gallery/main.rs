//! Serves every page with sample data, to look at them without an installation:
//! `cargo run -p launchway-web --example gallery -- 127.0.0.1:4300`.

#[allow(missing_docs, unreachable_pub, reason = "sample data explains itself")]
mod samples;

use std::collections::HashMap;

use askama::Template;
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use jiff::Timestamp;
use launchway_model::Problem;
use launchway_web::pages::access::AccessPage;
use launchway_web::pages::alerts::AlertsPage;
use launchway_web::pages::app::{AppPage, HistoryPage};
use launchway_web::pages::build::{BuildPage, BuildsPage};
use launchway_web::pages::deploy::DeployPage;
use launchway_web::pages::log::LogsPage;
use launchway_web::pages::login::LoginPage;
use launchway_web::pages::overview::Overview;
use launchway_web::pages::release::ReleasePage;
use launchway_web::pages::settings::SettingsPage;
use launchway_web::pages::{ErrorPage, asset_routes};

use samples::Samples;

/// An address and what is shown there.
type Page = (&'static str, fn(&Samples) -> String);

fn pages() -> Vec<Page> {
    fn text(page: &impl Template) -> String {
        page.render().unwrap_or_else(|error| error.to_string())
    }
    vec![
        ("/", |s| {
            let apps = s.apps();
            let scales = [1.0, 0.2, 0.0, 0.0, 42.0];
            let samples: HashMap<_, _> = apps
                .iter()
                .zip(scales)
                .map(|(app, scale)| (app.name.clone(), s.traffic(scale)))
                .collect();
            let page = Overview::new(&s.status(), &apps, &s.builds(), &samples, s.now);
            text(&page.with_alerts(&s.alerts(), &s.now))
        }),
        ("/empty", |s| {
            text(&Overview::new(
                &s.status(),
                &[],
                &[],
                &HashMap::new(),
                s.now,
            ))
        }),
        ("/app", |s| {
            text(&AppPage::new(
                &s.app(),
                &s.releases(),
                &s.deploys(),
                &s.builds(),
                &s.traffic(42.0),
                s.now,
            ))
        }),
        ("/app-failed", |s| {
            let deploys = s.deploys();
            text(&AppPage::new(
                &s.apps()[0],
                &s.releases(),
                &deploys[1..],
                &s.builds(),
                &s.traffic(3.0),
                s.now,
            ))
        }),
        ("/app-new", |s| {
            text(&AppPage::new(&s.apps()[3], &[], &[], &[], &[], s.now))
        }),
        ("/history", |s| {
            text(&HistoryPage::new(
                &s.app(),
                &s.releases(),
                &s.deploys(),
                &s.builds(),
                s.now,
            ))
        }),
        ("/logs", |s| {
            text(&LogsPage::new(&s.app(), None, &s.log_lines()))
        }),
        ("/settings", |s| {
            text(&SettingsPage::new(&s.app(), &s.config(), &s.description()))
        }),
        ("/builds", |s| text(&BuildsPage::new(&s.builds(), s.now))),
        ("/build-green", |s| {
            let build = s.green();
            text(&BuildPage::new(
                &build,
                s.logs(&build),
                &s.tests()[2..],
                &s.deploys()[..1],
                s.now,
            ))
        }),
        ("/build-red", |s| {
            let build = s.red();
            text(&BuildPage::new(
                &build,
                s.logs(&build),
                &s.tests(),
                &[],
                s.now,
            ))
        }),
        ("/build-running", |s| {
            let build = s.running_build();
            text(&BuildPage::new(&build, s.logs(&build), &[], &[], s.now))
        }),
        ("/build-queued", |s| {
            text(&BuildPage::new(
                &s.queued_build(),
                Vec::new(),
                &[],
                &[],
                s.now,
            ))
        }),
        ("/deploy", |s| {
            text(&DeployPage::new(
                &s.deploys()[0],
                s.releases().first(),
                s.now,
            ))
        }),
        ("/deploy-running", |s| {
            text(&DeployPage::new(
                &s.deploy_under_way(),
                s.releases().first(),
                s.now,
            ))
        }),
        ("/deploy-failed", |s| {
            text(&DeployPage::new(
                &s.deploys()[1],
                s.releases().get(2),
                s.now,
            ))
        }),
        ("/release", |s| {
            let release = &s.releases()[0];
            text(&ReleasePage::new(&s.app(), release, Some(&s.scan()), s.now))
        }),
        ("/alerts", |s| text(&AlertsPage::new(&s.alerts(), s.now))),
        ("/app-alerts", |s| {
            let open = &s.alerts()[1..];
            let page = AppPage::new(
                &s.app(),
                &s.releases(),
                &s.deploys(),
                &s.builds(),
                &s.traffic(42.0),
                s.now,
            );
            text(&page.with_alerts(open, &s.now))
        }),
        ("/access", |s| {
            text(&AccessPage::new(
                &s.tokens(),
                Some(("ci".to_owned(), "lw_5f2c0e".to_owned())),
                s.now,
            ))
        }),
        ("/login", |_| text(&LoginPage::new("/", None))),
        ("/login-refused", |_| {
            text(&LoginPage::new(
                "/",
                Some("This token is not valid.".to_owned()),
            ))
        }),
        ("/error", |_| {
            text(&ErrorPage::new(
                &Problem::not_found("there is no app `shpo`").hint("Did you mean `shop`?"),
            ))
        }),
    ]
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:4300");
    let mut router: Router = asset_routes();
    for (path, page) in pages() {
        router = router.route(
            path,
            get(move || async move {
                Html(page(&Samples {
                    now: Timestamp::now(),
                }))
            }),
        );
    }
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, router).await
}
