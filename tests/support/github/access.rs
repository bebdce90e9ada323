//! Who is asking, and whether they may.

use base64::Engine as _;
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::Value;

use super::routes::Route;
use super::state::{Holder, State};
use super::wire::{Call, Reply};

fn unauthorized(message: &str) -> Reply {
    Reply::error(401, message)
}

/// The public half of a private key in PEM.
pub fn public_key(pem: &str) -> Vec<u8> {
    let packed: String = pem.lines().filter(|l| !l.starts_with("-----")).collect();
    let der = base64::engine::general_purpose::STANDARD
        .decode(packed)
        .unwrap();
    let pair = RsaKeyPair::from_der(&der).expect("the test key is an RSA key");
    pair.public_key().as_ref().to_vec()
}

/// From the `Authorization` header.
pub fn holder(state: &State, header: Option<&String>) -> Result<Holder, Reply> {
    let header = header.ok_or_else(|| unauthorized("Requires authentication"))?;
    let (scheme, token) = header.split_once(' ').unwrap_or(("", header));
    if !["bearer", "token"].contains(&scheme.to_lowercase().as_str()) {
        return Err(unauthorized("Bad credentials"));
    }
    if token.matches('.').count() == 2 {
        return jwt(state, token);
    }
    let known = state
        .tokens
        .get(token)
        .ok_or_else(|| unauthorized("Bad credentials"))?;
    if known.until.is_some_and(|until| until <= state.wire_now()) {
        return Err(unauthorized("Bad credentials"));
    }
    Ok(known.holder.clone())
}

fn jwt(state: &State, token: &str) -> Result<Holder, Reply> {
    let broken = || unauthorized("A JSON web token could not be decoded");
    let (signed, signature) = token.rsplit_once('.').ok_or_else(broken)?;
    let (header, claims) = signed.split_once('.').ok_or_else(broken)?;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let decode = |part: &str| engine.decode(part).map_err(|_| broken());
    let read = |part: &str| serde_json::from_slice::<Value>(&decode(part)?).map_err(|_| broken());
    let (header, claims) = (read(header)?, read(claims)?);
    if header["alg"] != "RS256" {
        return Err(broken());
    }
    let issuer = match &claims["iss"] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(unauthorized("'Issuer' claim ('iss') must be an Integer")),
    };
    let app = state
        .apps
        .iter()
        .find(|a| a.id.to_string() == issuer || a.client_id == issuer);
    let app = app.ok_or_else(|| Reply::error(404, "Integration not found"))?;
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &app.public_key);
    key.verify(signed.as_bytes(), &decode(signature)?)
        .map_err(|_| broken())?;
    times(state, &claims)?;
    Ok(Holder::App(app.id))
}

/// At most ten minutes, and now.
fn times(state: &State, claims: &Value) -> Result<(), Reply> {
    let now = state.wire_now().as_second();
    let time = |name: &str| claims[name].as_i64();
    let issued = time("iat").filter(|at| *at <= now + 30);
    if issued.is_none() {
        return Err(unauthorized(
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
        ));
    }
    match time("exp") {
        Some(at) if at > now + 600 => Err(unauthorized(
            "'Expiration time' claim ('exp') is too far in the future",
        )),
        Some(at) if at > now => Ok(()),
        _ => Err(unauthorized(
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
        )),
    }
}

/// Whether this holder may call this operation.
pub fn check(state: &State, call: &Call, route: &Route) -> Result<(), Reply> {
    if route.need == "jwt" {
        return match call.holder {
            Holder::App(_) => Ok(()),
            _ => Err(unauthorized("A JSON web token could not be decoded")),
        };
    }
    if matches!(call.holder, Holder::App(_)) {
        return Err(unauthorized("Bad credentials"));
    }
    if !route.template.starts_with("/repos/") {
        return Ok(());
    }
    let repo = state.repo(&call.repo())?;
    if repo.archived && call.method != "GET" {
        return Err(Reply::error(
            403,
            "Repository was archived so is read-only.",
        ));
    }
    match &call.holder {
        Holder::Installation {
            may, repositories, ..
        } => {
            if repositories
                .as_ref()
                .is_some_and(|r| !r.contains(&repo.name.to_lowercase()))
            {
                return Err(Reply::not_found());
            }
            let granted = |need: &str| {
                let (what, level) = need.split_once(':').unwrap_or((need, "read"));
                let given = may.get(what).map_or("none", String::as_str);
                super::routes::allows(given, level) || (what == "metadata" && level == "read")
            };
            let enough = route.need.is_empty() || route.need.split('|').any(granted);
            enough
                .then_some(())
                .ok_or_else(|| Reply::error(403, "Resource not accessible by integration"))
        }
        Holder::User(id) => check_user(state, call, route, *id),
        Holder::App(_) => Ok(()),
    }
}

fn check_user(state: &State, call: &Call, route: &Route, user: u64) -> Result<(), Reply> {
    let role = state.role(&call.repo(), user);
    if role == "none" {
        return Err(Reply::not_found());
    }
    let code = ["contents:write", "statuses:write"].contains(&route.need);
    if code && !state.may_write(&call.repo(), user) {
        return Err(Reply::error(
            403,
            "Must have write access to the repository.",
        ));
    }
    Ok(())
}
