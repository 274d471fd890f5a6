//! Where a reader can go on: the page of the check, and the runbook.

use url::Url;
use vilicus_core::Notification;

/// The longest link, in bytes; a cut one leads nowhere, so a longer one is left out. It stands in the text still.
const MAX_LINK: usize = 1000;

/// A link with its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// What the reader sees.
    pub(super) label: &'static str,
    /// A URL of the web, fully escaped: without spaces, quotes, `<`, `>` and `|`.
    pub(super) url: String,
}

/// The links of a message. The runbooks of a group are in its text only: one label can't stand for several.
pub(super) fn links(notification: &Notification) -> Vec<Link> {
    let runbook = match notification.items.as_slice() {
        [item] => item.runbook_url.as_deref(),
        _ => None,
    };
    let labelled = [("Open", notification.url.as_deref()), ("Runbook", runbook)];
    labelled.into_iter().filter_map(|(label, url)| Some(Link { label, url: web_url(url?)? })).collect()
}

/// The text as a URL of the web that can stand in any markup; `None` when it is none, as `javascript:`.
pub(super) fn web_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let escaped = ['"', '\'', '<', '>', '|', '`', '\\'].into_iter().fold(String::from(url), |url, c| {
        if url.contains(c) { url.replace(c, &format!("%{:02X}", u32::from(c))) } else { url }
    });
    Some(escaped).filter(|url| url.len() <= MAX_LINK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifiers::samples;

    #[test]
    fn only_the_web_is_linked_and_nothing_ends_the_link() {
        for (text, url) in [
            ("https://wiki.example.com/disk?a=b&c=d", Some("https://wiki.example.com/disk?a=b&c=d")),
            ("https://x/a b\"c'd<e>f|g`h", Some("https://x/a%20b%22c%27d%3Ce%3Ef%7Cg%60h")),
            ("javascript:alert(1)", None),
            ("data:text/html,x", None),
            ("wiki/disk", None),
            ("", None),
        ] {
            assert_eq!(web_url(text).as_deref(), url, "{text}");
        }
        assert_eq!(web_url(&format!("https://x/{}", "a".repeat(1000))), None);
    }

    #[test]
    fn a_group_has_no_runbook_of_its_own() {
        let labels =
            |notification| links(&notification).into_iter().map(|link| link.label).collect::<Vec<_>>();
        assert_eq!(labels(samples::problem()), ["Open", "Runbook"]);
        assert_eq!(labels(samples::group()), ["Open"]);
    }
}
