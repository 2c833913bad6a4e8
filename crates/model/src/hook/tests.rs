use proptest::prelude::*;

use super::*;

fn hook(headers: &[(&str, &str)]) -> Option<Hook> {
    recognise(|name| {
        headers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

fn of(forge: Forge, event: &str) -> Hook {
    Hook {
        forge,
        event: event.to_owned(),
        delivery: None,
        proof: Proof::Missing,
    }
}

fn refs(name: &str, deleted: bool) -> Option<HookEvent> {
    Some(HookEvent::Refs {
        name: name.to_owned(),
        deleted,
    })
}

#[test]
fn senders_are_told_by_their_headers() {
    let github = hook(&[
        ("x-github-event", "push"),
        ("x-github-delivery", "72d3162e"),
        ("x-hub-signature-256", "sha256=ab12"),
    ])
    .unwrap();
    assert_eq!(github.forge, Forge::Github);
    assert_eq!(github.proof, Proof::Hmac("ab12".into()));
    // Gitea sends GitHub's headers beside its own.
    let gitea = hook(&[
        ("x-github-event", "push"),
        ("x-gitea-event", "push"),
        ("x-gitea-delivery", "f6266f16"),
        ("x-gitea-signature", "cd34"),
    ])
    .unwrap();
    assert_eq!(
        (gitea.forge, gitea.delivery.as_deref()),
        (Forge::Gitea, Some("f6266f16"))
    );
    let gitlab = hook(&[
        ("x-gitlab-event", "Push Hook"),
        ("x-gitlab-event-uuid", "13792a34"),
        ("x-gitlab-token", "s3cret"),
    ])
    .unwrap();
    assert_eq!(gitlab.proof, Proof::Token("s3cret".into()));
    let signed = hook(&[
        ("x-gitlab-event", "Push Hook"),
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", "1700000000"),
        ("webhook-signature", "v1,abc="),
        ("x-gitlab-token", "s3cret"),
    ])
    .unwrap();
    assert!(matches!(signed.proof, Proof::Signed { .. }));
    assert_eq!(signed.delivery.as_deref(), Some("msg_1"));
    assert_eq!(
        hook(&[("x-github-event", "push")]).unwrap().proof,
        Proof::Missing
    );
    assert_eq!(hook(&[("x-other", "push")]), None);
    // A digest of the weaker kind is no proof.
    let old = hook(&[("x-github-event", "push"), ("x-hub-signature", "sha1=ab")]).unwrap();
    assert_eq!(old.proof, Proof::Missing);
}

#[test]
fn pushes_tags_and_deletions() {
    let push = br#"{"ref":"refs/heads/feature/cart","before":"a","after":"b","repository":{"clone_url":"https://evil.example/x.git"}}"#;
    for forge in [Forge::Github, Forge::Gitea] {
        assert_eq!(
            read(&of(forge, "push"), push).unwrap(),
            refs("refs/heads/feature/cart", false)
        );
    }
    let gone = br#"{"object_kind":"push","ref":"refs/heads/old","after":"0000000000000000000000000000000000000000"}"#;
    assert_eq!(
        read(&of(Forge::Gitlab, "Push Hook"), gone).unwrap(),
        refs("refs/heads/old", true)
    );
    let tag = br#"{"object_kind":"tag_push","ref":"refs/tags/v1.0","after":"82b3d5ae55f7080f1e6022629cdb57bfae7cccc7"}"#;
    assert_eq!(
        read(&of(Forge::Gitlab, "Tag Push Hook"), tag).unwrap(),
        refs("refs/tags/v1.0", false)
    );
    let deleted = br#"{"ref":"old","ref_type":"branch","pusher_type":"user"}"#;
    assert_eq!(
        read(&of(Forge::Github, "delete"), deleted).unwrap(),
        refs("refs/heads/old", true)
    );
    let created = br#"{"ref":"v2","ref_type":"tag"}"#;
    assert_eq!(
        read(&of(Forge::Gitea, "create"), created).unwrap(),
        refs("refs/tags/v2", false)
    );
    let form = b"payload=%7B%22ref%22%3A%22refs%2Fheads%2Fa%22%7D&x=1";
    assert_eq!(
        read(&of(Forge::Github, "push"), form).unwrap(),
        refs("refs/heads/a", false)
    );
    assert_eq!(
        read(&of(Forge::Github, "ping"), b"{}").unwrap(),
        Some(HookEvent::Ping)
    );
    assert_eq!(read(&of(Forge::Github, "star"), b"not json").unwrap(), None);
    let notes = br#"{"ref":"refs/notes/commits"}"#;
    assert_eq!(read(&of(Forge::Github, "push"), notes).unwrap(), None);
}

#[test]
fn pull_requests_with_their_forks() {
    let of_github = |head: &str, action: &str| {
        format!(
            r#"{{"action":"{action}","number":12,"pull_request":{{"number":12,"title":"Cart\u0007","html_url":"https://git.example/pull/12",
            "state":"open","user":{{"login":"ada"}},"head":{{"ref":"cart","sha":"x","repo":{head}}},
            "base":{{"ref":"main","repo":{{"full_name":"team/shop"}}}}}}}}"#
        )
    };
    let change = |body: &str| match read(&of(Forge::Github, "pull_request"), body.as_bytes()) {
        Ok(Some(HookEvent::Change { change, closed })) => (change, closed),
        other => panic!("{other:?}"),
    };
    let (own, closed) = change(&of_github(r#"{"full_name":"team/shop"}"#, "synchronize"));
    assert!(!closed && own.fork.is_none());
    assert_eq!(
        (own.id.as_str(), own.title.as_str(), own.target.as_str()),
        ("12", "Cart", "main")
    );
    let (fork, _) = change(&of_github(
        r#"{"full_name":"mallory/shop","fork":true}"#,
        "opened",
    ));
    assert_eq!(fork.fork.as_deref(), Some("mallory/shop"));
    let (deleted, closed) = change(&of_github("null", "closed"));
    assert!(closed);
    assert_eq!(deleted.fork.as_deref(), Some("unknown"));
    let gitlab = r#"{"object_kind":"merge_request","user":{"username":"root"},"object_attributes":{"iid":7,"title":"MS","state":"opened",
        "action":"open","source_branch":"ms","target_branch":"main","source_project_id":14,"target_project_id":14,"url":"u",
        "source":{"path_with_namespace":"team/shop"}}}"#;
    let gitlab_change =
        |body: &str| match read(&of(Forge::Gitlab, "Merge Request Hook"), body.as_bytes()) {
            Ok(Some(HookEvent::Change { change, closed })) => (change, closed),
            other => panic!("{other:?}"),
        };
    let (own, closed) = gitlab_change(gitlab);
    assert!(!closed && own.fork.is_none());
    assert_eq!(own.author, "root");
    let (fork, closed) = gitlab_change(
        &gitlab
            .replace("\"source_project_id\":14", "\"source_project_id\":15")
            .replace("opened", "merged"),
    );
    assert!(closed && fork.fork.is_some());
    // A payload that does not say whose branch it is counts as a stranger's.
    let (unsaid, _) =
        gitlab_change(&gitlab.replace("\"source_project_id\":14,\"target_project_id\":14,", ""));
    assert!(unsaid.fork.is_some());
}

#[test]
fn hostile_payloads_are_refused() {
    for name in [
        "--upload-pack=x",
        "a..b",
        "a b",
        "",
        "/a",
        "a/",
        ".a",
        "a/.b",
        "a.lock",
        "@",
        "a\\u0000b",
        "a:b",
        "x\\u000a",
        "a*",
    ] {
        let body = format!(r#"{{"ref":"refs/heads/{name}"}}"#);
        assert!(
            read(&of(Forge::Github, "push"), body.as_bytes()).is_err(),
            "{name:?}"
        );
    }
    let long = format!(r#"{{"ref":"refs/heads/{}"}}"#, "x".repeat(300));
    assert!(read(&of(Forge::Github, "push"), long.as_bytes()).is_err());
    let deep = format!(
        r#"{{"ref":"refs/heads/a","x":{}{}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    // What nobody reads is stepped over without a call for each level.
    assert!(read(&of(Forge::Github, "push"), deep.as_bytes()).is_ok());
    for body in [
        "",
        "[]",
        "null",
        "{}",
        r#"{"ref":7}"#,
        "payload=",
        "payload=%",
    ] {
        assert!(
            read(&of(Forge::Gitea, "push"), body.as_bytes()).is_err(),
            "{body}"
        );
    }
}

proptest! {
    #[test]
    fn no_body_makes_a_panic(body in prop::collection::vec(any::<u8>(), 0..200), text in "\\{\"ref\":\"refs/heads/[ -~]{0,40}\"\\}") {
        for forge in [Forge::Github, Forge::Gitlab, Forge::Gitea] {
            for event in ["push", "pull_request", "Push Hook", "Merge Request Hook", "create"] {
                let _ = read(&of(forge, event), &body);
                if let Ok(Some(HookEvent::Refs { name, .. })) = read(&of(forge, event), text.as_bytes()) {
                    prop_assert!(is_name(name.strip_prefix("refs/heads/").unwrap()));
                }
            }
        }
    }
}
