//! Reads configurations from files and folders, and fetches the secrets that they name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::document::{self, Document, Format, Misreading, Place};
use super::fault::{Fault, Faults};
use super::{Configuration, Part, TABLES, secrets};
use crate::settings::Environment;

/// The largest file, in bytes.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Reads these files, and of folders every `*.toml`, `*.yaml` and `*.yml` in the order of their names. Together they
/// are one configuration; what each manages is marked with the path as given here, made absolute.
///
/// # Errors
/// Every file that can't be read, every mistake in the form of a text, and every secret that can't be had.
pub fn read(paths: &[PathBuf], environment: &Environment<'_>) -> Result<Configuration, Faults> {
    let (mut parts, mut faults) = (Vec::new(), Faults::default());
    for path in paths {
        let manager: Arc<str> =
            std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string().into();
        match files_of(path) {
            Ok(files) => {
                for file in files {
                    read_file(&file, &manager, environment, &mut parts, &mut faults);
                }
            }
            Err(detail) => faults.add(Fault::of_file(&path.display().to_string().into(), detail)),
        }
    }
    faults.or(Configuration { parts })
}

/// Whether this is a configuration, or a folder of them, and not a settings file: its content says so, by a table that
/// only a configuration has.
#[must_use]
pub fn is_configuration(path: &Path) -> bool {
    let is_toml = Format::of_path(path).is_none_or(|format| format == Format::Toml);
    if path.is_dir() || !is_toml {
        return true;
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    document::top_of_toml(&text).iter().any(|(name, is_list)| TABLES.contains(&name.as_str()) || *is_list)
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let hidden = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && Format::of_path(&file).is_some() && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() { Err("holds no *.toml, *.yaml or *.yml".to_owned()) } else { Ok(files) }
}

fn read_file(
    path: &Path,
    manager: &Arc<str>,
    environment: &Environment<'_>,
    parts: &mut Vec<Arc<Part>>,
    faults: &mut Faults,
) {
    let file: Arc<str> = path.display().to_string().into();
    let (documents, misreadings) = match text_of(path) {
        Ok((text, format)) => Document::read(&text, format),
        Err(misreading) => (Vec::new(), vec![misreading]),
    };
    for misreading in misreadings {
        faults.add(Fault::of_misreading(Some(&file), misreading));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    for document in documents {
        let mut part = Part { file: Some(Arc::clone(&file)), ..Part::new(Arc::clone(manager), document) };
        fetch_secrets(&mut part, folder, environment, faults);
        parts.push(Arc::new(part));
    }
}

/// The text of a file, and its form.
fn text_of(path: &Path) -> Result<(String, Format), Misreading> {
    let whole = |detail: String| Misreading { place: None, detail };
    let format = Format::of_path(path);
    let format = format.ok_or_else(|| whole("its name must end with .toml, .yaml or .yml".to_owned()))?;
    let unreadable = |error: io::Error| whole(format!("cannot be read: {error}"));
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_FILE {
        return Err(whole("is larger than 4 MiB; write several files".to_owned()));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok((text, format)),
        Err(error) => {
            Err(Misreading { place: Some(end_of(&error)), detail: "is not UTF-8 from here on".to_owned() })
        }
    }
}

/// The place up to which a text is UTF-8.
fn end_of(error: &std::string::FromUtf8Error) -> Place {
    let fine = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let last = fine.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = fine.iter().filter(|byte| **byte == b'\n').count() + 1;
    Place { line, column: String::from_utf8_lossy(last).chars().count() + 1 }
}

/// Puts secrets in the place of what names them.
fn fetch_secrets(part: &mut Part, folder: &Path, environment: &Environment<'_>, faults: &mut Faults) {
    let Part { file, document, secrets: fetched, .. } = part;
    let mut wrong = Vec::new();
    secrets::each(
        document.fields_mut(),
        &mut |found| match secrets::fetch(&found.source, folder, environment) {
            Ok(secret) => {
                fetched.insert(found.pointer, secrets::describe(&found.source));
                *found.value = Value::String(secret);
            }
            Err(detail) => wrong.push((found.pointer, detail)),
        },
    );
    for (pointer, detail) in wrong {
        let misreading = Misreading { place: document.place_of(&pointer), detail };
        faults.add(Fault::of_misreading(file.as_ref(), misreading));
    }
}
