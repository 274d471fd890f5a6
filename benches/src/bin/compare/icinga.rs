//! Icinga 2, fed as Nagios is, through its command pipe. It writes its state down every few minutes, and notifies nobody.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::process::Command;

use vilicus_benches::Failure;
use vilicus_benches::spawn::Program;

use crate::command_pipe::{self, HOSTS, LAST};
use crate::table::Figures;
use crate::{CHECKS, Setting};

const NAME: &str = "icinga";

pub(crate) fn measure(setting: &Setting, figures: &mut Figures) -> Result<(), Failure> {
    let pipe = |folder: &Path| folder.join("icinga2.cmd");
    let told = |icinga: &Program| icinga.folder().join("told").exists();
    let icinga = start()?;
    command_pipe::measure(NAME, icinga, pipe, told, setting, figures)
}

fn start() -> Result<Program, Failure> {
    let folder = tempfile::tempdir()?;
    let own = ["data", "logs", "cache", "run", "spool/perfdata", "spool/tmp"];
    own.iter().try_for_each(|name| fs::create_dir_all(folder.path().join(name)))?;
    let config = folder.path().join("icinga2.conf");
    fs::write(&config, objects(folder.path()))?;
    let mut command = Command::new("icinga2");
    command.arg("daemon").arg("-c").arg(config);
    command.args(["-D", "RunAsUser=root", "-D", "RunAsGroup=root"]);
    let places = [("ConfigDir", "."), ("DataDir", "data"), ("LogDir", "logs"), ("CacheDir", "cache")];
    for (constant, name) in places.into_iter().chain([("InitRunDir", "run"), ("SpoolDir", "spool")]) {
        command.arg("-D").arg(format!("{constant}={}", folder.path().join(name).display()));
    }
    let mut icinga = Program::start(command, folder)?;
    icinga.wait_for(|icinga| {
        let pipe = fs::metadata(icinga.folder().join("icinga2.cmd")).ok()?;
        pipe.file_type().is_fifo().then_some(())
    })?;
    Ok(icinga)
}

/// The same hosts and services as Nagios has; the last of them makes a file when it fails.
fn objects(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"object CheckerComponent "checker" {{ }}
object ExternalCommandListener "command" {{ command_path = "{folder}/icinga2.cmd" }}
object CheckCommand "nothing" {{ command = [ "/bin/true" ] }}
object EventCommand "told" {{ command = [ "/bin/touch", "{folder}/told" ] }}
template Host "passive" {{ check_command = "nothing"; enable_active_checks = false }}
template Service "passive" {{ check_command = "nothing"; enable_active_checks = false; max_check_attempts = 1 }}
object Host "{LAST}" {{ import "passive" }}
object Service "check-0" {{ import "passive"; host_name = "{LAST}"; event_command = "told" }}
for (h in range({HOSTS})) {{
  object Host "host-" + h {{ import "passive" }}
  for (s in range({CHECKS})) {{
    object Service "check-" + s use (h) {{ import "passive"; host_name = "host-" + h }}
  }}
}}
"#
    )
}
