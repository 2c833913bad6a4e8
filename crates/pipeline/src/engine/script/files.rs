//! The steps on files: reading, writing, stashing. They stay inside the build's tree.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::host::ScriptHost;
use crate::glob::Patterns;
use crate::groovy::{Args, Map, Span, Thrown, Value};

/// The largest file that a script reads.
const MAX_READ: u64 = 16 << 20;

/// Runs a step on files; `None` where the name is none.
pub(super) fn call(
    host: &ScriptHost<'_>,
    name: &str,
    args: &Args,
    span: Span,
) -> Option<Result<Value, Thrown>> {
    Some(match name {
        "readFile" => read(host, args, span).map(Value::text),
        "writeFile" => write(host, args, "text", span, Value::to_text),
        "fileExists" => main(host, args, "file", span)
            .and_then(|file| path(host, &file, span))
            .map(|path| path.exists().into()),
        "readJSON" => read_json(host, args, span),
        "writeJSON" => write_json(host, args, span),
        "findFiles" => find(host, args, span),
        "stash" => stash(host, args, span),
        "unstash" => unstash(host, args, span),
        _ => return None,
    })
}

/// A step's main parameter as text.
pub(super) fn main(
    host: &ScriptHost<'_>,
    args: &Args,
    name: &str,
    span: Span,
) -> Result<String, Thrown> {
    match args.main(name) {
        Some(value) => Ok(value.to_text()),
        None => Err(host.fail(format!("the parameter `{name}` is missing"), span)),
    }
}

/// A path of the script's, which must lie inside the tree or be a credential's file.
fn path(host: &ScriptHost<'_>, file: &str, span: Span) -> Result<PathBuf, Thrown> {
    let context = host.context;
    let path = context.folder.join(file);
    let mut real = path.clone();
    // What does not exist yet is where its nearest folder is.
    let existing = loop {
        if let Ok(found) = real.canonicalize() {
            break found;
        }
        if !real.pop() {
            break PathBuf::new();
        }
    };
    let climbs = Path::new(file)
        .components()
        .any(|part| part == std::path::Component::ParentDir)
        && !path.exists();
    let inside = |folder: &Path| {
        folder
            .canonicalize()
            .is_ok_and(|folder| existing.starts_with(folder))
    };
    if !climbs && (inside(&context.build.job.tree) || inside(&context.build.temporary)) {
        return Ok(path);
    }
    Err(host.fail(format!("`{file}` is not inside the build's tree"), span))
}

fn read(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<String, Thrown> {
    let file = main(host, args, "file", span)?;
    let path = path(host, &file, span)?;
    let size = fs::metadata(&path).map_or(0, |data| data.len());
    if size > MAX_READ {
        return Err(host.fail(format!("`{file}` is larger than 16 MiB"), span));
    }
    let bytes = fs::read(&path)
        .map_err(|error| host.fail(format!("cannot read `{file}`: {error}"), span))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(
    host: &ScriptHost<'_>,
    args: &Args,
    what: &str,
    span: Span,
    text: impl FnOnce(&Value) -> String,
) -> Result<Value, Thrown> {
    let file = main(host, args, "file", span)?;
    let path = path(host, &file, span)?;
    let text = args
        .get(what)
        .or_else(|| args.positional.get(1))
        .map(text)
        .unwrap_or_default();
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&path, text));
    match written {
        Ok(()) => Ok(Value::Null),
        Err(error) => Err(host.fail(format!("cannot write `{file}`: {error}"), span)),
    }
}

fn read_json(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let text = match args.get("text") {
        Some(text) => text.to_text(),
        None => read(host, args, span)?,
    };
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(json) => Ok(from_json(&json)),
        Err(error) => Err(host.fail(format!("this is not JSON: {error}"), span)),
    }
}

fn from_json(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(flag) => Value::Bool(*flag),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Decimal(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::text(text.as_str()),
        serde_json::Value::Array(items) => Value::list(items.iter().map(from_json)),
        serde_json::Value::Object(map) => Value::map(
            map.iter()
                .map(|(key, value)| (key.as_str().into(), from_json(value))),
        ),
    }
}

fn to_json(value: &Value, depth: u32) -> serde_json::Value {
    if depth > 64 {
        return serde_json::Value::Null;
    }
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Int(number) => (*number).into(),
        Value::Decimal(number) => {
            serde_json::Number::from_f64(*number).map_or(serde_json::Value::Null, Into::into)
        }
        Value::List(items) => {
            let items = items
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone();
            items.iter().map(|item| to_json(item, depth + 1)).collect()
        }
        Value::Map(map) => {
            let map: Map = map
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone();
            let entries = map
                .iter()
                .map(|(key, value)| (key.to_text(), to_json(value, depth + 1)));
            serde_json::Value::Object(entries.collect())
        }
        other => other.to_text().into(),
    }
}

fn write_json(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let pretty = args.get("pretty").is_some_and(Value::is_true);
    let print = |value: &Value| {
        let json = to_json(value, 0);
        let printed = if pretty {
            serde_json::to_string_pretty(&json)
        } else {
            serde_json::to_string(&json)
        };
        printed.unwrap_or_default()
    };
    if args.get("returnText").is_some_and(Value::is_true) {
        return Ok(Value::text(args.get("json").map(print).unwrap_or_default()));
    }
    write(host, args, "json", span, print)
}

fn find(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let glob = args
        .main("glob")
        .map_or_else(|| "*".to_owned(), Value::to_text);
    let except: Vec<String> = args
        .get("excludes")
        .map(Value::to_text)
        .into_iter()
        .collect();
    let root = path(host, ".", span)?;
    let files = Patterns::new(&[glob], &except).files(&root, &[]);
    Ok(Value::list(files.into_iter().map(|file| {
        let length = fs::metadata(root.join(&file)).map_or(0, |data| data.len());
        let name = file.rsplit('/').next().unwrap_or(&file).to_owned();
        Value::map([
            ("name".into(), name.into()),
            ("path".into(), file.into()),
            ("directory".into(), false.into()),
            (
                "length".into(),
                i64::try_from(length).unwrap_or(i64::MAX).into(),
            ),
        ])
    })))
}

/// Where a stash is kept: beside the tree, until the build's folder goes.
fn stash_folder(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<PathBuf, Thrown> {
    let name = main(host, args, "name", span)?;
    let safe = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "-_. ".contains(c))
        && !name.starts_with('.');
    if !safe {
        return Err(host.fail(format!("`{name}` cannot be the name of a stash"), span));
    }
    Ok(host.context.build.temporary.join("stash").join(name))
}

fn stash(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let folder = stash_folder(host, args, span)?;
    let include = args
        .get("includes")
        .map_or_else(|| "**".to_owned(), Value::to_text);
    let except: Vec<String> = args
        .get("excludes")
        .map(Value::to_text)
        .into_iter()
        .collect();
    let root = &host.context.folder;
    let files = Patterns::new(std::slice::from_ref(&include), &except).files(root, &[]);
    if files.is_empty() && !args.get("allowEmpty").is_some_and(Value::is_true) {
        return Err(host.fail(
            format!("no file matches `{include}`, so nothing is stashed"),
            span,
        ));
    }
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)
        .and_then(|()| copy_files(root, &folder, &files))
        .map_err(|error| host.fail(format!("cannot stash: {error}"), span))?;
    host.context
        .log
        .say(&format!("Stashed {} files", files.len()));
    Ok(Value::Null)
}

fn unstash(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let folder = stash_folder(host, args, span)?;
    if !folder.is_dir() {
        return Err(host.fail(
            format!(
                "nothing is stashed as `{}`",
                main(host, args, "name", span)?
            ),
            span,
        ));
    }
    let files = Patterns::new(&["**".to_owned()], &[]).files(&folder, &[]);
    copy_files(&folder, &host.context.folder, &files)
        .map_err(|error| host.fail(format!("cannot unstash: {error}"), span))?;
    Ok(Value::Null)
}

fn copy_files(from: &Path, to: &Path, files: &[String]) -> io::Result<()> {
    for file in files {
        let target = to.join(file);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(from.join(file), target)?;
    }
    Ok(())
}
