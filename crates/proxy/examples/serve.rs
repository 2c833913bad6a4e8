//! Runs a proxy alone: `serve FOLDER ADDRESS [ADMIN-ADDRESS|-] [auto|io_uring|readiness]`. It listens for control on
//! `FOLDER/proxy/control.sock`.

use launchway_model::home::Home;
use launchway_proxy::Options;
use launchway_proxy::options::Driver;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut given = std::env::args().skip(1);
    let (Some(folder), Some(address)) = (given.next(), given.next()) else {
        return Err("serve FOLDER ADDRESS [ADMIN-ADDRESS|-] [auto|io_uring|readiness]".into());
    };
    let home = Home::new(std::path::absolute(folder)?);
    let mut options = Options::new(&home, vec![address.parse()?]);
    options.admin = match given.next().as_deref() {
        None | Some("-") => None,
        Some(address) => Some(address.parse()?),
    };
    options.driver = match given.next().as_deref() {
        None | Some("auto") => Driver::Auto,
        Some("io_uring") => Driver::IoUring,
        Some("readiness") => Driver::Readiness,
        Some(other) => return Err(format!("no driver is called {other}").into()),
    };
    Ok(launchway_proxy::run(options, || {}, || {})?)
}
