//! The arguments of OWASP Dependency-Check's command, mapped onto a scan, so that a Jenkinsfile's
//! `dependencyCheck additionalArguments: '…', odcInstallation: '…'` works as it is.
//!
//! What has no meaning here (keys, data feeds, analysers) is accepted and told in the notes; what would change the
//! verdict and isn't understood is an error.

use std::path::{Path, PathBuf};

use crate::command::{Options, Output};
use crate::error::ScanError;
use crate::output::Format;
use crate::policy::Threshold;
use crate::walk::excluded;

/// The arguments as a scan, and what a person should know about them.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// The scan, with the default database of the caller.
    pub options: Options,
    /// Whether the database may be updated first; `--noupdate` forbids it.
    pub update: bool,
    /// Arguments that were accepted and mean nothing here.
    pub notes: Vec<String>,
}

/// Arguments with a value that steer feeds, analysers or the connection, and mean nothing here.
const IGNORED_WITH_VALUE: [&str; 34] = [
    "--nvdApiKey",
    "--nvdApiEndpoint",
    "--nvdApiDelay",
    "--nvdApiResultsPerPage",
    "--nvdMaxRetryCount",
    "--nvdValidForHours",
    "--nvdDatafeed",
    "--nvdUser",
    "--nvdPassword",
    "--nvdApiKeyCredentialsId",
    "--proxyserver",
    "--proxyport",
    "--proxyuser",
    "--proxypass",
    "--nonProxyHosts",
    "--connectiontimeout",
    "--readtimeout",
    "--cveValidForHours",
    "--ossIndexUsername",
    "--ossIndexPassword",
    "--connectionString",
    "--dbDriverName",
    "--dbDriverPath",
    "--dbUser",
    "--dbPassword",
    "--log",
    "-l",
    "--propertyfile",
    "-P",
    "--hints",
    "--dotnet",
    "--go",
    "--yarn",
    "--pnpm",
];

/// Reads the one text that a Jenkinsfile passes, with quotes as a shell reads them, and `$NAME` and `${NAME}` replaced
/// within each word where `variable` knows the name. As Jenkins' plugin has it, the XML report is written where no format
/// is named, since its publisher reads that.
///
/// # Errors
/// Where a quote is not closed, and as [`from_list`].
pub fn from_text(
    text: &str,
    base: Options,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Arguments, ScanError> {
    let words: Vec<String> = split(text)?
        .iter()
        .map(|word| expand(word, variable))
        .collect();
    map(&words, base, Format::DependencyCheck)
}

/// Replaces variables; what is not known stays as it is written.
fn expand(word: &str, variable: &dyn Fn(&str) -> Option<String>) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (name, length) = match rest[1..].strip_prefix('{') {
            Some(braced) => match braced.find('}') {
                Some(end) => (&braced[..end], end + 3),
                None => ("", 1),
            },
            None => {
                let end = rest[1..].find(|c| !is_part(c)).unwrap_or(rest.len() - 1);
                (&rest[1..=end], end + 1)
            }
        };
        match variable(name).filter(|_| !name.is_empty()) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

/// Maps the command's own list of arguments onto `base`, whose paths count only where the arguments name none. As
/// the command has it, the HTML report is written where no format is named.
///
/// # Errors
/// Where an argument lacks its value, or would change the verdict and isn't understood.
pub fn from_list(arguments: &[String], base: Options) -> Result<Arguments, ScanError> {
    map(arguments, base, Format::Html)
}

fn map(
    arguments: &[String],
    base: Options,
    default_format: Format,
) -> Result<Arguments, ScanError> {
    let mut mapped = Arguments {
        options: base,
        update: true,
        notes: Vec::new(),
    };
    let mut scans: Vec<PathBuf> = Vec::new();
    let mut formats: Vec<Format> = Vec::new();
    let mut out: Option<PathBuf> = None;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        // Both `--name value` and `--name=value` are written.
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let mut value = || {
            attached
                .clone()
                .or_else(|| words.next().cloned())
                .ok_or_else(|| ScanError::BadArgument(format!("`{name}` needs a value")))
        };
        match name {
            "--scan" | "-s" => scans.push(plain_path(&value()?)),
            "--out" | "-o" => out = Some(PathBuf::from(value()?)),
            "--format" | "-f" => formats.extend(format(&value()?, &mut mapped.notes)?),
            "--project" => mapped.options.project = Some(value()?),
            "--suppression" => mapped.options.suppressions.push(PathBuf::from(value()?)),
            "--failOnCVSS" => {
                let written = value()?;
                let score = written
                    .parse::<f64>()
                    .ok()
                    .filter(|score| score.is_finite());
                let score = score.ok_or_else(|| {
                    ScanError::BadArgument(format!(
                        "`--failOnCVSS {written}` is no score between 0 and 11"
                    ))
                })?;
                mapped.options.policy.fail_on = Threshold::Score(score);
            }
            "--noupdate" | "-n" => mapped.update = false,
            "--data" | "-d" => mapped.options.database = PathBuf::from(value()?),
            "--junitFailOnCVSS" => {
                let written = value()?;
                mapped.notes.push(format!("`--junitFailOnCVSS {written}` is not needed: a test case fails as its finding does"));
            }
            "--exclude" => {
                let pattern = value()?.replace('\\', "/");
                excluded(Path::new("."), std::slice::from_ref(&pattern))?;
                mapped.options.walk.exclude.push(pattern);
            }
            "--prettyPrint"
            | "--enableExperimental"
            | "--enableRetired"
            | "--updateonly"
            | "--symLink"
            | "--advancedHelp" => {
                mapped.notes.push(format!("`{name}` means nothing here"));
            }
            "--purge" => {
                return Err(ScanError::BadArgument(
                    "`--purge` would delete the advisory data; remove its folder instead"
                        .to_owned(),
                ));
            }
            _ if IGNORED_WITH_VALUE.contains(&name) => {
                value()?;
                // A key must not reach a log.
                mapped
                    .notes
                    .push(format!("`{name}` means nothing here: no service is asked"));
            }
            _ if name.starts_with("--disable")
                || name.starts_with("--enable")
                || name.starts_with("--nodeAudit")
                || name.starts_with("--nodePackage")
                || name.starts_with("--yarnAudit") =>
            {
                mapped.notes.push(format!(
                    "`{name}` means nothing here: there are no analysers to choose"
                ));
            }
            _ => {
                return Err(ScanError::BadArgument(format!(
                    "`{name}` is no argument of Dependency-Check that is known here"
                )));
            }
        }
    }
    if !scans.is_empty() {
        mapped.options.paths = scans;
    }
    // Dependency-Check fails nothing unless told at which score.
    if !arguments
        .iter()
        .any(|word| word.starts_with("--failOnCVSS"))
    {
        mapped.options.policy.fail_on = Threshold::Never;
    }
    if formats.is_empty() {
        formats.push(default_format);
    }
    formats.dedup();
    mapped.options.outputs = formats
        .iter()
        .map(|format| Output {
            format: *format,
            path: Some(target(*format, out.as_ref(), formats.len())),
        })
        .collect();
    Ok(mapped)
}

/// Ant's patterns name trees here: `**/*.lock` in a folder is the folder.
fn plain_path(written: &str) -> PathBuf {
    let parts: PathBuf = written
        .split(['/', '\\'])
        .take_while(|part| !part.contains(['*', '?']))
        .collect();
    let parts = if written.starts_with('/') {
        PathBuf::from("/").join(parts)
    } else {
        parts
    };
    if parts.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        parts
    }
}

fn format(written: &str, notes: &mut Vec<String>) -> Result<Vec<Format>, ScanError> {
    Ok(match written.to_ascii_uppercase().as_str() {
        "XML" => vec![Format::DependencyCheck],
        "HTML" => vec![Format::Html],
        "JSON" => vec![Format::Json],
        "JUNIT" => vec![Format::Junit],
        "SARIF" => vec![Format::Sarif],
        "ALL" => vec![
            Format::DependencyCheck,
            Format::Html,
            Format::Json,
            Format::Junit,
            Format::Sarif,
        ],
        "CSV" | "JENKINS" | "GITLAB" => {
            notes.push(format!(
                "`--format {written}` is not written; the XML report is written instead"
            ));
            vec![Format::DependencyCheck]
        }
        _ => {
            return Err(ScanError::BadArgument(format!(
                "`{written}` is no format; expected XML, HTML, JSON, JUNIT, SARIF or ALL"
            )));
        }
    })
}

/// The names that Dependency-Check gives its reports; `--out` may name a file where there is one format.
fn target(format: Format, out: Option<&PathBuf>, formats: usize) -> PathBuf {
    let name = match format {
        Format::DependencyCheck => "dependency-check-report.xml",
        Format::Html => "dependency-check-report.html",
        Format::Json => "dependency-check-report.json",
        Format::Junit => "dependency-check-junit.xml",
        Format::Sarif => "dependency-check-report.sarif",
        Format::CycloneDx => "bom.json",
        Format::Table => "dependency-check-report.txt",
    };
    let Some(out) = out else {
        return PathBuf::from(name);
    };
    let is_file = formats == 1
        && out.extension().is_some_and(|extension| {
            ["xml", "html", "json", "sarif"]
                .iter()
                .any(|known| extension.eq_ignore_ascii_case(known))
        });
    if is_file { out.clone() } else { out.join(name) }
}

/// Splits a text into words: blanks part them, quotes and backslashes keep them together.
fn split(text: &str) -> Result<Vec<String>, ScanError> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut started = false;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                started = true;
            }
            (None | Some('"'), '\\') => {
                word.extend(characters.next());
                started = true;
            }
            (None, c) if c.is_whitespace() => {
                if std::mem::take(&mut started) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (_, c) => {
                word.push(c);
                started = true;
            }
        }
    }
    if quote.is_some() {
        return Err(ScanError::BadArgument(
            "a quote in the arguments is not closed".to_owned(),
        ));
    }
    if started {
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests;
