//! Other agents of Debian's, each watching about what ours does, and telling it in its own way.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use vilicus_benches::Failure;
use vilicus_benches::spawn::{Program, free_port, low_free_port};

use crate::Watcher;

/// Starts one of them.
type Start = fn() -> Result<Watcher, Failure>;

pub(crate) const ALL: [(&str, Start); 5] = [
    ("zabbix-agent", zabbix_agent),
    ("monit", monit),
    ("nrpe", nrpe),
    ("collectd", collectd),
    ("node-exporter", node_exporter),
];

/// Asked over a plain connection for each of ten values.
///
/// *Source:* <https://www.zabbix.com/documentation/6.0/en/manual/appendix/items/activepassive>.
fn zabbix_agent() -> Result<Watcher, Failure> {
    const KEYS: [&str; 10] = [
        "system.cpu.util[,idle]",
        "vm.memory.size[pavailable]",
        "system.swap.size[,pfree]",
        "system.cpu.load[,avg1]",
        "vfs.fs.size[/,pused]",
        "net.if.in[lo]",
        "system.uptime",
        "proc.num[vilicus-server]",
        "proc.num[vilicus-agent]",
        "agent.ping",
    ];
    let (folder, port) = (tempfile::tempdir()?, low_free_port()?);
    let place = folder.path().display();
    let config = format!(
        "PidFile={place}/pid\nLogType=console\nServer=127.0.0.1\nListenIP=127.0.0.1\nListenPort={port}\nAllowRoot=1\n"
    );
    let config = written(&folder, "zabbix.conf", &config)?;
    let mut command = Command::new("zabbix_agentd");
    command.arg("-f").arg("-c").arg(config);
    let ask = move || {
        for key in KEYS {
            let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            connection.write_all(b"ZBXD\x01")?;
            connection.write_all(&(key.len() as u64).to_le_bytes())?;
            connection.write_all(key.as_bytes())?;
            heard(&mut connection)?;
        }
        Ok(())
    };
    listening("zabbix-agent", command, folder, port, Box::new(ask))
}

/// Looks by itself, and tells nobody while all is well.
fn monit() -> Result<Watcher, Failure> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().display();
    let config = format!(
        r#"set daemon 10
set log {place}/monit.log
set pidfile {place}/pid
set idfile {place}/id
set statefile {place}/state
check system here
  if cpu usage > 95% for 30 cycles then alert
  if memory usage > 99% then alert
  if swap usage > 99% then alert
  if loadavg (1min) > 100 then alert
  if uptime < 1 second then alert
check filesystem root with path /
  if space usage > 99% then alert
check network loopback with interface lo
check process server matching "vilicus-server"
check process agent matching "vilicus-agent"
check process own with pidfile {place}/pid
"#
    );
    let config = written(&folder, "monitrc", &config)?;
    fs::set_permissions(&config, Permissions::from_mode(0o600))?;
    let mut command = Command::new("monit");
    command.arg("-I").arg("-c").arg(config);
    let mut program = Program::start(command, folder)?;
    program.wait_for(|program| program.folder().join("state").exists().then_some(()))?;
    Ok(Watcher { name: "monit", binary: binary("monit")?, program, asked: None })
}

/// Asked over TLS for each of ten plugins, as Nagios does.
fn nrpe() -> Result<Watcher, Failure> {
    const PLUGINS: [(&str, &str); 10] = [
        ("load", "check_load -w 100,100,100 -c 200,200,200"),
        ("disk", "check_disk -w 1% -c 1% -p /"),
        ("swap", "check_swap -n ok -w 1% -c 1%"),
        ("users", "check_users -w 100 -c 200"),
        ("disks", "check_disk -w 1% -c 1% -p /tmp"),
        ("server", "check_procs -c 1: -C vilicus-server"),
        ("agent", "check_procs -c 1: -C vilicus-agent"),
        ("all", "check_procs -w 10000"),
        ("zombies", "check_procs -w 1000 -s Z"),
        ("dummy", "check_dummy 0"),
    ];
    let (folder, port) = (tempfile::tempdir()?, free_port()?);
    let mut config = format!(
        "server_address=127.0.0.1\nserver_port={port}\nallowed_hosts=127.0.0.1\nnrpe_user=nagios\nnrpe_group=nagios\npid_file={}/pid\n",
        folder.path().display()
    );
    for (name, line) in PLUGINS {
        config.push_str(&format!("command[{name}]=/usr/lib/nagios/plugins/{line}\n"));
    }
    let config = written(&folder, "nrpe.cfg", &config)?;
    let mut command = Command::new("nrpe");
    command.arg("-f").arg("-c").arg(config);
    let ask = move || {
        for (name, _) in PLUGINS {
            let mut plugin = Command::new("/usr/lib/nagios/plugins/check_nrpe");
            let output = plugin.args(["-H", "127.0.0.1", "-p", &port.to_string(), "-c", name]).output()?;
            if output.stdout.starts_with(b"CHECK_NRPE") || output.stdout.is_empty() {
                return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stdout)).into());
            }
        }
        Ok(())
    };
    listening("nrpe, with its plugins", command, folder, port, Box::new(ask))
}

/// Looks by itself, and writes what it finds to a file.
fn collectd() -> Result<Watcher, Failure> {
    // It writes to no folder that begins with a dot.
    let folder = tempfile::Builder::new().prefix("collectd").tempdir()?;
    let place = folder.path().display();
    let plugins = ["cpu", "memory", "swap", "load", "df", "interface", "uptime", "processes", "csv"];
    let mut config = format!("Interval 10\nBaseDir \"{place}\"\nPIDFile \"{place}/pid\"\n");
    for plugin in plugins {
        config.push_str(&format!("LoadPlugin {plugin}\n"));
    }
    config.push_str(&format!(
        "<Plugin df>\nMountPoint \"/\"\n</Plugin>\n<Plugin processes>\nProcess \"vilicus-server\"\nProcess \"vilicus-agent\"\n</Plugin>\n<Plugin csv>\nDataDir \"{place}/csv\"\n</Plugin>\n"
    ));
    let config = written(&folder, "collectd.conf", &config)?;
    let mut command = Command::new("collectd");
    command.arg("-f").arg("-C").arg(config);
    let mut program = Program::start(command, folder)?;
    program.wait_for(|program| program.folder().join("csv").exists().then_some(()))?;
    Ok(Watcher { name: "collectd", binary: binary("collectd")?, program, asked: None })
}

/// Read over plain HTTP, as Prometheus does, with the collectors for what the others watch.
fn node_exporter() -> Result<Watcher, Failure> {
    const COLLECTORS: [&str; 7] = ["cpu", "meminfo", "loadavg", "filesystem", "netdev", "stat", "processes"];
    let (folder, port) = (tempfile::tempdir()?, free_port()?);
    let mut command = Command::new("prometheus-node-exporter");
    command.arg("--collector.disable-defaults").arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.args(COLLECTORS.map(|name| format!("--collector.{name}")));
    let ask = move || {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        connection.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        heard(&mut connection)
    };
    listening("node-exporter", command, folder, port, Box::new(ask))
}

fn listening(
    name: &'static str,
    command: Command,
    folder: TempDir,
    port: u16,
    ask: Box<dyn FnMut() -> Result<(), Failure>>,
) -> Result<Watcher, Failure> {
    let binary = binary(&command.get_program().to_string_lossy())?;
    let mut program = Program::start(command, folder)?;
    program.wait_for_port(port)?;
    Ok(Watcher { name, program, binary, asked: Some(ask) })
}

fn written(folder: &TempDir, name: &str, text: &str) -> Result<std::path::PathBuf, Failure> {
    let path = folder.path().join(name);
    fs::write(&path, text)?;
    Ok(path)
}

/// Reads an answer to its end; there has to be one.
fn heard(connection: &mut TcpStream) -> Result<(), Failure> {
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    if answer.is_empty() { Err("it did not answer".into()) } else { Ok(()) }
}

/// Where Debian puts a program.
fn binary(name: &str) -> Result<std::path::PathBuf, Failure> {
    let places = ["/usr/sbin", "/usr/bin"].map(|folder| Path::new(folder).join(name));
    places.into_iter().find(|path| path.exists()).ok_or_else(|| format!("{name} is not installed").into())
}
