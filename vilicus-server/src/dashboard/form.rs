//! What forms send, and where people go afterwards.

use std::collections::HashMap;

use askama::Template;
use axum::Form;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde_json::Value;

use super::inside::Refused;
use super::{login, render};

/// The fields of a form.
pub(super) type Fields = Form<HashMap<String, String>>;

/// A field, without spaces around; an empty one was left out.
pub(super) fn field<'a>(fields: &'a HashMap<String, String>, name: &str) -> Option<&'a str> {
    fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// Where the form was: a path here, and nothing else.
pub(super) fn back<'a>(fields: &'a HashMap<String, String>, or: &'a str) -> &'a str {
    fields.get("back").map(String::as_str).filter(|path| is_here(path)).unwrap_or(or)
}

/// Whether a path stays on this server, whatever a browser makes of it.
pub(super) fn is_here(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && !path.chars().any(|c| c == '\\' || c.is_control() || c.is_whitespace())
}

/// Back to the page, which then says what was done, and offers to undo it.
pub(super) fn after(done: Result<Value, Refused>, to: &str, word: &str, of: u64) -> Response {
    match done {
        Ok(_) => Redirect::to(&said(to, word, of)).into_response(),
        Err(refused) => refuse(&refused, to),
    }
}

fn said(to: &str, word: &str, of: u64) -> String {
    let (path, query) = to.split_once('?').unwrap_or((to, ""));
    let kept = query
        .split('&')
        .filter(|part| !part.is_empty() && !part.starts_with("done=") && !part.starts_with("of="));
    let query: Vec<String> =
        kept.map(str::to_owned).chain([format!("done={word}"), format!("of={of}")]).collect();
    format!("{path}?{}", query.join("&"))
}

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage<'a> {
    words: &'a str,
    back: &'a str,
}

/// The page that says why not.
pub(super) fn refuse(refused: &Refused, back: &str) -> Response {
    if refused.status == http::StatusCode::UNAUTHORIZED {
        return login::ask(refused.status, None, back);
    }
    render(refused.status, &RefusedPage { words: &refused.words, back })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for (path, here) in [
            ("/check/1?range=1d", true),
            ("/", true),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("https://evil.example", false),
            ("/\n/evil", false),
            ("", false),
        ] {
            assert_eq!(is_here(path), here, "{path:?}");
        }
    }

    #[test]
    fn the_page_says_only_what_was_done_last() {
        assert_eq!(said("/check/1?range=1d&done=on&of=3", "off", 4), "/check/1?range=1d&done=off&of=4");
        assert_eq!(said("/", "run", 1), "/?done=run&of=1");
    }
}
