//! Runs a proxy alone: `serve FOLDER ADDRESS [ADMIN-ADDRESS]`. It listens for control on `FOLDER/proxy/control.sock`.

use launchway_model::home::Home;
use launchway_proxy::Options;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut given = std::env::args().skip(1);
    let (Some(folder), Some(address)) = (given.next(), given.next()) else {
        return Err("serve FOLDER ADDRESS [ADMIN-ADDRESS]".into());
    };
    let home = Home::new(std::path::absolute(folder)?);
    let mut options = Options::new(&home, vec![address.parse()?]);
    options.admin = given.next().map(|address| address.parse()).transpose()?;
    Ok(launchway_proxy::run(options, || {}, || {})?)
}
