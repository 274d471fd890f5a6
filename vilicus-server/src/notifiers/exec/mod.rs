//! Runs a program on the server's own host for each message: JSON on its standard input, nothing else from outside.
//!
//! Whoever may write channels over the API must not be able to run programs on the server by it. So only programs
//! run that the server's own settings file lists, `[exec] allow = ["/usr/local/bin/page"]`; by default none. What
//! agents wrote is never an argument nor in the environment.
//!
//! *Source of the exit codes:* sysexits.h, <https://man.openbsd.org/sysexits>, and for 126 and 127
//! <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_08_02>.

mod child;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use vilicus_core::{Notification, Notifier, NotifierKind, NotifyError, ParamsError, Receipt, async_trait};

use super::seconds::Seconds;
use super::webhook;
use super::wording::foreign;
use child::{Ending, Ran};

/// The seconds that a program may take: at most so many that the dispatcher does not end the try before us.
const DEFAULT_TIMEOUT: u64 = 30;
const MAX_TIMEOUT: u64 = 40;

/// The most arguments, and the bytes of one.
const MAX_ARGS: usize = 100;
const MAX_ARG: usize = 4096;

/// Permission bits: everybody may write; only owners may exchange what is in the folder.
const WRITABLE_BY_ALL: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Parameters of a program.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ExecParams {
    /// The program's absolute path; the server's own settings must allow it.
    pub program: PathBuf,
    /// Its arguments, the same for every message.
    #[serde(default)]
    pub args: Vec<String>,
    /// The time that it may take: 30 s unless given, at most 40 s.
    pub timeout: Option<Seconds>,
}

/// The kind of notifier that runs programs.
#[derive(Debug, Clone, Default)]
pub struct Exec {
    allowed: BTreeSet<PathBuf>,
}

impl Exec {
    /// Runs these programs and no others.
    #[must_use]
    pub fn allowing(programs: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { allowed: programs.into_iter().collect() }
    }
}

impl NotifierKind for Exec {
    type Params = ExecParams;

    fn name(&self) -> &'static str {
        "exec"
    }

    fn description(&self) -> &'static str {
        "Runs a program that the server's own settings allow, with the message as JSON on its standard input."
    }

    fn secrets(&self) -> &'static [&'static str] {
        &[]
    }

    fn build(&self, params: ExecParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        let ExecParams { program, args, timeout } = params;
        if !program.is_absolute() {
            return Err(ParamsError::new(
                "program",
                "program: the path must be absolute, as /usr/local/bin/page",
            ));
        }
        if !self.allowed.contains(&program) {
            let mend =
                "program: not allowed by the server's own settings; name it there: [exec] allow = [\"…\"]";
            return Err(ParamsError::new("program", mend));
        }
        check_args(&args)?;
        let timeout = timeout.map_or(DEFAULT_TIMEOUT, Seconds::get);
        if !(1..=MAX_TIMEOUT).contains(&timeout) {
            return Err(ParamsError::new("timeout", format!("timeout: from 1s to {MAX_TIMEOUT}s")));
        }
        Ok(Arc::new(ExecNotifier { program, args, timeout: Duration::from_secs(timeout) }))
    }
}

fn check_args(args: &[String]) -> Result<(), ParamsError> {
    if args.len() > MAX_ARGS {
        return Err(ParamsError::new("args", format!("args: at most {MAX_ARGS}")));
    }
    match args.iter().position(|arg| arg.contains('\0') || arg.len() > MAX_ARG) {
        None => Ok(()),
        Some(index) => Err(ParamsError {
            pointer: format!("/args/{index}"),
            detail: format!("args: an argument has at most {MAX_ARG} bytes, and none of them is 0"),
        }),
    }
}

/// A channel of this kind.
#[derive(Debug)]
struct ExecNotifier {
    program: PathBuf,
    args: Vec<String>,
    timeout: Duration,
}

#[async_trait]
impl Notifier for ExecNotifier {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        inspect(&self.program).map_err(NotifyError::channel)?;
        let body = webhook::body(notification)?;
        let ran = child::run(&self.program, &self.args, &body, self.timeout).await;
        judge(ran.map_err(|error| {
            NotifyError::channel("the program can't be run; see that it is there and executable")
                .source(error)
        })?)
    }
}

fn judge(ran: Ran) -> Result<Receipt, NotifyError> {
    let words = foreign(&ran.said);
    let separator = if words.is_empty() { "" } else { ": " };
    let code = match ran.ending {
        Ending::Exited(code) => code,
        Ending::Killed(signal) => {
            return Err(NotifyError::retry(format!(
                "the program was ended by signal {signal}{separator}{words}"
            )));
        }
        Ending::TimedOut => {
            return Err(NotifyError::retry(format!(
                "the program took too long and was ended{separator}{words}"
            )));
        }
    };
    let said = format!("the program ended with {code}{separator}{words}");
    match code {
        0 => Ok(Receipt::new(said)),
        // EX_UNAVAILABLE, EX_TEMPFAIL.
        69 | 75 => Err(NotifyError::retry(said)),
        // EX_NOPERM, EX_CONFIG, not executable, not found.
        77 | 78 | 126 | 127 => Err(NotifyError::channel(said)),
        _ => Err(NotifyError::message(said)),
    }
}

/// Refuses a program that everybody could exchange for another one: writable itself, or in a folder that is. A
/// sticky folder (as `/tmp`) above the program's own is fine.
fn inspect(program: &Path) -> Result<(), String> {
    // One that is not there is refused in better words when it is run.
    let Ok(real) = fs::canonicalize(program) else { return Ok(()) };
    for path in real.ancestors().chain(program.ancestors().skip(1)) {
        let mode = fs::metadata(path).map_or(0, |metadata| metadata.mode());
        let around = Some(path) == real.parent() || path == real;
        if mode & WRITABLE_BY_ALL != 0 && (around || mode & STICKY == 0) {
            let path = path.display();
            return Err(format!("not run: everybody can write {path}; take that away with chmod o-w"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use vilicus_core::notifier::NotifyFault;

    #[test]
    fn only_what_the_settings_allow_is_built() {
        let kind = Exec::allowing([PathBuf::from("/usr/local/bin/page")]);
        let build = |program: &str, args: &[&str], timeout: Option<&str>| {
            let args = args.iter().map(|&arg| arg.to_owned()).collect();
            let timeout = timeout.map(|text| serde_json::from_value(text.into()).unwrap());
            kind.build(ExecParams { program: program.into(), args, timeout })
                .map(|_| ())
                .map_err(|e| e.pointer)
        };
        for (program, args, timeout, expected) in [
            ("/usr/local/bin/page", &["a b", "--"][..], Some("40s"), Ok(())),
            ("page", &[], None, Err("/program")),
            ("/usr/local/bin/../bin/page", &[], None, Err("/program")),
            ("/bin/sh", &[], None, Err("/program")),
            ("/usr/local/bin/page", &["a\0b"], None, Err("/args/0")),
            ("/usr/local/bin/page", &[], Some("41s"), Err("/timeout")),
            ("/usr/local/bin/page", &[], Some("0s"), Err("/timeout")),
        ] {
            assert_eq!(build(program, args, timeout), expected.map_err(str::to_owned), "{program} {args:?}");
        }
        let params = ExecParams { program: "/usr/local/bin/page".into(), args: Vec::new(), timeout: None };
        assert!(Exec::default().build(params).is_err(), "by default none is allowed");
    }

    #[test]
    fn each_exit_code_says_what_to_do_next() {
        use NotifyFault::{Channel, Message, Retry};
        for (ending, fault) in [
            (Ending::Exited(0), None),
            (Ending::Exited(1), Some(Message)),
            (Ending::Exited(65), Some(Message)),
            (Ending::Exited(69), Some(Retry)),
            (Ending::Exited(75), Some(Retry)),
            (Ending::Exited(77), Some(Channel)),
            (Ending::Exited(78), Some(Channel)),
            (Ending::Exited(126), Some(Channel)),
            (Ending::Exited(127), Some(Channel)),
            (Ending::Killed(9), Some(Retry)),
            (Ending::TimedOut, Some(Retry)),
        ] {
            let shown = format!("{ending:?}");
            let judged = judge(Ran { ending, said: "a\u{1b}\nb".to_owned() });
            assert_eq!(judged.as_ref().err().map(NotifyError::fault), fault, "{shown}");
            let words = judged.map_or_else(|error| error.to_string(), |receipt| receipt.detail);
            assert!(words.ends_with(": a  b"), "{words}");
        }
    }

    #[test]
    fn a_program_that_everybody_can_exchange_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("bin");
        let program = inner.join("page");
        fs::create_dir(&inner).unwrap();
        fs::write(&program, "").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        for (outer_mode, inner_mode, mode, fine) in [
            (0o755, 0o755, 0o755, true),
            (0o1777, 0o755, 0o755, true),
            (0o777, 0o755, 0o755, false),
            (0o755, 0o1777, 0o755, false),
            (0o755, 0o755, 0o757, false),
        ] {
            set(&program, mode);
            set(&inner, inner_mode);
            set(folder.path(), outer_mode);
            assert_eq!(inspect(&program).is_ok(), fine, "{outer_mode:o} {inner_mode:o} {mode:o}");
        }
    }
}
