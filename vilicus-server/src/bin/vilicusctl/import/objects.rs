//! Nagios' object definitions: `define TYPE { name value … }`, with templates (`use`), additive values (`+`) and
//! comments.
//!
//! *Source:* <https://assets.nagios.com/downloads/nagioscore/docs/nagioscore/4/en/objectdefinitions.html> and
//! <https://assets.nagios.com/downloads/nagioscore/docs/nagioscore/4/en/objectinheritance.html>.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::matching::Matching;
use crate::exit::Failure;

/// So deep templates may use templates: deeper ones use themselves.
const DEEPEST: usize = 20;

/// One definition, with what its templates say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Object {
    /// `file:line` of its beginning.
    pub(super) place: String,
    /// `host`, `service`, …
    pub(super) kind: String,
    fields: BTreeMap<String, String>,
}

impl Object {
    /// A field; `null` takes a template's value away, as if it were not there.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str).filter(|value| *value != "null" && !value.is_empty())
    }

    /// A field that is a list.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let value = self.get(name).unwrap_or_default();
        value.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect()
    }

    /// All fields, by name.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether it stands for something, and is not only a template.
    fn is_registered(&self) -> bool {
        self.get("register") != Some("0")
    }

    #[cfg(test)]
    pub(super) fn of(kind: &str, fields: &[(&str, &str)]) -> Self {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { place: "test:1".to_owned(), kind: kind.to_owned(), fields }
    }
}

/// Everything that a folder defines.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) all: Vec<Object>,
    /// `$USER1$` and its like.
    pub(super) macros: BTreeMap<String, String>,
    /// `command[NAME]=LINE` of NRPE.
    pub(super) nrpe: BTreeMap<String, String>,
    /// What names in lists are.
    pub(super) matching: Matching,
    /// What is odd in the files themselves.
    pub(super) faults: Vec<String>,
}

impl Objects {
    /// Reads each `*.cfg` below these folders.
    pub(super) fn read(directories: &[PathBuf]) -> Result<Self, Failure> {
        let cannot = |path: &Path, error: &std::io::Error| {
            Failure::because(&format!("cannot read {}", path.display()), error)
        };
        let mut objects = Self::default();
        for directory in directories {
            let mut files = Vec::new();
            files_below(directory, &mut files).map_err(|error| cannot(directory, &error))?;
            files.sort();
            if files.is_empty() {
                return Err(Failure::new(format!("there is no *.cfg below {}", directory.display())));
            }
            for file in files {
                let text = fs::read(&file).map_err(|error| cannot(&file, &error))?;
                let name = file.strip_prefix(directory).unwrap_or(&file).display().to_string();
                objects.add(&name, &String::from_utf8_lossy(&text));
            }
        }
        objects.resolve();
        Ok(objects)
    }

    /// The definitions of a kind.
    pub(super) fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.all.iter().filter(move |object| object.kind == kind)
    }

    fn add(&mut self, file: &str, text: &str) {
        let mut open: Option<Object> = None;
        for (at, line) in joined(text) {
            let line = uncommented(&line);
            if line.is_empty() {
                continue;
            }
            match &mut open {
                None => match beginning(&line) {
                    Some(kind) => {
                        open = Some(Object { place: format!("{file}:{at}"), kind, ..Object::default() })
                    }
                    None => self.setting(&line),
                },
                Some(_) if line.starts_with('}') => self.all.extend(open.take()),
                Some(object) => {
                    let (name, value) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
                    object.fields.insert(name.to_lowercase(), value.trim().to_owned());
                }
            }
        }
        if let Some(object) = open {
            self.faults.push(format!("{}: this definition has no end", object.place));
        }
    }

    /// A line outside of definitions: a macro of a resource file, a command of NRPE, or a setting of the main file.
    fn setting(&mut self, line: &str) {
        let Some((name, value)) = line.split_once('=') else { return };
        let (name, value) = (name.trim(), value.trim());
        if name.starts_with("$USER") && name.ends_with('$') {
            self.macros.insert(name.to_owned(), value.to_owned());
        } else if name == "use_regexp_matching" {
            self.matching.is_regexp = value == "1";
        } else if name == "use_true_regexp_matching" {
            self.matching.is_true_regexp = value == "1";
        } else if let Some(command) = name.strip_prefix("command[").and_then(|name| name.strip_suffix(']')) {
            self.nrpe.insert(command.to_owned(), value.to_owned());
        }
    }

    /// Gives each object what its templates say, and leaves the templates away.
    fn resolve(&mut self) {
        let templates: BTreeMap<(String, String), Object> = self
            .all
            .iter()
            .filter_map(|object| {
                Some(((object.kind.clone(), object.get("name")?.to_owned()), object.clone()))
            })
            .collect();
        let mut faults = Vec::new();
        let whole: Vec<Object> = self
            .all
            .iter()
            .filter(|object| object.is_registered())
            .map(|object| inherited(object, &templates, DEEPEST, &mut faults))
            .collect();
        self.all = whole;
        self.faults.extend(faults);
    }
}

fn inherited(
    object: &Object,
    templates: &BTreeMap<(String, String), Object>,
    depth: usize,
    faults: &mut Vec<String>,
) -> Object {
    let mut whole = object.clone();
    for name in object.list("use") {
        let Some(template) = templates.get(&(object.kind.clone(), name.to_owned())) else {
            faults.push(format!("{}: there is no {} template '{name}'", object.place, object.kind));
            continue;
        };
        if depth == 0 {
            faults.push(format!("{}: the template '{name}' uses itself", object.place));
            return whole;
        }
        let template = inherited(template, templates, depth - 1, faults);
        for (field, value) in template.fields {
            // What a template is called and whether it is one is its own.
            if matches!(field.as_str(), "name" | "register" | "use") {
                continue;
            }
            match whole.fields.get_mut(&field) {
                None => drop(whole.fields.insert(field, value)),
                Some(own) if own.starts_with('+') => {
                    // It adds to what its first template says, which may add itself.
                    let added = own.trim_start_matches('+').to_owned();
                    let plus = if value.starts_with('+') { "+" } else { "" };
                    *own = format!("{plus}{},{added}", value.trim_start_matches('+'));
                }
                Some(_) => {}
            }
        }
    }
    for value in whole.fields.values_mut() {
        if depth == DEEPEST && value.starts_with('+') {
            *value = value.trim_start_matches('+').to_owned();
        }
    }
    whole
}

fn files_below(directory: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        // Links are not followed: they may lead round.
        if kind.is_dir() {
            files_below(&path, files)?;
        } else if kind.is_file() && path.extension().is_some_and(|ending| ending == "cfg") {
            files.push(path);
        }
    }
    Ok(())
}

/// The lines with their numbers; one that ends with a backslash goes on.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (at, line) in text.lines().enumerate() {
        let (line, more) = match line.strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, false),
        };
        match lines.last_mut() {
            Some((_, last)) if goes_on => last.push_str(line.trim_start()),
            _ => lines.push((at + 1, line.to_owned())),
        }
        goes_on = more;
    }
    lines
}

/// Without what stands after `;`, and nothing when it begins with `#`. `\;` is a semicolon.
fn uncommented(line: &str) -> String {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return String::new();
    }
    let mut end = line.len();
    for (at, _) in line.match_indices(';') {
        if !line[..at].ends_with('\\') {
            end = at;
            break;
        }
    }
    line[..end].replace("\\;", ";").trim().to_owned()
}

/// The kind, of a line that begins a definition.
fn beginning(line: &str) -> Option<String> {
    let rest = line.strip_prefix("define")?;
    let kind = rest.trim().trim_end_matches('{').trim();
    (rest.starts_with(char::is_whitespace) && !kind.is_empty()).then(|| kind.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Objects {
        let mut objects = Objects::default();
        objects.add("a.cfg", text);
        objects.resolve();
        objects
    }

    #[test]
    fn definitions_inherit_from_their_templates() {
        let objects = read(
            "define host {\n  name base ; a template\n  check_interval 5\n  hostgroups all\n  register 0\n}\n\
             # a comment\n\
             define host{\n  use base\n  host_name web-1\n  hostgroups +web\n  notes a\\; b \\\n    c\n}\n",
        );
        assert_eq!(objects.all.len(), 1);
        let host = &objects.all[0];
        assert_eq!((host.place.as_str(), host.get("host_name")), ("a.cfg:8", Some("web-1")));
        assert_eq!(host.list("hostgroups"), ["all", "web"]);
        assert_eq!((host.get("check_interval"), host.get("notes")), (Some("5"), Some("a; b c")));
        assert_eq!(host.get("register"), None);
    }

    #[test]
    fn macros_and_commands_of_nrpe_are_read_and_faults_are_named() {
        let objects = read(
            "$USER1$=/usr/lib/nagios/plugins\ncommand[check_load]=/bin/check -w 5\ndefine host {\n use none\n}\ndefine service {",
        );
        assert_eq!(objects.macros["$USER1$"], "/usr/lib/nagios/plugins");
        assert_eq!(objects.nrpe["check_load"], "/bin/check -w 5");
        assert_eq!(objects.faults.len(), 2, "{:?}", objects.faults);
        let circle = read("define host {\n name a\n use a\n host_name h\n}");
        assert!(circle.faults[0].contains("uses itself"), "{:?}", circle.faults);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(define (host|service) ?\\{?|use [ab]|name [ab]|\\}|;|\\\\|\\+|\n| |[a-z])*") {
            read(&text);
        }
    }
}
