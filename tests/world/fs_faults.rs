//! Files, when the machine has no more to give.
