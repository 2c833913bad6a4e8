//! Where a Python tree's application object is.

use std::sync::LazyLock;

use regex::Regex;

use super::super::Sight;
use super::packages::Packages;

/// Regular expressions that are known to be right.
fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant that the tests compile")
}

static MADE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?m)^(\w+)\s*(?::\s*[\w.]+\s*)?=\s*(?:\w+\.)*(Flask|Quart|FastAPI|Starlette|Litestar|Sanic|Bottle|Falcon|APIFlask|OpenAPI|App)\(",
    )
});
static FROM_FACTORY: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?m)^(\w+)\s*(?::\s*[\w.]+\s*)?=\s*(?:\w+\.)*(?:create_app|make_app|create_application|get_app)\(",
    )
});
static FACTORY: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?m)^def\s+(create_app|make_app|create_application|get_app)\(([^)]*)\)")
});
static IMPORTED: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?m)^from\s+\S+\s+import\s+[^#\n]*\b(app|application)\b"));
static SETTINGS: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']"#));

/// How a server talks to an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interface {
    Wsgi,
    Asgi,
}

/// An application object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Application {
    /// `module:object`.
    pub(super) object: String,
    /// Whether the object is a function that makes the application.
    pub(super) factory: bool,
    pub(super) interface: Interface,
    pub(super) framework: &'static str,
    /// How it was found, for people.
    pub(super) why: String,
}

/// The tree's application, if there is one.
pub(super) fn find(sight: &Sight<'_>, packages: &Packages) -> Option<Application> {
    if sight.is_file("manage.py") {
        return django(sight, packages);
    }
    let framework = framework(packages)?;
    let interface = match framework {
        "Flask" | "Bottle" | "Falcon" | "Pyramid" => Interface::Wsgi,
        _ => Interface::Asgi,
    };
    let made = |object: String, factory: bool, why: String| Application {
        object,
        factory,
        interface,
        framework,
        why,
    };
    if let Some((object, factory)) = flask_app(sight) {
        return Some(made(object, factory, "named in .flaskenv".to_owned()));
    }
    let modules = modules(sight);
    let read: Vec<(String, String, String)> = modules
        .into_iter()
        .filter_map(|(file, module)| sight.text(&file).map(|text| (file, module, text)))
        .collect();
    for pattern in [&*FROM_FACTORY, &*MADE] {
        for (file, module, text) in &read {
            // A package's own `__init__` may make the object for others to import: it counts as the package.
            if let Some(found) = pattern.captures(text) {
                let object = format!("{module}:{}", &found[1]);
                return Some(made(object, false, format!("`{}` in {file}", &found[1])));
            }
        }
    }
    for (file, module, text) in &read {
        if let Some(found) = FACTORY.captures(text)
            && found[2].split(',').all(|argument| {
                argument.trim().is_empty()
                    || argument.contains('=')
                    || argument.trim_start().starts_with('*')
            })
        {
            let object = format!("{module}:{}", &found[1]);
            return Some(made(
                object,
                true,
                format!("made by `{}` in {file}", &found[1]),
            ));
        }
    }
    let root = |file: &String| !file.contains('/');
    read.iter()
        .filter(|(file, _, _)| root(file))
        .find_map(|(file, module, text)| {
            let found = IMPORTED.captures(text)?;
            Some(made(
                format!("{module}:{}", &found[1]),
                false,
                format!("`{}` in {file}", &found[1]),
            ))
        })
}

fn framework(packages: &Packages) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 12] = [
        ("flask", "Flask"),
        ("apiflask", "Flask"),
        ("fastapi", "FastAPI"),
        ("quart", "Quart"),
        ("litestar", "Litestar"),
        ("starlette", "Starlette"),
        ("blacksheep", "BlackSheep"),
        ("bottle", "Bottle"),
        ("falcon", "Falcon"),
        ("connexion", "Flask"),
        ("flask-restful", "Flask"),
        ("flask-restx", "Flask"),
    ];
    KNOWN
        .iter()
        .find(|(package, _)| packages.names.contains(*package))
        .map(|(_, framework)| *framework)
}

/// The FLASK_APP of `.flaskenv`, as `module:object`.
fn flask_app(sight: &Sight<'_>) -> Option<(String, bool)> {
    let text = sight.text(".flaskenv")?;
    let value = text.lines().find_map(|line| {
        let line = line.trim().trim_start_matches("export ");
        line.strip_prefix("FLASK_APP=")
    })?;
    let value = value.trim().trim_matches(['"', '\'']);
    let (module, object) = value.split_once(':').unwrap_or((value, ""));
    let module = module.trim_end_matches(".py").replace('/', ".");
    if module.is_empty() {
        return None;
    }
    if let Some(factory) = object.strip_suffix("()") {
        return Some((format!("{module}:{factory}"), true));
    }
    if !object.is_empty() {
        return Some((format!("{module}:{object}"), false));
    }
    let path = module.replace('.', "/");
    let text = sight
        .text(&format!("{path}.py"))
        .or_else(|| sight.text(&format!("{path}/__init__.py")))?;
    for pattern in [&*FROM_FACTORY, &*MADE, &*IMPORTED] {
        if let Some(found) = pattern.captures(&text) {
            return Some((format!("{module}:{}", &found[1]), false));
        }
    }
    FACTORY
        .captures(&text)
        .map(|found| (format!("{module}:{}", &found[1]), true))
}

/// The modules that may hold the application, the likeliest first: the well-known names at the root, the others there, then packages.
fn modules(sight: &Sight<'_>) -> Vec<(String, String)> {
    const LIKELY: [&str; 8] = [
        "wsgi",
        "asgi",
        "app",
        "application",
        "main",
        "server",
        "run",
        "api",
    ];
    let mut modules = Vec::new();
    let mut add = |folder: &str, prefix: &str| {
        let names = sight.names(folder);
        let of = |module: &str| {
            let file = if folder.is_empty() {
                format!("{module}.py")
            } else {
                format!("{folder}/{module}.py")
            };
            (file, format!("{prefix}{module}"))
        };
        if !prefix.is_empty() && names.iter().any(|name| name == "__init__.py") {
            modules.push((
                format!("{folder}/__init__.py"),
                prefix.trim_end_matches('.').to_owned(),
            ));
        }
        for module in LIKELY {
            if names.contains(&format!("{module}.py")) {
                modules.push(of(module));
            }
        }
        for name in &names {
            let Some(module) = name.strip_suffix(".py") else {
                continue;
            };
            let test = module.starts_with("test")
                || [
                    "setup", "conftest", "config", "manage", "__init__", "__main__", "tests",
                ]
                .contains(&module);
            if !LIKELY.contains(&module) && !test && modules.len() < 300 {
                modules.push(of(module));
            }
        }
    };
    add("", "");
    for folder in sight.folders("") {
        add(&folder, &format!("{folder}."));
    }
    for folder in sight.folders("src") {
        add(&format!("src/{folder}"), &format!("{folder}."));
    }
    modules
}

fn django(sight: &Sight<'_>, packages: &Packages) -> Option<Application> {
    let settings = sight
        .text("manage.py")
        .and_then(|text| SETTINGS.captures(&text).map(|found| found[1].to_owned()));
    let package = settings.as_deref().map(|settings| {
        settings
            .split(".settings")
            .next()
            .unwrap_or(settings)
            .to_owned()
    });
    let candidates: Vec<String> = package.into_iter().chain(sight.folders("")).collect();
    let serves_asgi = ["daphne", "uvicorn", "hypercorn"]
        .iter()
        .any(|server| packages.names.contains(*server))
        && !packages.names.contains("gunicorn");
    for package in candidates {
        let folder = package.replace('.', "/");
        let kinds = if serves_asgi {
            [("asgi", Interface::Asgi), ("wsgi", Interface::Wsgi)]
        } else {
            [("wsgi", Interface::Wsgi), ("asgi", Interface::Asgi)]
        };
        for (module, interface) in kinds {
            let file = format!("{folder}/{module}.py");
            if sight.is_file(&file) {
                return Some(Application {
                    object: format!("{package}.{module}:application"),
                    factory: false,
                    interface,
                    framework: "Django",
                    why: format!("its application in {file}"),
                });
            }
        }
    }
    None
}
