//! The operations that are answered, under the names of GitHub's own description.

use super::state::State;
use super::wire::{Answer, Call, decode};

mod app;
mod code;
mod graphql;
mod issues;
mod pulls;

pub use app::allows;

/// One operation.
pub struct Route {
    pub method: &'static str,
    /// As in GitHub's description: `/repos/{owner}/{repo}/pulls`.
    pub template: &'static str,
    /// What a token must be allowed to do: `contents:write`. Empty: anybody who is known.
    pub need: &'static str,
    pub handler: fn(&mut State, &Call) -> Answer,
}

/// These stand for the rest of the path, slashes included.
const LONG: [&str; 3] = ["{path}", "{ref}", "{basehead}"];

const fn route(
    method: &'static str,
    template: &'static str,
    need: &'static str,
    handler: fn(&mut State, &Call) -> Answer,
) -> Route {
    Route {
        method,
        template,
        need,
        handler,
    }
}

/// All of them; the first one that fits answers.
pub static ROUTES: &[&[Route]] = &[
    app::ROUTES,
    code::ROUTES,
    issues::ROUTES,
    pulls::ROUTES,
    graphql::ROUTES,
];

/// The operation of a request, and what its template's names stand for.
pub fn find(method: &str, raw_path: &str) -> Option<(&'static Route, Vec<(String, String)>)> {
    let mut all = ROUTES.iter().flat_map(|list| list.iter());
    all.find_map(|route| {
        let params = (route.method == method).then(|| fits(route.template, raw_path))??;
        Some((route, params))
    })
}

/// Matches a path that is still percent-encoded, so that `%2F` is no border.
pub fn fits(template: &str, raw_path: &str) -> Option<Vec<(String, String)>> {
    let wanted: Vec<&str> = template.split('/').collect();
    let given: Vec<&str> = raw_path.split('/').collect();
    let mut params = Vec::new();
    let mut at = 0;
    for (index, part) in wanted.iter().enumerate() {
        let rest = wanted.len() - index - 1;
        if LONG.contains(part) {
            let end = given.len().checked_sub(rest).filter(|end| *end > at)?;
            let value = given[at..end]
                .iter()
                .map(|p| decode(p))
                .collect::<Vec<_>>()
                .join("/");
            params.push((part.trim_matches(['{', '}']).to_owned(), value));
            at = end;
            continue;
        }
        let one = given.get(at)?;
        if part.starts_with('{') {
            if one.is_empty() {
                return None;
            }
            params.push((part.trim_matches(['{', '}']).to_owned(), decode(one)));
        } else if part != one {
            return None;
        }
        at += 1;
    }
    (at == given.len()).then_some(params)
}
