//! `chio http`

mod enroll;

mod request;

mod session;

mod token;

use crate::args::Http;
use crate::exit::{Exit, Failure};
use crate::print::Printer;

pub(crate) fn run(args: &Http, printer: &Printer) -> Result<Exit, Failure> {
    match args {
        Http::Request(args) => request::run(args, printer),
        Http::Enroll(args) => enroll::run(args, printer),
        Http::Register(args) => session::register(args, printer),
        Http::Login(args) => session::login(args, printer),
        Http::Logout(args) => session::logout(args, printer),
        Http::Token(args) => token::run(args, printer),
        Http::Jwks(args) => token::jwks(args),
    }
}
