//! The role `launchway terminal FOLDER NAME COLUMNS ROWS COMMAND`: one command on a terminal of its own.
//!
//! It runs under a shim like every other command, so that it is confined and leaves nothing behind, opens a pseudo-terminal,
//! starts the command on it as the leader of a new session, and hands the terminal's bytes to the one who connects to
//! the socket `NAME` in `FOLDER`. What goes over that socket are frames, both ways: a byte for the kind, four for the
//! length (big endian), the payload.
//!
//! **Invariant:** when the connection ends, the terminal hangs up: the command gets SIGHUP, as it does when a window is
//! closed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

/// The terminal's bytes: what the command writes, and what a person types.
pub const DATA: u8 = 0;
/// The window's size: columns and rows, two bytes each, big endian.
pub const SIZE: u8 = 1;
/// The command's exit code, four bytes, big endian; the last frame.
pub const EXIT: u8 = 2;

/// The largest payload of a frame, in bytes.
pub const LARGEST: usize = 64 << 10;
/// How long the one who asked for the terminal may take to connect.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes one frame.
///
/// # Errors
/// The writer fails.
pub fn write_frame(to: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(payload.len() + 5);
    frame.push(kind);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(payload);
    to.write_all(&frame)?;
    to.flush()
}

/// Reads one frame; `None` at the end of the stream.
///
/// # Errors
/// The reader fails, or the frame is larger than [`LARGEST`].
pub fn read_frame(from: &mut impl Read) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 5];
    match from.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame of {length} bytes"),
        ));
    }
    let mut payload = vec![0; length];
    from.read_exact(&mut payload)?;
    Ok(Some((head[0], payload)))
}

/// The payload of a [`SIZE`] frame.
pub fn size(columns: u16, rows: u16) -> [u8; 4] {
    let (columns, rows) = (columns.to_be_bytes(), rows.to_be_bytes());
    [columns[0], columns[1], rows[0], rows[1]]
}

/// Runs the command, and exits as it did.
#[expect(
    clippy::print_stderr,
    reason = "the log of the command is where its failure is looked for"
)]
pub fn run(arguments: &[OsString]) -> ExitCode {
    match try_run(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("the terminal could not be opened: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(arguments: &[OsString]) -> io::Result<u8> {
    let [folder, name, columns, rows, command] = arguments else {
        return Err(io::Error::other(
            "control starts this role; it is not meant to be typed",
        ));
    };
    let number = |text: &OsString| text.to_str().and_then(|text| text.parse().ok());
    let listener = listen(Path::new(folder), Path::new(name))?;
    let (leader, follower) = open()?;
    resize(
        &leader,
        number(columns).unwrap_or(80),
        number(rows).unwrap_or(24),
    )?;
    let stream = accept(&listener)?;
    // Nobody else is to connect.
    let _ = std::fs::remove_file(Path::new(folder).join(name));
    let child = start(command, follower)?;
    talk(leader, stream, child)
}

/// Listens in a folder whose path may be longer than a socket's address.
fn listen(folder: &Path, name: &Path) -> io::Result<UnixListener> {
    let folder = File::open(folder)?;
    UnixListener::bind(
        Path::new("/proc/self/fd")
            .join(folder.as_raw_fd().to_string())
            .join(name),
    )
}

fn open() -> io::Result<(OwnedFd, OwnedFd)> {
    let leader =
        rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::grantpt(&leader)?;
    rustix::pty::unlockpt(&leader)?;
    // By the leader's descriptor: its path may not be there in a mount namespace of the command's own.
    let follower = rustix::pty::ioctl_tiocgptpeer(
        &leader,
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    )?;
    Ok((leader, follower))
}

fn resize(terminal: &OwnedFd, columns: u16, rows: u16) -> io::Result<()> {
    let size = Winsize {
        ws_row: rows.max(1),
        ws_col: columns.max(1),
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
    let timeout = Timespec {
        tv_sec: i64::try_from(PATIENCE.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: 0,
    };
    let mut waits = [PollFd::new(listener, PollFlags::IN)];
    if poll(&mut waits, Some(&timeout))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(listener.accept()?.0)
}

/// Starts the command in a session of its own whose terminal is `follower`.
fn start(command: &OsString, follower: OwnedFd) -> io::Result<Child> {
    let terminal = File::from(follower);
    Command::new("setsid")
        .args(["--ctty", "--wait", "sh", "-c"])
        .arg(command)
        .stdin(Stdio::from(terminal.try_clone()?))
        .stdout(Stdio::from(terminal.try_clone()?))
        .stderr(Stdio::from(terminal))
        .spawn()
}

fn talk(leader: OwnedFd, stream: UnixStream, mut child: Child) -> io::Result<u8> {
    let leader = Arc::new(leader);
    let out = Arc::new(Mutex::new(stream.try_clone()?));
    let typing = {
        let leader = Arc::clone(&leader);
        let mut stream = stream.try_clone()?;
        let pid = child.id();
        move || {
            while let Ok(Some((kind, payload))) = read_frame(&mut stream) {
                match (kind, payload.as_slice()) {
                    (DATA, bytes) if write_all(&leader, bytes).is_err() => break,
                    (SIZE, [c1, c2, r1, r2]) => {
                        let columns = u16::from_be_bytes([*c1, *c2]);
                        // A size that the kernel refuses changes nothing.
                        let _ = resize(&leader, columns, u16::from_be_bytes([*r1, *r2]));
                    }
                    _ => {}
                }
            }
            hang_up(pid);
        }
    };
    std::thread::spawn(typing);
    let showing = {
        let (leader, out) = (Arc::clone(&leader), Arc::clone(&out));
        std::thread::spawn(move || {
            let mut buffer = vec![0; 16 << 10];
            // The terminal answers with EIO once nobody has its other side open.
            while let Ok(read @ 1..) = rustix::io::read(leader.as_fd(), &mut buffer[..]) {
                let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
                if write_frame(&mut *out, DATA, &buffer[..read]).is_err() {
                    return;
                }
            }
        })
    };
    let status = child.wait()?;
    // All that it wrote is shown before its end is told; a background process may hold the terminal for longer.
    for _ in 0..100 {
        if showing.is_finished() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let code = status.code().unwrap_or(255);
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever watched may have gone.
    let _ = write_frame(&mut *out, EXIT, &code.to_be_bytes());
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

fn write_all(terminal: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::write(terminal, bytes)?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Tells the session of the command that its terminal is gone.
fn hang_up(leader: u32) {
    if let Some(pid) = i32::try_from(leader)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::HUP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_went_and_too_large_ones_are_refused() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, DATA, b"hello").unwrap();
        write_frame(&mut bytes, SIZE, &size(132, 43)).unwrap();
        let mut from = bytes.as_slice();
        assert_eq!(
            read_frame(&mut from).unwrap().unwrap(),
            (DATA, b"hello".to_vec())
        );
        assert_eq!(
            read_frame(&mut from).unwrap().unwrap(),
            (SIZE, vec![0, 132, 0, 43])
        );
        assert!(read_frame(&mut from).unwrap().is_none());
        assert!(read_frame(&mut [0, 255, 0, 0, 0, 1].as_slice()).is_err());
    }

    #[test]
    fn a_command_has_a_terminal_of_the_right_size_and_hears_what_is_typed() {
        let folder = tempfile::tempdir().unwrap();
        let arguments: Vec<OsString> = [
            folder.path().as_os_str().to_owned(),
            "t.sock".into(),
            "100".into(),
            "30".into(),
            "stty size; read line; echo \"got $line\"; stty size; exit 7".into(),
        ]
        .into();
        let role = std::thread::spawn(move || try_run(&arguments).unwrap());
        let socket = folder.path().join("t.sock");
        let mut stream = loop {
            if let Ok(stream) = UnixStream::connect(&socket) {
                break stream;
            }
            std::thread::yield_now();
        };
        let mut shown = String::new();
        let mut code = None;
        let mut typed = false;
        while let Some((kind, payload)) = read_frame(&mut stream).unwrap() {
            match kind {
                DATA => shown += &String::from_utf8_lossy(&payload),
                // The connection ends with the role's process, which here is the test's.
                EXIT => {
                    code = Some(payload);
                    break;
                }
                _ => {}
            }
            if shown.contains("30 100") && !typed {
                typed = true;
                write_frame(&mut stream, SIZE, &size(90, 20)).unwrap();
                write_frame(&mut stream, DATA, b"words\r").unwrap();
            }
        }
        assert!(shown.contains("got words"), "{shown}");
        assert!(shown.contains("20 90"), "{shown}");
        assert_eq!(code.unwrap(), 7_i32.to_be_bytes());
        assert_eq!(role.join().unwrap(), 7);
    }
}
