//! Finds the settings file, the environment's secrets, and the data directory.

use std::path::{Path, PathBuf};

use vilicus_core::result::error_chain;
use vilicus_server::Settings;
use vilicus_server::settings::{self, Layer, SecretSource, StoreUrl};

use crate::args::DataArgs;
use crate::exit::Failure;

/// Where the settings file is looked for when none is named.
const USUAL: &str = "/etc/vilicus/server.toml";

/// Reads the settings file: the named one, or the usual one if it is there.
pub(crate) fn layer(named: Option<&Path>) -> Result<Layer, Failure> {
    let path = match named {
        Some(path) => path,
        None if Path::new(USUAL).exists() => Path::new(USUAL),
        None => return Ok(Layer::default()),
    };
    settings::read_file(path).map_err(|error| Failure::config(error_chain(&error)))
}

/// Puts what was said over the file and judges the whole.
pub(crate) fn resolve(mut said: Layer, file: Layer) -> Result<Settings, Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    let secret = |name| SecretSource::from_environment(name, &environment);
    said.admin_token = secret("VILICUS_ADMIN_TOKEN");
    said.enroll_token = secret("VILICUS_ENROLL_TOKEN");
    said.metrics_token = secret("VILICUS_METRICS_TOKEN");
    said.heartbeat_url = secret("VILICUS_HEARTBEAT_URL");
    Settings::resolve(said, file, &environment).map_err(|error| Failure::config(error_chain(&error)))
}

/// The settings of a command that only needs to find the store.
pub(crate) fn settings(data: &DataArgs) -> Result<Settings, Failure> {
    let said = Layer { store: data.store.clone(), ..Layer::default() };
    resolve(said, layer(data.config.as_deref())?)
}

/// The data directory, when there is one.
pub(crate) fn data_dir(store: &StoreUrl) -> Option<PathBuf> {
    match store {
        StoreUrl::Sled(dir) => Some(dir.clone()),
        StoreUrl::Memory => None,
    }
}
