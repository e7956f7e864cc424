//! Where a body may yield from: any depth, recursion, callbacks of code that knows nothing of generators.

use std::cmp::Ordering;
use std::ffi::{c_int, c_void};

use ropewalk::{Generator, Step, Yielder, generate};

use crate::log::{Log, unraised_by};

struct Tree {
    value: u32,
    left: Option<Box<Tree>>,
    right: Option<Box<Tree>>,
}

fn walk(co: &Yielder<u32>, tree: Option<&Tree>) {
    if let Some(tree) = tree {
        walk(co, tree.left.as_deref());
        co.yield_(tree.value);
        walk(co, tree.right.as_deref());
    }
}

fn balanced(from: u32, to: u32) -> Option<Box<Tree>> {
    (from < to).then(|| {
        let middle = from + (to - from) / 2;
        Box::new(Tree { value: middle, left: balanced(from, middle), right: balanced(middle + 1, to) })
    })
}

#[test]
fn a_recursive_walk_yields_a_tree_in_order() {
    let tree = balanced(0, 10_000);
    let values = generate(move |co| walk(co, tree.as_deref()));
    assert!(values.eq(0..10_000));
}

/// A tree that is a list: each node the left child of the next. Made without recursion, and taken apart so.
fn leaning(depth: u32) -> Option<Box<Tree>> {
    (0..depth).fold(None, |left, value| Some(Box::new(Tree { value, left, right: None })))
}

fn fell(mut tree: Option<Box<Tree>>) {
    while let Some(mut node) = tree {
        tree = node.left.take();
    }
}

#[test]
fn a_recursive_walk_goes_thousands_of_levels_deep() {
    let builder = ropewalk::generator::Builder::new().stack_size(64 << 20);
    let deep = 50_000;
    let values = builder.generator(move |co: &Yielder<u32>| {
        let tree = leaning(deep);
        walk(co, tree.as_deref());
        fell(tree);
    });
    assert!(values.eq(0..deep));
}

#[test]
fn a_body_yields_from_inside_a_sort() {
    let comparisons = generate(|co| {
        let mut numbers = [3, 1, 2];
        numbers.sort_by(|a, b| {
            co.yield_(format!("{a}?{b}"));
            a.cmp(b)
        });
        co.yield_(format!("{numbers:?}"));
    });
    let log: Vec<String> = comparisons.collect();
    assert!(log.len() >= 3 && log[0].contains('?'), "{log:?}");
    assert_eq!(log.last().unwrap(), "[1, 2, 3]");
}

#[test]
fn a_body_can_be_asked_by_the_code_it_calls_back_from() {
    // A sort whose order is decided by whoever resumes the generator.
    let sorting = Generator::<(i32, i32), Ordering, Vec<i32>>::new(|co| {
        let mut numbers = vec![3, 1, 2];
        numbers.sort_by(|&a, &b| co.yield_((a, b)));
        numbers
    });
    let mut step = sorting.start().unwrap();
    let sorted = loop {
        match step {
            // Descending.
            Step::Yield((a, b)) => step = sorting.send(b.cmp(&a)).unwrap(),
            Step::Return(sorted) => break sorted,
        }
    };
    assert_eq!(sorted, [3, 2, 1]);
}

/// Compares two `i32` and reports each comparison; after a close it only compares.
extern "C" fn compare(a: *const c_void, b: *const c_void, co: *mut c_void) -> c_int {
    // SAFETY: `qsort_r` passes two elements of its array and the argument that it was given.
    #[allow(unsafe_code)]
    let (a, b, co) = unsafe { (*a.cast::<i32>(), *b.cast::<i32>(), &*co.cast::<Yielder<(i32, i32)>>()) };
    // Not `yield_`: a close must not unwind through frames of C.
    if !co.is_closing() {
        let _ = co.try_yield((a, b));
    }
    a.cmp(&b) as c_int
}

fn sorted_by_c() -> Generator<(i32, i32), (), Vec<i32>> {
    generate(|co| {
        let mut numbers = vec![5, 4, 3, 2, 1];
        // SAFETY: an array of five `i32`, and a comparison of two of them that gets the argument it expects.
        #[allow(unsafe_code)]
        unsafe {
            let argument = std::ptr::from_ref(co).cast_mut().cast();
            qsort_r(numbers.as_mut_ptr().cast(), numbers.len(), size_of::<i32>(), compare, argument);
        }
        numbers
    })
}

#[allow(unsafe_code)]
unsafe extern "C" {
    fn qsort_r(
        base: *mut c_void,
        count: usize,
        size: usize,
        compare: extern "C" fn(*const c_void, *const c_void, *mut c_void) -> c_int,
        argument: *mut c_void,
    );
}

#[test]
fn a_body_yields_from_inside_a_callback_of_c() {
    let mut sorting = sorted_by_c();
    assert!(sorting.by_ref().count() >= 4);
    assert_eq!(sorting.take_return().unwrap(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_body_inside_a_callback_of_c_can_be_closed() {
    let sorting = sorted_by_c();
    let _ = sorting.start().unwrap();
    // C goes on to the end of its sort, without a switch.
    assert_eq!(sorting.close(), Ok(Some(vec![1, 2, 3, 4, 5])));
    let sorting = sorted_by_c();
    let _ = sorting.start().unwrap();
    assert_eq!(unraised_by(|| drop(sorting)), Vec::<String>::new());
}

#[test]
fn a_body_is_told_once_that_it_is_being_closed() {
    let generator = Generator::<bool, (), bool>::new(|co| {
        let before = co.is_closing();
        let _ = co.try_yield(before);
        co.is_closing()
    });
    assert_eq!(generator.start().unwrap(), Step::Yield(false));
    assert_eq!(generator.close(), Ok(Some(true)));
    // A body that ignored it and was resumed is not being closed any more.
    let ignoring = Generator::<bool, (), bool>::new(|co| {
        let _ = co.try_yield(false);
        let _ = co.try_yield(co.is_closing());
        co.is_closing()
    });
    let _ = ignoring.start().unwrap();
    assert_eq!(ignoring.close(), Err(ropewalk::CloseError::IgnoredExit(true)));
    assert_eq!(ignoring.send(()), Ok(Step::Return(false)));
}

/// G33.
#[test]
fn a_destructor_runs_on_the_way_out_of_a_return() {
    let log = Log::new();
    let generator = Generator::<i32, (), i32>::new({
        let log = log.clone();
        move |co| {
            let _finally = log.on_drop("finally");
            co.yield_(1);
            7
        }
    });
    let _ = generator.start().unwrap();
    log.assert(&[]);
    assert_eq!(generator.send(()), Ok(Step::Return(7)));
    log.assert(&["finally"]);
}

/// G33: a `finally` that yields, as a block of its own; a destructor cannot, on close.
#[test]
fn a_yield_after_an_early_return_from_a_block_comes_out() {
    let generator = generate(|co| {
        let attempt = || -> Result<(), ()> { Err(()) };
        let _ = attempt();
        co.yield_(1);
    });
    assert_eq!(generator.collect::<Vec<_>>(), [1]);
}

/// G34: the example of PEP 255 with nested `try`, `except` and `finally`.
#[test]
fn values_come_in_the_order_of_the_example_in_pep_255() {
    let generator = generate(|co| {
        let inner = |co: &Yielder<i32>| -> Result<(), &'static str> {
            co.yield_(1);
            let division = |co: &Yielder<i32>| -> Result<(), &'static str> {
                co.yield_(2);
                1i32.checked_div(std::hint::black_box(0)).ok_or("division by zero")?;
                co.yield_(3);
                Ok(())
            };
            if division(co).is_err() {
                co.yield_(4);
                co.yield_(5);
                return Err("raised again");
            }
            co.yield_(6);
            Ok(())
        };
        match inner(co) {
            Ok(()) => co.yield_(7),
            Err(_) => co.yield_(8),
        }
        co.yield_(9);
        co.yield_(10);
        co.yield_(11);
    });
    assert_eq!(generator.collect::<Vec<_>>(), [1, 2, 4, 5, 8, 9, 10, 11]);
}

#[test]
fn a_body_yields_from_the_stack_of_a_generator_that_it_drives() {
    // The inner generator's body uses the outer one's yielder: it is the outer one that stops.
    let outer = generate(|outer_co| {
        ropewalk::generator::scope(|s| {
            let inner = s.generator(|inner_co: &Yielder<i32>| {
                outer_co.yield_(1);
                inner_co.yield_(2);
                outer_co.yield_(3);
            });
            for item in inner {
                outer_co.yield_(item * 100);
            }
        });
    });
    assert_eq!(outer.collect::<Vec<_>>(), [1, 200, 3]);
}

#[test]
fn a_generator_suspended_on_another_ones_stack_is_unwound_with_it() {
    let log = Log::new();
    let outer = generate({
        let log = log.clone();
        move |outer_co| {
            let _outer = log.on_drop("outer unwound");
            ropewalk::generator::scope(|s| {
                let inner = s.generator(|_: &Yielder<i32>| {
                    let _inner = log.on_drop("inner unwound");
                    outer_co.yield_(1);
                });
                inner.for_each(drop);
            });
        }
    });
    let _ = outer.start().unwrap();
    assert_eq!(outer.close(), Ok(None));
    log.assert(&["inner unwound", "outer unwound"]);
}

#[test]
fn generators_drive_generators_hundreds_deep() {
    fn nested(depth: u32) -> Generator<u32> {
        generate(move |co| {
            if depth == 0 {
                co.yield_(1);
            } else {
                for item in nested(depth - 1) {
                    co.yield_(item + 1);
                }
            }
        })
    }
    assert_eq!(nested(500).collect::<Vec<_>>(), [501]);
}
