//! Configurations in files: checked without a server, applied at the start and again when told to.

use rustix::process::Signal;

use crate::process::{Place, complaint, printed};

/// The examples of the handbook in this form.
fn examples(form: &str) -> Vec<String> {
    let handbook = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let text = std::fs::read_to_string(handbook).unwrap();
    let blocks = text.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(form)?.strip_prefix('\n')).map(str::to_owned).collect()
}

#[test]
fn every_example_of_the_handbook_works() {
    let place = Place::new();
    let secret = place.write("pushover", "azGDORePK8gMaC0QOYAMyEEuzJnyUi\n");
    let (toml, yaml) = (examples("toml"), examples("yaml"));
    assert_eq!((toml.len(), yaml.len()), (2, 1));
    for (name, text) in [("a.toml", &toml[0]), ("b.toml", &toml[1]), ("c.yaml", &yaml[0])] {
        let text = text.replace("/run/secrets/pushover", secret.to_str().unwrap());
        let file = place.write(name, &text);
        let output = place
            .command(&["check-config", file.to_str().unwrap()])
            .env("SMTP_PASSWORD", "canary-1")
            .env("PUSHOVER_USER", "uQiRzpo4DXghDmr9QzzfQu27cmVRsG")
            .output()
            .unwrap();
        assert_eq!(printed(&output), format!("{}: ok", file.display()));
    }
}

#[test]
fn check_config_names_every_mistake_of_all_files_with_its_place() {
    let place = Place::new();
    std::fs::create_dir(place.path("site")).unwrap();
    let settings = place.write("server.toml", "lisen = '127.0.0.1:0'\n");
    place.write("site/a.toml", "[[agent]]\nname = 'web-1'\n[[check]]\nagent = 'web-1'\nname = 'x'\nkind = 'disk'\nparams = { pth = '/' }\n");
    place.write("site/b.yaml", "agent:\n- name: web-1\nroute:\n- channels: [pager]\n");
    place.write("site/c.yml", "channel:\n- name: x\n  kind: webhook\n  params:\n    url: http://127.0.0.1:9/\n    secret: {env: NOT_SET}\n");
    place.write("site/.hidden.toml", "nonsense");
    place.write("site/readme.txt", "nonsense");
    let site = place.path("site");
    let broken = place.run(&["check-config", settings.to_str().unwrap(), site.to_str().unwrap()]);
    assert_eq!(broken.status.code(), Some(78));
    let words = complaint(&broken);
    for mistake in [
        "server.toml:1:1: unknown key 'lisen'; did you mean 'listen'?",
        "c.yml:6:13: the environment variable NOT_SET is not set",
    ] {
        assert!(words.contains(mistake), "{words}");
    }
    std::fs::remove_file(place.path("site/c.yml")).unwrap();
    let words = complaint(&place.run(&["check-config", site.to_str().unwrap()]));
    for mistake in [
        "a.toml:7:18: params.pth: unknown parameter 'pth'; did you mean 'path'?",
        "b.yaml:2:9: name: the agent 'web-1' stands at ",
        "a.toml:1:1 already; say it once",
        "b.yaml:4:14: channels.0: there is no channel \"pager\"",
    ] {
        assert!(words.contains(mistake), "{mistake} is not in\n{words}");
    }
    std::fs::write(place.path("site/d.toml"), b"[[agent]]\nname = \"a\xff\"\n").unwrap();
    let words = complaint(&place.run(&["check-config", site.to_str().unwrap()]));
    assert!(words.contains("d.toml:2:10: is not UTF-8 from here on"), "{words}");
}

#[test]
fn a_secret_that_does_not_fit_is_not_shown() {
    let place = Place::new();
    let file = place
        .write("a.toml", "[[channel]]\nname = 'x'\nkind = 'webhook'\nparams = { url = { env = 'HOOK' } }\n");
    let output =
        place.command(&["check-config", file.to_str().unwrap()]).env("HOOK", "canary-1").output().unwrap();
    let words = complaint(&output);
    assert!(
        words.contains("a.toml:4:18: params.url: what the environment variable HOOK holds does not fit here"),
        "{words}"
    );
    assert!(!words.contains("canary"), "{words}");
}

#[tokio::test]
async fn serve_applies_its_files_at_the_start_and_when_told_to_reload() {
    let place = Place::new();
    let file = place.write(
        "site.toml",
        "[[agent]]\nname = 'web-1'\n[[check]]\nagent = 'web-1'\nname = 'load'\nkind = 'load'\n",
    );
    let path = file.to_str().unwrap();
    let arguments = ["--store", "memory:", "--apply", path, "--prune"];
    let mut server = place.serve(&arguments, &[("NO_COLOR", "1")]).await;
    let applied =
        |times: usize| move |log: &str| log.matches("the configuration is applied").count() == times;
    assert!(server.log().contains("created=2"), "{}", server.log());
    place.write("site.toml", "[[agent]]\nname = 'web-1'\ntags = ['x']\n");
    server.signal(Signal::HUP);
    server.until_log("it is applied again", applied(2)).await;
    assert!(server.log().contains("created=0 changed=1 removed=1"), "{}", server.log());
    place.write("site.toml", "[[agent]]\nnaem = 'web-1'\n");
    server.signal(Signal::HUP);
    server.until_log("the mistake is logged", |log| log.contains("site.toml:2:1: unknown key 'naem'")).await;
    assert_eq!(server.stop().await.code(), Some(0));

    let output = place.run(&["serve", "--listen", "127.0.0.1:0", "--store", "memory:", "--apply", path]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        complaint(&output).contains("site.toml:2:1: unknown key 'naem'; did you mean 'name'?"),
        "{}",
        complaint(&output)
    );
    let output =
        place.run(&["serve", "--listen", "127.0.0.1:0", "--store", "memory:", "--apply", "nowhere.toml"]);
    assert_eq!(output.status.code(), Some(78), "{}", complaint(&output));
}
