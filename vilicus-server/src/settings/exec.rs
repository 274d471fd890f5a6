//! Which programs channels may run on the server's own host.
//!
//! Deliberately absent: a flag and an environment variable. Whoever may write channels over the API must not be able
//! to run programs, so the list is in a file that only the host's own administrator writes.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::SettingsError;

/// What one source says of programs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecLayer {
    /// The whole paths of the programs that may run; none unless given.
    pub allow: Option<Vec<PathBuf>>,
}

/// The list of the strongest layer that has one.
pub(super) fn resolve(strong: ExecLayer, weak: ExecLayer) -> Result<Vec<PathBuf>, SettingsError> {
    let allow = strong.allow.or(weak.allow).unwrap_or_default();
    match allow.iter().find(|path| !is_whole(path)) {
        None => Ok(allow),
        Some(path) => Err(SettingsError::ExecPath(path.clone())),
    }
}

/// Whether the path names one program and no other by any detour.
fn is_whole(path: &Path) -> bool {
    path.is_absolute()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_paths_are_allowed() {
        let layer = |paths: &[&str]| ExecLayer { allow: Some(paths.iter().map(PathBuf::from).collect()) };
        for (paths, fine) in [
            (&["/usr/local/bin/page", "/bin/x"][..], true),
            (&[], true),
            (&["page"], false),
            (&["/usr/../bin/x"], false),
            (&["./x"], false),
            (&[""], false),
        ] {
            assert_eq!(resolve(ExecLayer::default(), layer(paths)).is_ok(), fine, "{paths:?}");
        }
        assert_eq!(resolve(layer(&[]), layer(&["/bin/x"])).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(resolve(ExecLayer::default(), ExecLayer::default()).unwrap(), Vec::<PathBuf>::new());
    }
}
