//! Signals, as streams.
