//! Programs that others have written talk to servers of ours: `socat`, `curl`, `nc` and Python's asyncio.
//!
//! A program that is not there is not asked, and that is said; with `ROPEWALK_REQUIRE_PROGRAMS` set it is a failure.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use ropewalk::channel::cross;
use ropewalk::net::{self, Controller, Server, TcpListener, TcpStream, UnixListener};
use ropewalk::{Clock, task, testing};

/// Whether `program` is there to be asked.
fn is_there(program: &str) -> bool {
    match Command::new(program).arg("-h").stdin(Stdio::null()).output() {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            assert!(std::env::var_os("ROPEWALK_REQUIRE_PROGRAMS").is_none(), "there is no {program}");
            // Past the capture of the test's output, which would hide it because the test passes.
            let told = format!("tests/net/programs.rs: no {program}, so it was NOT asked\n");
            io::stderr().write_all(told.as_bytes()).unwrap();
            false
        }
        Err(error) => panic!("cannot run {program}: {error}"),
    }
}

/// Runs a program in a thread, while tasks go on; it is given `input`, whose end it sees.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_vec();
    let (sender, ended) = cross::oneshot();
    thread::spawn(move || {
        let mut process = command.spawn().unwrap();
        let mut stdin = process.stdin.take().unwrap();
        // It reads while it writes: what it writes must be read meanwhile.
        let writing = thread::spawn(move || stdin.write_all(&input));
        let output = process.wait_with_output().unwrap();
        writing.join().unwrap().unwrap();
        sender.send(output).unwrap();
    });
    ended.recv().unwrap()
}

/// What a program prints that ends well.
#[track_caller]
fn output_of(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let output = run(program, arguments, input);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{errors}", output.status);
    output.stdout
}

/// Serves while `ask` runs, and then shuts down. What a connection fails with and nobody is told of fails the test.
fn serving(
    handler: impl Fn(TcpStream, SocketAddr) -> io::Result<()>,
    ask: impl FnOnce(SocketAddr, &Controller),
) {
    testing::Setup::new().clock(Clock::Real).run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(listener);
        let controller = server.controller();
        task::scope(|s| {
            let server = s.spawn(|| server.serve(handler));
            ask(address, &controller);
            let served = controller.shutdown(Duration::from_secs(60)).unwrap();
            assert_eq!(served.cancelled, 0, "a connection did not end with its program");
            server.join().unwrap().unwrap();
        });
    });
}

fn echo(stream: TcpStream, _: SocketAddr) -> io::Result<()> {
    io::copy(&mut &stream, &mut &stream).map(drop)
}

/// Bytes of all values, more than the buffers of a connection hold.
fn much() -> Vec<u8> {
    (0..8_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn socat_gets_its_bytes_back() {
    if is_there("socat") {
        serving(echo, |address, _| {
            let peer = format!("TCP4:{address}");
            // It waits for the end of the answer for so many seconds after its own.
            assert_eq!(output_of("socat", &["-t60", "-", &peer], b"hello, rope\n"), b"hello, rope\n");
            let much = much();
            assert!(output_of("socat", &["-t60", "-", &peer], &much) == much);
        });
    }
}

#[test]
fn socat_that_only_connects_and_leaves_is_served() {
    if is_there("socat") {
        serving(echo, |address, controller| {
            let peer = format!("TCP4:{address}");
            assert_eq!(output_of("socat", &["-u", "/dev/null", &peer], b""), b"");
            // Reset instead of closed, in the middle of what it would get.
            let reset = format!("{peer},linger=0");
            output_of("socat", &["-u", "-", &reset], b"");
            assert_eq!(output_of("socat", &["-t60", "-", &peer], b"served"), b"served");
            assert!(controller.is_accepting());
        });
    }
}

#[test]
fn programs_talk_to_a_server_at_a_path() {
    let path = std::env::temp_dir().join(format!("ropewalk-programs-{}", std::process::id()));
    let name = path.to_str().unwrap();
    let (has_socat, has_nc) = (is_there("socat"), is_there("nc"));
    testing::Setup::new().clock(Clock::Real).run(|| {
        let server = Server::new(UnixListener::bind(&path).unwrap());
        let controller = server.controller();
        task::scope(|s| {
            s.spawn(|| server.serve(|stream, _| io::copy(&mut &stream, &mut &stream).map(drop)));
            let much = much();
            if has_socat {
                let peer = format!("UNIX-CONNECT:{name}");
                assert!(output_of("socat", &["-t60", "-", &peer], &much) == much);
            }
            if has_nc {
                assert!(output_of("nc", &["-N", "-U", name], &much) == much);
            }
            let served = controller.shutdown(Duration::from_secs(60)).unwrap();
            assert_eq!(served.finished, u64::from(has_socat) + u64::from(has_nc));
        });
    });
    let _ = std::fs::remove_file(&path);
}

#[test]
fn nc_gets_its_bytes_back() {
    if is_there("nc") {
        serving(echo, |address, _| {
            let port = address.port().to_string();
            // -N: ends its side when its input ends.
            assert_eq!(output_of("nc", &["-N", "127.0.0.1", &port], b"hello, rope\n"), b"hello, rope\n");
            let much = much();
            assert!(output_of("nc", &["-N", "127.0.0.1", &port], &much) == much);
            // Only looks whether somebody listens.
            output_of("nc", &["-z", "127.0.0.1", &port], b"");
        });
    }
}

/// As much of HTTP/1.1 as it takes: it keeps the connection, and knows GET and POST.
fn http(stream: TcpStream, _: SocketAddr) -> io::Result<()> {
    let mut reader = BufReader::new(&stream);
    loop {
        let (mut request, mut length) = (String::new(), 0);
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            match header.trim_end().split_once(": ") {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().unwrap();
                }
                Some((name, _)) if name.eq_ignore_ascii_case("expect") => {
                    (&stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                }
                Some(_) => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let answer = if request.starts_with("POST") { body } else { request.into_bytes() };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
        (&stream).write_all(head.as_bytes())?;
        (&stream).write_all(&answer)?;
    }
}

#[test]
fn curl_fetches_and_posts_over_a_connection_that_is_kept() {
    if is_there("curl") {
        serving(http, |address, controller| {
            let url = |path: &str| format!("http://{address}/{path}");
            let printed = output_of("curl", &["-sS", "--fail", &url("a"), &url("b"), &url("c")], b"");
            assert_eq!(printed, b"GET /a HTTP/1.1\r\nGET /b HTTP/1.1\r\nGET /c HTTP/1.1\r\n");
            let served = controller.served();
            assert_eq!(served.finished + served.open, 1, "all over one connection");
            let much = much();
            let posted = output_of("curl", &["-sS", "--fail", "--data-binary", "@-", &url("")], &much);
            assert!(posted == much);
        });
    }
}

#[test]
fn many_curls_are_served_at_the_same_time() {
    if is_there("curl") {
        serving(http, |address, _| {
            let urls = format!("http://{address}/[1-100]");
            let arguments =
                ["-sS", "--fail", "--parallel", "--parallel-immediate", "--no-progress-meter", &urls];
            let printed = String::from_utf8(output_of("curl", &arguments, b"")).unwrap();
            let mut pages: Vec<u32> =
                printed.lines().map(|line| line.split(['/', ' ']).nth(2).unwrap().parse().unwrap()).collect();
            pages.sort_unstable();
            assert_eq!(pages, (1..=100).collect::<Vec<_>>());
        });
    }
}

/// Fifty connections at the same time, each with lines there and back, a half-close, and bytes without lines.
const STREAMS: &str = "
import asyncio, sys

async def talk(number):
    reader, writer = await asyncio.open_connection('127.0.0.1', int(sys.argv[1]))
    for turn in range(20):
        line = f'{number} {turn}\\n'.encode()
        writer.write(line)
        await writer.drain()
        assert await reader.readline() == line
    block = bytes([number]) * 300_000
    writer.write(block)
    writer.write_eof()
    assert await reader.read() == block
    writer.close()
    await writer.wait_closed()

async def main():
    await asyncio.gather(*(talk(number) for number in range(50)))
    print('all got back what they sent')

asyncio.run(main())
";

#[test]
fn streams_of_python_s_asyncio_get_their_bytes_back() {
    if is_there("python3") {
        serving(echo, |address, controller| {
            let port = address.port().to_string();
            let printed = output_of("python3", &["-c", STREAMS, &port], b"");
            assert_eq!(printed, b"all got back what they sent\n");
            let served = controller.served();
            assert_eq!(served.finished + served.open, 50);
        });
    }
}

/// An asyncio server, which prints its port and ends with its input.
const SERVER: &str = "
import asyncio, sys

async def answer(reader, writer):
    name = await reader.read()
    writer.write(b'hello, ' + name)
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(answer, '127.0.0.1', 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
";

#[test]
fn a_server_of_python_s_asyncio_answers_our_streams() {
    if is_there("python3") {
        let mut process = Command::new("python3")
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let port: u16 = port.trim().parse().unwrap();
        ropewalk::run(|| {
            let answers = task::try_gather((0..20).map(|number| {
                move || {
                    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
                    stream.write_all(format!("rope {number}").as_bytes())?;
                    stream.shutdown(std::net::Shutdown::Write)?;
                    assert_eq!(io::read_to_string(stream)?, format!("hello, rope {number}"));
                    Ok::<_, io::Error>(())
                }
            }));
            assert_eq!(answers.unwrap().len(), 20);
        });
        drop(process.stdin.take());
        assert!(process.wait().unwrap().success());
    }
}

#[test]
fn a_program_that_is_served_by_the_short_form_is_served_until_that_is_cancelled() {
    if is_there("nc") {
        ropewalk::run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port().to_string();
            task::scope(|s| {
                let server =
                    s.spawn(|| net::serve(listener, |mut stream, _| stream.write_all(b"good day\n")));
                assert_eq!(output_of("nc", &["-d", "127.0.0.1", &port], b""), b"good day\n");
                server.cancel();
                assert!(ropewalk::Cancelled::is(&server.join().unwrap().unwrap_err()));
                // Nobody listens any more.
                assert!(!run("nc", &["-z", "127.0.0.1", &port], b"").status.success());
            });
        });
    }
}
