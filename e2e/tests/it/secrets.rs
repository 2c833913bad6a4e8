//! A secret that a build prints in every encoding is found nowhere: in no file of the installation (the database's among them),
//! in no log, page or answer.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use launchway_e2e::{Installation, Repository};

/// Long enough that no part of it is there by chance.
const SENTINEL: &str = "Zq7-sentinel/\"x+y-4fK";

const JENKINSFILE: &str = r#"
pipeline {
  agent any
  environment { HUB = credentials('hub') }
  stages {
    stage('Print') {
      steps {
        sh '''set +x
          echo "plain $HUB_PSW and $HUB"
          printf '%s' "$HUB_PSW" | base64; printf 'a%s' "$HUB_PSW" | base64; printf 'ab%s' "$HUB_PSW" | base64
          printf '%s' "$HUB_PSW" | base64 | fold -w 9; printf '%s' "$HUB_PSW" | fold -w 5; echo
          printf '%s' "$HUB_PSW" | od -An -v -tx1 | tr -d ' \\n'; echo
          printf '{"a": "%s"}\\n' "$(printf '%s' "$HUB_PSW" | sed 's/"/\\\\"/g')"
          python3 -c "import os,json,urllib.parse as u; p=os.environ['HUB_PSW']; print(u.quote(p, safe='')); print(json.dumps(p))"
          echo "$HUB_PSW" >&2
          mkdir -p out && echo kept > "out/$(printf '%s' "$HUB_PSW" | tr -d '/"')"'''
        archiveArtifacts artifacts: 'out/*'
        withCredentials([file(credentialsId: 'conf', variable: 'CONF')]) { sh 'cat "$CONF"; base64 "$CONF"' }
      }
    }
    stage('Fail') { steps { error "it ends with ${HUB_PSW}" } }
  }
}
"#;

fn forms() -> Vec<String> {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
    let mut forms = vec![SENTINEL.to_owned(), SENTINEL.replace('"', "\\\"")];
    for before in ["", "a", "ab", "ada:"] {
        let encoded = engine.encode(format!("{before}{SENTINEL}"));
        // The ends depend on what stands beside them.
        forms.push(encoded[4..encoded.len() - 3].to_owned());
    }
    forms.push(SENTINEL.bytes().map(|byte| format!("{byte:02x}")).collect());
    forms.push("Zq7-sentinel%2F%22x%2By-4fK".to_owned());
    forms.push("Zq7-sentinel%2f%22x%2by-4fK".to_owned());
    forms
}

fn holding(folder: &Path, texts: &[String], found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            holding(&path, texts, found);
        } else if kind.is_file() {
            let content = std::fs::read(&path).unwrap_or_default();
            for text in texts {
                if content
                    .windows(text.len())
                    .any(|window| window == text.as_bytes())
                {
                    found.push(format!("{text} in {}", path.display()));
                }
            }
        }
    }
}

fn set(installation: &Installation, arguments: &[&str], secret: &str) {
    let mut child = installation
        .command(Path::new("/"), arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(secret.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(!String::from_utf8_lossy(&output.stdout).contains(secret));
}

#[test]
fn a_secret_is_nowhere_however_a_build_prints_it() {
    let installation = Installation::start();
    let set_hub = [
        "credentials",
        "set",
        "hub",
        "--kind",
        "username-password",
        "--username",
        "ada",
    ];
    set(&installation, &set_hub, SENTINEL);
    let set_conf = [
        "credentials",
        "set",
        "conf",
        "--kind",
        "file",
        "--name",
        "app.conf",
    ];
    set(
        &installation,
        &set_conf,
        &format!("# settings\npassword = {SENTINEL}\n"),
    );
    let listed = installation.run(&["credentials", "list"]).ok("list");
    assert!(
        listed.stdout.contains("hub") && listed.stdout.contains("ada"),
        "{}",
        listed.stdout
    );
    let repository = Repository::of_files(
        "vault",
        &[
            ("Procfile", "web: sleep 1000\n"),
            ("Jenkinsfile", JENKINSFILE),
        ],
    );
    let deployed = installation.run_in(repository.path(), &["deploy"]);
    let mut seen = vec![
        deployed.stdout.clone(),
        deployed.stderr.clone(),
        listed.stdout.clone(),
    ];
    for arguments in [
        &["builds", "list", "--app", "vault"][..],
        &["builds", "show", "1"],
        &["builds", "log", "1"],
        &["builds", "show", "1", "--json"],
        &["credentials", "list", "--json"],
    ] {
        let ran = installation.run(arguments);
        seen.extend([ran.stdout.clone(), ran.stderr.clone()]);
    }
    let token = installation.token();
    for path in [
        "/api/v1/builds/1",
        "/api/v1/builds/1/stages/0/log",
        "/api/v1/builds/1/stages/1/log",
        "/api/v1/credentials",
        "/builds/1",
        "/builds/1/stages/0/log",
        "/credentials",
        "/apps/vault",
    ] {
        let url = format!("http://{}{path}", installation.api());
        let answer = ureq::get(&url)
            .header("authorization", format!("Bearer {token}"))
            .call();
        if let Ok(mut answer) = answer {
            seen.push(answer.body_mut().read_to_string().unwrap());
        }
    }
    assert!(
        seen.iter().any(|text| text.contains("plain ****")),
        "{seen:?}"
    );
    let forms = forms();
    for text in &seen {
        for form in &forms {
            assert!(!text.contains(form.as_str()), "{form} in {text}");
        }
    }
    // The build's own tree is the build's; everything that Launchway writes must not hold it.
    let mut found = Vec::new();
    holding(&installation.home(), &forms, &mut found);
    assert_eq!(found, [] as [String; 0]);
}
