//! Which processes a check means.

use std::fmt;

use regex::Regex;

/// All conditions that are given must hold.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) name: Option<String>,
    pub(super) exe: Option<String>,
    pub(super) cmdline: Option<String>,
    pub(super) cmdline_regex: Option<Regex>,
    pub(super) user: Option<String>,
    pub(super) zombies: bool,
}

impl Filter {
    /// Whether the command line matters.
    pub(super) fn wants_cmdline(&self) -> bool {
        self.cmdline.is_some() || self.cmdline_regex.is_some()
    }

    /// Whether a command line, its arguments joined with spaces, is a wanted one.
    pub(super) fn matches_cmdline(&self, cmdline: &str) -> bool {
        self.cmdline.as_deref().is_none_or(|part| cmdline.contains(part))
            && self.cmdline_regex.as_ref().is_none_or(|regex| regex.is_match(cmdline))
    }
}

impl fmt::Display for Filter {
    /// As it follows the word 'process' in a sentence, with the space before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.name.as_ref().map(|name| format!("'{name}'")));
        parts.extend(self.exe.as_ref().map(|exe| format!("of {exe}")));
        parts.extend(self.cmdline.as_ref().map(|part| format!("with '{part}' in its command line")));
        parts.extend(self.cmdline_regex.as_ref().map(|regex| format!("with a command line like '{regex}'")));
        parts.extend(self.user.as_ref().map(|user| format!("as user {user}")));
        parts.iter().try_for_each(|part| write!(f, " {part}"))
    }
}
