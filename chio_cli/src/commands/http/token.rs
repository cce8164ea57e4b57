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
    let holder = args.holder.as_deref().map(files::read_public_key).transpose()?;
    let holder = holder.map(|holder| Jwk::of(&holder)).transpose().map_err(unusable)?;
    let kid = Jwk::of(&key.public_key()).map_err(unusable)?.thumbprint().to_string();
    let now = at(None)?;
    let expires_at = now.saturating_add(args.life);
    let mut claims = json!({
        "iss": args.issuer, "aud": args.audience, "sub": args.subject, "iat": now, "exp": expires_at,
        "jti": random()?,
    });
    if let Some(claims) = claims.as_object_mut() {
        for (name, value) in [("scope", &args.scope), ("sid", &args.session), ("azp", &args.client)] {
            if let Some(value) = value {
                claims.insert(name.to_owned(), value.clone().into());
            }
        }
        if let Some(holder) = holder {
            claims.insert("cnf".to_owned(), json!({"jkt": holder.thumbprint().to_string()}));
        }
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
