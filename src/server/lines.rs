//! An answer that tells how far it has come before it is there, a line at a time.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc::UnboundedReceiver;

use super::Wanted;
use super::http::Refused;

/// What the work on a question says.
pub(super) enum Said {
    /// How far it has come, JSON.
    Told(String),
    /// The last word.
    Answered(Result<String, Refused>),
}

/// What is said, as a body; the work ends when nobody reads it any more.
pub(super) struct Lines {
    first: Option<String>,
    said: UnboundedReceiver<Said>,
    _wanted: Wanted,
}

impl Lines {
    pub(super) fn new(first: String, said: UnboundedReceiver<Said>, wanted: Wanted) -> Lines {
        Lines { first: Some(first), said, _wanted: wanted }
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let line = |text: String| Some(Ok(Frame::data(Bytes::from(text + "\n"))));
        if let Some(first) = self.first.take() {
            return Poll::Ready(line(first));
        }
        // A question that is under way is not refused any more; one whose work broke off has no last
        // line, and whoever reads sees that.
        self.said.poll_recv(context).map(|said| match said {
            Some(Said::Told(text) | Said::Answered(Ok(text))) => line(text),
            Some(Said::Answered(Err(_))) | None => None,
        })
    }
}
