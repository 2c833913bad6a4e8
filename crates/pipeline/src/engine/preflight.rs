//! What a pipeline needs of the machine, looked at before its first stage: a tool that is missing is told at once, not after an
//! hour of building.

use std::ffi::OsStr;

use launchway_model::Problem;

use crate::jenkinsfile::Jenkinsfile;
use crate::jenkinsfile::directives::TOOLS;
use crate::search_path;

/// Notes on the tools that are there, or the problem of the first that is not.
pub(crate) fn check(jenkinsfile: &Jenkinsfile, path: &OsStr) -> Result<Vec<String>, Problem> {
    let mut notes = Vec::new();
    for (kind, name) in &jenkinsfile.tools {
        let Some((_, command)) = TOOLS.iter().find(|(known, _)| known == kind) else {
            continue;
        };
        match search_path::find(command, path) {
            Some(found) => notes.push(format!(
                "The tool {kind} `{name}` is {} of this machine",
                found.display()
            )),
            None => {
                return Err(Problem::failed(format!(
                    "the pipeline asks for the tool {kind} `{name}`, and this machine has no `{command}`"
                ))
                .hint(format!(
                    "Install `{command}`, name what stands in for it in launchway.toml (`aliases = {{ {command} = \"…\" }}`), or build on an agent that has it."
                )));
            }
        }
    }
    if jenkinsfile.text.contains("sshagent") && search_path::find("ssh-agent", path).is_none() {
        return Err(Problem::failed(
            "the pipeline uses `sshagent`, and this machine has no `ssh-agent`",
        )
        .hint("Install it with `apt-get install openssh-client`."));
    }
    Ok(notes)
}
