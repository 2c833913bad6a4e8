use std::ffi::OsStr;

use launchway_model::ProcessType;

use super::*;
use crate::plan::{Body, Text};

/// A tree of these files, seen by a machine that has these commands.
struct Tree {
    folder: tempfile::TempDir,
    commands: tempfile::TempDir,
}

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self {
            folder,
            commands: tempfile::tempdir().unwrap(),
        }
    }

    fn with_command(self, name: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let path = self.commands.path().join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn detect(&self, given: bool) -> Option<Draft> {
        let path: &OsStr = self.commands.path().as_os_str();
        let sight = Sight {
            tree: self.folder.path(),
            path: path.to_owned(),
        };
        detect_seen(&sight, given).unwrap()
    }

    fn web(&self) -> String {
        let draft = self.detect(false).unwrap();
        draft.processes[&ProcessType::web()]
            .command
            .clone()
            .unwrap()
    }
}

fn scripts(draft: &Draft) -> Vec<String> {
    let mut scripts = Vec::new();
    for stage in draft.stages.iter().flatten() {
        let Body::Steps(steps) = &stage.body else {
            continue;
        };
        for step in steps {
            let inner = match step {
                Step::Make(make) => &make.steps[0],
                step => step,
            };
            if let Step::Run {
                script: Text::Plain(script),
                ..
            } = inner
            {
                scripts.push(format!("{}: {script}", stage.name));
            }
        }
    }
    scripts
}

#[test]
fn flask_with_its_object_in_the_root() {
    let tree = Tree::new(&[
        ("requirements.txt", "Flask==3.0 # web\ngunicorn>=20\n"),
        (
            "app.py",
            "from flask import Flask\n\napp = Flask(__name__)\n",
        ),
        ("test_app.py", "app = Flask('wrong')\n"),
    ]);
    assert_eq!(
        tree.web(),
        "gunicorn --bind 127.0.0.1:$PORT --threads 4 app:app"
    );
    let draft = tree.detect(false).unwrap();
    assert_eq!(draft.env["PYTHONUNBUFFERED"], "1");
    assert_eq!(
        scripts(&draft),
        [
            "Install: python3 -m venv .venv\n.venv/bin/pip install --disable-pip-version-check -r requirements.txt"
        ]
    );
    let tree = tree.with_command("uv");
    assert_eq!(
        scripts(&tree.detect(false).unwrap()),
        ["Install: uv venv .venv\nuv pip install --python .venv/bin/python -r requirements.txt"]
    );
}

#[test]
fn a_server_is_added_only_where_none_is_named() {
    let app = ("main.py", "import flask\nserver = flask.Flask(__name__)\n");
    let tree = Tree::new(&[("requirements.txt", "flask\n"), app]);
    assert_eq!(
        tree.web(),
        "gunicorn --bind 127.0.0.1:$PORT --threads 4 main:server"
    );
    let draft = tree.detect(false).unwrap();
    assert!(scripts(&draft)[0].ends_with("-r requirements.txt gunicorn"));
    assert!(draft.notes[0].contains("gunicorn"));
    assert!(scripts(&tree.detect(true).unwrap())[0].ends_with("-r requirements.txt"));
    let tree = Tree::new(&[("requirements.txt", "flask\nwaitress\n"), app]);
    assert_eq!(
        tree.web(),
        "waitress-serve --listen=127.0.0.1:$PORT main:server"
    );
}

#[test]
fn a_flask_factory_in_a_package_with_migrations() {
    let tree = Tree::new(&[
        ("requirements.txt", "-r requirements/base.txt\n"),
        ("requirements/base.txt", "Flask\nFlask_Migrate\ngunicorn\n"),
        (
            "microblog.py",
            "from app import create_app, db\n\napp = create_app()\n",
        ),
        (
            "app/__init__.py",
            "def create_app(config_class=Config):\n    app = Flask(__name__)\n",
        ),
        ("migrations/env.py", ""),
    ]);
    assert!(tree.web().ends_with(" microblog:app"), "{}", tree.web());
    let draft = tree.detect(false).unwrap();
    assert_eq!(
        draft.release.unwrap().command,
        "flask --app microblog:app db upgrade"
    );

    let tree = Tree::new(&[
        ("requirements.txt", "flask\ngunicorn\n"),
        (
            "shop/__init__.py",
            "def create_app(test_config=None):\n    app = Flask(__name__)\n",
        ),
    ]);
    assert!(
        tree.web().ends_with(" 'shop:create_app()'"),
        "{}",
        tree.web()
    );

    let tree = Tree::new(&[
        ("requirements.txt", "flask\ngunicorn\n"),
        (".flaskenv", "FLASK_APP=blog.py\n"),
        ("blog.py", "from app import app\n"),
        ("app/__init__.py", "app = Flask(__name__)\n"),
    ]);
    assert!(tree.web().ends_with(" blog:app"), "{}", tree.web());
}

#[test]
fn django_with_migrations_and_static_files() {
    let tree = Tree::new(&[
        ("requirements.txt", "Django\ngunicorn\n"),
        (
            "manage.py",
            "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n",
        ),
        ("mysite/settings.py", "STATIC_ROOT = BASE_DIR / 'static'\n"),
        ("mysite/wsgi.py", "application = get_wsgi_application()\n"),
    ]);
    assert!(tree.web().ends_with(" mysite.wsgi:application"));
    let draft = tree.detect(false).unwrap();
    assert_eq!(
        draft.release.as_ref().unwrap().command,
        "python manage.py migrate --noinput"
    );
    assert_eq!(scripts(&draft).len(), 2);
}

#[test]
fn asgi_applications() {
    let tree = Tree::new(&[
        ("pyproject.toml", "[project]\nname = 'x'\nrequires-python = '==3.12.*'\ndependencies = ['fastapi[standard]>=0.1']\n"),
        ("src/api/main.py", "app: FastAPI = FastAPI()\n"),
    ])
    .with_command("python3.12");
    assert_eq!(
        tree.web(),
        "uvicorn --host 127.0.0.1 --port $PORT api.main:app"
    );
    assert_eq!(
        scripts(&tree.detect(false).unwrap()),
        [
            "Install: python3.12 -m venv .venv\n.venv/bin/pip install --disable-pip-version-check 'fastapi[standard]>=0.1'"
        ]
    );
}

#[test]
fn node_by_its_lock_file() {
    for (lock, script) in [
        ("package-lock.json", "npm ci --no-audit --no-fund"),
        ("pnpm-lock.yaml", "pnpm install --frozen-lockfile"),
        ("yarn.lock", "yarn install --frozen-lockfile"),
    ] {
        let tree = Tree::new(&[
            (lock, ""),
            (
                "package.json",
                r#"{"scripts": {"start": "node server.js", "build": "tsc"}, "dependencies": {"express": "4"}}"#,
            ),
        ]);
        let draft = tree.detect(false).unwrap();
        assert_eq!(tree.web(), "node server.js");
        assert_eq!(scripts(&draft)[0], format!("Install: {script}"));
        assert!(scripts(&draft)[1].ends_with(" run build"));
    }
    let tree = Tree::new(&[(
        "package.json",
        r#"{"scripts": {"prestart": "x", "start": "node server.js"}}"#,
    )]);
    assert_eq!(tree.web(), "npm start");
    let tree = Tree::new(&[(
        "package.json",
        r#"{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "5"}}"#,
    )]);
    assert_eq!(tree.detect(false).unwrap().files.unwrap().folder, "dist");
    let broken = Tree::new(&[("package.json", "{\n  oops")]);
    let sight = Sight {
        tree: broken.folder.path(),
        path: "".into(),
    };
    assert_eq!(
        detect_seen(&sight, false)
            .unwrap_err()
            .to_problem()
            .place
            .unwrap()
            .line,
        2
    );
}

#[test]
fn rust_go_and_static_sites() {
    let tree = Tree::new(&[
        ("Cargo.toml", "[package]\nname = \"shop\"\n"),
        ("Cargo.lock", ""),
        ("src/main.rs", "fn main() {}\n"),
    ]);
    assert_eq!(tree.web(), "bin/shop");
    assert!(
        scripts(&tree.detect(false).unwrap())[0]
            .contains("--release --locked --package shop --bin shop")
    );
    let tree = Tree::new(&[
        ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\n"),
        ("crates/lib/Cargo.toml", "[package]\nname = \"lib\"\n"),
        ("crates/server/Cargo.toml", "[package]\nname = \"server\"\n"),
        ("crates/server/src/main.rs", ""),
    ]);
    assert_eq!(tree.web(), "bin/server");

    let tree = Tree::new(&[
        ("go.mod", "module example.org/shop\n"),
        ("cmd/shop/main.go", "package main\n"),
        ("cmd/tool/main.go", "package main\n"),
    ]);
    assert_eq!(tree.web(), "bin/server");
    assert_eq!(
        scripts(&tree.detect(false).unwrap()),
        ["Build: go build -o bin/server ./cmd/shop"]
    );

    let tree = Tree::new(&[("public/index.html", ""), ("index.html", "")]);
    assert_eq!(tree.detect(false).unwrap().files.unwrap().folder, "public");
    assert!(Tree::new(&[("README.md", "")]).detect(false).is_none());
}

#[test]
fn assets_of_a_python_application_are_built_by_node_first() {
    let tree = Tree::new(&[
        ("requirements.txt", "flask\ngunicorn\n"),
        ("app.py", "app = Flask(__name__)\n"),
        ("package-lock.json", ""),
        (
            "package.json",
            r#"{"scripts": {"build": "tailwind"}, "devDependencies": {"tailwindcss": "3"}}"#,
        ),
    ]);
    let scripts = scripts(&tree.detect(false).unwrap());
    assert_eq!(scripts.len(), 3);
    assert!(scripts[0].starts_with("Install: npm ci"));
    assert!(scripts[2].contains("pip install"));
    assert!(tree.web().starts_with("gunicorn"));
}
