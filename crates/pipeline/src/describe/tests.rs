use launchway_model::ProcessType;

use super::*;

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

#[test]
fn sources_fill_each_other_in_order() {
    let tree = tree(&[
        (
            "launchway.toml",
            "health = \"/up\"\n[process.web]\ninstances = 3\n",
        ),
        (
            "Procfile",
            "web: gunicorn app:app\nworker: python w.py\nrelease: migrate\n",
        ),
        (
            "app.json",
            r#"{"formation": {"web": {"quantity": 9}, "worker": {"quantity": 2}}, "env": {"A": "json"}}"#,
        ),
        ("requirements.txt", "flask\ngunicorn\n"),
        ("app.py", "app = Flask(__name__)\n"),
    ]);
    let described = read(tree.path(), Some("[env]\nA = \"outside\"\n")).unwrap();
    let spec = &described.spec;
    assert_eq!(spec.processes[&ProcessType::web()].instances, 3);
    assert_eq!(
        spec.processes[&ProcessType::web()].command,
        "gunicorn app:app"
    );
    assert_eq!(spec.processes[&"worker".parse().unwrap()].instances, 2);
    assert_eq!(spec.health.path.as_deref(), Some("/up"));
    assert_eq!(spec.env["A"], "outside");
    assert_eq!(spec.release.as_ref().unwrap().command, "migrate");
    assert_eq!(described.plan.stages.len(), 1);
    assert_eq!(spec.sources[0], "description");
}

#[test]
fn what_is_written_for_init_says_the_same() {
    let trees = [
        tree(&[
            ("requirements.txt", "flask\n"),
            ("app.py", "app = Flask(__name__)\n"),
        ]),
        tree(&[
            ("Procfile", "web: say \"hi\" \\ 'x'\nrelease: migrate\n"),
            (
                "app.json",
                r#"{"healthchecks": {"web": [{"path": "/up", "attempts": 2, "timeout": 3}]}, "env": {"A": "tab\tquote\""}, "scripts": {"test": "pytest"}}"#,
            ),
            (
                "package.json",
                r#"{"scripts": {"build": "x"}, "dependencies": {"y": "1"}}"#,
            ),
        ]),
        tree(&[("index.html", "")]),
    ];
    for folder in trees {
        let first = read(folder.path(), None).unwrap();
        fs::write(folder.path().join("launchway.toml"), &first.toml).unwrap();
        let mut again = read(folder.path(), None).unwrap();
        for stage in &mut again.plan.stages {
            stage.place = None;
        }
        assert_eq!(first.plan, again.plan, "{}", first.toml);
        again.spec.sources.clone_from(&first.spec.sources);
        assert_eq!(first.spec, again.spec, "{}", first.toml);
    }
}

#[test]
fn the_plan_is_told_in_words() {
    let tree = tree(&[
        ("requirements.txt", "flask\ngunicorn\n"),
        ("app.py", "app = Flask(__name__)\n"),
        (
            "launchway.toml",
            "health = \"/healthz\"\npersist = [\"app.db\"]\n[[stage]]\nname = \"Check\"\nrun = \"make check\"\n",
        ),
    ]);
    let described = read(tree.path(), None).unwrap();
    insta::assert_snapshot!(described.words.join("\n"));
}

#[test]
fn an_empty_or_unknown_tree_says_what_was_looked_for() {
    let problem = read(tree(&[]).path(), None).unwrap_err().to_problem();
    assert!(problem.causes[0].contains("Procfile"));
    assert!(problem.hint.unwrap().contains("launchway init"));
    let problem = read(tree(&[("main.c", "")]).path(), None)
        .unwrap_err()
        .to_problem();
    assert!(problem.causes[1].contains("main.c"));
}

#[test]
fn a_procfile_without_web_is_refused_unless_something_else_serves() {
    let error = |files: &[(&str, &str)]| read(tree(files).path(), None).map(|_| ());
    assert!(error(&[("Procfile", "worker: x\n")]).is_err());
    error(&[
        ("Procfile", "worker: x\n"),
        ("launchway.toml", "static = \"public\"\n"),
    ])
    .unwrap();
    error(&[
        ("Procfile", "worker: x\n"),
        ("launchway.toml", "[process]\nweb = \"y\"\n"),
    ])
    .unwrap();
}

#[test]
fn files_that_are_not_text_or_lead_out_of_the_tree_are_refused() {
    let folder = tree(&[]);
    fs::write(folder.path().join("Procfile"), b"web: x\nworker: \xff\n").unwrap();
    let place = read(folder.path(), None)
        .unwrap_err()
        .to_problem()
        .place
        .unwrap();
    assert_eq!((place.line, place.column), (2, 9));
    fs::remove_file(folder.path().join("Procfile")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("Procfile")).unwrap();
    assert!(matches!(
        read(folder.path(), None).unwrap_err(),
        DescribeError::Unreadable { .. }
    ));
}

#[test]
fn stages_can_be_left_out_from_outside() {
    let tree = tree(&[
        ("Procfile", "web: x\n"),
        (
            "launchway.toml",
            "[[stage]]\nname = \"Clean\"\nrun = \"rm\"\n[[stage]]\nname = \"Test\"\nrun = \"t\"\n",
        ),
    ]);
    let described = read(tree.path(), Some("skip_stages = [\"Clean\", \"Nope\"]")).unwrap();
    assert_eq!(described.plan.stages.len(), 1);
    assert!(described.words.last().unwrap().contains("Nope"));
}

#[test]
fn detected_stages_come_before_those_that_are_written() {
    let names = |toml: &str| -> Vec<String> {
        let tree = tree(&[
            ("requirements.txt", "flask\ngunicorn\n"),
            ("app.py", "app = Flask(__name__)\n"),
            ("launchway.toml", toml),
        ]);
        let described = read(tree.path(), None).unwrap();
        described
            .plan
            .stages
            .into_iter()
            .map(|stage| stage.name)
            .collect()
    };
    let test = "[[stage]]\nname = \"Test\"\nrun = \"pytest\"\n";
    assert_eq!(names(test), ["Install", "Test"]);
    assert_eq!(names(&format!("install = false\n{test}")), ["Test"]);
    assert_eq!(
        names(&format!(
            "[[stage]]\nname = \"install\"\nrun = \"x\"\n{test}"
        )),
        ["install", "Test"]
    );
    let own = "[[stage]]\nname = \"Deps\"\nrun = \"x\"\nmakes = [\".venv\"]\nfrom = [\"app.py\"]\n";
    assert_eq!(names(&format!("{own}{test}")), ["Deps", "Test"]);
    assert_eq!(
        names(&format!("[process]\nweb = \"x\"\n{test}")),
        ["Install", "Test"]
    );
}

#[test]
fn a_jenkinsfile_is_written_as_a_launchway_toml() {
    let folder = tree(&[
        ("Procfile", "web: x\n"),
        (
            "Jenkinsfile",
            r#"pipeline {
    agent any
    environment { A = 'one' }
    stages {
        stage('Build') {
            steps {
                checkout scm
                sh """
                    make ${env.TARGET}
                    make install
                """
                dir('docs') { sh 'make html' }
                script {
                    def x = sh(script: 'date', returnStdout: true)
                }
            }
            post { always { junit 'r/*.xml' }
                failure { sh './notify.sh' } }
        }
        stage('Publish') {
            when { anyOf { branch 'main'; buildingTag() } }
            steps { retry(3) { sh 'publish' }
                archiveArtifacts artifacts: 'dist/*' }
        }
    }
    post { always { echo 'done' } }
}
"#,
        ),
    ]);
    let described = read(folder.path(), None).unwrap();
    insta::assert_snapshot!(described.toml);
    fs::remove_file(folder.path().join("Jenkinsfile")).unwrap();
    fs::write(folder.path().join("launchway.toml"), &described.toml).unwrap();
    let again = read(folder.path(), None).unwrap();
    assert_eq!(again.plan.stages.len(), 2);
    assert!(again.jenkinsfile.is_none());
}

#[test]
fn a_jenkinsfile_that_cannot_be_run_can_be_left_alone() {
    let folder = tree(&[
        ("Procfile", "web: x\n"),
        ("Jenkinsfile", "node { sh 'make' }\n"),
    ]);
    let problem = read(folder.path(), None).unwrap_err().to_problem();
    assert!(problem.hint.unwrap().ends_with("outside the repository."));
    assert_eq!(problem.place.unwrap().file, "Jenkinsfile");
    let described = read(folder.path(), Some("jenkinsfile = false")).unwrap();
    assert!(described.plan.stages.is_empty() && described.jenkinsfile.is_none());
    let stages = "[[stage]]\nname = \"A\"\nrun = \"a\"\n";
    let described = read(folder.path(), Some(stages)).unwrap();
    assert!(
        described
            .words
            .iter()
            .any(|word| word.starts_with("The Jenkinsfile is not run"))
    );
}
