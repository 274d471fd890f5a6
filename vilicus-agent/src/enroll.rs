//! How an agent gets its token: with an enrolment token, once.
//!
//! [`enroll`] asks the server; [`Enrolment`] writes what came of it. Those two files are the only thing that an
//! agent ever writes to disk. They are readable by their owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{Config, ConfigError};
use crate::own::OwnCheck;
use crate::transport::{Carrier, TransportError, announcement_body, failure_of};

/// What the server is told of a new agent.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Application {
    name: String,
    hostname: Option<String>,
    guid: Option<String>,
    tags: Vec<String>,
    checks: Vec<Value>,
}

impl Application {
    /// Applies under this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Applies under the name of this machine, with a new guid.
    pub fn of_this_host() -> Self {
        let hostname = crate::host::hostname();
        let name = hostname.clone().unwrap_or_else(|| "unnamed".to_owned());
        Self { hostname, guid: Some(uuid::Uuid::new_v4().to_string()), ..Self::new(name) }
    }

    /// Another name than that of the machine.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Tags, as `prod` or `os=linux`: they decide which templates and routes apply.
    pub fn tags(mut self, tags: impl IntoIterator<Item = String>) -> Self {
        self.tags = tags.into_iter().collect();
        self
    }

    /// The checks that the program brings itself.
    pub fn checks<'a>(mut self, checks: impl IntoIterator<Item = &'a OwnCheck>) -> Self {
        self.checks = checks.into_iter().map(|check| announcement_body(&check.announcement())).collect();
        self
    }

    fn body(&self) -> Value {
        let mut body = json!({"name": self.name, "tags": self.tags});
        let optional = [("hostname", &self.hostname), ("guid", &self.guid)];
        for (name, value) in optional {
            if let Some(value) = value {
                body[name] = value.clone().into();
            }
        }
        if !self.checks.is_empty() {
            body["checks"] = self.checks.clone().into();
        }
        body
    }
}

/// What a server gives to a new agent.
#[derive(Debug)]
#[non_exhaustive]
pub struct Enrolled {
    /// The name under which the agent is known.
    pub name: String,
    /// Its token. The server shows it this one time.
    pub token: SecretString,
    /// Whether the server takes it only when an admin has let the agent in.
    pub needs_approval: bool,
}

#[derive(Deserialize)]
struct WireEnrolled {
    #[serde(default)]
    agent: Value,
    token: String,
    #[serde(default)]
    needs_approval: bool,
}

/// Enrols an agent over `carrier` with an enrolment token.
///
/// # Errors
/// The server cannot be reached, or does not take the application: 401 for a bad enrolment token, 409 for a name
/// or guid that is enrolled already.
pub async fn enroll(
    carrier: &impl Carrier,
    enroll_token: &SecretString,
    application: &Application,
) -> Result<Enrolled, EnrollError> {
    let request = request(enroll_token, application)?;
    let unreachable = |source| TransportError::Unreachable { server: carrier.server().to_owned(), source };
    let response = carrier.carry(request).await.map_err(unreachable)?;
    match failure_of(&response) {
        None => {}
        Some(TransportError::Unauthorized { detail, .. }) => return Err(EnrollError::Token { detail }),
        Some(TransportError::Refused { status: 409, detail }) => {
            return Err(EnrollError::Taken { name: application.name.clone(), detail });
        }
        Some(failure) => return Err(failure.into()),
    }
    let enrolled: WireEnrolled = serde_json::from_slice(response.body()).map_err(|_| {
        // What cannot be read may still hold the token: nothing of it is shown.
        TransportError::Protocol {
            server: carrier.server().to_owned(),
            detail: "it holds no agent and token".to_owned(),
        }
    })?;
    let name = enrolled.agent.get("name").and_then(Value::as_str).unwrap_or(&application.name).to_owned();
    Ok(Enrolled { name, token: enrolled.token.into(), needs_approval: enrolled.needs_approval })
}

fn request(enroll_token: &SecretString, application: &Application) -> Result<Request<Bytes>, EnrollError> {
    let bad = || EnrollError::Token { detail: "it holds a character that no token has".to_owned() };
    let mut authorization =
        HeaderValue::from_str(&format!("Bearer {}", enroll_token.expose_secret())).map_err(|_| bad())?;
    authorization.set_sensitive(true);
    Request::builder()
        .method(Method::POST)
        .uri("/api/v1/agent/enroll/")
        .header(AUTHORIZATION, authorization)
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/json")
        .body(application.body().to_string().into())
        .map_err(|_| bad())
}

/// The place for a new agent's files, made sure of before the server is asked, so that no token is given for nothing.
#[derive(Debug)]
pub struct Enrolment {
    config_path: PathBuf,
    token_path: PathBuf,
    /// The text of the configuration to write.
    text: String,
    /// Whether the configuration that was there names certificate authorities.
    has_ca_file: bool,
    token_file: File,
    draft: PathBuf,
}

impl Enrolment {
    /// Makes the place ready: the folder, and a file for the token that only its owner can read.
    ///
    /// A configuration that is there already is kept; it gains the keys `server` and `token_file` if it lacks them.
    ///
    /// # Errors
    /// Something cannot be written, the configuration is wrong, or the host is enrolled already and `overwrite` does
    /// not say that this is no matter.
    pub fn prepare(config_path: &Path, server: &str, overwrite: Overwrite) -> Result<Self, EnrollError> {
        let existing = match fs::read_to_string(config_path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => {
                return Err(ConfigError::Read { path: config_path.to_owned(), source }.into());
            }
        };
        let config = existing.as_deref().map(|text| Config::parse(text, config_path)).transpose()?;
        let config = config.unwrap_or_default();
        if config.server.as_ref().is_some_and(|known| known != server) {
            return Err(EnrollError::OtherServer { path: config_path.to_owned() });
        }
        let token_path = config.token_file.clone().unwrap_or_else(|| config_path.with_extension("token"));
        if overwrite == Overwrite::No && holds_something(&token_path) {
            return Err(EnrollError::Enrolled { path: token_path });
        }
        let text = with_server(existing.as_deref().unwrap_or_default(), &config, server, &token_path);
        make_folder(config_path)?;
        make_folder(&token_path)?;
        let draft = token_path.with_extension("token.new");
        let token_file = create_private(&draft)?;
        let has_ca_file = config.ca_file.is_some();
        Ok(Self { config_path: config_path.to_owned(), token_path, text, has_ca_file, token_file, draft })
    }

    /// Writes down the certificate authorities with which the server was asked, unless the configuration names some.
    #[must_use]
    pub fn ca_file(mut self, path: &Path) -> Self {
        if !self.has_ca_file {
            self.text.insert_str(0, &format!("ca_file = {}\n", quoted(&anywhere(path).to_string_lossy())));
        }
        self
    }

    /// Writes the token, then the configuration; returns the paths of both.
    ///
    /// # Errors
    /// Something cannot be written.
    pub fn complete(mut self, token: &SecretString) -> Result<(PathBuf, PathBuf), EnrollError> {
        let write = |path: &Path, source| EnrollError::Write { path: path.to_owned(), source };
        let line = SecretString::from(format!("{}\n", token.expose_secret()));
        self.token_file
            .write_all(line.expose_secret().as_bytes())
            .and_then(|()| self.token_file.sync_all())
            .and_then(|()| fs::rename(&self.draft, &self.token_path))
            .map_err(|source| write(&self.token_path, source))?;
        let draft = self.config_path.with_extension("toml.new");
        let mut file = create_private(&draft)?;
        file.write_all(self.text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&draft, &self.config_path))
            .map_err(|source| write(&self.config_path, source))?;
        Ok((self.config_path.clone(), self.token_path.clone()))
    }
}

impl Drop for Enrolment {
    /// Leaves no empty draft behind; after [`complete`](Self::complete) there is none.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.draft);
    }
}

/// Whether a token that is there already may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// It stays, and enrolling fails.
    No,
    /// It is replaced.
    Yes,
}

/// The text with the keys that it lacks, put first: what follows a table's head would belong to the table.
fn with_server(text: &str, config: &Config, server: &str, token_path: &Path) -> String {
    let mut head = String::new();
    if config.server.is_none() {
        head.push_str(&format!("server = {}\n", quoted(server)));
    }
    if config.token_file.is_none() {
        head.push_str(&format!("token_file = {}\n", quoted(&anywhere(token_path).to_string_lossy())));
    }
    head + text
}

fn quoted(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

/// The path so that it means the same wherever the agent is started.
fn anywhere(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn holds_something(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0)
}

fn make_folder(path: &Path) -> Result<(), EnrollError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Some(folder) = folder else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|source| EnrollError::Write { path: folder.to_owned(), source })
}

/// A new file that only its owner can read.
fn create_private(path: &Path) -> Result<File, EnrollError> {
    let write = |source| EnrollError::Write { path: path.to_owned(), source };
    // A draft that was left by an enrolment that was killed. What stands there is replaced, never followed.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(write(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(write)
}

/// An agent could not be enrolled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrollError {
    /// The server does not take the enrolment token.
    #[error("the server refuses the enrolment token: {detail}; make a new one there")]
    Token {
        /// The server's words.
        detail: String,
    },
    /// The name or guid is enrolled already.
    #[error("cannot enrol '{name}': {detail}")]
    Taken {
        /// The name.
        name: String,
        /// The server's words.
        detail: String,
    },
    /// This host has a token.
    #[error("{} holds a token already; run with --force to replace it", path.display())]
    Enrolled {
        /// Its file.
        path: PathBuf,
    },
    /// The configuration names another server.
    #[error("{} names another server; change it there first", path.display())]
    OtherServer {
        /// The file.
        path: PathBuf,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {}; run as the user who owns it, or give --config another place", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The configuration that is there cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server could not be asked, or did not answer as it should.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, overwrite: Overwrite) -> Result<(PathBuf, PathBuf), EnrollError> {
        let place = Enrolment::prepare(&folder.join("etc/agent.toml"), "https://x", overwrite)?;
        place.complete(&"vil_new".into())
    }

    #[test]
    fn both_files_are_written_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (config, token) = write(folder.path(), Overwrite::No).unwrap();
        let read = Config::read(&config).unwrap();
        assert_eq!((read.server.as_deref(), read.token_file), (Some("https://x"), Some(token.clone())));
        assert_eq!(fs::read_to_string(&token).unwrap(), "vil_new\n");
        #[cfg(unix)]
        for path in [&config, &token] {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
        assert_eq!(fs::read_dir(folder.path().join("etc")).unwrap().count(), 2, "drafts are left");
        assert!(matches!(write(folder.path(), Overwrite::No), Err(EnrollError::Enrolled { .. })));
        assert!(write(folder.path(), Overwrite::Yes).is_ok());
    }

    #[test]
    fn a_prepared_configuration_keeps_its_sections() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        let path = folder.path().join("etc/agent.toml");
        fs::write(&path, "[kinds]\ndeny = [\"log\"]\n").unwrap();
        write(folder.path(), Overwrite::No).unwrap();
        let config = Config::read(&path).unwrap();
        assert_eq!((config.server.as_deref(), config.kinds.deny.len()), (Some("https://x"), 1));
    }

    #[test]
    fn the_certificate_authorities_are_written_down_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        for (given, expected) in [("/etc/ca.pem", "/etc/ca.pem"), ("/etc/other.pem", "/etc/ca.pem")] {
            let place = Enrolment::prepare(&path, "https://x", Overwrite::Yes).unwrap();
            place.ca_file(Path::new(given)).complete(&"vil_new".into()).unwrap();
            assert_eq!(Config::read(&path).unwrap().ca_file.as_deref(), Some(Path::new(expected)));
        }
    }

    #[test]
    fn another_server_or_a_wrong_file_is_refused_before_anything_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        for (text, words) in [("server = \"https://y\"", "another server"), ("sevrer = 1", "did you mean")] {
            fs::write(&path, text).unwrap();
            let error = Enrolment::prepare(&path, "https://x", Overwrite::No).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn an_application_says_only_what_is_known() {
        let body = Application::new("web-1").tags(["prod".to_owned()]).body();
        assert_eq!(body, json!({"name": "web-1", "tags": ["prod"]}));
        assert!(Application::of_this_host().body()["guid"].is_string());
    }
}
