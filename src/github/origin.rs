//! Where GitHub is, and whether an address that it names is still there. Pure.

use http::Uri;

use super::{Error, Result};

/// Where GitHub is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://api.github.com`, or `https://HOST/api/v3`.
    pub rest: String,
    /// `https://api.github.com/graphql`, or `https://HOST/api/graphql`.
    pub graphql: String,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::new("https://api.github.com")
    }
}

impl Endpoint {
    /// From the REST base URL; GraphQL is where GitHub (or GitHub Enterprise Server) puts it.
    pub fn new(rest: &str) -> Self {
        let rest = rest.trim().trim_end_matches('/').to_owned();
        let graphql = match rest.strip_suffix("/api/v3") {
            Some(host) => format!("{host}/api/graphql"),
            None => format!("{rest}/graphql"),
        };
        Self { rest, graphql }
    }

    /// Scheme, host and port; an error for what is no plain HTTP base URL.
    pub(super) fn origin(&self) -> Result<String> {
        let wrong = |why: &str| Error::Invalid(format!("API URL {}: {why}", redacted(&self.rest)));
        let origin =
            origin_of(&self.rest).ok_or_else(|| wrong("not https://HOST[:PORT][/PATH]"))?;
        if self.rest.contains(['?', '#']) {
            return Err(wrong("a base URL has no query"));
        }
        match origin_of(&self.graphql) == Some(origin.clone()) {
            true => Ok(origin),
            false => Err(wrong("GraphQL is on another host")),
        }
    }

    /// Whether it is a server on this very machine.
    pub(super) fn is_local(&self) -> bool {
        let uri: Option<Uri> = self.rest.parse().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
        ["127.0.0.1", "localhost", "[::1]"].contains(&host)
    }
}

/// `scheme://host:port`, the port always written out; `None` for anything with a user in it.
fn origin_of(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let default = match uri.scheme_str()? {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let port = authority.port_u16().unwrap_or(default);
    let host = authority.host().to_lowercase();
    Some(format!("{}://{host}:{port}", uri.scheme_str()?))
}

/// An address that GitHub names (the next page, a new place): only ever on its own host, for our
/// credentials go with the request.
pub(super) fn stay(origin: &str, url: &str) -> Result<String> {
    let absolute = match url.starts_with('/') && !url.starts_with("//") {
        true => format!("{origin}{url}"),
        false => url.to_owned(),
    };
    if origin_of(&absolute).as_deref() == Some(origin) {
        return Ok(absolute);
    }
    let host = redacted(url);
    Err(Error::Unexpected(format!(
        "GitHub points to another host, which is not followed: {host}"
    )))
}

/// The next page that a `Link` header names.
pub(super) fn next_page(link: &str) -> Option<&str> {
    let is_next = |part: &&str| part.contains("rel=\"next\"") || part.contains("rel=next");
    let next = link.split(',').find(is_next)?;
    next.split(['<', '>']).nth(1)
}

/// An address for logs and errors: no user, no query, no fragment, no control characters.
pub(super) fn redacted(url: &str) -> String {
    let bare = url.split(['?', '#']).next().unwrap_or_default();
    let bare = match (bare.split_once("://"), bare.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => bare.to_owned(),
    };
    bare.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Scorecard row 59: GitHub, GitHub Enterprise Cloud with its own host, and the server.
    #[test]
    fn both_apis_are_found_from_one_address() {
        let cases = [
            ("https://api.github.com", "https://api.github.com/graphql"),
            ("https://api.github.com/", "https://api.github.com/graphql"),
            (
                " https://api.acme.ghe.com ",
                "https://api.acme.ghe.com/graphql",
            ),
            (
                "https://ghe.acme.com/api/v3",
                "https://ghe.acme.com/api/graphql",
            ),
            (
                "https://ghe.acme.com:8443/api/v3/",
                "https://ghe.acme.com:8443/api/graphql",
            ),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000/graphql"),
        ];
        for (rest, graphql) in cases {
            let endpoint = Endpoint::new(rest);
            assert_eq!(endpoint.graphql, graphql);
            assert!(endpoint.origin().is_ok(), "{rest}");
        }
        for bad in [
            "",
            "api.github.com",
            "ftp://api.github.com",
            "https://user:secret@api.github.com",
            "https://api.github.com?x=1",
        ] {
            let error = Endpoint::new(bad).origin().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(Endpoint::new("http://[::1]:80").is_local());
        assert!(!Endpoint::default().is_local());
    }

    #[test]
    fn only_addresses_of_the_same_host_are_followed() {
        let origin = Endpoint::new("https://ghe.acme.com/api/v3")
            .origin()
            .unwrap();
        for good in [
            "https://ghe.acme.com/api/v3/repositories/1?page=2",
            "https://GHE.acme.com:443/api/v3/x",
            "/api/v3/repositories/1",
        ] {
            assert!(stay(&origin, good).is_ok(), "{good}");
        }
        for bad in [
            "http://ghe.acme.com/api/v3/x",
            "https://ghe.acme.com:444/x",
            "https://ghe.acme.com.evil.example/x",
            "https://ghe.acme.com@evil.example/x",
            "https://evil.example/?token=abc",
            "//evil.example/x",
            "file:///etc/passwd",
            "",
        ] {
            let error = stay(&origin, bad).unwrap_err().to_string();
            assert!(!error.contains("token="), "{error}");
        }
    }

    #[test]
    fn the_next_page_is_found() {
        let link = "<https://h/x?page=1>; rel=\"prev\", <https://h/x?page=3>; rel=\"next\"";
        assert_eq!(next_page(link), Some("https://h/x?page=3"));
        for none in ["", "<https://h/x>; rel=\"last\"", "rel=\"next\"", ","] {
            assert_eq!(next_page(none), None, "{none}");
        }
    }
}
