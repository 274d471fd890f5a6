//! `import nagios DIR`: a configuration of ours, made of one of Nagios, and a report of what could not be taken over.
//!
//! `objects` reads the files and what their templates say, `matching` which names a list means, `command` makes a command line of a command and its
//! arguments, `period` a schedule of a time period, `translate` the configuration of it all.

mod command;
mod matching;
mod objects;
mod period;
mod translate;

use std::path::PathBuf;

use self::objects::Objects;
use self::translate::Translation;
use crate::exit::Failure;
use crate::print;

/// Prints the configuration; says on standard error what is left out.
pub(crate) fn nagios(directories: &[PathBuf], smtp: &str, from: &str) -> Result<(), Failure> {
    let objects = Objects::read(directories)?;
    let translation = Translation::of(&objects, smtp, from);
    let text = toml::to_string(&translation.configuration)
        .map_err(|error| Failure::because("cannot write the configuration as TOML", &error))?;
    let names: Vec<String> = directories.iter().map(|directory| directory.display().to_string()).collect();
    print::write(&format!("# Made of {} by vilicusctl import nagios.\n\n{text}", names.join(" and ")))?;
    for line in &translation.report {
        eprintln(line);
    }
    eprintln(&translation.summary());
    Ok(())
}

/// The report must not stand in the configuration.
fn eprintln(line: &str) {
    use std::io::Write as _;
    // Whoever closed standard error does not want the report.
    let _ = writeln!(std::io::stderr(), "{line}");
}
