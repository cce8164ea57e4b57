//! The arguments of `chio http`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::values::seconds;
use crate::source::Source;

#[derive(Debug, Subcommand)]
pub(crate) enum Http {
    /// Send a request with its proof of possession, and print what is answered
    ///
    /// With `--token` it is sent by RFC 9449: the token, and a proof by the key that the token is for, made again where the
    /// service gives a nonce. With `--device` it is signed by the key of an enrolled device. With `--session` it is proven by
    /// what `chio http login` has kept. With `--issuer` a key is made for this request alone, an E-Key asked for at the
    /// issuer's `/token`, and the request sent with that. A body is covered by its digest. By each of these the answer can be
    /// sealed for the asker alone: `--sealed`. Plain HTTP is for this machine alone.
    Request(Box<Request>),
    /// Enrol a key as a device, in the session of a bearer token
    ///
    /// The service gives a challenge, which the key signs. What the service then knows the key as is written to a file, for
    /// `chio http request --device`; there is nothing secret in it. A key that is enrolled again is the device that it was.
    Enroll(Enroll),
    /// Register an account at a service whose users log in with passwords
    Register(Register),
    /// Log in with a password, and keep the session
    ///
    /// The password does not leave this machine (OPAQUE, RFC 9807). The session is a file that nobody else can read:
    /// `chio http request --session` proves requests with it.
    Login(Login),
    /// End a session
    Logout(Logout),
    /// Issue an access token, for trying a service
    ///
    /// It is a JWT (RFC 9068) for the holder of a key (RFC 9449), or for whoever has it, signed by a key of one's own. The service has to trust that:
    /// `chio http jwks` prints its public half as services read it.
    Token(Token),
    /// Print public keys as a JWK Set
    Jwks(JwksOf),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Request {
    /// The method
    #[arg(value_name = "METHOD")]
    pub(crate) method: String,
    /// The URL
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// The private key that the token is for
    #[arg(long, short, value_name = "FILE", requires = "token", required_unless_present_any = ["issuer", "session"])]
    pub(crate) key: Option<Source>,
    /// The access token
    #[arg(long, short, value_name = "FILE", requires = "key", conflicts_with = "issuer")]
    pub(crate) token: Option<Source>,
    /// The device that the key is enrolled as: what `chio http enroll` has written
    #[arg(long, value_name = "FILE", requires_all = ["key", "token"])]
    pub(crate) device: Option<Source>,
    /// Where E-Keys are issued: the URL up to `/token`
    #[arg(long, value_name = "URL", requires_all = ["secret", "subject", "action"])]
    pub(crate) issuer: Option<String>,
    /// The secret of the issuer's client
    #[arg(long, value_name = "FILE", requires = "issuer")]
    pub(crate) secret: Option<Source>,
    /// Whom the E-Key is about
    #[arg(long, value_name = "NAME", requires = "issuer")]
    pub(crate) subject: Option<String>,
    /// What the E-Key is for, such as `GET:/orders/:id`; may be repeated
    #[arg(long, value_name = "ACTION", requires = "issuer")]
    pub(crate) action: Vec<String>,
    /// How the E-Key names the service, where that is not the URL's origin
    #[arg(long, value_name = "NAME", requires = "issuer")]
    pub(crate) audience: Option<String>,
    /// How many requests the E-Key allows
    #[arg(long, value_name = "NUMBER", requires = "issuer")]
    pub(crate) limit: Option<u64>,
    /// Ask for a sealed answer, for a key that is made for it alone, and open it
    #[arg(long)]
    pub(crate) sealed: bool,
    /// The session
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "token", "issuer", "device"])]
    pub(crate) session: Option<Source>,
    /// The body
    #[arg(long, short, value_name = "FILE")]
    pub(crate) data: Option<Source>,
    /// Keep the headers that were sent, as `curl --header @FILE` takes them: whoever has them has the request
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Enroll {
    /// Where the service is: its URL, of which the origin counts
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,
    /// The private key of the device: of P-256 or Ed25519
    #[arg(long, short, value_name = "FILE")]
    pub(crate) key: Source,
    /// The bearer token
    #[arg(long, short, value_name = "FILE")]
    pub(crate) token: Source,
    /// What its owner calls the device
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Where to write what the key is enrolled as
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Replace the file where there is one
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Register {
    /// Where the service is; with a path, where its desk is: `/session` by default
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,
    /// The name of the user
    #[arg(long, value_name = "NAME")]
    pub(crate) user: String,
    /// The password: a file, `env:NAME`, or `-` for standard input, where a terminal asks for it; a line's end after it
    /// does not count
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) password: Source,
    /// The code of an invitation
    #[arg(long, value_name = "FILE")]
    pub(crate) invitation: Option<Source>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Login {
    /// Where the service is; with a path, where its desk is: `/session` by default
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,
    /// The name of the user
    #[arg(long, value_name = "NAME")]
    pub(crate) user: String,
    /// The password: a file, `env:NAME`, or `-` for standard input, where a terminal asks for it; a line's end after it
    /// does not count
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) password: Source,
    /// Where to keep the session
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Replace the file where there is one
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Logout {
    /// The session
    #[arg(value_name = "SESSION")]
    pub(crate) session: Source,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Token {
    /// The issuer's private key
    #[arg(long, short, value_name = "FILE")]
    pub(crate) key: Source,
    /// The issuer's name
    #[arg(long, value_name = "NAME")]
    pub(crate) issuer: String,
    /// The service that it is for
    #[arg(long, value_name = "NAME")]
    pub(crate) audience: String,
    /// Whom it is about
    #[arg(long, value_name = "NAME")]
    pub(crate) subject: String,
    /// Who may use it: a public key, or the file of its private key
    #[arg(long, value_name = "KEY", required_unless_present = "unbound")]
    pub(crate) holder: Option<String>,
    /// Bind it to no key, as most providers do: whoever has it can use it, unless the service asks for an enrolled device
    #[arg(long, conflicts_with = "holder")]
    pub(crate) unbound: bool,
    /// The session that it is of (`sid`)
    #[arg(long, value_name = "NAME")]
    pub(crate) session: Option<String>,
    /// The client application that it is issued to (`azp`)
    #[arg(long, value_name = "NAME")]
    pub(crate) client: Option<String>,
    /// What it is for, separated by spaces
    #[arg(long, value_name = "SCOPES")]
    pub(crate) scope: Option<String>,
    /// How long it lives
    #[arg(long = "for", value_name = "TIME", default_value = "5m", value_parser = seconds)]
    pub(crate) life: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct JwksOf {
    /// A public key, or the file of its private key
    #[arg(value_name = "KEY", required = true)]
    pub(crate) keys: Vec<String>,
}
