//! Python: requirements.txt, pyproject.toml, uv.lock, poetry.lock, Pipfile; Django, Flask and other WSGI, FastAPI and other ASGI.

use std::collections::BTreeSet;

use launchway_model::ProcessType;
use launchway_model::app::CommandSpec;

use super::super::draft::{Draft, ProcessDraft};
use super::{Sight, making, quoted};
use crate::plan::{Stage, Step};

mod application;
mod packages;

use application::{Application, Interface};
use packages::Packages;

/// What a Python tree seems to be. With `given`, no server is added to what it installs.
pub(super) fn detect(sight: &Sight<'_>, given: bool) -> Option<Draft> {
    let packages = Packages::read(sight)?;
    let mut draft = Draft::default();
    // Without this, what an application prints stays in a buffer and its log seems to hang.
    draft
        .env
        .insert("PYTHONUNBUFFERED".to_owned(), "1".to_owned());
    let mut added = Vec::new();
    match application::find(sight, &packages) {
        Some(application) if !given => {
            let server = server(&application, &packages.names, &mut added);
            draft
                .processes
                .insert(ProcessType::web(), ProcessDraft::command(server));
            draft.release = release(sight, &application, &packages).map(|command| CommandSpec {
                command,
                timeout_ms: 600_000,
            });
            draft.sources.push(format!(
                "{}: a {} application, {}",
                packages.file, application.framework, application.why
            ));
            if let Some(server) = added.first() {
                draft.notes.push(format!(
                    "{} names no server, so {server} is installed beside it; name one there to choose another.",
                    packages.file
                ));
            }
        }
        Some(application) => {
            draft.sources.push(format!(
                "{}: a {} application",
                packages.file, application.framework
            ));
            // Only the command of a `web` that was given without one is taken.
            let server = server(&application, &packages.names, &mut Vec::new());
            draft
                .processes
                .insert(ProcessType::web(), ProcessDraft::command(server));
        }
        None => draft.sources.push(format!("{}: Python", packages.file)),
    }
    let mut stages = vec![install(sight, &packages, &added)];
    stages.extend(collect_static(sight));
    draft.stages = Some(stages);
    Some(draft)
}

/// The command that serves an application, with the server that is named, or one that is added.
fn server(application: &Application, names: &BTreeSet<String>, added: &mut Vec<String>) -> String {
    let object = &application.object;
    let factory = application.factory;
    let called = if factory {
        format!("{object}()")
    } else {
        object.clone()
    };
    let has = |name: &str| names.contains(name);
    match application.interface {
        Interface::Wsgi => {
            if !has("gunicorn") && has("waitress") {
                let call = if factory { "--call " } else { "" };
                return format!("waitress-serve --listen=127.0.0.1:$PORT {call}{object}");
            }
            if !has("gunicorn") && has("uwsgi") && !factory {
                return format!(
                    "uwsgi --http-socket 127.0.0.1:$PORT --module {object} --master --die-on-term --need-app"
                );
            }
            if !has("gunicorn") {
                added.push("gunicorn".to_owned());
            }
            format!(
                "gunicorn --bind 127.0.0.1:$PORT --threads 4 {}",
                quoted(&called)
            )
        }
        Interface::Asgi => {
            if !has("uvicorn") && has("hypercorn") && !factory {
                return format!("hypercorn --bind 127.0.0.1:$PORT {object}");
            }
            if !has("uvicorn") && has("daphne") && !factory {
                return format!("daphne -b 127.0.0.1 -p $PORT {object}");
            }
            // FastAPI's "standard" extra brings uvicorn.
            if !has("uvicorn") && !has("fastapi[standard]") && !has("fastapi[all]") {
                added.push("uvicorn".to_owned());
            }
            let factory = if factory { "--factory " } else { "" };
            format!("uvicorn --host 127.0.0.1 --port $PORT {factory}{object}")
        }
    }
}

/// The migrations of an application that has some.
fn release(sight: &Sight<'_>, application: &Application, packages: &Packages) -> Option<String> {
    if application.framework == "Django" {
        return sight
            .is_file("manage.py")
            .then(|| "python manage.py migrate --noinput".to_owned());
    }
    if application.framework == "Flask"
        && packages.names.contains("flask-migrate")
        && sight.is_file("migrations/env.py")
    {
        let (module, object) = application.object.split_once(':')?;
        let object = if application.factory {
            format!("{object}()")
        } else {
            object.to_owned()
        };
        return Some(format!(
            "flask --app {} db upgrade",
            quoted(&format!("{module}:{object}"))
        ));
    }
    None
}

/// Django's static files, where its settings name a folder for them.
fn collect_static(sight: &Sight<'_>) -> Option<Stage> {
    if !sight.is_file("manage.py") {
        return None;
    }
    let settings = sight.folders("").into_iter().any(|folder| {
        let inner = format!("{folder}/settings");
        let files = sight
            .names(&inner)
            .into_iter()
            .map(|name| format!("{inner}/{name}"));
        std::iter::once(format!("{folder}/settings.py"))
            .chain(files)
            .filter_map(|file| sight.text(&file))
            .any(|text| {
                text.lines()
                    .any(|line| line.trim_start().starts_with("STATIC_ROOT"))
            })
    });
    settings.then(|| {
        Stage::new(
            "Static files",
            vec![Step::run(
                ".venv/bin/python manage.py collectstatic --noinput",
            )],
        )
    })
}

/// The stage that makes `.venv`.
fn install(sight: &Sight<'_>, packages: &Packages, added: &[String]) -> Stage {
    let mut from = packages.from.clone();
    let added: String = added.iter().map(|package| format!(" {package}")).collect();
    let version = packages.python.as_deref();
    for file in [".python-version", "runtime.txt"] {
        if sight.is_file(file) {
            from.push(file.to_owned());
        }
    }
    if sight.command("uv") {
        let python = version
            .map(|version| format!(" --python {version}"))
            .unwrap_or_default();
        let script = if packages.file == "uv.lock" {
            let mut script = "uv sync --frozen --no-dev".to_owned();
            if !added.is_empty() {
                script += &format!("\nuv pip install --python .venv/bin/python{added}");
            }
            script
        } else {
            let what = packages.pip_arguments(&added);
            format!("uv venv{python} .venv\nuv pip install --python .venv/bin/python {what}")
        };
        return making("Install", script, &[".venv"], &from, &["uv --version"]);
    }
    let exact = version
        .map(|version| format!("python{version}"))
        .filter(|python| sight.command(python));
    let python = exact.as_deref().unwrap_or("python3");
    let script = if packages.file == "poetry.lock" && sight.command("poetry") {
        let mut script =
            "POETRY_VIRTUALENVS_IN_PROJECT=1 poetry install --only main --no-interaction"
                .to_owned();
        if !added.is_empty() {
            script += &format!("\n.venv/bin/pip install{added}");
        }
        script
    } else {
        let what = packages.pip_arguments(&added);
        format!("{python} -m venv .venv\n.venv/bin/pip install --disable-pip-version-check {what}")
    };
    making(
        "Install",
        script,
        &[".venv"],
        &from,
        &[&format!("{python} --version")],
    )
}
