#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::task::Waker;
use std::time::Duration;

use tokio::runtime::Builder;

use super::*;

/// Runs a test with a ring that turns; says so and passes where the machine has none.
fn with_ring<F: Future<Output = ()>>(test: impl FnOnce(Ring) -> F) {
    let ring = match Ring::new() {
        Ok(ring) => ring,
        Err(error) => {
            eprintln!("skipped: io_uring cannot be used here: {error}");
            return;
        }
    };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let turning = tokio::spawn({
            let ring = ring.clone();
            async move { ring.keep_turning().await }
        });
        tokio::time::timeout(Duration::from_secs(60), test(ring.clone()))
            .await
            .expect("nothing is lost");
        assert!(!turning.is_finished(), "the ring turned to the end");
    });
    drop(runtime);
    ring.retire();
    let state = ring.shared.lock();
    assert_eq!(state.outstanding, 0, "the kernel has let go of everything");
}

/// A connection: our end in the ring, the other an ordinary socket.
fn pair(ring: &Ring) -> (RingSocket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (near, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    (ring.adopt(near.into()), far)
}

async fn read(socket: &RingSocket, into: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| socket.poll_read(cx, into)).await
}

async fn write_all(socket: &RingSocket, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = poll_fn(|cx| socket.poll_write(cx, bytes)).await?;
        bytes = &bytes[written..];
    }
    poll_fn(|cx| socket.poll_drained(cx)).await
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size)
        .map(|index| (index * 7 + index / 251) as u8)
        .collect()
}

#[test]
fn bytes_cross_whole_in_both_directions() {
    with_ring(|ring| async move {
        let (near, mut far) = pair(&ring);
        let sent = pattern(3_000_000);
        let back = thread::spawn({
            let sent = sent.clone();
            move || {
                let mut seen = vec![0; sent.len()];
                far.read_exact(&mut seen).unwrap();
                far.write_all(&seen).unwrap();
                seen == sent
            }
        });
        write_all(&near, &sent).await.unwrap();
        assert_eq!(near.sent(), sent.len() as u64);
        let mut seen = Vec::new();
        // Room of all sizes: less than a buffer, and so much that the ring is passed by.
        let mut piece = vec![0; 40_000];
        loop {
            let room = [100, 5_000, 40_000][seen.len() % 3];
            match read(&near, &mut piece[..room]).await.unwrap() {
                0 => break,
                size => seen.extend_from_slice(&piece[..size]),
            }
        }
        assert!(seen == sent);
        assert!(back.join().unwrap());
    });
}

#[test]
fn small_writes_leave_together_and_in_order() {
    with_ring(|ring| async move {
        let (near, mut far) = pair(&ring);
        for number in 0..1000_u32 {
            let line = format!("{number}\n");
            assert_eq!(
                poll_fn(|cx| near.poll_write(cx, line.as_bytes()))
                    .await
                    .unwrap(),
                line.len()
            );
        }
        poll_fn(|cx| near.poll_shutdown(cx)).await.unwrap();
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        let numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert!(numbers.into_iter().eq(0..1000));
    });
}

#[test]
fn what_was_written_leaves_though_the_connection_was_let_go_of() {
    with_ring(|ring| async move {
        let (near, mut far) = pair(&ring);
        let sent = pattern(60_000);
        let (head, tail) = sent.split_at(10_000);
        for piece in [head, tail] {
            let mut rest = piece;
            while !rest.is_empty() {
                let size = rest.len().min(9_000);
                let size = poll_fn(|cx| near.poll_write(cx, &rest[..size]))
                    .await
                    .unwrap();
                rest = &rest[size..];
            }
        }
        // A receive under way does not keep the connection open.
        near.watch();
        drop(near);
        let seen = tokio::task::spawn_blocking(move || {
            let mut seen = Vec::new();
            far.read_to_end(&mut seen).unwrap();
            seen
        });
        assert!(seen.await.unwrap() == sent);
    });
}

#[test]
fn more_connections_than_buffers_all_get_their_bytes() {
    with_ring(|ring| async move {
        let pairs: Vec<_> = (0..600).map(|_| pair(&ring)).collect();
        for (near, far) in &pairs {
            near.watch();
            (&*far).write_all(b"hello").unwrap();
        }
        // All buffers are taken by now or soon; nobody has read.
        tokio::task::yield_now().await;
        for (near, far) in &pairs {
            let mut room = [0; 16];
            let mut size = 0;
            while size < 5 {
                size += read(near, &mut room[size..]).await.unwrap();
            }
            assert_eq!(&room[..size], b"hello");
            far.shutdown(std::net::Shutdown::Both).unwrap();
            assert_eq!(read(near, &mut room).await.unwrap(), 0);
        }
    });
}

#[test]
fn a_slot_that_is_used_again_hears_nothing_of_its_former_life() {
    with_ring(|ring| async move {
        for round in 0..500_u32 {
            let (near, mut far) = pair(&ring);
            near.watch();
            far.write_all(&round.to_le_bytes()).unwrap();
            if round % 3 == 0 {
                drop(near);
                continue;
            }
            let mut room = [0; 4];
            let mut size = 0;
            while size < 4 {
                size += read(&near, &mut room[size..]).await.unwrap();
            }
            assert_eq!(u32::from_le_bytes(room), round);
            assert!(near.is_quiet());
        }
        let state = ring.shared.lock();
        assert!(state.slots.len() < 500, "slots are used again");
    });
}

#[test]
fn a_peer_that_resets_is_a_failure_of_both_sides() {
    with_ring(|ring| async move {
        let (near, far) = pair(&ring);
        near.watch();
        socket2::SockRef::from(&far)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(far);
        let mut room = [0; 4];
        let read = read(&near, &mut room).await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(!near.is_quiet());
        let _ = poll_fn(|cx| near.poll_write(cx, b"x")).await;
        let drained = poll_fn(|cx| near.poll_drained(cx)).await;
        assert!(drained.is_err());
        assert!(near.has_failed());
        assert_eq!(near.sent(), 0);
    });
}

#[test]
fn a_ring_that_has_ended_answers_with_errors() {
    let Ok(ring) = Ring::new() else {
        eprintln!("skipped: io_uring cannot be used here");
        return;
    };
    let (near, mut far) = pair(&ring);
    near.watch();
    ring.retire();
    assert!(!near.is_quiet());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(
        near.poll_read(&mut cx, &mut [0; 8]),
        Poll::Ready(Err(_))
    ));
    assert!(matches!(
        near.poll_write(&mut cx, b"x"),
        Poll::Ready(Err(_))
    ));
    drop(near);
    // The socket is closed with its slot.
    assert_eq!(far.read(&mut [0; 8]).unwrap(), 0);
}
