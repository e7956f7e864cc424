//! What the benches share: yielding from a given call depth, a tree to walk; schedulers, what their tasks meet at, and contests
//! between them.
//!
//! Depth is real: each of the functions below is called, does something after the call, and returns. They are
//! different functions, for one that calls itself would return to one address over and over, and the processor's
//! return predictor would look better than it is.

use std::ops::Range;

pub mod contest;
pub mod cores;
pub mod meetings;
pub mod tasks;

/// Whatever can stop a body here and hand out a value: the same function can then yield through any peer.
pub trait Suspend {
    fn suspend(&mut self, value: usize) -> usize;
}

/// A value is sent back.
impl Suspend for &ropewalk::Yielder<usize, usize> {
    #[inline(always)]
    fn suspend(&mut self, value: usize) -> usize {
        self.yield_(value)
    }
}

/// Nothing is sent back.
impl Suspend for &ropewalk::Yielder<usize> {
    #[inline(always)]
    fn suspend(&mut self, value: usize) -> usize {
        self.yield_(value);
        value
    }
}

/// A value is sent back.
impl Suspend for &corosensei::Yielder<usize, usize> {
    #[inline(always)]
    fn suspend(&mut self, value: usize) -> usize {
        corosensei::Yielder::suspend(self, value)
    }
}

/// Nothing is sent back.
impl Suspend for &corosensei::Yielder<(), usize> {
    #[inline(always)]
    fn suspend(&mut self, value: usize) -> usize {
        corosensei::Yielder::suspend(self, value);
        value
    }
}

/// A value is sent back.
impl Suspend for generator::Scope<'_, 'static, usize, usize> {
    #[inline(always)]
    fn suspend(&mut self, value: usize) -> usize {
        self.yield_(value).unwrap_or(0)
    }
}

/// Nothing is sent back.
impl Suspend for generator::Scope<'_, 'static, (), usize> {
    #[inline(always)]
    fn suspend(&mut self, value: usize) -> usize {
        self.yield_(value);
        value
    }
}

/// The call depths that the benches compare.
pub const DEPTHS: [usize; 4] = [0, 1, 4, 11];

/// Yields from within `DEPTH` functions, through all of which each value comes back.
#[inline(always)]
pub fn suspend_at<const DEPTH: usize>(co: &mut impl Suspend, value: usize) -> usize {
    match DEPTH {
        0 => co.suspend(value),
        1 => depth1(co, value),
        4 => depth4(co, value),
        11 => depth11(co, value),
        _ => unreachable!("depths are those of DEPTHS"),
    }
}

#[inline(never)]
fn depth1(co: &mut impl Suspend, value: usize) -> usize {
    co.suspend(value).wrapping_add(1)
}

macro_rules! depths {
    ($($outer:ident calls $inner:ident;)*) => {$(
        #[inline(never)]
        fn $outer(co: &mut impl Suspend, value: usize) -> usize {
            // The addition is what keeps the call from becoming a jump.
            $inner(co, value).wrapping_add(1)
        }
    )*};
}

depths! {
    depth2 calls depth1;
    depth3 calls depth2;
    depth4 calls depth3;
    depth5 calls depth4;
    depth6 calls depth5;
    depth7 calls depth6;
    depth8 calls depth7;
    depth9 calls depth8;
    depth10 calls depth9;
    depth11 calls depth10;
}

/// A node of a binary tree.
pub struct Node {
    pub left: Option<Box<Node>>,
    pub value: usize,
    pub right: Option<Box<Node>>,
}

impl Node {
    /// The tree whose values, in order, are `values`, as flat as can be.
    pub fn balanced(values: Range<usize>) -> Option<Box<Node>> {
        if values.is_empty() {
            return None;
        }
        let middle = values.start + values.len() / 2;
        Some(Box::new(Node {
            left: Node::balanced(values.start..middle),
            value: middle,
            right: Node::balanced(middle + 1..values.end),
        }))
    }

    /// The tree whose values, in order, are `0..nodes`, as deep as can be: each node has a left child only.
    pub fn degenerate(nodes: usize) -> Option<Box<Node>> {
        (0..nodes).fold(None, |left, value| Some(Box::new(Node { left, value, right: None })))
    }

    /// Yields the values in order: the function that one would write without generators, with a yield in it.
    pub fn walk(&self, co: &mut impl Suspend) {
        if let Some(left) = &self.left {
            left.walk(co);
        }
        co.suspend(self.value);
        if let Some(right) = &self.right {
            right.walk(co);
        }
    }
}
