//! Fetches pages that take their time: one after another, with a thread for each, and with a task for each.
//!
//! ```text
//! cargo run --release --example crawl                                   # 200 pages of a site of its own.
//! cargo run --release --example crawl http://example.com http://...     # Pages of the web, with tasks.
//! ```
//!
//! Look at the first functions below: a task is written as a thread is, and reads as if nothing else were going on. The very
//! same [`fetch`] runs on std's streams, which block the thread, and on ropewalk's, which park the task.
//!
//! The site is served by a thread of this process: see `site.rs`.

mod http;
mod meter;
mod site;

use std::collections::HashMap;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use http::{Page, Url, fetch};
use indicatif::{ProgressBar, ProgressStyle};
use meter::measure;
use ropewalk::{Elapsed, net, task, time};

const HELP: &str = "\
Fetches pages that take their time: one after another, with a thread for each, and with a task for each.

Usage: crawl [--pages COUNT] [--delay MILLISECONDS]
       crawl URL...

  --pages COUNT         how many pages the site has [default: 200]
  --delay MILLISECONDS  how long each takes to answer [default: 50]
  URL...                fetches these instead, all at once, with tasks: http://host[:port][/path]

The exit code is 1 when something could not be fetched, and 2 when the arguments are wrong.
";

/// How long a page of the web may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Fetches the pages of all URLs, and counts them on the bar as they come.
type Way = fn(&[Url], &ProgressBar) -> io::Result<Vec<Page>>;

fn one_after_another(urls: &[Url], bar: &ProgressBar) -> io::Result<Vec<Page>> {
    urls.iter().map(|url| fetch_blocking(url, bar)).collect()
}

fn a_thread_for_each(urls: &[Url], bar: &ProgressBar) -> io::Result<Vec<Page>> {
    thread::scope(|s| {
        let threads: Vec<_> = urls.iter().map(|url| s.spawn(|| fetch_blocking(url, bar))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
    })
}

fn a_task_for_each(urls: &[Url], bar: &ProgressBar) -> io::Result<Vec<Page>> {
    // All tasks run on this thread. While one waits for its page, others have their turn.
    ropewalk::run(|| {
        task::scope(|s| {
            let tasks: Vec<_> = urls.iter().map(|url| s.spawn(|| fetch_parking(url, bar))).collect();
            tasks.into_iter().map(|task| task.join()?).collect()
        })
    })
}

fn fetch_blocking(url: &Url, bar: &ProgressBar) -> io::Result<Page> {
    let stream = std::net::TcpStream::connect(url.address())?;
    fetch(stream, url).inspect(|_| bar.inc(1))
}

fn fetch_parking(url: &Url, bar: &ProgressBar) -> io::Result<Page> {
    let stream = ropewalk::net::TcpStream::connect(url.address())?;
    fetch(stream, url).inspect(|_| bar.inc(1))
}

/// Fetches the pages of the site in all three ways, and compares.
fn compare(pages: usize, delay: Duration) -> io::Result<()> {
    // Each page takes two descriptors, one here and one at the site.
    meter::allow_descriptors(2 * pages as u64 + 100);
    let address = site::start(pages, delay)?;
    let urls: Vec<Url> = (0..pages).map(|page| Url::new(address, &site::path(page))).collect();
    // What is made only once is not to count for the way that comes first.
    site::warm_up(address, pages)?;
    fetch(std::net::TcpStream::connect(urls[0].address())?, &urls[0])?;

    println!("{pages} pages of http://{address}, each after {} ms\n", delay.as_millis());
    println!("{:<19} {:>10} {:>10} {:>10}", "", "time", "CPU", "memory");
    let ways: [(&str, Way); 3] = [
        ("one after another", one_after_another),
        ("a thread for each", a_thread_for_each),
        ("a task for each", a_task_for_each),
    ];
    let (mut times, mut cpu) = (Vec::new(), Vec::new());
    let mut fetched = Vec::new();
    for (name, way) in ways {
        let bar = ProgressBar::new(pages as u64).with_style(style()).with_message(name);
        let (result, measured) = measure(|| way(&urls, &bar));
        bar.finish_and_clear();
        fetched = result?;
        println!("{name:<19} {measured}");
        times.push(measured.time.as_secs_f64());
        cpu.push(measured.cpu.as_secs_f64());
    }
    println!("\nTasks are done {:.0} times as fast as one after another,", times[0] / times[2]);
    println!("with {:.0} % of the processor time that threads take.", 100.0 * cpu[2] / cpu[1]);
    println!("{}", most_popular(&urls, &fetched));
    Ok(())
}

fn style() -> ProgressStyle {
    let template = "{msg:<19} {bar:40} {pos}/{len}";
    ProgressStyle::with_template(template).expect("the template is good")
}

/// What was extracted: to which page most links lead.
fn most_popular(urls: &[Url], pages: &[Page]) -> String {
    let mut links: HashMap<&str, usize> = HashMap::new();
    for link in pages.iter().flat_map(|page| &page.links) {
        *links.entry(link).or_default() += 1;
    }
    let titles: HashMap<&str, &str> =
        urls.iter().zip(pages).map(|(url, page)| (url.path(), page.title.as_str())).collect();
    let all: usize = links.values().sum();
    match links.into_iter().max_by_key(|&(path, count)| (count, path)) {
        Some((path, count)) => {
            let title = titles.get(path).unwrap_or(&"another site");
            format!("The pages have {all} links. Most of them, {count}, lead to {path}, \"{title}\".")
        }
        None => "There are no links.".to_owned(),
    }
}

/// Fetches pages of the web with tasks, and tells of each as it comes. Returns whether all came.
fn fetch_all(urls: &[Url]) -> bool {
    let bar = ProgressBar::new(urls.len() as u64).with_style(style()).with_message("fetching");
    let fetch_one = |url: &Url| {
        let page = fetch_in_time(url);
        bar.inc(1);
        let line = match &page {
            Ok(Page { title, links, bytes, .. }) => {
                format!("{url}\n    {title:?}, {} links, {bytes} bytes", links.len())
            }
            Err(error) => format!("{url}\n    failed: {error}"),
        };
        // The bar makes room for it.
        bar.suspend(|| println!("{line}"));
        page.is_ok()
    };
    let came = ropewalk::run(|| {
        let tasks = urls.iter().map(|url| move || fetch_one(url));
        task::gather(tasks).into_iter().filter(|came| matches!(came, Ok(true))).count()
    });
    bar.finish_and_clear();
    println!("{came} of {} pages in {:.2?}", urls.len(), bar.elapsed());
    came == urls.len()
}

/// As [`fetch`]; connecting, sending and receiving together may take so long.
fn fetch_in_time(url: &Url) -> io::Result<Page> {
    time::timeout(PATIENCE, || fetch(net::TcpStream::connect(url.address())?, url))
        .map_err(Elapsed::forget)?
}

fn main() -> ExitCode {
    match Arguments::parse(std::env::args().skip(1)) {
        Ok(Arguments { help: true, .. }) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Arguments { urls, .. }) if !urls.is_empty() => ExitCode::from(u8::from(!fetch_all(&urls))),
        Ok(Arguments { pages, delay, .. }) => match compare(pages, delay) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("crawl: {error}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("crawl: {error}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

struct Arguments {
    help: bool,
    pages: usize,
    delay: Duration,
    urls: Vec<Url>,
}

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut parsed =
            Arguments { help: false, pages: 200, delay: Duration::from_millis(50), urls: Vec::new() };
        while let Some(argument) = arguments.next() {
            let mut number = || match arguments.next().map(|text| text.parse::<u32>()) {
                Some(Ok(number)) => Ok(number),
                _ => Err(format!("{argument} needs a number")),
            };
            match argument.as_str() {
                "--help" | "-h" => parsed.help = true,
                "--pages" => parsed.pages = number()?.max(1) as usize,
                "--delay" => parsed.delay = Duration::from_millis(number()?.into()),
                option if option.starts_with('-') => return Err(format!("there is no option {option}")),
                url => parsed.urls.push(url.parse()?),
            }
        }
        Ok(parsed)
    }
}
