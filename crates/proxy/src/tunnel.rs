//! A connection that has changed its protocol: bytes both ways until both sides have ended.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::stream::{Buffer, Deadline, ReadHalf, SMALL, Stream, WriteHalf};

/// How long a tunnel may go on when the proxy stops: it has no end of its own to wait for.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Runs until both directions have ended, one breaks, neither moves for `idle`, or the proxy stops. The buffers may hold first
/// bytes.
pub(crate) async fn run(
    idle: Duration,
    stop: &CancellationToken,
    client: &mut Stream,
    from_client: &mut Buffer,
    app: &mut Stream,
    from_app: &mut Buffer,
) {
    let clock = Clock {
        begun: Instant::now(),
        last: AtomicU64::new(0),
        idle,
    };
    let (mut client_read, mut client_write) = client.split();
    let (mut app_read, mut app_write) = app.split();
    let mut up = pin!(copy(&clock, &mut client_read, from_client, &mut app_write));
    let mut down = pin!(copy(&clock, &mut app_read, from_app, &mut client_write));
    let (mut up_done, mut down_done) = (false, false);
    let copying = poll_fn(|cx| {
        for (direction, done) in [
            (
                up.as_mut() as std::pin::Pin<&mut dyn Future<Output = io::Result<()>>>,
                &mut up_done,
            ),
            (down.as_mut(), &mut down_done),
        ] {
            if *done {
                continue;
            }
            let mut direction = direction;
            match direction.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => *done = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        match up_done && down_done {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    });
    tokio::select! {
        () = copying => {}
        () = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_MOMENT).await;
        } => {}
    }
}

/// When either direction last moved.
struct Clock {
    begun: Instant,
    last: AtomicU64,
    idle: Duration,
}

impl Clock {
    fn moved(&self) {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(millis, Ordering::Relaxed);
    }

    fn end(&self) -> Instant {
        self.begun + Duration::from_millis(self.last.load(Ordering::Relaxed)) + self.idle
    }
}

/// Copies one direction and passes its end on.
async fn copy(
    clock: &Clock,
    read: &mut ReadHalf<'_>,
    buffer: &mut Buffer,
    write: &mut WriteHalf<'_>,
) -> io::Result<()> {
    let mut deadline = Deadline::new(clock.end());
    loop {
        if !buffer.is_empty() {
            write
                .write_all(buffer.filled(), &mut deadline, clock.idle)
                .await?;
            buffer.consume(buffer.len());
            clock.moved();
        }
        buffer.make_room(SMALL);
        deadline.set(clock.end());
        match buffer.fill(read, &mut deadline).await {
            Ok(0) => return poll_fn(|cx| write.poll_shutdown(cx)).await,
            Ok(_) => clock.moved(),
            // The other direction may have moved since.
            Err(error)
                if error.kind() == io::ErrorKind::TimedOut && Instant::now() < clock.end() => {}
            Err(error) => return Err(error),
        }
    }
}
