//! The only way in from other threads: messages for the loop, and waking it when it sleeps.
//!
//! Words: anybody *pushes* messages or *knocks*; the loop *takes* the mail, *falls asleep* and *wakes up*, and *closes*.
//! All there is to know lies in one atomic word, the *head*: a word that says how things stand while there is no mail,
//! or else the newest message, from which the older ones hang as a list. So a push and the question "is the loop
//! asleep?" are one step, and there is no order of two steps on two words that could lose a wake-up:
//!
//! | who comes | finds quiet | finds knocked | finds asleep | finds mail | finds closed |
//! |---|---|---|---|---|---|
//! | push | mail | mail | mail, and rings | more mail | is refused |
//! | knock | knocked | knocked | quiet, and rings | mail | closed |
//! | take | quiet | knocked | | quiet, has the mail | closed |
//! | fall asleep | asleep | quiet, stays awake | | mail, stays awake | closed, stays awake |
//! | wake up | quiet | knocked | quiet | mail | closed |
//! | close | closed | closed | | closed, has the mail | closed |
//!
//! A knock leaves a mark because the loop may be on its way to bed: it has looked around already, and must look again.
//! A push on the mark may rub it out, for the loop looks around after it took mail as well.
//!
//! Invariants:
//! - Whoever turns asleep into something else rings, unless it is the loop. Nobody else rings.
//! - A message belongs to its pusher until the head points to it, and then to whoever takes the list off the head, which
//!   is done by a swap: to one.
//! - Every change of the head is a read-modify-write. So a step that acquires from the latest of them has acquired from
//!   all before it back to the last one by the loop: also from the older messages, and from a knock under them.
//!
//! Nothing unsound comes of it if something else than the loop takes, sleeps or closes. It is only the wrong one who
//! then has the mail.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::sync::Mutex;
use std::{mem, ptr};

use crate::driver::Alarm;
use crate::primitive::{AtomicUsize, Ordering};

/// No mail, and the loop is awake.
const QUIET: usize = 0;
/// As quiet, and somebody wants the loop to look around before it sleeps.
const KNOCKED: usize = 1;
/// The loop waits for the alarm, or is just about to.
const ASLEEP: usize = 2;
/// The loop is gone.
const CLOSED: usize = 3;

/// Where threads leave messages of type `M` for one loop, which waits for `A`.
pub(crate) struct Door<M, A: Alarm> {
    /// One of the words above, or the address of the newest [`Node`], which is none of them, for nodes are aligned.
    ///
    /// An address and not a pointer: between a pusher's look and its success the list may be taken and freed, and a new
    /// node may lie where the newest was. The addresses are equal then and all is well, but the old pointer is a
    /// pointer to what was freed. So nodes are exposed, and whoever takes them asks for a pointer to what lies there now.
    head: AtomicUsize,
    alarm: A,
    /// Owns messages that come from other threads: as with a mutex, they have to be `Send` and need not be `Sync`.
    _messages: PhantomData<Mutex<M>>,
}

/// What the loop took: the messages, oldest first. Dropping it drops the rest.
pub(crate) struct Mail<M> {
    /// The address of the oldest node; `QUIET` if none is left.
    oldest: usize,
    _messages: PhantomData<M>,
}

struct Node<M> {
    /// The address of the node that was pushed before, and in [`Mail`] after this one.
    next: usize,
    message: M,
}

const _: () = assert!(align_of::<Node<()>>() > CLOSED, "no node lies at an address that is a word");

fn is_mail(head: usize) -> bool {
    head > CLOSED
}

impl<M, A: Alarm> Door<M, A> {
    pub(crate) fn new(alarm: A) -> Door<M, A> {
        Door { head: AtomicUsize::new(QUIET), alarm, _messages: PhantomData }
    }

    /// From any thread. An error gives the message back: the loop is gone.
    ///
    /// What this thread did before is seen by the loop when it has the message. What the loop did before it closed is
    /// seen by this thread when it has the error.
    pub(crate) fn push(&self, message: M) -> Result<(), M> {
        let node = Box::into_raw(Box::new(Node { next: QUIET, message }));
        // Acquire, here and where the exchange fails, for the case that it is closed.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            if head == CLOSED {
                // SAFETY: `node` is from `Box::into_raw` and was never published: nobody else knows it.
                return Err(unsafe { Box::from_raw(node) }.message);
            }
            let next = if is_mail(head) { head } else { QUIET };
            // SAFETY: as above, nobody else knows the node yet.
            unsafe { (*node).next = next };
            // Release: whoever takes the node sees what is in it. Acquire: whoever rings sees what the loop did before it
            // fell asleep, such as what it sleeps in.
            let pushed = self.head.compare_exchange_weak(
                head,
                node.expose_provenance(),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match pushed {
                Ok(ASLEEP) => break self.alarm.ring(),
                Ok(_) => break,
                Err(found) => head = found,
            }
        }
        Ok(())
    }

    /// From any thread: makes the loop look around before it sleeps again, without a message.
    ///
    /// What this thread did before is seen by the loop when it looks: after a `take`, after `fall_asleep` said no, and
    /// after `wake_up`. If it then learns that nobody is left who could push, the count that says so must have been
    /// lowered with `Release` and be read with `Acquire`: then no mail of theirs is overlooked after that.
    pub(crate) fn knock(&self) {
        let mut head = self.head.load(Ordering::Relaxed);
        while head != CLOSED {
            let next = match head {
                QUIET | KNOCKED => KNOCKED,
                ASLEEP => QUIET,
                mail => mail,
            };
            // Release, and done also where it changes nothing: it is what the loop's next step acquires. Acquire: as in
            // `push`, for whoever rings.
            let knocked = self.head.compare_exchange_weak(head, next, Ordering::AcqRel, Ordering::Relaxed);
            match knocked {
                Ok(ASLEEP) => return self.alarm.ring(),
                Ok(_) => return,
                Err(found) => head = found,
            }
        }
    }

    /// The loop only: whether there is mail. Mail that has only just come may be overlooked, but not by `fall_asleep`.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        // Relaxed: whoever goes on to take the mail acquires it by that.
        is_mail(self.head.load(Ordering::Relaxed))
    }

    /// The loop only: the messages so far, oldest first.
    pub(crate) fn take(&self) -> Mail<M> {
        if self.has_mail() { self.detach(QUIET) } else { Mail::none() }
    }

    /// The loop only: says that it is about to wait for the alarm.
    ///
    /// If it is false, somebody has pushed or knocked: the loop must look around instead. If it is true, the alarm will
    /// be rung for the next one who does, and the loop has to wait, then to `wake_up`.
    #[must_use]
    pub(crate) fn fall_asleep(&self) -> bool {
        // Release: what the loop did is seen by whoever rings. Not Acquire: quiet is the loop's own word, or was left by a
        // knock that found it asleep, which `wake_up` has acquired from.
        match self.head.compare_exchange(QUIET, ASLEEP, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => true,
            Err(KNOCKED) => {
                // Acquire: the loop looks around for what was done before the knock. If it fails there is mail, and `take`
                // acquires from both.
                let _ = self.head.compare_exchange(KNOCKED, QUIET, Ordering::Acquire, Ordering::Relaxed);
                false
            }
            Err(_) => false,
        }
    }

    /// The loop only: after the wait, whatever ended it. An alarm may still ring for the sleep that ends here.
    pub(crate) fn wake_up(&self) {
        // If it fails, whoever woke the loop has changed the word: a knock made it quiet, a push left mail. Acquire then,
        // as in `fall_asleep`.
        let _ = self.head.compare_exchange(ASLEEP, QUIET, Ordering::Relaxed, Ordering::Acquire);
    }

    /// The loop only: from now on every push is refused. The mail is what came before: the messages of exactly those
    /// pushes that went well and were not taken yet.
    pub(crate) fn close(&self) -> Mail<M> {
        self.detach(CLOSED)
    }

    /// Whether the loop waits for the alarm. That may be over right after, and orders nothing.
    pub(crate) fn is_asleep(&self) -> bool {
        self.head.load(Ordering::Relaxed) == ASLEEP
    }

    /// Whether the loop is gone. What it did before that is seen by this thread.
    pub(crate) fn is_closed(&self) -> bool {
        self.head.load(Ordering::Acquire) == CLOSED
    }

    /// Leaves `word` and takes what was there.
    fn detach(&self, word: usize) -> Mail<M> {
        // Acquire: the nodes and what their pushers did before. Release: what was done before closing.
        let newest = self.head.swap(word, Ordering::AcqRel);
        // SAFETY: a node is published by one push, which gave it up; the swap took it off the head, and `word` is no
        // node. The other nodes of the list were given up by the pushes before, and are reached through this one only.
        unsafe { Mail::from_newest(newest) }
    }
}

impl<M, A: Alarm> Drop for Door<M, A> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

impl<M> Node<M> {
    /// # Safety
    /// A node lies at `address`, was exposed, and belongs to the caller, who gives it up.
    unsafe fn at(address: usize) -> Box<Node<M>> {
        // SAFETY: it came from `Box::into_raw`, and the caller owns it.
        unsafe { Box::from_raw(ptr::with_exposed_provenance_mut(address)) }
    }
}

impl<M> Mail<M> {
    fn none() -> Mail<M> {
        Mail { oldest: QUIET, _messages: PhantomData }
    }

    /// Turns a list of nodes round. No code of anybody else runs, so none of it gets lost half way.
    ///
    /// # Safety
    /// If `newest` is a node, then it and those that follow it belong to the caller, who gives them up.
    unsafe fn from_newest(newest: usize) -> Mail<M> {
        let mut mail = Mail::none();
        let mut left = newest;
        while is_mail(left) {
            // SAFETY: as promised for the newest; and one that follows is given up by nobody but here.
            let mut node = unsafe { Node::<M>::at(left) };
            left = mem::replace(&mut node.next, mail.oldest);
            mail.oldest = Box::into_raw(node).expose_provenance();
        }
        mail
    }
}

impl<M> Iterator for Mail<M> {
    type Item = M;

    fn next(&mut self) -> Option<M> {
        if self.oldest == QUIET {
            return None;
        }
        // SAFETY: `Mail` owns its nodes, and this one is left out of the list in the next line.
        let node = unsafe { Node::<M>::at(self.oldest) };
        self.oldest = node.next;
        Some(node.message)
    }
}

impl<M> Drop for Mail<M> {
    /// A message that panics when it is dropped does not keep the others from being dropped.
    fn drop(&mut self) {
        struct Rest<'a, M>(&'a mut Mail<M>);

        impl<M> Drop for Rest<'_, M> {
            fn drop(&mut self) {
                self.0.for_each(drop);
            }
        }

        let rest = Rest(self);
        rest.0.for_each(drop);
    }
}
