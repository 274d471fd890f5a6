//! `GET /badge/{check}.svg`: the state of a check that is published, small enough for a README.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use vilicus_core::CheckId;
use vilicus_store::query::{CheckFilter, Page};

use super::{Word, is_public, unreadable};
use crate::dashboard::Dashboard;
use crate::dashboard::words::visible;

/// The width of a letter, about, in the badge's font.
const LETTER: usize = 7;
/// The longest name that is shown whole.
const LONGEST: usize = 40;

#[derive(Template)]
#[template(path = "badge.svg")]
struct Badge {
    name: String,
    word: Word,
    left: usize,
    right: usize,
}

impl Badge {
    fn new(name: &str, word: Word) -> Self {
        let mut name: String = visible(name);
        if name.chars().count() > LONGEST {
            name = name.chars().take(LONGEST).chain(['…']).collect();
        }
        let width = |text: &str| text.chars().count() * LETTER + 12;
        Self { left: width(&name), right: width(word.text), name, word }
    }

    /// The colour of the right side, dark enough for white letters.
    fn colour(&self) -> &'static str {
        match self.word.class {
            "ok" => "#1f6b43",
            "warning" => "#7a4d00",
            "critical" => "#a3161c",
            _ => "#4f5955",
        }
    }
}

/// `GET /badge/{check}.svg`
pub(in crate::dashboard) async fn badge(
    State(dashboard): State<Dashboard>,
    Path(file): Path<String>,
) -> Response {
    let missing = || (StatusCode::NOT_FOUND, "Nothing is published here.\n").into_response();
    let id = file.strip_suffix(".svg").and_then(|id| id.parse().ok()).and_then(CheckId::new);
    let Some(id) = id else { return missing() };
    let filter = CheckFilter { ids: vec![id], ..CheckFilter::default() };
    let views = match dashboard.api.store().checks(&filter, Page { offset: 0, limit: 1 }).await {
        Ok(views) => views.objects,
        Err(error) => return unreadable(&error),
    };
    let Some(view) = views.first().filter(|view| is_public(view)) else { return missing() };
    match Badge::new(&view.check.name, Word::of(view)).render() {
        Ok(svg) => {
            let headers =
                [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=60")];
            (headers, svg).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a badge cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_is_as_wide_as_its_words_and_holds_no_markup() {
        let badge = Badge::new(&"<b>".repeat(30), Word::of_status(None));
        assert!(badge.name.ends_with('…') && badge.left == 41 * LETTER + 12);
        let svg = badge.render().unwrap();
        assert!(!svg.contains("<b>") && svg.contains("Not known"), "{svg}");
    }
}
