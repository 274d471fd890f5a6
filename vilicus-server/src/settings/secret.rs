//! Secrets in settings: a value, the name of an environment variable, or the path of a file.

use std::fmt;
use std::io;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};

/// Looks up an environment variable; handed in, for a library reads no environment.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A secret; its `Debug` does not show it.
#[derive(Clone)]
pub struct ServerSecret(SecretString);

impl<'de> Deserialize<'de> for ServerSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl ServerSecret {
    /// The text. Look where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The secret with this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }
}

impl fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret is.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a text, { env = \"NAME\" } or { file = \"PATH\" }")]
pub enum SecretSource {
    /// Here.
    Value(ServerSecret),
    /// In an environment variable.
    Env {
        /// Its name.
        env: String,
    },
    /// In a file; white space around it does not count.
    File {
        /// Its path.
        file: PathBuf,
    },
}

/// A secret could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The variable is not set.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// The file can't be read.
    #[error("cannot read the file {path}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl SecretSource {
    /// Fetches the secret.
    ///
    /// # Errors
    /// The variable is not set, or the file can't be read.
    pub fn read(&self, environment: &Environment<'_>) -> Result<ServerSecret, SecretError> {
        match self {
            Self::Value(secret) => Ok(secret.clone()),
            Self::Env { env } => {
                environment(env).map(ServerSecret::new).ok_or_else(|| SecretError::NotSet(env.clone()))
            }
            Self::File { file } => match std::fs::read_to_string(file) {
                Ok(text) => Ok(ServerSecret::new(text.trim())),
                Err(source) => Err(SecretError::File { path: file.clone(), source }),
            },
        }
    }

    /// The secret that the variable `NAME` holds, or the file that `NAME_FILE` names, if either is set and not empty.
    #[must_use]
    pub fn from_environment(name: &str, environment: &Environment<'_>) -> Option<Self> {
        let set = |name: &str| environment(name).filter(|text| !text.is_empty());
        let value = set(name).map(|text| Self::Value(ServerSecret::new(text)));
        value.or_else(|| set(&format!("{name}_FILE")).map(|path| Self::File { file: path.into() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_may_name_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from-file\n").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let environment: &Environment<'_> = &|name| match name {
            "A" => Some("direct".to_owned()),
            "A_FILE" | "B_FILE" => Some(path.clone()),
            "C" => Some(String::new()),
            _ => None,
        };
        let read = |name| {
            SecretSource::from_environment(name, environment)
                .map(|source| source.read(environment).unwrap().expose().to_owned())
        };
        assert_eq!(read("A").as_deref(), Some("direct"));
        assert_eq!(read("B").as_deref(), Some("from-file"));
        assert_eq!(read("C"), None);
        assert_eq!(read("D"), None);
    }
}
