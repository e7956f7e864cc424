//! Question: what does an item of an in-order walk of a binary tree cost, and does that grow with the tree's depth?
//!
//! Not counted: building the tree. Counted: making the walker and ending it, spread over the items. The walks are
//! external: the consumer asks for one item after the other in a `for` loop, and sums them.

use std::hint::black_box;
use std::iter;

use divan::Bencher;
use divan::counter::ItemsCount;
use ropewalk::Generator;
use ropewalk::generator::Builder;
use ropewalk_benches::Node;

fn main() {
    divan::main();
}

/// The trees: balanced ones of 10 and 16 levels, and lists 1,000 and 10,000 deep.
const TREES: [Tree; 4] =
    [Tree::Balanced(10), Tree::Balanced(16), Tree::Degenerate(1_000), Tree::Degenerate(10_000)];

#[derive(Clone, Copy, Debug)]
enum Tree {
    Balanced(u32),
    Degenerate(usize),
}

impl Tree {
    fn nodes(self) -> usize {
        match self {
            Tree::Balanced(levels) => (1 << levels) - 1,
            Tree::Degenerate(nodes) => nodes,
        }
    }

    /// Lives for ever, so that generators may hold on to it without a scope.
    fn plant(self) -> &'static Node {
        let root = match self {
            Tree::Balanced(_) => Node::balanced(0..self.nodes()),
            Tree::Degenerate(nodes) => Node::degenerate(nodes),
        };
        Box::leak(root.expect("no tree here is empty"))
    }
}

/// Enough for a recursion 10,000 deep.
const DEEP_STACK: usize = 4 << 20;

fn bench_walk<I: Iterator<Item = usize>>(bencher: Bencher, tree: Tree, walk: impl Fn(&'static Node) -> I) {
    let root = tree.plant();
    let expected = tree.nodes() * (tree.nodes() - 1) / 2;
    bencher.counter(ItemsCount::new(tree.nodes())).bench_local(|| {
        let mut sum = 0;
        for value in walk(black_box(root)) {
            sum += value;
        }
        assert_eq!(sum, expected);
    });
}

/// The floor: the recursive function, called with a function instead of being asked for items.
#[divan::bench(args = TREES, max_time = 3)]
fn callback(bencher: Bencher, tree: Tree) {
    fn walk(node: &Node, visit: &mut dyn FnMut(usize)) {
        if let Some(left) = &node.left {
            walk(left, visit);
        }
        visit(node.value);
        if let Some(right) = &node.right {
            walk(right, visit);
        }
    }
    let root = tree.plant();
    bencher.counter(ItemsCount::new(tree.nodes())).bench_local(|| {
        let mut sum = 0;
        walk(black_box(root), &mut |value| sum += value);
        sum
    });
}

/// What one writes by hand: the recursion turned into a stack of nodes.
#[divan::bench(args = TREES, max_time = 3)]
fn explicit_stack(bencher: Bencher, tree: Tree) {
    struct Walk {
        waiting: Vec<&'static Node>,
    }

    impl Walk {
        fn descend(&mut self, mut next: Option<&'static Node>) {
            while let Some(node) = next {
                self.waiting.push(node);
                next = node.left.as_deref();
            }
        }
    }

    impl Iterator for Walk {
        type Item = usize;

        fn next(&mut self) -> Option<usize> {
            let node = self.waiting.pop()?;
            self.descend(node.right.as_deref());
            Some(node.value)
        }
    }

    bench_walk(bencher, tree, |root| {
        let mut walk = Walk { waiting: Vec::new() };
        walk.descend(Some(root));
        walk
    });
}

/// What one writes without thinking: each node's iterator holds those of its children. An item comes up through all
/// of them.
#[divan::bench(args = TREES, max_time = 3)]
fn boxed_iterators(bencher: Bencher, tree: Tree) {
    fn walk(node: &'static Node) -> Box<dyn Iterator<Item = usize>> {
        let left = node.left.as_deref().into_iter().flat_map(walk);
        let right = node.right.as_deref().into_iter().flat_map(walk);
        Box::new(left.chain(iter::once(node.value)).chain(right))
    }
    bench_walk(bencher, tree, walk);
}

/// A recursive function inside one generator.
#[divan::bench(args = TREES, max_time = 3)]
fn ropewalk_recursion(bencher: Bencher, tree: Tree) {
    bench_walk(bencher, tree, |root| {
        Builder::new()
            .stack_size(DEEP_STACK)
            .generator(|mut co: &ropewalk::Yielder<usize>| root.walk(&mut co))
    });
}

/// A generator for each node, which delegates to those of its children.
#[divan::bench(args = TREES, max_time = 3)]
fn ropewalk_yield_from(bencher: Bencher, tree: Tree) {
    fn walk(node: &'static Node) -> Generator<usize> {
        ropewalk::generate(move |co| {
            if let Some(left) = &node.left {
                co.yield_from(walk(left));
            }
            co.yield_(node.value);
            if let Some(right) = &node.right {
                co.yield_from(walk(right));
            }
        })
    }
    bench_walk(bencher, tree, walk);
}

/// A recursive function inside one raw coroutine, whose stack is new each time.
#[divan::bench(args = TREES, max_time = 3)]
fn corosensei_recursion(bencher: Bencher, tree: Tree) {
    bench_walk(bencher, tree, |root| {
        let stack = corosensei::stack::DefaultStack::new(DEEP_STACK).expect("address space for a stack");
        let mut coroutine =
            corosensei::Coroutine::with_stack(stack, |mut co: &corosensei::Yielder<(), usize>, ()| {
                root.walk(&mut co);
            });
        iter::from_fn(move || coroutine.resume(()).as_yield())
    });
}
