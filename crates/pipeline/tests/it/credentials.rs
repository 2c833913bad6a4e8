//! Credentials: bound as Jenkins binds them, gone afterwards, and never in anything that is written.

use std::fs;
use std::path::Path;

use launchway_model::build::BuildResult;
use launchway_model::credential::{BoundCredential, Secret};
use launchway_model::trigger::{Change, Origin};

use crate::site::{Built, Site};

const SENTINEL: &str = "Sent1nel/\"pass+word é";
const TOKEN: &str = "tok-5f9d1c7b";
/// `sentinel file content\nsecond line of it\n`
const FILE: &str = "c2VudGluZWwgZmlsZSBjb250ZW50CnNlY29uZCBsaW5lIG9mIGl0Cg==";

fn bound(id: &str, secret: Secret) -> BoundCredential {
    BoundCredential {
        id: id.parse().unwrap(),
        secret,
    }
}

fn site(jenkinsfile: &str) -> Site {
    let mut site = Site::new(&[("Procfile", "web: x\n"), ("Jenkinsfile", jenkinsfile)]);
    site.credentials = vec![
        bound(
            "hub",
            Secret::UsernamePassword {
                username: "ada".into(),
                password: SENTINEL.into(),
            },
        ),
        bound("token", Secret::String { text: TOKEN.into() }),
        bound(
            "kube",
            Secret::File {
                name: "config.yaml".into(),
                content: FILE.into(),
            },
        ),
    ];
    site
}

fn steps(steps: &str) -> Site {
    site(&format!(
        "pipeline {{ agent any\n stages {{ stage('A') {{ steps {{\n{steps}\n}} }} }} }}"
    ))
}

/// Every file below a folder that holds a text, however deep.
fn holding(folder: &Path, text: &[u8], found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            holding(&path, text, found);
        } else {
            let content = fs::read(&path).unwrap_or_default();
            let name = path.as_os_str().as_encoded_bytes();
            if content.windows(text.len()).any(|window| window == text)
                || name.windows(text.len()).any(|window| window == text)
            {
                found.push(path.display().to_string());
            }
        }
    }
}

fn nowhere(built: &Built, text: &str) {
    let mut found = Vec::new();
    holding(&built.job.folder, text.as_bytes(), &mut found);
    assert_eq!(found, [] as [String; 0], "{text}");
}

#[test]
fn every_kind_is_bound_as_in_jenkins() {
    let mut site = site(
        r#"pipeline { agent any
        environment { HUB = credentials('hub'); TOKEN = credentials('token'); KUBE = credentials('kube') }
        stages { stage('A') { steps {
            sh '''test "$HUB" = "$HUB_USR:$HUB_PSW"; test "$HUB_USR" = ada; test ${#HUB_PSW} -ge 21; test "$TOKEN" = "tok-$(printf 5f9d1c7b)"
                  test "$(stat -c %a "$KUBE")" = 600; test "$(basename "$KUBE")" = config.yaml; test "$(wc -l < "$KUBE")" = 2
                  test -z "$TOKEN_USR"'''
            withCredentials([usernamePassword(credentialsId: 'hub', usernameVariable: 'U', passwordVariable: 'P'),
                             string(credentialsId: 'token', variable: 'T'), file(credentialsId: 'kube', variable: 'F')]) {
                sh 'test "$U:$P" = "$HUB"; test "$T" = "$TOKEN"; test -f "$F"; dirname "$F" > where; cat "$F" > /dev/null'
                echo "the user is ${U}"
            }
            sh 'test ! -e "$(cat where)"; test -z "$P"'
        } } } }"#,
    );
    let built = site.build().succeeded();
    assert!(built.log(0).contains(&"the user is ada".to_owned()));
    for secret in [SENTINEL, TOKEN, "sentinel file content"] {
        nowhere(&built, secret);
    }
    assert!(!built.job.folder.join("tmp").exists());
}

#[test]
fn a_sentinel_is_nowhere_however_it_is_printed() {
    let mut site = steps(
        r#"withCredentials([usernamePassword(credentialsId: 'hub', usernameVariable: 'U', passwordVariable: 'P')]) {
            sh '''set +x
              echo "plain $P"; printf '%s' "$P" | base64; printf 'x%s' "$P" | base64; printf 'xy%s' "$P" | base64
              printf '%s:%s' "$U" "$P" | base64 -w 0; echo
              printf '%s' "$P" | base64 | fold -w 7; printf '%s' "$P" | fold -w 4; echo
              printf '%s' "$P" | od -An -tx1 | tr -d ' \\n'; echo
              python3 -c "import os,json,urllib.parse as u; p=os.environ['P']; print(json.dumps({'a': p})); print(json.dumps(p, ensure_ascii=False)); print(u.quote(p, safe='')); print(u.quote_plus(p))"
              for c in $(printf '%s' "$P" | od -An -c -w1 | head -8); do printf '%s' "$c"; sleep 0.01; done; echo
              mkdir -p reports; printf '<testsuite><testcase name="t"><failure>%s</failure></testcase></testsuite>' "$(printf '%s' "$P" | tr -d '\\"')" > reports/r.xml
              mkdir -p out; echo x > "out/$(printf '%s' "$P" | base64 | tr -d =)"'''
            archiveArtifacts artifacts: 'out/*'
            error "it failed with ${P}"
        }"#,
    );
    let built = site.build();
    assert_eq!(built.result(), BuildResult::Failure);
    let problem = format!("{:?}", built.problem());
    assert!(problem.contains("it failed with ****"), "{problem}");
    // Made with Python's base64, urllib.parse and json from the sentinel.
    for form in [
        SENTINEL,
        "U2VudDFuZWwvInBhc3Mrd29yZCDDqQ",
        "eFNlbnQxbmVsLyJwYXNzK3dvcmQgw6k",
        "YWRhOlNlbnQxbmVsLyJwYXNzK3dvcmQgw6k",
        "Sent1nel%2F%22pass%2Bword%20%C3%A9",
        "Sent1nel%2F%22pass%2Bword+%C3%A9",
        "Sent1nel/\\\"pass+word",
        "53656e74316e656c2f2270617373",
    ] {
        nowhere(&built, form);
        // The middle is enough for who knows the rest.
        let middle: String = form.chars().skip(4).take(10).collect();
        nowhere(&built, &middle);
    }
    let log = built.log(0).join("\n");
    assert!(log.contains("plain ****"), "{log}");
    for piece in ["U2VudDF\n", "Sent\n", "1nel\n", "word\n"] {
        assert!(!log.contains(piece), "{piece:?} in {log}");
    }
}

#[test]
fn a_pull_request_of_a_fork_is_told_why_it_gets_none() {
    let mut site =
        steps("withCredentials([string(credentialsId: 'token', variable: 'T')]) { sh 'true' }");
    site.credentials.clear();
    site.origin = Origin {
        change: Some(Change {
            id: "7".into(),
            fork: Some("mallory/shop".into()),
            ..Change::default()
        }),
        ..Origin::default()
    };
    let problem = site.build().problem();
    assert_eq!(
        problem.message,
        "the credential `token` is not given to a pull request of a fork"
    );
}

#[test]
fn a_wrong_kind_and_a_near_name_are_told() {
    let problem =
        steps("withCredentials([string(credentialsId: 'hub', variable: 'T')]) { sh 'true' }")
            .build()
            .problem();
    assert_eq!(
        problem.message,
        "the credential `hub` is a usernamePassword, not a string"
    );
    let problem =
        steps("withCredentials([string(credentialsId: 'tokne', variable: 'T')]) { sh 'true' }")
            .build()
            .problem();
    assert_eq!(problem.hint.as_deref(), Some("Did you mean `token`?"));
}

#[test]
fn an_agent_holds_a_key_with_a_passphrase_for_its_block() {
    let mut site = steps(
        "sshagent(['deploy']) { sh 'ssh-add -l; echo \"$SSH_AUTH_SOCK\" > socket; test -S \"$SSH_AUTH_SOCK\"' }\n sh 'test ! -e \"$(cat socket)\"'",
    );
    let key = site.path("key");
    let made = std::process::Command::new("ssh-keygen")
        .args([
            "-q",
            "-t",
            "ed25519",
            "-N",
            "open sesame",
            "-C",
            "sentinel-key",
            "-f",
        ])
        .arg(&key)
        .status()
        .unwrap();
    assert!(made.success());
    let text = fs::read_to_string(&key).unwrap();
    site.credentials.push(bound(
        "deploy",
        Secret::SshUserPrivateKey {
            username: "git".into(),
            key: text.clone(),
            passphrase: Some("open sesame".into()),
        },
    ));
    let built = site.build().succeeded();
    let log = built.log(0);
    assert!(
        log.iter()
            .any(|line| line.contains("sentinel-key (ED25519)")),
        "{log:#?}"
    );
    nowhere(&built, text.lines().nth(1).unwrap());
    nowhere(&built, "open sesame");
}

#[test]
fn what_a_pull_request_is_reaches_conditions_and_variables() {
    let mut site = site(
        r#"pipeline { agent any
        stages {
            stage('change') { when { changeRequest() }
            steps { sh 'echo "$CHANGE_ID of $CHANGE_AUTHOR for $CHANGE_TARGET: $CHANGE_TITLE"' } }
            stage('tag') { when { buildingTag() }
            steps { sh 'echo no' } }
            stage('hook') { when { triggeredBy 'SCMTrigger' }
            steps { echo 'by a push' } }
            stage('timer') { when { triggeredBy 'TimerTrigger' }
            steps { sh 'echo no' } }
        }
        triggers { cron('H 3 * * *'); upstream(upstreamProjects: 'lib, base/main', threshold: hudson.model.Result.UNSTABLE) } }"#,
    );
    site.cause = "webhook".to_owned();
    site.origin = Origin {
        url: Some("https://git.example.org/shop.git".into()),
        change: Some(Change {
            id: "12".into(),
            title: "cart\nX=1".into(),
            author: "ada".into(),
            branch: "cart".into(),
            target: "main".into(),
            ..Change::default()
        }),
        ..Origin::default()
    };
    let built = site.build().succeeded();
    let results: Vec<_> = built.results();
    let not_built = |name: &str| results.contains(&(name.to_owned(), BuildResult::NotBuilt));
    assert!(not_built("tag") && not_built("timer"), "{results:?}");
    assert!(
        built
            .log(0)
            .contains(&"12 of ada for main: cart X=1".to_owned())
    );
    assert!(built.log(2).contains(&"by a push".to_owned()));
    let said = fs::read_to_string(built.job.folder.join("events.jsonl")).unwrap();
    assert!(
        said.contains(r#"{"schedule":"H 3 * * *","trigger":"cron"}"#),
        "{said}"
    );
    assert!(
        said.contains(
            r#"{"projects":["lib","base/main"],"threshold":"unstable","trigger":"upstream"}"#
        ),
        "{said}"
    );
}

#[test]
fn files_changed_since_the_last_build_count() {
    let mut site = site(
        "pipeline { agent any\n stages { stage('docs') { when { changeset 'docs/**' }\n steps { echo 'docs' } } } }",
    );
    let first = site.job().commit;
    site.commit(&[("docs/a.md", "x")]);
    site.commit(&[("src/b", "y")]);
    let alone = site.build();
    assert_eq!(
        alone.results(),
        [("docs".to_owned(), BuildResult::NotBuilt)]
    );
    site.origin.previous = Some(first);
    let since = site.build();
    assert_eq!(since.results(), [("docs".to_owned(), BuildResult::Success)]);
}
