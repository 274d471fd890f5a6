//! The agent's own file: only what the server must not decide, and where the server is.
//!
//! Read by the stock binary; an app that embeds the agent has no need of it. Absent on purpose: tokens. They stand
//! in a file of their own, or in the environment, so that this one may be read and copied by everyone.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;
use vilicus_core::params::nearest;

use crate::printable::printable;

/// Where the file is looked for when nobody says.
pub const DEFAULT_PATH: &str = "/etc/vilicus/agent.toml";

/// The file, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// The address of the server, as `https://vilicus.example.org`.
    pub server: Option<String>,
    /// The file that holds the agent's token and nothing else.
    pub token_file: Option<PathBuf>,
    /// A PEM file of further certificate authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// Where to answer `GET /healthz`, as `127.0.0.1:8081`; nowhere by default.
    pub healthz: Option<SocketAddr>,
    /// What is logged, as `info` or `vilicus_agent=debug`.
    pub log: Option<String>,
    /// How it is logged: `text` or `json`.
    pub log_format: Option<LogFormat>,
    /// What `command` checks may run.
    pub command: CommandSection,
    /// Which kinds this host takes.
    pub kinds: KindsSection,
    /// How much the agent may use.
    pub limits: LimitsSection,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[command]`: nothing is allowed unless it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CommandSection {
    /// Paths of programs, or globs of them.
    pub allow: Vec<String>,
    /// The user that programs run as; the agent's own by default.
    pub user: Option<String>,
    /// The names of environment variables that a check may set.
    pub env: Vec<String>,
}

/// `[kinds]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct KindsSection {
    /// Kinds that this host refuses, whatever the server says.
    pub deny: Vec<String>,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LimitsSection {
    /// Results kept while the server is away.
    pub buffer: Option<usize>,
    /// Checks that run at the same time.
    pub concurrency: Option<usize>,
}

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file says something that cannot be understood.
    #[error("{}:{line}:{column}: {problem}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The character in the line, counted from 1.
        column: usize,
        /// What is wrong there, and what would be right.
        problem: String,
    },
    /// The file of the token holds something else.
    #[error("{} does not hold a token: {problem}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or is wrong; the error says where, and names the nearest known key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads `path`, or the default file when none is given; without a default file there are just the defaults.
    ///
    /// # Errors
    /// As for [`read`](Self::read). A file that was asked for must exist.
    pub fn find(path: Option<&Path>) -> Result<Self, ConfigError> {
        match path {
            Some(path) => Self::read(path),
            None => match Self::read(Path::new(DEFAULT_PATH)) {
                Err(ConfigError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    Ok(Self::default())
                }
                found => found,
            },
        }
    }

    /// Understands the text of a file; `path` is for the errors.
    ///
    /// # Errors
    /// It is wrong; the error says where, and names the nearest known key.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let (line, column) = place(text, error.span().map_or(0, |span| span.start));
            ConfigError::Wrong { path: path.to_owned(), line, column, problem: problem_of(error.message()) }
        })
    }
}

/// The line and character of a byte, both counted from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The parser's words, with the nearest known key when one is misspelled. Never quotes a value: it may be a secret.
fn problem_of(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.as_slice() {
        ["token" | "enroll_token", ..] if message.starts_with("unknown field") => {
            "a token does not belong here; write it into a file of its own and name that as token_file"
                .to_owned()
        }
        [unknown, known @ ..] if message.starts_with("unknown field") => {
            let unknown = printable(unknown);
            match nearest(&unknown.to_string(), known.iter().copied()) {
                Some(near) => format!("unknown key '{unknown}'; did you mean '{near}'?"),
                None => format!("unknown key '{unknown}'; known here are {}", known.join(", ")),
            }
        }
        _ => printable(message).to_string(),
    }
}

/// The longest token that is read from a file, in bytes.
const MAX_TOKEN: usize = 4096;

/// Reads a token from its file; white space around it does not count.
///
/// # Errors
/// The file cannot be read, is empty, or holds more than a token.
pub fn read_token(path: &Path) -> Result<SecretString, ConfigError> {
    let wrong = |problem| ConfigError::Token { path: path.to_owned(), problem };
    let bytes = fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not text"))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(wrong("it is empty; enrol this host again"));
    }
    if token.len() > MAX_TOKEN || token.contains(|character: char| !character.is_ascii_graphic()) {
        return Err(wrong("it must hold the token alone"));
    }
    Ok(token.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    const EXAMPLE: &str = r#"
server = "https://vilicus.example.org"
token_file = "/etc/vilicus/agent.token"
[command]                       # nothing is allowed unless listed here
allow = ["/usr/lib/nagios/plugins/*", "/usr/lib/nagios/plugins/negate"]
user = "nobody"
env = ["SNMP_COMMUNITY"]
[kinds]
deny = ["file", "log"]
[limits]
buffer = 10000
concurrency = 8
"#;

    fn problem(text: &str) -> String {
        Config::parse(text, Path::new("agent.toml")).unwrap_err().to_string()
    }

    #[test]
    fn the_documented_file_is_understood() {
        let config = Config::parse(EXAMPLE, Path::new("agent.toml")).unwrap();
        assert_eq!(config.server.as_deref(), Some("https://vilicus.example.org"));
        assert_eq!((config.command.allow.len(), config.command.user.as_deref()), (2, Some("nobody")));
        assert_eq!((config.kinds.deny.len(), config.limits.buffer), (2, Some(10_000)));
        assert_eq!(Config::parse("", Path::new("x")).unwrap(), Config::default());
    }

    #[test]
    fn mistakes_have_a_place_and_a_mend() {
        for (text, words) in [
            ("server = \"x\"\nsevrer = 1", "agent.toml:2:1: unknown key 'sevrer'; did you mean 'server'?"),
            ("[command]\nalow = []", "agent.toml:2:1: unknown key 'alow'; did you mean 'allow'?"),
            (
                "[limits]\nzzzzzz = 1",
                "agent.toml:2:1: unknown key 'zzzzzz'; known here are buffer, concurrency",
            ),
            ("[limits]\nbuffer = \"many\"", "agent.toml:2:10: "),
            ("server = ", "agent.toml:1:"),
            ("healthz = \"here\"", "agent.toml:1:11: "),
        ] {
            let problem = problem(text);
            assert!(problem.starts_with(words), "{text:?}: {problem}");
        }
    }

    #[test]
    fn a_token_in_the_file_is_refused_and_not_shown() {
        let problem = problem("token = \"vil_secret\"");
        assert!(problem.contains("token_file") && !problem.contains("vil_secret"), "{problem}");
    }

    #[test]
    fn a_token_file_holds_a_token_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.token");
        fs::write(&path, "vil_abc\n").unwrap();
        assert_eq!(read_token(&path).unwrap().expose_secret(), "vil_abc");
        for text in [&b""[..], b" \n", b"two words", b"\xff\xfe", b"a\0b"] {
            fs::write(&path, text).unwrap();
            let error = read_token(&path).unwrap_err().to_string();
            assert!(error.contains("agent.token") && !error.contains("two words"), "{error}");
        }
        assert!(matches!(read_token(&folder.path().join("none")), Err(ConfigError::Read { .. })));
    }
}
