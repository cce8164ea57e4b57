//! `chio http token` and `chio http jwks`

use chio_http::jwk::{self, Jwk};
use chio_http::jws;
use serde_json::json;

use super::super::{at, random};
use crate::args::{JwksOf, Token};
use crate::exit::{Exit, Failure};
use crate::files;
use crate::print::{Printer, document};

pub(super) fn run(args: &Token, printer: &Printer) -> Result<Exit, Failure> {
    let unusable = |error: jwk::JwkError| Failure::new(error, "use a key of `chio keygen`");
    let key = files::read_key(&args.key)?;
    let holder = Jwk::of(&files::read_public_key(&args.holder)?).map_err(unusable)?;
    let kid = Jwk::of(&key.public_key()).map_err(unusable)?.thumbprint().to_string();
    let now = at(None)?;
    let expires_at = now.saturating_add(args.life);
    let mut claims = json!({
        "iss": args.issuer, "aud": args.audience, "sub": args.subject, "iat": now, "exp": expires_at,
        "jti": random()?, "cnf": {"jkt": holder.thumbprint().to_string()},
    });
    if let (Some(scope), Some(claims)) = (&args.scope, claims.as_object_mut()) {
        claims.insert("scope".to_owned(), scope.clone().into());
    }
    let header = format!(r#""kid":"{kid}","typ":"at+jwt""#);
    let token = jws::sign(&key, &header, claims.to_string().as_bytes());
    let token = token.map_err(|error| Failure::new(error, "check the key"))?;
    printer.answer(&json!({"token": token, "expires_at": expires_at}), &format!("{token}\n"))?;
    Ok(Exit::Done)
}

pub(super) fn jwks(args: &JwksOf) -> Result<Exit, Failure> {
    let keys = args.keys.iter().map(|key| files::read_public_key(key)).collect::<Result<Vec<_>, _>>()?;
    let set = jwk::jwks(&keys).map_err(|error| Failure::new(error, "use keys of `chio keygen`"))?;
    document(&format!("{set}\n"))?;
    Ok(Exit::Done)
}
