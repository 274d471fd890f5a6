//! Flag, else environment, else file: where the server is, who we are, and which kinds this host takes.

use std::env;
use std::path::PathBuf;

use secrecy::SecretString;
use vilicus_agent::HttpOptions;
use vilicus_agent::checks::{CommandPolicy, CommandPolicyError, StockOptions, stock_kinds};
use vilicus_agent::config::{Config, read_token};
use vilicus_core::KindRegistry;

use crate::Failure;
use crate::args::ServerOptions;

/// Where the token comes from.
#[derive(Debug)]
pub(crate) enum TokenSource {
    /// The variable `VILICUS_TOKEN`.
    Environment(SecretString),
    /// A file.
    File(PathBuf),
}

impl TokenSource {
    /// The token.
    pub(crate) fn token(&self) -> Result<SecretString, Failure> {
        match self {
            Self::Environment(token) => Ok(token.clone()),
            Self::File(path) => Ok(read_token(path)?),
        }
    }
}

/// The address of the server.
pub(crate) fn server(options: &ServerOptions, config: &Config) -> Result<String, Failure> {
    let given = options.server.clone().filter(|server| !server.is_empty());
    given.or_else(|| config.server.clone()).ok_or_else(|| {
        Failure::Usage(
            "no server is given: use --server, VILICUS_SERVER or the file, or enrol this host".to_owned(),
        )
    })
}

/// Where the token comes from.
pub(crate) fn token_source(options: &ServerOptions, config: &Config) -> Result<TokenSource, Failure> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = &options.token_file {
        return Ok(TokenSource::File(path.clone()));
    }
    if let Some(token) = variable("VILICUS_TOKEN") {
        let token =
            token.into_string().map_err(|_| Failure::Usage("VILICUS_TOKEN is not text".to_owned()))?;
        return Ok(TokenSource::Environment(token.trim().into()));
    }
    let path = variable("VILICUS_TOKEN_FILE").map(PathBuf::from).or_else(|| config.token_file.clone());
    path.map(TokenSource::File).ok_or_else(|| {
        Failure::Usage("no token is given: enrol this host, or use --token-file or VILICUS_TOKEN".to_owned())
    })
}

/// How to reach the server.
pub(crate) fn http_options(ca_file: Option<&PathBuf>, config: &Config) -> HttpOptions {
    let mut options = HttpOptions::default();
    options.ca_file = ca_file.cloned().or_else(|| config.ca_file.clone());
    options
}

/// The stock kinds, told what this host allows.
pub(crate) fn kinds(config: &Config) -> Result<KindRegistry, CommandPolicyError> {
    let section = &config.command;
    let command = CommandPolicy::new(&section.allow, section.user.as_deref(), &section.env)?;
    Ok(stock_kinds(StockOptions { command, ..StockOptions::default() }))
}
