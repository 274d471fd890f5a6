//! Nagios 4, fed with passive results through its command pipe. It keeps nothing durable, and logs none of them here.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use vilicus_benches::process::family_pss;
use vilicus_benches::spawn::Program;
use vilicus_benches::{Failure, clock};

use crate::command_pipe::{self, HOSTS, LAST};
use crate::table::{Figures, Work};
use crate::{CHECKS, Setting};

const NAME: &str = "nagios";

pub(crate) fn measure(setting: &Setting, figures: &mut Figures) -> Result<(), Failure> {
    let pipe = |folder: &Path| folder.join("nagios.cmd");
    let told = |nagios: &Program| {
        let log = fs::read_to_string(nagios.folder().join("nagios.log")).unwrap_or_default();
        log.contains(&format!("SERVICE ALERT: {LAST};"))
    };
    let (many, took) = start(setting.agents)?;
    figures.put(NAME, Work::Start, took.as_secs_f64());
    figures.put(NAME, Work::StartMemory, family_pss(many.pid())? as f64 / f64::from(1 << 20));
    many.end()?;
    let (nagios, _) = start(HOSTS)?;
    command_pipe::measure(NAME, nagios, pipe, told, setting, figures)
}

/// Also how long it took until it worked.
fn start(hosts: usize) -> Result<(Program, Duration), Failure> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("spool"))?;
    fs::write(folder.path().join("objects.cfg"), objects(hosts)?)?;
    fs::write(folder.path().join("nagios.cfg"), config(folder.path()))?;
    let mut command = Command::new("nagios4");
    command.arg(folder.path().join("nagios.cfg"));
    let begin = clock::now();
    let mut nagios = Program::start(command, folder)?;
    nagios.wait_for(|nagios| {
        let pipe = fs::metadata(nagios.folder().join("nagios.cmd")).ok()?;
        let log = fs::read_to_string(nagios.folder().join("nagios.log")).ok()?;
        (pipe.file_type().is_fifo() && log.contains("Successfully launched command file worker"))
            .then_some(())
    })?;
    Ok((nagios, begin.elapsed()))
}

fn config(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "cfg_file={folder}/objects.cfg
log_file={folder}/nagios.log
command_file={folder}/nagios.cmd
lock_file={folder}/nagios.pid
temp_file={folder}/nagios.tmp
temp_path={folder}
check_result_path={folder}/spool
status_file={folder}/status.dat
object_cache_file={folder}/objects.cache
precached_object_file={folder}/objects.precache
state_retention_file={folder}/retention.dat
query_socket={folder}/nagios.qh
nagios_user=root
nagios_group=root
check_external_commands=1
accept_passive_service_checks=1
execute_service_checks=0
execute_host_checks=0
check_service_freshness=0
enable_notifications=0
enable_event_handlers=0
log_passive_checks=0
log_external_commands=0
log_current_states=0
use_syslog=0
status_update_interval=10
check_for_updates=0
"
    )
}

fn objects(hosts: usize) -> Result<String, Failure> {
    let mut text = String::from(
        "define timeperiod {\n timeperiod_name always\n alias always\n sunday 00:00-24:00\n monday 00:00-24:00
 tuesday 00:00-24:00\n wednesday 00:00-24:00\n thursday 00:00-24:00\n friday 00:00-24:00\n saturday 00:00-24:00\n}
define command {\n command_name nothing\n command_line /bin/true\n}
define contact {\n contact_name nobody\n host_notifications_enabled 0\n service_notifications_enabled 0
 host_notification_period always\n service_notification_period always
 host_notification_commands nothing\n service_notification_commands nothing\n}
",
    );
    for host in 0..hosts {
        push_host(&mut text, &format!("host-{host}"), CHECKS)?;
    }
    push_host(&mut text, LAST, 1)?;
    Ok(text)
}

fn push_host(text: &mut String, host: &str, services: usize) -> Result<(), Failure> {
    const REST: &str = "max_check_attempts 1\n check_period always\n notification_period always\n \
                        contacts nobody\n active_checks_enabled 0\n \
                        check_command nothing\n}";
    writeln!(text, "define host {{\n host_name {host}\n address 127.0.0.1\n {REST}")?;
    for service in 0..services {
        writeln!(
            text,
            "define service {{\n host_name {host}\n service_description check-{service}\n is_volatile 0\n {REST}"
        )?;
    }
    Ok(())
}
