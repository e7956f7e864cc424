//! Standard input and output: whatever they are, only the task waits, nothing is lost, and others who have them see no change.
//!
//! Each test plays its scenario in a child, and is at the other ends itself.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use ropewalk::{Cancelled, io, task, time};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};

use super::child::{Talking, assert_ended_well, command};

/// What is read and what is written, for us and for the child: `near` is ours.
struct Ends {
    near: File,
    far: OwnedFd,
}

impl Ends {
    /// To a child that reads.
    fn pipe_to() -> Ends {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        Ends { near: writer.into(), far: reader }
    }

    /// From a child that writes.
    fn pipe_from() -> Ends {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        Ends { near: reader.into(), far: writer }
    }

    fn socket() -> Ends {
        let (near, far) = UnixStream::pair().unwrap();
        Ends { near: OwnedFd::from(near).into(), far: far.into() }
    }

    /// Its terminal, and our side of it.
    fn terminal() -> Ends {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let far = rustix::fs::open(ptsname(&near, Vec::new()).unwrap(), flags, Mode::empty()).unwrap();
        Ends { near: near.into(), far }
    }

    /// The other way round: what it has can neither be opened once more nor be read or written without waiting.
    fn stubborn() -> Ends {
        let Ends { near, far } = Ends::terminal();
        Ends { near: far.into(), far: near.into() }
    }

    fn stdio(&self) -> Stdio {
        self.far.try_clone().unwrap().into()
    }

    /// What others see of it: what is open there is the same for us and for the child.
    fn flags(&self) -> OFlags {
        fcntl_getfl(&self.far).unwrap()
    }

    fn set_nonblocking(&self) {
        fcntl_setfl(&self.far, self.flags() | OFlags::NONBLOCK).unwrap();
    }
}

// Reading.

/// Says each line that it reads, and meanwhile that it does something else.
fn repeats_lines() {
    ropewalk::run(|| {
        task::scope(|s| {
            s.spawn(|| {
                for tick in 0..3 {
                    time::sleep(Duration::from_millis(1)).unwrap();
                    println!("tick {tick}");
                }
            });
            for line in io::stdin().lines() {
                println!("<{}>", line.unwrap());
            }
            println!("end");
        });
    });
}

/// The child reads from `ends`; while it waits it does other things, and then gets what we write; `end` is what ends it.
fn is_read(test: &str, ends: Ends, end: &str) {
    let mut command = command(test, repeats_lines);
    let before = ends.flags();
    let mut child = Talking::start({
        command.stdin(ends.stdio());
        command
    });
    child.hear("tick 2");
    (&ends.near).write_all(b"hemp\nsi").unwrap();
    child.hear("<hemp>");
    assert_eq!(ends.flags(), before);
    (&ends.near).write_all(b"sal\n\njute\n").unwrap();
    child.hear("<sisal>");
    child.hear("<>");
    child.hear("<jute>");
    (&ends.near).write_all(end.as_bytes()).unwrap();
    assert_eq!(ends.flags(), before);
    // A terminal that is hung up gives an error instead of the end that was typed.
    let _stays = ends.far.is_terminal().then_some(ends);
    child.hear("end");
    assert!(child.end().0.success());
}

#[test]
fn a_pipe_is_read() {
    is_read("stdio::a_pipe_is_read", Ends::pipe_to(), "");
}

#[test]
fn a_socket_is_read() {
    is_read("stdio::a_socket_is_read", Ends::socket(), "");
}

#[test]
fn a_terminal_is_read() {
    // Ctrl-D.
    is_read("stdio::a_terminal_is_read", Ends::terminal(), "\x04");
}

#[test]
fn what_somebody_else_has_set_not_to_block_is_read() {
    for ends in [Ends::pipe_to(), Ends::socket(), Ends::terminal()] {
        ends.set_nonblocking();
        is_read("stdio::what_somebody_else_has_set_not_to_block_is_read", ends, "\x04");
    }
}

/// As a terminal it ends with an error, once the other side is closed.
fn repeats_lines_until_an_error() {
    ropewalk::run(|| {
        task::scope(|s| {
            s.spawn(|| {
                for tick in 0..3 {
                    time::sleep(Duration::from_millis(1)).unwrap();
                    println!("tick {tick}");
                }
            });
            for line in io::stdin().lines() {
                match line {
                    Ok(line) => println!("<{line}>"),
                    Err(error) => {
                        println!("{error}");
                        break;
                    }
                }
            }
        });
    });
}

#[test]
fn what_can_only_be_read_by_blocking_is_read_by_a_thread() {
    let name = "stdio::what_can_only_be_read_by_blocking_is_read_by_a_thread";
    for is_set_not_to_block in [false, true] {
        let mut command = command(name, repeats_lines_until_an_error);
        let ends = Ends::stubborn();
        if is_set_not_to_block {
            ends.set_nonblocking();
        }
        let before = ends.flags();
        let mut child = Talking::start({
            command.stdin(ends.stdio());
            command
        });
        child.hear("tick 2");
        (&ends.near).write_all(b"hemp\nsisal\n").unwrap();
        child.hear("<hemp>");
        child.hear("<sisal>");
        assert_eq!(ends.flags(), before);
        drop(ends);
        child.hear("Input/output error");
        assert!(child.end().0.success());
    }
}

/// A file with lines, where there is room for it; on the one file system that is known to be in memory, and on another.
fn files() -> Vec<File> {
    let folders = [std::env::temp_dir(), "/dev/shm".into()];
    let there = folders.into_iter().filter(|folder| folder.is_dir());
    there
        .map(|folder| {
            let path =
                folder.join(format!("ropewalk-stdio-{:?}-{}", thread::current().id(), std::process::id()));
            let file =
                File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
            std::fs::remove_file(path).unwrap();
            file
        })
        .collect()
}

#[test]
fn a_file_is_read() {
    for mut file in files() {
        let command = command("stdio::a_file_is_read", || {
            ropewalk::run(|| {
                let mut text = String::new();
                let mut first = String::new();
                assert_eq!(io::stdin().read_line(&mut first).unwrap(), 2);
                io::stdin().read_to_string(&mut text).unwrap();
                assert_eq!(first + &text, (0..100_000).map(|n| format!("{n}\n")).collect::<String>());
                assert_eq!(io::stdin().read(&mut [0]).unwrap(), 0);
            });
        });
        file.write_all((0..100_000).map(|n| format!("{n}\n")).collect::<String>().as_bytes()).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        assert_ended_well(&{ command }.stdin(file).output().unwrap());
    }
}

#[test]
fn nothing_is_at_its_end_at_once() {
    let mut command = command("stdio::nothing_is_at_its_end_at_once", || {
        ropewalk::run(|| assert_eq!(io::read_to_string(io::stdin()).unwrap(), ""));
    });
    assert_ended_well(&command.stdin(Stdio::null()).output().unwrap());
}

/// Reads lines, and gives up each wait after a moment; says so, and how many threads there are.
fn reads_in_spite_of_cancellations() {
    ropewalk::run(|| {
        loop {
            let mut line = String::new();
            let read = time::timeout(Duration::from_millis(1), || io::stdin().read_line(&mut line));
            match read.unwrap_or_else(|elapsed| elapsed.into_inner()) {
                Ok(0) => break,
                Ok(_) => println!("<{}>", line.trim_end()),
                Err(error) if Cancelled::is(&error) => {
                    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
                    println!("cancelled, with {threads} threads");
                    assert!(threads < 5, "threads pile up");
                }
                Err(error) => break println!("{error}"),
            }
        }
    });
}

#[test]
fn a_read_that_was_cancelled_loses_nothing() {
    for ends in [Ends::pipe_to(), Ends::socket(), Ends::terminal(), Ends::stubborn()] {
        let name = "stdio::a_read_that_was_cancelled_loses_nothing";
        let mut child = Talking::start({
            let mut command = command(name, reads_in_spite_of_cancellations);
            command.stdin(ends.stdio());
            command
        });
        (0..20).for_each(|_| child.hear("cancelled"));
        (&ends.near).write_all(b"he").unwrap();
        (0..20).for_each(|_| child.hear("cancelled"));
        (&ends.near).write_all(b"mp\nsisal\nju").unwrap();
        child.hear("<hemp>");
        child.hear("<sisal>");
        (0..20).for_each(|_| child.hear("cancelled"));
        (&ends.near).write_all(b"te\n\x04").unwrap();
        child.hear("<jute>");
        drop(ends);
        assert!(child.end().0.success());
    }
}

#[test]
fn what_a_thread_brings_after_its_reader_was_cancelled_the_next_reader_gets() {
    let name = "stdio::what_a_thread_brings_after_its_reader_was_cancelled_the_next_reader_gets";
    let mut command = command(name, || {
        ropewalk::run(|| {
            task::cancel_scope(|scope| {
                let canceller = scope.canceller();
                task::spawn(move || canceller.cancel());
                assert!(Cancelled::is(&io::stdin().read(&mut [0; 100]).unwrap_err()));
            });
        });
        println!("cancelled");
        // Another runtime, which gives it less room.
        thread::spawn(|| {
            ropewalk::run(|| {
                let mut bytes = [0; 3];
                for expected in [b"hem", b"p,s", b"isa", b"l.."] {
                    io::stdin().read_exact(&mut bytes).unwrap();
                    assert_eq!(&bytes, expected);
                }
            });
        })
        .join()
        .unwrap();
    });
    let ends = Ends::stubborn();
    command.stdin(ends.stdio());
    let mut child = Talking::start(command);
    child.hear("cancelled");
    (&ends.near).write_all(b"hemp,sisal..").unwrap();
    assert!(child.end().0.success());
}

#[test]
fn each_line_is_read_by_one_of_those_who_read() {
    let mut command = command("stdio::each_line_is_read_by_one_of_those_who_read", || {
        let read_two = || {
            ropewalk::run(|| {
                task::scope(|s| {
                    for _ in 0..2 {
                        s.spawn(|| {
                            for line in io::stdin().lines() {
                                println!("<{}>", line.unwrap());
                                task::yield_now();
                            }
                        });
                    }
                });
            });
        };
        thread::scope(|s| {
            s.spawn(read_two);
            s.spawn(read_two);
        });
    });
    let ends = Ends::pipe_to();
    command.stdin(ends.stdio());
    let child = Talking::start(command);
    let Ends { mut near, far } = ends;
    drop(far);
    let writing = thread::spawn(move || (0..2000).for_each(|n| writeln!(near, "line {n}").unwrap()));
    let (status, said) = child.end();
    writing.join().unwrap();
    assert!(status.success());
    let mut lines: Vec<usize> = said
        .lines()
        .filter_map(|line| line.split_once("<line ")?.1.strip_suffix('>')?.parse().ok())
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, (0..2000).collect::<Vec<_>>());
}

#[test]
fn what_was_put_in_the_place_of_a_terminal_is_read() {
    let name = "stdio::what_was_put_in_the_place_of_a_terminal_is_read";
    let mut command = command(name, || {
        ropewalk::run(|| {
            let mut lines = io::stdin().lines();
            println!("<{}>", lines.next().unwrap().unwrap());
            let Ends { mut near, far } = Ends::pipe_to();
            rustix::stdio::dup2_stdin(&far).unwrap();
            near.write_all(b"sisal\n").unwrap();
            assert_eq!(lines.next().unwrap().unwrap(), "sisal");
        });
    });
    let ends = Ends::terminal();
    command.stdin(ends.stdio());
    let mut child = Talking::start(command);
    (&ends.near).write_all(b"hemp\n").unwrap();
    child.hear("<hemp>");
    assert!(child.end().0.success());
}

#[test]
fn a_line_that_is_no_text_is_an_error_and_the_next_one_is_read() {
    let mut command = command("stdio::a_line_that_is_no_text_is_an_error_and_the_next_one_is_read", || {
        ropewalk::run(|| {
            let mut lines = io::stdin().lines();
            assert_eq!(lines.next().unwrap().unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert_eq!(lines.next().unwrap().unwrap(), "hemp");
            // By itself it stays, and can be read as what it is.
            let mut line = String::new();
            let error = io::stdin().read_line(&mut line).unwrap_err();
            assert_eq!((error.kind(), &*line), (io::ErrorKind::InvalidData, ""));
            let mut bytes = Vec::new();
            io::stdin().lock().unwrap().read_until(b'\n', &mut bytes).unwrap();
            assert_eq!(bytes, b"\xfd\n");
        });
    });
    let ends = Ends::pipe_to();
    command.stdin(ends.stdio());
    let child = Talking::start(command);
    (&ends.near).write_all(b"\xff\xfe\nhemp\n\xfd\n").unwrap();
    assert!(child.end().0.success());
}

#[test]
fn a_lock_keeps_others_from_reading_and_is_std_s_bufread() {
    let mut command = command("stdio::a_lock_keeps_others_from_reading_and_is_std_s_bufread", || {
        ropewalk::run(|| {
            task::scope(|s| {
                let mut input = io::stdin().lock().unwrap();
                let other = s.spawn(|| io::read_to_string(io::stdin()).unwrap());
                task::yield_now();
                let mut first = Vec::new();
                assert_eq!(input.read_until(b',', &mut first).unwrap(), 5);
                assert!(input.fill_buf().unwrap().starts_with(b"sisal"));
                assert!(!other.is_finished());
                drop(input);
                assert_eq!(other.join().unwrap(), "sisal");
            });
        });
    });
    let ends = Ends::pipe_to();
    command.stdin(ends.stdio());
    let child = Talking::start(command);
    (&ends.near).write_all(b"hemp,sisal").unwrap();
    drop(ends);
    assert!(child.end().0.success());
}

// Writing.

const MARK: &str = "<<<begin>>>";

/// What the child wrote after its mark.
fn said(near: impl Read) -> String {
    let mut bytes = Vec::new();
    // A terminal whose other side is closed ends with an error.
    let mut near = BufReader::new(near);
    while near.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {}
    let text = String::from_utf8(bytes).unwrap().replace("\r\n", "\n");
    text.split_once(MARK).expect("it has begun").1.to_owned()
}

/// Writes a megabyte; another task goes on and says so, where errors go.
fn writes_much() {
    ropewalk::run(|| {
        task::scope(|s| {
            s.spawn(|| {
                for tick in 0..3 {
                    time::sleep(Duration::from_millis(1)).unwrap();
                    writeln!(io::stderr(), "tick {tick}").unwrap();
                }
            });
            write!(io::stdout(), "{MARK}").unwrap();
            (&io::stdout()).write_all(&much()).unwrap();
        });
    });
}

fn much() -> Vec<u8> {
    (0..100_000).flat_map(|n| format!("{n:09}\n").into_bytes()).collect()
}

/// The child writes to `ends`, where nobody reads until it has done other things.
fn is_written(test: &str, ends: Ends) {
    let mut command = command(test, writes_much);
    let before = ends.flags();
    let mut child = command.stdout(ends.stdio()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    let ticked = errors.find(|line| line.as_ref().unwrap().contains("tick 2"));
    assert!(ticked.is_some(), "the child has ended");
    assert_eq!(ends.flags(), before);
    let Ends { near, far } = ends;
    drop(command);
    drop(far);
    assert!(said(near).into_bytes() == much());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_pipe_is_written_and_whoever_reads_late_delays_only_the_task() {
    is_written("stdio::a_pipe_is_written_and_whoever_reads_late_delays_only_the_task", Ends::pipe_from());
}

#[test]
fn a_socket_is_written() {
    is_written("stdio::a_socket_is_written", Ends::socket());
}

#[test]
fn a_terminal_is_written() {
    is_written("stdio::a_terminal_is_written", Ends::terminal());
}

#[test]
fn what_somebody_else_has_set_not_to_block_is_written() {
    for ends in [Ends::pipe_from(), Ends::socket(), Ends::terminal()] {
        ends.set_nonblocking();
        is_written("stdio::what_somebody_else_has_set_not_to_block_is_written", ends);
    }
}

#[test]
fn a_file_is_written_and_what_println_writes_stands_between() {
    for mut file in files() {
        let name = "stdio::a_file_is_written_and_what_println_writes_stands_between";
        let mut command = command(name, || {
            ropewalk::run(|| {
                print!("{MARK}");
                println!();
                for n in 0..100 {
                    writeln!(io::stdout(), "ours {n}").unwrap();
                    println!("std's {n}");
                }
            });
        });
        assert!(command.stdout(file.try_clone().unwrap()).status().unwrap().success());
        file.seek(SeekFrom::Start(0)).unwrap();
        let expected: String = (0..100).map(|n| format!("ours {n}\nstd's {n}\n")).collect();
        assert_eq!(said(file), format!("\n{expected}"));
    }
}

#[test]
fn nothing_takes_everything() {
    let mut command = command("stdio::nothing_takes_everything", writes_much);
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
}

#[test]
fn lines_of_several_tasks_and_runtimes_are_not_mixed() {
    let mut command = command("stdio::lines_of_several_tasks_and_runtimes_are_not_mixed", || {
        let write_two = |letters: [char; 2]| {
            move || {
                ropewalk::run(|| {
                    task::scope(|s| {
                        for letter in letters {
                            s.spawn(move || {
                                // In pieces, and more than a pipe takes at a time.
                                let part = letter.to_string().repeat(3000);
                                for _ in 0..40 {
                                    writeln!(io::stdout(), "{part}{part}{part}").unwrap();
                                }
                            });
                        }
                    });
                });
            }
        };
        ropewalk::run(|| writeln!(io::stdout(), "{MARK}").unwrap());
        thread::scope(|s| {
            s.spawn(write_two(['a', 'b']));
            s.spawn(write_two(['c', 'd']));
        });
    });
    let Ends { near, far } = Ends::pipe_from();
    let mut child = command.stdout(far).spawn().unwrap();
    drop(command);
    let said = said(near);
    assert!(child.wait().unwrap().success());
    let mut lines: Vec<&str> = said.trim_start().lines().collect();
    lines.sort_unstable();
    let whole = ["a", "b", "c", "d"].map(|letter| letter.repeat(9000));
    let expected: Vec<&str> = whole.iter().flat_map(|line| [line.as_str(); 40]).collect();
    assert!(lines == expected, "{} lines", lines.len());
}

#[test]
fn what_is_written_under_a_lock_stays_together() {
    let mut command = command("stdio::what_is_written_under_a_lock_stays_together", || {
        ropewalk::run(|| {
            task::scope(|s| {
                let mut output = io::stdout().lock().unwrap();
                writeln!(output, "{MARK}").unwrap();
                s.spawn(|| writeln!(io::stdout(), "three").unwrap());
                for word in ["one", "two"] {
                    task::yield_now();
                    writeln!(output, "{word}").unwrap();
                }
            });
        });
    });
    let Ends { near, far } = Ends::pipe_from();
    let mut child = command.stdout(far).spawn().unwrap();
    drop(command);
    assert_eq!(said(near), "\none\ntwo\nthree\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn whoever_waits_for_its_turn_can_be_cancelled_and_a_panic_gives_the_turn_back() {
    let name = "stdio::whoever_waits_for_its_turn_can_be_cancelled_and_a_panic_gives_the_turn_back";
    let mut command = command(name, || {
        ropewalk::run(|| {
            let held = io::stdout().lock().unwrap();
            let waiting = || time::timeout(Duration::from_millis(1), || io::stdout().write(b"never"));
            assert!(Cancelled::is(&waiting().unwrap_err().into_inner().unwrap_err()));
            drop(held);
            let clumsy = task::spawn(|| {
                let _held = io::stdout().lock().unwrap();
                panic!("stumbles");
            });
            assert!(clumsy.join().is_err());
            writeln!(io::stdout(), "{MARK}").unwrap();
        });
    });
    let Ends { near, far } = Ends::pipe_from();
    let mut child = command.stdout(far).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    assert_eq!(said(near), "\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn writing_where_nobody_reads_is_an_error_and_no_signal() {
    let name = "stdio::writing_where_nobody_reads_is_an_error_and_no_signal";
    for ends in [Ends::pipe_from(), Ends::socket()] {
        let mut command = command(name, || {
            ropewalk::run(|| {
                writeln!(io::stdout(), "{MARK}").unwrap();
                let error = io::stdout().write_all(&much()).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            });
            // Not by std's way out, which would write what is left.
            std::process::exit(7);
        });
        let Ends { near, far } = ends;
        let mut child = command.stdout(far).spawn().unwrap();
        drop(command);
        let mut near = BufReader::new(near);
        let mut line = String::new();
        while !line.contains(MARK) {
            near.read_line(&mut line).unwrap();
        }
        drop(near);
        assert_eq!(child.wait().unwrap().code(), Some(7));
    }
}

#[test]
fn a_write_that_was_cancelled_has_written_nothing() {
    let name = "stdio::a_write_that_was_cancelled_has_written_nothing";
    for ends in [Ends::pipe_from(), Ends::socket(), Ends::terminal()] {
        let mut command = command(name, || {
            ropewalk::run(|| {
                write!(io::stdout(), "{MARK}").unwrap();
                let mut written = 0;
                let cut = time::timeout(Duration::from_millis(20), || {
                    loop {
                        match io::stdout().write(&[b'x'; 1000]) {
                            Ok(count) => written += count,
                            Err(error) => break error,
                        }
                    }
                });
                assert!(Cancelled::is(&cut.unwrap_err().into_inner()));
                eprintln!("{written}");
            });
        });
        let mut child = command.stdout(ends.stdio()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let written: usize = errors.find_map(|line| line.unwrap().parse().ok()).unwrap();
        let Ends { near, far } = ends;
        drop(command);
        drop(far);
        let said = said(near);
        // What else there may be is not the child's program's.
        assert_eq!(said.matches('x').count(), written);
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn what_can_only_be_written_by_blocking_is_written_by_a_thread() {
    let name = "stdio::what_can_only_be_written_by_blocking_is_written_by_a_thread";
    for is_set_not_to_block in [false, true] {
        let mut command = command(name, || {
            ropewalk::run(|| {
                task::scope(|s| {
                    s.spawn(|| {
                        for tick in 0..3 {
                            time::sleep(Duration::from_millis(1)).unwrap();
                            eprintln!("tick {tick}");
                        }
                    });
                    writeln!(io::stdout(), "{MARK}").unwrap();
                    for n in 0..2000 {
                        writeln!(io::stdout(), "line {n}").unwrap();
                    }
                    writeln!(io::stdout(), "end").unwrap();
                });
            });
        });
        let ends = Ends::stubborn();
        if is_set_not_to_block {
            ends.set_nonblocking();
        }
        let mut child = command.stdout(ends.stdio()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(errors.find(|line| line.as_ref().unwrap().contains("tick 2")).is_some());
        // As what is typed: lines come out as they went in.
        let mut near = BufReader::new(&ends.near);
        let mut text = String::new();
        while !text.ends_with("end\n") {
            near.read_line(&mut text).unwrap();
        }
        let lines: Vec<&str> = text.split_once(MARK).unwrap().1.trim_start().lines().collect();
        assert_eq!(lines.len(), 2001);
        assert!((0..2000).all(|n| lines[n] == format!("line {n}")));
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn our_streams_do_not_run_outside_of_a_runtime() {
    for call in [
        || drop(io::stdin().read(&mut [0])),
        || drop(io::stdout().write(b"x")),
        || drop(io::stderr().write(b"x")),
    ] {
        thread::spawn(call).join().unwrap_err();
    }
}
