//! A connection that knows when what it writes was due, and says how late it was written.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::live::Lateness;

/// When what is to be written next was due; the earliest where several things are.
#[derive(Debug, Default)]
pub(super) struct Due(AtomicU64);

fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// Nanoseconds since the first look, at least 1.
fn stamp(at: Instant) -> u64 {
    at.saturating_duration_since(origin()).as_nanos() as u64 + 1
}

impl Due {
    /// Something that was due at `at` is on its way.
    pub(super) fn set(&self, at: Instant) {
        let at = stamp(at);
        let earlier = |before: u64| (before == 0 || at < before).then_some(at);
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earlier);
    }

    fn written(&self, lateness: &Lateness) {
        let due = self.0.swap(0, Ordering::Relaxed);
        if due > 0 {
            lateness.add(Duration::from_nanos(stamp(Instant::now()).saturating_sub(due)));
        }
    }
}

/// A TCP connection with such a note.
pub(super) struct Timed {
    pub stream: TcpStream,
    pub due: Arc<Due>,
    pub lateness: Arc<Lateness>,
}

impl Timed {
    fn note(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(_))) {
            self.due.written(&self.lateness);
        }
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
