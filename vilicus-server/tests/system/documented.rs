//! Every command line of our programs in the documents is understood by the program: its subcommand, its flags, their
//! values.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAMS: [&str; 3] = ["vilicus-server", "vilicus-agent", "vilicusctl"];

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut documents = vec![root.join("README.md"), root.join("benches/README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                documents.push(path);
            }
        }
    }
    documents
}

/// The lines of all blocks of shell commands; a line that ends with a backslash goes on.
fn shell_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for block in text.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default().replace("\\\n", " ");
        lines.extend(block.lines().map(str::to_owned));
    }
    lines
}

/// The words of each of our programs' calls in a line of shell.
fn calls(line: &str) -> Vec<Vec<String>> {
    // What a program prints into another's argument is a word like others.
    let line = line.replace("$(", " | ").replace(')', " ");
    let Some(words) = shlex::split(&line) else { return Vec::new() };
    let ends = |word: &String| ["|", "&&", "||", ";", ">", "<", "2>&1", "&"].contains(&word.as_str());
    let calls = words.split(ends).map(|call| {
        let name = |word: &String| PROGRAMS.iter().any(|program| word.rsplit('/').next() == Some(program));
        call.iter().skip_while(|word| !name(word)).cloned().collect::<Vec<_>>()
    });
    calls.filter(|call| !call.is_empty()).collect()
}

/// How the program answers to the call, asked for help at its end, so that it does nothing.
fn understood(call: &[String]) -> Result<(), String> {
    let (name, arguments) = call.split_first().unwrap();
    let name = name.rsplit('/').next().unwrap();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_vilicus-server")).with_file_name(name);
    let own = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let mut command = Command::new(program);
    command.args(&arguments[..own]).arg("--help");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{}\n{said}", call.join(" "))) }
}

#[test]
fn every_documented_command_is_understood() {
    let mut seen = 0;
    let mut faults = Vec::new();
    for document in documents() {
        for line in shell_lines(&fs::read_to_string(&document).unwrap()) {
            for call in calls(&line) {
                seen += 1;
                let fault = |fault| format!("{}: {fault}", document.display());
                faults.extend(understood(&call).map_err(fault).err());
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(seen > 40, "only {seen} commands were found");
}
