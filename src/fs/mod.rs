//! Files, under std's names.
