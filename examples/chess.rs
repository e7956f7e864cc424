//! A chess exhibition: one master, 24 games. She moves in 5 seconds, an opponent in 55, and a game has 30 moves of each.
//!
//! One by one the games take 12 hours. Going from board to board she needs one: while an opponent thinks, she plays the
//! others. That is all there is to concurrency on one thread. The clock is virtual, so that the day passes in milliseconds.
//!
//! ```sh
//! cargo run --release --example chess
//! ```

use std::cell::Cell;
use std::time::{Duration, Instant};

use ropewalk::sync::Mutex;
use ropewalk::{Cancelled, Clock, Runtime, task, time};

const GAMES: usize = 24;
const MOVES: usize = 30;
const MASTER: Duration = Duration::from_secs(5);
const OPPONENT: Duration = Duration::from_secs(55);

struct Exhibition {
    began: Instant,
    /// Whoever has her has her to himself: she is at one board at a time, and comes to those first who wait longest.
    master: Mutex<()>,
    her_last_move: Cell<Duration>,
}

impl Exhibition {
    fn new() -> Exhibition {
        let began = time::now();
        Exhibition { began, master: Mutex::new(()), her_last_move: Cell::new(Duration::ZERO) }
    }

    fn game(&self) -> Result<(), Cancelled> {
        for _ in 0..MOVES {
            let at_the_board = self.master.lock()?;
            time::sleep(MASTER)?;
            self.her_last_move.set(self.took());
            drop(at_the_board);
            time::sleep(OPPONENT)?;
        }
        Ok(())
    }

    fn one_by_one(&self) -> Result<(), Cancelled> {
        (0..GAMES).try_for_each(|_| self.game())
    }

    fn going_round(&self) -> Result<(), Cancelled> {
        task::try_scope(|s| {
            (0..GAMES).for_each(|_| drop(s.spawn(|| self.game())));
            Ok(())
        })?;
        Ok(())
    }

    fn took(&self) -> Duration {
        time::now() - self.began
    }
}

fn main() {
    let moves = GAMES * MOVES;
    println!("{GAMES} games, {moves} moves of hers in 5 s each, {moves} of her opponents in 55 s each\n");
    println!("{:<20}{:>15}{:>15}{:>15}", "", "her last move", "the last move", "really took");
    let day = Runtime::builder().clock(Clock::Virtual).build();
    for (how, play) in [
        ("one by one", Exhibition::one_by_one as fn(&Exhibition) -> _),
        ("from board to board", Exhibition::going_round),
    ] {
        let began = Instant::now();
        let (hers, all) = day.run(|| {
            let exhibition = Exhibition::new();
            play(&exhibition).expect("nobody cancels the exhibition");
            (exhibition.her_last_move.get(), exhibition.took())
        });
        let really = began.elapsed().as_secs_f64() * 1e3;
        println!("{how:<20}{:>15}{:>15}{really:>12.1} ms", hours(hers), hours(all));
    }
}

fn hours(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
