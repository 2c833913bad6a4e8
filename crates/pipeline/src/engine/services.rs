//! Processes beside a stage: each gets a free port and a folder, is waited for, and ends with the stage, whatever its end.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use launchway_model::Problem;
use launchway_model::build::BuildResult;

use super::command::How;
use super::log::StageLog;
use super::stages::Context;
use super::steps::{self, Interrupt};
use super::stop::{Stop, StopReason};
use crate::plan::Service;
use crate::spool::log_path;

/// How often it is looked whether a service is ready: at first, and once it takes long.
const LOOK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// Runs `body` with the services up; what it gives, or why they did not come up.
pub(crate) fn beside(
    context: &mut Context<'_>,
    services: &[Service],
    body: impl FnOnce(&Context<'_>) -> BuildResult,
) -> Result<BuildResult, Interrupt> {
    if services.is_empty() {
        return Ok(body(context));
    }
    let internal = |what: &str, error: std::io::Error| {
        Interrupt::Failed(Problem::internal(format!("cannot {what}")).cause(error))
    };
    let end = Arc::new(Stop::new().map_err(|error| internal("make an event descriptor", error))?);
    let mut starting = Vec::new();
    for service in services {
        let port = free_port().map_err(|error| internal("find a free port", error))?;
        let data = context
            .build
            .temporary
            .join(format!("service-{}-{}", context.stage.0, service.name));
        std::fs::create_dir_all(&data)
            .map_err(|error| internal("make a service's folder", error))?;
        // A database wants its folder for itself; the runner makes files as the user of the build's commands.
        let own = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&data, own)
            .map_err(|error| internal("close a service's folder", error))?;
        let mut own = context.clone();
        own.name = format!("{} of {}", service.name, context.name);
        own.stops = vec![Arc::clone(&end), Arc::clone(&context.build.stop)];
        own.deadlines.clear();
        own.environment.insert("PORT".into(), port.to_string());
        own.environment
            .insert("DATA".into(), data.display().to_string());
        let upper = service.name.to_ascii_uppercase();
        context.set_pinned(format!("{upper}_HOST"), "127.0.0.1".to_owned());
        context.set_pinned(format!("{upper}_PORT"), port.to_string());
        for (name, value) in &service.env {
            let value = value
                .replace("${PORT}", &port.to_string())
                .replace("$PORT", &port.to_string())
                .replace("$DATA", &data.display().to_string());
            context.set_pinned(name.clone(), value);
        }
        starting.push((service, own, port));
    }
    let context = &*context;
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for (service, own, _) in &starting {
            let began = std::thread::Builder::new()
                .name("service".to_owned())
                .spawn_scoped(scope, move || run(service, own));
            match began {
                Ok(thread) => running.push(thread),
                Err(error) => {
                    end.stop(StopReason::Neighbour(context.name.clone()));
                    return Err(internal("start a thread", error));
                }
            }
        }
        let mut ready = Ok(());
        for (at, (service, own, port)) in starting.iter().enumerate() {
            ready = await_ready(context, service, own, *port, || running[at].is_finished());
            if ready.is_err() {
                break;
            }
        }
        let done = ready.map(|()| body(context));
        end.stop(StopReason::Neighbour(context.name.clone()));
        for thread in running {
            // It has said what it had to say in the log.
            let _ = thread.join();
        }
        done
    })
}

/// Runs one service until it ends or is ended; its output is the stage's.
fn run(service: &Service, context: &Context<'_>) {
    context
        .log
        .say(&format!("Starting the service {}", service.name));
    let mut own = context.clone();
    if let Ok(log) = StageLog::open(
        &log_path(&context.build.job.folder, context.stage),
        Arc::clone(&context.build.mask),
    ) {
        own.log = log;
    }
    match own
        .shell(&service.run, false, "-e")
        .run(&own.build.lingering)
    {
        Ok(ended) => match ended.how {
            How::Stopped(_) | How::TimedOut(_) => {}
            How::Exited(status) => context.log.say(&format!(
                "The service {} ended by itself: it {}",
                service.name,
                super::command::status_words(status)
            )),
        },
        Err(error) => context.log.say(&format!(
            "The service {} cannot be started: {error}",
            service.name
        )),
    }
}

fn await_ready(
    context: &Context<'_>,
    service: &Service,
    own: &Context<'_>,
    port: u16,
    ended: impl Fn() -> bool,
) -> Result<(), Interrupt> {
    let until = Instant::now() + Duration::from_millis(service.within_ms);
    let mut pause = LOOK.0;
    let failed = |message: String| {
        Err(Interrupt::Failed(
            Problem::failed(message).hint("What it wrote is in the stage's log. Its command runs in the foreground, on the port `$PORT`."),
        ))
    };
    loop {
        let up = match &service.ready {
            Some(command) => {
                // What the check says is of no interest, and it must not end with the service.
                let quiet = format!("{{ {command}\n}} >/dev/null 2>&1");
                own.succeeds(&quiet).map_err(Interrupt::Failed)?
            }
            None => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
            }
        };
        if up {
            context.log.say(&format!(
                "The service {} is ready on port {port}",
                service.name
            ));
            return Ok(());
        }
        if ended() {
            return failed(format!(
                "the service `{}` ended before it was ready",
                service.name
            ));
        }
        if Instant::now() >= until {
            return failed(format!(
                "the service `{}` was not ready within {}",
                service.name,
                crate::describe::quantity::show_ms(service.within_ms)
            ));
        }
        steps::sleep(context, pause)?;
        pause = (pause * 2).min(LOOK.1);
    }
}

/// A port that nobody listens on now.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}
