use super::*;

async fn url(text: &str) -> Option<String> {
    match Source::parse(text).await {
        Ok(Source::Url { url }) => Some(url),
        _ => None,
    }
}

#[tokio::test]
async fn urls_are_told_from_paths() {
    for text in [
        "https://example.org/a/shop.git",
        "ssh://git@example.org/shop",
        "git@example.org:team/shop.git",
    ] {
        assert_eq!(url(text).await.as_deref(), Some(text));
        assert_eq!(
            Source::Url {
                url: text.to_owned()
            }
            .name()
            .as_str(),
            "shop"
        );
    }
    for text in [
        "ext::sh -c id",
        "fd::3",
        "https://",
        "javascript://x",
        "-oProxyCommand=x",
        "host:path",
        "./x",
    ] {
        assert!(Source::parse(text).await.is_err(), "{text}");
    }
}

#[test]
fn a_password_is_not_shown() {
    let source = Source::Url {
        url: "https://ada:hunter2@example.org/shop.git".to_owned(),
    };
    assert_eq!(source.shown(), "https://example.org/shop.git");
}

#[test]
fn a_missing_branch_names_the_nearest() {
    let problem = no_branch("mian", "x", &["main", "feature"]);
    assert_eq!(problem.hint.unwrap(), "Did you mean `main`?");
    assert!(
        no_branch("main", "x", &[])
            .hint
            .unwrap()
            .contains("git push")
    );
}
