//! The steps that a Jenkinsfile may call, and the check of a script's calls against them before the build starts.

use std::collections::BTreeSet;

use crate::error::FileError;
use crate::groovy::{Arg, Script, Span};

use super::{Read, Reader};

mod walk;

use walk::{Found, Walk};

/// A step: its name, and the names of its parameters, the main one first.
pub struct Known {
    /// The step's name.
    pub name: &'static str,
    /// Its parameters; the first may be given without a name.
    pub parameters: &'static [&'static str],
    /// Whether a block belongs to it.
    pub block: bool,
}

const fn known(name: &'static str, parameters: &'static [&'static str]) -> Known {
    Known {
        name,
        parameters,
        block: false,
    }
}

const fn around(name: &'static str, parameters: &'static [&'static str]) -> Known {
    Known {
        name,
        parameters,
        block: true,
    }
}

/// All steps, with the parameters of Jenkins' own reference. A step whose first parameter is `*` takes any.
pub const STEPS: &[Known] = &[
    known(
        "sh",
        &[
            "script",
            "label",
            "returnStdout",
            "returnStatus",
            "encoding",
        ],
    ),
    known("echo", &["message"]),
    known("error", &["message"]),
    known("unstable", &["message"]),
    known("sleep", &["time", "unit"]),
    known(
        "checkout",
        &[
            "scm",
            "changelog",
            "poll",
            "$class",
            "branches",
            "extensions",
            "userRemoteConfigs",
            "doGenerateSubmoduleConfigurations",
            "submoduleCfg",
        ],
    ),
    known(
        "git",
        &["url", "branch", "credentialsId", "changelog", "poll"],
    ),
    known(
        "junit",
        &[
            "testResults",
            "allowEmptyResults",
            "keepLongStdio",
            "skipPublishingChecks",
            "healthScaleFactor",
            "checksName",
            "skipMarkingBuildUnstable",
            "testDataPublishers",
            "skipOldReports",
            "stdioRetention",
        ],
    ),
    known(
        "archiveArtifacts",
        &[
            "artifacts",
            "allowEmptyArchive",
            "fingerprint",
            "onlyIfSuccessful",
            "excludes",
            "defaultExcludes",
            "caseSensitive",
            "followSymlinks",
        ],
    ),
    known("fingerprint", &["targets"]),
    known(
        "stash",
        &[
            "name",
            "includes",
            "excludes",
            "allowEmpty",
            "useDefaultExcludes",
        ],
    ),
    known("unstash", &["name"]),
    known(
        "cleanWs",
        &[
            "cleanWhenAborted",
            "cleanWhenFailure",
            "cleanWhenNotBuilt",
            "cleanWhenSuccess",
            "cleanWhenUnstable",
            "cleanupMatrixParent",
            "deleteDirs",
            "disableDeferredWipeout",
            "notFailBuild",
            "patterns",
            "skipWhenFailed",
            "externalDelete",
        ],
    ),
    known("deleteDir", &[]),
    known("readFile", &["file", "encoding"]),
    known("writeFile", &["file", "text", "encoding"]),
    known("fileExists", &["file"]),
    known("readJSON", &["file", "text", "returnPojo"]),
    known("writeJSON", &["file", "json", "pretty", "returnText"]),
    known("findFiles", &["glob", "excludes"]),
    known("pwd", &["tmp"]),
    known("isUnix", &[]),
    known(
        "mail",
        &[
            "subject", "body", "to", "cc", "bcc", "from", "replyTo", "charset", "mimeType",
        ],
    ),
    known(
        "emailext",
        &[
            "subject",
            "body",
            "to",
            "attachLog",
            "attachmentsPattern",
            "compressLog",
            "from",
            "mimeType",
            "recipientProviders",
            "replyTo",
            "presendScript",
            "postsendScript",
            "saveOutput",
        ],
    ),
    known(
        "slackSend",
        &[
            "message",
            "channel",
            "color",
            "baseUrl",
            "teamDomain",
            "tokenCredentialId",
            "token",
            "botUser",
            "failOnError",
            "attachments",
            "blocks",
            "username",
            "iconEmoji",
            "notifyCommitters",
            "sendAsText",
            "timestamp",
        ],
    ),
    known(
        "build",
        &[
            "job",
            "parameters",
            "propagate",
            "quietPeriod",
            "wait",
            "waitForStart",
        ],
    ),
    known(
        "publishHTML",
        &[
            "target",
            "allowMissing",
            "alwaysLinkToLastBuild",
            "keepAll",
            "reportDir",
            "reportFiles",
            "reportName",
            "reportTitles",
            "includes",
            "escapeUnderscores",
        ],
    ),
    known(
        "recordIssues",
        &[
            "tools",
            "tool",
            "id",
            "name",
            "qualityGates",
            "enabledForFailure",
            "failOnError",
            "aggregatingResults",
            "filters",
            "sourceCodeEncoding",
            "skipBlames",
            "skipPublishingChecks",
            "trendChartType",
            "ignoreQualityGate",
            "ignoreFailedBuilds",
            "quiet",
            "scm",
            "icon",
            "minimumSeverity",
            "healthy",
            "unhealthy",
            "checksInfo",
            "publishAllIssues",
            "reportEncoding",
            "sourceDirectories",
            "sourceDirectory",
        ],
    ),
    known(
        "dependencyCheck",
        &[
            "additionalArguments",
            "odcInstallation",
            "skipOnScmChange",
            "skipOnUpstreamChange",
            "stopBuild",
            "nvdCredentialsId",
            "debug",
        ],
    ),
    known(
        "dependencyCheckPublisher",
        &[
            "pattern",
            "failedTotalCritical",
            "failedTotalHigh",
            "failedTotalMedium",
            "failedTotalLow",
            "failedNewCritical",
            "failedNewHigh",
            "failedNewMedium",
            "failedNewLow",
            "unstableTotalCritical",
            "unstableTotalHigh",
            "unstableTotalMedium",
            "unstableTotalLow",
            "unstableNewCritical",
            "unstableNewHigh",
            "unstableNewMedium",
            "unstableNewLow",
            "stopBuild",
            "totalThresholdAnalysisExploitable",
            "newThresholdAnalysisExploitable",
        ],
    ),
    known(
        "string",
        &[
            "name",
            "value",
            "credentialsId",
            "variable",
            "defaultValue",
            "description",
            "trim",
        ],
    ),
    known(
        "booleanParam",
        &["name", "value", "defaultValue", "description"],
    ),
    known(
        "usernamePassword",
        &["credentialsId", "usernameVariable", "passwordVariable"],
    ),
    known("usernameColonPassword", &["credentialsId", "variable"]),
    known("file", &["credentialsId", "variable"]),
    known(
        "sshUserPrivateKey",
        &[
            "credentialsId",
            "keyFileVariable",
            "passphraseVariable",
            "usernameVariable",
        ],
    ),
    known("choice", &["name", "choices", "value", "description"]),
    known("text", &["name", "defaultValue", "value", "description"]),
    known(
        "password",
        &[
            "name",
            "defaultValue",
            "value",
            "defaultValueAsSecret",
            "description",
        ],
    ),
    known(
        "input",
        &[
            "message",
            "id",
            "ok",
            "submitter",
            "submitterParameter",
            "parameters",
            "cancel",
        ],
    ),
    known("credentials", &["id"]),
    known("tool", &["name", "type"]),
    known("milestone", &["ordinal", "label", "unsafe"]),
    known(
        "scmGit",
        &[
            "branches",
            "userRemoteConfigs",
            "extensions",
            "browser",
            "gitTool",
            "doGenerateSubmoduleConfigurations",
            "submoduleCfg",
        ],
    ),
    known("gitSCM", &["*"]),
    known("cloneOption", &["*"]),
    known("submodule", &["*"]),
    known("relativeTargetDirectory", &["*"]),
    known("cleanBeforeCheckout", &["*"]),
    known("localBranch", &["*"]),
    known("requestor", &[]),
    known("developers", &[]),
    known("culprits", &[]),
    known("brokenBuildSuspects", &[]),
    known("brokenTestsSuspects", &[]),
    known("buildUser", &[]),
    known("properties", &["properties"]),
    known("setGitHubPullRequestStatus", &["*"]),
    around("script", &[]),
    around("dir", &["path"]),
    around("withEnv", &["overrides"]),
    around("withCredentials", &["bindings"]),
    around("retry", &["count", "conditions"]),
    around("timeout", &["time", "unit", "activity"]),
    around("timestamps", &[]),
    around("ansiColor", &["colorMapName"]),
    around("waitUntil", &["initialRecurrencePeriod", "quiet"]),
    around(
        "catchError",
        &[
            "message",
            "buildResult",
            "stageResult",
            "catchInterruptions",
        ],
    ),
    around("warnError", &["message", "catchInterruptions"]),
    around(
        "lock",
        &[
            "resource",
            "label",
            "quantity",
            "inversePrecedence",
            "skipIfLocked",
            "variable",
            "extra",
        ],
    ),
    around("sshagent", &["credentials", "ignoreMissing"]),
    around("stage", &["name"]),
    around("parallel", &["*"]),
    around("node", &["label"]),
    around("ws", &["dir"]),
    around("keepRunning", &[]),
];

/// The tools of `recordIssues`: their names in a Jenkinsfile, their names for people, and where their reports usually are.
pub const ISSUE_TOOLS: &[(&str, &str, &str)] = &[
    ("checkStyle", "CheckStyle", "**/checkstyle-result.xml"),
    ("pyLint", "Pylint", "**/pylint.log"),
    ("flake8", "Flake8", "**/flake8.log"),
    ("pep8", "Pep8", "**/pep8.log"),
    ("myPy", "MyPy", "**/mypy.log"),
    ("ruff", "Ruff", "**/ruff.log"),
    ("esLint", "ESLint", "**/eslint.xml"),
    ("cargo", "Cargo", "**/cargo.json"),
    ("sarif", "SARIF", "**/*.sarif"),
    ("gcc", "GNU C Compiler", "**/gcc.log"),
    ("clang", "Clang", "**/clang.log"),
    ("ktLint", "KtLint", "**/ktlint*.xml"),
    ("phpCodeSniffer", "PHP CodeSniffer", "**/phpcs.xml"),
    ("styleLint", "Stylelint", "**/stylelint.xml"),
    ("goLint", "Go Lint", "**/golint.log"),
    ("goVet", "Go Vet", "**/govet.log"),
    ("detekt", "Detekt", "**/detekt.xml"),
    ("rubocop", "Rubocop", "**/rubocop.log"),
    ("shellCheck", "ShellCheck", "**/shellcheck.xml"),
    ("yamlLint", "YamlLint", "**/yamllint.log"),
    ("hadoLint", "HadoLint", "**/hadolint.sarif"),
];

/// Where a tool's report usually is.
pub fn tool_pattern(name: &str) -> &'static str {
    ISSUE_TOOLS
        .iter()
        .find(|(tool, _, _)| *tool == name)
        .map_or("", |(_, _, pattern)| pattern)
}

/// Steps that no machine of ours can honour: the name, why, and what to write instead.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "bat",
        "`bat` runs Windows batch files, and this machine runs Linux",
        "Write `sh` with a shell script instead.",
    ),
    (
        "powershell",
        "`powershell` runs on Windows, and this machine runs Linux",
        "Write `sh` with a shell script instead.",
    ),
    (
        "pwsh",
        "`pwsh` needs PowerShell, which no build environment has",
        "Write `sh` with a shell script instead.",
    ),
    (
        "library",
        "shared libraries are not loaded",
        "Copy the functions that you use into this file.",
    ),
    (
        "load",
        "`load` runs Groovy of another file",
        "Copy the functions that you use into this file.",
    ),
    (
        "evaluate",
        "`evaluate` runs text as Groovy",
        "Write the code itself.",
    ),
];

/// Tools of `recordIssues` whose reports are of a form of their own.
const UNREAD_TOOLS: [&str; 14] = [
    "java",
    "javaDoc",
    "mavenConsole",
    "spotBugs",
    "findBugs",
    "pmdParser",
    "cpd",
    "taskScanner",
    "junitParser",
    "trivy",
    "owaspDependencyCheck",
    "msBuild",
    "groovyScript",
    "issues",
];

/// Calls without an object that are no steps: Groovy's own.
const OWN: [&str; 3] = ["println", "print", "printf"];

/// Checks every call of a free name in a script.
pub(super) fn check(reader: &Reader<'_>, script: &Script) -> Read<()> {
    let mut names = BTreeSet::new();
    Walk {
        each: &mut |found| {
            if let Found::Defines(name) = found {
                names.insert(name.to_owned());
            }
            Ok(())
        },
    }
    .statements(&script.statements)?;
    let mut check = |found: Found<'_>| match found {
        Found::Call { name, span, args } => call(reader, &names, name, span, args),
        Found::Defines(_) => Ok(()),
    };
    let mut walk = Walk { each: &mut check };
    for statement in &script.statements {
        if let Some(pipeline) = reader.pipeline(statement) {
            for part in reader.block(&pipeline)? {
                walk.directive(reader, part)?;
            }
        } else {
            walk.statement(statement)?;
        }
    }
    Ok(())
}

fn call(
    reader: &Reader<'_>,
    names: &BTreeSet<String>,
    name: &str,
    span: Span,
    args: &[Arg],
) -> Read<()> {
    if names.contains(name)
        || OWN.contains(&name)
        || ISSUE_TOOLS.iter().any(|(tool, _, _)| *tool == name)
    {
        return Ok(());
    }
    if let Some((_, why, instead)) = REFUSED.iter().find(|(refused, _, _)| *refused == name) {
        return Err(reader
            .wrong(span, *why, "not supported")
            .hint(Some((*instead).into())));
    }
    if UNREAD_TOOLS.contains(&name) {
        return Err(reader
            .wrong(
                span,
                format!("the reports of `{name}` are not read"),
                "not supported",
            )
            .hint(Some(
                "Let the tool write SARIF or checkstyle XML, and name it as `sarif(pattern: '…')` or `checkStyle(pattern: '…')`.".into(),
            )));
    }
    let Some(step) = STEPS.iter().find(|step| step.name == name) else {
        let known = STEPS
            .iter()
            .map(|step| step.name)
            .chain(names.iter().map(String::as_str));
        let hint = launchway_model::suggest::did_you_mean(name, known).unwrap_or_else(|| {
            "Write what it does with `sh`, or define a function of that name in this file.".into()
        });
        return Err(reader
            .wrong(
                span,
                format!("no step or function is called `{name}`"),
                "not known",
            )
            .hint(Some(hint)));
    };
    if step.parameters.first() == Some(&"*") {
        return Ok(());
    }
    for arg in args {
        if let Some((parameter, span)) = &arg.name
            && !step.parameters.contains(&parameter.as_str())
        {
            let hint =
                launchway_model::suggest::did_you_mean(parameter, step.parameters.iter().copied())
                    .or_else(|| {
                        (!step.parameters.is_empty())
                            .then(|| format!("Known are {}.", step.parameters.join(", ")))
                    });
            return Err(unknown_parameter(reader, *span, name, parameter).hint(hint));
        }
    }
    Ok(())
}

fn unknown_parameter(reader: &Reader<'_>, span: Span, step: &str, parameter: &str) -> FileError {
    reader.wrong(
        span,
        format!("the step `{step}` has no parameter `{parameter}`"),
        "not known here",
    )
}
