//! The map of the house, held against the house: floors, doorkeepers, unsafe files, and the tests that rows name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The sources, each with its path below `src` and its text without comments.
fn sources() -> Vec<(String, String)> {
    let source = root().join("src");
    rust_files(&source)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>();
            (name, code.join("\n"))
        })
        .collect()
}

/// Rooms and their floors, as in `docs/architecture.md`.
const FLOORS: [(&str, u32); 25] = [
    ("error", 0),
    ("report", 0),
    ("clock", 0),
    ("list", 0),
    ("arena", 0),
    ("primitive", 0),
    ("stack", 1),
    ("generator", 2),
    ("driver", 3),
    ("scheduler", 4),
    ("task", 5),
    ("time", 5),
    ("select", 5),
    ("sync", 5),
    ("channel", 5),
    ("work", 5),
    ("blocking", 6),
    ("io", 7),
    ("net", 8),
    ("fs", 8),
    ("process", 8),
    ("signal", 8),
    ("testing", 9),
    ("inspect", 9),
    ("shards", 9),
];

fn room_of(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap()
}

fn floor_of(room: &str) -> u32 {
    let found = FLOORS.iter().find(|(name, _)| *name == room);
    found.unwrap_or_else(|| panic!("the room `{room}` is not on the map: docs/architecture.md and FLOORS")).1
}

#[test]
fn files_import_downwards_only() {
    for (file, code) in sources() {
        let room = room_of(&file);
        if room == "lib" {
            continue;
        }
        assert!(
            !code.contains("crate::{"),
            "{file} imports several rooms in one line, which this test cannot read"
        );
        assert!(
            !code.contains("super::super::"),
            "{file} reaches above its room by a way that this test cannot read"
        );
        for used in code.split("crate::").skip(1) {
            let target: String = used.chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect();
            // `in crate::generator` limits who sees something; what is named otherwise must lie below.
            if target == room || !FLOORS.iter().any(|(name, _)| *name == target) {
                assert!(
                    target == room || target.is_empty(),
                    "{file} names crate::{target}, which is no room"
                );
                continue;
            }
            assert!(
                floor_of(&target) < floor_of(room),
                "{file} (floor {}) imports {target} (floor {})",
                floor_of(room),
                floor_of(&target)
            );
        }
    }
}

#[test]
fn the_floors_stand_in_the_documents() {
    let map = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    for (room, floor) in FLOORS {
        let row = map.lines().find(|line| line.starts_with(&format!("| {floor} ")));
        let row = row.unwrap_or_else(|| panic!("floor {floor} is not in docs/architecture.md"));
        assert!(row.contains(&format!("`{room}`")), "`{room}` is not on floor {floor}: {row}");
    }
}

#[test]
fn outside_crates_are_named_by_their_doorkeepers_only() {
    for (file, code) in sources() {
        if code.contains("corosensei") {
            let doorkeepers = ["generator/switch/stock.rs", "generator/switch/valgrind.rs"];
            assert!(doorkeepers.contains(&file.as_str()), "corosensei is named in {file}");
        }
        if code.contains("loom::") {
            assert_eq!(file, "primitive.rs", "loom has one doorkeeper");
        }
        if code.contains("log::") {
            assert_eq!(file, "scheduler/unhandled.rs", "log has one doorkeeper");
        }
        if code.contains("libc::") {
            let keepers = ["signal/handler.rs", "scheduler/io.rs", "scheduler/fork.rs"];
            let keeps = ["stack", "driver"].contains(&room_of(&file)) || keepers.contains(&file.as_str());
            assert!(keeps, "libc is named in {file}");
        }
        if code.contains("mio::") {
            let doorkeepers = ["driver/readiness.rs", "driver/choice.rs"];
            assert!(doorkeepers.contains(&file.as_str()), "mio is named in {file}");
        }
        if code.contains("io_uring::") {
            assert_eq!(file, "driver/uring.rs", "io-uring has one doorkeeper");
        }
        if code.contains("rustix::") {
            let rooms = ["driver", "io", "net", "fs", "process", "signal", "shards"];
            assert!(rooms.contains(&room_of(&file)), "rustix is named in {file}");
        }
        if code.contains("crossbeam_deque::") {
            assert_eq!(file, "work.rs", "crossbeam-deque has one doorkeeper");
        }
        if code.contains("signal_hook::") {
            assert_eq!(file, "signal/handler.rs", "signal-hook has one doorkeeper");
        }
    }
}

#[test]
fn unsafe_code_stands_in_the_files_that_are_documented() {
    let documented = fs::read_to_string(root().join("docs/unsafe.md")).unwrap();
    let mut with_unsafe = BTreeSet::new();
    for (file, code) in sources() {
        if code.contains("unsafe ") {
            assert!(code.contains("#![allow(unsafe_code)]"), "{file} has unsafe code and does not say so");
            assert!(documented.contains(&format!("`{file}`")), "{file} is missing in docs/unsafe.md");
            with_unsafe.insert(file);
        } else {
            assert!(!code.contains("#![allow(unsafe_code)]"), "{file} allows unsafe code and has none");
        }
    }
    for line in documented.lines().filter(|line| line.starts_with("## `")) {
        let file = line.trim_start_matches("## `").split('`').next().unwrap();
        assert!(with_unsafe.contains(file), "docs/unsafe.md describes {file}, which has no unsafe code");
    }
    for section in documented.split("\n## `").skip(1) {
        let file = section.split('`').next().unwrap();
        let file_again = format!("\n## `{file}`");
        assert_eq!(documented.matches(&file_again).count(), 1, "{file} has one section in docs/unsafe.md");
        let names_a_test = section.split("\n# ").next().unwrap().contains("::");
        assert!(names_a_test, "docs/unsafe.md names no test for {file}");
    }
}

/// Every test that `document` names between backticks, as `module::test`, exists.
fn assert_names_tests_that_exist(document: &str) -> usize {
    let text = fs::read_to_string(root().join(document)).unwrap();
    // Without the programs, which stand between fences.
    let text: String = text.split("```").step_by(2).collect();
    let mut named = 0;
    for quoted in text.split('`').skip(1).step_by(2) {
        let Some((module, test)) = quoted.rsplit_once("::") else { continue };
        let module = module.replace("::", "/");
        // A type of the library, in a module that the tests have too, or a function of one.
        if [test, &module].iter().any(|name| name.starts_with(char::is_uppercase)) {
            continue;
        }
        let files = [
            format!("tests/it/{module}.rs"),
            format!("tests/{module}.rs"),
            format!("tests/{module}/main.rs"),
        ];
        let Some(code) = files.iter().find_map(|file| fs::read_to_string(root().join(file)).ok()) else {
            // A path of the library or of std; the names of tests are longer.
            assert!(
                test.matches('_').count() < 3,
                "{document} names `{quoted}`, and there is no such module"
            );
            continue;
        };
        assert!(code.contains(&format!("fn {test}(")), "{document} names `{quoted}`, which is no test");
        named += 1;
    }
    named
}

#[test]
fn the_tests_that_the_documents_name_exist() {
    assert!(assert_names_tests_that_exist("docs/generators.md") >= 48);
    assert!(assert_names_tests_that_exist("docs/tasks.md") >= 100);
    assert!(assert_names_tests_that_exist("docs/world.md") >= 60);
    assert!(assert_names_tests_that_exist("docs/unsafe.md") >= 20);
    assert!(assert_names_tests_that_exist("docs/shards.md") >= 25);
    for document in fs::read_dir(root().join("docs")).unwrap() {
        let name = document.unwrap().file_name();
        assert_names_tests_that_exist(&format!("docs/{}", name.to_str().unwrap()));
    }
}

/// Every one of `rows` stands in `document`, with a test or a reason.
fn assert_shows(document: &str, rows: impl IntoIterator<Item = String>) {
    let text = fs::read_to_string(root().join(document)).unwrap();
    for row in rows {
        let line = text.lines().find(|line| line.starts_with(&format!("| {row} |")));
        let line = line.unwrap_or_else(|| panic!("{row} is not in {document}"));
        let shown = line.contains("::") || line.contains("does not apply:") || line.contains("benches/");
        assert!(shown, "{row} has neither a test nor a reason: {line}");
    }
}

/// What tutorials say of tasks, as far as it concerns tasks alone.
const SAID: [&str; 41] = [
    "0.1", "0.15", "0.17", "0.23", "1.7", "1.14", "1.25", "1.26", "1.27", "1.28", "1.29", "1.30", "1.31",
    "1.50", "1.51", "1.52", "2.1", "2.15", "2.16", "2.20", "3.5", "3.8", "3.9", "4.7", "4.9", "4.10", "4.11",
    "4.12", "4.13", "4.20", "4.21", "4.22", "4.23", "4.24", "4.25", "4.26", "4.29", "4.42", "4.44", "4.53",
    "4.56",
];

#[test]
fn every_row_of_the_semantics_has_a_test_or_a_reason() {
    assert_shows("docs/generators.md", (1..=48).map(|row| format!("G{row}")));
    assert_shows("docs/tasks.md", (1..=40).map(|row| format!("A{row}")));
    assert_shows("docs/tasks.md", SAID.map(|row| format!("S{row}")));
    let world = (1..=23).chain(33..=44).map(|row| format!("S1.{row}"));
    assert_shows("docs/world.md", world.chain(["S0.5", "S0.6"].map(str::to_owned)));
    assert_shows("docs/world.md", (27..=30).map(|row| format!("S4.{row}")));
    assert_shows("docs/sync.md", (1..=42).map(|row| format!("L{row}")));
    assert_shows("docs/sync.md", (1..=36).map(|row| format!("N{row}")));
    assert_shows("docs/sync.md", (1..=67).map(|row| format!("C{row}")));
    assert_shows("docs/sync.md", (1..=19).map(|row| format!("X{row}")));
}
