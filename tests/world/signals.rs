//! Signals: each stream gets them, none is lost, and what they did before comes back.
//!
//! They go to the whole process: each test has signals of its own, or a process.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use ropewalk::lowlevel::{WaitList, Why};
use ropewalk::select::{Chosen, select};
use ropewalk::signal::{self, Signal, Signals};
use ropewalk::{Cancelled, Reason, RunError, Runtime, inspect, sync, task, time};
use rustix::process::Signal as Raw;

use super::child::{Talking, assert_ended_well, command, errors_of, in_child};

/// A signal that no other test has.
fn own(number: u32) -> Signal {
    Signal::real_time(number).expect("there are thirty")
}

/// For what is over long before, unless something is wrong.
const LONG: Duration = Duration::from_secs(30);

/// To the process, not to this thread: whichever thread the system takes.
fn send(signal: Raw) {
    rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
}

#[test]
fn a_task_that_waits_for_a_signal_gets_it_and_others_run_meanwhile() {
    ropewalk::run(|| {
        let signals = Signals::new([own(0)]).unwrap();
        task::scope(|s| {
            let got = s.spawn(|| signals.recv().unwrap());
            time::sleep(Duration::from_millis(1)).unwrap();
            assert!(inspect::dump().to_string().contains(": waits for signal on descriptor "));
            own(0).raise().unwrap();
            assert_eq!(got.join().unwrap(), own(0));
        });
        assert_eq!(signals.try_recv(), None);
    });
}

#[test]
fn all_streams_of_a_signal_get_it_in_whatever_runtime_and_thread() {
    let listening = Barrier::new(5);
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                let (one, two) = (Signals::new([own(1)]).unwrap(), Signals::new([own(1), own(29)]).unwrap());
                listening.wait();
                ropewalk::run(|| {
                    task::scope(|s| {
                        s.spawn(|| assert_eq!(one.recv().unwrap(), own(1)));
                        assert_eq!(two.recv().unwrap(), own(1));
                    });
                });
                assert_eq!((one.try_recv(), two.try_recv()), (None, None));
            });
        }
        listening.wait();
        own(1).raise().unwrap();
    });
}

#[test]
fn what_came_before_the_runtime_is_there_and_many_of_a_kind_are_one() {
    let signals = Signals::new([own(2), own(3), own(4)]).unwrap();
    for signal in [own(4), own(2), own(4), own(3), own(4), own(2)] {
        signal.raise().unwrap();
    }
    let got: Vec<Signal> = ropewalk::run(|| signals.iter().take(3).collect::<io::Result<_>>()).unwrap();
    // In the order in which each came first.
    assert_eq!(got, [own(4), own(2), own(3)]);
    assert_eq!(signals.try_recv(), None);
}

#[test]
fn a_flood_that_nobody_reads_loses_no_other_signal() {
    let signals = Signals::new([own(5), own(6)]).unwrap();
    // More than a pipe has room for.
    for _ in 0..70_000 {
        own(5).raise().unwrap();
    }
    own(6).raise().unwrap();
    ropewalk::run(|| {
        assert_eq!(signals.recv().unwrap(), own(5));
        assert_eq!(signals.recv().unwrap(), own(6));
        // The bell is silent in the end, whatever was in it.
        let none = time::timeout(Duration::from_millis(1), || signals.recv());
        assert!(Cancelled::is(&none.unwrap_err().into_inner().unwrap_err()));
        own(5).raise().unwrap();
        assert_eq!(signals.recv().unwrap(), own(5));
    });
}

/// Threads send bursts of two signals; after the last of each round every stream must get both once more.
#[test]
fn after_the_last_of_a_burst_every_stream_gets_each_signal_once_more() {
    const ROUNDS: u64 = 40;
    const STREAMS: u64 = 4;
    let (round, followed, listening) = (AtomicU64::new(0), AtomicU64::new(0), Barrier::new(3));
    let follow = |signals: &Signals| {
        for this in 1..=ROUNDS {
            let mut seen = [false, false];
            while seen != [true, true] {
                let signal = time::timeout(LONG, || signals.recv()).expect("none is lost").unwrap();
                if round.load(Ordering::SeqCst) == this {
                    seen[usize::from(signal == Signal::USR2)] = true;
                }
            }
            followed.fetch_add(1, Ordering::SeqCst);
        }
    };
    let both = |times: usize| {
        for _ in 0..times {
            send(Raw::USR1);
            send(Raw::USR2);
        }
    };
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                let signals = [(); STREAMS as usize / 2].map(|()| Signals::new([Signal::USR1, Signal::USR2]));
                listening.wait();
                ropewalk::run(|| {
                    task::scope(|s| {
                        for signals in &signals {
                            s.spawn(|| follow(signals.as_ref().unwrap()));
                        }
                    });
                });
            });
        }
        // Before, they would kill.
        listening.wait();
        let _keeps = Signals::new([Signal::USR1, Signal::USR2]).unwrap();
        for this in 1..=ROUNDS {
            thread::scope(|s| {
                s.spawn(|| both(25));
                s.spawn(|| both(25));
            });
            round.store(this, Ordering::SeqCst);
            both(1);
            while followed.load(Ordering::SeqCst) < this * STREAMS {
                thread::yield_now();
            }
        }
    });
}

/// One signal at a time, each at another moment of what the task does after the last.
#[test]
fn a_signal_that_comes_while_a_task_looks_for_one_is_not_missed() {
    const TIMES: u64 = 10_000;
    let signals = Signals::new([own(20)]).unwrap();
    let taken = AtomicU64::new(0);
    thread::scope(|s| {
        s.spawn(|| {
            for this in 0..TIMES {
                while taken.load(Ordering::SeqCst) < this {
                    // The task has a processor of its own, or gets this one.
                    thread::yield_now();
                }
                own(20).raise().unwrap();
            }
        });
        ropewalk::run(|| {
            let all = time::timeout(2 * LONG, || {
                for this in 1..=TIMES {
                    assert_eq!(signals.recv().unwrap(), own(20));
                    taken.store(this, Ordering::SeqCst);
                    (0..this % 64 * 8).for_each(|_| std::hint::spin_loop());
                }
            });
            all.expect("none is missed");
        });
    });
}

#[test]
fn streams_come_and_go_while_signals_arrive() {
    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    // Before, and after, they would kill.
    let keeps = Signals::new([own(18), own(19)]).unwrap();
    thread::scope(|s| {
        s.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                own(18).raise().unwrap();
                own(19).raise().unwrap();
                sent.fetch_add(1, Ordering::SeqCst);
            }
        });
        let come_and_go = || {
            ropewalk::run(|| {
                for _ in 0..60 {
                    let signals = Signals::new([own(18), own(19)]).unwrap();
                    let first = time::timeout(LONG, || signals.recv()).expect("some come").unwrap();
                    let second = time::timeout(LONG, || signals.recv()).expect("some come").unwrap();
                    // Both kinds come again and again; of one kind there may be two between.
                    assert!([first, second].iter().all(|signal| [own(18), own(19)].contains(signal)));
                }
            });
        };
        let coming = [s.spawn(come_and_go), s.spawn(come_and_go)];
        coming.into_iter().for_each(|coming| coming.join().unwrap());
        over.store(true, Ordering::SeqCst);
    });
    assert!(sent.load(Ordering::SeqCst) > 0);
    let mut got = [keeps.try_recv().unwrap(), keeps.try_recv().unwrap()];
    got.sort_unstable();
    assert_eq!((got, keeps.try_recv()), ([own(18), own(19)], None));
}

#[test]
fn a_wait_that_is_cut_short_takes_nothing() {
    ropewalk::run(|| {
        let signals = Signals::new([own(7)]).unwrap();
        let cut = time::timeout(Duration::from_millis(1), || signals.recv());
        assert!(Cancelled::is(&cut.unwrap_err().into_inner().unwrap_err()));
        own(7).raise().unwrap();
        // One that has come is left alone by whoever was cancelled before.
        task::cancel_scope(|scope| {
            scope.cancel();
            assert!(Cancelled::is(&signals.recv().unwrap_err()));
        });
        assert_eq!(signals.recv().unwrap(), own(7));
    });
}

#[test]
fn an_arm_waits_for_a_signal_and_takes_none_unless_it_is_chosen() {
    ropewalk::run(|| {
        let (left, right) = (Signals::new([own(8)]).unwrap(), Signals::new([own(9)]).unwrap());
        task::scope(|s| {
            s.spawn(|| {
                time::sleep(Duration::from_millis(1)).unwrap();
                own(9).raise().unwrap();
                own(8).raise().unwrap();
            });
            let chosen = select((left.receiving(), right.receiving())).unwrap();
            // Both have come when the task goes on; the other one is still there.
            match chosen {
                Chosen::First(signal) => {
                    assert_eq!(signal.unwrap(), own(8));
                    assert_eq!(right.recv().unwrap(), own(9));
                }
                Chosen::Second(signal) => {
                    assert_eq!(signal.unwrap(), own(9));
                    assert_eq!(left.recv().unwrap(), own(8));
                }
            }
        });
        let limit = time::sleeping(Duration::from_millis(1));
        assert!(matches!(select((left.receiving(), limit)), Ok(Chosen::Second(()))));
    });
}

#[test]
fn a_second_task_that_would_wait_at_a_stream_is_refused_and_the_first_does_not_notice() {
    ropewalk::run(|| {
        let signals = Signals::new([own(10)]).unwrap();
        task::scope(|s| {
            let first = s.spawn(|| signals.recv());
            task::yield_now();
            assert_eq!(signals.recv().unwrap_err().kind(), io::ErrorKind::ResourceBusy);
            own(10).raise().unwrap();
            assert_eq!(first.join().unwrap().unwrap(), own(10));
        });
    });
}

#[test]
fn whoever_takes_one_of_two_signals_leaves_the_bell_ringing_for_others() {
    ropewalk::run(|| {
        let signals = Signals::new([own(11), own(12)]).unwrap();
        task::scope(|s| {
            let other = s.spawn(|| time::timeout(LONG, || signals.recv()).expect("it is woken").unwrap());
            time::sleep(Duration::from_millis(1)).unwrap();
            own(11).raise().unwrap();
            own(12).raise().unwrap();
            // Before whoever waits has been woken; then the bell is silent.
            assert_eq!(signals.try_recv(), Some(own(11)));
            assert_eq!(other.join().unwrap(), own(12));
        });
    });
}

#[test]
fn a_stream_goes_to_another_runtime_on_another_thread() {
    let signals = Signals::new([own(13)]).unwrap();
    ropewalk::run(|| {
        let cut = time::timeout(Duration::from_millis(1), || signals.recv());
        assert!(cut.is_err());
    });
    thread::spawn(move || {
        ropewalk::run(|| {
            own(13).raise().unwrap();
            assert_eq!(signals.recv().unwrap(), own(13));
        });
    })
    .join()
    .unwrap();
}

#[test]
fn what_cannot_be_caught_is_refused_and_then_nothing_is_listened_to() {
    let refused = [Signal::KILL, Signal::STOP, Signal::SEGV, Signal::BUS, Signal::ILL, Signal::FPE];
    for signal in refused {
        let error = Signals::new([own(14), signal]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&signal.to_string()), "{error}");
    }
    let output =
        in_child("signals::what_cannot_be_caught_is_refused_and_then_nothing_is_listened_to", || {
            Signals::new([Signal::TERM, Signal::KILL]).unwrap_err();
            Signal::TERM.raise().unwrap();
        });
    assert_eq!(output.status.signal(), Some(15), "{}", errors_of(&output));
}

#[test]
fn signals_have_names_and_numbers() {
    for name in ["INT", "TERM", "HUP", "CHLD", "WINCH", "RTMIN+3"] {
        let signal: Signal = name.parse().unwrap();
        assert_eq!(signal.to_string(), format!("SIG{name}"));
        assert_eq!(signal.to_string().to_lowercase().parse::<Signal>().unwrap(), signal);
        assert_eq!(Signal::from_raw(signal.as_raw()), Some(signal));
    }
    assert_eq!(Signal::from_raw(2), Some(Signal::INT));
    // 32 and 33 are the C library's own.
    assert_eq!([0, -1, 32, 33, 65, 1000].map(Signal::from_raw), [None; 6]);
    assert_eq!(Signal::real_time(1000), None);
    for name in ["", "SIG", "SIGSIGINT", "NOTHING", "RTMIN+999", "RTMIN+"] {
        assert_eq!(name.parse::<Signal>().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

// What it was before.

#[test]
fn when_the_last_stream_is_gone_the_signal_does_what_it_did_before() {
    let name = "signals::when_the_last_stream_is_gone_the_signal_does_what_it_did_before";
    let output = in_child(name, || {
        for _ in 0..3 {
            let (first, second) =
                (Signals::new([Signal::TERM]).unwrap(), Signals::new([Signal::TERM]).unwrap());
            drop(first);
            Signal::TERM.raise().unwrap();
            assert_eq!(second.try_recv(), Some(Signal::TERM));
        }
        eprintln!("still there");
        Signal::TERM.raise().unwrap();
        eprintln!("and still");
    });
    assert_eq!(output.status.signal(), Some(15), "{}", errors_of(&output));
    assert!(errors_of(&output).contains("still there") && !errors_of(&output).contains("and still"));
}

/// The command, started by a shell that has it ignore signals.
fn ignoring(signals: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("trap '' {signals}; exec \"$0\" \"$@\"")).arg(command.get_program());
    shell.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[test]
fn what_was_ignored_is_heard_by_a_stream_and_ignored_again() {
    let name = "signals::what_was_ignored_is_heard_by_a_stream_and_ignored_again";
    let command = command(name, || {
        let signals = Signals::new([Signal::HUP]).unwrap();
        Signal::HUP.raise().unwrap();
        assert_eq!(signals.try_recv(), Some(Signal::HUP));
        drop(signals);
        Signal::HUP.raise().unwrap();
    });
    assert_ended_well(&ignoring("HUP", &command).output().unwrap());
}

#[test]
fn a_handler_that_was_there_before_is_called_too_and_stays() {
    static CALLED: AtomicU64 = AtomicU64::new(0);
    extern "C" fn before(_: libc::c_int) {
        CALLED.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: the handler has the signature that goes without SA_SIGINFO, and only adds to an atomic.
    unsafe { libc::signal(own(15).as_raw(), before as *const () as libc::sighandler_t) };
    for round in 1..=2 {
        let signals = Signals::new([own(15)]).unwrap();
        own(15).raise().unwrap();
        assert_eq!(signals.try_recv(), Some(own(15)));
        drop(signals);
        own(15).raise().unwrap();
        assert_eq!(CALLED.load(Ordering::SeqCst), 2 * round);
    }
}

#[test]
fn a_handler_that_somebody_put_there_meanwhile_is_left_alone() {
    static CALLED: AtomicBool = AtomicBool::new(false);
    extern "C" fn other(_: libc::c_int) {
        CALLED.store(true, Ordering::SeqCst);
    }
    let signals = Signals::new([own(16)]).unwrap();
    // SAFETY: as above.
    unsafe { libc::signal(own(16).as_raw(), other as *const () as libc::sighandler_t) };
    drop(signals);
    own(16).raise().unwrap();
    assert!(CALLED.load(Ordering::SeqCst));
}

#[test]
fn children_have_their_signals_as_by_default() {
    let _signals = Signals::new([Signal::USR1, Signal::USR2]).unwrap();
    let status = Command::new("sh").args(["-c", "kill -USR1 $$"]).status().unwrap();
    assert_eq!(status.signal(), Some(10));
}

#[test]
fn a_forked_process_takes_no_signals_of_its_parent() {
    let output = in_child("signals::a_forked_process_takes_no_signals_of_its_parent", || {
        let signals = Signals::new([Signal::USR1]).unwrap();
        Signal::USR1.raise().unwrap();
        // SAFETY: this process has hardly another thread; the child calls what may be called there, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let raised = Signal::USR1.raise().is_ok() && signals.try_recv().is_none();
            // SAFETY: it ends the process.
            unsafe { libc::_exit(if raised { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: it writes to what it is given.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
        // The bell has not been silenced.
        ropewalk::run(|| {
            let chosen = select((signals.receiving(), time::sleeping(LONG))).unwrap();
            assert!(matches!(chosen, Chosen::First(Ok(signal)) if signal == Signal::USR1));
        });
        assert_eq!(signals.try_recv(), None);
    });
    assert_ended_well(&output);
}

#[test]
fn a_thousand_streams_leave_no_descriptor_behind() {
    let output = in_child("signals::a_thousand_streams_leave_no_descriptor_behind", || {
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        ropewalk::run(|| {
            let round = || {
                let signals = Signals::new([Signal::USR1, Signal::TERM]).unwrap();
                Signal::TERM.raise().unwrap();
                assert_eq!(signals.recv().unwrap(), Signal::TERM);
                // Known to the driver, too.
                let cut = time::timeout(Duration::ZERO, || signals.recv());
                assert!(cut.is_err_and(|elapsed| elapsed.into_inner().is_err()));
            };
            round();
            let before = open();
            (0..1000).for_each(|_| round());
            assert_eq!(open(), before);
        });
    });
    assert_ended_well(&output);
}

/// Uses all of the stack but a few hundred bytes, and there waits to be told to go on.
#[inline(never)]
fn at_the_end_of_the_stack(end: usize, is_there: &AtomicBool, go_on: &AtomicBool) -> u8 {
    let frame = black_box([0_u8; 64]);
    if black_box(frame.as_ptr()) as usize - end > 600 {
        return black_box(at_the_end_of_the_stack(end, is_there, go_on)) + frame[0];
    }
    is_there.store(true, Ordering::SeqCst);
    while !go_on.load(Ordering::SeqCst) {}
    frame[0]
}

#[test]
fn a_signal_that_finds_a_task_at_the_end_of_its_stack_does_no_harm() {
    const STACK: usize = 64 << 10;
    let output = in_child("signals::a_signal_that_finds_a_task_at_the_end_of_its_stack_does_no_harm", || {
        let signals = Signals::new([Signal::USR1]).unwrap();
        let (is_there, go_on) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        // SAFETY: it asks for a number.
        let deep = unsafe { libc::pthread_self() };
        let sender = thread::spawn({
            let (is_there, go_on) = (is_there.clone(), go_on.clone());
            move || {
                while !is_there.load(Ordering::SeqCst) {}
                // SAFETY: the thread waits for this one.
                assert_eq!(unsafe { libc::pthread_kill(deep, libc::SIGUSR1) }, 0);
                let began = Instant::now();
                while signals.try_recv().is_none() {
                    if began.elapsed() > LONG {
                        std::process::abort();
                    }
                }
                go_on.store(true, Ordering::SeqCst);
            }
        });
        Runtime::builder().stack_size(STACK).build().run(|| {
            let here = 0_u8;
            // Where its slot ends: a page that the first frame is in, and the stack below.
            let top = (black_box(&raw const here) as usize).next_multiple_of(4096);
            assert_eq!(at_the_end_of_the_stack(top - STACK, &is_there, &go_on), 0);
        });
        sender.join().unwrap();
    });
    assert_ended_well(&output);
}

#[test]
fn many_signals_at_one_moment_do_no_harm() {
    let output = in_child("signals::many_signals_at_one_moment_do_no_harm", || {
        let all = || (0..24).map(own).chain([Signal::USR1, Signal::USR2, Signal::TERM, Signal::HUP]);
        let signals = Signals::new(all()).unwrap();
        for _ in 0..100 {
            // SAFETY: a set that is filled before it is used; the thread blocks all signals, and then as many as before.
            unsafe {
                let (mut every, mut before) = (std::mem::zeroed(), std::mem::zeroed());
                libc::sigfillset(&mut every);
                libc::pthread_sigmask(libc::SIG_BLOCK, &every, &mut before);
                all().for_each(|signal| signal.raise().unwrap());
                libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
            }
            let got: Vec<Signal> = std::iter::from_fn(|| signals.try_recv()).collect();
            assert_eq!(got.len(), signals.signals().len());
        }
    });
    assert_ended_well(&output);
}

#[test]
fn a_dump_on_sigquit_and_a_stream_of_it_are_both_served() {
    let name = "signals::a_dump_on_sigquit_and_a_stream_of_it_are_both_served";
    let mut child = Talking::start({
        let mut command = command(name, || {
            inspect::dump_on_sigquit().unwrap();
            let signals = Signals::new([Signal::QUIT]).unwrap();
            ropewalk::run(|| {
                task::Builder::new().name("listener").spawn(|| ()).join().unwrap();
                println!("listens");
                assert_eq!(signals.recv().unwrap(), Signal::QUIT);
                drop(signals);
                println!("heard");
                // The dump still listens: the second one does not kill.
                Signal::QUIT.raise().unwrap();
                println!("goes on");
                // Until the dump has been printed, which ends what the parent reads.
                let _ = io::Read::read(&mut std::io::stdin(), &mut [0]);
            });
        });
        command.stderr(std::process::Stdio::piped()).stdin(std::process::Stdio::piped());
        command
    });
    child.hear("listens");
    child.signal(Raw::QUIT);
    child.hear("heard");
    child.hear("goes on");
    child.hear_error("ropewalk: SIGQUIT: runtime on thread");
    drop(child.input());
    assert!(child.end().0.success());
}

// Ctrl-C.

#[test]
fn ctrl_c_is_waited_for_and_the_next_one_ends_the_process() {
    let name = "signals::ctrl_c_is_waited_for_and_the_next_one_ends_the_process";
    let mut child = Talking::start(command(name, || {
        ropewalk::run(|| {
            task::scope(|s| {
                s.spawn(|| {
                    signal::ctrl_c().unwrap();
                    println!("once");
                });
                task::yield_now();
                println!("listens");
            });
            time::sleep(LONG).unwrap();
        });
    }));
    child.hear("listens");
    child.signal(Raw::INT);
    child.hear("once");
    child.signal(Raw::INT);
    assert_eq!(child.end().0.signal(), Some(2));
}

#[test]
fn the_first_ctrl_c_cancels_all_tasks_and_the_program_cleans_up() {
    let name = "signals::the_first_ctrl_c_cancels_all_tasks_and_the_program_cleans_up";
    let mut child = Talking::start(command(name, || {
        let interrupted = Cancelled::new(Reason::Interrupted);
        let ended = ropewalk::run(|| {
            signal::cancel_on_ctrl_c().unwrap();
            // All tasks wait, none for input or output; one belongs to no scope.
            let apart = task::spawn(|| time::sleep(LONG));
            task::scope(|s| {
                let inner = s.spawn(|| time::sleep(LONG));
                println!("waits");
                assert_eq!(sync::Event::new().wait(), Err(interrupted));
                assert_eq!(
                    inner.join().unwrap_err().to_string(),
                    "cancelled: a signal has asked the program to end, while it waited for a task"
                );
            });
            task::shield(|| {
                assert_eq!(apart.join().unwrap(), Err(interrupted));
                time::sleep(Duration::from_millis(1)).unwrap();
            });
            println!("cleaned up");
            time::sleep(Duration::ZERO)
        });
        assert_eq!(ended, Err(interrupted));
    }));
    child.hear("waits");
    child.signal(Raw::INT);
    child.hear("cleaned up");
    assert!(child.end().0.success());
}

#[test]
fn the_second_ctrl_c_kills_while_the_clean_up_waits() {
    let name = "signals::the_second_ctrl_c_kills_while_the_clean_up_waits";
    let mut child = Talking::start(command(name, || {
        ropewalk::run(|| {
            signal::cancel_on_ctrl_c().unwrap();
            println!("waits");
            assert!(time::sleep(LONG).is_err());
            task::shield(|| {
                println!("cleans up");
                time::sleep(LONG).unwrap();
            });
        });
    }));
    child.hear("waits");
    child.signal(Raw::INT);
    child.hear("cleans up");
    child.signal(Raw::INT);
    assert_eq!(child.end().0.signal(), Some(2));
}

#[test]
fn the_second_ctrl_c_kills_while_a_task_computes() {
    let name = "signals::the_second_ctrl_c_kills_while_a_task_computes";
    let mut child = Talking::start(command(name, || {
        ropewalk::run(|| {
            signal::cancel_on_ctrl_c().unwrap();
            let heard = Signals::new([Signal::INT]).unwrap();
            println!("computes");
            while heard.try_recv().is_none() {}
            println!("goes on");
            loop {
                std::hint::spin_loop();
            }
        });
    }));
    child.hear("computes");
    child.signal(Raw::INT);
    child.hear("goes on");
    child.signal(Raw::INT);
    assert_eq!(child.end().0.signal(), Some(2));
}

#[test]
fn any_of_several_signals_cancels_and_the_one_after_it_kills_by_its_own_number() {
    let name = "signals::any_of_several_signals_cancels_and_the_one_after_it_kills_by_its_own_number";
    let mut child = Talking::start(command(name, || {
        ropewalk::run(|| {
            signal::cancel_on([Signal::INT, Signal::TERM]).unwrap();
            // Again is no more than once.
            signal::cancel_on_ctrl_c().unwrap();
            println!("waits");
            assert!(time::sleep(LONG).is_err());
            println!("cleans up");
            task::shield(|| time::sleep(LONG)).unwrap();
        });
    }));
    child.hear("waits");
    child.signal(Raw::INT);
    child.hear("cleans up");
    child.signal(Raw::TERM);
    assert_eq!(child.end().0.signal(), Some(15));
}

#[test]
fn all_runtimes_that_ask_for_it_are_cancelled_and_the_others_are_not() {
    let name = "signals::all_runtimes_that_ask_for_it_are_cancelled_and_the_others_are_not";
    let mut child = Talking::start(command(name, || {
        let (ready, over) = (Barrier::new(4), sync::cross::Event::new());
        thread::scope(|s| {
            let asks = || {
                ropewalk::run(|| {
                    signal::cancel_on_ctrl_c().unwrap();
                    ready.wait();
                    time::sleep(LONG)
                })
            };
            let asking = [s.spawn(asks), s.spawn(asks)];
            let not_asking = s.spawn(|| {
                ropewalk::run(|| {
                    ready.wait();
                    over.wait()
                })
            });
            ready.wait();
            println!("ready");
            for asking in asking {
                assert_eq!(asking.join().unwrap(), Err(Cancelled::new(Reason::Interrupted)));
            }
            over.set();
            assert_eq!(not_asking.join().unwrap(), Ok(()));
        });
    }));
    child.hear("ready");
    child.signal(Raw::INT);
    assert!(child.end().0.success());
}

#[test]
fn when_run_has_returned_ctrl_c_kills_again() {
    let name = "signals::when_run_has_returned_ctrl_c_kills_again";
    let mut child = Talking::start(command(name, || {
        for _ in 0..2 {
            ropewalk::run(|| signal::cancel_on_ctrl_c().unwrap());
        }
        println!("over");
        thread::sleep(LONG);
    }));
    child.hear("over");
    child.signal(Raw::INT);
    assert_eq!(child.end().0.signal(), Some(2));
}

#[test]
fn unless_it_is_asked_for_ctrl_c_kills_at_once() {
    let mut child = Talking::start(command("signals::unless_it_is_asked_for_ctrl_c_kills_at_once", || {
        ropewalk::run(|| {
            println!("waits");
            time::sleep(LONG).unwrap();
        });
    }));
    child.hear("waits");
    child.signal(Raw::INT);
    assert_eq!(child.end().0.signal(), Some(2));
}

#[test]
fn a_signal_that_is_ignored_from_the_start_neither_cancels_nor_kills() {
    let name = "signals::a_signal_that_is_ignored_from_the_start_neither_cancels_nor_kills";
    let command = command(name, || {
        ropewalk::run(|| {
            signal::cancel_on_ctrl_c().unwrap();
            Signal::INT.raise().unwrap();
            Signal::INT.raise().unwrap();
            time::sleep(Duration::from_millis(5)).unwrap();
        });
    });
    assert_ended_well(&ignoring("INT", &command).output().unwrap());
}

#[test]
fn a_deadlock_is_found_though_ctrl_c_would_cancel() {
    let name = "signals::a_deadlock_is_found_though_ctrl_c_would_cancel";
    assert_ended_well(&in_child(name, || {
        let result = Runtime::new().try_run(|| {
            signal::cancel_on_ctrl_c().unwrap();
            WaitList::<()>::new().wait(&Why::new("nobody"))
        });
        assert!(matches!(result, Err(RunError::Deadlock { .. })));
    }));
}

#[test]
fn a_deadlock_behind_shields_after_ctrl_c_is_found() {
    let name = "signals::a_deadlock_behind_shields_after_ctrl_c_is_found";
    assert_ended_well(&in_child(name, || {
        let result = Runtime::new().try_run(|| {
            signal::cancel_on_ctrl_c().unwrap();
            Signal::INT.raise().unwrap();
            assert!(time::sleep(LONG).is_err());
            assert!(task::shield(|| WaitList::<()>::new().wait(&Why::new("nobody"))).is_err());
        });
        assert!(matches!(result, Err(RunError::Deadlock { .. })));
    }));
}

#[test]
fn what_does_nothing_by_default_cannot_be_asked_to_kill() {
    ropewalk::run(|| {
        assert_eq!(signal::cancel_on([own(17)]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(signal::cancel_on([Signal::KILL]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        time::sleep(Duration::ZERO).unwrap();
    });
}

#[test]
fn a_program_that_has_cleaned_up_dies_of_the_signal_all_the_same() {
    let name = "signals::a_program_that_has_cleaned_up_dies_of_the_signal_all_the_same";
    let output = in_child(name, || {
        let signals = Signals::new([Signal::INT]).unwrap();
        Signal::INT.raise().unwrap();
        ropewalk::run(|| assert_eq!(signals.recv().unwrap(), Signal::INT));
        // Whoever listens still.
        signal::die_of(Signal::INT);
    });
    assert_eq!(output.status.signal(), Some(2), "{}", errors_of(&output));
}
