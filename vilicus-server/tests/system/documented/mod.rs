//! Every block of shell in the documents is run, on a host that has what they speak of; and every command line of our
//! programs, in whatever branch, is understood by the program: its subcommand, its flags, their values.

mod world;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use futures_util::{StreamExt as _, stream};

use self::world::{World, root};

const PROGRAMS: [&str; 3] = ["vilicus-server", "vilicus-agent", "vilicusctl"];

fn documents() -> Vec<PathBuf> {
    let root = root();
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

/// The blocks of shell commands.
fn blocks(text: &str) -> Vec<String> {
    let blocks = ["```sh\n", "```console\n"].into_iter().flat_map(|fence| text.split(fence).skip(1));
    blocks.map(|block| commands(block.split("```").next().unwrap_or_default())).collect()
}

/// Of a block that shows what is said, too, the commands.
fn commands(block: &str) -> String {
    if block.lines().any(|line| line.starts_with("$ ")) {
        return block
            .lines()
            .filter_map(|line| line.strip_prefix("$ "))
            .map(|line| format!("{line}\n"))
            .collect();
    }
    block.to_owned()
}

/// The lines of all blocks; a line that ends with a backslash goes on.
fn shell_lines(text: &str) -> Vec<String> {
    let blocks = blocks(text).into_iter().map(|block| block.replace("\\\n", " "));
    blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
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

/// What is not run: this very suite, and what measures for minutes.
const NOT_RUN: [&str; 2] = ["scripts/test", "scripts/bench"];

/// So many documents at a time: most of the time they wait.
const AT_A_TIME: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_block_runs() {
    let running = stream::iter(documents()).map(faults_of);
    let faults: Vec<Vec<String>> = running.buffer_unordered(AT_A_TIME).collect().await;
    assert!(faults.iter().all(Vec::is_empty), "{}", faults.concat().join("\n\n"));
}

/// Runs the blocks of a document, one after the other, in a world of its own.
async fn faults_of(document: PathBuf) -> Vec<String> {
    let text = fs::read_to_string(&document).unwrap();
    let blocks = blocks(&text).into_iter().filter(|block| !NOT_RUN.iter().any(|not| block.contains(not)));
    let script = blocks.collect::<String>();
    let lines = script.replace("\\\n", " ");
    let ours = lines.lines().filter(|line| !line.contains("systemctl")).map(|line| calls(line).len());
    let expected = ours.sum::<usize>();
    if script.is_empty() {
        return Vec::new();
    }
    let world = World::new().await;
    let called = tokio::task::spawn_blocking(move || world.run(&script)).await.unwrap();
    let fault = |fault| format!("{}: {fault}", document.display());
    let mut faults: Vec<String> = called.iter().filter_map(world::Call::fault).map(fault).collect();
    // curl counts, too; and what a loop calls may be called more often.
    if called.len() < expected {
        faults.push(fault(format!("{} of {expected} calls were made: {called:?}", called.len())));
    }
    faults
}
