//! What is counted: answers, how long each took, and the CPU time of the server meanwhile.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use crate::Load;

pub(crate) struct Meter<'a> {
    load: &'a Load,
    /// When the warm-up is over.
    begins: Instant,
    counting: Option<Counting>,
}

struct Counting {
    began: Instant,
    cpu_before: u64,
    took: Vec<u64>,
}

/// Where in the load one is.
#[derive(PartialEq, Eq)]
pub(crate) enum Phase {
    WarmUp,
    Counted,
    Over,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(load: &'a Load) -> Meter<'a> {
        let begins = Instant::now() + load.warm_up();
        Meter { load, begins, counting: None }
    }

    /// To be asked now and then.
    pub(crate) fn phase(&mut self, now: Instant) -> io::Result<Phase> {
        if now < self.begins {
            return Ok(Phase::WarmUp);
        }
        let counting = match &self.counting {
            Some(counting) => counting,
            None => {
                let cpu_before = self.server_cpu()?;
                let took = Vec::new();
                self.counting.insert(Counting { began: Instant::now(), cpu_before, took })
            }
        };
        // However slow the machine is, there is something to tell.
        let is_over = now.duration_since(counting.began) >= self.load.counted && !counting.took.is_empty();
        Ok(if is_over { Phase::Over } else { Phase::Counted })
    }

    /// An answer is there. Of the warm-up nothing is noted.
    pub(crate) fn note(&mut self, took: Duration) {
        if let Some(counting) = &mut self.counting {
            counting.took.push(took.as_nanos() as u64);
        }
    }

    /// Prints what was found.
    pub(crate) fn report(self) -> io::Result<()> {
        let cpu = self.server_cpu()?;
        let Some(Counting { began, cpu_before, mut took }) = self.counting else {
            return Err(io::Error::other("nothing was counted"));
        };
        let count = took.len();
        println!("per second\t{:.1}", count as f64 / began.elapsed().as_secs_f64());
        if self.load.pid.is_some() {
            println!("CPU ns\t{:.1}", (cpu - cpu_before) as f64 / count as f64);
        }
        took.sort_unstable();
        for (name, part) in [("p50 ns", 0.5), ("p99 ns", 0.99), ("p99.9 ns", 0.999)] {
            println!("{name}\t{}", took[((count as f64 * part) as usize).min(count - 1)]);
        }
        println!("longest ns\t{}", took[count - 1]);
        Ok(())
    }

    /// What all threads of the server have had, in nanoseconds.
    fn server_cpu(&self) -> io::Result<u64> {
        let Some(pid) = self.load.pid else { return Ok(0) };
        let mut sum = 0;
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            // One that ends meanwhile takes its time with it: no server here starts or ends threads under load.
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let running = text.split(' ').next().and_then(|n| n.parse::<u64>().ok());
            sum += running.ok_or_else(|| io::Error::other("schedstat has changed"))?;
        }
        Ok(sum)
    }
}
