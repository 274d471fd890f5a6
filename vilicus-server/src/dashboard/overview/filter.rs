//! Which checks are wanted, as the page's address says it: a link to a view is the view.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use vilicus_core::Status;
use vilicus_store::query::CheckView;

/// Which checks are wanted, and how they are sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(in crate::dashboard) struct Filter {
    /// A status in small letters, `pending`, or `problem`.
    #[serde(default)]
    pub(super) status: String,
    /// `unhandled`, `acknowledged` or `downtime`.
    #[serde(default)]
    pub(super) handled: String,
    /// A tag of the check or of its agent.
    #[serde(default)]
    pub(super) tag: String,
    /// A text in the name of the check or of its agent, or in a tag.
    #[serde(default)]
    pub(super) q: String,
    /// `worst`, `name` or `age`.
    #[serde(default)]
    pub(super) sort: String,
    /// `grid` for tiles; a table otherwise.
    #[serde(default)]
    pub(super) view: String,
    /// Which page of the list, from 1 on.
    #[serde(default)]
    page: String,
}

impl Filter {
    /// Whether anything is left out.
    pub(super) fn is_narrow(&self) -> bool {
        [&self.status, &self.handled, &self.tag, &self.q].into_iter().any(|field| !field.trim().is_empty())
    }

    /// Whether tiles are wanted.
    pub(super) fn is_grid(&self) -> bool {
        self.view == "grid"
    }

    /// The page of the list, from 0 on.
    pub(super) fn page(&self) -> usize {
        self.page.parse::<usize>().unwrap_or(1).saturating_sub(1)
    }

    /// The same filter on another page of the list, as an address.
    pub(super) fn on_page(&self, page: usize) -> String {
        let page = page.to_string();
        let fields = [
            ("status", &self.status),
            ("handled", &self.handled),
            ("tag", &self.tag),
            ("q", &self.q),
            ("sort", &self.sort),
            ("view", &self.view),
            ("page", &page),
        ];
        let set = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let set = set.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        format!("/?{}", set.collect::<Vec<_>>().join("&"))
    }

    /// The filter as an address, for the way back.
    pub(super) fn address(&self) -> String {
        if self.is_narrow() || self.is_grid() || self.page() > 0 {
            self.on_page(self.page() + 1)
        } else {
            "/".to_owned()
        }
    }

    /// Whether this check is wanted.
    pub(super) fn takes(&self, view: &CheckView) -> bool {
        self.takes_status(view.state.status)
            && (self.handled.is_empty() || self.handled == Handling::of(view).as_str())
            && (self.tag.is_empty() || tags(view).any(|tag| *tag == self.tag))
            && self.takes_text(view)
    }

    fn takes_status(&self, status: Option<Status>) -> bool {
        match (self.status.as_str(), status) {
            ("", _) | ("pending", None) => true,
            ("problem", Some(status)) => status.is_problem(),
            (wanted, Some(status)) => status.as_str().eq_ignore_ascii_case(wanted),
            _ => false,
        }
    }

    fn takes_text(&self, view: &CheckView) -> bool {
        let wanted = self.q.trim().to_lowercase();
        let holds = |text: &str| text.to_lowercase().contains(&wanted);
        wanted.is_empty()
            // As the list shows it, for a name is often copied whole.
            || holds(&format!("{} / {}", view.agent.name, view.check.name))
            || tags(view).any(|tag| holds(tag))
    }
}

fn tags(view: &CheckView) -> impl Iterator<Item = &String> {
    view.check.tags.iter().chain(&view.agent.tags)
}

/// Whether somebody cares for a check already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Handling {
    /// Nobody does.
    Unhandled,
    /// Somebody acknowledged it.
    Acknowledged,
    /// It is planned.
    Downtime,
}

impl Handling {
    pub(super) fn of(view: &CheckView) -> Self {
        match (view.downtime_until, &view.state.acknowledgement) {
            (Some(_), _) => Self::Downtime,
            (None, Some(_)) => Self::Acknowledged,
            (None, None) => Self::Unhandled,
        }
    }

    /// As the address says it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Unhandled => "unhandled",
            Self::Acknowledged => "acknowledged",
            Self::Downtime => "downtime",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_its_address() {
        let filter = Filter { status: "problem".to_owned(), q: "a&b=ü".to_owned(), ..Filter::default() };
        assert_eq!(filter.on_page(2), "/?status=problem&q=a%26b%3D%C3%BC&page=2");
        let uri = filter.on_page(2).parse().unwrap();
        let read = axum::extract::Query::<Filter>::try_from_uri(&uri).unwrap().0;
        assert_eq!((read.page(), &read.q), (1, &filter.q));
        assert!(read.is_narrow() && !Filter::default().is_narrow());
        assert_eq!(Filter::default().address(), "/");
    }

    #[test]
    fn every_status_has_a_word() {
        let takes =
            |word: &str, status| Filter { status: word.to_owned(), ..Filter::default() }.takes_status(status);
        assert!(takes("pending", None) && takes("problem", Some(Status::Unknown)));
        assert!(takes("ok", Some(Status::Ok)) && !takes("problem", Some(Status::Ok)));
        assert!(!takes("ok", None) && !takes("pending", Some(Status::Ok)) && !takes("nonsense", None));
    }
}
