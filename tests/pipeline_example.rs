//! `examples/pipeline` as its users run it: on folders of all kinds of files, by its output and its exit code.
//!
//! `cargo test` builds the example. With `--test pipeline_example` alone, build it first.
#![cfg(unix)]

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// A folder that is removed with all that is in it.
struct Folder(PathBuf);

impl Folder {
    /// `name` tells it from those of the other tests.
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("ropewalk-pipeline-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, and makes the folders above it.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Folder {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removed = fs::remove_dir_all(&self.0);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

fn gzip(content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(content.as_ref()).unwrap();
    packed.finish().unwrap()
}

/// The example's binary, in the folder next to that of this test's.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().unwrap().with_file_name("examples").join("pipeline");
    assert!(binary.exists(), "build the example first: cargo build --example pipeline");
    binary
}

fn pipeline(folder: &Path, pattern: &str) -> Output {
    Command::new(binary()).arg(folder).arg(pattern).output().unwrap()
}

#[track_caller]
fn check(output: &Output, code: i32, stdout: &str, stderr: &str) {
    assert_eq!(String::from_utf8_lossy(&output.stdout), stdout);
    assert_eq!(String::from_utf8_lossy(&output.stderr), stderr);
    assert_eq!(output.status.code(), Some(code));
}

#[test]
fn keys_are_counted_in_plain_packed_and_nested_files() {
    let folder = Folder::new("kinds");
    folder
        .file("app.log", "level=info\r\nlevel=warn\r\nlevel\r\n")
        .file("app.log.1.gz", gzip("level=info\nlevel=error\n"))
        // A line goes on in the next member.
        .file("app.log.2.gz", [gzip("level=info\nlevel=in"), gzip("fo\nlevel=warn\n")].concat())
        .file("empty", "")
        .file("latin", b"level=caf\xe9\nlevel=caf\xe8\nlevel=\x1b[31m\n")
        .file("nested/deeper/no line end", "level=info")
        .file("nested/packed without the name", gzip("level=info\n"))
        .file("picture", b"level=info\0\n")
        .file("pictures.gz", gzip(b"level=info\0\n"));
    check(
        // Without `-u`, a dot is no match for what is not UTF-8.
        &pipeline(&folder.0, "(?-u)level=(.*)$"),
        0,
        r"  matches   files  key                   first seen
        6       5  info                  app.log:1
        2       2  warn                  app.log:2
        1       1  \u{1b}[31m            latin:3
        1       1  caf\xe8               latin:2
        1       1  caf\xe9               latin:1
        1       1  error                 app.log.1.gz:2

files 7 (gzip 3; skipped as binary 2), lines 13 (cut 0), bytes 142, matches 12
most matches in: app.log.2.gz (3), latin (3), app.log (2)
",
        "",
    );
}

#[test]
fn a_line_is_counted_by_the_first_group_that_took_part_or_by_the_whole_match() {
    let folder = Folder::new("groups");
    folder.file("log", "ab\nb\nab ab\n");
    let keys = |pattern| {
        let stdout = String::from_utf8(pipeline(&folder.0, pattern).stdout).unwrap();
        stdout.lines().skip(1).take_while(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        keys("a?b"),
        ["        2       1  ab                    log:1", "        1       1  b                     log:2"]
    );
    assert_eq!(keys("a(b)|(b)"), ["        3       1  b                     log:1"]);
    assert!(keys("c").is_empty());
}

#[test]
fn what_cannot_be_read_is_listed_and_stops_nothing() {
    let folder = Folder::new("troubles");
    let whole = gzip("level=info\n");
    let headless = [&whole[..10], &[0xff; 20]].concat();
    folder
        .file("corrupt.gz", &headless)
        .file("cut.gz", &whole[..whole.len() - 8])
        .file("later", "level=info\n");
    symlink("nowhere", folder.path("dangling")).unwrap();
    symlink("itself", folder.path("itself")).unwrap();

    let unpacked = |packed: &[u8]| MultiGzDecoder::new(packed).read_to_end(&mut Vec::new()).unwrap_err();
    let sought = |name| fs::metadata(folder.path(name)).unwrap_err();
    check(
        &pipeline(&folder.0, "level=(.*)$"),
        0,
        "  matches   files  key                   first seen
        2       2  info                  cut.gz:1

files 2 (gzip 1; skipped as binary 0), lines 2 (cut 0), bytes 22, matches 2
most matches in: cut.gz (1), later (1)
",
        &format!(
            "4 could not be read, or not to the end:
  corrupt.gz: {}
  cut.gz: {}
  dangling: {}
  itself: {}
",
            unpacked(&headless),
            unpacked(&whole[..whole.len() - 8]),
            sought("dangling"),
            sought("itself"),
        ),
    );
}

#[test]
fn of_many_troubles_the_first_twenty_are_listed() {
    let folder = Folder::new("many");
    (10..35).for_each(|number| symlink("nowhere", folder.path(&number.to_string())).unwrap());
    let output = pipeline(&folder.0, "x");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let told: Vec<&str> = stderr.lines().collect();
    assert_eq!(told[0], "25 could not be read, or not to the end:");
    assert!(told[1].starts_with("  10: ") && told[20].starts_with("  29: "), "{stderr}");
    assert_eq!(told[21..], ["  and 5 more"]);
    assert!(output.status.success());
}

#[test]
fn links_to_folders_hidden_folders_build_folders_and_pipes_are_passed_over() {
    let folder = Folder::new("skipped");
    folder
        .file("crate/Cargo.toml", "found\n")
        .file("crate/target/debug", "found\n")
        .file("crate/.git/config", "found\n")
        .file("archer/target/arrows", "found\n")
        .file(".hidden file", "found\n");
    symlink("..", folder.path("crate/up")).unwrap();
    symlink(".", folder.path("archer/here")).unwrap();
    symlink("crate/Cargo.toml", folder.path("link to a file")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.path("pipe")).status().unwrap().success());
    check(
        &pipeline(&folder.0, "found"),
        0,
        "  matches   files  key                   first seen
        4       4  found                 .hidden file:1

files 4 (gzip 0; skipped as binary 0), lines 4 (cut 0), bytes 24, matches 4
most matches in: .hidden file (1), archer/target/arrows (1), crate/Cargo.toml (1)
",
        "",
    );
}

#[test]
fn folders_may_be_nested_deeper_than_a_stack_would_hold() {
    let folder = Folder::new("deep");
    folder.file(&format!("{}log", "d/".repeat(500)), "found\n");
    let stdout = String::from_utf8(pipeline(&folder.0, "found").stdout).unwrap();
    assert!(stdout.contains("d/d/log:1\n") && stdout.contains(" matches 1\n"), "{stdout}");
}

#[test]
fn a_line_is_cut_after_its_first_mebibyte() {
    const LONGEST: usize = 1 << 20;
    let folder = Folder::new("long");
    let line = |length: usize, end: &str| "a".repeat(length - 1) + "b" + end;
    folder
        .file("longest", line(LONGEST, "\n") + "b\n")
        .file("longest without an end", line(LONGEST, ""))
        .file("longer", line(LONGEST + 1, "\n") + "b\n")
        .file("longer without an end", line(LONGEST + 1, ""));
    check(
        &pipeline(&folder.0, "b$"),
        0,
        "  matches   files  key                   first seen
        4       3  b                     longer:2

files 4 (gzip 0; skipped as binary 0), lines 6 (cut 2), bytes 4,194,312, matches 4
most matches in: longest (2), longer (1), longest without an end (1)
",
        "",
    );
}

#[test]
fn keys_past_the_ten_thousandth_share_the_last_row() {
    let folder = Folder::new("keys");
    let numbers: String = (0..10_003).chain([7]).map(|number| format!("{number}\n")).collect();
    folder.file("numbers", numbers);
    let stdout = String::from_utf8(pipeline(&folder.0, ".+").stdout).unwrap();
    let rows: Vec<&str> = stdout.lines().collect();
    assert_eq!(rows[1], "        2       1  7                     numbers:8");
    assert_eq!(rows[10_001], "        3       1  (other)               numbers:10001");
    assert_eq!(rows[10_002], "");
}

#[test]
fn a_long_key_is_clipped() {
    let folder = Folder::new("clipped");
    folder.file("log", "ä".repeat(100));
    let stdout = String::from_utf8(pipeline(&folder.0, ".+").stdout).unwrap();
    assert!(stdout.contains(&format!(" {}  log:1\n", "ä".repeat(80))), "{stdout}");
}

#[test]
fn without_arguments_it_counts_the_items_in_the_library_s_sources() {
    let output = Command::new(binary()).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let keys: Vec<&str> = stdout.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert_eq!(keys[..2], ["key", "fn"], "{stdout}");
    assert!(["struct", "enum", "trait", "impl", "mod"].iter().all(|item| keys.contains(item)), "{stdout}");
    assert!(output.status.success());
}

#[test]
fn a_bad_pattern_is_shown_and_ends_with_code_two() {
    check(
        &pipeline(&std::env::temp_dir(), "a(b"),
        2,
        "",
        "pipeline: bad pattern: regex parse error:\n    a(b\n     ^\nerror: unclosed group\n",
    );
}

#[test]
fn a_folder_that_cannot_be_read_ends_with_code_one() {
    let folder = Folder::new("missing");
    folder.file("file", "");
    for name in ["nowhere", "file"] {
        let path = folder.path(name);
        let error = fs::read_dir(&path).unwrap_err();
        check(&pipeline(&path, "x"), 1, "", &format!("pipeline: cannot read {}: {error}\n", path.display()));
    }
}

#[test]
fn help_is_given_when_asked_for_and_pointed_to_when_needed() {
    let help = Command::new(binary()).arg("--help").output().unwrap();
    assert!(String::from_utf8(help.stdout).unwrap().contains("Usage: pipeline [FOLDER] [PATTERN]\n"));
    assert!(help.status.success());
    let misuse = Command::new(binary()).args([".", "x", "y"]).output().unwrap();
    check(&misuse, 2, "", "pipeline: more than a folder and a pattern; see --help\n");
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    for arguments in [&["--help"][..], &[]] {
        let (reader, writer) = UnixStream::pair().unwrap();
        drop(reader);
        let output = Command::new(binary())
            .args(arguments)
            .stdout(Stdio::from(OwnedFd::from(writer)))
            .output()
            .unwrap();
        check(&output, 0, "", "");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(binary()).stdout(full).output().unwrap();
    check(&output, 1, "", "pipeline: cannot write: No space left on device (os error 28)\n");
}

/// Without the address sanitizer, which takes terabytes of addresses for itself.
#[test]
#[cfg(all(target_os = "linux", not(feature = "sanitizer")))]
fn a_hundred_and_twenty_eight_mebibytes_are_read_in_sixty_four() {
    let folder = Folder::new("memory");
    let lines = "a".repeat(1023) + "\n";
    folder
        .file("lines.gz", gzip(lines.repeat(1024)).repeat(128))
        .file("one line.gz", gzip("a".repeat(1 << 20)).repeat(128));
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 65536 && exec \"$0\" \"$@\""])
        .args([&binary(), &folder.0, Path::new("^a{9}")])
        .output()
        .unwrap();
    check(
        &output,
        0,
        "  matches   files  key                   first seen
   131073       2  aaaaaaaaa             lines.gz:1

files 2 (gzip 2; skipped as binary 0), lines 131,073 (cut 1), bytes 268,435,456, matches 131,073
most matches in: lines.gz (131072), one line.gz (1)
",
        "",
    );
}

#[test]
fn a_terminal_is_shown_progress_and_nobody_else_is() {
    let folder = Folder::new("progress");
    for number in 0..200 {
        folder.file(&format!("{number:03}.txt"), "fn line\n".repeat(2_000));
    }
    // `script` gives the program a terminal; where it is missing nothing can be shown.
    let command = format!("'{}' '{}' 2>&1 >/dev/null", binary().display(), folder.0.display());
    let Ok(shown) = Command::new("script").args(["-qec", &command, "/dev/null"]).output() else {
        assert!(std::env::var_os("CI").is_none(), "there is no `script`");
        return;
    };
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.contains(" files, ") && text.contains("B/s"), "{text}");
    let piped = Command::new(binary()).arg(&folder.0).output().unwrap();
    assert!(piped.status.success() && piped.stderr.is_empty(), "{}", String::from_utf8_lossy(&piped.stderr));
}
