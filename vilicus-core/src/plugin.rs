//! What a monitoring plugin says: the text it prints and the way it ends.
//!
//! The agent's `command` kind reads plugins with this, and `vilicus-agent check` speaks as one. Nothing here
//! runs a program.
//!
//! *Source:* <https://www.monitoring-plugins.org/doc/guidelines.html#PLUGOUTPUT>.

use std::fmt;

use crate::metric::Metric;
use crate::perfdata::{self, BadItem};
use crate::result::CheckResult;
use crate::status::Status;

/// What stands in the place of an output that is empty.
pub const NO_OUTPUT: &str = "(no output)";

/// So many unreadable perfdata items are shown; a text full of them says nothing more.
const SHOWN_PROBLEMS: usize = 5;

/// The output of a plugin, taken apart: `text | perfdata`, then long text, then more perfdata after another `|`.
///
/// ```
/// use vilicus_core::plugin::PluginOutput;
/// let output = PluginOutput::parse("DISK OK - 80 % free | /=12MB;;;0\nall is well\n");
/// assert_eq!(output.output, "DISK OK - 80 % free");
/// assert_eq!(output.metrics[0].value, 12_000_000.0);
/// assert_eq!(output.long_output, "all is well");
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PluginOutput {
    /// The first line, without perfdata; [`NO_OUTPUT`] when it is empty.
    pub output: String,
    /// The further lines for people.
    pub long_output: String,
    /// What was measured.
    pub metrics: Vec<Metric>,
    /// The perfdata items that could not be read.
    pub problems: Vec<BadItem>,
}

impl PluginOutput {
    /// Takes a plugin's standard output apart. Any text is some output.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut lines = text.trim_start_matches(['\r', '\n']).lines();
        let (output, first_perfdata) = split_pipe(lines.next().unwrap_or_default());
        let mut perfdata = first_perfdata.unwrap_or_default().to_owned();
        let mut long = Vec::new();
        for line in lines.by_ref() {
            let (text, more) = split_pipe(line);
            long.push(text.trim_end());
            if let Some(more) = more {
                perfdata.push('\n');
                perfdata.push_str(more);
                break;
            }
        }
        for line in lines {
            perfdata.push('\n');
            perfdata.push_str(line);
        }
        let (metrics, problems) = perfdata::parse(&perfdata);
        let output = Some(output.trim()).filter(|text| !text.is_empty()).unwrap_or(NO_OUTPUT);
        Self {
            output: output.to_owned(),
            long_output: long.join("\n").trim_end().to_owned(),
            metrics,
            problems,
        }
    }

    /// The result that this output means when the program ended so. Unreadable perfdata is told in the long text.
    #[must_use]
    pub fn into_result(self, exit: &Exit) -> CheckResult {
        let output = match exit.remark() {
            None => self.output,
            Some(remark) if self.output == NO_OUTPUT => remark,
            Some(remark) => format!("{remark}: {}", self.output),
        };
        let mut long = vec![self.long_output];
        long.extend(
            self.problems.iter().take(SHOWN_PROBLEMS).map(|bad| format!("unreadable perfdata: {bad}")),
        );
        if let Some(more) = self.problems.len().checked_sub(SHOWN_PROBLEMS).filter(|more| *more > 0) {
            long.push(format!("and {more} more unreadable items"));
        }
        long.retain(|line| !line.is_empty());
        CheckResult {
            metrics: self.metrics,
            exit_code: exit.code(),
            ..CheckResult::new(exit.status(), output)
        }
        .long_output(long.join("\n"))
    }
}

fn split_pipe(line: &str) -> (&str, Option<&str>) {
    line.split_once('|').map_or((line, None), |(text, perfdata)| (text, Some(perfdata)))
}

impl From<&CheckResult> for PluginOutput {
    fn from(result: &CheckResult) -> Self {
        Self {
            output: result.output.clone(),
            long_output: result.long_output.clone(),
            metrics: result.metrics.clone(),
            problems: Vec::new(),
        }
    }
}

impl fmt::Display for PluginOutput {
    /// Prints it as a plugin does. A `|` in a text would begin perfdata, so it is printed as `¦`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines =
            self.output.lines().chain(self.long_output.lines()).map(|line| line.replace('|', "¦"));
        f.write_str(&lines.next().unwrap_or_else(|| NO_OUTPUT.to_owned()))?;
        if !self.metrics.is_empty() {
            // A line break within a label would end the perfdata.
            write!(f, " | {}", perfdata::print(&self.metrics).replace(['\n', '\r'], " "))?;
        }
        lines.try_for_each(|line| write!(f, "\n{line}"))
    }
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// Killed by the signal of this number.
    Signal(i32),
    /// It never began, for this reason.
    NotExecutable(String),
}

impl Exit {
    /// The status: exit codes 0 to 3 are the four statuses; everything else is UNKNOWN.
    #[must_use]
    pub fn status(&self) -> Status {
        let code = self.code().and_then(|code| u64::try_from(code).ok());
        code.and_then(Status::from_code).unwrap_or(Status::Unknown)
    }

    /// The exit code, if there is one.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(*code),
            Self::Signal(_) | Self::NotExecutable(_) => None,
        }
    }

    /// What must be said about an end that is not one of the four statuses.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        match self {
            Self::Code(0..=3) => None,
            Self::Code(code) => Some(format!("exit code {code} (a plugin's is 0 to 3)")),
            Self::Signal(signal) => Some(match signal_name(*signal) {
                Some(name) => format!("killed by signal {signal} ({name})"),
                None => format!("killed by signal {signal}"),
            }),
            Self::NotExecutable(reason) => Some(format!("not executable: {reason}")),
        }
    }
}

/// The names of those signals that have the same number on every Unix.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_long_text_and_perfdata_are_told_apart() {
        for (text, output, long, names) in [
            ("", NO_OUTPUT, "", vec![]),
            ("\n\n", NO_OUTPUT, "", vec![]),
            ("OK\n", "OK", "", vec![]),
            ("OK | a=1 b=2", "OK", "", vec!["a", "b"]),
            ("|a=1", NO_OUTPUT, "", vec!["a"]),
            ("OK\r\nmore\r\n", "OK", "more", vec![]),
            ("OK | a=1\none\ntwo | b=2\nc=3\n'd |'=4", "OK", "one\ntwo", vec!["a", "b", "c", "d |"]),
            ("OK\n|a=1\n\nb=2", "OK", "", vec!["a", "b"]),
        ] {
            let read = PluginOutput::parse(text);
            assert_eq!((read.output.as_str(), read.long_output.as_str()), (output, long), "{text:?}");
            assert_eq!(read.metrics.iter().map(|metric| metric.name.as_str()).collect::<Vec<_>>(), names);
        }
    }

    #[test]
    fn the_four_exit_codes_are_the_statuses_and_anything_else_is_unknown() {
        for (exit, status, text) in [
            (Exit::Code(0), Status::Ok, "said"),
            (Exit::Code(1), Status::Warning, "said"),
            (Exit::Code(2), Status::Critical, "said"),
            (Exit::Code(3), Status::Unknown, "said"),
            (Exit::Code(4), Status::Unknown, "exit code 4 (a plugin's is 0 to 3): said"),
            (Exit::Code(-1), Status::Unknown, "exit code -1 (a plugin's is 0 to 3): said"),
            (Exit::Signal(9), Status::Unknown, "killed by signal 9 (SIGKILL): said"),
            (Exit::Signal(40), Status::Unknown, "killed by signal 40: said"),
        ] {
            let result = PluginOutput::parse("said").into_result(&exit);
            assert_eq!((result.status, result.output.as_str()), (Some(status), text));
            assert_eq!(result.exit_code, exit.code());
        }
        let result = PluginOutput::parse("").into_result(&Exit::NotExecutable("no such file".into()));
        assert_eq!(result.output, "not executable: no such file");
    }

    #[test]
    fn unreadable_perfdata_is_told_in_the_long_text() {
        let result = PluginOutput::parse("OK|a=1 b=x").into_result(&Exit::Code(0));
        assert_eq!(result.metrics.len(), 1);
        assert_eq!(result.long_output, "unreadable perfdata: b=x: the value is not a number");
        let many =
            PluginOutput::parse(&format!("OK\nmore|{}", "x ".repeat(10_000))).into_result(&Exit::Code(0));
        assert!(many.long_output.starts_with("more\nunreadable perfdata: x: no '=' in it\n"));
        assert!(many.long_output.ends_with("\nand 9995 more unreadable items"), "{}", many.long_output);
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_the_same(text in "\\PC{0,60}(\n\\PC{0,30}){0,3}") {
            let read = PluginOutput { problems: vec![], ..PluginOutput::parse(&text) };
            prop_assert_eq!(PluginOutput::parse(&read.to_string()), read, "{}", text);
        }
    }
}
