//! What the gateway itself answers: nothing of it helps a stranger.

use hyper::{Response, StatusCode};

use crate::body::Body;
use crate::problem::problem;

/// What is wrong with a request, or with the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// It could be read as another request than it is.
    Ambiguous(&'static str),
    /// A method that is no request to a service.
    Method,
    /// There is no such route.
    NoRoute,
    /// The body, or its length by its own word, is too long.
    TooLong,
    /// The body did not go on coming.
    Stalled,
    /// An expectation or a coding that is not understood.
    NotUnderstood(StatusCode, &'static str),
    /// Who calls cannot be told to the upstream.
    Identity,
    /// The upstream cannot be reached, or its answer cannot be read.
    Upstream,
    /// The upstream did not answer in time.
    Late,
}

impl Problem {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Ambiguous(_) => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Stalled => StatusCode::REQUEST_TIMEOUT,
            Self::NotUnderstood(status, _) => status,
            Self::Identity => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Upstream => StatusCode::BAD_GATEWAY,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The word for it, which programs can rely on.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Ambiguous(_) => "request_ambiguous",
            Self::Method => "method_refused",
            Self::NoRoute => "no_route",
            Self::TooLong => "body_too_large",
            Self::Stalled => "body_stalled",
            Self::NotUnderstood(..) => "not_understood",
            Self::Identity => "identity_not_expressible",
            Self::Upstream => "upstream_failed",
            Self::Late => "upstream_timeout",
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::Ambiguous(what) | Self::NotUnderstood(_, what) => what,
            Self::Method => "this method is not passed on",
            Self::NoRoute => "there is nothing here",
            Self::TooLong => "the body is too long",
            Self::Stalled => "the body did not go on coming",
            Self::Identity => "who calls cannot be told to the service",
            Self::Upstream => "the service cannot be reached, or its answer cannot be read",
            Self::Late => "the service did not answer in time",
        }
    }

    pub(crate) fn answer(self) -> Response<Body> {
        let title = self.status().canonical_reason().unwrap_or_default();
        problem(self.status(), self.code(), title, Some(self.detail()), None)
    }
}
