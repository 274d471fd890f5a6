//! A backup that is made under load, and restored after the server and its disk are gone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::time::sleep;

use super::load::Load;
use crate::harness::Server;
use crate::harness::process::clean_command;
use crate::harness::server::ADMIN_TOKEN;
use crate::harness::webhook::Recorder;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_under_load_holds_all_that_was_acknowledged_before_it() {
    let mut server = Server::new().start().await;
    let recorder = Recorder::start().await;
    recorder.channel(&server.admin()).await;
    let before = Load::start(&server, "before", 3, 4).await;
    sleep(Duration::from_secs(1)).await;
    let before = before.stop().await;
    let meanwhile = Load::start(&server, "meanwhile", 3, 4).await;
    sleep(Duration::from_millis(300)).await;

    let file = server.folder().join("night.backup");
    let said = well(vilicusctl(&server).arg("backup").arg(&file)).await;
    assert!(said.contains("nothing is broken"), "{said}");
    let meanwhile = meanwhile.stop().await;
    let configured = server.admin().get("/api/v1/apply/").await.expect(200);
    server.kill();

    let mut again = Server::new();
    let store = format!("sled:{}", again.data().display());
    let said = well(vilicusctl(&again).arg("restore").arg(&file).args(["--to", &store])).await;
    assert!(said.contains(&format!("serve --store {store}")), "{said}");
    again.start_again().await;
    let admin = again.admin();
    for ledger in before {
        ledger.agrees_with(&admin).await;
    }
    for ledger in meanwhile {
        ledger.begins_as(&admin).await;
    }
    assert_eq!(admin.get("/api/v1/apply/").await.expect(200), configured);
}

fn vilicusctl(server: &Server) -> Command {
    let mut command = clean_command(Path::new(env!("CARGO_BIN_EXE_vilicusctl")), server.folder());
    command.env("VILICUS_TOKEN", ADMIN_TOKEN);
    // One that is not started yet has no address.
    if server.address().port() != 0 {
        command.env("VILICUS_URL", server.url());
    }
    command
}

/// What a command prints that must go well.
async fn well(command: &mut Command) -> String {
    let mut command = std::mem::replace(command, Command::new(PathBuf::new()));
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
