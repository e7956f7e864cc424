//! The programs of `docs/tutorial.md` print what it says, in Python and in Rust.
//!
//! An output (a `text` block) belongs to the programs that stand before it, up to the output before. Rust programs
//! become the binaries of one package, which cargo builds as it would a user's.

mod package;

use std::env;
use std::io::{ErrorKind, Write};
use std::process::{Command, Output, Stdio};

use package::run;

const TUTORIAL: &str = include_str!("../docs/tutorial.md");

/// A program under the last heading before it, and what it should print.
struct Program {
    heading: &'static str,
    source: String,
    output: String,
}

#[test]
fn each_python_program_prints_what_the_tutorial_says() {
    let programs = programs("python");
    assert!(programs.len() >= 8, "only {} Python programs with an output", programs.len());
    if !python_is_there() {
        assert!(env::var_os("ROPEWALK_REQUIRE_PYTHON").is_none(), "there is no python3");
        // Past the capture of the test's output, which would hide it because the test passes.
        writeln!(std::io::stderr(), "tests/tutorial.rs: no python3, so NO Python program was checked")
            .unwrap();
        return;
    }
    for program in programs {
        let output = run(Command::new("python3").arg("-c").arg(&program.source));
        check(&program, &output);
    }
}

#[test]
fn each_rust_program_prints_what_the_tutorial_says() {
    let programs = programs("rust");
    assert_eq!(programs.len(), blocks().filter(|block| block.language == "rust").count());
    let sources = programs.iter().enumerate();
    let sources = sources.map(|(number, program)| (format!("program_{number}"), program.source.as_str()));
    let directory = package::build("tutorial", sources, "");
    for (number, program) in programs.iter().enumerate() {
        check(program, &run(&mut Command::new(directory.join(format!("program_{number}")))));
    }
}

fn check(program: &Program, output: &Output) {
    assert!(
        output.status.success(),
        "{}: {}\n{}",
        program.heading,
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), program.output, "{}", program.heading);
}

fn python_is_there() -> bool {
    let python = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
    match python {
        Ok(status) => status.success(),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("cannot run python3: {error}"),
    }
}

/// A fenced block of the tutorial.
struct Block {
    heading: &'static str,
    language: &'static str,
    text: String,
}

fn blocks() -> impl Iterator<Item = Block> {
    let mut lines = TUTORIAL.lines();
    let mut heading = "";
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            if line.starts_with('#') {
                heading = line.trim_start_matches(['#', ' ']);
            }
            if let Some(language) = line.strip_prefix("```") {
                let body = lines.by_ref().take_while(|line| *line != "```");
                let text = body.flat_map(|line| [line, "\n"]).collect();
                return Some(Block { heading, language, text });
            }
        }
    })
}

/// The programs in a language that are followed by an output.
fn programs(language: &str) -> Vec<Program> {
    let mut programs = Vec::new();
    let mut waiting = None;
    for block in blocks() {
        if block.language == "text" {
            programs.extend(waiting.take().map(|Block { heading, text, .. }| Program {
                heading,
                source: text,
                output: block.text,
            }));
        } else if block.language == language {
            assert!(waiting.replace(block).is_none(), "two {language} programs before one output");
        }
    }
    programs
}
