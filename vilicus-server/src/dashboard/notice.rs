//! What a page says after something was done: one sentence of a closed vocabulary, and the way back.
//!
//! The address carries a word and an id, never a text: nobody can put words into our mouth with a link.

use serde::Deserialize;

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done {
    /// What, as a sentence.
    pub(super) words: &'static str,
    /// Where a form takes it back.
    pub(super) undo: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    done: Option<String>,
    of: Option<u64>,
}

impl Done {
    /// What this query says was done.
    pub(super) fn of(query: Option<&str>) -> Option<Self> {
        let Said { done, of } =
            axum::extract::Query::try_from_uri(&format!("/?{}", query?).parse().ok()?).ok()?.0;
        let (words, undo) = match done?.as_str() {
            "acknowledged" => ("Acknowledged: nobody is reminded of it.", Some("/check/{}/unacknowledge")),
            "unacknowledged" => ("The acknowledgement was taken back.", None),
            "downtime" => ("The downtime is set.", Some("/downtime/{}/remove")),
            "downtime-removed" => ("The downtime was removed.", None),
            "run" => ("Asked for a run now; its result shows here as soon as it comes.", None),
            "reported" => ("The result is in.", None),
            "demo" => ("The demo check is broken now. Watch it here, and whoever is told of it.", None),
            "mended" => ("The demo check is mended.", None),
            "created" => ("Created.", None),
            "changed" => ("Changed.", None),
            "approved" => ("It is let in, and goes on by itself within seconds.", None),
            "removed" => ("Removed.", None),
            "off" => ("Switched off: it is not run, and tells nobody.", Some("/check/{}/switch/on")),
            "on" => ("Switched on.", Some("/check/{}/switch/off")),
            "published" => ("Published: everybody who knows the address may look.", None),
            "unpublished" => ("No longer published.", None),
            _ => return None,
        };
        let undo = undo.zip(of).map(|(path, id)| path.replace("{}", &id.to_string()));
        Some(Self { words, undo })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_are_said() {
        assert_eq!(Done::of(Some("done=run")).unwrap().undo, None);
        let done = Done::of(Some("a=b&done=acknowledged&of=12")).unwrap();
        assert_eq!(done.undo.as_deref(), Some("/check/12/unacknowledge"));
        for query in [None, Some(""), Some("done=You+won"), Some("of=1"), Some("done=run&of=x"), Some("%")] {
            assert_eq!(Done::of(query), None, "{query:?}");
        }
    }
}
