//! `chio http enroll`

use std::fmt::Write as _;

use chio_core::crypto::Algorithm;
use chio_http::Body;
use chio_http::client::Client;
use chio_http::device::{DeviceClient, DeviceTransport};
use chio_http::origin::Origin;
use chio_kernel::clock::{BoxFuture, KernelError};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::request::{MAX_ANSWER_BYTES, PATIENCE, text};
use crate::args::Enroll;
use crate::exit::{Exit, Failure, printable};
use crate::files;
use crate::print::{BOLD, DIM, Printer, RESET};
use crate::source;
use crate::write::{Audience, Pending};

pub(super) fn run(args: &Enroll, printer: &Printer) -> Result<Exit, Failure> {
    source::read_once([args.key.is_standard_input(), args.token.is_standard_input()])?;
    let (key, token) = (files::read_key(&args.key)?, text(&args.token, "the token")?);
    if chio_core::crypto::SigningBackend::algorithm(&key) == Algorithm::P384 {
        return Err(Failure::usage("a device has a key of P-256 or Ed25519", "chio keygen --algorithm p256"));
    }
    let origin = origin_of(&args.url)?;
    let kept = Pending::new(&args.out, Audience::Everyone, args.force)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(error, "this machine has no room for it"))?;
    let post = Post { origin: origin.as_str().to_owned() };
    let enrolled = runtime.block_on(DeviceClient::enroll(&post, &key, &origin, &token, args.name.as_deref()));
    let enrolled = enrolled.map_err(|error| {
        Failure::new(error, "check the token and the origin; a session that has a device already takes no other")
    })?;
    kept.finish(format!("{}\n", enrolled.to_json()).as_bytes())?;
    let mut told = format!("{BOLD}{}{RESET}\n", enrolled.id());
    let _ = writeln!(told, "{DIM}Enrolled. Its requests:{RESET}");
    let _ = writeln!(
        told,
        "  chio http request GET {}/… --device {} --key … --token …",
        origin.as_str(),
        args.out.display()
    );
    printer.answer(&json!({"device_id": enrolled.id(), "origin": origin.as_str()}), &told)?;
    Ok(Exit::Done)
}

fn origin_of(url: &str) -> Result<Origin, Failure> {
    let help = "write it as https://api.example.com";
    let uri: hyper::Uri = url.parse().map_err(|_| Failure::usage("the URL is none", help))?;
    let text = format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |at| at.as_str()));
    Origin::parse(&text).map_err(|error| Failure::usage(error, help))
}

/// Asks the service over HTTP.
struct Post {
    origin: String,
}

impl DeviceTransport for Post {
    fn post<'a>(
        &'a self,
        path: &'static str,
        token: &'a str,
        body: String,
    ) -> BoxFuture<'a, Result<Vec<u8>, KernelError>> {
        Box::pin(async move {
            let failed = |why: String| KernelError::new(why);
            let client = Client::new(&format!("{}{path}", self.origin)).map_err(|error| failed(error.to_string()))?;
            let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| failed("the token is no text of a header".to_owned()))?;
            authorization.set_sensitive(true);
            let mut asked = hyper::Request::new(Body::whole(body));
            *asked.method_mut() = Method::POST;
            asked.headers_mut().insert(AUTHORIZATION, authorization);
            asked.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let answer = client.send(asked, PATIENCE, MAX_ANSWER_BYTES).await;
            let answer = answer.map_err(|error| failed(error.to_string()))?;
            if matches!(answer.status, StatusCode::OK | StatusCode::CREATED) {
                return Ok(answer.body.into());
            }
            let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let error = problem.get("error").and_then(Value::as_str).unwrap_or("no reason given");
            Err(failed(format!("{} ({})", answer.status, printable(error))))
        })
    }
}
