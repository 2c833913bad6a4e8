//! `launchway backup`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use launchway_control::backup::{self, Passphrase, Target, What, schedule};
use launchway_model::Problem;
use launchway_model::home::Home;
use serde_json::json;

use crate::cli::Context;
use crate::output::{Table, Tone};
use crate::words;

/// Back up the installation, look at backups, and restore one.
///
/// A backup holds the database, the key of the secrets, apps' persistent paths, repositories, metrics and the trees that
/// serve; it is made while everything runs. It is one archive (tar in zstd), sealed where a passphrase is given. These
/// commands work on this machine's home itself, with or without a running Launchway.
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a backup now
    Create(Create),
    /// List the backups, the newest first
    List(Place),
    /// Unpack a backup into a scratch folder and check every file and database in it
    Verify(Open),
    /// Put a backup in the place of what is there, which is set aside; Launchway must be stopped
    Restore(Open),
    /// Make backups by the clock, show when, or stop it
    Schedule(Schedule),
}

/// Where backups lie.
#[derive(Debug, Clone, clap::Args)]
struct Place {
    /// A folder, or `s3://BUCKET/PREFIX?endpoint=https://…&region=…` with the keys in AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY [default: where the schedule puts them, else `backups` in the home]
    #[arg(long, value_name = "PLACE")]
    at: Option<String>,
}

/// What opens a sealed backup.
#[derive(Debug, Clone, clap::Args)]
struct Sealed {
    /// The file that holds the passphrase
    #[arg(long, value_name = "FILE", env = "LAUNCHWAY_PASSPHRASE_FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Sealed {
    fn read(&self) -> anyhow::Result<Option<Passphrase>> {
        let Some(path) = &self.passphrase_file else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Some(Passphrase::new(&text)?))
    }
}

#[derive(Debug, clap::Args)]
struct Create {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    sealed: Sealed,
    /// Leave the releases' trees out: smaller, but a restored app serves only after its next deploy
    #[arg(long)]
    without_releases: bool,
}

#[derive(Debug, clap::Args)]
struct Open {
    /// Its name as `list` shows it, a path, or `latest`
    #[arg(default_value = "latest")]
    backup: String,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    sealed: Sealed,
}

#[derive(Debug, clap::Args)]
struct Schedule {
    /// A cron expression such as `H 3 * * *` or `@daily`, or `off`; what is planned is shown where absent
    when: Option<String>,
    #[command(flatten)]
    place: Place,
    /// How many backups are kept there
    #[arg(long, default_value_t = 14, value_name = "NUMBER")]
    keep: usize,
    #[command(flatten)]
    sealed: Sealed,
    /// Leave the releases' trees out
    #[arg(long)]
    without_releases: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Backup) -> anyhow::Result<ExitCode> {
    let settings = context.settings()?;
    let home = settings.home();
    match args.command {
        Command::Create(args) => create(context, home, &args)?,
        Command::List(place) => list(context, home, &place)?,
        Command::Verify(args) => verify(context, home, &args)?,
        Command::Restore(args) => restore(context, home, &args)?,
        Command::Schedule(args) => plan(context, home, &args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn target(home: &Home, place: &Place) -> anyhow::Result<Target> {
    if let Some(text) = &place.at {
        return Ok(Target::parse(text, |name| std::env::var(name).ok())?);
    }
    if let Some(plan) = schedule::read(home)? {
        return Ok(plan.to);
    }
    Ok(Target::Folder {
        path: home.root().join("backups"),
    })
}

/// The passphrase that was given, else that of the schedule.
fn passphrase(home: &Home, sealed: &Sealed) -> anyhow::Result<Option<Passphrase>> {
    match sealed.read()? {
        Some(given) => Ok(Some(given)),
        None => Ok(schedule::read(home)
            .ok()
            .flatten()
            .and_then(|plan| plan.passphrase)),
    }
}

fn create(context: &Context, home: &Home, args: &Create) -> anyhow::Result<()> {
    if !home.database().exists() {
        return Err(Problem::not_found(format!(
            "there is no installation in {}",
            home.root().display()
        ))
        .hint("Name it with `--home FOLDER`.")
        .into());
    }
    let target = target(home, &args.place)?;
    let passphrase = passphrase(home, &args.sealed)?;
    let what = What {
        without_releases: args.without_releases,
    };
    let stored = backup::create(home, &target, passphrase.as_ref(), what)?;
    context.output.result(&stored, |output| {
        output.line(format!(
            "{} {}  {}  in {}",
            output.tone(Tone::Good, "✔"),
            stored.name,
            words::size(stored.bytes),
            target.words()
        ))?;
        Ok(())
    })?;
    if passphrase.is_none() {
        context.output.note(
            "it holds all secrets and is not sealed: keep it as safe as the machine, or give `--passphrase-file FILE`",
        );
    }
    Ok(())
}

fn list(context: &Context, home: &Home, place: &Place) -> anyhow::Result<()> {
    let target = target(home, place)?;
    let stored = backup::list(&target)?;
    context.output.result(&stored, |output| {
        if stored.is_empty() {
            output.line(format!("no backups in {}", target.words()))?;
            return Ok(());
        }
        let now = Timestamp::now();
        let mut table = Table::new(&["name", "size", "age", "sealed"]);
        for backup in &stored {
            table.row([
                backup.name.clone(),
                words::size(backup.bytes),
                words::age(backup.created, now),
                if backup.sealed { "yes" } else { "no" }.to_owned(),
            ]);
        }
        Ok(output.table(&table)?)
    })
}

/// The archive on this machine; one that lies elsewhere is fetched into a folder that lives as long as what is given.
fn fetch(home: &Home, args: &Open) -> anyhow::Result<(PathBuf, Option<Fetched>)> {
    if args.backup.contains('/') {
        return Ok((std::path::absolute(&args.backup)?, None));
    }
    let target = target(home, &args.place)?;
    let name = match args.backup.as_str() {
        "latest" => backup::list(&target)?
            .first()
            .map(|stored| stored.name.clone())
            .ok_or_else(|| {
                Problem::not_found(format!("there is no backup in {}", target.words()))
                    .hint("Make one with `launchway backup create`.")
            })?,
        name => name.to_owned(),
    };
    let scratch = Fetched::new(home)?;
    Ok((target.fetch(&name, &scratch.0)?, Some(scratch)))
}

/// A folder that goes with its owner.
struct Fetched(PathBuf);

impl Fetched {
    fn new(home: &Home) -> anyhow::Result<Self> {
        let folder = scratch(home).join(format!(".fetched-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Where there is room for an unpacked backup.
fn scratch(home: &Home) -> PathBuf {
    match home.root().is_dir() {
        true => home.root().join("backups"),
        false => std::env::temp_dir(),
    }
}

fn verify(context: &Context, home: &Home, args: &Open) -> anyhow::Result<()> {
    let (archive, _fetched) = fetch(home, args)?;
    let passphrase = passphrase(home, &args.sealed)?;
    let manifest = backup::verify(&archive, passphrase.as_ref(), &scratch(home))?;
    let databases = manifest.files.iter().filter(|file| file.sqlite).count();
    context.output.result(&manifest, |output| {
        output.line(format!(
            "{} {} is whole: {} files and {databases} databases, of {} with Launchway {}, made {}",
            output.tone(Tone::Good, "✔"),
            file_name(&archive),
            manifest.files.len(),
            manifest.home.display(),
            manifest.version,
            manifest.created.strftime("%Y-%m-%d %H:%M:%S UTC")
        ))?;
        Ok(())
    })
}

fn restore(context: &Context, home: &Home, args: &Open) -> anyhow::Result<()> {
    let (archive, _fetched) = fetch(home, args)?;
    let passphrase = passphrase(home, &args.sealed)?;
    let restored = backup::restore(&archive, passphrase.as_ref(), home)?;
    context.output.result(&restored, |output| {
        output.line(format!(
            "{} {} is restored in {}",
            output.tone(Tone::Good, "✔"),
            file_name(&archive),
            home.root().display()
        ))?;
        if let Some(aside) = &restored.set_aside {
            output.line(format!(
                "  what was there is in {}; delete it when all is well",
                aside.display()
            ))?;
        }
        if restored.manifest.home != home.root() {
            output.line(format!(
                "  it was made in {}: deploy each app anew, since releases may hold that path",
                restored.manifest.home.display()
            ))?;
        }
        output.line("  start Launchway again with `launchway up`, or with the service manager")?;
        Ok(())
    })
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn plan(context: &Context, home: &Home, args: &Schedule) -> anyhow::Result<()> {
    match args.when.as_deref() {
        Some("off") => {
            schedule::write(home, None)?;
            context.output.note("no backups are made by the clock");
            return Ok(());
        }
        Some(when) => {
            let plan = schedule::Plan {
                when: when.to_owned(),
                to: target(home, &args.place)?,
                keep: args.keep.max(1),
                passphrase: passphrase(home, &args.sealed)?,
                without_releases: args.without_releases,
            };
            schedule::write(home, Some(&plan))?;
        }
        None => {}
    }
    let Some(plan) = schedule::read(home)? else {
        return context.output.result(&json!({ "when": null }), |output| {
            output.line(
                "no backups are made by the clock; `launchway backup schedule 'H 3 * * *'` begins",
            )?;
            Ok(())
        });
    };
    let next = schedule::next_after(&plan, home, Timestamp::now())?;
    let last = schedule::last(home);
    let shown = json!({
        "when": plan.when,
        "to": plan.to.words(),
        "keep": plan.keep,
        "sealed": plan.passphrase.is_some(),
        "next": next,
        "last": last,
    });
    context.output.result(&shown, |output| {
        output.line(format!("when  {}", plan.when))?;
        output.line(format!(
            "to    {}, the last {} are kept",
            plan.to.words(),
            plan.keep
        ))?;
        output.line(match plan.passphrase {
            Some(_) => "seal  with a passphrase",
            None => "seal  none: the backups hold all secrets",
        })?;
        if let Some(next) = next {
            output.line(format!("next  {}", next.strftime("%Y-%m-%d %H:%M UTC")))?;
        }
        match &last {
            Some(last) => match &last.stored {
                Ok(stored) => output.line(format!("last  {}", stored.name))?,
                Err(why) => output.line(format!("last  failed: {why}"))?,
            },
            None => output.line("last  none yet")?,
        }
        Ok(())
    })
}
