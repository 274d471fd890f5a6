//! `login`: keeps an address and a token for this user alone, once the server has taken them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::args::ServerArgs;
use crate::client::{Client, DEFAULT_URL};
use crate::exit::Failure;
use crate::print;

/// What is kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct Login {
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) ca_file: Option<PathBuf>,
}

/// Reads a token, tries it, and keeps it.
pub(crate) async fn run(server: &ServerArgs) -> Result<(), Failure> {
    let url = server.url.clone().unwrap_or_else(|| DEFAULT_URL.to_owned());
    if io::IsTerminal::is_terminal(&io::stdin()) {
        eprint!("token for {url} (vilicus-server token create --role admin): ");
    }
    let mut token = String::new();
    io::stdin().read_line(&mut token).map_err(|error| Failure::because("cannot read the token", &error))?;
    let login = Login { url, token: token.trim().to_owned(), ca_file: server.ca_file.clone() };
    Client::with(&login)?.get("/api/v1/check/?limit=1").await?;
    let path = keep(&login)?;
    print::write(&format!("logged in at {}; kept in {}\n", login.url, path.display()))
}

/// What an earlier `login` kept.
pub(crate) fn kept() -> Result<Option<Login>, Failure> {
    let Some(path) = path() else { return Ok(None) };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::because(&format!("cannot read {}", path.display()), &error)),
    };
    let broken = |error| Failure::because(&format!("{} is broken; log in again", path.display()), &error);
    toml::from_str(&text).map(Some).map_err(broken)
}

fn keep(login: &Login) -> Result<PathBuf, Failure> {
    let path = path().ok_or_else(|| Failure::new("HOME is not set: there is no place to keep the token"))?;
    let failed = |error: io::Error| Failure::because(&format!("cannot write {}", path.display()), &error);
    let text = toml::to_string(login).map_err(|error| Failure::because("cannot write the login", &error))?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // Written beside and moved: no other mode of an old file stays, and no half of a new one.
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    fs::rename(&new, &path).map_err(failed)?;
    Ok(path)
}

/// In the user's configuration folder (XDG Base Directory Specification).
fn path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(folder.join("vilicus/ctl.toml"))
}
