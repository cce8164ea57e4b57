//! What becomes of a request that was let through: the receipt of its outcome, whoever goes away in between.

use std::pin::Pin;
use std::task::{self, Poll};

use chio_core::digest::Digest;
use chio_core::receipt::OutcomeStatus;
use chio_kernel::AuthorizedCall;
use hyper::StatusCode;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use ring::digest::{Context, SHA256};
use tokio::runtime::Handle;

use crate::body::BodyError;

/// A call that is under way. Dropped, it has failed.
pub(crate) struct Pending {
    call: Option<Box<AuthorizedCall>>,
    runtime: Option<Handle>,
}

impl Pending {
    /// To be made within a runtime.
    pub(crate) fn new(call: AuthorizedCall) -> Self {
        Self { call: Some(Box::new(call)), runtime: Handle::try_current().ok() }
    }

    /// `hasher` has read what was sent, where that was all of it.
    pub(crate) fn finish(&mut self, status: OutcomeStatus, hasher: Option<Context>) {
        let Some(call) = self.call.take() else { return };
        if let Some(runtime) = &self.runtime {
            // Nobody waits for it: the kernel traces it where it cannot be written. What it needs room for is made when it runs,
            // not while the client waits.
            drop(runtime.spawn(async move {
                let hash = hasher.and_then(|hasher| <[u8; 32]>::try_from(hasher.finish().as_ref()).ok());
                Box::pin(call.finish(status, hash.map(Digest))).await
            }));
        } else {
            tracing::error!(store = "receipt", "there is no runtime to write the receipt of an outcome in");
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.finish(OutcomeStatus::Failed, None);
    }
}

/// What an answer says of the outcome. The service behind knows more where it puts an [`OutcomeStatus`] into the extensions
/// of its answer: that a call was never reached is believed, and gives back what was spent.
pub(crate) fn status_of(status: StatusCode, said: Option<OutcomeStatus>) -> OutcomeStatus {
    let is_good = !(status.is_client_error() || status.is_server_error());
    said.unwrap_or(if is_good { OutcomeStatus::Ok } else { OutcomeStatus::ToolError })
}

/// The body of an answer: at its end the outcome is written, with the digest of what was sent.
pub(crate) struct Watched<B: HttpBody> {
    body: B,
    hasher: Option<Context>,
    pending: Pending,
    status: OutcomeStatus,
    /// Whether no body is sent, whatever there is: to HEAD.
    is_unsent: bool,
}

impl<B: HttpBody> Watched<B> {
    pub(crate) fn new(body: B, pending: Pending, status: OutcomeStatus, is_unsent: bool) -> Self {
        let hasher = Some(Context::new(&SHA256));
        Self { body, hasher, pending, status, is_unsent }
    }

    fn end(&mut self) {
        let Some(hasher) = self.hasher.take() else { return };
        self.pending.finish(self.status, Some(hasher));
    }
}

impl<B> HttpBody for Watched<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = task::ready!(Pin::new(&mut this.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(hasher), Some(bytes)) = (&mut this.hasher, frame.data_ref()) {
                    hasher.update(bytes);
                }
                // Whoever knows that this was the last does not ask for another.
                if this.body.is_end_stream() {
                    this.end();
                }
            }
            Some(Err(_)) => {
                this.hasher = None;
                this.pending.finish(OutcomeStatus::Failed, None);
            }
            None => this.end(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: HttpBody> Drop for Watched<B> {
    fn drop(&mut self) {
        if self.is_unsent || self.body.is_end_stream() {
            self.end();
        }
    }
}
