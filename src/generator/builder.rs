//! Generators with a name, or with a stack of another size.

use std::io;
use std::panic::Location;

use super::{Generator, Scope, Yielder};
use crate::stack::{self, Shape};

/// Makes generators that differ from the usual: a name, a larger stack, a larger guard.
///
/// ```
/// use ropewalk::generator::Builder;
///
/// let lexer = Builder::new()
///     .name("lexer")
///     .stack_size(1 << 20)
///     .generator(|co: &ropewalk::Yielder<char>| co.yield_('x'));
/// assert_eq!(lexer.name(), Some("lexer"));
/// assert_eq!(lexer.collect::<String>(), "x");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Builder {
    name: Option<String>,
    stack_size_bytes: Option<usize>,
    guard_size_bytes: Option<usize>,
}

impl Builder {
    /// A builder of generators like those of [`Generator::new`].
    pub fn new() -> Builder {
        Builder::default()
    }

    /// The name that reports of errors use, a stack overflow's among them.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// The size of the stack, in bytes: at least this, rounded up to a power of two.
    ///
    /// It is address space; memory is used by the page as the stack is touched. Up to 1.1 KiB of the first page
    /// are the library's. The default is [`stack::default_size`], at most [`stack::MAX_SIZE`] can be had: more is an
    /// error when the generator is started.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size_bytes = Some(bytes);
        self
    }

    /// The size of the guard below the stack, in bytes, up to 1 MiB; the default is one page.
    ///
    /// One page is enough for Rust, which probes the stack page by page. A larger guard helps against C code that was
    /// compiled without stack probes and has frames larger than a page. It is rounded up to 4 KiB, 64 KiB, 256 KiB or
    /// 1 MiB, and costs address space, and page tables for it: 2 KiB for a guard of 1 MiB.
    pub fn guard_size(mut self, bytes: usize) -> Builder {
        self.guard_size_bytes = Some(bytes);
        self
    }

    /// Makes a generator, as [`Generator::new`] does.
    #[track_caller]
    pub fn generator<Y, S, R, F>(self, body: F) -> Generator<Y, S, R>
    where
        F: FnOnce(&Yielder<Y, S>) -> R + 'static,
        Y: 'static,
        S: 'static,
        R: 'static,
    {
        Generator::with_options(Box::new(body), Location::caller(), Some(Box::new(self)))
    }

    /// Makes a generator over borrowed data, as [`Scope::generator`] does.
    #[track_caller]
    pub fn scoped<'scope, 'env, Y, S, R, F>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        body: F,
    ) -> &'scope Generator<Y, S, R>
    where
        F: FnOnce(&Yielder<Y, S>) -> R + 'scope,
        Y: 'scope,
        S: 'scope,
        R: 'scope,
    {
        scope.with_options(Box::new(body), Location::caller(), Some(Box::new(self)))
    }

    pub(super) fn name_text(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn is_sized(&self) -> bool {
        self.stack_size_bytes.is_some()
    }

    #[inline]
    pub(super) fn shape_of(options: Option<&Builder>) -> io::Result<Shape> {
        match options {
            None => Ok(Shape::of_default()),
            Some(builder) => builder.shape(),
        }
    }

    fn shape(&self) -> io::Result<Shape> {
        Ok(self.own_shape()?.unwrap_or_else(Shape::of_default))
    }

    /// The shape that was asked for.
    pub(super) fn own_shape(&self) -> io::Result<Option<Shape>> {
        let (size, guard) = (self.stack_size_bytes, self.guard_size_bytes);
        if size.is_none() && guard.is_none() {
            return Ok(None);
        }
        Shape::new(size.unwrap_or_else(stack::default_size), guard.unwrap_or(stack::DEFAULT_GUARD_SIZE))
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))
    }
}
