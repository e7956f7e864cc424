//! Which driver a runtime has, and that both are there.

use std::env;
use std::time::Duration;

use ropewalk::net::TcpListener;
use ropewalk::{Driver, Runtime, inspect, task, time};

/// Makes the driver.
fn use_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    time::timeout(Duration::ZERO, || listener.accept()).unwrap_err();
    task::scope(|s| {
        let accepting = s.spawn(|| listener.accept().map(drop));
        task::yield_now();
        accepting.cancel();
    });
}

#[test]
fn a_runtime_without_input_and_output_has_no_descriptors() {
    ropewalk::run(|| {
        assert_eq!(inspect::driver().unwrap().name, "idle");
        time::sleep(Duration::from_micros(1)).unwrap();
        assert_eq!(inspect::driver().unwrap().name, "idle");
    });
    assert!(inspect::driver().is_none());
}

#[test]
fn the_driver_and_why_it_is_that_one_can_be_asked_for() {
    Runtime::builder().driver(Driver::Epoll).build().run(|| {
        use_it();
        let choice = inspect::driver().unwrap();
        let name = if cfg!(target_os = "linux") { "epoll" } else { "kqueue" };
        assert_eq!((choice.name, choice.reason.as_str(), choice.in_flight), (name, "asked for", 0));
    });
    Runtime::builder().driver(Driver::Auto).build().run(|| {
        use_it();
        assert_eq!(inspect::driver().unwrap().reason, "it works everywhere");
    });
}

#[test]
fn a_ring_is_had_or_it_is_said_why_not() {
    Runtime::builder().driver(Driver::Uring).build().run(|| {
        use_it();
        let choice = inspect::driver().unwrap();
        match choice.name {
            "io_uring" => assert!(choice.reason.starts_with("asked for; set up with "), "{}", choice.reason),
            _ => {
                assert!(choice.reason.starts_with("io_uring was asked for"), "{}", choice.reason);
                assert!(env::var_os("ROPEWALK_REQUIRE_URING").is_none(), "{}", choice.reason);
            }
        }
    });
}

#[test]
fn what_is_waited_for_is_counted_and_nothing_is_when_it_has_ended() {
    for driver in [Driver::Epoll, Driver::Uring] {
        Runtime::builder().driver(driver).build().run(|| {
            let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
            task::scope(|s| {
                for listener in &listeners {
                    s.spawn(|| listener.accept().map(drop));
                }
                task::yield_now();
                assert_eq!(inspect::driver().unwrap().in_flight, 3);
                s.cancel();
            });
            assert_eq!(inspect::driver().unwrap().in_flight, 0);
        });
    }
}
