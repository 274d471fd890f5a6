//! `check-config --test`: one line a test, and an exit code that a CI understands.

use crate::process::{Place, complaint};

const CONFIGURATION: &str = r#"
[[agent]]
name = "web-1"
[[check]]
agent = "web-1"
name = "load"
kind = "load"
max_attempts = 2
[[channel]]
name = "phone"
kind = "webhook"
params = { url = "https://phone.example.org/" }
"#;

fn test(at: &str) -> String {
    format!(
        r#"
        [[test]]
        name = "told at {at}"
        check = "web-1/load"
        input = [{{ at = "0m", count = 2, status = "CRITICAL" }}]
        expect = [{{ at = "{at}", channel = "phone", event = "problem" }}]
        "#
    )
}

#[test]
fn the_exit_code_says_whether_all_passed() {
    let place = Place::new();
    place.write("vilicus.toml", CONFIGURATION);
    place.write("good.toml", &test("1m"));
    place.write("bad.toml", &test("0m"));
    place.write("wrong.toml", "[[test]]\nnaem = \"a\"\n");
    for (tests, code, printed, complained) in [
        (&["good.toml"][..], 0, "ok      told at 1m", ""),
        (&["good.toml", "bad.toml"], 1, "web-1/load at 0s: attempt 1 of 2", "policy tests failed"),
        (&["wrong.toml"], 78, "vilicus.toml: ok", "wrong.toml:2:1"),
        (&["missing.toml"], 78, "", "missing.toml"),
    ] {
        let mut arguments = vec!["check-config", "vilicus.toml"];
        arguments.extend(tests.iter().flat_map(|file| ["--test", *file]));
        let output = place.run(&arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{tests:?}: {text}{}", complaint(&output));
        assert!(text.contains(printed), "{tests:?}: {text}");
        assert!(complaint(&output).contains(complained), "{tests:?}: {}", complaint(&output));
    }
}
