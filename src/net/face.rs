//! What all sockets have in common, as macros: the same methods, each documented at each type.

/// For a type that is a `socket` and nothing else: timeouts, duplicates, errors, and ways from and to descriptors and std's type.
macro_rules! as_std {
    ($type:ident, $std:ty) => {
        impl $type {
            /// How long a call that receives may wait, by itself: after that it fails with the kind `WouldBlock`, as std's does.
            /// `None`, as it is at first: as long as it takes. For several calls together there is
            /// [`time::timeout`](crate::time::timeout).
            ///
            /// # Errors
            ///
            /// `InvalidInput` for no time at all.
            pub fn set_read_timeout(&self, timeout: Option<std::time::Duration>) -> std::io::Result<()> {
                self.socket.set_timeout(crate::scheduler::io::Direction::Read, timeout)
            }

            /// How long a call that sends may wait: as [`set_read_timeout`](Self::set_read_timeout).
            ///
            /// # Errors
            ///
            /// `InvalidInput` for no time at all.
            pub fn set_write_timeout(&self, timeout: Option<std::time::Duration>) -> std::io::Result<()> {
                self.socket.set_timeout(crate::scheduler::io::Direction::Write, timeout)
            }

            /// See [`set_read_timeout`](Self::set_read_timeout).
            ///
            /// # Errors
            ///
            /// None; std has it so.
            pub fn read_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                Ok(self.socket.timeout(crate::scheduler::io::Direction::Read))
            }

            /// See [`set_write_timeout`](Self::set_write_timeout).
            ///
            /// # Errors
            ///
            /// None; std has it so.
            pub fn write_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                Ok(self.socket.timeout(crate::scheduler::io::Direction::Write))
            }

            /// Parks until a call that receives would not wait, since there is something, or an end, or an error.
            ///
            /// # Errors
            ///
            /// [`Cancelled`](crate::Cancelled); another task waits already.
            ///
            /// # Panics
            ///
            /// Outside of [`run`](crate::run).
            #[track_caller]
            pub fn wait_readable(&self) -> std::io::Result<()> {
                self.socket.wait(crate::scheduler::io::Direction::Read, "readable")
            }

            /// Parks until a call that sends would not wait, as far as this side knows.
            ///
            /// # Errors
            ///
            /// [`Cancelled`](crate::Cancelled); another task waits already.
            ///
            /// # Panics
            ///
            /// Outside of [`run`](crate::run).
            #[track_caller]
            pub fn wait_writable(&self) -> std::io::Result<()> {
                self.socket.wait(crate::scheduler::io::Direction::Write, "writable")
            }

            /// An arm that waits until a call that receives would not wait, for [`select`](crate::select::select).
            pub fn readable(&self) -> crate::net::Readiness<'_> {
                crate::net::Readiness::new(&self.socket, crate::scheduler::io::Direction::Read)
            }

            /// An arm that waits until a call that sends would not wait, for [`select`](crate::select::select).
            pub fn writable(&self) -> crate::net::Readiness<'_> {
                crate::net::Readiness::new(&self.socket, crate::scheduler::io::Direction::Write)
            }

            /// What went wrong since it was asked last.
            ///
            /// # Errors
            ///
            /// As the system has it.
            pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
                self.socket.take_error()
            }

            /// The same socket once more, with a descriptor of its own. What it receives the other does not; the timeouts are its own
            /// from now on.
            ///
            /// # Errors
            ///
            /// As the system has it: there may be no more descriptors.
            pub fn try_clone(&self) -> std::io::Result<$type> {
                Ok($type { socket: self.socket.try_clone()? })
            }
        }

        impl From<std::os::fd::OwnedFd> for $type {
            /// Takes the socket over, with the timeouts that it has. Of another kind of descriptor calls fail.
            fn from(fd: std::os::fd::OwnedFd) -> $type {
                $type { socket: crate::net::socket::Socket::adopted(fd) }
            }
        }

        impl From<$std> for $type {
            /// Takes the socket over, with the timeouts that it has.
            fn from(socket: $std) -> $type {
                std::os::fd::OwnedFd::from(socket).into()
            }
        }

        impl From<$type> for std::os::fd::OwnedFd {
            fn from(socket: $type) -> std::os::fd::OwnedFd {
                socket.socket.into_fd()
            }
        }

        impl From<$type> for $std {
            /// Gives the socket to std: its calls block the thread.
            fn from(socket: $type) -> $std {
                // Somebody may have set it not to, `copy_fd` for one. It fails for what is no socket, as all its calls will.
                let _ = socket.socket.set_nonblocking(false);
                std::os::fd::OwnedFd::from(socket).into()
            }
        }

        impl std::os::fd::IntoRawFd for $type {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                std::os::fd::OwnedFd::from(self).into_raw_fd()
            }
        }

        crate::net::face::descriptor!($type);
    };
}

/// For a type with a `socket`: the descriptor, to look at.
macro_rules! descriptor {
    ($type:ident) => {
        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.socket.as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.socket.as_raw_fd()
            }
        }
    };
}

/// For a type whose `socket` is a stream: reading and writing it, also behind a reference.
macro_rules! stream {
    ($type:ident) => {
        impl $type {
            #[inline]
            #[track_caller]
            fn recv(&self, buffer: &mut [u8], peek: bool) -> std::io::Result<usize> {
                if buffer.is_empty() {
                    // The system would wait until there is something, and then not take it.
                    crate::scheduler::lowlevel::may_wait()?;
                    return Ok(0);
                }
                self.socket.recv(buffer, peek)
            }
        }

        impl std::io::Read for &$type {
            #[inline]
            #[track_caller]
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                self.recv(buffer, false)
            }

            #[track_caller]
            fn read_vectored(&mut self, buffers: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                if buffers.iter().all(|buffer| buffer.is_empty()) {
                    return self.recv(&mut [], false);
                }
                self.socket.recv_vectored(buffers)
            }
        }

        impl std::io::Write for &$type {
            #[inline]
            #[track_caller]
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.socket.send(bytes)
            }

            #[track_caller]
            fn write_vectored(&mut self, buffers: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.socket.send_vectored(buffers)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl std::io::Read for $type {
            #[inline]
            #[track_caller]
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                std::io::Read::read(&mut &*self, buffer)
            }

            #[track_caller]
            fn read_vectored(&mut self, buffers: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                std::io::Read::read_vectored(&mut &*self, buffers)
            }
        }

        impl std::io::Write for $type {
            #[inline]
            #[track_caller]
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                std::io::Write::write(&mut &*self, bytes)
            }

            #[track_caller]
            fn write_vectored(&mut self, buffers: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                std::io::Write::write_vectored(&mut &*self, buffers)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}

pub(super) use {as_std, descriptor, stream};
