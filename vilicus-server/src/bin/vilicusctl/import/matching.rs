//! How names in lists are meant: as they stand, with `*` for all, or as regular expressions when `nagios.cfg` says so.
//!
//! *Source:* `use_regexp_matching` and `use_true_regexp_matching` of
//! <https://assets.nagios.com/downloads/nagioscore/docs/nagioscore/4/en/configmain.html>.

use regex::Regex;

/// What names are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Matching {
    /// Those with one of `*`, `?`, `+` or `\.` are regular expressions.
    pub(super) is_regexp: bool,
    /// With the one above: all are.
    pub(super) is_true_regexp: bool,
}

/// A name in a list.
#[derive(Debug)]
pub(super) enum Pattern<'a> {
    All,
    Name(&'a str),
    Regexp(Box<Regex>),
}

impl Matching {
    /// What this name means. A regular expression finds a part of a name, too, as Nagios' do.
    pub(super) fn pattern<'a>(&self, name: &'a str) -> Result<Pattern<'a>, String> {
        if name == "*" {
            return Ok(Pattern::All);
        }
        let looks_like_one = ["*", "?", "+", "\\."].iter().any(|sign| name.contains(sign));
        if !(self.is_regexp && (self.is_true_regexp || looks_like_one)) {
            return Ok(Pattern::Name(name));
        }
        let regexp = Regex::new(name);
        regexp.map(|regexp| Pattern::Regexp(Box::new(regexp))).map_err(|error| {
            let why = error.to_string();
            format!("'{name}' is no regular expression: {}", why.lines().last().unwrap_or(&why))
        })
    }
}

impl Pattern<'_> {
    pub(super) fn finds(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Name(known) => *known == name,
            Self::Regexp(regexp) => regexp.is_match(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_patterns_as_the_main_file_says() {
        let (plain, some) = (Matching::default(), Matching { is_regexp: true, is_true_regexp: false });
        let all = Matching { is_regexp: true, is_true_regexp: true };
        for (matching, name, found, missed) in [
            (plain, "web-1", "web-1", "web-10"),
            (plain, "web.*", "web.*", "web-1"),
            (some, "web-1", "web-1", "web-10"),
            (some, "^web.*[12]$", "web-2", "web-3"),
            (all, "web-1", "web-10", "db-1"),
            (all, "^p(adm|dbs)[0-9]{3}", "pdbs101.wh", "pdbs1.wh"),
        ] {
            let pattern = matching.pattern(name).unwrap();
            assert!(pattern.finds(found) && !pattern.finds(missed), "{name} {matching:?}");
            assert!(matching.pattern("*").unwrap().finds("anything"));
        }
        assert!(all.pattern("web[").unwrap_err().contains("'web['"));
    }
}
