//! A chess exhibition: one master, 24 games. She moves in 5 seconds, an opponent in 55, and a game has 30 moves of each.
//!
//! One after another the games take 12 hours. Going from board to board she needs one: while an opponent thinks, she plays
//! the others. That is all there is to concurrency on one thread. The clock is virtual, so that the day passes in
//! milliseconds.
//!
//! ```sh
//! cargo run --release --example exhibition
//! ```

use std::cell::Cell;
use std::time::Duration;

use ropewalk::lowlevel::{WaitList, Why};
use ropewalk::{Cancelled, Clock, Runtime, task, time};

const GAMES: usize = 24;
const MOVES: usize = 30;
const MASTER: Duration = Duration::from_secs(5);
const OPPONENT: Duration = Duration::from_secs(55);

/// The master can be at one board only.
#[derive(Default)]
struct Master {
    busy: Cell<bool>,
    boards: WaitList,
}

impl Master {
    fn moves(&self) -> Result<(), Cancelled> {
        if self.busy.replace(true) {
            self.boards.wait(&Why::new("the master"))?;
        }
        time::sleep(MASTER)?;
        if self.boards.wake_one(()).is_err() {
            self.busy.set(false);
        }
        Ok(())
    }
}

fn play(master: &Master) -> Result<(), Cancelled> {
    for _ in 0..MOVES {
        master.moves()?;
        time::sleep(OPPONENT)?;
    }
    Ok(())
}

fn one_after_another() -> Result<(), Cancelled> {
    let master = Master::default();
    (0..GAMES).try_for_each(|_| play(&master))
}

fn from_board_to_board() -> Result<(), Cancelled> {
    let master = Master::default();
    task::try_scope(|s| {
        for _ in 0..GAMES {
            s.spawn(|| play(&master));
        }
        Ok(())
    })?;
    Ok(())
}

fn main() {
    let day = Runtime::builder().clock(Clock::Virtual).build();
    for (how, games) in [
        ("one after another", one_after_another as fn() -> Result<(), Cancelled>),
        ("from board to board", from_board_to_board),
    ] {
        let took = day.run(|| {
            let began = time::now();
            games().expect("nobody cancels the exhibition");
            time::now() - began
        });
        let minutes = took.as_secs() / 60;
        println!("{GAMES} games {how}: {} hours {:02} minutes", minutes / 60, minutes % 60);
    }
}
