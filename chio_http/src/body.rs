//! The one type of body, of requests and of answers.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};

use crate::deadline::Deadline;

/// Why a body ended before its end.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request or an answer: whole, or as it comes.
pub struct Body(Kind);

enum Kind {
    Whole(Option<Bytes>),
    Coming(Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>),
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self(Kind::Whole(None))
    }

    /// These bytes.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Whole(Some(bytes.into()).filter(|bytes| !bytes.is_empty())))
    }

    /// What comes.
    pub fn coming<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        if body.is_end_stream() {
            return Self::empty();
        }
        Self(Kind::Coming(Box::pin(Inner(body))))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Coming(body) => body.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Coming(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
            }
            Kind::Coming(body) => body.size_hint(),
        }
    }
}

/// Why a body was not read whole.
#[derive(Debug)]
pub(crate) enum Unread<E> {
    /// It has more bytes than are read.
    TooLong,
    /// It did not come to its end.
    Broken(E),
}

/// A whole body of at most `limit` bytes. Trailers are left out.
pub(crate) async fn whole<B>(mut body: B, limit: usize) -> Result<Bytes, Unread<B::Error>>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let mut pieces = Vec::new();
    gather(&mut body, limit, &mut pieces).await?;
    Ok(joined(pieces))
}

/// What was read of a body, for which there is room.
pub(crate) enum Looked<R> {
    Whole(Bytes, R),
    /// As it came, where it is longer than the limit. What was read has the room until it has gone on.
    TooLong(Body),
    /// As it came, where it has not come to its end in time. The same.
    Late(Body),
}

/// The same, as far as it comes in time.
/// Fails where it breaks off.
pub(crate) async fn whole_in_time<B, R>(
    mut body: B,
    limit: usize,
    deadline: &Deadline,
    room: R,
) -> Result<Looked<R>, B::Error>
where
    R: Send + Unpin + 'static,
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BodyError>,
{
    let mut pieces = Vec::new();
    let gathered = deadline.wait(gather(&mut body, limit, &mut pieces)).await;
    let as_it_came = |pieces: Vec<Bytes>, room| {
        Body(Kind::Coming(Box::pin(After { pieces: pieces.into(), room: Some(room), rest: Inner(body) })))
    };
    match gathered {
        Some(Ok(())) => Ok(Looked::Whole(joined(pieces), room)),
        Some(Err(Unread::Broken(error))) => Err(error),
        Some(Err(Unread::TooLong)) => Ok(Looked::TooLong(as_it_came(pieces, room))),
        None => Ok(Looked::Late(as_it_came(pieces, room))),
    }
}

/// Takes the pieces of a body, the one that is too much included.
async fn gather<B>(body: &mut B, limit: usize, pieces: &mut Vec<Bytes>) -> Result<(), Unread<B::Error>>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(Unread::TooLong);
    }
    let mut length = 0usize;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        let Ok(piece) = frame.map_err(Unread::Broken)?.into_data() else { continue };
        length = length.saturating_add(piece.len());
        if !piece.is_empty() {
            pieces.push(piece);
        }
        if length > limit {
            return Err(Unread::TooLong);
        }
    }
    Ok(())
}

/// Most come in one piece, which is not copied.
fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    match pieces.len() {
        0 | 1 => pieces.pop().unwrap_or_default(),
        _ => pieces.concat().into(),
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body")
    }
}

/// A body whose errors are boxed.
struct Inner<B>(B);

impl<B> HttpBody for Inner<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().0).poll_frame(context).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// A body of which the first pieces were read already.
struct After<B, R> {
    pieces: VecDeque<Bytes>,
    /// Theirs.
    room: Option<R>,
    rest: Inner<B>,
}

impl<B, R> HttpBody for After<B, R>
where
    R: Unpin,
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(piece) = this.pieces.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        this.room = None;
        Pin::new(&mut this.rest).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.pieces.iter().map(Bytes::len).fold(0usize, usize::saturating_add);
        let (read, rest) = (u64::try_from(read).unwrap_or(u64::MAX), self.rest.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(read.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper() {
            hint.set_upper(read.saturating_add(upper));
        }
        hint
    }
}

struct Held<B, T> {
    bytes: B,
    _with: T,
}

impl<B: AsRef<[u8]>, T> AsRef<[u8]> for Held<B, T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

/// Bytes that something goes with until the last of them is let go, also where they were passed on: HTTP/2 has them in a
/// buffer until the client takes them.
pub(crate) fn held(bytes: impl AsRef<[u8]> + Send + 'static, with: impl Send + 'static) -> Bytes {
    Bytes::from_owner(Held { bytes, _with: with })
}
