//! What files were lent is given back, whatever is cut short: reads and writes are cancelled at every point, with both drivers and
//! with rings that are much too small.
//!
//! Each byte of a file says where it stands, so that whoever reads sees at once what was lost, came twice, or was written to a
//! buffer that was not lent at that time.

use std::cell::Cell;
use std::io::{IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use ropewalk::fs::{self, File, OpenOptions};
use ropewalk::testing::{Setup, random};
use ropewalk::{Cancelled, Clock, Driver, inspect, task, time};

use crate::folder::{Folder, forget};

/// No byte of a file looks like it.
const UNTOUCHED: u8 = 0xee;
/// Bytes are numbered modulo a prime, so that no size of a buffer hides a shift.
const MODULUS: u64 = 199;

fn byte_at(position: u64) -> u8 {
    (position % MODULUS) as u8
}

fn numbered(from: u64, count: usize) -> Vec<u8> {
    (from..from + count as u64).map(byte_at).collect()
}

/// Runs `operation` as code that is cut short at a random moment: by a deadline, by another task, or before it begins.
fn cut_short<T>(operation: impl FnOnce() -> T) -> T {
    match random(6) {
        0 => time::timeout(Duration::from_nanos(random(3) as u64), operation).unwrap_or_else(|late| late.0),
        1 => task::cancel_scope(|scope| {
            scope.cancel();
            operation()
        }),
        2 | 3 => task::cancel_scope(|scope| {
            let canceller = scope.canceller();
            let steps = random(6);
            let other = task::spawn(move || {
                (0..steps).for_each(|_| task::yield_now());
                canceller.cancel();
            });
            let done = operation();
            other.cancel();
            task::shield(|| drop(other.join()));
            done
        }),
        _ => operation(),
    }
}

/// Reads at a random place, or at the position, and looks at what lies around it.
fn read_once(file: &mut File, size: u64) {
    let mut buffer = vec![UNTOUCHED; 100 + random([30, 5_000, 60_000][random(3)]) + 100];
    let end = buffer.len() - 100;
    let lent = 100..end;
    let before = file.stream_position().unwrap();
    let way = random(4);
    let is_at_place = way > 1;
    let (at, read) = match way {
        0 => (before, cut_short(|| file.read(&mut buffer[lent]))),
        1 => (before, cut_short(|| (&*file).read(&mut buffer[lent]))),
        2 => {
            let at = random(size as usize) as u64;
            (at, cut_short(|| file.read_at(&mut buffer[lent], at)))
        }
        _ => {
            let at = random(size as usize) as u64;
            let (one, two) = buffer[lent].split_at_mut((end - 100) / 3);
            let mut parts = [IoSliceMut::new(one), IoSliceMut::new(two)];
            (at, cut_short(|| file.read_vectored_at(&mut parts, at)))
        }
    };
    let count = match read {
        Ok(count) => count,
        Err(error) => {
            assert!(Cancelled::is(&error), "{error}");
            0
        }
    };
    let after = file.stream_position().unwrap();
    assert_eq!(after, if is_at_place { before } else { before + count as u64 });
    assert!(buffer[100..100 + count].iter().zip(at..).all(|(&byte, at)| byte == byte_at(at)));
    let others = buffer[..100].iter().chain(&buffer[end..]);
    assert!(others.chain(&buffer[100 + count..end]).all(|&byte| byte == UNTOUCHED));
    // What was lent is used for something else, and stays that.
    buffer.fill(UNTOUCHED);
    (0..random(4)).for_each(|_| task::yield_now());
    assert!(std::hint::black_box(&buffer).iter().all(|&byte| byte == UNTOUCHED));
    if random(3) == 0 {
        file.seek(SeekFrom::Start(random(size as usize) as u64)).unwrap();
    }
}

fn read_and_cut(setup: &Setup, seeds: u64) {
    const SIZE: u64 = 200_000;
    let folder = Folder::new();
    let path = folder.join("file");
    std::fs::write(&path, numbered(0, SIZE as usize)).unwrap();
    setup.explore(0..seeds, || {
        if random(2) == 0 {
            forget(&path);
        }
        task::scope(|s| {
            for _ in 0..1 + random(4) {
                s.spawn(|| {
                    let mut file = File::open(&path).unwrap();
                    (0..8).for_each(|_| read_once(&mut file, SIZE));
                });
            }
        });
        assert_eq!(inspect::driver().unwrap().in_flight, 0);
    });
}

/// What a test in real time needs, of which cancellations by time are a part.
fn with(driver: Driver) -> Setup {
    Setup::new().driver(driver).clock(Clock::Real)
}

#[test]
fn nothing_is_read_late_nor_lost_whatever_is_cancelled_with_epoll() {
    read_and_cut(&with(Driver::Epoll), 60);
}

#[test]
fn nothing_is_read_late_nor_lost_whatever_is_cancelled_with_a_ring() {
    read_and_cut(&with(Driver::Uring), 60);
}

#[test]
fn nothing_is_read_late_nor_lost_with_a_ring_that_is_always_full() {
    read_and_cut(&with(Driver::Uring).ring_entries(1), 30);
}

/// Writes pieces of a numbered file one after the other, each cut short; what was written counts, and nothing else is there.
fn write_and_cut(setup: &Setup, seeds: u64) {
    let folder = Folder::new();
    setup.explore(0..seeds, || {
        let path = folder.join("file");
        let appends = random(2) == 0;
        let mut options = OpenOptions::new();
        let options = options.read(true).create(true).truncate(!appends).write(true).append(appends);
        let _ = std::fs::remove_file(&path);
        let mut file = options.open(&path).unwrap();
        let mut written = 0_u64;
        for _ in 0..20 {
            let mut bytes = numbered(written, 1 + random([30, 5_000, 60_000][random(3)]));
            let done = match random(4) {
                0 => cut_short(|| file.write(&bytes)),
                1 => cut_short(|| (&file).write(&bytes)),
                2 => {
                    let (one, two) = bytes.split_at(bytes.len() / 2);
                    cut_short(|| file.write_vectored(&[IoSlice::new(one), IoSlice::new(two)]))
                }
                // The position is to follow, as if it had been written there.
                _ => cut_short(|| file.write_at(&bytes, written)).inspect(|&count| {
                    file.seek(SeekFrom::Start(written + count as u64)).unwrap();
                }),
            };
            // Whoever writes late writes this.
            bytes.fill(UNTOUCHED);
            match done {
                Ok(count) => written += count as u64,
                Err(error) => assert!(Cancelled::is(&error), "{error}"),
            }
            (0..random(3)).for_each(|_| task::yield_now());
            assert_eq!(file.metadata().unwrap().len(), written);
        }
        cut_short(|| file.sync_data()).err().inspect(|error| assert!(Cancelled::is(error)));
        let found = fs::read(&path).unwrap();
        assert_eq!(found.len() as u64, written);
        assert!(found.iter().zip(0..).all(|(&byte, at)| byte == byte_at(at)));
        assert_eq!(inspect::driver().map_or(0, |choice| choice.in_flight), 0);
    });
}

#[test]
fn what_is_said_to_be_written_is_and_nothing_else_whatever_is_cancelled_with_epoll() {
    write_and_cut(&with(Driver::Epoll), 40);
}

#[test]
fn what_is_said_to_be_written_is_and_nothing_else_whatever_is_cancelled_with_a_ring() {
    write_and_cut(&with(Driver::Uring), 40);
    write_and_cut(&with(Driver::Uring).ring_entries(1), 20);
}

/// How many descriptors this process has on files below `folder`.
fn open_in(folder: &Folder) -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    // Those of other tests come and go meanwhile.
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(folder)).count()
}

#[test]
fn an_opening_that_is_cancelled_makes_nothing_or_returns_it_and_leaks_no_descriptor() {
    for setup in [with(Driver::Epoll), with(Driver::Uring), with(Driver::Uring).ring_entries(1)] {
        let folder = Folder::new();
        setup.explore(0..60, || {
            task::scope(|s| {
                for number in 0..1 + random(4) {
                    let path = folder.join(number.to_string());
                    s.spawn(move || {
                        for _ in 0..6 {
                            match cut_short(|| File::create_new(&path)) {
                                Ok(file) => {
                                    drop(file);
                                    std::fs::remove_file(&path).unwrap();
                                }
                                Err(error) => {
                                    assert!(Cancelled::is(&error), "{error}");
                                    assert!(!std::fs::exists(&path).unwrap());
                                }
                            }
                        }
                    });
                }
            });
            assert_eq!(open_in(&folder), 0);
        });
    }
}

#[test]
fn a_call_on_a_path_that_is_cancelled_is_made_or_is_not() {
    for setup in [with(Driver::Epoll), with(Driver::Uring), with(Driver::Uring).ring_entries(1)] {
        let folder = Folder::new();
        setup.explore(0..60, || {
            let (one, two) = (folder.join("one"), folder.join("two"));
            let made = |done: std::io::Result<()>| match done {
                Ok(()) => true,
                Err(error) => {
                    assert!(Cancelled::is(&error), "{error}");
                    false
                }
            };
            let is_there = |path| std::fs::symlink_metadata(path).is_ok();
            assert_eq!(made(cut_short(|| fs::create_dir(&one))), is_there(&one));
            if is_there(&one) {
                assert_eq!(made(cut_short(|| fs::rename(&one, &two))), is_there(&two));
                assert_ne!(is_there(&one), is_there(&two));
                let there = if is_there(&one) { &one } else { &two };
                assert_ne!(made(cut_short(|| fs::remove_dir(there))), is_there(there));
            }
            let _ = std::fs::remove_dir(&one).or_else(|_| std::fs::remove_dir(&two));
            assert_eq!(made(cut_short(|| fs::symlink("two", &one))), is_there(&one));
            std::fs::write(&two, "rope").unwrap();
            let three = folder.join("three");
            assert_eq!(made(cut_short(|| fs::hard_link(&two, &three))), is_there(&three));
            assert_ne!(made(cut_short(|| fs::remove_file(&two))), is_there(&two));
            for path in [one, two, three] {
                let _ = std::fs::remove_file(path);
            }
        });
    }
}

/// A small program, cancelled at each of its moments: its file is whole, or as it was.
#[test]
fn a_program_with_files_that_is_cancelled_at_any_moment_leaves_no_half_of_anything() {
    for driver in [Driver::Epoll, Driver::Uring] {
        let folder = Folder::new();
        let path = folder.join("settings");
        // How often a thread, or the system, has still to be waited for is not the same each time, so that moments are counted by hand: by steps of
        // the task that cancels.
        for steps in 0..80 {
            std::fs::write(&path, "before").unwrap();
            Setup::new().driver(driver).run(|| {
                let replaced = task::cancel_scope(|scope| {
                    let canceller = scope.canceller();
                    let other = task::spawn(move || {
                        (0..steps).for_each(|_| task::yield_now());
                        canceller.cancel();
                    });
                    let replaced = (|| -> std::io::Result<()> {
                        let fresh = folder.join("fresh");
                        let mut file = File::create(&fresh)?;
                        file.write_all(b"after")?;
                        file.sync_all()?;
                        fs::rename(&fresh, &path)
                    })();
                    task::shield(|| drop(other.join()));
                    replaced
                });
                let expected = match replaced {
                    Ok(()) => "after",
                    Err(error) => {
                        assert!(Cancelled::is(&error), "{error}");
                        "before"
                    }
                };
                assert_eq!(fs::read_to_string(&path).unwrap(), expected);
            });
            assert_eq!(open_in(&folder), 0);
        }
    }
}

#[test]
fn what_a_child_reads_into_is_its_parents_again_when_the_scope_ends_by_a_panic() {
    for driver in [Driver::Epoll, Driver::Uring] {
        let folder = Folder::new();
        let path = folder.join("file");
        std::fs::write(&path, numbered(0, 100_000)).unwrap();
        with(driver).allow(|_| true).run(|| {
            for _ in 0..20 {
                forget(&path);
                let file = File::open(&path).unwrap();
                let (mut buffer, read) = (vec![UNTOUCHED; 100_000], Cell::new(0));
                let panicked = panic::catch_unwind(AssertUnwindSafe(|| {
                    task::scope(|s| {
                        s.spawn(|| read.set(file.read_at(&mut buffer, 0).unwrap_or(0)));
                        task::yield_now();
                        panic::panic_any("the body");
                    });
                }));
                assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "the body");
                let count = read.get();
                assert!(buffer[..count].iter().zip(0..).all(|(&byte, at)| byte == byte_at(at)));
                assert!(buffer[count..].iter().all(|&byte| byte == UNTOUCHED));
                buffer.fill(UNTOUCHED);
                (0..5).for_each(|_| task::yield_now());
                assert!(std::hint::black_box(&buffer).iter().all(|&byte| byte == UNTOUCHED));
            }
        });
    }
}
