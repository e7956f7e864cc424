//! Python's queues: who puts, who gets, and who waits until all is done.

use std::cell::Cell;
use std::rc::Rc;

use ropewalk::Cancelled;
use ropewalk::channel::{LifoQueue, PriorityQueue, Queue, RecvError, SendError, TryRecvError, TrySendError};
use ropewalk::lowlevel::TaskId;
use ropewalk::testing::random;

use super::channels::{word_of_received, word_of_sent};
use super::item::{Item, urgency};
use super::ledger::{Lines, Model, Word};
use super::things::{AnyArm, Choice, Got, Held, Thing};
use super::world::Furniture;

struct Shared<Q> {
    queue: Q,
    items: Rc<Cell<u64>>,
}

#[derive(Clone, Copy)]
enum Order {
    Fifo,
    Lifo,
    SmallestFirst,
}

macro_rules! queues {
    ($($furnish:ident: $queue:ident in $group:tt;)+) => {$(
        pub(super) fn $furnish(furniture: &mut Furniture) {
            let capacity = 1 + random(4);
            // Some have no limit.
            let (queue, capacity) = match capacity {
                4 => ($queue::new(), usize::MAX),
                _ => ($queue::bounded(capacity), capacity),
            };
            let order = [Order::Fifo, Order::Lifo, Order::SmallestFirst][$group];
            let model = QueueModel::new(furniture, capacity, order);
            furniture.add(Shared { queue, items: furniture.diary.items.clone() }, model);
        }

        impl Thing for Shared<$queue<Item>> {
            fn choose(&self, _: &[&Held<'_>], fresh: u64) -> Option<Choice> {
                Some(match random(32) {
                    0 if random(2) == 0 => Choice::acts("shutdown", 0),
                    1 if random(2) == 0 => Choice::acts("shutdown now", 0),
                    2..6 => Choice::acts("try put", fresh),
                    6..10 => Choice::acts("try get", 0),
                    // More would panic.
                    10..15 if self.queue.unfinished() > 0 => Choice::acts("task done", 0),
                    15 | 16 => Choice::waits("join", 0),
                    17..25 => Choice::waits("get", 0),
                    _ => Choice::waits("put", fresh),
                })
            }

            fn wait<'a>(&'a self, verb: Word, _: Option<&mut Held<'a>>) -> Result<Got<'a>, Cancelled> {
                let word = match verb.0 {
                    "put" => match self.queue.put(Item::new(verb.1, &self.items)) {
                        Err(SendError::Cancelled(cancelled, item)) => {
                            assert_eq!(item.number, verb.1, "what comes back");
                            return Err(cancelled);
                        }
                        put => word_of_sent(put),
                    },
                    "get" => match self.queue.get() {
                        Err(RecvError::Cancelled(cancelled)) => return Err(cancelled),
                        got => word_of_received(got),
                    },
                    _ => {
                        self.queue.join()?;
                        Word("all done", 0)
                    }
                };
                Ok((word, None))
            }

            fn act<'a>(&'a self, verb: Word, _: Option<Held<'a>>) -> (Word, Vec<Held<'a>>) {
                let word = match verb.0 {
                    "try put" => match self.queue.try_put(Item::new(verb.1, &self.items)) {
                        Ok(()) => Word("sent", 0),
                        Err(TrySendError::Full(item)) => Word("full", item.number),
                        Err(TrySendError::Closed(item)) => Word("closed", item.number),
                    },
                    "try get" => match self.queue.try_get() {
                        Ok(item) => Word("item", item.number),
                        Err(TryRecvError::Empty) => Word("empty", 0),
                        Err(TryRecvError::Closed) => Word("closed", 0),
                    },
                    "task done" => {
                        self.queue.task_done();
                        Word("done", 0)
                    }
                    "shutdown" => {
                        self.queue.shutdown();
                        Word("done", 0)
                    }
                    _ => Word("left", self.queue.shutdown_now().len() as u64),
                };
                (word, Vec::new())
            }

            fn part(&self, _: &[&Held<'_>], fresh: u64) -> Option<Choice> {
                Some(match random(8) {
                    0 => Choice::waits("join", 0),
                    1..5 => Choice::waits("get", 0),
                    _ => Choice::waits("put", fresh),
                })
            }

            fn arm<'a, 'h>(&'a self, verb: Word, _: Option<&'h Held<'a>>) -> AnyArm<'a, 'h> {
                let mut arm = AnyArm::default();
                let group = &mut arm.5.$group;
                match verb.0 {
                    "put" => group.0 = Some(self.queue.putting(Item::new(verb.1, &self.items))),
                    "get" => group.1 = Some(self.queue.getting()),
                    _ => group.2 = Some(self.queue.joining()),
                }
                arm
            }

            fn seen(&self, _: &dyn Fn(TaskId) -> u64) -> Option<Vec<u64>> {
                let queue = &self.queue;
                let is_shut_down = u64::from(queue.is_shut_down());
                Some(vec![queue.len() as u64, queue.unfinished() as u64, is_shut_down])
            }
        }
    )+};
}

queues! {
    furnish: Queue in 0;
    furnish_lifo: LifoQueue in 1;
    furnish_priority: PriorityQueue in 2;
}

struct QueueModel {
    items: Vec<u64>,
    capacity: usize,
    order: Order,
    unfinished: u64,
    is_shut_down: bool,
    putting: usize,
    getting: usize,
    joining: usize,
}

impl QueueModel {
    fn new(furniture: &mut Furniture, capacity: usize, order: Order) -> QueueModel {
        let [putting, getting, joining] = [(); 3].map(|()| furniture.line());
        let (items, unfinished, is_shut_down) = (Vec::new(), 0, false);
        QueueModel { items, capacity, order, unfinished, is_shut_down, putting, getting, joining }
    }

    fn put(&mut self, lines: &mut Lines, item: u64) -> Option<Word> {
        if self.is_shut_down {
            return Some(Word("closed", item));
        }
        if self.items.len() >= self.capacity {
            return None;
        }
        self.unfinished += 1;
        if lines.wake(self.getting, Word("item", item)).is_none() {
            self.items.push(item);
        }
        Some(Word("sent", 0))
    }

    fn take(&mut self) -> Option<u64> {
        // The first of those that are equal.
        let place = match self.order {
            Order::Fifo => 0,
            Order::Lifo => self.items.len().checked_sub(1)?,
            Order::SmallestFirst => {
                (0..self.items.len()).min_by_key(|&place| (urgency(self.items[place]), place))?
            }
        };
        (!self.items.is_empty()).then(|| self.items.remove(place))
    }

    fn get(&mut self, lines: &mut Lines) -> Option<Word> {
        let Some(item) = self.take() else {
            return self.is_shut_down.then_some(Word("closed", 0));
        };
        if let Some(next) = lines.wake(self.putting, Word("sent", 0)) {
            self.unfinished += 1;
            self.items.push(next.offer);
        }
        Some(Word("item", item))
    }

    fn finish(&mut self, lines: &mut Lines, items: u64) {
        self.unfinished = self.unfinished.saturating_sub(items);
        if self.unfinished == 0 {
            lines.wake_all(self.joining, Word("all done", 0));
        }
    }

    fn shut_down(&mut self, lines: &mut Lines) {
        self.is_shut_down = true;
        while let Some(first) = lines.first(self.putting) {
            lines.grant(first, Word("closed", first.offer));
        }
        lines.wake_all(self.getting, Word("closed", 0));
    }
}

impl Model for QueueModel {
    fn try_now(&mut self, lines: &mut Lines, _: usize, verb: Word) -> Option<Word> {
        match verb.0 {
            "put" => self.put(lines, verb.1),
            "try put" => self.put(lines, verb.1).or(Some(Word("full", verb.1))),
            "get" => self.get(lines),
            "try get" => self.get(lines).or(Some(Word("empty", 0))),
            "join" => (self.unfinished == 0).then_some(Word("all done", 0)),
            "task done" => {
                self.finish(lines, 1);
                Some(Word("done", 0))
            }
            "shutdown" => {
                self.shut_down(lines);
                Some(Word("done", 0))
            }
            _ => {
                self.shut_down(lines);
                let left = std::mem::take(&mut self.items).len() as u64;
                self.finish(lines, left);
                Some(Word("left", left))
            }
        }
    }

    fn place(&mut self, _: &mut Lines, _: usize, verb: Word) -> (usize, u64) {
        match verb.0 {
            "put" => (self.putting, verb.1),
            "get" => (self.getting, 0),
            _ => (self.joining, 0),
        }
    }

    fn seen(&self, _: &Lines) -> Vec<u64> {
        vec![self.items.len() as u64, self.unfinished, u64::from(self.is_shut_down)]
    }
}
