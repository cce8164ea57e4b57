//! `chio mcp`

mod config;

mod exec;

mod guard;

mod ledger;

mod methods;

mod sign;

mod tools;

use std::ffi::OsString;

use chio_mcp::Relay;
use chio_mcp::http::{Front, HttpError};
use chio_mcp::process::{self, Patience};

use super::log;
use crate::args::{Front as FrontArgs, Mcp};
use crate::exit::{Exit, Failure};
use crate::print::Printer;
use crate::source::Source;

pub(crate) fn run(args: Mcp, printer: &Printer) -> Result<Exit, Failure> {
    match args {
        Mcp::Guard(args) => guard::run(&args, printer),
        Mcp::Sign(args) => sign::run(&args),
        Mcp::Config(args) => config::run(&args, printer),
        Mcp::Tools(args) => tools::run(&args, printer),
        Mcp::Exec(args) => exec::run(&args),
    }
}

/// Standard input is the client's.
fn not_standard_input(source: Option<&Source>) -> Result<(), Failure> {
    match source {
        Some(Source::StandardInput) => {
            Err(Failure::usage("standard input is the client's", "name a FILE, or `env:NAME`"))
        }
        _ => Ok(()),
    }
}

/// What stands on the two sides of a relay.
struct Between<'a> {
    front: &'a FrontArgs,
    /// A tool server over HTTP.
    url: Option<&'a str>,
    /// As it is started: see [`exec::wrapped`].
    command: &'a [OsString],
    patience: Patience,
}

impl Between<'_> {
    /// Runs a relay until one of the two sides ends.
    fn run<R: Relay>(&self, relay: R) -> Result<Exit, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(error, "this machine has no room for another process"))?;
        let front = self.front.listen.map(|address| Front {
            address,
            origins: self.front.allow_origin.clone(),
            hosts: self.front.allow_host.clone(),
        });
        let relay = std::sync::Arc::new(relay);
        let exit = runtime.block_on(async {
            match (front, self.url) {
                (None, None) => {
                    let ended = process::run(&*relay, self.command, self.patience).await;
                    let ended =
                        ended.map_err(|error| Failure::new(error, "this machine has no room for another process"))?;
                    Ok(Exit::Code(process::exit_code(ended)))
                }
                (None, Some(url)) => {
                    chio_mcp::http::bridge(relay, (process::standard_input(), process::standard_output()), url)
                        .await
                        .map(|()| Exit::Done)
                        .map_err(|error| failed(&error))
                }
                (Some(front), None) => chio_mcp::http::serve(relay, front, self.command, announce)
                    .await
                    .map(|()| Exit::Done)
                    .map_err(|error| failed(&error)),
                (Some(front), Some(url)) => chio_mcp::http::proxy(relay, front, url, announce)
                    .await
                    .map(|()| Exit::Done)
                    .map_err(|error| failed(&error)),
            }
        });
        // A thread that waits for standard input would hold the process up.
        runtime.shutdown_background();
        exit
    }
}

fn check_url(url: Option<&str>) -> Result<(), Failure> {
    url.map_or(Ok(()), chio_mcp::http::check_url).map_err(|error| failed(&error))
}

fn announce(address: std::net::SocketAddr) {
    crate::print::aside(&format!("listening on http://{address}/mcp\n"));
}

fn failed(error: &HttpError) -> Failure {
    let help = match error {
        HttpError::Address(..) => "name an address of this machine, and a port that is free; 0 stands for any",
        HttpError::Url(..) => "write it as http://HOST:PORT/PATH or https://HOST/PATH, without a user or a password",
        HttpError::Io(_) => "try again",
        HttpError::Tls(_) => "the certificates that are trusted are those of the operating system, or of SSL_CERT_FILE",
    };
    Failure::new(error, help)
}
