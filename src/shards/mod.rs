//! Several schedulers, one for each thread.
